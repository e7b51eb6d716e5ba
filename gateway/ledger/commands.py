"""Operators' commands on the key row under its lock (R13), with a second person where one is needed.

A command names the state and the content digest that were seen; if either has changed it is refused. *retry* acts at once; *skip*,
*correct*, *settle* and *release* are requested by one person and carried out when another approves, in the transaction that checks
again. Whoever approves names the digest of what was approved: of the new content of a correction, else of the delivery's content. Every
command is a row of the table ``command`` (:mod:`gateway.ledger.approvals`), every refusal an entry of the record. A request that was
overtaken (its delivery is no longer as it was seen) is closed as refused: whoever still wants it asks again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select

from gateway.delivery import commands as rules
from gateway.delivery.rows import DeliveryRow, Hold, KeyRow, PartyTraits, State
from gateway.delivery.status import describe
from gateway.errors import CommandRefused, LedgerUnavailable
from gateway.ids import random_id
from gateway.ledger import approvals
from gateway.ledger import tables as t
from gateway.ledger.adding import add_delivery, add_sealed
from gateway.ledger.admission import Admit
from gateway.ledger.approvals import REQUEST_EXPIRES_S
from gateway.ledger.bells import Bell, bell_of
from gateway.ledger.prepared import PreparedMessage, SealedPayload
from gateway.ledger.unit import Unit
from gateway.policy.rights import Terms


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the person saw when deciding: compared under the lock."""

    delivery_id: str
    state: str
    content_digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """New content for a held delivery: sealed, with its own 依頼管理番号 (R4)."""

    party_key: str | None
    content_digest: bytes
    sealed: SealedPayload
    terms: Terms | None = None
    """What the policy permitted of it."""


def why_not(
    kind: str, key: KeyRow, head: DeliveryRow, traits: PartyTraits, *, party_counts: bool, now: float, manual: bool = False
) -> CommandRefused | None:
    """Why a command on the head of ``key`` is refused as things stand; None: it is taken (R4, R13).

    :param manual: the party is worked by hand.
    """
    code = text = ""
    if kind == "retry":
        if key.held is None:
            code, text = "not-held", "only what is held can be retried"
        elif key.held is Hold.APPROVAL:
            code, text = "needs-approval", "it leaves when a second person has approved: release it, or ask for the bulk output"
        elif not rules.retry_allowed(head, traits):
            code, text = (
                "retry-unknown",
                "its outcome is unknown and the party neither drops duplicates nor answers queries: settle it (R13)",
            )
    elif kind == "settle":
        if head.state is not State.UNKNOWN or key.held is None:
            code, text = "not-unknown", "only a held delivery whose outcome is unknown can be settled"
        elif head.open_at(now):
            code, text = "not-settled", "an attempt may still take effect: wait until all have settled (R13)"
    elif kind == "release":
        if head.approval != "release":
            code, text = "no-approval-needed", "only what is held for a release can be released"
    elif kind == "by-hand" and not manual:
        code, text = "party-automatic", "only while the party is worked by hand (renkei party manual)"
    elif kind == "by-hand" and head.approval is not None:
        code, text = "needs-approval", "it may leave only when a second person has approved: release it first"
    elif kind == "skip" and party_counts:
        text = "the party counts this type (更新順番号): it is corrected, or replaced by the register, never skipped (R4)"
        return CommandRefused("skip-forbidden", text, rule="R4")
    elif not rules.outcome_known(key, head, now):
        code, text = "outcome-unknown", "it is not known whether it took effect: retry or settle it first (R13)"
    elif key.held is None and kind != "by-hand":
        code, text = "not-held", "only what is held can be skipped or corrected"
    return CommandRefused(code, text, rule="R13") if code else None


