"""SOAP 1.1 with WS-Addressing 1.0 of the juki-cs profile, seen from the party: calls in, answers out. Written by hand on lxml.

Everything is validated against the profile's XSD, what comes and what goes. Refusing a call names a code of the profile and never a value.
"""

from __future__ import annotations

import itertools
import secrets
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from xml.sax.saxutils import escape, quoteattr

from lxml import etree

from message_formats.errors import FormatError
from simulators.misbehaviour import Answer
from simulators.signatures import WSSE, SignatureRefused

SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
WSA = "http://www.w3.org/2005/08/addressing"
PROFILE = "urn:renkei:profile:juki-cs:1"
UPDATE = "urn:renkei:format:identity-information-update:1"
RESULT = "urn:renkei:format:identity-update-result:1"
PATH = "/juki-cs/identity"
ACTION = f"{PROFILE}:UpdateIdentityInformation"
ANSWER_ACTION = f"{PROFILE}:UpdateIdentityInformationResponse"
FAULT_ACTION = f"{PROFILE}:Fault"
ANONYMOUS = f"{WSA}/anonymous"
CONTENT_TYPE = "text/xml; charset=utf-8"
MOST_RECORDS = 100

_PARSER = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, recover=False)
_ENVELOPE, _HEADER, _BODY = f"{{{SOAP}}}Envelope", f"{{{SOAP}}}Header", f"{{{SOAP}}}Body"
_REQUEST, _RECORD = f"{{{PROFILE}}}UpdateIdentityInformationRequest", f"{{{PROFILE}}}Record"
_SECURITY = f"{{{WSSE}}}Security"
_MUST_UNDERSTAND = f"{{{SOAP}}}mustUnderstand"
_ITEM_START = len(UPDATE) + 2

Whose = Literal["Client", "Server", "MustUnderstand"]
Validator = Callable[[etree._Element], None]
Verifier = Callable[[etree._Element], None]
"""Raises :class:`SignatureRefused`."""
Signer = Callable[[etree._Element], bytes]


