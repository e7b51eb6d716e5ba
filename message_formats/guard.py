"""The content guard: what looks like an Individual Number where none may stand.

It looks at free text and attributes, never at declared identifiers: exact runs of 12 digits, or three groups of four with one kind of
separator, half- or full-width, whose check digit fits. About one random run in ten fits, so a finding is a suspicion: the message is
quarantined and a person decides (評価書 Ⅲ; architecture section 10, 4).

:func:`check` is for the doors and holds for the types that must not bear the number (catalogue: ``forbidden`` and ``no``);
:func:`suspicions` looks at any message.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass

from message_formats import catalogue
from message_formats.catalogue import Item, MessageType
from message_formats.errors import FormatError
from message_formats.identifiers import IndividualNumber
from message_formats.message import Message

_DIGIT = "0-9０-９"
_SEPARATOR = "[ \u3000\\-‐‑‒–—―−－ー・.．_/／]"
_RUN = re.compile(
    rf"(?<![{_DIGIT}])(?:[{_DIGIT}]{{12}}|[{_DIGIT}]{{4}}(?P<separator>{_SEPARATOR})[{_DIGIT}]{{4}}(?P=separator)[{_DIGIT}]{{4}})(?![{_DIGIT}])"
)
_PLAIN = str.maketrans("０１２３４５６７８９", "0123456789")
_SHORTEST = 12
_NOT_DIGIT = re.compile("[^0-9]")

FREE = frozenset({"text", "prose", "kana", "relationship", "token"})
"""Kinds of items that are free text; all others are declared identifiers, codes, dates or numbers."""
NUMBERS_OF_OTHERS = frozenset({"token"})
"""Of these, what holds control numbers and numbers of other offices: in a type for which the number is merely not named (``no``) they are
not looked at, or every tenth insurance number of 12 digits would end in quarantine. In a type that forbids it they are."""


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


def applies(message_type: MessageType) -> bool:
    """Whether the type must not bear an Individual Number."""
    return message_type.individual_number in ("forbidden", "no")


def check(message: Message) -> None:
    """The guard at a door, for a type to which it :func:`applies`. A few microseconds.

    :raises FormatError: ``number-suspected``, naming the first place.
    """
    for suspicion in suspicions(message):
        raise refusal(suspicion)


def refusal(suspicion: Suspicion) -> FormatError:
    """The error that says where the guard found something."""
    detail = "text that passes for an Individual Number, which may not stand here; kept in quarantine until a person has looked at it"
    return FormatError("number-suspected", suspicion.place, "content-guard", detail)


def suspicions(message: Message) -> tuple[Suspicion, ...]:
    """Everything in a message that passes for an Individual Number in free text or in the wording of a date."""
    free = _free_items(message.type_name)
    root = catalogue.root_name(message.type_name)
    found = []
    for key, value in message.items.items():
        if value is None or len(value) < _SHORTEST:
            continue
        name, _, attribute = key.rpartition("/")[2].partition("@")
        if not attribute and name.partition("[")[0] not in free:
            continue
        grouped = looks_like_number(value)
        if grouped is not None:
            found.append(Suspicion(place=f"/{root}/{key.replace('@', '/@')}", grouped=grouped))
    return tuple(found)


@functools.cache
def _free_items(name: str) -> frozenset[str]:
    """Items of a type, at any depth, whose values are free text (an id that is free text in one group and an identifier in another counts
    as free text)."""
    message_type = catalogue.get(name)
    kinds = FREE - NUMBERS_OF_OTHERS if message_type.individual_number == "no" else FREE

    def walk(items: tuple[Item, ...]) -> Iterator[str]:
        for item in items:
            if item.items:
                yield from walk(item.items)
            elif item.kind in kinds:
                yield item.id

    return frozenset(walk(message_type.items))
