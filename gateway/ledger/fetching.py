"""What was fetched from the parties: runs by their calendar, batches with what became of each record, and what is known of both."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select, update

from gateway.ids import new_id
from gateway.ledger import leases
from gateway.ledger import tables as t
from gateway.ledger.clock import business_clock, ledger_time
from gateway.ledger.leases import Held
from gateway.ledger.unit import Unit

ACTOR = "fetch"
ACCEPTED, SET_ASIDE, REFUSED = "accepted", "set-aside", "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One moment of the calendar, and what became of it. Times: business time."""

    id: str
    party: str
    due_at: float
    began_at: float
    ended_at: float | None
    attempts: int
    code: str | None
    missed: int
    batches: int
    records: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What became of one record."""

    number: int
    record: str
    outcome: str
    code: str | None = None
    message_id: str | None = None
    duplicate: bool = False
    items_dropped: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The import report of one batch."""

    id: str
    party: str
    batch: str
    run: str | None
    imported_at: float
    records: int
    accepted: int
    set_aside: int
    refused: int
    items_dropped: int
    acknowledged_at: float | None


def business_now(conn: Connection) -> float:
    """Business time, seconds since 1970 UTC."""
    return business_clock(conn).at(ledger_time(conn))


def last_run(conn: Connection, party: str, *, ended: bool = False) -> Run | None:
    """The run of the latest moment; ``ended``: the latest that was brought to its end."""
    c = t.fetch_run.c
    query = select(t.fetch_run).where(c.party == party).order_by(c.due_at.desc()).limit(1)
    row = conn.execute(query.where(c.ended_at.is_not(None)) if ended else query).first()
    return None if row is None else Run(**row._mapping)


def batch_of(conn: Connection, party: str, batch: str) -> tuple[Batch, list[Imported]] | None:
    """A batch that was imported, with its records."""
    c = t.fetch_batch.c
    row = conn.execute(select(t.fetch_batch).where(c.party == party, c.batch == batch)).first()
    if row is None:
        return None
    return Batch(**row._mapping), records_of(conn, row.id)


def batch_named(conn: Connection, name: str) -> tuple[Batch, list[Imported]] | None:
    """A batch by our id of it or the party's (then the latest), with its records."""
    c = t.fetch_batch.c
    row = conn.execute(select(t.fetch_batch).where((c.id == name) | (c.batch == name)).order_by(c.id.desc()).limit(1)).first()
    return None if row is None else (Batch(**row._mapping), records_of(conn, row.id))


def records_of(conn: Connection, batch_id: str) -> list[Imported]:
    """What became of every record of a batch, in its order."""
    c = t.fetch_record.c
    columns = [c[name] for name in Imported.__dataclass_fields__]
    return [Imported(**row._mapping) for row in conn.execute(select(*columns).where(c.batch_id == batch_id).order_by(c.number))]


def batches(conn: Connection, *, party: str | None, limit: int) -> list[Batch]:
    """Import reports, newest first."""
    query = select(t.fetch_batch).order_by(t.fetch_batch.c.imported_at.desc(), t.fetch_batch.c.id.desc()).limit(limit)
    return [Batch(**row._mapping) for row in conn.execute(query if party is None else query.where(t.fetch_batch.c.party == party))]


def kept_before(conn: Connection, system: str, records: Collection[str]) -> dict[str, str]:
    """Which of these records were refused and kept before, with the code: they are not kept twice."""
    c = t.quarantine.c
    query = select(c.source_id, func.min(c.code)).where(c.system == system, c.source_id.in_(sorted(records))).group_by(c.source_id)
    return {str(source): str(code) for source, code in conn.execute(query)}


def unknown(conn: Connection, party: str, records: Collection[str]) -> list[str]:
    """Of these records, those of which nothing came here yet, in their order."""
    r, b = t.fetch_record.c, t.fetch_batch.c
    known: set[str] = set()
    wanted = list(dict.fromkeys(records))
    for start in range(0, len(wanted), 500):
        query = select(r.record).join(t.fetch_batch, b.id == r.batch_id).where(b.party == party, r.record.in_(wanted[start : start + 500]))
        known.update(conn.execute(query).scalars())
    return [each for each in wanted if each not in known]


