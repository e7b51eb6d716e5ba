"""How the checked XML of a type becomes a typed message: compiled from the catalogue, so that the hot path is a loop and few calls."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Final

from lxml import etree

from message_formats import catalogue, codes, dates, relationships
from message_formats.catalogue import Item, MessageType
from message_formats.errors import FormatError
from message_formats.identifiers import KINDS
from message_formats.message import Message
from message_formats.repertoire import Repertoire
from message_formats.rules import RULES, Context
from message_formats.violations import place_of

Check = Callable[[str, str], None]
"""A check of one value at one place; raises FormatError."""

IDENTIFYING = {
    # the four of the design: what a resident is known by in the register and at its neighbours
    "resident-record-code": "Juki-net: updates, notices, move-in and move-out, destination information",
    "individual-number": "messages that carry it, and code acquisition, which carries nothing else (F6-1)",
    "atena-number": "the in-house links, which know no resident record code",
    "residence-card-number": "the Immigration Bureau, which may know neither of them (F1-6, FS7-2)",
    # and what is the only name of a person in some type: without it those messages would have no order (R1) and no disclosure (開示請求)
    "integrated-atena-number": "the intermediate server: a person's number before the replica (FS6-4)",
    "certificate-serial": "applications and certificates at kiosks, tied to the atena number by the linkage feed (FS10-2, FS1-7)",
    "card-identifier": "Resident Register Cards at kiosks, and card updates (F5-1, F2-8)",
}
"""Kinds of identifiers that name a person to the gateway, and where nothing else would: each becomes a blind index. A processing number
or linkage code does so only as the key of its type, since each is used once, or by one body; domicile and head of a family register only
where a type names nobody otherwise. Names, addresses and birth dates never: they are not identifiers, and people share them."""

FAMILY_REGISTER = "family-register"
"""Kind of the compound key 本籍・筆頭者: domicile and head, joined by U+001F."""
CARD_NUMBER: Final = "residence-card-number"


# Looking for attributes once costs 2 microseconds, looking at every child 4. An XPath object locks itself, so threads may share it.
_has_attributes = etree.XPath("boolean(descendant-or-self::*/@*)")


def _identifier_check(kind: str) -> Check:
    identifier = KINDS[kind]

    def check(value: str, place: str) -> None:
        if not identifier.check(value):
            raise FormatError("check-digit", place, f"check-digit:{kind}", f"the check digit of a {kind} does not fit")

    return check


def _code_check(table_name: str) -> Check:
    known = frozenset(codes.table(table_name).codes)

    def check(value: str, place: str) -> None:
        if value not in known:
            raise FormatError("code-unknown", place, f"code-table:{table_name}", f"the code is not in the table {table_name}")

    return check


def _calendar_check(value: str, place: str) -> None:
    if not dates.is_calendar_day(value[:8]):
        raise FormatError("date-invalid", place, "date-calendar", "not a day of the calendar")


_CHECKED_IDENTIFIERS = frozenset(
    {"resident-record-code", "individual-number", "municipality-code", "corporate-number", "certificate-serial"}
)


def value_check(item: Item) -> Check | None:
    """The check of an item's values beyond what the schema checks; None where the schema says everything."""
    if item.kind in _CHECKED_IDENTIFIERS:
        return _identifier_check(item.kind)
    if item.kind == "code":
        return _code_check(item.parameter)
    if item.kind in ("date", "timestamp"):
        return _calendar_check
    if item.kind == "relationship":
        return relationships.check
    return None


class _Level:
    """The items of the root or of one group."""

    def __init__(self, items: tuple[Item, ...], schema: str) -> None:
        self.ids = {f"{{{schema}}}{item.id}": item.id for item in items}
        self.checks = {item.id: check for item in items if (check := value_check(item)) is not None}
        self.dates = frozenset(item.id for item in items if item.kind == "unknown-date")
        self.groups = {item.id: _Level(item.items, schema) for item in items if item.items}
        self.repeating = frozenset(item.id for item in items if item.repeats > 1)


def _identifying(message_type: MessageType) -> list[tuple[str, str]]:
    """(kind, key in the items) of what names the person whom the message is about, the type's key first; of several persons, the first."""
    group, _, key = (message_type.key_item or "").rpartition("/")
    items, prefix = message_type.items, ""
    if group:
        block = next(item for item in items if item.id == group)
        items, prefix = block.items, f"{group}[1]/" if block.repeats > 1 else f"{group}/"
    wanted = [item for item in items if item.repeats == 1 and (item.kind in IDENTIFYING or item.id == key) and item.kind in KINDS]
    wanted.sort(key=lambda item: item.id != key)
    return [(item.kind, prefix + item.id) for item in wanted] + _card_numbers(items, prefix)


