"""Outcomes: what a call learned, and the next step of its key, in one transaction (R7, R9, R11, R12, R14); then on to the next number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.contract import (
    Delivered,
    Effect,
    Outcome,
    PartyDown,
    Pending,
    QueryAnswer,
    Receipt,
    Rejected,
    RejectedCall,
    RetryLater,
    Unknown,
)
from gateway.delivery import breaker, machine
from gateway.delivery.rows import DeliveryRow, Hold, KeyRow, PartyTraits, State
from gateway.errors import LedgerUnavailable
from gateway.ids import new_id
from gateway.ledger import tables as t
from gateway.ledger.adding import add_sealed
from gateway.ledger.admission import Admit
from gateway.ledger.bells import Bell, bell_of
from gateway.ledger.claims import Claimed, claim_key, give_up_probe, with_payload
from gateway.ledger.prepared import PreparedMessage, SealedPayload
from gateway.ledger.unit import Unit
from gateway.policy.rights import Terms


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """The outcome of one claim. ``sealed``: the party's receipt as evidence, sealed by the worker."""

    claim: Claimed
    answer: Outcome | QueryAnswer
    sealed: SealedPayload | None = None
    content_type: str = "application/xml"
    ours: bool = False
    """The party was not asked, since we failed (a payload that does not open, say): neither an answer of the party nor a failure of it."""
    spends: bool = True
    """The failure counts against the record's budget."""
    terms: Terms | None = None
    """On which terms it went, where the policy had come to permit less than at its acceptance."""
    result: PreparedMessage | None = None
    """The answer as a message for whoever handed it in (:mod:`gateway.delivery.results`): accepted with the outcome that it tells of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeResult:
    """What the outcome transaction gave back."""

    next: tuple[Claimed, ...]
    """Claims on the next numbers of the same keys: start their calls within two seconds."""
    bells: tuple[Bell, ...]
    lost: int
    """Outcomes whose claim was no longer the worker's; what they learned was appended (R7)."""
    breaker_open: bool


