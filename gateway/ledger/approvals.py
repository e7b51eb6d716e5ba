"""Requests that a second person decides: the record of them, and the rules that hold for every kind (four eyes).

Commands on a delivery (:mod:`gateway.ledger.commands`) and everything else that needs two persons share the table ``command``, the refusals
and the entries of the record. What is specific to a kind is its *effect*: a function that the transaction of the approval runs, and that
checks again what the request was based on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select, update

from gateway.approvals.kinds import RULES, Effect, Kind
from gateway.errors import CommandRefused
from gateway.ids import new_id
from gateway.ledger import tables as t
from gateway.ledger.unit import Unit

REQUEST_EXPIRES_S = 24 * 3600.0
"""A request that nobody has decided by then is void; so is an approval that was not used by then. Seconds."""

Row = Mapping[str, Any]
Apply = Callable[[Unit, Row], str | None]
"""Carries out what was approved, or raises CommandRefused; returns what came of it, as a code."""


def add_request(unit: Unit, kind: str, actor: str, *, expires_at: float, **values: Any) -> str:
    """Put a request on record; returns its id."""
    request = new_id()
    row: dict[str, Any] = dict.fromkeys(column.name for column in t.command.columns)
    row |= {
        "id": request, "kind": kind, "seen_epoch": 0, "requested_by": actor, "requested_at": unit.now, "expires_at": expires_at,
        "status": "waiting", **values,
    }  # fmt: skip
    unit.add(t.command, row)
    return request


def load(unit: Unit, request: str) -> Row:
    """The request, locked.

    :raises CommandRefused: there is none.
    """
    query = select(t.command).where(t.command.c.id == request)
    row = unit.conn.execute(query.with_for_update() if unit.postgresql else query).mappings().first()
    if row is None:
        raise CommandRefused("request-unknown", "there is no such request")
    return dict(row)


def close(unit: Unit, request: str, status: str, actor: str | None = None, **values: Any) -> None:
    """Write what became of a request; ``actor``: who decided it."""
    decided = {} if actor is None else {"decided_by": actor, "decided_at": unit.now}
    unit.conn.execute(update(t.command).where(t.command.c.id == request).values(status=status, **decided, **values))


def require_waiting(unit: Unit, row: Row, actor: str) -> None:
    """:raises CommandRefused: it was decided already, or is too old."""
    if row["status"] != "waiting":
        raise CommandRefused("request-decided", f"this request is already {row['status']}")
    if row["expires_at"] <= unit.now:
        close(unit, row["id"], "expired", actor)
        raise CommandRefused("request-expired", "this request has expired; ask again")


def decline(unit: Unit, row: Row, actor: str, why: str) -> str:
    """Its author takes it back, or somebody else refuses it; returns what it is now."""
    status = "withdrawn" if row["requested_by"] == actor else "refused"
    close(unit, row["id"], status, actor)
    return status


def require_second_person(unit: Unit, row: Row, actor: str, digest: bytes | None, asker_entitled: bool) -> None:
    """Four eyes: another person, who looked at what was asked for, for somebody who could still ask.

    :raises CommandRefused: ``same-person``, ``digest-changed``, ``requester-not-entitled``.
    """
    if row["requested_by"] == actor:
        raise CommandRefused("same-person", "the person who asked cannot approve: a second person must", rule="R13")
    if not asker_entitled:
        close(unit, row["id"], "refused", actor)
        raise CommandRefused("requester-not-entitled", "the person who asked may no longer ask for this", rule="R13")
    if digest != bytes(row["content_digest"] or row["seen_digest"]):
        raise CommandRefused("digest-changed", "what was approved is not what was asked for: look again", rule="R13")


@dataclass(slots=True, kw_only=True)
class Ask:
    """Ask for something that is no command on a delivery. Result: the id of the request."""

    kind: Kind
    actor: str
    reason: str
    subject: str
    seen_digest: bytes
    seen_state: str = ""
    argument: Mapping[str, Any] | None = None
    delivery_id: str | None = None
    party: str | None = None
    request_s: float = REQUEST_EXPIRES_S
    check: Callable[[Unit], None] | None = None
    """Looks whether it is as it was seen; raises CommandRefused."""
    bulk: bool = False
    size: int = 1
    result: Any = None

    def plan(self, unit: Unit) -> None:
        self.result = None

    def apply(self, unit: Unit) -> None:
        names: dict[str, Any] = {"command": self.kind.value, "subject": self.subject}
        try:
            if not self.reason.strip():
                raise CommandRefused("reason-missing", "this command needs a reason")
            if self.check is not None:
                self.check(unit)
        except CommandRefused as refused:
            unit.audit("command-refused", self.actor, code=refused.code, **names)
            self.result = refused
            return
        self.result = add_request(
            unit, self.kind.value, self.actor, expires_at=unit.now + self.request_s, delivery_id=self.delivery_id, subject=self.subject,
            party=self.party, seen_state=self.seen_state, seen_digest=self.seen_digest, reason=self.reason,
            argument=None if self.argument is None else json.dumps(self.argument, sort_keys=True, separators=(",", ":")),
        )  # fmt: skip
        unit.audit(
            "command-requested", self.actor, delivery_id=self.delivery_id, request=self.result, reason=self.reason,
            argument=dict(self.argument) if self.argument else None, **names,
        )  # fmt: skip

    def finish(self, unit: Unit) -> Any:
        return self.result


@dataclass(slots=True, kw_only=True)
class Decide:
    """Approve or decline such a request. What takes effect on approval does so in this transaction. Result: its status."""

    request: str
    actor: str
    approve: bool
    digest: bytes | None = None
    """What the second person looked at."""
    why: str = ""
    """Of a refusal."""
    asker_entitled: bool = True
    effect: Apply | None = None
    bulk: bool = False
    size: int = 1
    result: Any = None

    def plan(self, unit: Unit) -> None:
        self.result = None

    def apply(self, unit: Unit) -> None:
        names: dict[str, Any] = {"request": self.request}
        try:
            row = load(unit, self.request)
            names |= {"command": row["kind"], "subject": row["subject"], "delivery_id": row["delivery_id"]}
            require_waiting(unit, row, self.actor)
            if not self.approve:
                self.result = decline(unit, row, self.actor, self.why)
                unit.audit("command-declined", self.actor, why=self.why or None, **names)
                return
            require_second_person(unit, row, self.actor, self.digest, self.asker_entitled)
            self.result = self._approve(unit, row)
            argument = json.loads(row["argument"]) if row["argument"] else None
            kind = "command" if self.result == "done" else "command-approved"
            unit.audit(kind, self.actor, requested_by=row["requested_by"], reason=row["reason"], argument=argument, **names)
        except CommandRefused as refused:
            unit.audit("command-refused", self.actor, code=refused.code, **names)
            self.result = refused

    def _approve(self, unit: Unit, row: Row) -> str:
        outcome = None
        if self.effect is not None:
            try:
                outcome = self.effect(unit, {**row, "decided_by": self.actor})
            except CommandRefused:
                close(unit, self.request, "refused", self.actor)  # overtaken: whoever still wants it asks again
                raise
        later = RULES[Kind(row["kind"])].effect is Effect.AFTERWARDS
        status = "approved" if later else "done"
        values: dict[str, Any] = {"expires_at": unit.now + (row["expires_at"] - row["requested_at"])} if later else {}
        close(unit, self.request, status, self.actor, outcome=outcome, **values)
        return status

    def finish(self, unit: Unit) -> Any:
        return self.result


@dataclass(slots=True, kw_only=True)
class CarryOut:
    """Use an approval, once: on record before anything comes of it. Result: the request.

    ``again``: what was begun and did not end (its process died) may be carried on by whoever is there.
    """

    request: str
    actor: str
    outcome: str
    only_author: bool = True
    effect: Apply | None = None
    bulk: bool = False
    size: int = 1
    result: Any = None
    detail: dict[str, Any] = field(default_factory=dict)

    def plan(self, unit: Unit) -> None:
        self.result = None

    def apply(self, unit: Unit) -> None:
        names: dict[str, Any] = {"request": self.request}
        try:
            row = load(unit, self.request)
            names |= {"command": row["kind"], "subject": row["subject"], "delivery_id": row["delivery_id"]}
            if row["status"] != "approved":
                raise CommandRefused("not-approved", f"this request is {row['status']}: an approval is needed, and serves once")
            if row["expires_at"] <= unit.now:
                close(unit, self.request, "expired")
                raise CommandRefused("request-expired", "this approval has expired; ask again")
            if self.only_author and row["requested_by"] != self.actor:
                raise CommandRefused("not-the-requester", "only the person who asked may use this approval")
            if self.effect is not None:
                self.effect(unit, row)
            close(unit, self.request, "done", used_at=unit.now, outcome=self.outcome)
            unit.audit("command", self.actor, approved_by=row["decided_by"], outcome=self.outcome, **names, **self.detail)
            self.result = row
        except CommandRefused as refused:
            unit.audit("command-refused", self.actor, code=refused.code, **names)
            self.result = refused

    def finish(self, unit: Unit) -> Any:
        return self.result
