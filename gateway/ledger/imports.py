"""What one of our systems handed in on a day, and what became of each record: the import report (C-1-2-6, C-1-2-18). Nothing is opened."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass

from sqlalchemy import Connection, select

from gateway.delivery.rows import Hold, State
from gateway.ledger import tables as t
from gateway.ledger.reports import id_bound

ACCEPTED, WAITING, SET_ASIDE, REFUSED = "accepted", "waiting", "set-aside", "refused"
"""Taken in and acknowledged; under way; not taken in by the receiver; refused at our door and in quarantine."""
OUTCOMES = (ACCEPTED, WAITING, SET_ASIDE, REFUSED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """One record."""

    record: str
    """The sender's id of it."""
    type: str | None
    supplier: str | None
    party: str | None
    outcome: str
    code: str | None
    place: str | None = None
    """The item at fault."""


def imported(conn: Connection, system: str, since: float, until: float) -> Iterator[Imported]:
    """From ``since`` to before ``until`` (ledger time): what was accepted in order, once for each receiver, then what was refused."""
    m, d, k = t.message.c, t.delivery.c, t.key_row.c
    query = (
        select(m.source_id, m.type, m.supplier, d.party, d.state, d.reason, d.outcome_code, d.number, k.held, k.head)
        .join(t.delivery, d.message_id == m.id)
        .join(t.key_row, k.id == d.key_id)
        .where(m.id >= id_bound(since), m.id < id_bound(until, after=True), m.system == system)
        .where(m.accepted_at >= since, m.accepted_at < until, d.replaced_by.is_(None))
        .order_by(m.id, d.party)
    )
    for row in conn.execute(query):
        outcome, code = WAITING, None
        held = row.held if row.number == row.head else None
        if row.state == State.DELIVERED.value:
            outcome = ACCEPTED
        elif row.state in (State.REJECTED.value, State.SKIPPED.value, State.EXPIRED.value) or held == Hold.REJECTED.value:
            outcome, code = SET_ASIDE, row.outcome_code or row.reason or row.state
        elif held is not None:
            code = f"held-{held}"
        yield Imported(record=row.source_id, type=row.type, supplier=row.supplier, party=row.party, outcome=outcome, code=code)
    q = t.quarantine.c
    refused = select(q.source_id, q.type, q.code, q.place, q.attributes).where(q.system == system, q.at >= since, q.at < until)
    for kept in conn.execute(refused.order_by(q.at, q.id)):
        supplier = json.loads(kept.attributes).get("supplier") if kept.attributes else None
        yield Imported(
            record=kept.source_id or "", type=kept.type, supplier=supplier, party=None, outcome=REFUSED, code=kept.code, place=kept.place
        )


def digest_of(records: Iterable[Imported]) -> str:
    """Names exactly these records with what became of them."""
    return hashlib.sha256(json.dumps([astuple(each) for each in records], ensure_ascii=False).encode()).hexdigest()
