"""Logic checks of the city CS (評価書 別添1: フォーマットチェック・論理チェック): what an update may do to the record that is held.

Pure: the record that is held and the update come in, an error code of the table ``juki_cs_error`` or None comes out. Used by registers that
want to know before they send, and by tests; the simulated city CS has its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from message_formats import codes, identity

Items = Mapping[str, str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What a party holds of a resident: the items of the last update, and whether the resident is there."""

    items: Items
    here: bool
    last_sequence: int
    prohibited: bool = False
    locked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why an update has no effect: the code, its symbolic name, and the items at fault (never their values)."""

    code: str
    symbol: str
    items: tuple[str, ...] = ()


def _refusal(symbol: str, *items: str) -> Refusal:
    return Refusal(code=codes.table("juki_cs_error").of(symbol).code, symbol=symbol, items=items)


def judge(update: Items, held: Held | None) -> Refusal | None:
    """Whether an update that is well formed may take effect; None if it may.

    Order of the checks: prohibitions, update order, then what the reason for change demands of the resident.
    """
    if held is not None and held.prohibited:
        return _refusal("UPDATE_PROHIBITED")
    if held is not None and held.locked:
        return _refusal("LOCKED")
    order = _order(update, held.last_sequence if held is not None else 0)
    if order is not None:
        return order
    entry = codes.table("change_reason").get(update["change_reason"] or "")
    here = held is not None and held.here
    if entry.more["group"] == "add":
        return _refusal("ALREADY_RESIDENT", "change_reason") if here else None
    if held is None or not here:
        return _refusal("UNKNOWN_RESIDENT", "resident_record_code")
    if entry.symbol == "MOVE":
        changed = changed_items(update, held.items) - identity.ADDRESS_ITEMS
        if changed:
            return _refusal("MOVE_CHANGES_MORE", *sorted(changed))
    return None


def _order(update: Items, last: int) -> Refusal | None:
    number = int(update["update_sequence_number"] or 0)
    if number <= last:
        return _refusal("SEQUENCE_USED", "update_sequence_number")
    if number > last + 1:
        return _refusal("SEQUENCE_GAP", "update_sequence_number")
    return None


def changed_items(update: Items, held: Items) -> frozenset[str]:
    """The items of a person, not those of the update, whose values differ."""
    keys = (set(update) | set(held)) - identity.METADATA_ITEMS
    return frozenset(key for key in keys if update.get(key) != held.get(key))


def touches_identity(update: Items, held: Items) -> bool:
    """Whether a change touches an identity item at all; one that does not creates no update (評価書 別添1)."""
    return bool(changed_items(update, held))
