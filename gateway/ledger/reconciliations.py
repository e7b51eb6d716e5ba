"""Reconciliations in the ledger: how far each is, and what it found. No personal data: residents are keyed references and subjects.

A run goes through its buckets in order, in steps; a step is one transaction that moves ``next_bucket`` and adds what was found, or nothing,
so that a run goes on after any crash where it was. A resident with an update under way, or one that came after the cut-off, is *postponed*:
what was compared says nothing about him, and he is compared again from newer files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, and_, exists, func, or_, select, update

from gateway.errors import CommandRefused
from gateway.ids import key_place, new_id
from gateway.ledger import policies
from gateway.ledger import tables as t
from gateway.ledger.approvals import Row
from gateway.ledger.unit import Unit

IDENTIFIER = "resident-record-code"
CORRECTIONS = ("register-resends", "register-corrects", "party-corrects", "none")
"""What is to be done: the register hands the resident in again; it corrects its own record; the party corrects; nothing."""
OPEN, POSTPONED, RELEASED, RESOLVED = "open", "postponed", "released", "resolved"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One difference as it comes from the comparison."""

    reference: str
    blinds: tuple[bytes, ...]
    """Blind indexes of the resident record code, in every generation."""
    kind: str | None
    """None: compared again, and the same on both sides now."""
    items: tuple[str, ...] = ()


def runs(conn: Connection) -> list[Row]:
    """All of them, newest first, with the number of differences by state."""
    counts = _counts(conn)
    rows = conn.execute(select(t.reconciliation).order_by(t.reconciliation.c.id.desc())).mappings()
    return [{**row, "states": counts.get(row["id"], {})} for row in rows]


def run(conn: Connection, name: str) -> Row | None:
    """One of them, by its name."""
    return next((each for each in runs(conn) if each["run"] == name), None)


def worklist(conn: Connection, identity: str, *, states: Sequence[str], after: int, limit: int) -> list[Row]:
    """Differences of one run, in the order of their numbers; ``protected``: support measures are in force for the resident."""
    d = t.reconciliation_difference.c
    query = select(t.reconciliation_difference).where(d.reconciliation == identity, d.number > after)
    if states:
        query = query.where(d.state.in_(list(states)))
    rows = [dict(row) for row in conn.execute(query.order_by(d.number).limit(limit)).mappings()]
    protected = policies.protected_among(conn, {row["subject"] for row in rows if row["subject"] is not None})
    return [{**row, "protected": row["subject"] in protected} for row in rows]


def digest_of(rows: Sequence[Row]) -> bytes:
    """Names exactly these lines of a worklist, as they are."""
    names = ("number", "kind", "items", "reference", "state")
    return hashlib.sha256(json.dumps([[row[name] for name in names] for row in rows]).encode()).digest()


@dataclass(slots=True, kw_only=True)
class Begin:
    """Begin a run. Result: None; CommandRefused if there is one of this name."""

    actor: str
    values: dict[str, Any]
    bulk: bool = False
    size: int = 1
    result: Any = None

    def plan(self, unit: Unit) -> None:
        self.result = None

    def apply(self, unit: Unit) -> None:
        if unit.conn.execute(select(t.reconciliation.c.id).where(t.reconciliation.c.run == self.values["run"])).first():
            self.result = CommandRefused("run-exists", "there is a run of this name: resume it, or choose another name")
            return
        row = {
            "id": new_id(), "status": "running", "next_bucket": 0, "differing": 0, "found": 0, "began_by": self.actor,
            "began_at": unit.now, "changed_at": unit.now, **self.values,
        }  # fmt: skip
        unit.insert_ignore(t.reconciliation, [row])
        told = ("run", "other", "cut_off", "ours_digest", "theirs_digest", "ours_records", "theirs_records", "reason")
        unit.audit("reconciliation-begun", self.actor, **{name: row[name] for name in told})

    def finish(self, unit: Unit) -> Any:
        return self.result


