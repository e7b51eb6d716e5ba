"""Adds deliveries, sealed payloads and records of provision to the rows of a group."""

from __future__ import annotations

from typing import Any

from gateway.delivery.rows import DeliveryRow, KeyRow
from gateway.ledger import tables as t
from gateway.ledger.bells import Bell, bell_of
from gateway.ledger.prepared import PreparedMessage, SealedPayload
from gateway.ledger.unit import Unit
from gateway.policy.rights import Terms
from gateway.policy.ways import way_of

_DELIVERY_COLUMNS = [c.name for c in t.delivery.columns]


def append(key: KeyRow, new: DeliveryRow, now: float, bells: list[Bell]) -> None:
    """Give ``new`` the key's next number (R2); it is due unless something else already promises a wake-up or the key is held."""
    new.number = key.next_number
    key.next_number += 1
    first = key.head == new.number
    if first:
        key.lane = new.lane
    if key.held is None:
        was_due = key.due_at is not None
        if not was_due:
            key.due_at = now
        if first or (not was_due and key.claim_worker is None):
            bells.append(bell_of(key, now))
        elif new.lane == "live" and key.lane == "bulk":
            key.lane = "live"  # R15: a bulk head must not keep something live waiting
            bells.append(bell_of(key, now))


def provision_row(unit: Unit, new: DeliveryRow, message: PreparedMessage, terms: Terms, subject: str | None) -> dict[str, Any]:
    """The record of a provision that was permitted; what becomes of it is written with the delivery's end."""
    kind = way_of(new.way, message.type, "", new.party).message_type
    return {
        "id": new.id, "at": unit.now, "subject": subject, "message_id": message.message_id,
        "system": message.producer or message.system, "type": kind, "party": new.party, "work": message.work,
        "terms": unit.note_terms(terms), "operator": message.operator,
        "terminal": message.terminal, "outcome": "permitted", "outcome_at": None, "code": None, "rule": None,
    }  # fmt: skip


def add_delivery(unit: Unit, new: DeliveryRow, sealed: SealedPayload | None) -> None:
    """Insert a delivery, with its sealed body and wrapped data key unless those are there already."""
    row = {name: getattr(new, name) for name in _DELIVERY_COLUMNS}
    row["state"] = new.state.value
    unit.add(t.delivery, row)
    unit.put(new)
    if sealed is not None:
        add_sealed(unit, "delivery", sealed, message_id=new.message_id, party=new.party)


def add_sealed(unit: Unit, kind: str, sealed: SealedPayload, *, message_id: str, party: str, content_type: str = "application/xml") -> str:
    """Insert a sealed body, and its wrapped data key into the key table; both go by the id of the key."""
    unit.add(
        t.data_key,
        {
            "id": sealed.key_id, "message_id": message_id, "party": party, "kek_id": sealed.kek_id, "wrapped": sealed.wrapped,
            "created_at": unit.now,
        },
    )  # fmt: skip
    unit.add(
        t.payload,
        {"id": sealed.key_id, "kind": kind, "sealed": sealed.sealed, "content_type": content_type, "created_at": unit.now},
    )
    return sealed.key_id
