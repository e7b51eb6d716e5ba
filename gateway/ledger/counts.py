"""The ledger in numbers, for status, parties and queues: aggregates by index, beside the writer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, case, func, or_, select

from gateway.delivery.breaker import PartyRow
from gateway.delivery.rows import LIVENESS_S, State
from gateway.ledger import tables as t
from gateway.ledger.clock import ledger_time
from gateway.ledger.lookup import party_row


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneCounts:
    """What is not final, of one lane of one party."""

    depth: int = 0
    sending: int = 0
    backing_off: int = 0
    waiting: int = 0
    held_keys: int = 0
    unknown: int = 0
    oldest_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """The ledger at a glance."""

    now: float
    lanes: Mapping[tuple[str, str], LaneCounts]
    parties: Mapping[str, PartyRow]
    last_delivered_at: Mapping[str, float]
    accepted_last_hour: int
    delivered_last_hour: int
    requests_waiting: int
    workers: int
    quarantined: int


def counts(conn: Connection, parties: Iterable[str]) -> Counts:
    """Everything that status, parties and queues show; cost grows with what is unfinished and with the last hour."""
    now = ledger_time(conn)
    names = sorted(parties)
    hour = now - 3600.0
    delivered = and_(t.delivery.c.final_at > hour, t.delivery.c.state == State.DELIVERED.value)
    last: dict[str, float] = {}
    delivered_last_hour = 0
    for name in names:
        of_party = t.delivery.c.party == name
        at = conn.execute(
            select(t.delivery.c.final_at)
            .where(of_party, t.delivery.c.final_at.is_not(None), t.delivery.c.state == State.DELIVERED.value)
            .order_by(t.delivery.c.final_at.desc())
            .limit(1)
        ).scalar()
        if at is not None:
            last[name] = at
        delivered_last_hour += _count(conn, t.delivery, of_party, delivered)
    return Counts(
        now=now,
        lanes=lane_counts(conn),
        parties={name: party_row(conn, name) for name in names},
        last_delivered_at=last,
        # message ids rise with time, which serves as the index
        accepted_last_hour=_count(conn, t.message, t.message.c.id >= f"{int(hour * 1000):012x}"[:8], t.message.c.accepted_at > hour),
        delivered_last_hour=delivered_last_hour,
        requests_waiting=_count(conn, t.command, t.command.c.status == "waiting", t.command.c.expires_at > now),
        workers=_count(
            conn, t.worker, t.worker.c.role == "worker", t.worker.c.ended_at.is_(None), t.worker.c.renewed_at > now - LIVENESS_S
        ),
        quarantined=_count(conn, t.quarantine),
    )


def lane_counts(conn: Connection) -> dict[tuple[str, str], LaneCounts]:
    """Unfinished deliveries by party and lane."""
    now = ledger_time(conn)
    d, k = t.delivery.c, t.key_row.c
    is_head = d.number == k.head
    waits = or_(d.number != k.head, and_(d.waits_for.is_not(None), k.due_at.is_(None), k.held.is_(None), d.state == State.QUEUED.value))
    backs_off = and_(is_head, k.held.is_(None), d.state == State.QUEUED.value, d.not_before > now)
    query = (
        select(
            d.party,
            d.lane,
            func.count(),
            _sum(d.state == State.SENDING.value),
            _sum(backs_off),
            _sum(waits),
            _sum(and_(is_head, k.held.is_not(None))),
            _sum(d.state == State.UNKNOWN.value),
            func.min(d.accepted_at),
        )
        .join(t.key_row, k.id == d.key_id)
        .where(d.final_at.is_(None))
        .group_by(d.party, d.lane)
    )
    return {
        (party, lane): LaneCounts(
            depth=depth, sending=sending, backing_off=backing, waiting=waiting, held_keys=holds, unknown=unknown, oldest_at=oldest
        )
        for party, lane, depth, sending, backing, waiting, holds, unknown, oldest in conn.execute(query)
    }


def _count(conn: Connection, table: Any, *conditions: Any) -> int:
    return conn.execute(select(func.count()).select_from(table).where(*conditions)).scalar_one()


def _sum(condition: Any) -> Any:
    return func.sum(case((condition, 1), else_=0))
