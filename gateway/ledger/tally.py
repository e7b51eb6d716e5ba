"""What the ledger has of everything, in numbers: the book that is held against those of the register and of the parties.

Numbers of messages and deliveries, never of residents; the cost grows with the ledger, so it is for the end of a day and not for a display.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from gateway.ledger import tables as t
from gateway.policy.ways import way_of


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class MessageCount:
    """Messages that one system or party handed in."""

    system: str
    type: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class DeliveryCount:
    """Deliveries to one party, of the type that the party has, by the ledger's word of state."""

    party: str
    type: str
    state: str
    replaced: bool
    count: int


def messages(conn: Connection) -> list[MessageCount]:
    """All that was accepted, in a fixed order."""
    m = t.message.c
    query = select(m.system, m.type, func.count()).group_by(m.system, m.type)
    return sorted(MessageCount(system=system, type=type_, count=count) for system, type_, count in conn.execute(query))


def deliveries(conn: Connection) -> list[DeliveryCount]:
    """All deliveries, in a fixed order."""
    d, m = t.delivery.c, t.message.c
    replaced = d.replaced_by.is_not(None)
    query = (
        select(d.party, m.system, m.type, d.way, d.state, replaced, func.count())
        .join(t.message, m.id == d.message_id)
        .group_by(d.party, m.system, m.type, d.way, d.state, replaced)
    )
    found: Counter[tuple[str, str, str, bool]] = Counter()
    for party, system, type_, way, state, was_replaced, count in conn.execute(query):
        found[party, way_of(way, type_, system, party).message_type, state, bool(was_replaced)] += count
    return sorted(DeliveryCount(party=p, type=k, state=s, replaced=r, count=n) for (p, k, s, r), n in found.items())
