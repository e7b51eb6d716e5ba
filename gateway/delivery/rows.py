"""The rows that the delivery state machine works on, and what it needs to know of a party.

The machine reads and changes these objects in memory; the ledger loads them under lock and writes them back in the same transaction
(``gateway/ledger/unit.py``). Times are seconds of the ledger's clock (R21).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class State(enum.StrEnum):
    """What is stored of a delivery. The words that operators see are derived from it (:mod:`gateway.delivery.status`)."""

    QUEUED = "queued"
    SENDING = "sending"
    AWAITING_REPLY = "awaiting-reply"
    UNKNOWN = "unknown"
    DELIVERED = "delivered"
    REJECTED = "rejected"
    SKIPPED = "skipped"
    EXPIRED = "expired"

    @property
    def final(self) -> bool:
        """Nothing changes it any more."""
        return self in FINAL


FINAL = frozenset({State.DELIVERED, State.REJECTED, State.SKIPPED, State.EXPIRED})


class Hold(enum.StrEnum):
    """Why a key waits for a person."""

    REJECTED = "rejected"
    BUDGET = "budget"
    UNKNOWN = "unknown"
    CRASHES = "crashes"
    APPROVAL = "approval"
    """It may leave only when a second person has approved (four eyes)."""


@dataclass(slots=True, kw_only=True)
class KeyRow:
    """One (party, stream, subject): the unit of order, of claims and of wake-ups."""

    id: str
    place: str = ""
    party: str
    stream: str
    subject: str
    next_number: int
    head: int
    lane: str
    held: Hold | None = None
    due_at: float | None = None
    claim_worker: str | None = None
    claim_epoch: int = 0
    rung_at: float | None = None
    rings: int = 0

    @property
    def idle(self) -> bool:
        """Nothing is left to deliver."""
        return self.head >= self.next_number


@dataclass(slots=True, kw_only=True)
class DeliveryRow:
    """One message on its way to one party."""

    id: str
    message_id: str
    party: str
    key_id: str
    number: int
    lane: str
    state: State
    reason: str | None = None
    party_key: str | None = None
    way: str | None = None
    """Message type, producer and consumer in the sense of the policy, where they are not the message's own and the party."""
    content_digest: bytes = b""
    payload_id: str = ""
    waits_for: str | None = None
    approval: str | None = None
    """``release`` or ``bulk-output``: held at its turn until a second person has approved; None: it may leave."""
    attempts: int = 0
    spent: int = 0
    losses: int = 0
    crashes: int = 0
    unanswered_since: float | None = None
    clean: bool = True
    open_until: float | None = None
    not_before: float | None = None
    call_deadline: float | None = None
    call_cap: int | None = None
    correlation: str | None = None
    replaced_by: str | None = None
    accepted_at: float = 0.0
    updated_at: float = 0.0
    final_at: float | None = None
    outcome_code: str | None = None
    effective_on: str | None = None
    """Not before this day in Japan (ISO). Until it is released then it has no place in the order: ``number`` is :data:`UNPLACED`."""

    @property
    def waits_for_day(self) -> bool:
        """Its day of effect has not come (R2)."""
        return self.number == UNPLACED and not self.state.final

    @property
    def unanswered(self) -> bool:
        """Some attempt with this id ended without an answer, and nothing decisive has cleared it since."""
        return self.unanswered_since is not None

    def open_at(self, now: float) -> bool:
        """An earlier attempt may still take effect (R9)."""
        return self.unanswered_since is not None and self.open_until is not None and self.open_until > now


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Back-off in seconds and how many failures of its own a delivery may have before its key is held."""

    first_s: float = 1.0
    longest_s: float = 60.0
    budget: int = 10

    def wait_s(self, failures: int, seed: str) -> float:
        """Exponential with up to 20 % spread; the spread comes from ``seed`` (the delivery id), so that it needs no random source."""
        wait = min(self.longest_s, self.first_s * 2.0 ** min(max(failures - 1, 0), 20))
        return wait * (0.9 + 0.2 * (int(seed[-4:], 16) / 0xFFFF))


@dataclass(frozen=True, slots=True, kw_only=True)
class PartyTraits:
    """What the rules need to know of a party, from its adapter's manifest and the configuration."""

    party: str
    resend: bool = False
    """It drops duplicates and remembers what took effect, or repeats its first answer (R4, R9)."""
    memory_s: float = 0.0
    queries: bool = False
    settle_s: float = 1.0
    call_s: float = 30.0
    retry: RetryPolicy = RetryPolicy()
    breaker_failures: int = 3
    probe_first_s: float = 1.0
    probe_longest_s: float = 5.0

    @property
    def open_s(self) -> float:
        """How long an attempt without an answer stays open, from its `sending` commit: start, call and settling time (R9)."""
        return START_S + self.call_s + self.settle_s

    @property
    def horizon_s(self) -> float:
        """No wait is longer (R21): a due time further away comes from a clock step, or is looked at again on the way."""
        return max(self.retry.longest_s, self.open_s) * 1.2


UNPLACED = 0
"""``number`` of a delivery that waits for its day of effect: it takes its place in the order on that day, at release (R2)."""
NO_CONTENT = "none"
"""``payload_id`` of a delivery whose body no backup may have, after a restore (R24)."""
START_S = 2.0
"""A call starts at most this long after its `sending` commit (R5)."""
LIVENESS_S = 3.0
"""Without renewal for this long, the claims of a worker are void (R6)."""
CRASH_LIMIT = 3
"""So many takeovers of one delivery hold its key (R8)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LateReceipt:
    """What a worker learned after it had lost its claim (R7), or a reply that came later (R14)."""

    kind: str
    """``delivered``, ``rejected``; of a reply also ``retry-later``: it had no effect, and may be sent again."""
    code: str | None = None
