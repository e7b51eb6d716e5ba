"""Versions of the policy in the ledger: asked for by one person, approved by another at the desk, and counting from that commit on.

Every admission and every claim reads in its own transaction which version counts (``unit.standing``), so a change takes effect without a
restart and at one moment for all processes. On PostgreSQL a transaction that was under way when the new version committed may still admit
by the one before: as a whole, never by both; the claim, which comes later, decides by the new one.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, insert, select
from sqlalchemy.dialects import postgresql, sqlite

from gateway.errors import CommandRefused
from gateway.ledger import statements as sql
from gateway.ledger import tables as t
from gateway.ledger.approvals import Apply, Row
from gateway.ledger.clock import OFFSET, business_clock, ledger_time
from gateway.ledger.unit import MARKS, POLICY_VERSION, Unit
from gateway.policy.marks import NONE, PROTECTED, Flags, MarkChange, flags
from gateway.policy.rights import Active, day_of

_FACTS = "SELECT name, value FROM meta WHERE name IN ({ids})"

# ---- looking --------------------------------------------------------------------------------------------------------------------------


def active(conn: Connection) -> Active:
    """The version that counts, and the business clock. Asked for every question of a party: one statement as long as nothing changes."""
    facts = {str(name): str(value) for name, value in sql.rows(conn, _FACTS, ids=(OFFSET, POLICY_VERSION))}
    offset = float(facts[OFFSET]) if OFFSET in facts else business_clock(conn).offset_s
    version = int(facts.get(POLICY_VERSION, "0"))
    if version == 0:
        return Active(offset_s=offset)
    digest = conn.execute(select(t.policy_version.c.digest).where(t.policy_version.c.version == version)).scalar_one()
    return Active(version=version, document=document(conn, digest), offset_s=offset)


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


def protected(conn: Connection, delivery_id: str) -> bool:
    """Whether support measures are in force today for whom a delivery is about."""
    query = select(t.message.c.subject).join(t.delivery, t.delivery.c.message_id == t.message.c.id).where(t.delivery.c.id == delivery_id)
    subject = conn.execute(query).scalar()
    return subject in protected_among(conn, [subject] if subject is not None else [])


def protected_among(conn: Connection, subjects: Iterable[str]) -> frozenset[str]:
    """Those for whom support measures are in force today."""
    day = day_of(ledger_time(conn), business_clock(conn).offset_s)
    return frozenset(each for each in subjects if PROTECTED in marks_of(conn, each, day))


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A version that counts or counted: who asked for it, who approved it, and since when it counts."""

    version: int
    digest: str
    name: str
    base: int
    request: str
    reason: str
    requested_by: str
    approved_by: str
    applied_at: float


_SHOWN = tuple(Version.__dataclass_fields__)


def versions(conn: Connection, *, limit: int = 200) -> Sequence[Version]:
    """The newest first."""
    query = select(*(t.policy_version.c[name] for name in _SHOWN)).order_by(t.policy_version.c.version.desc()).limit(limit)
    return [Version(**row._mapping) for row in conn.execute(query)]


def document(conn: Connection, digest: str) -> str | None:
    """A policy that was asked for, by its digest."""
    return conn.execute(select(t.policy_document.c.document).where(t.policy_document.c.digest == digest)).scalar()


# ---- changing: what the transactions of a request and of its approval run --------------------------------------------------------------


def propose(text: str, digest: str, base: int) -> Callable[[Unit], None]:
    """Keep what is asked for, if ``base`` still counts."""

    def check(unit: Unit) -> None:
        _require_base(unit, base)
        unit.insert_ignore(t.policy_document, [{"digest": digest, "document": text}])

    return check


def count_from_now(name: str, digest: str, base: int) -> Apply:
    """Have the policy of this digest count, from this commit on."""

    def apply(unit: Unit, row: Row) -> str:
        if unit.postgresql:  # one after the other: the later of two approvals sees that its base is gone
            unit.insert_ignore(t.meta, [{"name": POLICY_VERSION, "value": "0"}])
            unit.conn.execute(select(t.meta.c.value).where(t.meta.c.name == POLICY_VERSION).with_for_update())
        _require_base(unit, base)
        kept = document(unit.conn, digest)
        if bytes(row["seen_digest"]).hex() != digest or kept is None or hashlib.sha256(kept.encode()).hexdigest() != digest:
            raise CommandRefused("digest-changed", "what was approved is not what was asked for: ask again", rule="R13")
        version = base + 1
        # at once, so that a second approval in the same group finds its base gone
        unit.conn.execute(
            insert(t.policy_version).values(
                version=version, digest=digest, name=name, base=base, request=row["id"], reason=row["reason"],
                requested_by=row["requested_by"], approved_by=row["decided_by"], applied_at=unit.now,
            )
        )  # fmt: skip
        upsert = (postgresql.insert if unit.postgresql else sqlite.insert)(t.meta).values(name=POLICY_VERSION, value=str(version))
        unit.conn.execute(upsert.on_conflict_do_update(index_elements=["name"], set_={"value": str(version)}))
        unit.audit(
            "policy-applied", row["decided_by"], request=row["id"], requested_by=row["requested_by"], version=version, digest=digest,
            name=name, reason=row["reason"],
        )  # fmt: skip
        return f"version {version}"

    return apply


def _require_base(unit: Unit, base: int) -> None:
    if _version(unit.conn) != base:
        raise CommandRefused("changed-meanwhile", "another version of the policy was applied meanwhile: look again", rule="R13")
