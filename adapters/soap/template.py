"""Envelopes for the way of every message: what zeep builds, cut at the places that differ from call to call.

A template is compiled once from an envelope that zeep made with marks in it. Building a request then is joining bytes, and the element
of a record goes in exactly as it came: not one byte of it is read and written anew (C-3-5-6 asks that of destination information).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lxml import etree
from zeep import xsd

from adapters.soap.operation import Operation, to_bytes

_ID = re.compile(r"[0-9A-Za-z_.:\-]{1,100}")
MARK_MESSAGE, MARK_RECORD, MARK_CONTENT = "urn:uuid:mark-message", "mark-record", "mark-content"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordsTemplate:
    """Requests that hold records, each with an id as attribute and one element inside."""

    head: bytes
    """Up to the message id."""
    middle: bytes
    """From there to the first record."""
    record_open: bytes
    """Up to the id of a record."""
    record_attributes: bytes
    """The quote that ends the id; further attributes of the record follow here."""
    record_body: bytes
    """From there to its element."""
    record_close: bytes
    tail: bytes

    def build(self, message_id: str, records: Iterable[tuple[str, bytes]], attributes: Iterable[bytes] = itertools.repeat(b"")) -> bytes:
        """The request with ``records`` (id, element without declaration), about 2 µs each.

        ``attributes``: for each record what :func:`attributes_of` made of its further attributes.

        :raises ValueError: an id has characters that it must not have.
        """
        parts = [self.head, checked(message_id), self.middle]
        for (record_id, element), more in zip(records, attributes, strict=False):
            parts += (self.record_open, checked(record_id), self.record_attributes, more, self.record_body, element, self.record_close)
        parts.append(self.tail)
        return b"".join(parts)


def attributes_of(values: Mapping[str, str]) -> bytes:
    """Attributes of a record beside its id, in canonical order (C14N 1.0 section 2.2: by name, after ``deliveryId``).

    :raises ValueError: a value has characters that it must not have, or a name would stand before the id.
    """
    if any(name <= "deliveryId" for name in values):
        raise ValueError("an attribute would stand before the id in canonical form")
    return b"".join(b' %b="%b"' % (checked(name), checked(value)) for name, value in sorted(values.items()))


def compile_records(
    operation: Operation, *, to: str, record: str, identifier: str, element: str, many: bool = True, filled: Iterable[str] = ()
) -> RecordsTemplate:
    """The template of ``operation``, whose request holds ``record`` elements with attribute ``identifier`` and one ``element`` each.

    ``many``: it may hold more than one; ``filled``: names of required attributes that each record brings along (64 digits suit them).
    """
    shape = marked_envelope(operation, to=to, record=record, identifier=identifier, element=element, many=many, filled=filled)
    return cut_records(to_bytes(shape))


def marked_envelope(
    operation: Operation, *, to: str, record: str, identifier: str, element: str, many: bool = True, filled: Iterable[str] = ()
) -> etree._Element:
    """What zeep builds for one record, with marks at the places that differ from call to call."""
    filled = tuple(filled)
    argument: dict[str, Any] = {identifier: MARK_RECORD, element: xsd.SkipValue, **dict.fromkeys(filled, "0" * 64)}
    envelope = operation.envelope(message_id=MARK_MESSAGE, to=to, arguments={record: [argument] if many else argument})
    marked = [each for each in envelope.iter() if each.get(identifier) == MARK_RECORD]
    if len(marked) != 1 or len(marked[0]):
        raise ValueError(f"zeep did not build exactly one empty {record}")
    for name in filled:
        del marked[0].attrib[name]
    marked[0].text = MARK_CONTENT
    return envelope


def cut_records(data: bytes) -> RecordsTemplate:
    """A marked message, cut at its marks."""
    head, rest = cut(data, MARK_MESSAGE)
    before, after = cut(rest, MARK_RECORD)
    start = before.rindex(b"<")
    inner, closing = cut(after, MARK_CONTENT)
    end = closing.index(b">") + 1
    if inner[:1] != b'"':
        raise ValueError("a record's id is not in double quotes")
    return RecordsTemplate(
        head=head,
        middle=before[:start],
        record_open=before[start:],
        record_attributes=inner[:1],
        record_body=inner[1:],
        record_close=closing[:end],
        tail=closing[end:],
    )


def cut(data: bytes, mark: str) -> tuple[bytes, bytes]:
    """Before and after a mark that is there exactly once."""
    first, found, second = data.partition(mark.encode())
    if not found or mark.encode() in second:
        raise ValueError("a mark of the template is not there exactly once")
    return first, second


def checked(identifier: str) -> bytes:
    """An identifier as bytes; :raises ValueError: it has characters that it must not have."""
    # an allow-list instead of escaping: nothing that could end an attribute or an element ever comes in
    if not _ID.fullmatch(identifier):
        raise ValueError("an identifier has characters that it must not have")
    return identifier.encode("ascii")