@dataclass(slots=True, kw_only=True)
class Command:
    """One command, asked for by one person (``command_id`` is None) or approved by another."""

    kind: str
    """retry | skip | correct | settle | release | by-hand"""
    actor: str
    seen: Seen | None = None
    reason: str = ""
    took_effect: bool | None = None
    correction: Correction | None = None
    party_counts: bool = False
    """The type bears a number that the party counts (更新順番号): it is corrected or replaced, never just skipped (R4)."""
    traits: PartyTraits
    command_id: str | None = None
    approve: bool = True
    approved_digest: bytes | None = None
    """What the second person looked at."""
    asker_entitled: bool = True
    """The person who asked still holds the role that asking needs."""
    why: str = ""
    """Of a refusal."""
    told: PreparedMessage | None = None
    """That it took effect, as a message for whoever handed it in (:mod:`gateway.delivery.results`): admitted with such a decision."""
    request_s: float = REQUEST_EXPIRES_S
    """How long a request waits for a second person, in seconds."""
    bulk: bool = False
    size: int = 1
    bells: list[Bell] = field(default_factory=list)
    result: Any = None
    _delivery_id: str | None = None
    _telling: Admit | None = None

    def plan(self, unit: Unit) -> None:
        self.bells, self.result, self._telling = [], None, None
        if self.told is not None:
            self._telling = Admit(messages=[self.told])
            self._telling.plan(unit)
        self._delivery_id = self.seen.delivery_id if self.seen is not None else None
        if self.command_id is not None:
            self._delivery_id = unit.conn.execute(select(t.command.c.delivery_id).where(t.command.c.id == self.command_id)).scalar()
        if self._delivery_id is not None:
            key_id = unit.conn.execute(select(t.delivery.c.key_id).where(t.delivery.c.id == self._delivery_id)).scalar()
            if key_id is not None:
                unit.want_keys.add(key_id)
                unit.want_final.add(self._delivery_id)

    def apply(self, unit: Unit) -> None:
        if self._stale is not None:
            return  # made by keys or a policy that count no longer: made anew, then all of it is decided
        try:
            self.result = self._decide(unit) if self.command_id is not None else self._ask(unit)
        except CommandRefused as refused:
            delivery = unit.deliveries.get(self._delivery_id) if self._delivery_id is not None else None
            unit.audit("command-refused", self.actor, delivery=delivery, command=self.kind, request=self.command_id, code=refused.code)
            self.result = refused
        if self._telling is not None:
            [message] = self._telling.messages
            if self._took_effect(unit):
                unit.admissions.admit(unit, message, self.bells)
            else:
                unit.admissions.leave_out(unit, message)

    @property
    def _stale(self) -> LedgerUnavailable | None:
        return None if self._telling is None else self._telling.unfit

    def _took_effect(self, unit: Unit) -> bool:
        """Two persons have just decided that the delivery took effect."""
        if isinstance(self.result, CommandRefused) or self.kind not in ("settle", "by-hand") or self._delivery_id is None:
            return False
        return self.approve and self.command_id is not None and unit.deliveries[self._delivery_id].state is State.DELIVERED

    def finish(self, unit: Unit) -> Any:
        if self._stale is not None:
            return self._stale
        return self.result if isinstance(self.result, CommandRefused) else (self.result, tuple(self.bells))

    # ---- asking ------------------------------------------------------------------------------------------------------------------

    def _ask(self, unit: Unit) -> dict[str, Any]:
        assert self.seen is not None
        if self.kind != "retry" and not self.reason.strip():
            raise CommandRefused("reason-missing", "this command needs a reason")
        key, head = self._locked(unit, self.seen)
        self._check(unit, key, head)
        at_once = self.kind == "retry"
        argument = None if self.took_effect is None else ("took-effect" if self.took_effect else "no-effect")
        request = approvals.add_request(
            unit,
            self.kind,
            self.actor,
            expires_at=unit.now + self.request_s,
            delivery_id=head.id,
            party=head.party,
            seen_state=self.seen.state,
            seen_digest=self.seen.content_digest,
            seen_epoch=key.claim_epoch,
            argument=argument,
            party_key=self.correction.party_key if self.correction else None,
            content_digest=self.correction.content_digest if self.correction else None,
            payload_id=self.correction.sealed.key_id if self.correction else None,
            terms=unit.note_terms(self.correction.terms) if self.correction and self.correction.terms else None,
            reason=self.reason,
            **({"status": "done", "decided_by": self.actor, "decided_at": unit.now} if at_once else {}),
        )
        if at_once:
            rules.retry(key, head, unit.now)
            self._changed(unit, key, head)
            unit.audit("command", self.actor, delivery=head, command="retry", request=request, reason=self.reason)
            return {"status": "done", "request": request}
        if self.correction is not None:
            add_sealed(unit, "command", self.correction.sealed, message_id=head.message_id, party=head.party)
        unit.audit(
            "command-requested", self.actor, delivery=head, command=self.kind, request=request, reason=self.reason, argument=argument
        )
        return {"status": "waiting", "request": request}

    # ---- deciding ----------------------------------------------------------------------------------------------------------------

    def _decide(self, unit: Unit) -> dict[str, Any]:
        assert self.command_id is not None
        row = approvals.load(unit, self.command_id)
        approvals.require_waiting(unit, row, self.actor)
        if not self.approve:
            approvals.decline(unit, row, self.actor, self.why)
            delivery = unit.deliveries.get(row["delivery_id"])
            unit.audit(
                "command-declined", self.actor, delivery=delivery, request=self.command_id, command=row["kind"], why=self.why or None
            )
            return {"status": "declined", "request": self.command_id}
        approvals.require_second_person(unit, row, self.actor, self.approved_digest, self.asker_entitled)
        self.kind = row["kind"]
        self.took_effect = None if row["argument"] is None else row["argument"] == "took-effect"
        seen = Seen(delivery_id=row["delivery_id"], state=row["seen_state"], content_digest=bytes(row["seen_digest"]))
        try:
            key, head = self._locked(unit, seen)
            if key.claim_epoch != row["seen_epoch"]:
                # it was attempted again meanwhile, and may be held again in the same state: what the first person knew is out of date
                raise CommandRefused("changed-meanwhile", "it was attempted again after the request: look again", rule="R13")
        except CommandRefused:
            approvals.close(unit, self.command_id, "refused", self.actor)
            raise
        if self.kind == "correct":
            self._correct(unit, key, head, row)
        else:
            self._check(unit, key, head)
            if self.kind == "release":
                rules.release(key, head, unit.now)
            elif self.kind == "by-hand":
                rules.by_hand(key, head, unit.now)
            elif self.kind == "skip":
                rules.skip(key, head, "skipped-by-operator", unit.now)
            else:
                rules.settle(key, head, bool(self.took_effect), "settled-by-operator", unit.now)
            self._changed(unit, key, head)
        approvals.close(unit, self.command_id, "done", self.actor)
        unit.audit(
            "command", self.actor, delivery=head, command=self.kind, request=self.command_id, requested_by=row["requested_by"],
            reason=row["reason"], argument=row["argument"],
        )  # fmt: skip
        return {"status": "done", "request": self.command_id}

    def _correct(self, unit: Unit, key: KeyRow, head: DeliveryRow, row: Any) -> None:
        self.correction = None
        self._check(unit, key, head, party_key=row["party_key"])
        assert row["content_digest"] is not None
        new = DeliveryRow(
            id=random_id(), message_id=head.message_id, party=head.party, key_id=head.key_id, number=head.number, lane=head.lane,
            state=State.QUEUED, party_key=row["party_key"], content_digest=bytes(row["content_digest"]), payload_id=row["payload_id"],
            waits_for=head.waits_for, approval=head.approval, way=head.way, accepted_at=unit.now, updated_at=unit.now,
        )  # fmt: skip
        rules.replace(key, head, new, unit.now)
        unit.move_dependents(head, new)
        add_delivery(unit, new, None)
        self._provide(unit, head, new, row["terms"])
        self._changed(unit, key, head)

    def _provide(self, unit: Unit, head: DeliveryRow, new: DeliveryRow, terms: str | None) -> None:
        """The corrected delivery has a record of provision of its own, like the one that it replaces."""
        old = unit.conn.execute(select(t.provision).where(t.provision.c.id == head.id)).mappings().first()
        if old is not None:
            changes = {"id": new.id, "at": unit.now, "terms": terms, "outcome": "permitted", "outcome_at": None, "code": None}
            unit.add(t.provision, {**old, **changes})

    # ---- shared ------------------------------------------------------------------------------------------------------------------

    def _locked(self, unit: Unit, seen: Seen) -> tuple[KeyRow, DeliveryRow]:
        if seen.delivery_id not in unit.deliveries:
            unit.load_deliveries([seen.delivery_id])
        delivery = unit.deliveries.get(seen.delivery_id)
        if delivery is None:
            raise CommandRefused("delivery-unknown", "there is no such delivery")
        key = unit.keys[delivery.key_id]
        head = unit.head(key)
        if head is None or head.id != seen.delivery_id:
            raise CommandRefused(
                "not-the-head", "this delivery is final, or waits behind another: act on the head of its resident", rule="R13"
            )
        status = describe(head, key, unit.party(head.party), unit.now)
        if status.word != seen.state or head.content_digest != seen.content_digest:
            raise CommandRefused("changed-meanwhile", f"it is {status.word} now, or its content has changed: look again", rule="R13")
        return key, head

    def _check(self, unit: Unit, key: KeyRow, head: DeliveryRow, party_key: str | None = None) -> None:
        manual = self.kind == "by-hand" and bool(unit.party(head.party).manual)
        refusal = why_not(self.kind, key, head, self.traits, party_counts=self.party_counts, now=unit.now, manual=manual)
        if refusal is not None:
            raise refusal
        if self.kind == "by-hand" and head.waits_for is not None and unit.facts(head).predecessor is not State.DELIVERED:
            raise CommandRefused("predecessor-first", "it follows another delivery, which has not been delivered yet (R3)", rule="R3")
        if self.kind == "correct":
            wanted = self.correction.party_key if self.correction else party_key
            if wanted is not None and self._party_key_used(unit, head.party, wanted):
                raise CommandRefused("party-key-reused", "the corrected content needs a 依頼管理番号 of its own (R4)", rule="R4")

    def _party_key_used(self, unit: Unit, party: str, party_key: str) -> bool:
        query = select(t.delivery.c.id).where(t.delivery.c.party == party, t.delivery.c.party_key == party_key)
        return unit.conn.execute(query).first() is not None

    def _changed(self, unit: Unit, key: KeyRow, head: DeliveryRow) -> None:
        unit.touch(key, head)
        if head.state.final:
            self.bells.extend(bell_of(woken, unit.now) for woken in unit.wake_dependents(head))
        if key.due_at is not None and key.due_at <= unit.now:
            self.bells.append(bell_of(key, unit.now))
