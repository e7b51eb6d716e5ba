"""The look-up for keys that are due (R6, R15): those unclaimed, and those whose claim is void. Reads only; claiming decides again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, Select, bindparam, select

from gateway.delivery.breaker import PartyRow
from gateway.delivery.rows import LIVENESS_S
from gateway.ledger import tables as t


class DueKey(NamedTuple):
    """A key row that somebody should look at."""

    id: str
    lane: str
    due_at: float
    rung_at: float | None
    rings: int
    void: bool


_EVER, _NEVER = 0.0, 1e18
_LIVE = select(t.worker.c.id).where(t.worker.c.ended_at.is_(None), t.worker.c.renewed_at > bindparam("since"))
_COLUMNS = (t.key_row.c.id, t.key_row.c.lane, t.key_row.c.due_at, t.key_row.c.rung_at, t.key_row.c.rings, t.key_row.c.claim_worker)
_WAITS = (t.key_row.c.party == bindparam("party"), t.key_row.c.due_at.is_not(None), t.key_row.c.held.is_(None))
_UNCLAIMED: Select[tuple[str, str, float, float, int, str]] = (
    select(*_COLUMNS)
    .where(
        *_WAITS,
        t.key_row.c.lane == bindparam("lane"),
        t.key_row.c.due_at.between(bindparam("since"), bindparam("until")),
        t.key_row.c.claim_worker.is_(None),
    )
    .order_by(t.key_row.c.due_at)
    .limit(bindparam("limit"))
)
# The index of claims is small, that of what is due may hold a backlog of 400,000: the party is compared in a way that no index serves.
_VOID: Select[tuple[str, str, float, float, int, str]] = (
    select(*_COLUMNS)
    .where(
        (t.key_row.c.party + "") == bindparam("party"),
        t.key_row.c.held.is_(None),
        t.key_row.c.due_at.is_not(None),
        t.key_row.c.claim_worker.is_not(None),
        t.key_row.c.claim_worker.not_in(_LIVE),
    )
    .limit(bindparam("limit"))
)


def due_keys(conn: Connection, party: str, now: float, horizon_s: float, limit: int) -> Sequence[DueKey]:
    """Keys of ``party`` that are due and unclaimed, live before bulk, oldest first; last those that only a step of the clock explains."""
    found: list[DueKey] = []
    for lane, since, until in (
        ("live", _EVER, now),
        ("bulk", _EVER, now),
        ("live", now + horizon_s, _NEVER),
        ("bulk", now + horizon_s, _NEVER),
    ):
        if len(found) < limit:
            rows = conn.execute(_UNCLAIMED, {"party": party, "lane": lane, "since": since, "until": until, "limit": limit - len(found)})
            found += [DueKey(r.id, r.lane, r.due_at, r.rung_at, r.rings, void=False) for r in rows]
    return found


def void_keys(conn: Connection, party: str, now: float, limit: int) -> Sequence[DueKey]:
    """Keys of ``party`` whose claim belongs to a worker that no longer renews its registration: no bell will ever come for them."""
    rows = conn.execute(_VOID, {"party": party, "since": now - LIVENESS_S, "limit": limit})
    return [DueKey(r.id, r.lane, r.due_at, r.rung_at, r.rings, void=True) for r in rows]


def party_row(conn: Connection, party: str) -> PartyRow:
    """The state of a party (closed, if nothing was ever noted)."""
    row = conn.execute(select(t.party_state).where(t.party_state.c.party == party)).mappings().first()
    return PartyRow(**row) if row is not None else PartyRow(party=party)


def process_lives(conn: Connection, worker: str, now: float) -> bool:
    """The registration is renewed (R6)."""
    return conn.execute(_LIVE.where(t.worker.c.id == worker), {"since": now - LIVENESS_S}).first() is not None


def last_renewal(conn: Connection, host: str, pid: int) -> float | None:
    """When that process last renewed a registration that it still has; None if it has none."""
    query = select(t.worker.c.renewed_at).where(t.worker.c.host == host, t.worker.c.pid == pid, t.worker.c.ended_at.is_(None))
    return conn.execute(query.order_by(t.worker.c.renewed_at.desc()).limit(1)).scalar()
