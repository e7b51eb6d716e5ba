"""Bulk output by prior approval (C-1-3-28, C-2-3-14, C-3-3-7).

Deliveries of a route with ``approval: bulk-output`` are accepted and wait. What waits of one type for one party is one *set*; a request
names the set by its digest, and the approval releases exactly what was in it: what is accepted later waits for an approval of its own. The
set may be large, so it is released in steps, each a transaction; an approval that a crash left half done is carried on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Select, func, select

from gateway.delivery import commands as rules
from gateway.errors import CommandRefused
from gateway.ledger import approvals
from gateway.ledger import tables as t
from gateway.ledger.approvals import Row
from gateway.ledger.bells import Bell, bell_of
from gateway.ledger.unit import Unit

APPROVAL = "bulk-output"
STEP = 200
"""Deliveries released in one transaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkSet:
    """What waits for one approval."""

    party: str
    type: str
    count: int
    oldest_at: float
    newest_at: float
    digest: bytes


def subject_of(party: str, message_type: str) -> str:
    """How a request names a set."""
    return f"{party}/{message_type}"


def sets(conn: Connection) -> list[BulkSet]:
    """Everything that waits, by party and type."""
    d = t.delivery.c
    query = (
        select(d.party, t.message.c.type, func.count(), func.min(d.accepted_at), func.max(d.accepted_at))
        .join(t.message, t.message.c.id == d.message_id)
        .where(d.approval == APPROVAL, d.final_at.is_(None))
        .group_by(d.party, t.message.c.type)
        .order_by(d.party, t.message.c.type)
    )
    return [
        BulkSet(party=party, type=kind, count=count, oldest_at=oldest, newest_at=newest, digest=_digest(conn, party, kind, newest))
        for party, kind, count, oldest, newest in conn.execute(query).all()
    ]


def find(conn: Connection, party: str, message_type: str) -> BulkSet | None:
    """One set."""
    return next((each for each in sets(conn) if (each.party, each.type) == (party, message_type)), None)


def still(wanted: BulkSet) -> Callable[[Unit], None]:
    """A check for a request: the set is as it was seen. What came after it does not count."""

    def check(unit: Unit) -> None:
        _require(unit.conn, wanted.party, wanted.type, wanted.newest_at, wanted.digest)

    return check


def unchanged(unit: Unit, row: Row) -> None:
    """The effect of the approval: nothing of the set has gone meanwhile. It is released afterwards, by :class:`ReleaseStep`."""
    party, kind, until = _named(row)
    _require(unit.conn, party, kind, until, bytes(row["seen_digest"]))


@dataclass(slots=True, kw_only=True)
class ReleaseStep:
    """Release some of an approved set. Result: how many, and the bells; 0: all of it is released, and the request is done."""

    request: str
    actor: str
    bulk: bool = True
    size: int = STEP
    result: Any = None
    bells: list[Bell] = field(default_factory=list)
    _ids: Sequence[str] = ()

    def plan(self, unit: Unit) -> None:
        self.result, self.bells, self._ids = None, [], ()
        row = unit.conn.execute(select(t.command).where(t.command.c.id == self.request)).mappings().first()
        if row is None or row["status"] != "approved":
            return
        found = unit.conn.execute(_members(*_named(row)).add_columns(t.delivery.c.key_id).limit(STEP)).all()
        self._ids = [each[0] for each in found]
        unit.want_keys.update(each[1] for each in found)

    def apply(self, unit: Unit) -> None:
        row = approvals.load(unit, self.request)
        if row["status"] != "approved":
            self.result = CommandRefused("not-approved", f"this request is {row['status']}")
            return
        unit.load_deliveries(self._ids)
        for each in self._ids:
            delivery = unit.deliveries[each]
            key = unit.keys[delivery.key_id]
            if delivery.approval != APPROVAL or delivery.state.final:
                continue
            rules.release(key, delivery, unit.now)
            unit.touch(key, delivery)
            if key.due_at is not None and key.due_at <= unit.now and key.held is None:
                self.bells.append(bell_of(key, unit.now))
        if not self._ids:
            approvals.close(unit, self.request, "done", used_at=unit.now, outcome="released")
            unit.audit(
                "command", self.actor, command=row["kind"], subject=row["subject"], request=self.request, requested_by=row["requested_by"],
                approved_by=row["decided_by"], argument=json.loads(row["argument"]),
            )  # fmt: skip
        self.result = len(self._ids)

    def finish(self, unit: Unit) -> Any:
        return self.result if isinstance(self.result, CommandRefused) else (self.result, tuple(self.bells))


def approved(conn: Connection) -> list[str]:
    """Requests whose release was begun and has not ended."""
    query = select(t.command.c.id).where(t.command.c.kind == APPROVAL, t.command.c.status == "approved")
    return list(conn.execute(query.order_by(t.command.c.id)).scalars())


def _named(row: Any) -> tuple[str, str, float]:
    party, _, kind = row["subject"].partition("/")
    return party, kind, json.loads(row["argument"])["until"]


def _members(party: str, message_type: str, until: float) -> Select[Any]:
    d = t.delivery.c
    return (
        select(d.id)
        .join(t.message, t.message.c.id == d.message_id)
        .where(d.party == party, d.final_at.is_(None), d.approval == APPROVAL, t.message.c.type == message_type, d.accepted_at <= until)
        .order_by(d.id)
    )


def _digest(conn: Connection, party: str, message_type: str, until: float) -> bytes:
    made = hashlib.sha256(subject_of(party, message_type).encode())
    for row in conn.execute(_members(party, message_type, until)):
        made.update(row[0].encode())
    return made.digest()


def _require(conn: Connection, party: str, message_type: str, until: float, digest: bytes) -> None:
    if _digest(conn, party, message_type, until) != digest:
        raise CommandRefused("changed-meanwhile", "what waits is not what was seen: look again", rule="R13")
