"""Sealed bodies, with what is needed to open them."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, Label, func, select

from gateway.ledger import tables as t
from gateway.policy.ways import way_of


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedContent:
    """A sealed body with its wrapped key and what it is bound to."""

    sealed: bytes
    wrapped: bytes
    kek_id: str
    message_id: str
    message_type: str
    party: str


def sealed_content(conn: Connection, payload_id: str) -> SealedContent | None:
    """A sealed body, as long as its data key exists."""
    key = t.data_key.c
    row = conn.execute(
        select(t.payload.c.sealed, key.wrapped, key.kek_id, key.message_id, key.party, t.message.c.type, way_of_key())
        .join(t.data_key, t.data_key.c.id == t.payload.c.id)
        .join(t.message, t.message.c.id == t.data_key.c.message_id)
        .where(t.payload.c.id == payload_id)
    ).first()
    if row is None:
        return None
    return SealedContent(
        sealed=bytes(row.sealed), wrapped=bytes(row.wrapped), kek_id=row.kek_id, message_id=row.message_id,
        message_type=way_of(row.way, row.type, "", row.party).message_type, party=row.party,
    )  # fmt: skip


def way_of_key() -> Label[str | None]:
    """The way of the deliveries that a row of ``data_key`` belongs to: all of one message to one party have the same."""
    d = t.delivery.c
    own = (d.message_id == t.data_key.c.message_id, d.party == t.data_key.c.party)
    return select(func.max(d.way)).where(*own).correlate(t.data_key).scalar_subquery().label("way")


def delivery_content(conn: Connection, delivery_id: str) -> SealedContent | None:
    """What is sealed for the party of a delivery, as long as its data key exists."""
    payload_id = conn.execute(select(t.delivery.c.payload_id).where(t.delivery.c.id == delivery_id)).scalar()
    return None if payload_id is None else sealed_content(conn, payload_id)
