"""The content guard: what looks like an Individual Number where none may stand.

It looks at free text and attributes, never at declared identifiers: exact runs of 12 digits, or three groups of four with one kind of
separator, half- or full-width, whose check digit fits. About one random run in ten fits, so a finding is a suspicion: the message is
quarantined and a person decides (評価書 Ⅲ; architecture section 10, 4).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass

from lxml import etree

from message_formats import catalogue
from message_formats.catalogue import Item
from message_formats.identifiers import IndividualNumber
from message_formats.message import Message

_DIGIT = "0-9０-９"
_SEPARATOR = "[ \u3000\\-‐‑‒–—―−－ー・.．_/／]"
_RUN = re.compile(
    rf"(?<![{_DIGIT}])(?:[{_DIGIT}]{{12}}|[{_DIGIT}]{{4}}(?P<separator>{_SEPARATOR})[{_DIGIT}]{{4}}(?P=separator)[{_DIGIT}]{{4}})(?![{_DIGIT}])"
)
_PLAIN = str.maketrans("０１２３４５６７８９", "0123456789")
_NOT_DIGIT = re.compile("[^0-9]")

FREE = frozenset({"text", "prose", "kana", "token", "relationship"})
"""Kinds of items that are free text; all others are declared identifiers, codes, dates or numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspicion:
    """Where something that passes for an Individual Number stands; never what it is."""

    place: str
    grouped: bool


def looks_like_number(text: str) -> bool | None:
    """None where nothing passes for an Individual Number, otherwise whether what does is written in groups."""
    for found in _RUN.finditer(text):
        digits = _NOT_DIGIT.sub("", found.group().translate(_PLAIN))
        if IndividualNumber.check(digits):
            return found["separator"] is not None
    return None


def suspicions(message: Message) -> tuple[Suspicion, ...]:
    """Everything in a message that passes for an Individual Number in free text or in an attribute."""
    free = _free_items(message.type_name)
    return tuple(_suspicions(message.root, free, f"/{catalogue.root_name(message.type_name)}"))


def _suspicions(element: etree._Element, free: frozenset[str], path: str) -> Iterator[Suspicion]:
    counts: dict[str, int] = {}
    for value in element.attrib.values():
        grouped = looks_like_number(str(value))
        if grouped is not None:
            yield Suspicion(place=f"{path}/@*", grouped=grouped)
    for child in element:
        name = str(child.tag).rpartition("}")[2]
        counts[name] = counts.get(name, 0) + 1
        place = f"{path}/{name}" + (f"[{counts[name]}]" if counts[name] > 1 else "")
        if name in free and child.text:
            grouped = looks_like_number(child.text)
            if grouped is not None:
                yield Suspicion(place=place, grouped=grouped)
        if len(child) or child.attrib:
            yield from _suspicions(child, free, place)


@functools.cache
def _free_items(name: str) -> frozenset[str]:
    """Items of a type, at any depth, whose values are free text (an id that is free text in one group and an identifier in another counts
    as free text)."""

    def walk(items: tuple[Item, ...]) -> Iterator[str]:
        for item in items:
            if item.items:
                yield from walk(item.items)
            elif item.kind in FREE:
                yield item.id

    return frozenset(walk(catalogue.get(name).items))
