"""SOAP 1.1 with WS-Addressing 1.0 of any profile, seen from the party: calls in, answers out. Written by hand on lxml.

Everything is validated against the profile's XSD, what comes and what goes. Refusing a call names a code of the profile and never a value.
"""

from __future__ import annotations

import hashlib
import itertools
import re
import secrets
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit
from xml.sax.saxutils import escape, quoteattr

from lxml import etree

from message_formats import catalogue, profiles, reading
from message_formats.errors import FormatError
from message_formats.profiles import Operation, Profile
from message_formats.schemas import profile_validator
from simulators.misbehaviour import Answer
from simulators.signatures import WSSE, SignatureRefused

SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
WSA = "http://www.w3.org/2005/08/addressing"
ANONYMOUS = f"{WSA}/anonymous"
CONTENT_TYPE = "text/xml; charset=utf-8"

_PARSER = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, recover=False)
_ENVELOPE, _HEADER, _BODY = f"{{{SOAP}}}Envelope", f"{{{SOAP}}}Header", f"{{{SOAP}}}Body"
_SECURITY = f"{{{WSSE}}}Security"
_MUST_UNDERSTAND = f"{{{SOAP}}}mustUnderstand"
_RAW_RECORD = re.compile(rb"<(?:[A-Za-z_][\w.-]*:)?Record(?=[\s>])[^>]*>(.*?)</(?:[A-Za-z_][\w.-]*:)?Record\s*>", re.DOTALL)

Whose = Literal["Client", "Server", "MustUnderstand"]
Validator = Callable[[etree._Element], None]
Verifier = Callable[[etree._Element], bytes | None]
"""Returns the content of the Body if that was encrypted. Raises :class:`SignatureRefused`."""
Signer = Callable[[etree._Element], bytes]


