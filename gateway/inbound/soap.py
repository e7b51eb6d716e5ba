"""SOAP 1.1 with WS-Addressing 1.0 at a listener of ours: a verified call becomes its records, and answers and faults are built. Pure.

What a call must look like is the party's profile (``message_formats/data/profiles``, written out as WSDL): one element in the Body, valid
against the envelope schema, of an operation by which the party calls us. Everything read here was signed (the verifier hands on nothing
else), so also the headers: ``wsa:To`` must name this gateway, or a call that the party signed for somebody else could be handed to us.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal
from xml.sax.saxutils import escape, quoteattr

from lxml import etree

from gateway.errors import InputRefused
from gateway.security.soap import names as n
from gateway.security.soap.signing import canonical
from gateway.security.soap.verifier import VerifiedMessage
from message_formats import schemas
from message_formats.errors import FormatError
from message_formats.profiles import Operation, Profile

CONTENT_TYPE: Final = "text/xml; charset=utf-8"
ANONYMOUS: Final = f"{n.WSA}/anonymous"
Whose = Literal["Client", "Server"]


class CallRefused(InputRefused):
    """A whole call is refused, and nothing of it had an effect. ``code`` stands in the fault."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One record of a call."""

    delivery_id: str
    content: bytes = field(repr=False)
    """The element of the message type, by itself, in its exclusive canonical form."""
    municipality: str | None = None
    """The one that it came from, where the party hands it on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of a party."""

    message_id: str
    expires: datetime
    """Until then the party takes an answer."""
    operation: Operation
    records: tuple[Record, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of one record. ``code`` is None: accepted."""

    delivery_id: str
    duplicate: bool = False
    code: str | None = None


class Reader:
    """Reads the calls of one profile."""

    def __init__(self, profile: Profile, address: str) -> None:
        """``address``: ours, which every call must name."""
        self._profile = profile
        self._address = address
        self._validate = schemas.profile_validator(profile.profile)
        self._operations = {profile.action(each.name): each for each in profile.operations if each.inbound}

    def read(self, message: VerifiedMessage, soap_action: str) -> Call:
        """The call in a verified message.

        :raises CallRefused: it is none that the party may make here.
        """
        header, body = message.envelope
        action = (header.findtext(n.ACTION) or "").strip()
        operation = self._operations.get(action)
        if operation is None:
            raise _refused("operation-not-offered", "there is no such operation at this listener", "wsa:Action")
        if soap_action.strip('"') != action:
            raise _refused("action-differs", "SOAPAction and wsa:Action differ", "SOAPAction")
        if (header.findtext(n.TO) or "").strip() != self._address:
            raise _refused("addressed-elsewhere", "the call is not addressed to this gateway", "wsa:To")
        reply_to = header.find(n.REPLY_TO)
        if reply_to is not None and (reply_to.findtext(f"{{{n.WSA}}}Address") or "").strip() != ANONYMOUS:
            raise _refused("reply-to-unsupported", "the answer goes back on the same connection", "wsa:ReplyTo")
        if len(body) != 1 or body[0].tag != f"{{{self._profile.namespace}}}{operation.name}Request":
            raise _refused("operation-differs", "the Body holds another element than the operation's", "Body")
        self._check(body[0])
        records = tuple(
            Record(delivery_id=each.get("deliveryId", ""), content=canonical(each[0]), municipality=each.get("municipality"))
            for each in body[0]
        )
        return Call(message_id=message.message_id, expires=message.expires, operation=operation, records=records)

    def _check(self, request: etree._Element) -> None:
        try:
            self._validate(request)
        except FormatError as error:
            raise CallRefused("schema-invalid", error.safe_detail, place=error.place, rule=error.rule) from error


class Writer:
    """Builds the answers of one profile; ``sign`` makes the bytes of an envelope."""

    def __init__(self, profile: Profile, sign: Callable[[etree._Element], bytes]) -> None:
        self._profile = profile
        self._sign = sign

    def receipts(self, call: Call, results: Sequence[Result]) -> bytes:
        """The receipt for every record of a call."""
        name = f"{call.operation.name}Response"
        lines = "".join(_result(each) for each in results)
        body = f'<p:{name} xmlns:p="{self._profile.namespace}">{lines}</p:{name}>'
        return self._finished(self._profile.action(call.operation.name, "Response"), call.message_id, body)

    def answer(self, call: Call, content: bytes) -> bytes:
        """The answer to the one record of a dialogue: the element of the answer's type."""
        name, [record] = f"{call.operation.name}Response", call.records
        inner = etree.tostring(etree.fromstring(content), encoding="unicode")
        result = f'<p:Result deliveryId={quoteattr(record.delivery_id)} duplicate="false">{inner}</p:Result>'
        body = f'<p:{name} xmlns:p="{self._profile.namespace}">{result}</p:{name}>'
        return self._finished(self._profile.action(call.operation.name, "Response"), call.message_id, body)

    def fault(self, whose: Whose, code: str, relates_to: str = "") -> bytes:
        """A fault with the profile's own detail: the call as a whole was refused. Tells nothing but the code."""
        detail = f'<p:Fault xmlns:p="{self._profile.namespace}" code={quoteattr(code[:40])}/>'
        text = f"<faultcode>soap:{whose}</faultcode><faultstring>{escape(code)}</faultstring><detail>{detail}</detail>"
        return self._finished(self._profile.fault_action, relates_to, f"<soap:Fault>{text}</soap:Fault>")

    def _finished(self, action: str, relates_to: str, body: str) -> bytes:
        related = f"<wsa:RelatesTo>{escape(relates_to)}</wsa:RelatesTo>" if relates_to else ""
        text = (
            f'<soap:Envelope xmlns:soap="{n.SOAP}" xmlns:wsa="{n.WSA}"><soap:Header><wsa:Action>{action}</wsa:Action>'
            f"<wsa:MessageID>urn:uuid:{uuid.uuid4()}</wsa:MessageID>{related}<wsa:To>{ANONYMOUS}</wsa:To></soap:Header>"
            f"<soap:Body>{body}</soap:Body></soap:Envelope>"
        )
        return self._sign(etree.fromstring(text))


def _result(result: Result) -> str:
    outcome = 'outcome="accepted"' if result.code is None else f'outcome="rejected" code={quoteattr(result.code[:40])}'
    return f'<p:Result deliveryId={quoteattr(result.delivery_id)} duplicate="{str(result.duplicate).lower()}" {outcome}/>'


def _refused(code: str, detail: str, place: str) -> CallRefused:
    return CallRefused(code, detail, place=place, rule="profile")


def own_address(profile: Profile) -> str:
    """Our logical address in the profile's WSDL."""
    return f"https://renkei-gateway.invalid/soap/{profile.profile}"
