"""The work record of output to media (作業記録簿): one line for each, there before the first byte is written."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select, update

from gateway.errors import CommandRefused
from gateway.ledger import tables as t
from gateway.ledger.approvals import Apply, Row
from gateway.ledger.unit import Unit


def outputs(conn: Connection, limit: int = 1000) -> list[Row]:
    """Newest first."""
    rows = conn.execute(select(t.medium_output).order_by(t.medium_output.c.request_id.desc()).limit(limit)).mappings()
    return [dict(row) for row in rows]


def output(conn: Connection, request: str) -> Row | None:
    """Of one request."""
    row = conn.execute(select(t.medium_output).where(t.medium_output.c.request_id == request)).mappings().first()
    return None if row is None else dict(row)


def begin(digest: str) -> Apply:
    """The use of an approval: the line of the record, for exactly the content that was approved."""

    def effect(unit: Unit, request: Row) -> None:
        if request["kind"] != "medium-output" or bytes(request["seen_digest"]).hex() != digest:
            raise CommandRefused("other-content", "this is not what was approved", rule="C-2-5-6")
        argument = json.loads(request["argument"])
        row = {
            "request_id": request["id"], **argument, "digest": digest, "operator": request["requested_by"],
            "approved_by": request["decided_by"], "began_at": unit.now, "ended_at": None,
        }  # fmt: skip
        unit.insert_ignore(t.medium_output, [row])
        told = ("target", "medium", "type", "count", "digest", "approved_by")
        unit.audit("medium-output-begun", request["requested_by"], request=request["id"], **{name: row[name] for name in told})

    return effect


@dataclass(slots=True, kw_only=True)
class End:
    """It was written, read back and is the same."""

    actor: str
    request: str
    digest: str
    bulk: bool = False
    size: int = 1
    result: Any = None

    def plan(self, unit: Unit) -> None:
        self.result = None

    def apply(self, unit: Unit) -> None:
        row = output(unit.conn, self.request)
        if row is None or row["operator"] != self.actor or row["digest"] != self.digest:
            self.result = CommandRefused("other-content", "this is not what was begun", rule="C-2-5-6")
            return
        if row["ended_at"] is None:
            where = t.medium_output.c.request_id == self.request
            unit.conn.execute(update(t.medium_output).where(where).values(ended_at=unit.now))
            unit.audit("medium-output-written", self.actor, request=self.request, medium=row["medium"], digest=self.digest)

    def finish(self, unit: Unit) -> Any:
        return self.result
