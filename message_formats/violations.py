"""From libxml2's schema errors, whose texts hold values, to a :class:`FormatError` which does not.

Only closed facts are kept: the type of the violation, the facet, and the path, in which names appear only where the catalogue's
schemas know them (a sender may put a name or a number into the name of an element).
"""

from __future__ import annotations

import functools
import re
from typing import Any

from lxml import etree

from message_formats import _packaged, catalogue
from message_formats.catalogue import Item, MessageType
from message_formats.errors import FormatError

_CONTENT = "xsd:content"

_STEP = re.compile(r"/(?:(?P<any>\*)|(?P<name>[^/\[]+))(?:\[(?P<place>[0-9]+)\])?")

_NAMED = re.compile(r'<xs:(?:element|attribute) name="([A-Za-z0-9_]+)"')

_FACETS: dict[str, tuple[str, str]] = {
    "SCHEMAV_CVC_PATTERN_VALID": ("value-pattern", "the value does not have the form of its type"),
    "SCHEMAV_CVC_MAXLENGTH_VALID": ("value-length", "the value is longer than allowed"),
    "SCHEMAV_CVC_LENGTH_VALID": ("value-length", "the value does not have the exact length of its type"),
    "SCHEMAV_CVC_MINLENGTH_VALID": ("value-empty", "the item has no content; leave out what does not apply"),
    "SCHEMAV_CVC_ENUMERATION_VALID": ("value-pattern", "the value is none of those allowed"),
    "SCHEMAV_CVC_MININCLUSIVE_VALID": ("number-range", "the number is too small"),
    "SCHEMAV_CVC_MAXINCLUSIVE_VALID": ("number-range", "the number is too large"),
    "SCHEMAV_CVC_DATATYPE_VALID_1_2_1": ("value-pattern", "the value does not have the form of its type"),
    "SCHEMAV_CVC_COMPLEX_TYPE_3_2_1": ("attribute-unexpected", "an attribute that this place does not allow"),
    "SCHEMAV_CVC_COMPLEX_TYPE_3_2_2": ("attribute-unexpected", "an attribute that this place does not allow"),
    "SCHEMAV_CVC_COMPLEX_TYPE_4": ("item-missing", "a required attribute is missing"),
    "SCHEMAV_CVC_TYPE_3_1_1": ("attribute-unexpected", "an attribute that this place does not allow"),
    "SCHEMAV_CVC_TYPE_3_1_2": ("item-unexpected", "an element where only a value may stand"),
    "SCHEMAV_CVC_COMPLEX_TYPE_2_1": ("item-unexpected", "content where none may stand"),
    "SCHEMAV_CVC_COMPLEX_TYPE_2_2": ("item-unexpected", "an element where only a value may stand"),
    "SCHEMAV_CVC_COMPLEX_TYPE_2_3": ("item-unexpected", "text between the items"),
    "SCHEMAV_CVC_ELT_1": ("unknown-type", "the root element is none of the schema's"),
    "SCHEMAV_CVC_ELT_3_1": ("attribute-unexpected", "an attribute that this place does not allow"),
    "SCHEMAV_CVC_IDC": ("rule-violated", "a value that must be unique appears twice"),
}


@functools.cache
def known_names() -> frozenset[str]:
    """Names of elements and attributes that may be repeated in an error, because they are ours."""
    names: set[str] = {"text"}
    for name in catalogue.names():
        names.add(catalogue.root_name(name))
    for folder in ("xsd", "wsdl"):
        for file in _packaged.names(folder, ".xsd"):
            names |= set(_NAMED.findall(_packaged.read_bytes(folder, f"{file}.xsd").decode()))
    return frozenset(names)


def safe_name(tag: object) -> str:
    """The local name of an element where it is one of ours, otherwise ``*``."""
    local = tag.rpartition("}")[2] if isinstance(tag, str) else "*"
    return local if local in known_names() else "*"


def place_of(element: etree._Element, root: etree._Element | None = None) -> str:
    """The path of an element below ``root``: known names, with a position where several of that name stand side by side."""
    steps: list[str] = []
    current: etree._Element | None = element
    while current is not None:
        parent = None if current is root else current.getparent()
        step = safe_name(current.tag)
        if parent is not None:
            position = 1 + sum(1 for before in current.itersiblings(preceding=True) if step == "*" or before.tag == current.tag)
            several = position > 1 or step == "*" or any(after.tag == current.tag for after in current.itersiblings())
            step += f"[{position}]" if several else ""
        steps.append(step)
        current = parent
    return "/" + "/".join(reversed(steps))


