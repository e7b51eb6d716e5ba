"""Small operations: registrations of processes, intake epochs, bells that were rung, pauses, quarantine, replies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.dialects import postgresql, sqlite

from gateway.delivery import machine
from gateway.errors import CommandRefused
from gateway.ids import new_id
from gateway.ledger import statements as sql
from gateway.ledger import tables as t
from gateway.ledger.adding import add_sealed
from gateway.ledger.bells import Bell, bell_of
from gateway.ledger.prepared import IntakeEpochLost, SealedPayload
from gateway.ledger.restoring import RESTORED
from gateway.ledger.unit import Unit


@dataclass(slots=True, kw_only=True)
class RegisterProcess:
    """R6: a fresh registration, never reused. Its id is the result."""

    role: str
    host: str
    pid: int
    bulk: bool = False
    size: int = 1
    id: str = ""

    def plan(self, unit: Unit) -> None:
        self.id = new_id()

    def apply(self, unit: Unit) -> None:
        unit.add(
            t.worker,
            {"id": self.id, "role": self.role, "host": self.host, "pid": self.pid, "registered_at": unit.now, "renewed_at": unit.now},
        )

    def finish(self, unit: Unit) -> str:
        return self.id


@dataclass(slots=True, kw_only=True)
class RenewProcess:
    """R6: this process lives. The result says whether the registration still stands."""

    id: str
    end: bool = False
    bulk: bool = False
    size: int = 1
    stands: bool = False

    def plan(self, unit: Unit) -> None:
        self.stands = False

    def apply(self, unit: Unit) -> None:
        values: dict[str, Any] = {"ended_at": unit.now} if self.end else {"renewed_at": unit.now}
        done = unit.conn.execute(update(t.worker).where(t.worker.c.id == self.id, t.worker.c.ended_at.is_(None)).values(values))
        self.stands = done.rowcount == 1

    def finish(self, unit: Unit) -> bool:
        return self.stands


@dataclass(slots=True, kw_only=True)
class EndProcess:
    """The supervisor saw that this process has ended: its claims are void at once, not after three seconds (R6)."""

    host: str
    pid: int
    bulk: bool = False
    size: int = 1

    def plan(self, unit: Unit) -> None:
        """Nothing is locked before."""

    def apply(self, unit: Unit) -> None:
        mine = (t.worker.c.host == self.host, t.worker.c.pid == self.pid, t.worker.c.ended_at.is_(None))
        unit.conn.execute(update(t.worker).where(*mine).values(ended_at=unit.now))

    def finish(self, unit: Unit) -> None:
        return None


@dataclass(slots=True, kw_only=True)
class ClaimIntake:
    """R16: this consumer has become the active one of a system's intake queue; whoever was before admits nothing more."""

    system: str
    worker: str
    bulk: bool = False
    size: int = 1
    epoch: int = 0

    def plan(self, unit: Unit) -> None:
        # before everything else is locked: epochs come first in the order of locks (R20)
        make = postgresql.insert if unit.postgresql else sqlite.insert
        values = {"system": self.system, "epoch": 1, "worker": self.worker, "claimed_at": unit.now}
        statement = make(t.intake_epoch).values(values)
        statement = statement.on_conflict_do_update(
            index_elements=["system"],
            set_={"epoch": t.intake_epoch.c.epoch + 1, "worker": self.worker, "claimed_at": unit.now},
        )
        unit.conn.execute(statement)
        self.epoch = unit.conn.execute(select(t.intake_epoch.c.epoch).where(t.intake_epoch.c.system == self.system)).scalar_one()

    def apply(self, unit: Unit) -> None:
        unit.audit("intake-claimed", self.worker, system=self.system, epoch=self.epoch)

    def finish(self, unit: Unit) -> int:
        return self.epoch


@dataclass(slots=True, kw_only=True)
class MarkRung:
    """The look-up rings for these keys: remembered, so that a backlog is not rung for twice a second (R15). Result: the bells."""

    keys: Sequence[str]
    bulk: bool = False
    size: int = 1
    bells: tuple[Bell, ...] = ()

    def plan(self, unit: Unit) -> None:
        unit.want_keys.update(self.keys)

    def apply(self, unit: Unit) -> None:
        bells = []
        for key_id in self.keys:
            key = unit.keys.get(key_id)
            if key is not None and key.due_at is not None and key.held is None and not key.idle:
                bells.append(bell_of(key, unit.now))
                unit.touch(key)
        self.bells = tuple(bells)

    def finish(self, unit: Unit) -> tuple[Bell, ...]:
        return self.bells


@dataclass(slots=True, kw_only=True)
class PauseParty:
    """An operator stops deliveries to a party, or lets them go on."""

    party: str
    actor: str
    paused: bool
    reason: str
    manual: bool = False
    """Stop because its work is done by hand; or end that."""
    bulk: bool = False
    size: int = 1
    refused: CommandRefused | None = None

    def plan(self, unit: Unit) -> None:
        self.refused = None  # the party is locked last, in ``apply``

    def apply(self, unit: Unit) -> None:
        row = unit.party(self.party, lock=True)
        if row.paused_by == RESTORED:
            if not self.paused:
                text = "a restore has stopped this party: two persons release it (renkei backup release)"
                self.refused = CommandRefused("restored-not-released", text, rule="R24")
            return  # it stands still already, and stays so
        if not self.paused and bool(row.manual) is not self.manual:
            text = "its work is done by hand: renkei party automatic" if row.manual else "its work is not done by hand: renkei resume"
            self.refused = CommandRefused("party-manual" if row.manual else "party-not-manual", text)
            return
        row.paused_by = self.actor if self.paused else None
        row.paused_at = unit.now if self.paused else None
        row.manual = self.paused and (self.manual or bool(row.manual))
        unit.touch(party=row)
        kind = ("party-manual" if self.paused else "party-automatic") if self.manual else "party-paused" if self.paused else "party-resumed"
        unit.audit(kind, self.actor, party_id=self.party, reason=self.reason)

    def finish(self, unit: Unit) -> CommandRefused | None:
        return self.refused


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedProvision:
    """What a record of provision says of a refusal (C-2-5-2, C-3-5-2)."""

    party: str | None
    identifiers: tuple[tuple[str, bytes], ...]
    """Blind indexes of the resident, where the message was read before it was refused."""
    work: str | None = None
    operator: str | None = None
    terminal: str | None = None


