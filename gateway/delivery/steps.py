"""The steps that decisions are made of: changes of a key row and its head that always go together. Pure; see ``machine.py``."""

from __future__ import annotations

from gateway.delivery.rows import DeliveryRow, Hold, KeyRow, PartyTraits, State
from gateway.delivery.transitions import Event, move


def lose(head: DeliveryRow, now: float, event: Event, traits: PartyTraits) -> None:
    """An attempt ended without an answer: unknown, and open until nothing of it can take effect any more (R8, R9)."""
    started, deadline = head.updated_at, head.call_deadline
    if head.unanswered_since is None:
        head.unanswered_since = started
    ends = (deadline if deadline is not None else now) + traits.settle_s
    head.open_until = max(head.open_until or 0.0, ends)
    head.call_deadline = None
    move(head, event, State.UNKNOWN, now)


def mark_unanswered(head: DeliveryRow, now: float, traits: PartyTraits) -> None:
    """An answer that was promised did not come (R14): from now on as if the attempt had been lost."""
    if head.unanswered_since is None:
        head.unanswered_since = now
    head.open_until = max(head.open_until or 0.0, now + traits.settle_s)
    head.call_deadline = None


def clear(head: DeliveryRow) -> None:
    """Something decisive is known of every attempt so far."""
    head.unanswered_since = None
    head.open_until = None
    head.call_deadline = None


def fresh_start(head: DeliveryRow) -> None:
    """A person lets it begin anew: counters and back-off are forgotten, what is unknown is not."""
    head.crashes = 0
    head.spent = 0
    head.losses = 0
    head.not_before = None
    head.reason = None


def hold(key: KeyRow, head: DeliveryRow, why: Hold, reason: str) -> None:
    """The key waits for a person."""
    key.held = why
    key.due_at = None
    head.reason = reason


def deliver(key: KeyRow, head: DeliveryRow, code: str | None, now: float) -> None:
    """The effect is proven: final, and the next number is due."""
    head.outcome_code = code
    head.reason = None
    clear(head)
    move(head, Event.EFFECT, State.DELIVERED, now)
    advance(key, now)


def advance(key: KeyRow, now: float) -> None:
    """The head is final: the next number is due, in this transaction."""
    key.head += 1
    key.held = None
    key.due_at = None if key.idle else now


def wake(key: KeyRow, at: float, now: float, traits: PartyTraits) -> None:
    """Set ``due_at``, never further away than the horizon: a far deadline is looked at on the way (R21)."""
    key.due_at = min(at, now + traits.horizon_s)