class CallRefused(Exception):
    """The whole call is refused as the caller's fault; nothing had effect."""

    def __init__(self, code: str, message_id: str = "") -> None:
        self.code = code
        self.message_id = message_id
        super().__init__(code)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One record of a call."""

    delivery_id: str
    items: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call, complete and valid against the schemas."""

    message_id: str
    records: tuple[Record, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The answer to one record."""

    delivery_id: str
    control_number: str
    error_code: str | None = None
    duplicate: bool = False


def read_call(body: bytes, soap_action: str, validate: Validator, verify: Verifier | None = None) -> Call:
    """Read and validate a call. ``verify``: its signature, before anything in it is looked at.

    :raises CallRefused: with the profile's code.
    """
    # Comments and processing instructions could split a text; in UTF-8, the only encoding of the profile, they show in the bytes.
    if b"<!--" in body or body.find(b"<?", 2) >= 0:
        raise CallRefused("comment-forbidden")
    try:
        envelope = etree.fromstring(body, _PARSER)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise CallRefused("not-xml") from error
    about: Any = envelope.getroottree().docinfo
    if about.doctype:
        raise CallRefused("dtd-forbidden")
    if about.encoding not in (None, "UTF-8", "utf-8"):
        raise CallRefused("encoding")
    if envelope.tag != _ENVELOPE:
        raise CallRefused("not-soap")
    if verify is not None:
        try:
            verify(envelope)
        except SignatureRefused as error:
            raise CallRefused(error.code) from error
    addressing, content = _parts(envelope, signed=verify is not None)
    message_id = addressing.get("MessageID", "")
    if not message_id:
        raise CallRefused("addressing-incomplete")
    if addressing.get("Action") != ACTION or soap_action.strip('"') != ACTION:
        raise CallRefused("action-unknown", message_id)
    if addressing.get("ReplyTo", ANONYMOUS) != ANONYMOUS:
        raise CallRefused("reply-to-unsupported", message_id)
    if content.tag != _REQUEST:
        raise CallRefused("operation-unknown", message_id)
    if len(content) > MOST_RECORDS:
        raise CallRefused("too-many-records", message_id)
    try:
        validate(content)
    except FormatError as error:
        raise CallRefused("schema-invalid", message_id) from error
    with_attributes = b"text" in body  # rarely more than a guess, never less
    records = tuple([_record(element, with_attributes) for element in content])
    if len({record.delivery_id for record in records}) != len(records):
        raise CallRefused("delivery-id-twice", message_id)
    return Call(message_id=message_id, records=records)


def _parts(envelope: etree._Element, *, signed: bool) -> tuple[dict[str, str], etree._Element]:
    """The addressing headers, and the one element in the Body."""
    addressing: dict[str, str] = {}
    content: etree._Element | None = None
    bodies = 0
    for part in envelope:
        if part.tag == _HEADER:
            for header in part:
                if not (signed and header.tag == _SECURITY):
                    _note_header(header, addressing)
        elif part.tag == _BODY:
            bodies += 1
            content = part[0] if len(part) == 1 else None
        else:
            raise CallRefused("not-soap")
    if content is None or bodies != 1 or not isinstance(content.tag, str):
        raise CallRefused("not-soap")
    return addressing, content


def _note_header(header: etree._Element, addressing: dict[str, str]) -> None:
    if not isinstance(header.tag, str):
        return
    space, _, name = header.tag[1:].partition("}")
    if space != WSA:
        if header.get(_MUST_UNDERSTAND) in ("1", "true"):
            raise CallRefused("must-understand")
        return
    if name in addressing:
        raise CallRefused("addressing-incomplete")
    if name in ("ReplyTo", "FaultTo", "From"):
        addressing[name] = (header.findtext(f"{{{WSA}}}Address") or "").strip()
    else:
        addressing[name] = (header.text or "").strip()


def _record(element: etree._Element, with_attributes: bool) -> Record:
    """A record; the schema has seen it, so its shape is certain. ``@text``: the wording of a date that is unknown in part."""
    update = element[0]
    items: dict[str, str] = {item.tag[_ITEM_START:]: item.text or "" for item in update}
    if with_attributes:
        for item in update:
            text = item.get("text")
            if text is not None:
                items[f"{item.tag[_ITEM_START:]}@text"] = text
    return Record(delivery_id=element.get("deliveryId", ""), items=items)


_XML = f'<?xml version="1.0" encoding="UTF-8"?><soap:Envelope xmlns:soap="{SOAP}" xmlns:wsa="{WSA}"><soap:Header><wsa:Action>'
_TO = f"<wsa:To>{ANONYMOUS}</wsa:To></soap:Header><soap:Body>"
_TAIL = "</soap:Body></soap:Envelope>"
_OPEN = f'<j:UpdateIdentityInformationResponse xmlns:j="{PROFILE}" xmlns:r="{RESULT}">'
_CLOSE = "</j:UpdateIdentityInformationResponse>"
_own_ids = itertools.count(secrets.randbits(40))
_own_prefix = str(uuid.uuid4())[:24]


def _head(action: str, relates_to: str) -> str:
    relates = f"<wsa:RelatesTo>{escape(relates_to)}</wsa:RelatesTo>" if relates_to else ""
    own = f"{_own_prefix}{next(_own_ids):012x}"  # a UUID for each answer; random for each process, counted within
    return f"{_XML}{action}</wsa:Action><wsa:MessageID>urn:uuid:{own}</wsa:MessageID>{relates}{_TO}"


def _result(result: Result) -> str:
    outcome = "rejected" if result.error_code else "accepted"
    error = f"<r:error_code>{escape(result.error_code)}</r:error_code>" if result.error_code else ""
    duplicate = "true" if result.duplicate else "false"
    return (
        f'<j:Result deliveryId={quoteattr(result.delivery_id)} duplicate="{duplicate}"><r:IdentityUpdateResult>'
        f"<r:request_control_number>{escape(result.control_number)}</r:request_control_number><r:outcome>{outcome}</r:outcome>{error}"
        "</r:IdentityUpdateResult></j:Result>"
    )


def build_answer(relates_to: str, results: Iterable[Result], validate: Validator, sign: Signer | None = None) -> Answer:
    """The answer to a call, validated as the bytes that will be sent, and signed.

    :raises message_formats.errors.FormatError: the simulator itself is wrong.
    """
    text = "".join([_head(ANSWER_ACTION, relates_to), _OPEN, *[_result(result) for result in results], _CLOSE, _TAIL])
    body = text.encode()
    answer = etree.fromstring(body, _PARSER)
    validate(answer[1][0])
    return Answer(status=200, content_type=CONTENT_TYPE, body=sign(answer) if sign is not None else body)


def build_fault(relates_to: str, whose: Whose, code: str, sign: Signer | None = None) -> Answer:
    """A SOAP fault with the profile's detail; HTTP 500, as SOAP 1.1 wants."""
    text = (
        f"{_head(FAULT_ACTION, relates_to)}<soap:Fault><faultcode>soap:{whose}</faultcode><faultstring>{escape(code)}</faultstring>"
        f'<detail><j:Fault xmlns:j="{PROFILE}" code={quoteattr(code)}/></detail></soap:Fault>{_TAIL}'
    )
    return Answer(status=500, content_type=CONTENT_TYPE, body=_finished(text, sign))


def build_other_schema(relates_to: str, sign: Signer | None = None) -> Answer:
    """Well-formed SOAP that answers another question."""
    text = f'{_head(ANSWER_ACTION, relates_to)}<x:WeatherReport xmlns:x="urn:example:weather"><x:Sky>clear</x:Sky></x:WeatherReport>{_TAIL}'
    return Answer(status=200, content_type=CONTENT_TYPE, body=_finished(text, sign))


def _finished(text: str, sign: Signer | None) -> bytes:
    body = text.encode()
    return sign(etree.fromstring(body, _PARSER)) if sign is not None else body
