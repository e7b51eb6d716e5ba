"""Marks on residents that decide what may leave: support measures (支援措置) and death. Kept in the ledger by subject, without who it is.

The register sets them: ``resident-protection-mark`` says a measure begins or ends; a change by reason of death marks the deceased, whose
destination information is not handed over (C-3-7-4) and who is otherwise protected like the living (C-1-7-6). Pure.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from message_formats import codes
from message_formats.message import Message

PROTECTED = "protected"
DECEASED = "deceased"
Flags = frozenset[str]
NONE: Flags = frozenset()
MARK_TYPE = "resident-protection-mark"
_REASONS: Mapping[str, str] = {
    "identity-information-update": "change_reason",
    "resident-change-notification": "change_information/change_reason",
}
"""Where a type says why the resident's record changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkChange:
    """One mark set, or taken away (``on`` is False). Days are ISO texts, both ends included."""

    mark: str
    """``support-<code of the measure>`` or ``deceased``."""
    on: bool = True
    since: str | None = None
    until: str | None = None


def changes_of(message: Message) -> tuple[MarkChange, ...]:
    """What a message says about marks of its resident."""
    items = message.items
    if message.type_name == MARK_TYPE:
        measure, ended = items["measure"], items["state"] == codes.table("support_state").of("ENDED").code
        until = items["ends_on"] if ended or items["ends_on"] else None
        return (MarkChange(mark=f"support-{measure}", since=_day(items["starts_on"]), until=_day(until)),)
    place = _REASONS.get(message.type_name)
    reason = items.get(place) if place is not None else None
    if reason is None:
        return ()
    if reason == _code("DEATH"):
        return (MarkChange(mark=DECEASED),)
    if codes.table("change_reason").get(reason).more.get("group") == "add":
        return (MarkChange(mark=DECEASED, on=False),)  # entered again: the death was entered in error
    return ()


def _code(symbol: str) -> str:
    return codes.table("change_reason").of(symbol).code


def _day(value: str | None) -> str | None:
    return None if value is None else f"{value[:4]}-{value[4:6]}-{value[6:8]}" if value.isdigit() else value


def flags(marks: Iterable[MarkChange], day: dt.date) -> Flags:
    """What counts on a day."""
    today = day.isoformat()
    found = set()
    for mark in marks:
        if mark.on and (mark.since is None or mark.since <= today) and (mark.until is None or today <= mark.until):
            found.add(DECEASED if mark.mark == DECEASED else PROTECTED)
    return frozenset(found)