@dataclass(slots=True, kw_only=True)
class Quarantine:
    """Keep what was refused at a door, sealed, for the operator (I10), and record the refusal (I7). Result: its id."""

    system: str
    door: str
    code: str
    rule: str | None
    place: str | None
    size_bytes: int
    quarantine_id: str
    sealed: SealedPayload | None
    source_id: str | None = None
    type: str | None = None
    content_type: str = "application/octet-stream"
    attributes: str | None = None
    """Of the event, as JSON."""
    intake: tuple[str, str, int] | None = None
    provision: RefusedProvision | None = None
    bulk: bool = False
    size: int = 1
    epoch_lost: bool = False

    def plan(self, unit: Unit) -> None:
        self.epoch_lost = False
        if self.intake is not None:
            unit.want_epochs.add(self.intake[0])

    def apply(self, unit: Unit) -> None:
        if self.intake is not None and not unit.holds_epoch(self.intake):
            self.epoch_lost = True
            return
        unit.add(
            t.quarantine,
            {
                "id": self.quarantine_id, "system": self.system, "door": self.door, "source_id": self.source_id, "type": self.type,
                "code": self.code, "rule": self.rule, "place": self.place, "size_bytes": self.size_bytes,
                "payload_id": self.sealed.key_id if self.sealed is not None else None, "at": unit.now,
                "attributes": self.attributes,
            },
        )  # fmt: skip
        if self.sealed is not None:
            add_sealed(
                unit, "quarantine", self.sealed, message_id=self.quarantine_id, party="quarantine",
                content_type=self.content_type,
            )  # fmt: skip
        if self.provision is not None:
            self._record(unit, self.provision)
        unit.audit(
            "refused", self.system, door=self.door, code=self.code, rule=self.rule, place=self.place, id=self.source_id, type=self.type,
            quarantine=self.quarantine_id,
        )  # fmt: skip

    def _record(self, unit: Unit, refused: RefusedProvision) -> None:
        """Refused attempts are recorded like successes; a resident whom nobody knows yet is not made known by one."""
        subject = None
        for kind, blind in refused.identifiers:
            found = sql.rows(unit.conn, sql.ALIASES, kind, ids=[blind])
            if found:
                subject = found[0][2]
                break
        unit.add(
            t.provision,
            {
                "id": self.quarantine_id, "at": unit.now, "subject": subject, "message_id": None, "system": self.system,
                "type": self.type, "party": refused.party, "work": refused.work, "terms": None, "operator": refused.operator,
                "terminal": refused.terminal, "outcome": "refused", "outcome_at": unit.now, "code": self.code, "rule": self.rule,
            },
        )  # fmt: skip

    def finish(self, unit: Unit) -> Any:
        if self.epoch_lost:
            assert self.intake is not None
            return IntakeEpochLost(self.intake[0])
        return self.quarantine_id


@dataclass(slots=True, kw_only=True)
class RecordReply:
    """R14: an answer that came after its call. Evidence always; before a final state it also wakes the key. Result: the bells."""

    party: str
    correlation: str
    kind: str
    """``delivered``, ``rejected`` or ``retry-later``."""
    code: str | None
    actor: str
    digest: str | None = None
    """SHA-256 of the reply as it came, for the record."""
    bulk: bool = False
    size: int = 1
    bells: tuple[Bell, ...] = ()
    known: bool = False

    def plan(self, unit: Unit) -> None:
        self.bells = ()
        unit.lock_replies([(self.party, self.correlation)])
        query = select(t.delivery.c.key_id).where(t.delivery.c.correlation == self.correlation, t.delivery.c.party == self.party)
        keys = set(unit.conn.execute(query).scalars())
        self.known = bool(keys)
        unit.want_keys.update(keys)

    def apply(self, unit: Unit) -> None:
        unit.add(
            t.reply,
            {"id": new_id(), "party": self.party, "correlation": self.correlation, "kind": self.kind, "code": self.code, "at": unit.now},
        )
        bells = []
        matched = False
        unit.note_reply(self.party, self.correlation, self.kind, self.code)
        # also the keys of other operations of this group: the outcome that brings the correlation may be among them
        for key in [key for key in unit.keys.values() if key.party == self.party]:
            head = unit.head(key)
            if head is None or head.correlation != self.correlation:
                continue
            matched = True
            machine.replied(key, head, head.id, unit.now)
            unit.touch(key, head)
            unit.audit("reply", self.actor, delivery=head, outcome=self.kind, code=self.code, **self._digest())
            if key.due_at is not None and key.claim_worker is None:
                bells.append(bell_of(key, unit.now))
        if not matched:
            # either the end was before, or the outcome that brings this correlation is still on its way: it reads this row (R14)
            kind = "reply-after-the-end" if self.known else "reply-not-matched"
            unit.audit(
                kind, self.actor, party_id=self.party, correlation=self.correlation, outcome=self.kind, code=self.code, **self._digest()
            )
        self.bells = tuple(bells)

    def _digest(self) -> dict[str, Any]:
        return {} if self.digest is None else {"sha256": self.digest}

    def finish(self, unit: Unit) -> tuple[Bell, ...]:
        return self.bells
