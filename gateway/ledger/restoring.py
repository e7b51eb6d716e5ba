"""What a restore does to the ledger that it has just filled, in the same transaction (R24).

A restored ledger is older than the world: whatever was unfinished in it may have been sent since, refused, corrected, expired. So all of it
is *unknown*, nobody's claim counts, every party stands still until two persons release it, and what was asked of a second person is to be
asked again. The one thing that is known better is what the list of erasures outside says is over: a content is erased only when it is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, and_, func, literal, select, update
from sqlalchemy.dialects import postgresql, sqlite

from gateway.delivery.rows import NO_CONTENT, START_S, State
from gateway.errors import CommandRefused
from gateway.ledger import tables as t
from gateway.ledger.migrate import INCARNATION
from gateway.ledger.unit import Unit

RESTORED: Final = "gateway:restored"
"""Who has paused a party that a restore has stopped: no operator's name (those have no colon), and no one person resumes it."""
FACT: Final = "restored"
"""In ``meta``: the last restore, as JSON."""
OPEN_S: Final = START_S + 120.0
"""An attempt that began just before the restore ends within this (R5)."""
ENDED: Final = "ended-before-restore"
"""Reason of a delivery that the list of erasures says is over."""
RESUBMITTED: Final = "submitted-after-restore"
"""Reason of a delivery that may repeat one which the lost ledger has sent."""
_OUTCOME: Final = {State.DELIVERED.value: "provided", State.EXPIRED.value: "expired", State.SKIPPED.value: "skipped"}
"""Final states that are believed. What was refused or replaced has a successor that this ledger does not know: it stays unknown."""
_STEP: Final = 400


def end_listed(conn: Connection, ended: Mapping[str, str], now: float) -> int:
    """Deliveries that are over, as the list outside says. How many of them the ledger took for unfinished."""
    d, p = t.delivery.c, t.provision.c
    count = 0
    for state, outcome in _OUTCOME.items():
        ids = sorted(each for each, what in ended.items() if what == state)
        for some in _steps(ids):
            open_ones = list(conn.execute(select(d.id).where(d.id.in_(some), d.final_at.is_(None))).scalars())
            values = {"state": state, "final_at": now, "updated_at": now, "reason": ENDED, "unanswered_since": None, "open_until": None}
            conn.execute(update(t.delivery).where(d.id.in_(open_ones)).values(**values, call_deadline=None, not_before=None))
            conn.execute(update(t.provision).where(p.id.in_(open_ones)).values(outcome=outcome, outcome_at=now, code=ENDED))
            count += len(open_ones)
    return count


def make_unknown(conn: Connection, since: float, now: float) -> dict[str, int]:
    """Everything unfinished becomes unknown, sent perhaps from ``since`` (when the backup was made) until now. How many, by party."""
    d, k, key = t.delivery.c, t.key_row.c, t.data_key.c
    unfinished = d.final_at.is_(None)
    conn.execute(update(t.delivery).where(unfinished, ~select(key.id).where(key.id == d.payload_id).exists()).values(payload_id=NO_CONTENT))
    conn.execute(
        update(t.delivery)
        .where(unfinished)
        .values(
            state=State.UNKNOWN.value, reason="restored", clean=False, open_until=now + OPEN_S, not_before=None, call_deadline=None,
            unanswered_since=func.coalesce(d.unanswered_since, literal(since)), updated_at=now,
        )
    )  # fmt: skip
    conn.execute(update(t.key_row).values(claim_worker=None, claim_epoch=k.claim_epoch + 1, rung_at=None, rings=0))
    over = select(d.id).where(d.key_id == k.id, d.number == k.head, d.final_at.is_not(None), d.replaced_by.is_(None)).exists()
    conn.execute(update(t.key_row).where(k.held.is_not(None), over).values(held=None))
    conn.execute(update(t.key_row).where(k.held.is_not(None), k.held != "approval").values(held="unknown"))
    conn.execute(update(t.key_row).where(k.head < k.next_number, k.held.is_(None)).values(due_at=now))
    found = conn.execute(select(d.party, func.count()).where(unfinished).group_by(d.party).order_by(d.party)).all()
    return {row[0]: row[1] for row in found}


