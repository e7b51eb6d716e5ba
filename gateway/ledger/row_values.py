"""Rows in memory as values of statements: which columns are read, which may change, and how."""

from __future__ import annotations

import operator
from typing import Any

from gateway.delivery.rows import DeliveryRow, KeyRow
from gateway.ledger import tables as t

KEY_COLUMNS = [c.name for c in t.key_row.columns]
DELIVERY_COLUMNS = [c.name for c in t.delivery.columns]
PARTY_COLUMNS = [c.name for c in t.party_state.columns]
_KEY_FIXED = {"id", "place", "party", "stream", "subject"}
_DELIVERY_FIXED = {
    "id",
    "message_id",
    "party",
    "key_id",
    "lane",
    "party_key",
    "way",
    "content_digest",
    "payload_id",
    "accepted_at",
    "effective_on",
}
KEY_CHANGES = [c for c in KEY_COLUMNS if c not in _KEY_FIXED]
DELIVERY_CHANGES = [c for c in DELIVERY_COLUMNS if c not in _DELIVERY_FIXED]
PARTY_CHANGES = [c for c in PARTY_COLUMNS if c != "party"]

_delivery_getter = operator.attrgetter(*DELIVERY_CHANGES, "id")
_key_getter = operator.attrgetter(*KEY_CHANGES, "id")
_STATE_AT = DELIVERY_CHANGES.index("state")
_HELD_AT = KEY_CHANGES.index("held")


def delivery_values(row: DeliveryRow) -> tuple[Any, ...]:
    values = list(_delivery_getter(row))
    values[_STATE_AT] = row.state.value
    return tuple(values)


def key_values(row: KeyRow) -> tuple[Any, ...]:
    values = list(_key_getter(row))
    values[_HELD_AT] = None if row.held is None else row.held.value
    return tuple(values)
