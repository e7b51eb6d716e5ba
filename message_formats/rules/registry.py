"""The registry of rules and what a rule may look at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from message_formats.errors import FormatError
from message_formats.repertoire import Repertoire, jis_x_0213

Items = Mapping[str, str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a rule may look at.

    :ivar items: item id → value; ``None`` or absent where the message does not have it.
    :ivar root: the name of the root element, for places.
    """

    items: Items
    root: str
    repertoire: Repertoire = jis_x_0213

    def get(self, item: str) -> str | None:
        """The value of an item; None where it is not there."""
        return self.items.get(item)

    def has(self, item: str) -> bool:
        """Whether an item, or anything inside a group of that id, is there."""
        return self.items.get(item) is not None or any(key.startswith((f"{item}/", f"{item}[")) for key in self.items)

    def error(self, code: str, item: str, rule_id: str, detail: str) -> FormatError:
        """The error of a rule at an item."""
        return FormatError(code, self.place(item), rule_id, detail)

    def place(self, item: str) -> str:
        """The place of an item."""
        return f"/{self.root}/{item}"


Rule = Callable[[Context], None]
RULES: dict[str, Rule] = {}


def rule(rule_id: str) -> Callable[[Rule], Rule]:
    """Registers a rule under its id."""

    def register(function: Rule) -> Rule:
        RULES[rule_id] = function
        return function

    return register
