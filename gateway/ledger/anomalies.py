"""Anomalies of feeds and links: raised, changed and cleared in the ledger, each change on record; and what they are judged by."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, func, select, update

from gateway.feeds.judging import LAG, Anomaly, Arrival, Under
from gateway.ids import new_id
from gateway.ledger import fetching, leases
from gateway.ledger import tables as t
from gateway.ledger.clock import business_clock
from gateway.ledger.leases import Held
from gateway.ledger.unit import Unit

ACTOR = "monitoring"
WATCHED = "feeds_watched_since"
_SKEW_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """An anomaly of the ledger. Times: business time."""

    id: str
    link: str
    kind: str
    cause: str
    since: float
    raised_at: float
    changed_at: float
    cleared_at: float | None


def open_ones(conn: Connection) -> list[Known]:
    """Those that are not cleared, oldest first."""
    c = t.anomaly.c
    return [Known(**row._mapping) for row in conn.execute(select(t.anomaly).where(c.cleared_at.is_(None)).order_by(c.id))]


def latest(conn: Connection, limit: int) -> list[Known]:
    """All, newest first."""
    return [Known(**row._mapping) for row in conn.execute(select(t.anomaly).order_by(t.anomaly.c.id.desc()).limit(limit))]


def watched_since(conn: Connection) -> float | None:
    """Since when feeds are watched here (business time): before that nothing was expected."""
    found = conn.execute(select(t.meta.c.value).where(t.meta.c.name == WATCHED)).scalar()
    return None if found is None else float(found)


def fetched(conn: Connection, party: str) -> Arrival:
    """The last run of a party that was brought to its end."""
    ended, last = fetching.last_run(conn, party, ended=True), fetching.last_run(conn, party)
    problem = last.code if last is not None and last.ended_at is None else None
    if ended is None:
        return Arrival(at=None, problem=problem)
    return Arrival(at=ended.ended_at, records=ended.records, problem=problem)


def handed_in(conn: Connection, system: str, message_type: str, since: float) -> Arrival:
    """The last message of that type of that system, accepted since then (business time)."""
    c, offset = t.message.c, business_clock(conn).offset_s
    first = f"{max(0, int((since - offset - _SKEW_S) * 1000)):012x}"[:8]  # ids rise with time, which serves as the index
    query = select(c.accepted_at).where(c.id >= first, c.system == system, c.type == message_type).order_by(c.id.desc()).limit(1)
    found = conn.execute(query).scalar()
    return Arrival(at=None if found is None else found + offset)


def under_way(conn: Connection, parties: Collection[str]) -> dict[str, Under]:
    """What is under way to each party that has anything."""
    d, k, p, offset = t.delivery.c, t.key_row.c, t.party_state.c, business_clock(conn).offset_s
    wanted = sorted(parties)
    # by the heads of the keys: what waits behind another is younger than it
    heads = select(d.party, func.min(d.accepted_at)).join(t.key_row, and_(k.id == d.key_id, k.head == d.number))
    heads = heads.where(d.party.in_(wanted), d.final_at.is_(None)).group_by(d.party)
    oldest = {str(party): float(at) for party, at in conn.execute(heads)}
    held = {
        str(party): int(count)
        for party, count in conn.execute(select(k.party, func.count()).where(k.party.in_(wanted), k.held.is_not(None)).group_by(k.party))
    }
    states = {row.party: row for row in conn.execute(select(p.party, p.breaker, p.code, p.paused_by).where(p.party.in_(wanted)))}
    found = {}
    for party, at in oldest.items():
        state = states.get(party)
        found[party] = Under(
            oldest=at + offset,
            held=held.get(party, 0),
            paused=state is not None and state.paused_by is not None,
            breaker=state.breaker if state is not None else "closed",
            code=state.code if state is not None else None,
        )
    return found


@dataclass(slots=True, kw_only=True)
class BeginWatch:
    """From now on feeds are expected, if they were not before. Result: since when (business time)."""

    now: float
    bulk: bool = True
    size: int = 1
    since: float = 0.0

    def plan(self, unit: Unit) -> None:
        """Nothing is needed before."""

    def apply(self, unit: Unit) -> None:
        unit.insert_ignore(t.meta, [{"name": WATCHED, "value": repr(self.now)}])
        self.since = watched_since(unit.conn) or self.now

    def finish(self, unit: Unit) -> float:
        return self.since


@dataclass(slots=True, kw_only=True)
class Judge:
    """Write down which anomalies there are now: new ones are raised, changed ones changed, the others cleared.

    Result: (raised or changed, cleared); None: another process holds the lease.
    """

    held: Held
    now: float
    found: Sequence[Anomaly]
    keep: frozenset[str] = frozenset()
    """Kinds that are raised and cleared elsewhere."""
    bulk: bool = True
    size: int = 1
    result: tuple[list[Known], list[Known]] | None = None

    def plan(self, unit: Unit) -> None:
        self.result = None

    def apply(self, unit: Unit) -> None:
        if not leases.holds(unit, self.held):
            return
        known = {_name(each.link, each.kind): each for each in open_ones(unit.conn) if each.kind not in self.keep}
        told: list[Known] = []
        for each in self.found:
            before = known.pop(_name(each.link, each.kind), None)
            if before is None:
                told.append(raise_one(unit, each, self.now))
            elif (before.kind, before.cause) != (each.kind, each.cause):
                told.append(_change(unit, before, each, self.now))
        for over in known.values():
            clear_one(unit, over, self.now)
        self.result = told, list(known.values())

    def finish(self, unit: Unit) -> tuple[list[Known], list[Known]] | None:
        return self.result


def _name(link: str, kind: str) -> tuple[str, bool]:
    """A feed has one anomaly at a time, whatever it is called; a party has one of its link besides."""
    return link, kind == LAG


def raise_one(unit: Unit, anomaly: Anomaly, now: float) -> Known:
    """A new anomaly."""
    row: dict[str, Any] = {
        "id": new_id(), "link": anomaly.link, "kind": anomaly.kind, "cause": anomaly.cause, "since": anomaly.since, "raised_at": now,
        "changed_at": now, "cleared_at": None,
    }  # fmt: skip
    unit.conn.execute(t.anomaly.insert().values(row))
    unit.audit("anomaly-raised", ACTOR, link=anomaly.link, anomaly=anomaly.kind, cause=anomaly.cause)
    return Known(**row)


def _change(unit: Unit, before: Known, anomaly: Anomaly, now: float) -> Known:
    values = {"kind": anomaly.kind, "cause": anomaly.cause, "changed_at": now}
    unit.conn.execute(update(t.anomaly).where(t.anomaly.c.id == before.id).values(values))
    unit.audit("anomaly-changed", ACTOR, link=anomaly.link, anomaly=anomaly.kind, cause=anomaly.cause)
    return Known(
        id=before.id, link=before.link, kind=anomaly.kind, cause=anomaly.cause, since=before.since, raised_at=before.raised_at,
        changed_at=now, cleared_at=None,
    )  # fmt: skip


def clear_one(unit: Unit, known: Known, now: float) -> None:
    """It is over."""
    unit.conn.execute(update(t.anomaly).where(t.anomaly.c.id == known.id).values(cleared_at=now))
    unit.audit("anomaly-cleared", ACTOR, link=known.link, anomaly=known.kind)


@dataclass(slots=True, kw_only=True)
class Reconciled:
    """The portal's list was held against what came here: ``missing`` applications were not here (FS10-3)."""

    link: str
    missing: int
    now: float
    bulk: bool = True
    size: int = 1

    def plan(self, unit: Unit) -> None:
        """Nothing is needed before."""

    def apply(self, unit: Unit) -> None:
        from gateway.feeds.judging import UNRECONCILED

        kind = "applications-without-status" if self.missing else "applications-reconciled"
        unit.audit(kind, fetching.ACTOR, party=self.link, count=self.missing)
        known = [each for each in open_ones(unit.conn) if (each.link, each.kind) == (self.link, UNRECONCILED)]
        if self.missing and not known:
            raise_one(unit, Anomaly(link=self.link, kind=UNRECONCILED, cause="fetched-now", since=self.now), self.now)
        for each in known if not self.missing else ():
            clear_one(unit, each, self.now)

    def finish(self, unit: Unit) -> None:
        return None
