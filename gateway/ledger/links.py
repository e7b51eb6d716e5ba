"""The link from a subject to its atena number, sealed: written when the register's linkage feed is accepted (FS10-2)."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, delete, select

from gateway.ledger import tables as t
from gateway.ledger.adding import add_sealed
from gateway.ledger.contents import SealedContent
from gateway.ledger.prepared import PreparedMessage
from gateway.ledger.unit import Unit

LINKAGE = "linkage"
LINKAGE_TYPE = "number-linkage-feed"


def set_link(unit: Unit, message: PreparedMessage, subject: str) -> None:
    """The link that an accepted message brings takes the place of the subject's former one, whose key is destroyed."""
    assert message.link is not None
    c = t.atena_link.c
    former = unit.conn.execute(select(c.payload_id).where(c.subject == subject)).scalar()
    if former is not None:
        unit.conn.execute(delete(t.data_key).where(t.data_key.c.id == former))
        unit.conn.execute(delete(t.payload).where(t.payload.c.id == former))
        unit.conn.execute(delete(t.atena_link).where(c.subject == subject))
    payload = add_sealed(unit, LINKAGE, message.link, message_id=message.message_id, party=LINKAGE)
    row = {"subject": subject, "payload_id": payload, "message_id": message.message_id, "at": unit.now}
    unit.conn.execute(t.atena_link.insert().values(row))


def link_of(conn: Connection, kind: str, blinds: Sequence[bytes]) -> SealedContent | None:
    """The sealed atena number of whoever is known by one of these indexes."""
    a, link, k, p = t.subject_alias.c, t.atena_link.c, t.data_key.c, t.payload.c
    query = (
        select(p.sealed, k.wrapped, k.kek_id, link.message_id)
        .select_from(t.subject_alias)
        .join(t.atena_link, link.subject == a.subject)
        .join(t.data_key, k.id == link.payload_id)
        .join(t.payload, p.id == link.payload_id)
        .where(a.kind == kind, a.blind.in_(list(blinds)))
    )
    row = conn.execute(query).first()
    if row is None:
        return None
    return SealedContent(
        sealed=bytes(row.sealed), wrapped=bytes(row.wrapped), kek_id=row.kek_id, message_id=row.message_id,
        message_type=LINKAGE_TYPE, party=LINKAGE,
    )  # fmt: skip
