"""Versions of the policy in the ledger: asked for by one person, approved by another, and counting from that commit on.

Every admission and every claim reads in its own transaction which version counts (``unit.standing``), so a change takes effect without a
restart and at one moment for all processes. On PostgreSQL a transaction that was under way when the new version committed may still admit
by the one before: as a whole, never by both; the claim, which comes later, decides by the new one.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from gateway.errors import CommandRefused
from gateway.ids import new_id
from gateway.ledger import tables as t
from gateway.ledger.clock import business_clock, ledger_time
from gateway.ledger.unit import MARKS, POLICY_VERSION, Unit
from gateway.policy.marks import NONE, Flags, MarkChange, flags
from gateway.policy.rights import Active

# ---- looking --------------------------------------------------------------------------------------------------------------------------


def active(conn: Connection) -> Active:
    """The version that counts, and the business clock."""
    offset = business_clock(conn).offset_s
    version = _version(conn)
    if version == 0:
        return Active(offset_s=offset)
    document = conn.execute(select(t.policy_version.c.document).where(t.policy_version.c.version == version)).scalar_one()
    return Active(version=version, document=document, offset_s=offset)


def _version(conn: Connection) -> int:
    value = conn.execute(select(t.meta.c.value).where(t.meta.c.name == POLICY_VERSION)).scalar()
    return 0 if value is None else int(value)


def marks_of(conn: Connection, subject: str | None, day: dt.date) -> Flags:
    """What counts for a resident on a day."""
    if subject is None or conn.execute(select(t.meta.c.name).where(t.meta.c.name == MARKS)).first() is None:
        return NONE
    m = t.person_mark.c
    rows = conn.execute(select(m.mark, m.since, m.until).where(m.subject == subject))
    return flags((MarkChange(mark=row.mark, since=row.since, until=row.until) for row in rows), day)


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRequest:
    """A version on record: asked for, and what became of it."""

    id: str
    version: int | None
    digest: str
    name: str
    base: int
    reason: str
    requested_by: str
    requested_at: float
    expires_at: float
    status: str
    decided_by: str | None
    decided_at: float | None


_SHOWN = tuple(PolicyRequest.__dataclass_fields__)


def requests(conn: Connection, *, limit: int = 200) -> Sequence[PolicyRequest]:
    """Versions and requests, newest first; one that nobody decided in time is shown as expired."""
    now = ledger_time(conn)
    query = select(*(t.policy_version.c[name] for name in _SHOWN)).order_by(t.policy_version.c.requested_at.desc()).limit(limit)
    found = [dict(row._mapping) for row in conn.execute(query)]
    for row in found:
        if row["status"] == "waiting" and row["expires_at"] <= now:
            row["status"] = "expired"
    return [PolicyRequest(**row) for row in found]


def document(conn: Connection, request_id: str) -> str | None:
    """What a request asks for."""
    return conn.execute(select(t.policy_version.c.document).where(t.policy_version.c.id == request_id)).scalar()


# ---- changing -------------------------------------------------------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True)
class AskForPolicy:
    """One person asks for a version. Result: the request's id, or why not."""

    actor: str
    document: str
    digest: str
    name: str
    base: int
    reason: str
    request_s: float
    bulk: bool = False
    size: int = 1
    result: Any = None

    def plan(self, unit: Unit) -> None:
        """Nothing is locked before."""

    def apply(self, unit: Unit) -> None:
        if _version(unit.conn) != self.base:
            self.result = CommandRefused("changed-meanwhile", "another version of the policy was applied meanwhile: look again", rule="R13")
            unit.audit("command-refused", self.actor, command="policy", code=self.result.code)
            return
        request = new_id()
        unit.add(
            t.policy_version,
            {
                "id": request, "version": None, "digest": self.digest, "name": self.name, "document": self.document, "base": self.base,
                "reason": self.reason, "requested_by": self.actor, "requested_at": unit.now, "expires_at": unit.now + self.request_s,
                "status": "waiting", "decided_by": None, "decided_at": None,
            },
        )  # fmt: skip
        unit.audit("policy-requested", self.actor, request=request, digest=self.digest, name=self.name, base=self.base, reason=self.reason)
        self.result = request

    def finish(self, unit: Unit) -> Any:
        return self.result


@dataclass(slots=True, kw_only=True)
class DecidePolicy:
    """A second person approves a version, which counts from this commit on; or it is refused or withdrawn. Result: the version, 0, or
    why not."""

    actor: str
    request: str
    approve: bool
    digest: str = ""
    """What the second person looked at."""
    bulk: bool = False
    size: int = 1
    result: Any = None

    def plan(self, unit: Unit) -> None:
        """The row is locked in ``apply``: nothing else waits for it."""

    def apply(self, unit: Unit) -> None:
        try:
            self.result = self._decide(unit)
        except CommandRefused as refused:
            unit.audit("command-refused", self.actor, command="policy", request=self.request, code=refused.code)
            self.result = refused

    def _decide(self, unit: Unit) -> int:
        query = select(t.policy_version).where(t.policy_version.c.id == self.request)
        row = unit.conn.execute(query.with_for_update() if unit.postgresql else query).mappings().first()
        if row is None:
            raise CommandRefused("request-unknown", "there is no such request")
        if row["status"] != "waiting":
            raise CommandRefused("request-decided", f"this request is already {row['status']}")
        if row["expires_at"] <= unit.now:
            self._close(unit, "expired")
            raise CommandRefused("request-expired", "this request has expired; ask again")
        if not self.approve:
            self._close(unit, "withdrawn" if row["requested_by"] == self.actor else "refused")
            unit.audit("policy-declined", self.actor, request=self.request)
            return 0
        if row["requested_by"] == self.actor:
            raise CommandRefused("same-person", "the person who asked cannot approve: a second person must", rule="R13")
        if self.digest != row["digest"]:
            raise CommandRefused("digest-changed", "what was approved is not what was asked for: look again", rule="R13")
        current = _version(unit.conn)
        if current != row["base"]:
            self._close(unit, "refused")
            raise CommandRefused("changed-meanwhile", "another version of the policy was applied meanwhile: ask again", rule="R13")
        highest = unit.conn.execute(select(func.max(t.policy_version.c.version))).scalar() or 0
        version = int(highest) + 1
        self._close(unit, "done", version=version)
        insert = postgresql.insert if unit.postgresql else sqlite.insert
        statement = insert(t.meta).values(name=POLICY_VERSION, value=str(version))
        unit.conn.execute(statement.on_conflict_do_update(index_elements=["name"], set_={"value": str(version)}))
        unit.audit(
            "policy-applied", self.actor, request=self.request, requested_by=row["requested_by"], version=version, digest=row["digest"],
            name=row["name"], reason=row["reason"],
        )  # fmt: skip
        return version

    def _close(self, unit: Unit, status: str, **more: Any) -> None:
        values = {"status": status, "decided_by": self.actor, "decided_at": unit.now, **more}
        unit.conn.execute(update(t.policy_version).where(t.policy_version.c.id == self.request).values(values))

    def finish(self, unit: Unit) -> Any:
        return self.result