def _find(root: etree._Element, path: str) -> etree._Element:
    """The element at libxml2's path (``/*/*[3]``), as far as it can be followed."""
    current = root
    for step in list(_STEP.finditer(path))[1:]:
        wanted = int(step["place"] or 1)
        children = [child for child in current if step["any"] or _path_name(child) == step["name"]]
        if wanted > len(children):
            break
        current = children[wanted - 1]
    return current


def _path_name(element: etree._Element) -> str:
    """How libxml2 writes an element in a path: with its prefix."""
    local = str(element.tag).rpartition("}")[2]
    return f"{element.prefix}:{local}" if element.prefix else local


def violation(log: Any, root: etree._Element, message_type: MessageType | None = None) -> FormatError:
    """The first violation in a schema's error log.

    :param message_type: the type of ``root``; with it, a missing item is told from one that does not belong there.
    """
    entry: etree._LogEntry = next(iter(log))
    kind = entry.type_name
    element = _find(root, entry.path or "")
    if kind == "SCHEMAV_ELEMENT_CONTENT":
        return _content_error(element, root, entry.message, message_type)
    code, text = _FACETS.get(kind, ("value-pattern", "the value does not have the form of its type"))
    return FormatError(code, place_of(element, root), f"xsd:{kind.removeprefix('SCHEMAV_').lower().replace('_', '-')}", text)


def _content_error(element: etree._Element, root: etree._Element, message: str, message_type: MessageType | None) -> FormatError:
    parent = element if "Missing child" in message else element.getparent()
    if message_type is not None and parent is not None:
        items = _items_of(parent, message_type)
        if items is not None:
            found = _sequence_error(parent, root, items, message_type.schema)
            if found is not None:
                return found
    if "Missing child" in message:
        return FormatError("item-missing", place_of(element, root), _CONTENT, "a required item is missing at the end of this element")
    return FormatError("item-unexpected", place_of(element, root), _CONTENT, "an item that this place does not allow, or not in its place")


def _items_of(parent: etree._Element, message_type: MessageType) -> tuple[Item, ...] | None:
    """The items that the catalogue has for the inside of an element of the message."""
    steps: list[str] = []
    current = parent
    while current.tag != message_type.tag:
        steps.append(str(current.tag).rpartition("}")[2])
        above = current.getparent()
        if above is None:
            return None
        current = above
    items = message_type.items
    for step in reversed(steps):
        below = next((item.items for item in items if item.id == step), None)
        if below is None:
            return None
        items = below
    return items


def _sequence_error(parent: etree._Element, root: etree._Element, items: tuple[Item, ...], schema: str) -> FormatError | None:
    order = {f"{{{schema}}}{item.id}": place for place, item in enumerate(items)}
    present = [child.tag for child in parent]
    position, seen = 0, 0
    for child in parent:
        place = order.get(child.tag)
        if place is None or place < position:
            return FormatError(
                "item-unexpected", place_of(child, root), _CONTENT, "an item that this place does not allow, or not in its place"
            )
        seen = seen + 1 if place == position and seen else 1
        if seen > items[place].repeats:
            return FormatError("item-unexpected", place_of(child, root), _CONTENT, "an item more often than allowed")
        missing = _first_missing(items, order, present, position, place)
        if missing is not None:
            return FormatError("item-missing", f"{place_of(parent, root)}/{missing}", _CONTENT, "a required item is missing")
        position = place
    missing = _first_missing(items, order, present, position, len(items))
    if missing is not None:
        return FormatError("item-missing", f"{place_of(parent, root)}/{missing}", _CONTENT, "a required item is missing")
    return None


def _first_missing(items: tuple[Item, ...], order: dict[str, int], present: list[str], start: int, end: int) -> str | None:
    there = {order[tag] for tag in present if isinstance(tag, str) and tag in order}
    return next((items[place].id for place in range(start, end) if items[place].required and place not in there), None)
