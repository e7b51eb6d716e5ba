"""The operators' accounts: which rights two persons approved, when they were last reviewed and used, and who let a contractor work.

What the configuration says first, for a ledger that knows nobody, is taken over as it is and put on record. From then on a right that is
added there has effect when a second person has approved it (C-1-3-16).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, func, select, update

from gateway.approvals.rights import Account, Rights
from gateway.errors import CommandRefused
from gateway.ledger import tables as t
from gateway.ledger.approvals import Row
from gateway.ledger.unit import Unit

SEEN_EVERY_S = 900.0
"""Last use is written down no more often than that: one entry of the record for a sitting, not for every request."""
BY_CONFIGURATION = "configuration"


def accounts(conn: Connection) -> dict[str, Account]:
    """All of them, by name."""
    rows = conn.execute(select(t.operator_account).order_by(t.operator_account.c.name)).mappings()
    return {row["name"]: Account(**{**row, "rights": Rights.from_json(row["rights"])}) for row in rows}


@dataclass(slots=True, kw_only=True)
class TakeOver:
    """The configuration's operators, for a ledger that knows nobody yet."""

    configured: Mapping[str, Rights]
    bulk: bool = False
    size: int = 1

    def plan(self, unit: Unit) -> None:
        """Nothing is locked before."""

    def apply(self, unit: Unit) -> None:
        if unit.conn.execute(select(func.count()).select_from(t.operator_account)).scalar_one():
            return
        rows = [_new(unit, name, rights, BY_CONFIGURATION, BY_CONFIGURATION) for name, rights in sorted(self.configured.items())]
        unit.insert_ignore(t.operator_account, rows)
        for row in rows:
            unit.audit("operator-taken-over", BY_CONFIGURATION, operator=row["name"], rights=row["rights"])

    def finish(self, unit: Unit) -> None:
        return None


def grant(rights: Rights) -> Callable[[Unit, Row], str]:
    """The effect of an approval: the configured rights of that person, as they were seen, are in force."""

    def effect(unit: Unit, row: Row) -> str:
        if rights.digest() != bytes(row["seen_digest"]):
            raise CommandRefused("changed-meanwhile", "the configured rights are not what was seen: look again", rule="R13")
        name = row["subject"]
        before = unit.conn.execute(select(t.operator_account.c.rights).where(t.operator_account.c.name == name)).scalar()
        decided = row["decided_by"] or ""
        values = _new(unit, name, rights, row["requested_by"], decided)
        if before is None:
            unit.insert_ignore(t.operator_account, [values])
        else:
            values = {key: values[key] for key in ("rights", "granted_at", "requested_by", "approved_by", "reviewed_at", "reviewed_by")}
            unit.conn.execute(update(t.operator_account).where(t.operator_account.c.name == name).values(values))
        unit.audit("operator-rights", row["requested_by"], operator=name, before=before, rights=rights.to_json(), request=row["id"])
        return "granted"

    return effect


@dataclass(slots=True, kw_only=True)
class Change:
    """Something that happens to one account, with its entry of the record. Result: None.

    ``values``: new values of columns. ``take_away``: rights that are in force from now on, fewer than before.
    """

    name: str
    actor: str
    kind: str
    values: Mapping[str, Any] = field(default_factory=dict)
    detail: Mapping[str, Any] = field(default_factory=dict)
    not_if_seen_since: float | None = None
    """Nothing, if the last use is as new as that."""
    bulk: bool = False
    size: int = 1
    result: Any = None

    def plan(self, unit: Unit) -> None:
        self.result = None

    def apply(self, unit: Unit) -> None:
        conditions = [t.operator_account.c.name == self.name]
        if self.not_if_seen_since is not None:
            seen = t.operator_account.c.seen_at
            conditions.append((seen.is_(None)) | (seen < self.not_if_seen_since))
        values = {key: unit.now if value is NOW else value for key, value in self.values.items()}
        done = unit.conn.execute(update(t.operator_account).where(*conditions).values(values))
        if done.rowcount:
            unit.audit(self.kind, self.actor, operator=self.name, **self.detail)
        elif self.not_if_seen_since is None:
            self.result = CommandRefused("operator-unknown", "there is no such operator in force")

    def finish(self, unit: Unit) -> Any:
        return self.result


class _Now:
    """Stands for the time of the transaction."""


NOW = _Now()


@dataclass(slots=True, kw_only=True)
class RecordAccess:
    """A person was refused, or looked at something that belongs on record (C-1-3-19)."""

    kind: str
    actor: str
    message_id: str | None = None
    delivery_id: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)
    bulk: bool = False
    size: int = 1

    def plan(self, unit: Unit) -> None:
        """Nothing is needed."""

    def apply(self, unit: Unit) -> None:
        unit.audit(self.kind, self.actor, message=self.message_id, delivery_id=self.delivery_id, **self.detail)

    def finish(self, unit: Unit) -> None:
        return None


def _new(unit: Unit, name: str, rights: Rights, requested_by: str, approved_by: str) -> dict[str, Any]:
    return {
        "name": name, "rights": rights.to_json(), "granted_at": unit.now, "requested_by": requested_by, "approved_by": approved_by,
        "reviewed_at": unit.now, "reviewed_by": approved_by, "seen_at": None, "released_until": None, "released_by": None,
    }  # fmt: skip