def _card_numbers(items: tuple[Item, ...], prefix: str) -> list[tuple[str, str]]:
    """Residence card numbers among a foreign resident's items: by them the register's messages tie each card, also a renewed one, to its
    holder, and the Immigration Bureau's notices, which name nothing else, find the resident (C-1-2-1)."""
    found: list[tuple[str, str]] = []
    for group in items:
        if group.items and group.repeats == 1:
            inner = f"{prefix}{group.id}/"
            found += [(each.kind, inner + each.id) for each in group.items if each.kind == CARD_NUMBER]
            found += _card_numbers(group.items, inner)
    return found


class Plan:
    """The compiled reading of one type."""

    def __init__(self, message_type: MessageType) -> None:
        self.type_name = message_type.name
        self.version = message_type.version
        self.root = message_type.root
        self.level = _Level(message_type.items, message_type.schema)
        self.flat = not self.level.groups and not self.level.repeating
        self.empty: dict[str, str | None] = dict.fromkeys(item.id for item in message_type.items if item.id not in self.level.groups)
        self.checks = [(item, f"/{message_type.root}/{item}", check) for item, check in self.level.checks.items()]
        self.dates = [(item, f"/{message_type.root}/{item}") for item in self.level.dates]
        self.rules = [RULES[rule_id] for rule_id in message_type.rules]
        self.identifying = _identifying(message_type)
        self.family_register = message_type.key_item == "register_head"
        self.party_key = message_type.party_key_item

    def message(self, root: etree._Element, repertoire: Repertoire) -> Message:
        """The typed message of an element that the schema has accepted.

        :raises FormatError: check digits, codes, dates and rules.
        """
        items = self.empty.copy()
        attributes = bool(_has_attributes(root))
        if attributes:
            _check_attributes(root)
        if self.flat:
            self._flat(root, items, attributes)
        else:
            _collect(root, self.level, "", f"/{self.root}/", items)
        context = Context(items=items, root=self.root, repertoire=repertoire)
        for rule in self.rules:
            rule(context)
        identifiers = tuple([(kind, value) for kind, item in self.identifying if (value := items.get(item)) is not None])
        if self.family_register:
            identifiers = ((FAMILY_REGISTER, f"{items['domicile']}\x1f{items['register_head']}"), *identifiers)
        party_key = items[self.party_key] if self.party_key is not None else None
        return Message(type_name=self.type_name, version=self.version, items=items, identifiers=identifiers, party_key=party_key, root=root)

    def _flat(self, root: etree._Element, items: dict[str, str | None], attributes: bool) -> None:
        """The hot path: no groups, nothing repeats."""
        ids = self.level.ids
        for child in root:
            items[ids[child.tag]] = child.text
        if attributes:
            for child in root.iterchildren():
                text = child.get("text")
                if text is not None:
                    items[f"{ids[child.tag]}@text"] = text
        for item, place, check in self.checks:
            value = items[item]
            if value is not None:
                check(value, place)
        for item, place in self.dates:
            value = items[item]
            if value is not None:
                text = items.get(f"{item}@text")
                if text is not None or not dates.is_calendar_day(value):
                    dates.parse(value, text, place)


def _check_attributes(root: etree._Element) -> None:
    """Refuse what every schema lets pass: ``xsi:type`` (it would choose another type), ``xsi:nil``, ``xsi:schemaLocation``."""
    for element in root.iter():
        for name in element.attrib:
            if name != "text":
                raise FormatError("attribute-unexpected", place_of(element, root), "xsd:xsi", "an attribute that this place does not allow")


def _collect(element: etree._Element, level: _Level, path: str, place: str, items: dict[str, str | None]) -> None:
    """Items of one level and those below it, with positions for what repeats."""
    counts: dict[str, int] = {}
    for child in element:
        item = level.ids[child.tag]
        key = item
        if item in level.repeating:
            counts[item] = counts.get(item, 0) + 1
            key = f"{item}[{counts[item]}]"
            items.pop(item, None)
        group = level.groups.get(item)
        if group is not None:
            _collect(child, group, f"{path}{key}/", f"{place}{key}/", items)
            continue
        value = child.text
        items[path + key] = value
        check = level.checks.get(item)
        if value is not None and check is not None:
            check(value, place + key)
        if value is not None and item in level.dates:
            text = child.get("text")
            if text is not None:
                items[f"{path}{key}@text"] = text
            dates.parse(value, text, place + key)


@functools.cache
def plan(name: str) -> Plan:
    """The compiled reading of a message type."""
    return Plan(catalogue.get(name))
