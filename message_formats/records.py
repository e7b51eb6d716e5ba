"""Files of records, read and written by a layout, one record in memory at a time.

Reading gives items, or typed messages through the same schema and rules as XML; each bad record is one :class:`FormatError` with its number
and field, and the records after it are read on.
"""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from typing import BinaryIO, cast

from message_formats import encodings, reading, writing
from message_formats.characters import utf16_units
from message_formats.errors import FormatError
from message_formats.layouts import Field, Layout
from message_formats.message import Message

Items = dict[str, str | None]
LINE_LIMIT = 1 << 20
"""The longest record, in characters."""


def read_messages(
    stream: BinaryIO, layout: Layout, limits: reading.Limits = reading.DEFAULT
) -> Generator[tuple[int, Message | FormatError], None, None]:
    """(number from 1, typed message or the reason why it is refused) for every record of a file. Who stops in between closes it before the
    stream.

    :raises FormatError: where the file as a whole cannot be read on (encoding, quotes that do not close).
    """
    for number, items in read_items(stream, layout):
        if isinstance(items, FormatError):
            yield number, items
            continue
        try:
            yield number, writing.write(layout.message_type.name, items, limits=limits)
        except FormatError as error:
            yield number, _at_record(error, number)


def read_items(stream: BinaryIO, layout: Layout) -> Iterator[tuple[int, Items | FormatError]]:
    """(number from 1, items or error) for every record; items are not yet checked against the type."""
    if layout.form == "csv":
        yield from _read_csv(stream, layout)
    elif layout.in_bytes:
        yield from _read_fixed_bytes(stream, layout)
    else:
        yield from _read_fixed_text(stream, layout)


def _at_record(error: FormatError, number: int) -> FormatError:
    item = error.place.split("/", 2)[2] if error.place.count("/") > 1 else error.place
    return FormatError(error.code, f"record {number} field {item}", error.rule, error.safe_detail)


def _lines(stream: BinaryIO, layout: Layout) -> Iterator[str]:
    """Lines of a text file with their ends, none longer than the limit: an endless line must not fill the memory."""
    buffered = stream if isinstance(stream, io.BufferedReader) else io.BufferedReader(cast("io.RawIOBase", stream))
    encodings.check_mark(buffered.peek(4)[:4], layout.encoding)
    codec = "utf-8-sig" if layout.encoding.name == "UTF-8" else layout.encoding.codec
    text = io.TextIOWrapper(buffered, codec, errors="strict", newline="")
    number = 0
    try:
        while line := text.readline(LINE_LIMIT + 1):
            number += 1
            if len(line) > LINE_LIMIT:
                raise FormatError("too-large", f"line {number}", "limit:line", f"a line of more than {LINE_LIMIT} characters")
            yield line
    except UnicodeError:
        detail = f"bytes that are not {layout.encoding.name}"
        raise FormatError("encoding", f"after line {number}", "encoding", detail) from None
    finally:
        with contextlib.suppress(ValueError):  # a reader that was given up after its stream was closed
            text.detach()  # the stream is the caller's to close
            if buffered is not stream:
                buffered.detach()


def _read_csv(stream: BinaryIO, layout: Layout) -> Iterator[tuple[int, Items | FormatError]]:
    rows = _rows(_lines(stream, layout), layout)
    if layout.header and next(rows, None) != [field.header for field in layout.fields]:
        raise FormatError("layout", "record 0", "csv-header", "the first line does not name the fields of the layout in their order")
    for number, row in enumerate(rows, 1):
        try:
            yield number, _from_row(row, layout, number)
        except FormatError as error:
            yield number, error


def _rows(lines: Iterator[str], layout: Layout) -> Iterator[list[str]]:
    rows = csv.reader(lines, delimiter=layout.delimiter, strict=True)
    try:
        yield from rows
    except csv.Error:
        detail = "quotes that do not close, or a field that is too long"
        raise FormatError("layout", f"line {rows.line_num}", "csv", detail) from None


