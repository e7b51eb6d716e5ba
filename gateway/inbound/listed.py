"""What of a fetched record is taken in: the items of a list, and nothing else (C-1-2-3, F1-6).

Items outside the list are dropped and counted before the record is looked at by its schema, so that a party that says more than it should
does not stop what it should say. One thing is never dropped in silence: what passes for an Individual Number, in whatever item, attribute
or text it stands, or an item of that name, refuses the record (C-1-3-10).
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from lxml import etree

from gateway.errors import InputRefused
from message_formats import catalogue, guard, reading
from message_formats.catalogue import Item
from message_formats.errors import FormatError

SUSPECTED = "number-suspected"
_NAMES = ("individualnumber", "mynumber", "kojinbango", "個人番号", "マイナンバー")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A record with the items of the list only."""

    content: bytes = field(repr=False)
    dropped: int
    """Items that were not on the list."""


@functools.cache
def items_of(message_type: str) -> frozenset[str]:
    """Every item of a type, as ``item`` or ``group/item``."""

    def walk(items: tuple[Item, ...], prefix: str) -> Iterator[str]:
        for item in items:
            if item.items:
                yield from walk(item.items, f"{prefix}{item.id}/")
            else:
                yield prefix + item.id

    return frozenset(walk(catalogue.get(message_type).items, ""))


def only_listed(content: bytes, message_type: str, allowed: Collection[str], *, number_forbidden: bool) -> Listed:
    """Take out of a record what is not on the list.

    :param number_forbidden: the type must not bear an Individual Number: then everything in it is looked at, before anything is dropped.
    :raises InputRefused: it is no XML that is accepted here, is of another type, or holds what passes for an Individual Number.
    """
    try:
        root = reading.parse(content)
    except FormatError as error:
        raise InputRefused(error.code, error.safe_detail, place=error.place, rule=error.rule) from error
    if number_forbidden:
        _require_no_number(root)
    kind = catalogue.get(message_type)
    if root.tag != f"{{{kind.schema}}}{kind.root}":
        raise InputRefused("wrong-root", f"only {message_type} is taken in here", place="/*", rule="routes")
    dropped = _prune(root, "", frozenset(allowed), kind.schema)
    return Listed(content=etree.tostring(root, encoding="UTF-8", xml_declaration=False) if dropped else content, dropped=dropped)


def _prune(element: etree._Element, path: str, allowed: frozenset[str], namespace: str) -> int:
    dropped = 0
    for child in list(element):
        name = etree.QName(child)
        here = f"{path}{name.localname}"
        if name.namespace == namespace and here in allowed:
            continue
        if name.namespace == namespace and any(each.startswith(f"{here}/") for each in allowed):
            dropped += _prune(child, f"{here}/", allowed, namespace)
            if len(child):
                continue
        element.remove(child)
        dropped += 1
    return dropped


def _require_no_number(root: etree._Element) -> None:
    for element in root.iter():
        names = [str(etree.QName(element).localname), *(str(etree.QName(name).localname) for name in element.attrib)]
        if any(mark in name.lower().replace("_", "").replace("-", "") for name in names for mark in _NAMES):
            raise _suspected("an item that is named like the Individual Number")
        texts = [element.text or "", element.tail or "", *(str(value) for value in element.attrib.values())]
        if any(guard.looks_like_number(text) is not None for text in texts if len(text) >= 12):
            raise _suspected("text that passes for an Individual Number")
    # a number that is spread over neighbouring items of one record
    joined = "".join(text for element in root.iter() if len(text := (element.text or "").strip()) in (4, 6) and text.isdigit())
    if guard.looks_like_number(joined) is not None:
        raise _suspected("items that, read together, pass for an Individual Number")


def _suspected(what: str) -> InputRefused:
    return InputRefused(SUSPECTED, f"{what}, which must not come from here; kept until a person has looked at it", rule="content-guard")
