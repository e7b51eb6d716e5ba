"""Cases of the business flows in the ledger: what the tracker reads of the record, and the rows that it writes.

Everything here is derived. What happened is read from the blocks of the record (R22), which every committed entry is in exactly once and in
whose order it is looked at; how far that has come is written with the rows, in one transaction, so that nothing is counted twice or missed
after a crash. The way of a message writes nothing for it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, func, or_, select

from gateway.delivery.rows import Hold, State
from gateway.flows.machine import Came, Fate, Instance, StepRow, StepState
from gateway.ledger import tables as t
from gateway.ledger.clock import business_clock, ledger_time

LEASE: Final = "flows"
CURSOR: Final = "flows.block"
"""The fact of the ledger that says up to which block of the record the cases are derived."""
_PART: Final = 400
"""Ids in one statement."""
_DIALOGUES: Final = frozenset({"dialogue"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Events:
    """What some blocks of the record say that concerns flows, with the rows that are needed to decide."""

    first: int
    """The block that the cases were derived up to before."""
    last: int
    behind: int
    """Blocks after ``last`` that there are already."""
    now: float
    """Business time."""
    at: float | None = None
    """When the newest of these blocks was made, ledger time."""
    came: tuple[Came, ...] = ()
    dialogues: tuple[tuple[Came, StepState, str | None], ...] = ()
    fates: tuple[Fate, ...] = ()


def cursor(conn: Connection) -> int:
    """The block up to which the cases are derived."""
    return int(conn.execute(select(t.meta.c.value).where(t.meta.c.name == CURSOR)).scalar() or 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """Business time, and how far it is from the ledger's."""

    now: float
    offset_s: float


def clock(conn: Connection) -> Clock:
    """Of this moment."""
    found = business_clock(conn)
    return Clock(now=found.at(ledger_time(conn)), offset_s=found.offset_s)


def old(conn: Connection, before: float) -> bool:
    """Some case ended before this time."""
    i = t.flow_instance.c
    return conn.execute(select(i.id).where(i.closed_at.is_not(None), i.closed_at < before).limit(1)).first() is not None


def events(conn: Connection, blocks: int) -> Events:
    """What the next blocks say, at most so many."""
    first, b, present = cursor(conn), t.audit_block.c, clock(conn)
    now, offset_s = present.now, present.offset_s
    rows = conn.execute(select(b.number, b.at, b.leaves).where(b.number > first).order_by(b.number).limit(blocks)).all()
    newest = conn.execute(select(func.max(b.number))).scalar() or 0
    if not rows:
        return Events(first=first, last=first, behind=max(0, newest - first), now=now)
    ids = [leaf.partition(" ")[0] for row in rows for leaf in row.leaves.split("\n") if leaf]
    e = t.audit_entry.c
    entries: dict[str, Any] = {}
    for part in _parts(ids):
        found = conn.execute(select(e.id, e.at, e.kind, e.actor, e.message_id, e.delivery_id, e.party, e.detail).where(e.id.in_(part)))
        entries.update((row.id, row) for row in found)
    order = [entries[each] for each in ids if each in entries]
    accepted = [row.message_id for row in order if row.kind == "accepted" and row.message_id]
    touched = {row.message_id for row in order if row.message_id is not None and row.delivery_id is not None}
    dialogues = [row for row in order if row.kind in _DIALOGUES]
    return Events(
        first=first,
        last=rows[-1].number,
        behind=max(0, newest - rows[-1].number),
        now=now,
        at=rows[-1].at,
        came=tuple(_came(conn, accepted, offset_s)),
        dialogues=tuple(_dialogue(conn, row, offset_s) for row in dialogues),
        fates=tuple(fates(conn, touched | set(accepted), offset_s)),
    )