@dataclass(slots=True, kw_only=True)
class BeginRun:
    """A run for a moment begins, or begins anew. Result: its id; None: another process holds the lease."""

    held: Held
    party: str
    due_at: float
    now: float
    missed: int
    bulk: bool = True
    size: int = 1
    id: str | None = None

    def plan(self, unit: Unit) -> None:
        self.id = None

    def apply(self, unit: Unit) -> None:
        if not leases.holds(unit, self.held):
            return
        c = t.fetch_run.c
        known = unit.conn.execute(select(c.id).where(c.party == self.party, c.due_at == self.due_at)).scalar()
        if known is not None:
            unit.conn.execute(update(t.fetch_run).where(c.id == known).values(began_at=self.now, attempts=c.attempts + 1))
            self.id = known
            return
        self.id = new_id()
        row = {
            "id": self.id, "party": self.party, "due_at": self.due_at, "began_at": self.now, "ended_at": None, "attempts": 1, "code": None,
            "missed": self.missed, "batches": 0, "records": 0,
        }  # fmt: skip
        unit.conn.execute(t.fetch_run.insert().values(row))
        if self.missed:
            unit.audit("fetch-missed", ACTOR, party=self.party, count=self.missed)

    def finish(self, unit: Unit) -> str | None:
        return self.id


@dataclass(slots=True, kw_only=True)
class EndRun:
    """A run has come to its end, also where nothing was there (``code`` None), or has failed."""

    id: str
    party: str
    now: float
    code: str | None
    bulk: bool = True
    size: int = 1

    def plan(self, unit: Unit) -> None:
        """Nothing is needed before."""

    def apply(self, unit: Unit) -> None:
        b = t.fetch_batch.c
        batches, records = unit.conn.execute(select(func.count(), func.coalesce(func.sum(b.records), 0)).where(b.run == self.id)).one()
        values: dict[str, Any] = {"code": self.code, "batches": batches, "records": records}
        if self.code is None:
            values["ended_at"] = self.now
            unit.audit("fetched", ACTOR, party=self.party, batches=batches, records=records)
        else:
            unit.audit("fetch-failed", ACTOR, party=self.party, code=self.code)
        unit.conn.execute(update(t.fetch_run).where(t.fetch_run.c.id == self.id).values(values))

    def finish(self, unit: Unit) -> None:
        return None


@dataclass(slots=True, kw_only=True)
class RecordBatch:
    """The import report of a batch, once all its records are committed. Result: whether it was written (False: it was there)."""

    held: Held
    party: str
    batch: str
    run: str
    now: float
    records: Sequence[Imported]
    bulk: bool = True
    size: int = 1
    written: bool = False

    def plan(self, unit: Unit) -> None:
        self.written = False

    def apply(self, unit: Unit) -> None:
        if not leases.holds(unit, self.held):
            return
        c = t.fetch_batch.c
        if unit.conn.execute(select(c.id).where(c.party == self.party, c.batch == self.batch)).scalar() is not None:
            return
        self.written = True
        batch_id = new_id()
        counts = {name: sum(each.outcome == name for each in self.records) for name in (ACCEPTED, SET_ASIDE, REFUSED)}
        row = {
            "id": batch_id, "party": self.party, "batch": self.batch, "run": self.run, "imported_at": self.now,
            "records": len(self.records), "accepted": counts[ACCEPTED], "set_aside": counts[SET_ASIDE], "refused": counts[REFUSED],
            "items_dropped": sum(each.items_dropped for each in self.records), "acknowledged_at": None,
        }  # fmt: skip
        unit.conn.execute(t.fetch_batch.insert().values(row))
        fields = Imported.__dataclass_fields__
        if self.records:
            rows = [{"batch_id": batch_id, **{name: getattr(each, name) for name in fields}} for each in self.records]
            unit.conn.execute(t.fetch_record.insert(), rows)
        unit.audit(
            "batch-imported", ACTOR, party=self.party, batch=self.batch, records=len(self.records), accepted=counts[ACCEPTED],
            set_aside=counts[SET_ASIDE], refused=counts[REFUSED], items_dropped=row["items_dropped"],
        )  # fmt: skip

    def finish(self, unit: Unit) -> bool:
        return self.written


@dataclass(slots=True, kw_only=True)
class NoteAcknowledged:
    """The party has been told what became of a batch."""

    party: str
    batch: str
    now: float
    bulk: bool = True
    size: int = 1

    def plan(self, unit: Unit) -> None:
        """Nothing is needed before."""

    def apply(self, unit: Unit) -> None:
        c = t.fetch_batch.c
        where = (c.party == self.party, c.batch == self.batch, c.acknowledged_at.is_(None))
        unit.conn.execute(update(t.fetch_batch).where(*where).values(acknowledged_at=self.now))

    def finish(self, unit: Unit) -> None:
        return None
