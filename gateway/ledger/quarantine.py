"""What was refused at a door and is kept: found, thrown away by two persons, or marked as handed in again (I10).

The entry itself stays as evidence; what goes is the sealed body, by destroying its data key first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection, delete, select, update

from gateway.errors import CommandRefused
from gateway.ledger import tables as t
from gateway.ledger.approvals import Row
from gateway.ledger.contents import SealedContent
from gateway.ledger.unit import Unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One refusal that is kept."""

    id: str
    system: str
    door: str
    source_id: str | None
    type: str | None
    code: str
    rule: str | None
    place: str | None
    size_bytes: int
    payload_id: str | None
    """Of its sealed body, while that is there."""
    at: float
    attributes: str | None
    status: str
    decided_at: float | None
    request_id: str | None
    message_id: str | None
    digest: bytes
    """What a request about it names: of the entry and of its sealed body."""


_COLUMNS = [t.quarantine.c[name] for name in Kept.__dataclass_fields__ if name != "digest"]


def entries(conn: Connection, *, kept_only: bool, limit: int, before: str | None = None) -> list[Kept]:
    """Newest first, older than ``before`` (an id; ids rise with time)."""
    query = select(*_COLUMNS, t.payload.c.sealed).outerjoin(t.payload, t.payload.c.id == t.quarantine.c.payload_id)
    query = query.order_by(t.quarantine.c.id.desc()).limit(limit)
    if kept_only:
        query = query.where(t.quarantine.c.status == "kept")
    if before is not None:
        query = query.where(t.quarantine.c.id < before)
    return [_kept(row) for row in conn.execute(query)]


def entry(conn: Connection, quarantine_id: str) -> Kept | None:
    """One of them."""
    query = select(*_COLUMNS, t.payload.c.sealed).outerjoin(t.payload, t.payload.c.id == t.quarantine.c.payload_id)
    row = conn.execute(query.where(t.quarantine.c.id == quarantine_id)).first()
    return None if row is None else _kept(row)


def sealed_body(conn: Connection, quarantine_id: str) -> SealedContent | None:
    """Its sealed body, as long as the data key exists."""
    row = conn.execute(
        select(t.payload.c.sealed, t.data_key.c.wrapped, t.data_key.c.kek_id, t.data_key.c.party, t.quarantine.c.type)
        .join(t.data_key, t.data_key.c.id == t.payload.c.id)
        .join(t.quarantine, t.quarantine.c.payload_id == t.payload.c.id)
        .where(t.quarantine.c.id == quarantine_id)
    ).first()
    if row is None:
        return None
    return SealedContent(
        sealed=bytes(row.sealed), wrapped=bytes(row.wrapped), kek_id=row.kek_id, message_id=quarantine_id,
        message_type=row.type or "unknown", party=row.party,
    )  # fmt: skip


def still(quarantine_id: str, digest: bytes) -> Callable[[Unit], None]:
    """A check for a request: it is kept, and is what was seen."""

    def check(unit: Unit) -> None:
        _require(unit, quarantine_id, digest)

    return check


def unchanged(unit: Unit, row: Row) -> None:
    """The effect of an approval that is carried out later: it is still what was seen."""
    _require(unit, row["subject"], bytes(row["seen_digest"]))


def discard(unit: Unit, row: Row) -> str:
    """Throw the body away: the data key first, so that no copy of the ciphertext can be opened any more."""
    found = _require(unit, row["subject"], bytes(row["seen_digest"]))
    if found.payload_id is not None:
        unit.conn.execute(delete(t.data_key).where(t.data_key.c.id == found.payload_id))
        unit.conn.execute(delete(t.payload).where(t.payload.c.id == found.payload_id))
    _mark(unit, found.id, "discarded", row["id"], None)
    return "discarded"


def released(message_id: str) -> Callable[[Unit, Row], None]:
    """An effect: it was accepted as ``message_id``. The body is kept by the message now."""

    def mark(unit: Unit, row: Row) -> None:
        _mark(unit, row["subject"], "released", row["id"], message_id)

    return mark


def _mark(unit: Unit, quarantine_id: str, status: str, request: str, message_id: str | None) -> None:
    values = {"status": status, "decided_at": unit.now, "request_id": request, "message_id": message_id}
    unit.conn.execute(update(t.quarantine).where(t.quarantine.c.id == quarantine_id).values(values))


def _require(unit: Unit, quarantine_id: str, digest: bytes) -> Kept:
    if unit.postgresql:
        unit.conn.execute(select(t.quarantine.c.id).where(t.quarantine.c.id == quarantine_id).with_for_update())
    found = entry(unit.conn, quarantine_id)
    if found is None:
        raise CommandRefused("quarantine-unknown", "there is no such refusal")
    if found.status != "kept":
        raise CommandRefused("not-kept", f"it is {found.status} already")
    if found.digest != digest:
        raise CommandRefused("changed-meanwhile", "it is not what was seen: look again", rule="R13")
    return found


def _kept(row: object) -> Kept:
    values = dict(row._mapping)  # type: ignore[attr-defined]
    sealed = values.pop("sealed")
    if sealed is None:
        values["payload_id"] = None  # its time is over, or it was discarded
    facts = "|".join(str(values[name]) for name in ("id", "system", "source_id", "type", "code", "status"))
    digest = hashlib.sha256(facts.encode() + b"|" + (bytes(sealed) if sealed is not None else b"")).digest()
    return Kept(**values, digest=digest)
