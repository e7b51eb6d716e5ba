"""Operators' commands on the key row under its lock (R13), with a second person where one is needed.

A command names the state and the content digest that were seen; if either has changed it is refused. *retry* acts at once; *skip*,
*correct* and *settle* are requested by one person and carried out when another approves, in the transaction that checks again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select, update

from gateway.delivery import machine
from gateway.delivery.rows import DeliveryRow, KeyRow, PartyTraits, State
from gateway.delivery.status import describe
from gateway.errors import CommandRefused
from gateway.ids import new_id, random_id
from gateway.ledger import tables as t
from gateway.ledger.admission import SealedPayload, add_delivery, add_sealed
from gateway.ledger.bells import Bell, bell_of
from gateway.ledger.unit import Unit

REQUEST_EXPIRES_S = 24 * 3600.0
"""A request that nobody has decided by then is void; seconds."""


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


@dataclass(slots=True, kw_only=True)
class Command:
    """One command, asked for by one person (``command_id`` is None) or approved by another."""

    kind: str
    """retry | skip | correct | settle"""
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
    bulk: bool = False
    size: int = 1
    bells: list[Bell] = field(default_factory=list)
    result: Any = None

    def plan(self, unit: Unit) -> None:
        self.bells, self.result = [], None
        delivery_id = self.seen.delivery_id if self.seen is not None else None
        if self.command_id is not None:
            delivery_id = unit.conn.execute(select(t.command.c.delivery_id).where(t.command.c.id == self.command_id)).scalar()
        if delivery_id is not None:
            key_id = unit.conn.execute(select(t.delivery.c.key_id).where(t.delivery.c.id == delivery_id)).scalar()
            if key_id is not None:
                unit.want_keys.add(key_id)
                unit.want_final.add(delivery_id)

    def apply(self, unit: Unit) -> None:
        try:
            self.result = self._decide(unit) if self.command_id is not None else self._ask(unit)
        except CommandRefused as refused:
            delivery_id = self.seen.delivery_id if self.seen else None
            unit.audit(
                "command-refused", self.actor, command=self.kind, delivery_id=delivery_id, request=self.command_id, code=refused.code
            )
            self.result = refused

    def finish(self, unit: Unit) -> Any:
        return self.result if isinstance(self.result, CommandRefused) else (self.result, tuple(self.bells))

    # ---- asking ------------------------------------------------------------------------------------------------------------------

    def _ask(self, unit: Unit) -> dict[str, Any]:
        assert self.seen is not None
        if self.kind != "retry" and not self.reason.strip():
            raise CommandRefused("reason-missing", "this command needs a reason")
        key, head = self._locked(unit, self.seen)
        self._check(unit, key, head)
        if self.kind == "retry":
            machine.retry(key, head, unit.now)
            self._changed(unit, key, head)
            unit.audit("command", self.actor, delivery=head, command="retry", reason=self.reason)
            return {"status": "done", "request": None}
        request = new_id()
        expires = unit.now + REQUEST_EXPIRES_S
        argument = None if self.took_effect is None else ("took-effect" if self.took_effect else "no-effect")
        unit.add(
            t.command,
            {
                "id": request,
                "kind": self.kind,
                "delivery_id": head.id,
                "seen_state": self.seen.state,
                "seen_digest": self.seen.content_digest,
                "argument": argument,
                "party_key": self.correction.party_key if self.correction else None,
                "content_digest": self.correction.content_digest if self.correction else None,
                "payload_id": self.correction.sealed.key_id if self.correction else None,
                "reason": self.reason,
                "requested_by": self.actor,
                "requested_at": unit.now,
                "expires_at": expires,
                "status": "waiting",
            },
        )
        if self.correction is not None:
            add_sealed(unit, "command", self.correction.sealed, message_id=head.message_id, party=head.party)
        unit.audit(
            "command-requested", self.actor, delivery=head, command=self.kind, request=request, reason=self.reason, argument=argument
        )
        return {"status": "waiting", "request": request, "expires_at": expires}

    # ---- deciding ----------------------------------------------------------------------------------------------------------------

    def _decide(self, unit: Unit) -> dict[str, Any]:
        query = select(t.command).where(t.command.c.id == self.command_id)
        row = unit.conn.execute(query.with_for_update() if unit.postgresql else query).mappings().first()
        if row is None:
            raise CommandRefused("request-unknown", "there is no such request")
        if row["status"] != "waiting":
            raise CommandRefused("request-decided", f"this request is already {row['status']}")
        if row["expires_at"] <= unit.now:
            self._close(unit, "expired")
            raise CommandRefused("request-expired", "this request has expired; ask again")
        if not self.approve:
            self._close(unit, "withdrawn" if row["requested_by"] == self.actor else "refused")
            unit.audit("command-declined", self.actor, request=self.command_id, command=row["kind"])
            return {"status": "declined", "request": self.command_id}
        if row["requested_by"] == self.actor:
            raise CommandRefused("second-person", "the person who asked cannot approve: a second person must")
        self.kind = row["kind"]
        self.took_effect = None if row["argument"] is None else row["argument"] == "took-effect"
        seen = Seen(delivery_id=row["delivery_id"], state=row["seen_state"], content_digest=bytes(row["seen_digest"]))
        key, head = self._locked(unit, seen)
        if self.kind == "correct":
            self._correct(unit, key, head, row)
        else:
            self._check(unit, key, head)
            if self.kind == "skip":
                machine.skip(key, head, "skipped-by-operator", unit.now)
            else:
                machine.settle(key, head, bool(self.took_effect), "settled-by-operator", unit.now)
            self._changed(unit, key, head)
        self._close(unit, "done")
        unit.audit(
            "command", self.actor, delivery=head, command=self.kind, request=self.command_id, requested_by=row["requested_by"],
            reason=row["reason"], argument=row["argument"],
        )  # fmt: skip
        return {"status": "done", "request": self.command_id}

    def _correct(self, unit: Unit, key: KeyRow, head: DeliveryRow, row: Any) -> None:
        self.correction = None
        self._check(unit, key, head, party_key=row["party_key"])
        new = DeliveryRow(
            id=random_id(), message_id=head.message_id, party=head.party, key_id=head.key_id, number=head.number, lane=head.lane,
            state=State.QUEUED, party_key=row["party_key"], content_digest=bytes(row["content_digest"]), payload_id=row["payload_id"],
            waits_for=head.waits_for, accepted_at=unit.now, updated_at=unit.now,
        )  # fmt: skip
        machine.replace(key, head, new, unit.now)
        unit.move_dependents(head, new)
        add_delivery(unit, new, None)
        self._changed(unit, key, head)

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
            raise CommandRefused("not-the-head", "this delivery is final, or waits behind another: act on the head of its resident")
        status = describe(head, key, None, unit.now)
        if status.word != seen.state or head.content_digest != seen.content_digest:
            raise CommandRefused("changed-meanwhile", f"it is {status.word} now, or its content has changed: look again")
        return key, head

    def _check(self, unit: Unit, key: KeyRow, head: DeliveryRow, party_key: str | None = None) -> None:
        now = unit.now
        if self.kind == "retry":
            if key.held is None:
                raise CommandRefused("not-held", "only what is held can be retried")
            if not machine.retry_allowed(head, self.traits):
                raise CommandRefused(
                    "retry-unknown", "its outcome is unknown and the party neither drops duplicates nor answers queries: settle it (R13)"
                )
        elif self.kind == "settle":
            if head.state is not State.UNKNOWN or key.held is None:
                raise CommandRefused("not-unknown", "only a held delivery whose outcome is unknown can be settled")
            if head.open_at(now):
                raise CommandRefused("not-settled", "an attempt may still take effect: wait until all have settled (R13)")
        else:
            if self.kind == "skip" and self.party_counts:
                raise CommandRefused(
                    "skip-counted",
                    "the party counts this type (更新順番号): it is corrected, or replaced by the register, never skipped (R4)",
                )
            if not machine.outcome_known(key, head, now):
                raise CommandRefused("outcome-unknown", "it is not known whether it took effect: retry or settle it first (R13)")
            if key.held is None:
                raise CommandRefused("not-held", "only what is held can be skipped or corrected")
            if self.kind == "correct":
                wanted = self.correction.party_key if self.correction else party_key
                if wanted is not None and self._party_key_used(unit, head.party, wanted):
                    raise CommandRefused("party-key-reused", "the corrected content needs a 依頼管理番号 of its own (R4)")

    def _party_key_used(self, unit: Unit, party: str, party_key: str) -> bool:
        query = select(t.delivery.c.id).where(t.delivery.c.party == party, t.delivery.c.party_key == party_key)
        return unit.conn.execute(query).first() is not None

    def _changed(self, unit: Unit, key: KeyRow, head: DeliveryRow) -> None:
        unit.touch(key, head)
        if head.state.final:
            self.bells.extend(bell_of(woken, unit.now) for woken in unit.wake_dependents(head))
        if key.due_at is not None and key.due_at <= unit.now:
            self.bells.append(bell_of(key, unit.now))

    def _close(self, unit: Unit, status: str) -> None:
        unit.conn.execute(
            update(t.command).where(t.command.c.id == self.command_id).values(status=status, decided_by=self.actor, decided_at=unit.now)
        )
