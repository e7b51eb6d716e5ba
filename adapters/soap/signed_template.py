"""Signed requests for the way of every message: the compiled template, with the canonical form of every part beside it.

The parts that never change are digested once; of the others the canonical form is joined like the request itself, so that a signed request
costs one digest of the Body and one signature more than an unsigned one. The tests hold it against libxml2's canonicalisation and xmlsec.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lxml import etree

from adapters.soap.operation import Operation, to_bytes
from adapters.soap.template import MARK_CONTENT, MARK_MESSAGE, RecordsTemplate, checked, cut, cut_records, marked_envelope
from gateway.security.soap import names as n
from gateway.security.soap.messages import MessageSecurity
from gateway.security.soap.signing import canonical, digest, identified

_MARK_SECURITY = "mark-security"


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedRecord:
    """A record to send: its id, its element as bytes, that element's canonical form, and its further attributes."""

    identifier: str
    element: bytes
    canonical: bytes
    attributes: bytes = b""
    """As :func:`~adapters.soap.template.attributes_of` writes them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedRecordsTemplate:
    """Like :class:`~adapters.soap.template.RecordsTemplate`, for requests that are signed."""

    wire: RecordsTemplate
    before_security: bytes
    """Of ``wire.middle``, up to the Security header."""
    after_security: bytes
    body: RecordsTemplate
    """The Body in canonical form; its head is empty."""
    message_id: tuple[bytes, bytes, bytes]
    """Identifier of wsa:MessageID, and its canonical form before and after the value."""
    others: tuple[tuple[bytes, bytes], ...]
    """The headers that never change: identifier and digest."""
    body_id: bytes
    namespaces: tuple[bytes, ...]
    """Those that the envelope declares around a record."""

    def build(self, message_id: str, records: Sequence[SignedRecord], security: MessageSecurity) -> bytes:
        """The signed request.

        :raises ValueError: an id has characters that it must not have.
        """
        identifier = checked(message_id)
        wire: list[bytes] = []
        body: list[bytes] = []
        for record in records:
            name = checked(record.identifier)
            # ends of an id's quotes and further attributes are the same bytes in both
            more = self.wire.record_attributes + record.attributes
            wire += (self.wire.record_open, name, more, self.wire.record_body, record.element, self.wire.record_close)
            body += (self.body.record_open, name, more, self.body.record_body, record.canonical, self.body.record_close)
        content = b"".join(wire)
        form = b"".join((self.body.middle, *body, self.body.tail))
        if any(uri in record.canonical for record in records for uri in self.namespaces):
            # a namespace of the envelope used inside a record might be declared there only when it stands alone: ask libxml2
            whole = b"".join((self.wire.head, identifier, self.before_security, self.after_security, content, self.wire.tail))
            form = canonical(etree.fromstring(whole)[1])
        own, before, after = self.message_id
        parts = [*self.others, (own, digest(b"".join((before, identifier, after)))), (self.body_id, digest(form))]
        head = (self.wire.head, identifier, self.before_security, security.header(parts), self.after_security)
        return b"".join((*head, content, self.wire.tail))


def compile_signed_records(
    operation: Operation, *, to: str, record: str, identifier: str, element: str, many: bool = True, filled: Iterable[str] = ()
) -> SignedRecordsTemplate:
    """The signed counterpart of :func:`adapters.soap.template.compile_records`."""
    envelope = marked_envelope(operation, to=to, record=record, identifier=identifier, element=element, many=many, filled=filled)
    header, body = envelope[0], envelope[1]
    parts = dict(identified(header, body))
    etree.cleanup_namespaces(envelope, top_nsmap={"wsu": n.WSU})
    forms = {name: canonical(each) for name, each in parts.items()}
    header[-1].tail = _MARK_SECURITY
    wire = cut_records(to_bytes(envelope))
    before, after = cut(wire.middle, _MARK_SECURITY)
    [own] = [name for name, form in forms.items() if MARK_MESSAGE.encode() in form]
    [body_id] = [name for name, form in forms.items() if MARK_CONTENT.encode() in form]
    others = tuple((name.encode(), digest(form)) for name, form in forms.items() if name not in (own, body_id))
    around = {uri for each in body.iter() for uri in each.nsmap.values()}
    return SignedRecordsTemplate(
        wire=wire,
        before_security=before,
        after_security=after,
        body=cut_records(MARK_MESSAGE.encode() + forms[body_id]),
        message_id=(own.encode(), *cut(forms[own], MARK_MESSAGE)),
        others=others,
        body_id=body_id.encode(),
        namespaces=tuple(sorted(uri.encode() for uri in around)),
    )
