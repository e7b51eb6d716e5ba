"""The delivery state machine: claim and outcome (commands: `commands.py`). Pure: rows, time and answers in; changed rows, a decision out.

Theory of operation
-------------------
A *key row* stands for one resident in one stream to one party. Its *head* is the lowest number that is not final, and only the head is
ever worked on (I3). Whoever works on it holds a *claim* (worker, epoch), which is committed together with the delivery's state `sending`
before the first byte leaves (R5); the outcome counts only while that claim is still its own (R7).

An attempt whose answer was not learned makes the delivery *unknown*, never back to queued (R8). From then on ``unanswered_since`` is set
until something decisive clears it: an effect, a refusal that came while nothing was open, or a final query. ``open_until`` says until when
such an attempt may still take effect (R9): while it is in the future, a refusal proves nothing and a query is not final.

``due_at`` of the key row is the only promise of a wake-up and permits nothing; what permits is decided here, at the claim, from the
delivery's own times (R3). A held key has no ``due_at``: a person, a late receipt (R7) or a replacement (R4) sets it again.

`design model`: the rules R3-R9, R13 and R14 are those of the Spin model of the protocol, names in comments refer to it.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from gateway.contract import Delivered, Outcome, PartyDown, Pending, Rejected, RejectedCall, RetryLater, Unknown
from gateway.delivery.rows import CRASH_LIMIT, NO_CONTENT, START_S, DeliveryRow, Hold, KeyRow, LateReceipt, PartyTraits, State
from gateway.delivery.steps import advance, clear, deliver, hold, lose, mark_unanswered, wake
from gateway.delivery.transitions import Event, IllegalTransition, move

CONTENT_GONE = "content-not-restored"
"""Reason of a delivery whose body no backup may have (C-3-7-3): it cannot be sent again."""


class Claim(enum.Enum):
    """What a claim decided."""

    SEND = "send"
    """The head is `sending`: start the call within two seconds."""
    QUERY = "query"
    """The claim is held: ask the party, then report with :func:`queried`."""
    FINISHED = "finished"
    """The head became final without a call (a late receipt, or a predecessor that failed); look again."""
    WAIT = "wait"
    """Not now; ``due_at`` says when to look again, or a predecessor will set it."""
    HELD = "held"
    """A person must decide."""
    NOTHING = "nothing"
    """Not due, idle, held or claimed by another: the bell was late or double."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a decision may look at besides the rows, read in the same transaction after the key row was locked."""

    now: float
    late: LateReceipt | None = None
    """What was learned after a lost claim about the head, by its present id (R7, R14)."""
    predecessor: State | None = None
    """The state of the delivery that the head waits for (R3)."""
    party_answered_at: float | None = None
    """When the party last answered anyone."""


def is_due(key: KeyRow, now: float, traits: PartyTraits) -> bool:
    """Due, or so far away that only a step of the clock explains it (R21)."""
    return key.due_at is not None and (key.due_at <= now or key.due_at > now + traits.horizon_s)