@dataclass(slots=True, kw_only=True)
class Compared:
    """A step of a run: buckets from ``first`` to before ``until``. Result: the run as it is now. Told twice, it counts once."""

    actor: str
    run: str
    first: int
    until: int
    differing: int
    found: Sequence[Found]
    streams: Sequence[str]
    """Of the party: where something may be under way to it."""
    bulk: bool = True
    size: int = 8
    result: Any = None

    def plan(self, unit: Unit) -> None:
        self.result = None

    def apply(self, unit: Unit) -> None:
        row = _locked(unit, self.run)
        if row["next_bucket"] != self.first or row["status"] != "running":
            self.result = row  # told before, or paused: whoever compares looks where the run is
            return
        if not self.first < self.until <= row["buckets"]:
            self.result = CommandRefused("buckets-unknown", "a step goes forward, and not beyond the last bucket")
            return
        numbered = enumerate(self.found, start=row["found"] + 1)
        unit.insert_ignore(t.reconciliation_difference, [self._line(unit, row, number, each) for number, each in numbered])
        done = self.until == row["buckets"]
        values = {
            "next_bucket": self.until, "differing": row["differing"] + self.differing, "found": row["found"] + len(self.found),
            "status": "done" if done else "running", "changed_at": unit.now,
        }  # fmt: skip
        _change(unit, row, **values)
        if done:
            unit.audit("reconciliation-compared", self.actor, run=self.run, differing=values["differing"], found=values["found"])
        self.result = {**row, **values}

    def _line(self, unit: Unit, row: Row, number: int, each: Found) -> dict[str, Any]:
        subject = _subject(unit.conn, each.blinds)
        return {
            "id": new_id(), "reconciliation": row["id"], "number": number, "kind": each.kind, "items": ",".join(each.items),
            "reference": each.reference, "subject": subject, "state": POSTPONED if _moving(unit.conn, row, subject, self.streams) else OPEN,
            "correction": None, "request_id": None, "changed_at": unit.now,
        }  # fmt: skip

    def finish(self, unit: Unit) -> Any:
        return self.result


@dataclass(slots=True, kw_only=True)
class ComparedAgain:
    """Residents who were compared once more, from files of a later cut-off. Result: how many are in which state now."""

    actor: str
    run: str
    cut_off: float
    found: Sequence[Found]
    streams: Sequence[str]
    """Of the party: where something may be under way to it."""
    bulk: bool = True
    size: int = 8
    result: Any = None
    counts: dict[str, int] = field(default_factory=dict)

    def plan(self, unit: Unit) -> None:
        self.result, self.counts = None, {}

    def apply(self, unit: Unit) -> None:
        row = _locked(unit, self.run)
        if self.cut_off <= row["cut_off"]:
            self.result = CommandRefused("cut-off-too-early", "to compare again takes files of a later cut-off")
            return
        d = t.reconciliation_difference
        for each in self.found:
            where = and_(d.c.reconciliation == row["id"], d.c.reference == each.reference)
            line = unit.conn.execute(select(d).where(where)).mappings().first()
            if line is None or line["state"] == RESOLVED:
                continue
            subject = line["subject"] or _subject(unit.conn, each.blinds)
            values: dict[str, Any] = {"subject": subject, "changed_at": unit.now}
            if _moving(unit.conn, {**row, "cut_off": self.cut_off}, subject, self.streams):
                values["state"] = line["state"] if line["state"] == RELEASED else POSTPONED
            elif each.kind is None:
                values["state"] = RESOLVED
            else:
                same = (each.kind, ",".join(each.items)) == (line["kind"], line["items"])
                values |= {"kind": each.kind, "items": ",".join(each.items)}
                # what two persons authorised holds for what they saw
                values["state"] = RELEASED if same and line["state"] == RELEASED else OPEN
            unit.conn.execute(update(d).where(where).values(**values))
            self.counts[values["state"]] = self.counts.get(values["state"], 0) + 1
        unit.audit("reconciliation-compared-again", self.actor, run=self.run, cut_off=self.cut_off, counts=self.counts)
        self.result = dict(self.counts)

    def finish(self, unit: Unit) -> Any:
        return self.result