def _came(conn: Connection, ids: Sequence[str], offset_s: float) -> Iterable[Came]:
    """Accepted messages in the order of the record, once for each party that they go to."""
    m, d = t.message, t.delivery.c
    found: dict[str, Any] = {}
    ways: dict[str, list[tuple[str, str | None]]] = {}
    for part in _parts(ids):
        columns = (m.c.id, m.c.system, m.c.producer, m.c.type, m.c.subject, m.c.flow, m.c.corrects, m.c.resends, m.c.accepted_at)
        found.update((row.id, row) for row in conn.execute(select(*columns).where(m.c.id.in_(part))))
        sent = select(d.message_id, d.party, d.way).where(d.message_id.in_(part)).order_by(d.accepted_at, d.id)
        for row in conn.execute(sent):
            known = ways.setdefault(row.message_id, [])
            if (row.party, row.way) not in known:
                known.append((row.party, row.way))
    for each in ids:
        message = found.get(each)
        if message is None:
            continue  # its record has been erased (R23): nothing waits for it any more
        after = message.resends
        if message.corrects is not None:
            of = select(m.c.id).where(m.c.system == message.system, m.c.source_id == message.corrects)
            after = conn.execute(of).scalar()
        for party, way in ways.get(each, ()):
            kind, sender, whose = _as(way, message.type, message.producer or message.system)
            yield Came(
                message_id=each, type=kind, sender=sender, party=party, subject=message.subject,
                at=message.accepted_at + offset_s, flow=message.flow, after=after, whose=whose,
            )  # fmt: skip


def _as(way: str | None, message_type: str, sender: str) -> tuple[str, str, str | None]:
    """As what a delivery goes, in whose place, and whose it is: what the ledger kept with it, or the message's own."""
    if way is None:
        return message_type, sender, None
    kind, producer, consumer = way.split(" ")
    return kind, producer, consumer


def _dialogue(conn: Connection, row: Any, offset_s: float) -> tuple[Came, StepState, str | None]:
    detail = json.loads(row.detail)
    answered = detail.get("outcome") == "answered"
    identity = str(detail.get("dialogue") or row.id)
    subject = conn.execute(select(t.provision.c.subject).where(t.provision.c.id == identity)).scalar()
    came = Came(
        message_id=identity, type=str(detail.get("type") or ""), sender=row.actor, party=str(detail.get("to") or ""), subject=subject,
        at=row.at + offset_s,
    )  # fmt: skip
    return came, StepState.DONE if answered else StepState.REFUSED, None if answered else "dialogue-refused"


def fates(conn: Connection, messages: Collection[str], offset_s: float) -> Iterable[Fate]:
    """What has become of messages at their parties, as the deliveries are now."""
    m, d, k = t.message.c, t.delivery.c, t.key_row.c
    for part in _parts(sorted(messages)):
        query = (
            select(
                d.message_id,
                m.type,
                d.way,
                d.party,
                d.state,
                d.reason,
                d.outcome_code,
                d.updated_at,
                d.final_at,
                k.held,
                k.head,
                d.number,
            )
            .join(t.message, m.id == d.message_id)
            .join(t.key_row, k.id == d.key_id)
            .where(d.message_id.in_(part), d.replaced_by.is_(None))
        )
        for row in conn.execute(query):
            state, code = _state(row)
            at = (row.final_at or row.updated_at) + offset_s
            kind, _, whose = _as(row.way, row.type, "")
            yield Fate(message_id=row.message_id, type=kind, party=row.party, state=state, at=at, code=code, whose=whose)


def _state(row: Any) -> tuple[StepState, str | None]:
    if row.state == State.DELIVERED.value:
        return StepState.DONE, None
    if row.state in (State.SKIPPED.value, State.EXPIRED.value):
        return StepState.REFUSED, row.state
    held = row.held if row.number == row.head else None
    if row.state == State.REJECTED.value or held == Hold.REJECTED.value:
        return StepState.REFUSED, "rejected"
    return StepState.WAITING, None if held is None else f"held-{held}"


# ---- rows ---------------------------------------------------------------------------------------------------------------------------


