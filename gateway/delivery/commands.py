"""What a person may do to a delivery (R13), and a sender to one that it replaces (R4). Pure, like ``machine.py``; the conditions are here
as functions of their own, so that a command can be shown as possible or not before anybody gives it.
"""

from __future__ import annotations

from gateway.delivery.rows import DeliveryRow, Hold, KeyRow, PartyTraits, State
from gateway.delivery.steps import advance, clear, deliver, fresh_start
from gateway.delivery.transitions import Event, move


def outcome_known(key: KeyRow, head: DeliveryRow, now: float) -> bool:
    """Nothing of this delivery can be or become an effect: what skip, correct, expire and replace need (R13, `SURE` in the model)."""
    return key.claim_worker is None and head.state is State.QUEUED and not head.unanswered and not head.open_at(now)


def retry_allowed(head: DeliveryRow, traits: PartyTraits) -> bool:
    """Retry of an unknown needs a party that drops duplicates or answers queries; otherwise only *settle* helps (R13)."""
    return head.state is not State.UNKNOWN or traits.queries or (traits.resend and head.unanswered)


def retry(key: KeyRow, head: DeliveryRow, now: float) -> None:
    """Let a held key go on. An unknown stays unknown and goes through R9."""
    move(head, Event.RETRY, head.state, now)
    fresh_start(head)
    key.held = None
    key.due_at = now


def release(key: KeyRow, head: DeliveryRow, now: float) -> None:
    """Two persons let a delivery leave that is held for their approval (:attr:`Hold.APPROVAL`), or will be at its turn."""
    head.approval = None
    if key.held is Hold.APPROVAL and head.number == key.head:
        head.reason = None
        key.held = None
        key.due_at = now


def skip(key: KeyRow, head: DeliveryRow, reason: str, now: float) -> None:
    """Pass over the head; needs :func:`outcome_known`."""
    head.reason = reason
    move(head, Event.SKIP, State.SKIPPED, now)
    advance(key, now)


def expire(key: KeyRow, head: DeliveryRow, reason: str, now: float) -> None:
    """The head is no longer to be sent; needs :func:`outcome_known`."""
    head.reason = reason
    move(head, Event.EXPIRE, State.EXPIRED, now)
    advance(key, now)


def expire_in_place(delivery: DeliveryRow, reason: str, now: float) -> None:
    """It waits behind another and is no longer to be sent; needs :func:`never_sent`. Whoever claims its key later goes on past it."""
    delivery.reason = reason
    move(delivery, Event.EXPIRE, State.EXPIRED, now)


def replace(key: KeyRow, head: DeliveryRow, new: DeliveryRow, now: float) -> None:
    """R4: ``new`` (another id, another party key) takes the place of the held head; needs :func:`outcome_known`."""
    if new.id == head.id or (new.party_key is not None and new.party_key == head.party_key):
        raise ValueError("a corrected delivery needs a new delivery id and a new party key (R4)")
    head.replaced_by = new.id
    move(head, Event.REPLACE, State.REJECTED, now)
    new.number = head.number
    new.waits_for = new.waits_for or head.waits_for
    key.held = None
    key.due_at = now


def never_sent(delivery: DeliveryRow) -> bool:
    """Only what was never `sending` may be superseded (R13)."""
    return delivery.state is State.QUEUED and delivery.attempts == 0 and not delivery.unanswered


def supersede(old: DeliveryRow, new: DeliveryRow, now: float) -> None:
    """``new`` takes the place of ``old``, which waits behind another; needs :func:`never_sent`."""
    old.replaced_by = new.id
    move(old, Event.REPLACE, State.REJECTED, now)
    new.number = old.number
    new.waits_for = new.waits_for or old.waits_for


def settle(key: KeyRow, head: DeliveryRow, took_effect: bool, code: str | None, now: float) -> None:
    """The party's word, brought by two persons after every attempt has settled, decides an unknown outcome (R13)."""
    key.held = None
    if took_effect:
        deliver(key, head, code, now)
    else:
        clear(head)
        fresh_start(head)
        move(head, Event.SETTLED_NO_EFFECT, State.QUEUED, now)
        key.due_at = now


def by_hand(key: KeyRow, head: DeliveryRow, now: float) -> None:
    """It was done at the party's own terminal while the party was worked by hand; needs :func:`outcome_known`. It is never sent."""
    head.outcome_code = DONE_BY_HAND
    head.reason = None
    clear(head)
    move(head, Event.BY_HAND, State.DELIVERED, now)
    advance(key, now)


DONE_BY_HAND = "done-by-hand"
