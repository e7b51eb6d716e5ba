"""What waits for a system of ours to fetch it: deliveries whose call has ended as *pending*, and that nobody has acknowledged yet (R18).

Nothing is copied for it: the sealed body in the ledger is what is offered, and the acknowledgement ends it like any other.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, func, literal_column, select

from gateway.ledger import tables as t
from gateway.ledger.policies import marks_of
from gateway.policy.marks import Flags
from gateway.policy.rights import Standing

if TYPE_CHECKING:
    from gateway.ledger.unit import Unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One delivery that may be fetched."""

    delivery_id: str
    correlation: str
    attempt: int
    message_id: str
    message_type: str
    producer: str
    way: str | None
    """From whom to whom in the sense of the policy, where that is not the message's own (:func:`gateway.policy.ways.way_of`)."""
    work: str | None
    basis: str | None
    marks: Flags
    accepted_at: float
    terms: str | None
    """Canonical JSON of the terms on which it was offered."""
    sealed: bytes = field(repr=False)
    wrapped: bytes = field(repr=False)
    kek_id: str


def offers(conn: Connection, party: str, message_type: str, standing: Standing, limit: int) -> list[Offer]:
    """The oldest ones first; none while the party is paused."""
    paused = conn.execute(select(t.party_state.c.paused_at).where(t.party_state.c.party == party)).scalar()
    if paused is not None:
        return []
    d, m, p, k, pr = t.delivery.c, t.message.c, t.payload.c, t.data_key.c, t.provision.c
    query = (
        select(
            d.id, d.correlation, d.attempts, d.message_id, d.accepted_at, d.way, m.type, m.work, m.basis, m.subject,
            func.coalesce(m.producer, m.system).label("producer"), p.sealed, k.wrapped, k.kek_id, t.provision_terms.c.text,
        )
        .select_from(
            t.delivery.join(t.message, m.id == d.message_id)
            .join(t.payload, p.id == d.payload_id)
            .join(t.data_key, k.id == d.payload_id)
            .outerjoin(t.provision, pr.id == d.id)
            .outerjoin(t.provision_terms, t.provision_terms.c.id == pr.terms)
        )
        .where(d.party == party, d.final_at.is_(None), d.state == literal_column("'awaiting-reply'"), m.type == message_type)
        .order_by(d.accepted_at, d.id)
        .limit(limit)
    )  # fmt: skip
    return [
        Offer(
            delivery_id=row.id, correlation=row.correlation, attempt=row.attempts, message_id=row.message_id, message_type=row.type,
            producer=row.producer, way=row.way, work=row.work, basis=row.basis, marks=marks_of(conn, row.subject, standing.on),
            accepted_at=row.accepted_at, terms=row.text, sealed=row.sealed, wrapped=row.wrapped, kek_id=row.kek_id,
        )
        for row in conn.execute(query)
    ]  # fmt: skip


def own_deliveries(conn: Connection, party: str, delivery_ids: Collection[str]) -> frozenset[str]:
    """Those of ``delivery_ids`` that are of this party."""
    query = select(t.delivery.c.id).where(t.delivery.c.party == party, t.delivery.c.id.in_(delivery_ids))
    return frozenset(conn.execute(query).scalars())


@dataclass(slots=True, kw_only=True)
class RecordHandedOver:
    """That these were handed over on request, or written to a file; ``detail``: the same for all (a file and its digest, say)."""

    kind: str
    actor: str
    party: str
    deliveries: Sequence[tuple[str, str]]
    """(message id, delivery id)."""
    detail: dict[str, Any] = field(default_factory=dict)
    bulk: bool = False
    size: int = 1

    def plan(self, unit: Unit) -> None:
        """Nothing is needed."""

    def apply(self, unit: Unit) -> None:
        for message_id, delivery_id in self.deliveries:
            unit.audit(self.kind, self.actor, message=message_id, delivery_id=delivery_id, party_id=self.party, **self.detail)

    def finish(self, unit: Unit) -> None:
        return None
