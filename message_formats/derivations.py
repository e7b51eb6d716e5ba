"""Messages that are made from another one: packaged data (``data/derivations.yaml``), held against both types when read."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from message_formats import _packaged, catalogue, writing
from message_formats.errors import FormatError
from message_formats.message import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Derivation:
    """How a message of ``target`` is made from one of ``source``.

    :ivar items: item of the target → item of the source; of types without groups and repetitions.
    """

    target: str
    source: str
    items: Mapping[str, str]

    def apply(self, message: Message) -> Message:
        """The derived message, checked like one from outside.

        :raises FormatError: what was made is not valid, or ``message`` is of another type.
        """
        if message.type_name != self.source:
            raise FormatError("unexpected-type", "-", "derivation", f"{self.target} is made from {self.source}")
        made: dict[str, str | None] = {}
        for item, origin in self.items.items():
            made[item] = message.items.get(origin)
            if (wording := message.items.get(f"{origin}@text")) is not None:
                made[f"{item}@text"] = wording
        return writing.write(self.target, made)


@functools.cache
def get(target: str) -> Derivation:
    """The derivation of a message type; KeyError if there is none."""
    return parse(target, _packaged.load_yaml("data", "derivations.yaml")[target])


def parse(target: str, raw: Mapping[str, Any]) -> Derivation:
    """One entry of the packaged form.

    :raises FormatError: ``layout``, where an item is missing, unknown or of another type than its source.
    """
    found = Derivation(target=catalogue.get(target).name, source=catalogue.get(raw["from"]).name, items=dict(raw["items"]))
    of = {name: {item.id: item for item in catalogue.get(name).items} for name in (found.target, found.source)}
    for item in of[found.target].values():
        origin = of[found.source].get(found.items.get(item.id, ""))
        if origin is None and (item.required or item.id in found.items):
            raise FormatError("layout", item.id, "derivation", f"an item of {target} has no source")
        if origin is not None and (origin.type != item.type or (item.required and not origin.required)):
            raise FormatError("layout", item.id, "derivation", f"an item of {target} is of another type than its source")
    if unknown := found.items.keys() - of[found.target].keys():
        raise FormatError("layout", sorted(unknown)[0], "derivation", f"{target} has no such item")
    return found
