"""Declarative record layouts for CSV and fixed-length files: a city swaps in the restricted specification by replacing a YAML file.

A layout names a message type, an encoding and its fields in their order. Each field of a fixed-length layout has a length in a unit
of its own: ``characters`` (code points), ``utf16-units`` or ``bytes`` of the layout's encoding. :mod:`message_formats.records` reads
and writes files by it.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from message_formats import _packaged, catalogue, encodings, party_codes
from message_formats.catalogue import Item, MessageType
from message_formats.errors import FormatError
from message_formats.party_codes import PartyCodes

Unit = Literal["characters", "utf16-units", "bytes"]
_UNITS = ("characters", "utf16-units", "bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field of a layout.

    :ivar item: the item (``birth_date``), the wording of an unknown date (``birth_date@text``), or empty for a filler.
    :ivar length: for fixed-length layouts, in ``unit``.
    :ivar pad: what fills the rest; on the right, or on the left where ``align`` is ``right``.
    :ivar party: whose codes it holds, and ``table``: of which code table; where the layout uses the codes of a party.
    """

    item: str
    length: int = 0
    unit: Unit = "characters"
    align: Literal["left", "right"] = "left"
    pad: str = " "
    party: PartyCodes | None = None
    table: str = ""
    header: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeat:
    """Fields that come again for each member of a repeating group, at the end of a record; ``count`` is the item that says how often."""

    group: str
    count: str
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """One layout.

    :ivar form: ``csv`` or ``fixed``.
    :ivar separator: what ends a record: ``\\r\\n``, ``\\n``, or nothing (fixed-length in bytes only).
    :ivar header: whether the first line of a CSV file names the fields.
    :ivar party: whose codes the file holds, instead of ours.
    """

    name: str
    message_type: MessageType
    form: Literal["csv", "fixed"]
    encoding: encodings.Encoding
    separator: str
    fields: tuple[Field, ...]
    repeat: Repeat | None = None
    delimiter: str = ","
    header: bool = False
    party: PartyCodes | None = None
    note: str = ""

    @property
    def in_bytes(self) -> bool:
        """Whether all lengths are in bytes, so that records can be cut without decoding."""
        return all(field.unit == "bytes" for field in self.fields)

    @property
    def length(self) -> int:
        """The sum of the lengths: the length of a record where there is one unit and nothing repeats."""
        return sum(field.length for field in self.fields)


def names() -> tuple[str, ...]:
    """The packaged layouts."""
    return _packaged.names("data", ".yaml", "layouts")


@functools.cache
def get(name: str) -> Layout:
    """A packaged layout.

    :raises FormatError: ``layout`` where there is none of that name.
    """
    if name not in names():
        raise FormatError("layout", "-", "layout", "no such packaged layout")
    return parse(_packaged.read_bytes("data", "layouts", f"{name}.yaml"))


