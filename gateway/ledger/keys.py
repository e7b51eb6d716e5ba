"""Rotation of keys as the ledger sees it: what is wrapped or indexed under which key, and steps that renew a few rows at a time.

**What says how far a rotation is are the rows themselves** (``data_key.kek_id``, ``subject_alias.hmac_key_id``), so it goes on after any
crash where it stopped, and several processes may work at it at once: each row changes only if it still is what was read.

**The guard.** A process may learn of a new key late: it looks once a second, or was frozen. Three facts in ``meta`` keep what it then
brings from doing harm; admission and every insertion of a data key read them (:func:`guard`):

- ``key.blind``: the generation of blind indexes that counts. A message whose identifiers were indexed in another is admitted by that one
  if it brings it too, else refused as *stale*: it is prepared anew. Otherwise two processes could take a resident for two.
- ``key.blind.former``: rows of that generation may still be there; residents are looked for in both.
- ``key.barred.<id>``: the key-encryption key is about to be destroyed; nothing wrapped under it is taken any more.

On PostgreSQL a transaction may have read the guard just before it changed: whoever changes it waits for :data:`SETTLE_S` before relying
on it, which is longer than a transaction can stay open there (R21).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from gateway.errors import LedgerUnavailable
from gateway.ledger import statements as sql
from gateway.ledger import tables as t
from gateway.ledger.unit import StaleKey, Unit

SETTLE_S = 5.0
BLIND, FORMER, BARRED = "key.blind", "key.blind.former", "key.barred."

__all__ = ["SETTLE_S", "LedgerUnavailable", "StaleKey"]


# ---- looking --------------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """See the module's text."""

    blind: str | None
    former: str | None
    barred: dict[str, float]
    """When (ledger time) each was barred."""


def guard(conn: Connection) -> Guard:
    """What holds now."""
    facts = {
        row.name: row.value for row in conn.execute(select(t.meta.c.name, t.meta.c.value).where(t.meta.c.name.between("key.", "key/")))
    }
    barred = {name.removeprefix(BARRED): float(value) for name, value in facts.items() if name.startswith(BARRED)}
    return Guard(blind=facts.get(BLIND), former=facts.get(FORMER), barred=barred)


def guard_time(conn: Connection, name: str) -> float | None:
    """When a fact of the guard whose value is a time was set (ledger time)."""
    value = conn.execute(select(t.meta.c.value).where(t.meta.c.name == name)).scalar()
    return None if value is None else float(value)


def key_paths(conn: Connection) -> list[str]:
    """The key paths that some data key is wrapped under, by jumping along their index."""
    return _distinct(conn, t.data_key.c.kek_id)


def generations(conn: Connection) -> list[str]:
    """The generations of blind indexes of which there are rows."""
    return _distinct(conn, t.subject_alias.c.hmac_key_id)


def _distinct(conn: Connection, column: Any) -> list[str]:
    found: list[str] = []
    while True:
        query = select(func.min(column))
        value = conn.execute(query.where(column > found[-1]) if found else query).scalar()
        if value is None:
            return found
        found.append(value)


def uses(conn: Connection) -> tuple[dict[str, int], dict[str, int]]:
    """How many data keys there are under each key path, and how many aliases of each generation. Reads an index from end to end."""
    by_path = conn.execute(select(t.data_key.c.kek_id, func.count()).group_by(t.data_key.c.kek_id))
    by_generation = conn.execute(select(t.subject_alias.c.hmac_key_id, func.count()).group_by(t.subject_alias.c.hmac_key_id))
    return {row[0]: row[1] for row in by_path}, {row[0]: row[1] for row in by_generation}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrapped:
    """A data key to be wrapped anew."""

    id: str
    message_id: str
    path: str
    wrapped: bytes = field(repr=False)


def wrapped_under(conn: Connection, path: str, after: str, limit: int) -> list[Wrapped]:
    """Some data keys of this key path, in the order of their ids, from behind ``after``."""
    c = t.data_key.c
    rows = conn.execute(select(c.id, c.message_id, c.wrapped).where(c.kek_id == path, c.id > after).order_by(c.id).limit(limit))
    return [Wrapped(id=row.id, message_id=row.message_id, path=path, wrapped=bytes(row.wrapped)) for row in rows]


def aliases_of(conn: Connection, generation: str, limit: int) -> list[tuple[str, bytes, str]]:
    """Some aliases of this generation: kind, blind index, subject."""
    c = t.subject_alias.c
    rows = conn.execute(select(c.kind, c.blind, c.subject).where(c.hmac_key_id == generation).limit(limit))
    return [(row.kind, bytes(row.blind), row.subject) for row in rows]


@dataclass(frozen=True, slots=True, kw_only=True)
class DayUse:
    """What is still wrapped under a day key."""

    unfinished: int
    """Deliveries that are not final."""
    last_final_at: float | None
    """When the last one became final (ledger time)."""