def claim(key: KeyRow, head: DeliveryRow | None, worker: str, *, void: bool, facts: Facts, traits: PartyTraits) -> Claim:
    """Take the key for ``worker`` and decide what its head needs (R3, R5, R7, R8, R9).

    ``void``: the present claim belongs to a worker that no longer renews its row (R6). The caller has already established that the
    breaker is closed or that this is its one probe.
    """
    now = facts.now
    if key.held is not None or key.idle or not is_due(key, now, traits):
        return Claim.NOTHING
    if head is None:
        raise IllegalTransition("a key row that is not idle has no head delivery")
    if key.claim_worker is not None:
        if not void:
            return Claim.NOTHING
        _take_over(key, head, now, traits)
    if head.state.final:
        advance(key, now)  # it expired while it waited behind another (R23)
        return Claim.FINISHED
    if head.open_until is not None and head.open_until > now + traits.open_s:
        head.open_until = now + traits.open_s  # a step of the clock: whatever was sent by now has settled by then (R21)
    if facts.late is not None and facts.late.kind == "delivered" and head.state in (State.UNKNOWN, State.AWAITING_REPLY):
        # read before the crash count may hold the key, or a receipt would lie beside a held delivery (R7)
        deliver(key, head, facts.late.code, now)
        return Claim.FINISHED
    if facts.late is not None and facts.late.kind == "rejected" and head.state in (State.UNKNOWN, State.AWAITING_REPLY):
        head.clean = not head.open_at(now)
        _refused(key, head, facts.late.code or "rejected", now, traits)
        return Claim.HELD if key.held else Claim.WAIT
    if facts.late is not None and facts.late.kind == "retry-later" and head.state is State.AWAITING_REPLY:
        _put_off(key, head, facts.late.code or "retry-later", now, traits)
        return Claim.HELD if key.held else Claim.WAIT
    if head.state is State.AWAITING_REPLY:
        return _claim_awaiting(key, head, facts, traits)
    if head.crashes >= CRASH_LIMIT:
        hold(key, head, Hold.CRASHES, "stopped-the-process")
        return Claim.HELD
    if head.state is State.UNKNOWN:
        return _claim_unknown(key, head, worker, facts, traits)
    if _too_early(key, head, now, traits):
        return Claim.WAIT
    if head.waits_for is not None:
        if facts.predecessor is None or not facts.predecessor.final:
            key.due_at = None  # waiting-for: the predecessor's final transaction sets it (R3)
            return Claim.WAIT
        if facts.predecessor is not State.DELIVERED:
            head.reason = "predecessor-not-delivered"
            move(head, Event.BARRED, State.SKIPPED, now)
            advance(key, now)
            return Claim.FINISHED
    if head.payload_id == NO_CONTENT:
        head.reason = CONTENT_GONE
        move(head, Event.EXPIRE, State.EXPIRED, now)
        advance(key, now)
        return Claim.FINISHED
    if head.approval is not None:
        # last, so that it is asked for only when nothing else is in the way
        hold(key, head, Hold.APPROVAL, f"needs-{head.approval}")
        return Claim.HELD
    _commit_sending(key, head, worker, now, traits)
    return Claim.SEND


def _take_over(key: KeyRow, head: DeliveryRow, now: float, traits: PartyTraits) -> None:
    """R8: what a dead worker was sending is unknown, and counts as a crash on that delivery."""
    if head.state is State.SENDING:
        lose(head, now, Event.TAKEN_OVER, traits)
        head.reason = "worker-died"
        head.crashes += 1
        head.call_cap = 1
    key.claim_worker = None


def _claim_awaiting(key: KeyRow, head: DeliveryRow, facts: Facts, traits: PartyTraits) -> Claim:
    now = facts.now
    deadline = head.call_deadline or now
    if now < deadline:
        wake(key, deadline, now, traits)
        return Claim.WAIT
    sent = head.updated_at
    mark_unanswered(head, now, traits)
    head.reason = "reply-overdue"
    move(head, Event.REPLY_MISSING, State.UNKNOWN, now)
    head.losses += 1
    if facts.party_answered_at is not None and facts.party_answered_at > sent:
        # as for a lost answer: it answered others meanwhile (or took them), so this failure is the record's own (R12)
        head.spent += 1
    if head.spent >= traits.retry.budget:
        hold(key, head, Hold.UNKNOWN, "budget-spent-outcome-unknown")
        return Claim.HELD
    if head.losses > 1:
        head.not_before = now + traits.retry.wait_s(head.losses - 1, head.id)
    key.due_at = head.not_before or now
    return Claim.FINISHED


def _claim_unknown(key: KeyRow, head: DeliveryRow, worker: str, facts: Facts, traits: PartyTraits) -> Claim:
    """R9: query where a query is final, re-send where the party drops duplicates and still remembers, else hold."""
    now = facts.now
    if _too_early(key, head, now, traits):
        return Claim.WAIT
    if (decided := _restored(key, head, facts)) is not None:
        return decided
    if traits.resend and head.unanswered_since is not None and now - head.unanswered_since < traits.memory_s:
        _commit_sending(key, head, worker, now, traits)
        return Claim.SEND
    if traits.queries:
        if head.open_at(now):
            wake(key, head.open_until or now, now, traits)
            return Claim.WAIT
        key.claim_worker = worker
        key.claim_epoch += 1
        return Claim.QUERY
    hold(key, head, Hold.UNKNOWN, "outcome-unknown")
    return Claim.HELD


