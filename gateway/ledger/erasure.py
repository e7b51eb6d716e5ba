"""Crypto-erasure: the data keys of a (message, party) are destroyed, and with them every copy of the ciphertext (I9, R23).

Only what is final is erased; never what is being sent or whose outcome is unknown (R23). The entry of the record says what was erased, by
whom and why; the record of the provision itself stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import delete, select

from gateway.delivery.rows import State
from gateway.errors import CommandRefused
from gateway.ledger import tables as t
from gateway.ledger.unit import Unit

ALL_KINDS = ("delivery", "command", "receipt")


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """What was destroyed."""

    keys: tuple[str, ...]
    """Ids of the data keys, which are those of the payloads."""
    wrapped: tuple[bytes, ...] = field(repr=False)
    """What stood in the key table: to look for it afterwards, and find nothing."""


@dataclass(slots=True, kw_only=True)
class EraseContent:
    """Destroy the data keys and the sealed bodies of one message for one party. Result: :class:`Erased`, empty if that was done before.

    ``kinds``: of the payloads; a party's receipts may have to be kept longer than the content.
    """

    message_id: str
    party: str
    actor: str
    reason: str
    kinds: Sequence[str] = ALL_KINDS
    bulk: bool = True
    size: int = 1
    result: Any = None
    _deliveries: tuple[str, ...] = ()

    def plan(self, unit: Unit) -> None:
        self.result = None
        c = t.delivery.c
        rows = unit.conn.execute(select(c.id, c.key_id).where(c.message_id == self.message_id, c.party == self.party)).all()
        self._deliveries = tuple(sorted(row.id for row in rows))
        unit.want_keys.update(row.key_id for row in rows)

    def apply(self, unit: Unit) -> None:
        try:
            self._require_final(unit)
        except CommandRefused as refused:
            unit.audit("erasure-refused", self.actor, message=self.message_id, to=self.party, code=refused.code)
            self.result = refused
            return
        key, body = t.data_key.c, t.payload.c
        query = (
            select(key.id, key.wrapped)
            .join(t.payload, body.id == key.id)
            .where(key.message_id == self.message_id, key.party == self.party, body.kind.in_(list(self.kinds)))
            .order_by(key.id)
        )
        found = unit.conn.execute(query).all()
        ids = [row.id for row in found]
        if ids:
            unit.conn.execute(delete(t.data_key).where(key.id.in_(ids)))
            unit.conn.execute(delete(t.payload).where(body.id.in_(ids)))
            unit.audit(
                "content-erased", self.actor, message=self.message_id, to=self.party, keys=ids, kinds=sorted(self.kinds), reason=self.reason
            )
        self.result = Erased(keys=tuple(ids), wrapped=tuple(bytes(row.wrapped) for row in found))

    def finish(self, unit: Unit) -> Any:
        return self.result

    def _require_final(self, unit: Unit) -> None:
        if not self._deliveries:
            raise CommandRefused("delivery-unknown", "this message has no delivery to this party", rule="R23")
        unit.load_deliveries(self._deliveries)
        for delivery_id in self._deliveries:
            row = unit.deliveries[delivery_id]
            if row.state is State.SENDING or row.state is State.UNKNOWN or row.state is State.AWAITING_REPLY:
                raise CommandRefused(
                    "outcome-unknown", f"it is {row.state.value}: its outcome must be known before it is erased", rule="R23"
                )
            if not row.state.final:
                raise CommandRefused("not-final", f"it is {row.state.value}: it must be final, or expire, before it is erased", rule="R23")
