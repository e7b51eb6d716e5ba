"""The words that operators see, derived from the rows: the same in code, CLI, API, console and metrics (section 5)."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from gateway.delivery.breaker import PartyRow
from gateway.delivery.rows import DeliveryRow, KeyRow, State

JAPAN = ZoneInfo("Asia/Tokyo")
DAY = "day-of-effect"
"""Reason of what waits for its day (business time)."""
WORDS = (
    "received", "queued", "sending", "awaiting-reply", "backing-off", "waiting-behind", "waiting-for", "held", "unknown", "delivered",
    "rejected", "skipped", "expired",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """One delivery in a word, why it is so, and what happens next, when."""

    word: str
    reason: str | None
    """A stable code: of the party, or one of ours."""
    next: str
    """A stable code of what happens next: ``send``, ``send-when-due``, ``ask-party``, ``person``, ``predecessor``, ``head``,
    ``party-back``, ``reply``, ``day``, ``nothing``."""
    next_at: float | None = None


def describe(delivery: DeliveryRow, key: KeyRow, party: PartyRow | None, now: float) -> Status:
    """What is said of ``delivery``."""
    state = delivery.state
    if state.final:
        return Status(word=state.value, reason=delivery.reason or delivery.outcome_code, next="nothing")
    if delivery.waits_for_day and delivery.effective_on is not None:
        day = dt.datetime.combine(dt.date.fromisoformat(delivery.effective_on), dt.time(), JAPAN).timestamp()
        return Status(word="waiting-for", reason=DAY, next="day", next_at=day)
    if delivery.number != key.head:
        reason = f"held:{key.held.value}" if key.held else None
        return Status(word="waiting-behind", reason=reason, next="head")
    if key.held is not None:
        word = "unknown" if state is State.UNKNOWN else "held"
        return Status(word=word, reason=delivery.reason or key.held.value, next="person")
    if state is State.SENDING:
        return Status(word="sending", reason=None, next="answer", next_at=delivery.call_deadline)
    if state is State.AWAITING_REPLY:
        return Status(word="awaiting-reply", reason=None, next="reply", next_at=delivery.call_deadline)
    if party is not None and (party.breaker != "closed" or party.paused_by is not None):
        reason = "party-manual" if party.manual else "party-paused" if party.paused_by is not None else (party.code or "party-down")
        return Status(word="unknown" if state is State.UNKNOWN else "queued", reason=reason, next="party-back", next_at=party.probe_at)
    if state is State.UNKNOWN:
        return Status(word="unknown", reason=delivery.reason, next="ask-party", next_at=delivery.not_before or key.due_at)
    if delivery.not_before is not None and delivery.not_before > now:
        return Status(word="backing-off", reason=delivery.reason, next="send-when-due", next_at=delivery.not_before)
    if delivery.waits_for is not None and key.due_at is None:
        return Status(word="waiting-for", reason=None, next="predecessor")
    return Status(word="queued", reason=delivery.reason, next="send", next_at=key.due_at)