def of_row(row: RowMapping) -> Instance:
    """An instance from its row."""
    steps = {
        no: StepRow(state=StepState(each["state"]), messages=list(each["messages"]), due_at=each["due"], at=each["at"], code=each["code"])
        for no, each in json.loads(row["steps"]).items()
    }
    names = ("id", "flow", "subject", "begun_at", "changed_at", "closed_at", "completed_by", "reason", "part_of")
    return Instance(steps=steps, **{name: row[name] for name in names})


def row_of(instance: Instance) -> dict[str, Any]:
    """The row of an instance."""
    steps = {
        no: {"state": each.state.value, "messages": each.messages, "due": each.due_at, "at": each.at, "code": each.code}
        for no, each in instance.steps.items()
    }
    return {
        "id": instance.id, "flow": instance.flow, "subject": instance.subject, "state": instance.state, "begun_at": instance.begun_at,
        "changed_at": instance.changed_at, "due_at": instance.due_at, "closed_at": instance.closed_at,
        "steps": json.dumps(steps, separators=(",", ":")), "completed_by": instance.completed_by, "reason": instance.reason,
        "part_of": instance.part_of,
    }  # fmt: skip


def known(conn: Connection, subjects: Collection[str], messages: Collection[str], shared: Collection[str], since: float) -> list[Instance]:
    """The instances that messages of these residents may belong to, and those that these messages are in."""
    i, link = t.flow_instance, t.flow_message.c
    found: dict[str, Instance] = {}

    def take(condition: Any) -> None:
        for row in conn.execute(select(i).where(condition)).mappings():
            found.setdefault(row["id"], of_row(row))

    for part in _parts(sorted(subjects)):
        take(i.c.subject.in_(part) & or_(i.c.closed_at.is_(None), i.c.begun_at > since))
    for part in _parts(sorted(messages)):
        take(i.c.id.in_(select(link.instance_id).where(link.message_id.in_(part))))
    if shared:
        take(i.c.flow.in_(sorted(shared)) & i.c.closed_at.is_(None))
    return sorted(found.values(), key=lambda each: (each.begun_at, each.id))


def due(conn: Connection, now: float, limit: int) -> list[Instance]:
    """The instances that must be looked at by this time."""
    i = t.flow_instance
    query = select(i).where(i.c.due_at.is_not(None), i.c.due_at <= now).order_by(i.c.due_at).limit(limit)
    return [of_row(row) for row in conn.execute(query).mappings()]


def find(conn: Connection, instance_id: str) -> Instance | None:
    """One instance."""
    row = conn.execute(select(t.flow_instance).where(t.flow_instance.c.id == instance_id)).mappings().first()
    return None if row is None else of_row(row)


def of_message(conn: Connection, message_id: str) -> list[Instance]:
    """The instances that a message is in."""
    return known(conn, (), (message_id,), (), 0.0)


def listed(
    conn: Connection, *, flow: str | None = None, states: Collection[str] = (), open_only: bool = False, limit: int = 100,
    after: str | None = None,
) -> list[Instance]:  # fmt: skip
    """Instances, newest first; ``after``: the last of the page before."""
    i = t.flow_instance
    query = select(i).order_by(i.c.id.desc()).limit(limit)
    if flow is not None:
        query = query.where(i.c.flow == flow)
    if states:
        query = query.where(i.c.state.in_(sorted(states)))
    if open_only:
        query = query.where(i.c.closed_at.is_(None))
    if after is not None:
        query = query.where(i.c.id < after)
    return [of_row(row) for row in conn.execute(query).mappings()]


def counts(conn: Connection) -> dict[tuple[str, str], int]:
    """Open instances by flow and state."""
    i = t.flow_instance.c
    query = select(i.flow, i.state, func.count()).where(i.closed_at.is_(None)).group_by(i.flow, i.state)
    return {(flow, state): number for flow, state, number in conn.execute(query)}


# ---- operations ---------------------------------------------------------------------------------------------------------------------


def _parts(ids: Sequence[str]) -> Iterable[Sequence[str]]:
    for start in range(0, len(ids), _PART):
        yield ids[start : start + _PART]
