"""Envelopes for the way of every message: what zeep builds, cut at the places that differ from call to call.

A template is compiled once from an envelope that zeep made with marks in it. Building a request then is joining bytes, and the element
of a record goes in exactly as it came: not one byte of it is read and written anew (C-3-5-6 asks that of destination information).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from zeep import xsd

from adapters.soap.operation import Operation, to_bytes

_ID = re.compile(r"[0-9A-Za-z_.:\-]{1,100}")
_MARK_MESSAGE, _MARK_RECORD, _MARK_CONTENT = "urn:uuid:mark-message", "mark-record", "mark-content"


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
        parts = [self.head, _checked(message_id), self.middle]
        for record_id, element in records:
            parts += (self.record_open, _checked(record_id), self.record_body, element, self.record_close)
        parts.append(self.tail)
        return b"".join(parts)


def compile_records(operation: Operation, *, to: str, record: str, identifier: str, element: str) -> RecordsTemplate:
    """The template of ``operation``, whose request holds ``record`` elements with attribute ``identifier`` and one ``element`` each."""
    argument: dict[str, Any] = {identifier: _MARK_RECORD, element: xsd.SkipValue}
    envelope = operation.envelope(message_id=_MARK_MESSAGE, to=to, arguments={record: [argument]})
    marked = [each for each in envelope.iter() if each.get(identifier) == _MARK_RECORD]
    if len(marked) != 1 or len(marked[0]):
        raise ValueError(f"zeep did not build exactly one empty {record}")
    marked[0].text = _MARK_CONTENT
    data = to_bytes(envelope)
    head, rest = _cut(data, _MARK_MESSAGE.encode())
    before, after = _cut(rest, _MARK_RECORD.encode())
    start = before.rindex(b"<")
    record_body, closing = _cut(after, _MARK_CONTENT.encode())
    end = closing.index(b">") + 1
    return RecordsTemplate(
        head=head,
        middle=before[:start],
        record_open=before[start:],
        record_body=record_body,
        record_close=closing[:end],
        tail=closing[end:],
    )


def _cut(data: bytes, mark: bytes) -> tuple[bytes, bytes]:
    first, found, second = data.partition(mark)
    if not found or mark in second:
        raise ValueError("a mark of the template is not there exactly once")
    return first, second


def _checked(identifier: str) -> bytes:
    # an allow-list instead of escaping: nothing that could end an attribute or an element ever comes in
    if not _ID.fullmatch(identifier):
        raise ValueError("an identifier has characters that it must not have")
    return identifier.encode("ascii")
