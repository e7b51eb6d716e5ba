"""The catalogue of message types: packaged data (``data/types``), one file for each type, and its typed reader.

The types are those of the specification (65, of which the gateway carries 57) and ``resident-protection-mark``, which we add.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from message_formats import _packaged
from message_formats.errors import FormatError

NAMESPACE_PREFIX = "urn:renkei:format:"

IndividualNumberRule = Literal["yes", "no", "forbidden", "conditional"]
Lane = Literal["live", "bulk"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One item of a message, or a group of items.

    :ivar id: the specification's id; the name of the element.
    :ivar type: kind of value with its parameter: ``text 200``, ``code sex``, ``group``; see :mod:`message_formats.schema_text`.
    :ivar number: place in the printed layout, where the assessment prints one.
    :ivar repeats: the most times that it may appear in a row.
    :ivar ours: not in the assessment: added by this project, to bind the message to its subject or request.
    :ivar items: what a group holds.
    """

    id: str
    name_ja: str
    name_en: str
    type: str
    required: bool
    number: int | None = None
    repeats: int = 1
    note: str = ""
    ours: bool = False
    items: tuple[Item, ...] = ()

    @property
    def kind(self) -> str:
        """The type without its parameter."""
        return self.type.partition(" ")[0]

    @property
    def parameter(self) -> str:
        """The parameter of the type, or an empty string."""
        return self.type.partition(" ")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageType:
    """One message type of the catalogue.

    :ivar schema: the namespace of its XML, which names type and version.
    :ivar individual_number: ``yes``, ``no``, ``forbidden`` (a carrier is a defect) or ``conditional`` (only towards approved recipients).
    :ivar confidentiality: ``spi``, ``spi-ephemeral``, ``personal``, ``secret`` or ``operational``.
    :ivar bears_update_number: it carries a number that the party counts (更新順番号), so it can be replaced but never just skipped (R4).
    :ivar key_item: the item that says who the message is about; None where nobody is named.
    :ivar party_key_item: the item by which the party recognises a repetition (依頼管理番号).
    """

    name: str
    name_ja: str
    name_en: str
    version: int
    schema: str
    root: str
    producers: tuple[str, ...]
    consumers: tuple[str, ...]
    direction: str
    carried: bool
    lane: Lane
    key_item: str | None
    party_key_item: str | None
    reply: str | None
    bears_update_number: bool
    individual_number: IndividualNumberRule
    confidentiality: str
    retention_en: str
    retention_ja: str
    flows: tuple[str, ...]
    named_in_document: bool
    source: str
    items: tuple[Item, ...]
    rules: tuple[str, ...]

    @property
    def tag(self) -> str:
        """The name of the root element in Clark notation."""
        return f"{{{self.schema}}}{self.root}"


def root_name(name: str) -> str:
    """``identity-information-update`` → ``IdentityInformationUpdate``."""
    return "".join(part.capitalize() for part in name.split("-"))


@functools.cache
def names() -> tuple[str, ...]:
    """The names of all message types, sorted."""
    return _packaged.names("data", ".yaml", "types")


@functools.cache
def get(name: str) -> MessageType:
    """The message type of that name.

    :raises FormatError: ``unknown-type``; the name is given back only where it resembles one of ours.
    """
    if name not in names():
        near = difflib.get_close_matches(name, names(), 1)
        raise FormatError("unknown-type", "-", "catalogue", "no such message type" + (f"; did you mean {near[0]}?" if near else ""))
    return _message_type(_packaged.load_yaml("data", "types", f"{name}.yaml"))


def all_types() -> tuple[MessageType, ...]:
    """Every message type, by name."""
    return tuple(get(name) for name in names())


@functools.cache
def by_tag() -> Mapping[str, str]:
    """Root elements in Clark notation → names of types. Computed from the names and versions alone, without loading the types."""
    versions: dict[str, int] = _packaged.load_yaml("data", "versions.yaml") or {}
    return {f"{{{NAMESPACE_PREFIX}{name}:{versions.get(name, 1)}}}{root_name(name)}": name for name in names()}


@functools.cache
def flows() -> Mapping[str, tuple[str, str]]:
    """The flows of the assessment in its order: id → titles in English and Japanese."""
    return {flow: (titles["en"], titles["ja"]) for flow, titles in _packaged.load_yaml("data", "flows.yaml").items()}


@functools.cache
def _groups() -> Mapping[str, list[dict[str, Any]]]:
    loaded: Mapping[str, list[dict[str, Any]]] = _packaged.load_yaml("data", "groups.yaml")
    return loaded


def _message_type(raw: dict[str, Any]) -> MessageType:
    return MessageType(
        name=raw["name"],
        name_ja=raw["name_ja"],
        name_en=raw["name_en"],
        version=raw["version"],
        schema=f"{NAMESPACE_PREFIX}{raw['name']}:{raw['version']}",
        root=root_name(raw["name"]),
        producers=tuple(raw["producers"]),
        consumers=tuple(raw["consumers"]),
        direction=raw["direction"],
        carried=raw["carried"],
        lane=raw["lane"],
        key_item=raw["key_item"],
        party_key_item=raw["party_key_item"],
        reply=raw["reply"],
        bears_update_number=raw["bears_update_number"],
        individual_number=raw["individual_number"],
        confidentiality=raw["confidentiality"],
        retention_en=raw["retention"]["en"],
        retention_ja=raw["retention"]["ja"],
        flows=tuple(raw["flows"]),
        named_in_document=raw["named_in_document"],
        source=raw["source"],
        items=tuple(_item(item) for item in raw["items"]),
        rules=tuple(raw.get("rules", ())),
    )


def _item(raw: dict[str, Any]) -> Item:
    group = raw["type"].partition(" ")
    members = raw.get("items") or (_groups()[group[2]] if group[0] == "group" else [])
    return Item(
        id=raw["id"],
        name_ja=raw["ja"],
        name_en=raw.get("en") or raw["id"].replace("_", " "),
        type=raw["type"],
        required=raw.get("required", True),
        number=raw.get("n"),
        repeats=raw.get("repeats", 1),
        note=raw.get("note", ""),
        ours=raw.get("ours", False),
        items=tuple(_item(member) for member in members),
    )
