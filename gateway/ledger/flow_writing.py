"""What the tracker and the operators write of the cases of business flows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from gateway.errors import CommandRefused
from gateway.flows.machine import ENDED, Instance, Machine
from gateway.ledger import tables as t
from gateway.ledger.flows import CURSOR, LEASE, cursor, of_row, row_of
from gateway.ledger.leases import Held, holds
from gateway.ledger.unit import Unit


@dataclass(slots=True, kw_only=True)
class WriteFlows:
    """Write what was derived, and how far. Result: whether it was written; no, if another process is at it or has been faster."""

    held: Held
    instances: Sequence[Instance]
    first: int
    last: int
    overdue: Sequence[tuple[Instance, str]] = ()
    """Steps that have become overdue: an entry of the record for each."""
    bulk: bool = True
    size: int = 1
    written: bool = False

    def plan(self, unit: Unit) -> None:
        self.written = False

    def apply(self, unit: Unit) -> None:
        if not holds(unit, self.held) or cursor(unit.conn) != self.first or self._changed(unit):
            return
        self.written = True
        rows = [row_of(each) for each in self.instances]
        links = sorted({(message, each.id) for each in self.instances for step in each.steps.values() for message in step.messages})
        if rows:
            make = postgresql.insert if unit.postgresql else sqlite.insert
            statement = make(t.flow_instance)
            changes = {c.name: statement.excluded[c.name] for c in t.flow_instance.columns if c.name not in ("id", "flow", "begun_at")}
            unit.conn.execute(statement.on_conflict_do_update(index_elements=["id"], set_=changes), rows)
            unit.insert_ignore(t.flow_message, [{"message_id": message, "instance_id": instance} for message, instance in links])
        for instance, step in self.overdue:
            unit.audit("flow-overdue", LEASE, flow=instance.flow, case=instance.id, step=step, messages=instance.steps[step].messages)
        if self.last != self.first:
            done = unit.conn.execute(update(t.meta).where(t.meta.c.name == CURSOR).values(value=str(self.last)))
            if not done.rowcount:
                unit.conn.execute(t.meta.insert().values(name=CURSOR, value=str(self.last)))

    def _changed(self, unit: Unit) -> bool:
        """A person has completed one of them meanwhile: it is read anew."""
        i = t.flow_instance.c
        mine = {each.id for each in self.instances if each.completed_by is None}
        done = unit.conn.execute(select(i.id).where(i.id.in_(sorted(mine)), i.completed_by.is_not(None))) if mine else ()
        return any(True for _ in done)

    def finish(self, unit: Unit) -> bool:
        return self.written


@dataclass(slots=True, kw_only=True)
class CompleteFlow:
    """A person says that what is left of a case was done by other means, or will not come. Result: the instance."""

    machine: Machine
    instance_id: str
    actor: str
    reason: str
    seen_state: str
    """What the person saw: refused if it is otherwise meanwhile."""
    bulk: bool = False
    size: int = 1
    result: Any = None

    def plan(self, unit: Unit) -> None:
        self.result = None

    def apply(self, unit: Unit) -> None:
        query = select(t.flow_instance).where(t.flow_instance.c.id == self.instance_id)
        row = unit.conn.execute(query.with_for_update() if unit.postgresql else query).mappings().first()
        if row is None:
            self.result = CommandRefused("no-such-case", "there is no case of this id")
            return
        instance = of_row(row)
        refusal = None
        if instance.completed_by is not None or (instance.closed_at is not None and instance.state == "done"):
            refusal = CommandRefused("case-over", "this case is over")
        elif instance.state != self.seen_state:
            refusal = CommandRefused("changed-meanwhile", f"it is {instance.state} now: look again", rule="R13")
        if refusal is not None:
            unit.audit("command-refused", self.actor, command="flow-complete", case=instance.id, code=refusal.code)
            self.result = refusal
            return
        left = [no for no, each in instance.steps.items() if each.state not in ENDED]
        self.machine.complete(instance, self.actor, self.reason, unit.now + float(unit.key_guard.get("business_offset_s", "0")))
        values = {name: value for name, value in row_of(instance).items() if name != "id"}
        unit.conn.execute(update(t.flow_instance).where(t.flow_instance.c.id == self.instance_id).values(values))
        unit.audit("flow-completed", self.actor, flow=instance.flow, case=instance.id, steps=left, reason=self.reason)
        self.result = instance

    def finish(self, unit: Unit) -> Any:
        return self.result


@dataclass(slots=True, kw_only=True)
class ForgetFlows:
    """Erase cases that ended long ago. Result: how many."""

    held: Held
    before: float
    limit: int = 200
    bulk: bool = True
    size: int = 1
    gone: int = 0

    def plan(self, unit: Unit) -> None:
        self.gone = 0

    def apply(self, unit: Unit) -> None:
        if not holds(unit, self.held):
            return
        i = t.flow_instance.c
        old = select(i.id).where(i.closed_at.is_not(None), i.closed_at < self.before).order_by(i.closed_at).limit(self.limit)
        ids = list(unit.conn.execute(old).scalars())
        if ids:
            unit.conn.execute(delete(t.flow_message).where(t.flow_message.c.instance_id.in_(ids)))
            unit.conn.execute(delete(t.flow_instance).where(i.id.in_(ids)))
        self.gone = len(ids)

    def finish(self, unit: Unit) -> int:
        return self.gone


@dataclass(slots=True, kw_only=True)
class RebuildFlows:
    """Derive everything anew from the record: the tracker begins at its first block. What persons completed stays as they left it."""

    actor: str
    reason: str
    bulk: bool = True
    size: int = 1

    def plan(self, unit: Unit) -> None:
        """Nothing is needed."""

    def apply(self, unit: Unit) -> None:
        i = t.flow_instance.c
        kept = select(i.id).where(i.completed_by.is_not(None))
        unit.conn.execute(delete(t.flow_message).where(t.flow_message.c.instance_id.not_in(kept)))
        unit.conn.execute(delete(t.flow_instance).where(i.completed_by.is_(None)))
        unit.conn.execute(delete(t.meta).where(t.meta.c.name == CURSOR))
        unit.audit("flows-rebuilt", self.actor, reason=self.reason)

    def finish(self, unit: Unit) -> None:
        return None
