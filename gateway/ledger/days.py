"""Release on the day of effect: what waited for its day takes its place in the order of its resident, and is due (R2).

Until then a delivery has no number, so that nothing waits behind it; what is released together takes its numbers by day, then in the order
in which it was accepted. Several processes may do this at once: the key row's lock decides, and what has its number is passed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import Connection, select, text

from gateway.delivery.rows import UNPLACED, State
from gateway.ledger import tables as t
from gateway.ledger.adding import append
from gateway.ledger.bells import Bell
from gateway.ledger.clock import business_clock, ledger_time
from gateway.ledger.unit import Unit
from gateway.policy.rights import day_of

_WAITING = text("number = 0 AND final_at IS NULL")
"""In these words: that is how its index is found."""


def due(conn: Connection, limit: int) -> list[tuple[str, str]]:
    """Deliveries whose day has come, in the order of release: id and key."""
    today = day_of(ledger_time(conn), business_clock(conn).offset_s).isoformat()
    d = t.delivery.c
    query = select(d.id, d.key_id).where(_WAITING, d.effective_on <= today).order_by(d.effective_on, d.accepted_at, d.id).limit(limit)
    return [(row.id, row.key_id) for row in conn.execute(query)]


@dataclass(slots=True, kw_only=True)
class ReleaseDay:
    """Give these deliveries their places. Result: the bells."""

    deliveries: list[tuple[str, str]]
    bulk: bool = False
    size: int = 1
    bells: list[Bell] = field(default_factory=list)

    def plan(self, unit: Unit) -> None:
        self.bells = []
        unit.want_keys.update(key for _, key in self.deliveries)

    def apply(self, unit: Unit) -> None:
        today = unit.day.isoformat()
        unit.load_deliveries([each for each, _ in self.deliveries])
        for delivery_id, key_id in self.deliveries:
            delivery = unit.deliveries.get(delivery_id)
            if delivery is None or delivery.number != UNPLACED or delivery.state.final or (delivery.effective_on or "") > today:
                continue
            key = unit.keys[key_id]
            append(key, delivery, unit.now, self.bells)
            if delivery.state is State.QUEUED:
                delivery.updated_at = unit.now
            unit.put(delivery)
            unit.touch(key, delivery)
            unit.audit("released-on-its-day", "gateway", delivery=delivery, day=delivery.effective_on)

    def finish(self, unit: Unit) -> list[Bell]:
        return self.bells