def use_of_day(conn: Connection, paths: Sequence[str]) -> DayUse:
    """The deliveries whose bodies are under one of these key paths (of one day key)."""
    c = t.delivery.c
    query = (
        select(func.count().filter(c.final_at.is_(None)), func.max(c.final_at))
        .select_from(t.data_key.join(t.delivery, c.message_id == t.data_key.c.message_id))
        .where(t.data_key.c.kek_id.in_(paths))
    )
    unfinished, last = conn.execute(query).one()
    return DayUse(unfinished=unfinished or 0, last_final_at=last)


# ---- changing -------------------------------------------------------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True)
class Rewrap:
    """Data keys under the current key-encryption key; the result is how many still were what was read."""

    renewed: Sequence[tuple[Wrapped, str, bytes]]
    """What was read, its new key path, its new wrapping."""
    bulk: bool = True
    size: int = 1
    done: int = 0

    def plan(self, unit: Unit) -> None:
        """Rows of ``data_key`` are changed by nobody else, and locked by the change itself."""

    def apply(self, unit: Unit) -> None:
        self.done = 0
        c = t.data_key.c
        for old, path, wrapped in sorted(self.renewed, key=lambda each: each[0].id):
            changed = update(t.data_key).where(c.id == old.id, c.kek_id == old.path).values(kek_id=path, wrapped=wrapped)
            self.done += unit.conn.execute(changed).rowcount

    def finish(self, unit: Unit) -> int:
        return self.done


@dataclass(slots=True, kw_only=True)
class RenewAliases:
    """Aliases of the generation before, in the current one. Subjects stay what they are."""

    generation: str
    renewed: Sequence[tuple[str, bytes, bytes, str]]
    """Kind, old blind index, new blind index, subject."""
    bulk: bool = True
    size: int = 1

    def plan(self, unit: Unit) -> None:
        """Conflicts are expected: a resident that came meanwhile has the new alias already."""

    def apply(self, unit: Unit) -> None:
        rows = [
            {"kind": kind, "blind": new, "hmac_key_id": self.generation, "subject": subject}
            for kind, _, new, subject in sorted(self.renewed, key=lambda each: (each[0], each[2]))
        ]
        unit.insert_ignore(t.subject_alias, rows)
        c, places = t.subject_alias.c, {(kind, old): new for kind, old, new, _ in self.renewed}
        former = select(c.kind, c.blind).where(c.blind.in_(sorted(old for _, old in places)), c.superseded)
        for kind, blind in unit.conn.execute(former).all():
            unit.conn.execute(update(t.subject_alias).where(c.kind == kind, c.blind == places[kind, bytes(blind)]).values(superseded=True))
        old = [(blind, kind) for kind, blind, _, _ in sorted(self.renewed)]
        mark = sql.mark_of(unit.conn)
        sql.write_many(unit.conn, _FORGET.format(mark=mark), old)

    def finish(self, unit: Unit) -> None:
        return None


_FORGET = "DELETE FROM subject_alias WHERE blind = {mark} AND kind = {mark}"


@dataclass(slots=True, kw_only=True)
class SetGuard:
    """Change the guard, with an entry of the record.

    ``values``: name in ``meta`` → value; None takes it out, ``now`` is the ledger's time.
    """

    kind: str
    """Of the entry."""
    actor: str
    values: dict[str, str | None]
    detail: dict[str, Any] = field(default_factory=dict)
    expected: tuple[str, str | None] | None = None
    """Name and value that must hold, or nothing is done."""
    bulk: bool = False
    size: int = 1
    done: bool = False

    def plan(self, unit: Unit) -> None:
        """One row each, rarely."""

    def apply(self, unit: Unit) -> None:
        self.done = False
        if self.expected is not None:
            name, value = self.expected
            if unit.conn.execute(select(t.meta.c.value).where(t.meta.c.name == name)).scalar() != value:
                return
        for name, value in self.values.items():
            if value is None:
                unit.conn.execute(delete(t.meta).where(t.meta.c.name == name))
                continue
            make = postgresql.insert if unit.postgresql else sqlite.insert
            statement = make(t.meta).values(name=name, value=repr(unit.now) if value == "now" else value)
            unit.conn.execute(statement.on_conflict_do_update(index_elements=["name"], set_={"value": statement.excluded.value}))
        unit.audit(self.kind, self.actor, **self.detail)
        self.done = True

    def finish(self, unit: Unit) -> bool:
        return self.done


@dataclass(slots=True, kw_only=True)
class RecordKeyEvent:
    """Something that happened to a key, on record (R22): made, destroyed, wrapped anew."""

    kind: str
    actor: str
    detail: dict[str, Any]
    bulk: bool = False
    size: int = 1

    def plan(self, unit: Unit) -> None:
        """Nothing is needed."""

    def apply(self, unit: Unit) -> None:
        unit.audit(self.kind, self.actor, **self.detail)

    def finish(self, unit: Unit) -> None:
        return None
