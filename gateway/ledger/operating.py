"""What a party says of its own operation (稼動状態の通知, FM-1): the last word of each, and every word in the record."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, select

from gateway.ledger import tables as t
from gateway.ledger.unit import Unit

PREFIX: Final = "operating."
RUNNING: Final = "RUNNING"


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """The last notice of a party. ``at``: when it was accepted (time of the ledger)."""

    status: str
    at: float

    @property
    def anomaly(self) -> bool:
        """It does not run in full."""
        return self.status != RUNNING


def note(unit: Unit, party: str, message_id: str, status: str) -> None:
    """Keep what a party says, in the transaction that accepts it; anything but *running* is an anomaly of the link."""
    name = f"{PREFIX}{party}"
    unit.conn.execute(t.meta.delete().where(t.meta.c.name == name))
    unit.insert_ignore(t.meta, [{"name": name, "value": json.dumps({"status": status, "at": unit.now})}])
    unit.audit("operating-status", party, message=message_id, status=status)
    if status != RUNNING:
        unit.audit("link-anomaly", party, message=message_id, cause="operating-status", status=status)


def said(conn: Connection) -> Mapping[str, Said]:
    """By party."""
    rows = conn.execute(select(t.meta.c.name, t.meta.c.value).where(t.meta.c.name.startswith(PREFIX, autoescape=True)))
    return {row.name.removeprefix(PREFIX): Said(**json.loads(row.value)) for row in rows}