def _restored(key: KeyRow, head: DeliveryRow, facts: Facts) -> Claim | None:
    """R24: what a restore made unknown may never have been sent, so what must come before a first sending is asked for here as well.

    None: nothing is in the way, as with everything that became unknown by being sent.
    """
    if head.payload_id == NO_CONTENT:
        hold(key, head, Hold.UNKNOWN, CONTENT_GONE)
        return Claim.HELD
    if head.waits_for is not None and facts.predecessor is not State.DELIVERED:
        if facts.predecessor is None or not facts.predecessor.final:
            key.due_at = None  # waiting-for (R3)
            return Claim.WAIT
        hold(key, head, Hold.UNKNOWN, "predecessor-not-delivered")
        return Claim.HELD
    if head.approval is not None:
        hold(key, head, Hold.APPROVAL, f"needs-{head.approval}")
        return Claim.HELD
    return None


def _too_early(key: KeyRow, head: DeliveryRow, now: float, traits: PartyTraits) -> bool:
    """Back-off and settling are times of the delivery; a claim that comes before them writes them back to ``due_at`` (R3)."""
    if head.not_before is None or head.not_before <= now or head.not_before > now + traits.horizon_s:
        return False
    key.due_at = head.not_before
    return True


def _commit_sending(key: KeyRow, head: DeliveryRow, worker: str, now: float, traits: PartyTraits) -> None:
    head.clean = not head.open_at(now)
    head.attempts += 1
    head.call_deadline = now + START_S + traits.call_s
    head.not_before = None
    head.reason = None
    move(head, Event.CLAIMED, State.SENDING, now)
    key.claim_worker = worker
    key.claim_epoch += 1


def mine(key: KeyRow, head: DeliveryRow | None, worker: str, epoch: int, delivery_id: str) -> bool:
    """The claim that this worker got is still its own (R7)."""
    return head is not None and head.id == delivery_id and key.claim_worker == worker and key.claim_epoch == epoch


def take_back(key: KeyRow, head: DeliveryRow, now: float) -> None:
    """R5: nothing was sent, because it was too late to start; back to what it was before the claim."""
    head.attempts -= 1
    head.call_deadline = None
    move(head, Event.TAKEN_BACK, State.UNKNOWN if head.unanswered else State.QUEUED, now)
    key.claim_worker = None
    key.due_at = now