@dataclass(slots=True, kw_only=True)
class WriteOutcomes:
    """Write the outcomes of one call."""

    worker: str
    party: str
    learned: Sequence[Learned]
    traits: PartyTraits
    go_on: bool = True
    """Claim the next numbers of these keys in the same transaction (the worker's share is not used up)."""
    bulk: bool = False
    size: int = 1
    next: list[Claimed] = field(default_factory=list)
    bells: list[Bell] = field(default_factory=list)
    lost: int = 0
    breaker_open: bool = False
    _results: Admit | None = None

    def plan(self, unit: Unit) -> None:
        self.next, self.bells, self.lost, self.breaker_open = [], [], 0, False
        self._results = None
        if results := [item.result for item in self.learned if item.result is not None]:
            self._results = Admit(messages=results)
            self._results.plan(unit)
        for item in self.learned:
            unit.want_keys.add(item.claim.key_id)
            unit.want_final.add(item.claim.delivery_id)
            if isinstance(item.answer, Pending):
                unit.want_replies.add((self.party, item.answer.correlation))

    def apply(self, unit: Unit) -> None:
        if self._stale is not None:
            return  # a result was made by keys or a policy that count no longer: made anew, then all of it is written
        self._note_party(unit)
        members = len(self.learned)
        for item in self.learned:
            key = unit.keys[item.claim.key_id]
            head = unit.head(key)
            if machine.mine(key, head, self.worker, item.claim.epoch, item.claim.delivery_id):
                assert head is not None
                self._write(unit, key, head, item, members)
            else:
                self._append_late(unit, key, head, item)

    @property
    def _stale(self) -> LedgerUnavailable | None:
        return None if self._results is None else self._results.unfit

    def _tell(self, unit: Unit, item: Learned, told: bool) -> None:
        """The result of a delivery, with what it tells of; or it leaves no trace."""
        if item.result is None or self._results is None:
            return
        # by the generation of keys that counts (Admit.fit)
        [result] = [each for each in self._results.messages if each.message_id == item.result.message_id]
        if told:
            unit.admissions.admit(unit, result, self.bells)
        else:
            unit.admissions.leave_out(unit, result)

    def _note_party(self, unit: Unit) -> None:
        """The breaker takes the call as one event: it was answered, or it was not."""
        answers = [a for i in self.learned if not i.ours and (a := self._for_breaker(unit, i.answer)) is not None]
        if not answers and any(i.ours for i in self.learned):
            give_up_probe(unit, self.party, self.worker)
        if answers:
            seen = next((a for a in answers if not isinstance(a, breaker.FAILURES)), answers[0])
            if breaker.would_note(unit.party(self.party), seen, unit.now):
                row = unit.party(self.party, lock=True)
                was = row.breaker
                if breaker.note(row, seen, unit.now, self.traits):
                    unit.touch(party=row)
                if row.breaker != was:
                    unit.audit("breaker", self.worker, party_id=self.party, was=was, now=row.breaker, code=row.code or "")
        self.breaker_open = not breaker.may_claim(unit.party(self.party), unit.now)

    def _for_breaker(self, unit: Unit, answer: Outcome | QueryAnswer) -> Outcome | None:
        """What an answer says of the party as a whole. A query that was the probe must end the probe, too (R12)."""
        if not isinstance(answer, QueryAnswer):
            return answer
        if answer.effect is not Effect.NOT_KNOWN:
            return Delivered(receipt=Receipt(code=answer.code, body=b""))
        row = unit.party(self.party)
        probe = row.breaker == "probing" and row.probe_worker == self.worker
        return Unknown(code=answer.code or "query-unanswered") if probe else None

    def _write(self, unit: Unit, key: KeyRow, head: DeliveryRow, item: Learned, members: int) -> None:
        facts = unit.facts(head)
        if isinstance(item.answer, Pending):
            facts = machine.Facts(
                now=facts.now,
                late=unit.reply(head.party, item.answer.correlation),
                predecessor=facts.predecessor,
                party_answered_at=facts.party_answered_at,
            )
        if isinstance(item.answer, QueryAnswer):
            effect = {Effect.TOOK_EFFECT: True, Effect.NO_EFFECT: False, Effect.NOT_KNOWN: None}[item.answer.effect]
            machine.queried(key, head, effect, item.answer.code, facts=facts, traits=self.traits)
        else:
            machine.outcome(key, head, item.answer, members, facts=facts, traits=self.traits, spends=item.spends)
        unit.touch(key, head)
        if item.terms is not None:
            unit.note_terms(item.terms, sent=head.id)
        self._record(unit, key, head, item)
        accepted, rejected = isinstance(item.answer, Delivered | QueryAnswer), isinstance(item.answer, Rejected)
        self._tell(unit, item, (accepted and head.state is State.DELIVERED) or (rejected and key.held is Hold.REJECTED))
        if head.state.final:
            self.bells.extend(bell_of(woken, unit.now) for woken in unit.wake_dependents(head))
        if key.due_at is None or key.due_at > unit.now:
            return
        if self.go_on and not self.breaker_open:
            claimed = claim_key(unit, key, self.worker, self.traits, self.bells)
            if claimed is not None:
                self.next.append(claimed)
                return
        if key.due_at is not None and key.due_at <= unit.now and key.claim_worker is None and not self.breaker_open:
            self.bells.append(bell_of(key, unit.now))

    def _record(self, unit: Unit, key: KeyRow, head: DeliveryRow, item: Learned) -> None:
        detail: dict[str, Any] = {"attempt": item.claim.attempt, "outcome": _kind(item.answer), "state": head.state.value}
        code = _code(item.answer)
        if code:
            detail["code"] = code
        if isinstance(item.answer, Rejected) and item.answer.fields:
            detail["fields"] = list(item.answer.fields)
        if item.ours:
            detail["ours"] = True
        if key.held is not None:
            detail["held"] = key.held.value
        if item.sealed is not None:
            detail["receipt"] = _keep(unit, item)
        unit.audit("provided" if head.state is State.DELIVERED else "outcome", self.worker, delivery=head, **detail)

    def _append_late(self, unit: Unit, key: KeyRow, head: DeliveryRow | None, item: Learned) -> None:
        """R7: the claim is gone, what it learned is not thrown away."""
        self.lost += 1
        kind = "delivered" if _proves_effect(item.answer) else _kind(item.answer)
        unit.add(
            t.late_outcome,
            {
                "id": new_id(), "delivery_id": item.claim.delivery_id, "kind": kind, "code": _code(item.answer), "worker": self.worker,
                "at": unit.now,
            },
        )  # fmt: skip
        self._tell(unit, item, kind == "delivered")
        if kind == "delivered":
            unit.note_late(item.claim.delivery_id, _code(item.answer))
        machine.learned_late(key, head, item.claim.delivery_id, kind, unit.now)
        unit.touch(key, head)
        detail: dict[str, Any] = {"outcome": kind, "attempt": item.claim.attempt, "to": item.claim.party}
        if item.sealed is not None:
            detail["receipt"] = _keep(unit, item)
        unit.audit("late-outcome", self.worker, message=item.claim.message_id, delivery_id=item.claim.delivery_id, **detail)
        if key.due_at is not None and key.due_at <= unit.now and key.claim_worker is None:
            self.bells.append(bell_of(key, unit.now))

    def finish(self, unit: Unit) -> OutcomeResult | LedgerUnavailable:
        if self._stale is not None:
            return self._stale
        return OutcomeResult(
            next=tuple(with_payload(unit, c) for c in self.next), bells=tuple(self.bells), lost=self.lost, breaker_open=self.breaker_open
        )


_KINDS: dict[type, str] = {
    Pending: "pending",
    RetryLater: "retry-later",
    Rejected: "rejected",
    RejectedCall: "rejected-call",
    PartyDown: "party-down",
    Unknown: "unknown",
}


def _keep(unit: Unit, item: Learned) -> str:
    """The party's receipt is evidence, also one that came late: sealed under a data key of its own."""
    assert item.sealed is not None
    return add_sealed(
        unit, "receipt", item.sealed, message_id=item.claim.message_id, party=item.claim.party, content_type=item.content_type
    )


def _proves_effect(answer: Outcome | QueryAnswer) -> bool:
    if isinstance(answer, QueryAnswer):
        return answer.effect is Effect.TOOK_EFFECT
    return isinstance(answer, Delivered) and not answer.duplicate


def _kind(answer: Outcome | QueryAnswer) -> str:
    if isinstance(answer, QueryAnswer):
        return f"query-{answer.effect.value}"[:16]
    if isinstance(answer, Delivered):
        return "duplicate" if answer.duplicate else "delivered"
    return _KINDS[type(answer)]


def _code(answer: Outcome | QueryAnswer) -> str | None:
    if isinstance(answer, Delivered):
        return answer.receipt.code
    if isinstance(answer, Pending):
        return None
    return answer.code or None


def receipt_of(answer: Outcome | QueryAnswer) -> Receipt | None:
    """The evidence in an answer, to be sealed by the worker before it writes the outcome."""
    return getattr(answer, "receipt", None)
