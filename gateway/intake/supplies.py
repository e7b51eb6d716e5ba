"""What one of our systems may hand in of a message it is permitted: items by supplying department, and values by preset mapping.

Several departments may stand behind one system of the specification (the sources of the administrative columns): each has a certificate of
its own and hands in the items that it has permitted for linking, and no others (C-1-2-2). Which values an item may have may be preset too
(the business systems of which the atena system takes numbers, FS5-4). Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gateway.errors import InputRefused
from gateway.policy.items import present
from message_formats.message import Message

Presets = Mapping[str, Mapping[str, frozenset[str]]]
"""Message type → path of an item → the values that it may have."""
_PLACE = re.compile(r"\[[0-9]+\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Supplier:
    """One department behind a sending system."""

    name: str
    peer: str
    """The name that its certificate must carry."""
    items: frozenset[str]
    """Paths of items, or of groups that stand for all of theirs."""


def require_supplied(message: Message, suppliers: Iterable[Supplier], name: str | None) -> None:
    """Every item is one that the department permits to be linked; of the system itself (``name`` is None), one that any of them does.

    :raises InputRefused: ``item-not-permitted``, naming the item and never its value.
    """
    allowed = {item for each in suppliers if name in (None, each.name) for item in each.items}
    for path in present(message):
        if not any(path == item or path.startswith(f"{item}/") for item in allowed):
            detail = "the department that hands it in has not permitted this item for linking"
            raise InputRefused("item-not-permitted", detail, place=path, rule="C-1-2-2")


def require_preset(message: Message, presets: Presets) -> None:
    """Every value is one of those that are preset for its item.

    :raises InputRefused: ``not-in-mapping``, naming the item and never its value.
    """
    for path, values in presets.get(message.type_name, {}).items():
        for place, value in message.items.items():
            if value is not None and value not in values and _PLACE.sub("", place) == path:
                raise InputRefused(
                    "not-in-mapping", "this value is none of those that are preset", place=place, rule="intake.systems.*.preset"
                )