def outcome(
    key: KeyRow, head: DeliveryRow, answer: Outcome, members: int, *, facts: Facts, traits: PartyTraits, spends: bool = True
) -> None:
    """Write what a call learned, and the key's next step, under a claim that is still the caller's own (R7, R9, R11, R12, R14).

    ``members``: how many records were in the call; ``spends``: a passing failure counts against the record's budget (not so if it is ours).
    """
    now = facts.now
    key.claim_worker = None
    if facts.late is not None and facts.late.kind == "delivered":
        # an earlier attempt's receipt came in while this one ran: it decides
        deliver(key, head, facts.late.code, now)
        return
    match answer:
        case Delivered(duplicate=False):
            deliver(key, head, answer.receipt.code, now)
        case Delivered():
            if head.unanswered and traits.resend:
                deliver(key, head, answer.receipt.code, now)
            else:
                # no attempt of ours is without an answer, so this proves no effect; it must not count as unanswered either,
                # or a second "duplicate" would be believed (R4, `written-dup` of the model)
                head.call_deadline = None
                move(head, Event.DUPLICATE_UNPROVEN, State.UNKNOWN, now)
                hold(key, head, Hold.UNKNOWN, "duplicate-unproven")
        case Rejected():
            _refused(key, head, answer.code, now, traits)
        case RejectedCall():
            if members > 1:
                _fail(key, head, now)
                head.call_cap = max(1, members // 2)
                head.reason = "call-refused-splitting"
                key.due_at = now
            else:
                _refused(key, head, answer.code, now, traits)
        case RetryLater():
            _fail(key, head, now)
            head.reason = answer.code
            head.spent += spends
            _back_off(key, head, now, answer.after_s, traits)
        case PartyDown():
            # the party's failure, not this record's: nothing is spent (R12)
            _fail(key, head, now)
            head.reason = answer.code
            head.not_before = now + min(max(traits.retry.wait_s(1, head.id), answer.after_s or 0.0), traits.retry.longest_s)
            key.due_at = head.not_before
        case Unknown():
            _lost(key, head, answer.code, facts, traits)
        case Pending():
            head.correlation = answer.correlation
            head.call_deadline = now + answer.deadline_s
            head.reason = None
            move(head, Event.PENDING, State.AWAITING_REPLY, now)
            if facts.late is not None:
                key.due_at = now  # the reply was faster than this transaction (R14)
            else:
                wake(key, head.call_deadline, now, traits)


def _lost(key: KeyRow, head: DeliveryRow, code: str, facts: Facts, traits: PartyTraits) -> None:
    now = facts.now
    started = head.updated_at
    lose(head, now, Event.LOST, traits)
    head.reason = code
    head.losses += 1
    if facts.party_answered_at is not None and facts.party_answered_at > started:
        # the party answered others meanwhile, so this failure is the record's own; in an outage nothing is spent (R12)
        head.spent += 1
    if head.spent >= traits.retry.budget:
        hold(key, head, Hold.UNKNOWN, "budget-spent-outcome-unknown")
        return
    if head.losses > 1:  # R9 re-sends at once; what is lost again and again waits, or it would spin
        head.not_before = now + traits.retry.wait_s(head.losses - 1, head.id)
    key.due_at = head.not_before or now


def _refused(key: KeyRow, head: DeliveryRow, code: str, now: float, traits: PartyTraits) -> None:
    if not head.clean:
        # an earlier attempt may still take effect: this refusal proves nothing; ask again when all have settled (R9)
        move(head, Event.REFUSED, State.UNKNOWN, now)
        head.reason = "refused-while-open"
        settled = max(head.open_until or now, now)
        head.not_before = settled
        wake(key, settled, now, traits)
        return
    _refuse(key, head, code, now)


def _refuse(key: KeyRow, head: DeliveryRow, code: str, now: float) -> None:
    clear(head)
    move(head, Event.REFUSED, State.QUEUED, now)
    head.outcome_code = code
    hold(key, head, Hold.REJECTED, code)


def _fail(key: KeyRow, head: DeliveryRow, now: float) -> None:
    """No effect by this attempt; an earlier one without an answer leaves the delivery unknown (R9)."""
    head.call_deadline = None
    move(head, Event.FAILED, State.UNKNOWN if head.unanswered else State.QUEUED, now)


def _put_off(key: KeyRow, head: DeliveryRow, code: str, now: float, traits: PartyTraits) -> None:
    """The reply says: not now, and nothing took effect (R14). The next attempt has a correlation of its own."""
    _fail(key, head, now)
    head.correlation = None
    head.reason = code
    head.spent += 1
    _back_off(key, head, now, None, traits)


def _back_off(key: KeyRow, head: DeliveryRow, now: float, after_s: float | None, traits: PartyTraits) -> None:
    if head.spent >= traits.retry.budget:
        if head.state is State.UNKNOWN:
            hold(key, head, Hold.UNKNOWN, "budget-spent-outcome-unknown")
        else:
            hold(key, head, Hold.BUDGET, head.reason or "budget-spent")
        return
    wait = traits.retry.wait_s(max(head.spent, 1), head.id)
    head.not_before = now + min(max(wait, after_s or 0.0), traits.retry.longest_s)
    key.due_at = head.not_before


def queried(key: KeyRow, head: DeliveryRow, effect: bool | None, code: str | None, *, facts: Facts, traits: PartyTraits) -> None:
    """The answer of a query that began after everything had settled (R9): final where it says yes or no; ``None``: ask again."""
    now = facts.now
    key.claim_worker = None
    if effect or (facts.late is not None and facts.late.kind == "delivered"):
        deliver(key, head, code, now)
    elif effect is False:
        clear(head)
        move(head, Event.SETTLED_NO_EFFECT, State.QUEUED, now)
        key.due_at = now
    else:
        head.losses += 1
        head.reason = code or "query-unanswered"
        head.not_before = now + traits.retry.wait_s(head.losses, head.id)
        head.updated_at = now
        key.due_at = head.not_before


def learned_late(key: KeyRow, head: DeliveryRow | None, delivery_id: str, kind: str, now: float) -> None:
    """R7: a receipt that came after the claim was lost changes what is next, so it wakes the key, also one held as unknown."""
    if kind != "delivered" or head is None or head.id != delivery_id or head.state not in (State.UNKNOWN, State.AWAITING_REPLY):
        return
    key.held = None
    key.due_at = now
    head.crashes = 0


def replied(key: KeyRow, head: DeliveryRow | None, delivery_id: str, now: float) -> None:
    """R14: a reply has come; whoever claims reads it."""
    if head is not None and head.id == delivery_id and not head.state.final and key.held in (None, Hold.UNKNOWN):
        key.held = None
        key.due_at = now
