"""What a party sends of its own accord: notices and questions to the gateway's listener, signed, and what comes back, verified.

A notice that has no receipt is sent again by whoever asked for it: with the same delivery ids, in a new message. ``wrong`` makes one that
must be refused.
"""

from __future__ import annotations

import hashlib
import ssl
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, get_args
from xml.sax.saxutils import quoteattr

import aiohttp
from lxml import etree

from message_formats import profiles
from message_formats.profiles import Profile
from message_formats.schemas import profile_validator
from simulators.encryption import Encryption
from simulators.errors import BadFault
from simulators.signatures import LONGEST_S, SKEW_S, SOAP, WSA, SignatureRefused, Signatures

Wrong = Literal["signer", "unsigned", "expired", "altered", "addressee", "replay", "action"]
_PARSER = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, recover=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One record to be sent."""

    delivery_id: str
    xml: str = field(repr=False)
    municipality: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What came back."""

    status: int
    fault: str | None = None
    results: tuple[dict[str, Any], ...] = ()
    signed: bool = False
    """The answer's signature is the gateway's, and the answer belongs to this call."""
    content: bytes = field(default=b"", repr=False)
    """Of the one result, where the operation is answered at once."""

    def shown(self) -> dict[str, Any]:
        """As JSON."""
        shown = {"status": self.status, "fault": self.fault, "results": list(self.results), "signed": self.signed}
        return {**shown, "content": self.content.decode()} if self.content else shown


class Notices:
    """Sends notices of one profile. Belongs to the event loop."""

    def __init__(
        self,
        *,
        profile: Profile,
        url: str,
        server_name: str,
        context: ssl.SSLContext,
        signatures: Signatures,
        encryption: Encryption | None = None,
        timeout_s: float = 20.0,
    ) -> None:
        """``url``: of the gateway's listener for this party, ``https://host:port``; ``encryption``: of Bodies, both ways."""
        self.profile = profile
        self._url = f"{url}/soap/{profile.profile}"
        self._address = f"https://renkei-gateway.invalid/soap/{profile.profile}"
        self._server_name = server_name
        self._context = context
        self._signatures = signatures
        self._encryption = encryption
        self._timeout_s = timeout_s
        self._validate = profile_validator(profile)
        self._last: tuple[str, bytes, str] | None = None

    async def send(self, operation: str, notices: Sequence[Notice], *, wrong: Wrong | None = None, action: str | None = None) -> Said:
        """One call. ``wrong``: with that fault; ``action``: another operation's than its body is.

        :raises BadFault: the simulator has no such operation or fault.
        :raises aiohttp.ClientError, TimeoutError: there was no answer.
        """
        try:
            found = self.profile.operation(operation)
        except KeyError as error:
            raise BadFault("operation-unknown", f"the profile has no operation {operation[:40]}") from error
        if wrong is not None and wrong not in get_args(Wrong):
            raise BadFault("wrong-unknown", f"wrong must be one of {', '.join(get_args(Wrong))}")
        message_id = f"urn:uuid:{uuid.uuid4()}"
        named = self.profile.action(action or found.name)
        if wrong == "replay" and self._last is not None:
            message_id, body, named = self._last
        else:
            body = self._signed(self._built(found, notices, message_id, named, wrong), wrong)
            if self._encryption is not None:
                body = self._encryption.close_up(body)
            self._last = (message_id, body, named)
        connector = aiohttp.TCPConnector(ssl=self._context)
        headers = {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": f'"{named}"'}
        timeout = aiohttp.ClientTimeout(total=self._timeout_s)
        async with (
            aiohttp.ClientSession(connector=connector, trust_env=False, timeout=timeout) as session,
            session.post(self._url, data=body, headers=headers, server_hostname=self._server_name) as answer,
        ):
            return self._read(answer.status, await answer.read(), message_id)

    def _built(
        self, operation: profiles.Operation, notices: Sequence[Notice], message_id: str, action: str, wrong: Wrong | None
    ) -> etree._Element:
        records = "".join(
            f"<j:Record deliveryId={quoteattr(each.delivery_id)}"
            + (f" municipality={quoteattr(each.municipality)}" if each.municipality is not None else "")
            + (f' digest="{hashlib.sha256(each.xml.encode()).hexdigest()}"' if operation.digest else "")
            + f">{each.xml}</j:Record>"
            for each in notices
        )
        to = self._address.replace("renkei", "another") if wrong == "addressee" else self._address
        text = (
            f'<soap:Envelope xmlns:soap="{SOAP}" xmlns:wsa="{WSA}"><soap:Header><wsa:Action>{action}</wsa:Action>'
            f"<wsa:MessageID>{message_id}</wsa:MessageID><wsa:To>{to}</wsa:To></soap:Header><soap:Body>"
            f'<j:{operation.name}Request xmlns:j="{self.profile.namespace}">{records}</j:{operation.name}Request>'
            "</soap:Body></soap:Envelope>"
        )
        return etree.fromstring(text, _PARSER)

    def _signed(self, envelope: etree._Element, wrong: Wrong | None) -> bytes:
        match wrong:
            case "unsigned":
                return etree.tostring(envelope, xml_declaration=True, encoding="UTF-8")
            case "signer":
                return self._signatures.sign(envelope, by="other")
            case "expired":
                return self._signatures.sign(envelope, at=datetime.now(UTC) - timedelta(seconds=LONGEST_S + SKEW_S + 1))
            case "altered":
                return self._signatures.sign(envelope).replace(b'deliveryId="', b'deliveryId="x', 1)
        return self._signatures.sign(envelope)

    def _read(self, status: int, body: bytes, message_id: str) -> Said:
        try:
            envelope = etree.fromstring(body, _PARSER)
            if self._encryption is not None:
                self._encryption.open(envelope)
            self._signatures.verify(envelope)
            relates_to = (envelope[0].findtext(f"{{{WSA}}}RelatesTo") or "").strip()
            signed = relates_to == message_id or not relates_to  # a fault about what was not verified names no message
        except (etree.XMLSyntaxError, SignatureRefused, IndexError):
            return Said(status=status)
        content = envelope[1][0]
        if content.tag == f"{{{SOAP}}}Fault":
            detail = content.find(f"detail/{{{self.profile.namespace}}}Fault")
            return Said(status=status, fault=detail.get("code") if detail is not None else "", signed=signed)
        self._validate(content)
        results = tuple(
            {
                "delivery": each.get("deliveryId"),
                "outcome": each.get("outcome"),
                "code": each.get("code"),
                "duplicate": each.get("duplicate") == "true",
            }
            for each in content
        )
        inner = etree.tostring(content[0][0], method="c14n", exclusive=True) if len(content[0]) else b""
        return Said(status=status, results=results, signed=signed, content=inner)