def _from_row(row: list[str], layout: Layout, number: int) -> Items:
    fields = len(layout.fields)
    if len(row) < fields or (layout.repeat is None and len(row) != fields):
        raise FormatError("layout", f"record {number}", "layout", f"a record has {fields} fields")
    items: Items = {}
    for field, value in zip(layout.fields, row, strict=False):
        _take(items, "", field, value, number)
    if layout.repeat is not None:
        size, rest = len(layout.repeat.fields), row[fields:]
        count = _count(items.get(layout.repeat.count), number, layout.repeat.count)
        if len(rest) != size * count:
            raise FormatError("layout", f"record {number}", "layout", "the record does not have the repetitions that it counts")
        for place in range(count):
            for field, value in zip(layout.repeat.fields, rest[place * size :], strict=False):
                _take(items, f"{layout.repeat.group}[{place + 1}]/", field, value, number)
    return items


def _count(value: str | None, number: int, item: str) -> int:
    if value is None or not value.isascii() or not value.isdigit() or len(value) > 6:
        raise FormatError("value-pattern", f"record {number} field {item}", "form:integer", "not a number")
    return int(value)


def _take(items: Items, prefix: str, field: Field, value: str, number: int) -> None:
    if not field.item or value == "":
        return
    if field.party is not None:
        value = field.party.from_party(field.table, value, f"record {number} field {prefix}{field.item}")
    items[prefix + field.item] = value


def _strip(value: str, field: Field) -> str:
    return value.lstrip(field.pad) if field.align == "right" else value.rstrip(field.pad)


def _fixed_value(value: str, field: Field) -> str:
    """The value without its padding; a number that is all padding zeros is zero."""
    stripped = _strip(value, field)
    return "0" if not stripped and field.pad == "0" and value else stripped


def _read_fixed_bytes(stream: BinaryIO, layout: Layout) -> Iterator[tuple[int, Items | FormatError]]:
    """Lengths in bytes: records are cut first and decoded field by field, so that one broken character spoils one record."""
    separator = layout.separator.encode()
    number = 0
    if layout.repeat is None and not separator:
        while chunk := stream.read(layout.length):
            number += 1
            yield number, _bytes_record(chunk, layout, number)
        return
    while line := stream.readline(4 * LINE_LIMIT):
        number += 1
        if not line.endswith(separator):
            if len(line) >= 4 * LINE_LIMIT:
                raise FormatError("too-large", f"record {number}", "limit:line", f"a record of more than {4 * LINE_LIMIT} bytes")
            if stream.read(1):
                raise FormatError("layout", f"record {number}", "layout", "the record does not end with the separator")
        yield number, _bytes_record(line.removesuffix(separator), layout, number)


def _bytes_record(data: bytes, layout: Layout, number: int) -> Items | FormatError:
    position = 0

    def cut(field: Field) -> str:
        nonlocal position
        piece = data[position : position + field.length]
        position += field.length
        if len(piece) < field.length:
            raise FormatError("layout", f"record {number} field {field.header}", "layout", "the record ends inside this field")
        try:
            return piece.decode(layout.encoding.codec)
        except UnicodeDecodeError:
            detail = f"bytes that are not {layout.encoding.name}, or a character cut in two"
            raise FormatError("encoding", f"record {number} field {field.header}", "encoding", detail) from None

    try:
        items = _fixed_items(cut, layout, number)
        if position != len(data):
            raise FormatError("layout", f"record {number}", "layout", "the record is longer than its layout")
    except FormatError as error:
        return error
    return items


def _read_fixed_text(stream: BinaryIO, layout: Layout) -> Iterator[tuple[int, Items | FormatError]]:
    for number, line in enumerate(_lines(stream, layout), 1):
        yield number, _text_record(line.removesuffix(layout.separator), layout, number)


def _text_record(line: str, layout: Layout, number: int) -> Items | FormatError:
    position = 0

    def cut(field: Field) -> str:
        nonlocal position
        end = position + field.length if field.unit == "characters" else _advance(line, position, field, layout)
        piece = line[position:end]
        if end > len(line) or end < 0:
            raise FormatError(
                "layout", f"record {number} field {field.header}", "layout", "the record does not end this field where it should"
            )
        position = end
        return piece

    try:
        items = _fixed_items(cut, layout, number)
        if position != len(line):
            raise FormatError("layout", f"record {number}", "layout", "the record is longer than its layout")
    except FormatError as error:
        return error
    return items


def _advance(line: str, position: int, field: Field, layout: Layout) -> int:
    """Where a field ends whose length counts UTF-16 units or bytes; -1 where a character would be cut in two."""
    left = field.length
    while left > 0 and position < len(line):
        left -= _measure(line[position], field, layout)
        position += 1
    return position if left == 0 else -1