def parse(data: bytes | str, mappings: Iterable[PartyCodes] = ()) -> Layout:
    """A layout in the form of the packaged files.

    :param mappings: code mappings of one's own, used before the packaged ones for the party that the layout names.
    :raises FormatError: ``layout``, saying what is wrong with it; ``encoding`` and ``unknown-type`` where it names what is not there.
    """
    raw = _packaged.parse_yaml(data)
    if not isinstance(raw, dict):
        raise _wrong("-", "a layout is a mapping")
    unknown = set(raw) - {"layout", "type", "form", "encoding", "separator", "delimiter", "header", "fields", "repeat", "party", "note"}
    if unknown:
        raise _wrong("-", "a key that layouts do not have")
    try:
        message_type = catalogue.get(raw["type"])
        form, party = raw["form"], _party(raw.get("party"), mappings)
        coded = _Coded(party, message_type)
        layout = Layout(
            name=raw["layout"],
            message_type=message_type,
            form=form,
            encoding=encodings.get(raw["encoding"]),
            separator={"crlf": "\r\n", "lf": "\n", "none": ""}[raw.get("separator", "crlf")],
            fields=tuple(_field(field, form, coded) for field in raw["fields"]),
            repeat=_repeat(raw.get("repeat"), form, coded),
            delimiter=raw.get("delimiter", ","),
            header=bool(raw.get("header", False)),
            party=party,
            note=raw.get("note", ""),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _wrong("-", "a layout needs layout, type, form, encoding and fields, each field an item and, if fixed, a length") from error
    _check(layout)
    return layout


def _party(name: str | None, mappings: Iterable[PartyCodes]) -> PartyCodes | None:
    if name is None:
        return None
    own = next((mapping for mapping in mappings if mapping.party == name), None)
    if own is None and name not in party_codes.names():
        raise _wrong("-", "there is no code mapping for the party that the layout names")
    return own or party_codes.get(name)


class _Coded:
    """Which items of a type a party's mapping translates."""

    def __init__(self, party: PartyCodes | None, message_type: MessageType) -> None:
        self.party = party
        self.tables: dict[str, str] = {}
        if party is not None:
            known = {path: item.parameter for path, item in _known(message_type.items) if item.kind == "code"}
            self.tables = {path: table for path, table in known.items() if table in party.out}


def _field(raw: dict[str, Any], form: str, coded: _Coded, prefix: str = "") -> Field:
    unknown = set(raw) - {"item", "length", "unit", "align", "pad", "header", "note"}
    if unknown:
        raise _wrong("-", "a key that fields do not have")
    item = raw.get("item") or ""
    table = coded.tables.get(prefix + item, "")
    return Field(
        item=item,
        length=int(raw["length"]) if form == "fixed" else 0,
        unit=raw.get("unit", "characters"),
        align=raw.get("align", "left"),
        pad=raw.get("pad", " "),
        party=coded.party if table else None,
        table=table,
        header=raw.get("header") or item,
        note=raw.get("note", ""),
    )


def _repeat(raw: dict[str, Any] | None, form: str, coded: _Coded) -> Repeat | None:
    if raw is None:
        return None
    fields = tuple(_field(field, form, coded, f"{raw['group']}/") for field in raw["fields"])
    return Repeat(group=raw["group"], count=raw["count"], fields=fields)


def _check(layout: Layout) -> None:
    if layout.form not in ("csv", "fixed"):
        raise _wrong("-", "the form is csv or fixed")
    if layout.form == "csv" and (len(layout.delimiter) != 1 or layout.delimiter in '"\r\n'):
        raise _wrong("-", "the delimiter is one character")
    if layout.form == "fixed" and not layout.separator and not (layout.in_bytes and layout.repeat is None):
        raise _wrong("-", "records without separator need lengths in bytes and nothing that repeats")
    if layout.form == "fixed" and layout.in_bytes and layout.encoding.name == "UTF-16":
        raise _wrong("-", "lengths in bytes need an encoding without byte order mark")
    known = dict(_known(layout.message_type.items))
    for prefix, field in _all_fields(layout):
        _check_field(field, known, prefix)
    needed = {item.id for item in layout.message_type.items if item.required and not item.items}
    if not needed <= {field.item for field in layout.fields}:
        raise _wrong("-", "a required item of the type has no field")


def _check_field(field: Field, known: dict[str, Item], prefix: str) -> None:
    place = f"field {field.header or '(filler)'}"
    item = known.get(prefix + field.item.removesuffix("@text"))
    if field.item and (item is None or (field.item.endswith("@text") and item.kind != "unknown-date")):
        raise _wrong("-", "a field names an item that the type does not have")
    if field.unit not in _UNITS or field.align not in ("left", "right") or len(field.pad) != 1:
        raise _wrong(place, "unit, align or pad is none of those allowed")


def _all_fields(layout: Layout) -> Iterator[tuple[str, Field]]:
    yield from (("", field) for field in layout.fields)
    if layout.repeat is not None:
        yield from ((f"{layout.repeat.group}/", field) for field in layout.repeat.fields)


def _known(items: tuple[Item, ...], prefix: str = "") -> Iterator[tuple[str, Item]]:
    for item in items:
        if item.items:
            yield from _known(item.items, f"{prefix}{item.id}/")
        else:
            yield prefix + item.id, item


def _wrong(place: str, detail: str) -> FormatError:
    return FormatError("layout", place, "layout", detail)