@dataclass(slots=True, kw_only=True)
class SetRunning:
    """Pause a run, or let it go on. Result: the run."""

    actor: str
    run: str
    paused: bool
    reason: str
    bulk: bool = False
    size: int = 1
    result: Any = None

    def plan(self, unit: Unit) -> None:
        self.result = None

    def apply(self, unit: Unit) -> None:
        row = _locked(unit, self.run)
        if row["status"] == "done":
            self.result = CommandRefused("run-done", "everything is compared already")
            return
        wanted = "paused" if self.paused else "running"
        if row["status"] != wanted:
            _change(unit, row, status=wanted, changed_at=unit.now)
            kind = "reconciliation-paused" if self.paused else "reconciliation-resumed"
            unit.audit(kind, self.actor, run=self.run, reason=self.reason)
        self.result = {**row, "status": wanted}

    def finish(self, unit: Unit) -> Any:
        return self.result


def still(name: str, numbers: Sequence[int], digest: bytes) -> Callable[[Unit], None]:
    """A check for a request: these differences are open, and as they were seen."""

    def check(unit: Unit) -> None:
        _lines(unit, _locked(unit, name), numbers, digest)

    return check


def release(unit: Unit, request: Row) -> str:
    """The effect of the approval: the correction of these differences is authorised, and on record with them."""
    argument = json.loads(request["argument"])
    row = _locked(unit, argument["run"])
    _lines(unit, row, argument["numbers"], bytes(request["seen_digest"]))
    d = t.reconciliation_difference
    unit.conn.execute(
        update(d)
        .where(d.c.reconciliation == row["id"], d.c.number.in_(argument["numbers"]))
        .values(state=RELEASED, correction=argument["correction"], request_id=request["id"], changed_at=unit.now)
    )
    return "released"


def _lines(unit: Unit, row: Row, numbers: Sequence[int], digest: bytes) -> list[Row]:
    d = t.reconciliation_difference.c
    query = select(t.reconciliation_difference).where(d.reconciliation == row["id"], d.number.in_(list(numbers))).order_by(d.number)
    found: list[Row] = [dict(line) for line in unit.conn.execute(query).mappings()]
    if len(found) != len(numbers) or any(line["state"] != OPEN for line in found) or digest_of(found) != digest:
        raise CommandRefused("changed-meanwhile", "these differences are not open as they were seen: look again", rule="R13")
    return found


def _locked(unit: Unit, name: str) -> Row:
    query = select(t.reconciliation).where(t.reconciliation.c.run == name)
    row = unit.conn.execute(query.with_for_update() if unit.postgresql else query).mappings().first()
    if row is None:
        raise CommandRefused("run-unknown", "there is no run of this name")
    return dict(row)


def _change(unit: Unit, row: Row, **values: Any) -> None:
    unit.conn.execute(update(t.reconciliation).where(t.reconciliation.c.id == row["id"]).values(**values))


def _counts(conn: Connection) -> dict[str, dict[str, int]]:
    d = t.reconciliation_difference.c
    counts: dict[str, dict[str, int]] = {}
    query = select(d.reconciliation, d.state, func.count()).group_by(d.reconciliation, d.state)
    for identity, state, count in conn.execute(query):
        counts.setdefault(identity, {})[state] = count
    return counts


def _subject(conn: Connection, blinds: Sequence[bytes]) -> str | None:
    a = t.subject_alias.c
    return conn.execute(select(a.subject).where(a.blind.in_(list(blinds)), a.kind == IDENTIFIER)).scalar()


def _moving(conn: Connection, row: Row, subject: str | None, streams: Sequence[str]) -> bool:
    """Something about the resident is under way to the party, or arrived there after the cut-off."""
    if subject is None:
        return False
    k, d = t.key_row.c, t.delivery.c
    late = or_(d.final_at.is_(None), d.accepted_at > row["cut_off"], d.final_at > row["cut_off"])
    places = [key_place(row["party"], stream, subject) for stream in streams]
    where = and_(k.place.in_(places), d.key_id == k.id, late)
    return bool(conn.execute(select(exists().where(where))).scalar())