def _measure(text: str, field: Field, layout: Layout) -> int:
    if field.unit == "characters":
        return len(text)
    if field.unit == "utf16-units":
        return utf16_units(text)
    return len(text.encode("utf-16-le" if layout.encoding.name == "UTF-16" else layout.encoding.codec))


def _fixed_items(cut: Callable[[Field], str], layout: Layout, number: int) -> Items:
    items: Items = {}
    for field in layout.fields:
        _take(items, "", field, _fixed_value(cut(field), field), number)
    if layout.repeat is not None:
        for place in range(_count(items.get(layout.repeat.count), number, layout.repeat.count)):
            for field in layout.repeat.fields:
                _take(items, f"{layout.repeat.group}[{place + 1}]/", field, _fixed_value(cut(field), field), number)
    return items


def write_records(records: Iterable[Mapping[str, str | None]], layout: Layout, stream: BinaryIO) -> int:
    """Write records (items, as :attr:`Message.items`) by a layout; returns how many.

    :raises FormatError: ``layout`` for an item without a field or a value that its field would not give back, ``value-length`` for one that
        is too long, ``lossy`` for a character that the encoding does not hold.
    """
    if layout.encoding.name == "UTF-16":
        stream.write(b"\xff\xfe")
    if layout.header and layout.form == "csv":
        stream.write(_csv_line([field.header for field in layout.fields], layout, 0))
    number = 0
    for number, items in enumerate(records, 1):
        pieces = _pieces({key: value for key, value in items.items() if value is not None}, layout, number)
        if layout.form == "csv":
            stream.write(_csv_line([value for _, value in pieces], layout, number, (field for field, _ in pieces)))
        else:
            stream.write(
                b"".join(_padded(field, value, layout, number) for field, value in pieces) + _encoded(layout.separator, layout, number)
            )
    return number


def _encoded(text: str, layout: Layout, number: int, field: str = "") -> bytes:
    codec = "utf-16-le" if layout.encoding.name == "UTF-16" else layout.encoding.codec
    if encodings.first_lost(text, codec) is not None:
        place = f"record {number}" + (f" field {field}" if field else "")
        raise FormatError("lossy", place, "encoding", f"{layout.encoding.name} does not hold a character; substitution was not asked for")
    return text.encode(codec)


def _pieces(values: dict[str, str], layout: Layout, number: int) -> list[tuple[Field, str]]:
    pieces = [(field, _give(values, "", field, number)) for field in layout.fields]
    if layout.repeat is not None:
        count = _count({field.item: value for field, value in pieces}.get(layout.repeat.count), number, layout.repeat.count)
        for place in range(count):
            prefix = f"{layout.repeat.group}[{place + 1}]/"
            pieces += [(field, _give(values, prefix, field, number)) for field in layout.repeat.fields]
    if values:
        raise FormatError("layout", f"record {number}", "layout", "the record has an item for which the layout has no field")
    return pieces


def _give(values: dict[str, str], prefix: str, field: Field, number: int) -> str:
    value = values.pop(prefix + field.item, "") if field.item else ""
    if value and field.party is not None:
        return field.party.to_party(field.table, value, f"record {number} field {prefix}{field.item}")
    return value


def _padded(field: Field, value: str, layout: Layout, number: int) -> bytes:
    place = f"record {number} field {field.header}"
    _encoded(value, layout, number, field.header)  # what cannot be encoded has no length in bytes
    left = field.length - _measure(value, field, layout)
    size = _measure(field.pad, field, layout)
    if left < 0:
        raise FormatError("value-length", place, "layout", "the value is longer than its field")
    if left % size:
        raise FormatError("layout", place, "layout", "the padding does not fill the field exactly")
    padding = field.pad * (left // size)
    text = padding + value if field.align == "right" else value + padding
    if "\r" in value or "\n" in value or _fixed_value(text, field) != value:
        raise FormatError("layout", place, "layout", "a value that its field would not give back")
    return _encoded(text, layout, number, field.header)


def _csv_line(row: list[str], layout: Layout, number: int, fields: Iterable[Field] = ()) -> bytes:
    out = io.StringIO()
    csv.writer(out, delimiter=layout.delimiter, lineterminator=layout.separator or "\r\n").writerow(row)
    try:
        return _encoded(out.getvalue(), layout, number)
    except FormatError:
        for field, value in zip(fields, row, strict=False):
            _encoded(value, layout, number, field.header)  # says which field it is
        raise
