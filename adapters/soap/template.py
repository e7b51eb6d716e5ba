"""Envelopes for the way of every message: what zeep builds, cut at the places that differ from call to call.

A template is compiled once from an envelope that zeep made with marks in it. Building a request then is joining bytes, and the element
of a record goes in exactly as it came: not one byte of it is read and written anew (C-3-5-6 asks that of destination information).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
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
    record_body: bytes
    """From there to its element."""
    record_close: bytes
    tail: bytes

    def build(self, message_id: str, records: Iterable[tuple[str, bytes]]) -> bytes:
        """The request with ``records`` (id, element without declaration), about 2 µs each.

        :raises ValueError: an id has characters that it must not have.
        """
        parts = [self.head, checked(message_id), self.middle]
        for record_id, element in records:
            parts += (self.record_open, checked(record_id), self.record_body, element, self.record_close)
        parts.append(self.tail)
        return b"".join(parts)


def compile_records(operation: Operation, *, to: str, record: str, identifier: str, element: str) -> RecordsTemplate:
    """The template of ``operation``, whose request holds ``record`` elements with attribute ``identifier`` and one ``element`` each."""
    return cut_records(to_bytes(marked_envelope(operation, to=to, record=record, identifier=identifier, element=element)))


def marked_envelope(operation: Operation, *, to: str, record: str, identifier: str, element: str) -> etree._Element:
    """What zeep builds for one record, with marks at the places that differ from call to call."""
    argument: dict[str, Any] = {identifier: MARK_RECORD, element: xsd.SkipValue}
    envelope = operation.envelope(message_id=MARK_MESSAGE, to=to, arguments={record: [argument]})
    marked = [each for each in envelope.iter() if each.get(identifier) == MARK_RECORD]
    if len(marked) != 1 or len(marked[0]):
        raise ValueError(f"zeep did not build exactly one empty {record}")
    marked[0].text = MARK_CONTENT
    return envelope


def cut_records(data: bytes) -> RecordsTemplate:
    """A marked message, cut at its marks."""
    head, rest = cut(data, MARK_MESSAGE)
    before, after = cut(rest, MARK_RECORD)
    start = before.rindex(b"<")
    record_body, closing = cut(after, MARK_CONTENT)
    end = closing.index(b">") + 1
    return RecordsTemplate(
        head=head,
        middle=before[:start],
        record_open=before[start:],
        record_body=record_body,
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