class CallRefused(Exception):
    """The whole call is refused as the caller's fault; nothing had effect."""

    def __init__(self, code: str, message_id: str = "") -> None:
        self.code = code
        self.message_id = message_id
        super().__init__(code)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One record of a call.

    :ivar items: as :attr:`message_formats.message.Message.items`; those that are not there are left out.
    :ivar municipality: whom it is for, where the party relays.
    :ivar wrong: why the record as such cannot be taken: a code.
    :ivar xml: the element as it came, where the party may have to pass it on.
    """

    delivery_id: str
    items: Mapping[str, str] = field(repr=False)
    municipality: str | None = None
    wrong: str | None = None
    xml: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call, complete and valid against the schemas."""

    message_id: str
    operation: Operation
    records: tuple[Record, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The answer to one record.

    :ivar code: why the record was refused; None: it was accepted.
    :ivar content: the element of the answer, where the operation has one; ``r`` is the namespace of its type.
    """

    delivery_id: str
    duplicate: bool = False
    code: str | None = None
    content: str = field(default="", repr=False)


class Envelopes:
    """Calls and answers of one profile, as the party sees them."""

    def __init__(self, profile: Profile, *, quick: frozenset[str] = frozenset()) -> None:
        """``quick``: operations whose records are items without groups, taken as the schema lets them through: the rules that go beyond the
        schema are the party's own there."""
        self.profile = profile
        self.path = urlsplit(profile.address).path
        self.validate = profile_validator(profile)
        self._by_action = {profile.action(each.name): each for each in profile.operations if each.outbound}
        self._request = {each.name: f"{{{profile.namespace}}}{each.name}Request" for each in profile.operations}
        self._quick = {name: len(catalogue.get(profile.operation(name).type).schema) + 2 for name in quick}
        self._fault_action = profile.fault_action
        self._openings = {each.name: _opening(profile, each) for each in profile.operations}

    # ---- calls -----------------------------------------------------------------------------------------------------------------

    def read(self, body: bytes, soap_action: str, verify: Verifier | None = None) -> Call:
        """Read and validate a call. ``verify``: its signature, before anything in it is looked at.

        :raises CallRefused: with the profile's code.
        """
        envelope = _parsed(body)
        if verify is not None:
            try:
                body = verify(envelope) or body
            except SignatureRefused as error:
                raise CallRefused(error.code) from error
        addressing, content = _parts(envelope, signed=verify is not None)
        message_id = addressing.get("MessageID", "")
        if not message_id:
            raise CallRefused("addressing-incomplete")
        action = addressing.get("Action", "")
        operation = self._by_action.get(action)
        if operation is None or soap_action.strip('"') != action:
            raise CallRefused("action-unknown", message_id)
        if addressing.get("ReplyTo", ANONYMOUS) != ANONYMOUS:
            raise CallRefused("reply-to-unsupported", message_id)
        if content.tag != self._request[operation.name]:
            raise CallRefused("operation-unknown", message_id)
        if len(content) > operation.records:
            raise CallRefused("too-many-records", message_id)
        try:
            self.validate(content)
        except FormatError as error:
            raise CallRefused("schema-invalid", message_id) from error
        start = self._quick.get(operation.name)
        if start is not None:
            with_attributes = b"text" in body  # rarely more than a guess, never less
            records = tuple([_quick_record(element, start, with_attributes) for element in content])
        else:
            records = _records(content, operation, body)
        if len({record.delivery_id for record in records}) != len(records):
            raise CallRefused("delivery-id-twice", message_id)
        return Call(message_id=message_id, operation=operation, records=records)

    # ---- answers ---------------------------------------------------------------------------------------------------------------

    def answer(
        self, to: str, operation: Operation, results: Iterable[Result], sign: Signer | None = None, *, checked: bool = True
    ) -> Answer:
        """The answer to a call, validated as the bytes that will be sent, and signed. ``checked``: not for what is wrong on purpose.

        :raises message_formats.errors.FormatError: the simulator itself is wrong.
        """
        action = self.profile.action(operation.name, "Response")
        opening = self._openings[operation.name]
        write = _receipt if operation.answer is None else _answered
        text = "".join([_head(action, to), opening, *[write(result) for result in results], f"</j:{operation.name}Response>", _TAIL])
        body = text.encode()
        answer = etree.fromstring(body, _PARSER)
        if checked:
            self.validate(answer[1][0])
        return Answer(status=200, content_type=CONTENT_TYPE, body=sign(answer) if sign is not None else body)

    def fault(self, to: str, whose: Whose, code: str, sign: Signer | None = None) -> Answer:
        """A SOAP fault with the profile's detail; HTTP 500, as SOAP 1.1 wants."""
        text = (
            f"{_head(self._fault_action, to)}<soap:Fault><faultcode>soap:{whose}</faultcode><faultstring>{escape(code)}</faultstring>"
            f'<detail><j:Fault xmlns:j="{self.profile.namespace}" code={quoteattr(code)}/></detail></soap:Fault>{_TAIL}'
        )
        return Answer(status=500, content_type=CONTENT_TYPE, body=_finished(text, sign))

    def other_schema(self, to: str, operation: Operation, sign: Signer | None = None) -> Answer:
        """Well-formed SOAP that answers another question."""
        report = '<x:WeatherReport xmlns:x="urn:example:weather"><x:Sky>clear</x:Sky></x:WeatherReport>'
        text = f"{_head(self.profile.action(operation.name, 'Response'), to)}{report}{_TAIL}"
        return Answer(status=200, content_type=CONTENT_TYPE, body=_finished(text, sign))


def envelopes(profile: str, *, quick: frozenset[str] = frozenset()) -> Envelopes:
    """Of a packaged profile."""
    return Envelopes(profiles.get(profile), quick=quick)


def _parsed(body: bytes) -> etree._Element:
    # Comments and processing instructions could split a text; in UTF-8, the only encoding of the profiles, they show in the bytes.
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
    return envelope


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


def _quick_record(element: etree._Element, start: int, with_attributes: bool) -> Record:
    """A record; the schema has seen it, so its shape is certain. ``@text``: the wording of a date that is unknown in part."""
    update = element[0]
    items: dict[str, str] = {item.tag[start:]: item.text or "" for item in update}
    if with_attributes:
        for item in update:
            text = item.get("text")
            if text is not None:
                items[f"{item.tag[start:]}@text"] = text
    return Record(delivery_id=element.get("deliveryId", ""), items=items)


def _records(content: etree._Element, operation: Operation, body: bytes) -> tuple[Record, ...]:
    # where a digest goes along, the very bytes count
    raw = _RAW_RECORD.findall(body) if operation.digest else []
    exact = len(raw) == len(content)
    found = []
    for place, element in enumerate(content):
        data = raw[place].strip() if exact else etree.tostring(element[0], method="c14n", exclusive=True)
        digest = element.get("digest") if operation.digest else None
        found.append(read_record(element[0], element.get("deliveryId", ""), operation, data, digest, element.get("municipality")))
    return tuple(found)


def read_record(
    element: etree._Element, delivery_id: str, operation: Operation, data: bytes, digest: str | None, municipality: str | None
) -> Record:
    """One record by every rule of its type. ``data``: its bytes as they came, of which ``digest`` speaks."""
    items: dict[str, str] = {}
    wrong = None
    try:
        message = reading.accept(element, expected=operation.type)
        items = {key: value for key, value in message.items.items() if value is not None}
    except FormatError as error:
        wrong = error.code[:40]
    if digest is not None and hashlib.sha256(data).hexdigest() != digest:
        wrong = wrong or "digest-differs"
    return Record(delivery_id=delivery_id, items=items, municipality=municipality, wrong=wrong, xml=data.decode())


def _opening(profile: Profile, operation: Operation) -> str:
    answer = "" if operation.answer is None else f' xmlns:r="{catalogue.get(operation.answer).schema}"'
    return f'<j:{operation.name}Response xmlns:j="{profile.namespace}"{answer}>'


_XML = f'<?xml version="1.0" encoding="UTF-8"?><soap:Envelope xmlns:soap="{SOAP}" xmlns:wsa="{WSA}"><soap:Header><wsa:Action>'
_TO = f"<wsa:To>{ANONYMOUS}</wsa:To></soap:Header><soap:Body>"
_TAIL = "</soap:Body></soap:Envelope>"
_own_ids = itertools.count(secrets.randbits(40))
_own_prefix = str(uuid.uuid4())[:24]


def _head(action: str, relates_to: str) -> str:
    relates = f"<wsa:RelatesTo>{escape(relates_to)}</wsa:RelatesTo>" if relates_to else ""
    own = f"{_own_prefix}{next(_own_ids):012x}"  # a UUID for each answer; random for each process, counted within
    return f"{_XML}{action}</wsa:Action><wsa:MessageID>urn:uuid:{own}</wsa:MessageID>{relates}{_TO}"


def _receipt(result: Result) -> str:
    outcome = 'outcome="accepted"' if result.code is None else f'outcome="rejected" code={quoteattr(result.code)}'
    duplicate = "true" if result.duplicate else "false"
    return f'<j:Result deliveryId={quoteattr(result.delivery_id)} duplicate="{duplicate}" {outcome}/>'


def _answered(result: Result) -> str:
    duplicate = "true" if result.duplicate else "false"
    return f'<j:Result deliveryId={quoteattr(result.delivery_id)} duplicate="{duplicate}">{result.content}</j:Result>'


def _finished(text: str, sign: Signer | None) -> bytes:
    body = text.encode()
    return sign(etree.fromstring(body, _PARSER)) if sign is not None else body