def stop_parties(conn: Connection, parties: Collection[str], now: float) -> None:
    """Every party that there is, or was, stands still until two persons release it."""
    s, d = t.party_state.c, t.delivery.c
    make = postgresql.insert if conn.dialect.name == "postgresql" else sqlite.insert
    known = {*parties, *conn.execute(select(s.party)).scalars(), *conn.execute(select(d.party).distinct()).scalars()}
    values = {"breaker": "closed", "failures": 0, "opened_at": None, "probe_at": None, "probe_worker": None, "code": None}
    paused = {"paused_by": RESTORED, "paused_at": now}
    for party in sorted(known):
        statement = make(t.party_state).values(party=party, **values, **paused)
        conn.execute(statement.on_conflict_do_update(index_elements=["party"], set_={**values, **paused}))


def close_requests(conn: Connection, now: float) -> int:
    """What waited for a second person may have been decided since: it is asked for again."""
    values = {"status": "expired", "decided_by": RESTORED, "decided_at": now, "outcome": "restored"}
    return conn.execute(update(t.command).where(t.command.c.status.in_(["waiting", "approved"])).values(**values)).rowcount


def begin_incarnation(conn: Connection, incarnation: str, fact: Mapping[str, Any]) -> None:
    """A new incarnation, and what it is restored from."""
    conn.execute(update(t.meta).where(t.meta.c.name == INCARNATION).values(value=incarnation))
    make = postgresql.insert if conn.dialect.name == "postgresql" else sqlite.insert
    statement = make(t.meta).values(name=FACT, value=json.dumps(fact, sort_keys=True))
    conn.execute(statement.on_conflict_do_update(index_elements=["name"], set_={"value": statement.excluded.value}))


def last_restore(conn: Connection) -> dict[str, Any] | None:
    """The last restore of this ledger, if there was one."""
    value = conn.execute(select(t.meta.c.value).where(t.meta.c.name == FACT)).scalar()
    return None if value is None else json.loads(value)


def seen_of(conn: Connection, party: str) -> bytes:
    """What whoever asks for the release of a party, and whoever approves it, has seen: this restore, this party, still stopped by it.

    :raises CommandRefused: ``not-restored``.
    """
    paused_by = conn.execute(select(t.party_state.c.paused_by).where(t.party_state.c.party == party)).scalar()
    if paused_by != RESTORED:
        raise CommandRefused("not-restored", "no restore has stopped this party, or it has been released already", rule="R24")
    incarnation = conn.execute(select(t.meta.c.value).where(t.meta.c.name == INCARNATION)).scalar_one()
    return hashlib.sha256(f"restored {incarnation} {party}".encode()).digest()


def release(unit: Unit, party: str, seen: bytes) -> str:
    """Two persons let deliveries to a party go on: unknown as they are, they go through R9.

    So does what was accepted since the restore: senders have submitted again what they had sent since the backup, and much of it took
    effect before the ledger was lost. Nobody here knows which, so none of it is taken for new.
    """
    row = unit.party(party, lock=True)
    if seen_of(unit.conn, party) != seen:
        raise CommandRefused("changed-meanwhile", "this party was stopped by another restore since: look again", rule="R13")
    row.paused_by = None
    row.paused_at = None
    unit.touch(party=row)
    last = last_restore(unit.conn)
    assert last is not None  # it has stopped the party
    d = t.delivery.c
    again = (d.party == party, d.final_at.is_(None), d.state == State.QUEUED.value, d.attempts == 0, d.accepted_at >= last["at"])
    values = {"state": State.UNKNOWN.value, "reason": RESUBMITTED, "clean": False, "unanswered_since": last["since"]}
    count = unit.conn.execute(
        update(t.delivery).where(*again).values(**values, open_until=last["at"] + OPEN_S, updated_at=unit.now)
    ).rowcount
    return f"released:{count}"


def unfinished(conn: Connection) -> list[tuple[str, bool, int, int]]:
    """For each party that a restore has stopped, or that has deliveries which it made unknown: party, stopped, unknown, without content."""
    d, s = t.delivery.c, t.party_state.c
    unknown = and_(d.final_at.is_(None), d.state == State.UNKNOWN.value)
    counted = {
        row.party: (row.all, row.gone)
        for row in conn.execute(
            select(d.party, func.count().label("all"), func.count().filter(d.payload_id == NO_CONTENT).label("gone"))
            .where(unknown)
            .group_by(d.party)
        )
    }
    stopped = set(conn.execute(select(s.party).where(s.paused_by == RESTORED)).scalars())
    return [(party, party in stopped, *counted.get(party, (0, 0))) for party in sorted(stopped | counted.keys())]


def _steps(ids: Sequence[str]) -> Iterable[Sequence[str]]:
    return (ids[at : at + _STEP] for at in range(0, len(ids), _STEP))
