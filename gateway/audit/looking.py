"""What people ask of the record: entries by message, party, actor, time and kind; and whose data passed a party between two times.

Ids of entries rise with the clock of the machine that wrote them, so a time is looked for in a range of ids, widened by
:data:`CLOCK_MARGIN_S`; what decides is the entry's own time. There is no index that every entry would have to pay for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select

from gateway.ledger import tables as t
from gateway.ledger.clock import ledger_time

CLOCK_MARGIN_S: Final = 3600.0
DEFAULT_WINDOW_S: Final = 86_400.0
"""Without a message and without a beginning, entries of the last day are looked through."""
PASSED: Final = ("provided", "outcome", "late-outcome", "reply", "reply-after-the-end")
"""Kinds of entries that come of a call to a party: data had left, whatever was answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryView:
    """One entry of the record."""

    id: str
    at: float
    kind: str
    actor: str
    message_id: str | None
    delivery_id: str | None
    party: str | None
    detail: Mapping[str, Any]
    block: int | None
    """The block that holds it; None: it is not chained yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which entries; what is None does not matter. Times in seconds since 1970 UTC."""

    message_id: str | None = None
    party: str | None = None
    actor: str | None = None
    kind: str | None = None
    since: float | None = None
    until: float | None = None
    after: str | None = None
    """Behind (that is, older than) this entry: the last of the page before."""
    limit: int = 100


def entries(conn: Connection, wanted: Wanted) -> list[EntryView]:
    """Entries, newest first."""
    e = t.audit_entry.c
    conditions: list[ColumnElement[bool]] = []
    since = wanted.since
    if wanted.message_id is not None:
        conditions.append(e.message_id == wanted.message_id)
    elif since is None:
        since = ledger_time(conn) - DEFAULT_WINDOW_S
    if since is not None:
        conditions += [e.at >= since, e.id >= _id_at(since - CLOCK_MARGIN_S)]
    if wanted.until is not None:
        conditions += [e.at < wanted.until, e.id < _id_at(wanted.until + CLOCK_MARGIN_S)]
    conditions += [column == value for column, value in ((e.actor, wanted.actor), (e.kind, wanted.kind)) if value is not None]
    if wanted.party is not None:
        conditions.append(_of_party(wanted.party))
    if wanted.after is not None:
        conditions.append(e.id < wanted.after)
    query = select(*e).where(*conditions).order_by(e.id.desc()).limit(wanted.limit)
    return [
        EntryView(
            id=row.id, at=row.at, kind=row.kind, actor=row.actor, message_id=row.message_id, delivery_id=row.delivery_id, party=row.party,
            detail=json.loads(row.detail), block=row.block,
        )
        for row in conn.execute(query)
    ]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A delivery whose content passed a party."""

    message_id: str
    type: str | None
    subject: str | None
    """The random id of the resident, by which the register's system can be asked; None: a type without a person."""
    delivery_id: str
    first_at: float
    last_at: float
    kinds: tuple[str, ...]
    outcome: str
    """``provided``: taken over by the party; ``other``: it was sent, and refused or never answered; ``under-way``: no answer yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Whose data passed a party between two times."""

    party: str
    since: float
    until: float
    passages: tuple[Passage, ...]
    unchained: int
    """Entries among these that are in no block yet: not yet tamper-evident."""

    @property
    def subjects(self) -> tuple[str, ...]:
        """Distinct residents."""
        return tuple(sorted({each.subject for each in self.passages if each.subject is not None}))


def scope(conn: Connection, party: str, since: float, until: float) -> Scope:
    """Every delivery to ``party`` of which something is on record between the two times (the end excluded), or that is being sent."""
    e, d, m = t.audit_entry.c, t.delivery.c, t.message.c
    found = conn.execute(
        # the entry alone is enough: what it is about may have been erased since
        select(e.at, e.kind, e.block, e.delivery_id, e.message_id, d.state, m.type, m.subject)
        .outerjoin(t.delivery, d.id == e.delivery_id)
        .outerjoin(t.message, m.id == e.message_id)
        .where(
            func.coalesce(e.party, d.party) == party,
            e.delivery_id.is_not(None),
            e.kind.in_(PASSED),
            e.at >= since,
            e.at < until,
            e.id >= _id_at(since - CLOCK_MARGIN_S),
            e.id < _id_at(until + CLOCK_MARGIN_S),
        )
        .order_by(e.id)
    ).all()
    # a call without an entry yet: under way, or cut off by a crash that nobody has found
    open_calls = conn.execute(
        select(d.updated_at.label("at"), d.id, d.message_id, m.type, m.subject)
        .join(t.message, m.id == d.message_id)
        .where(
            d.party == party,
            d.final_at.is_(None),
            or_(d.state == "sending", d.unanswered_since.is_not(None)),
            and_(d.updated_at >= since, or_(d.unanswered_since < until, d.updated_at < until)),
        )
    ).all()
    merged: dict[str, Passage] = {}
    for row in found:
        before = merged.get(row.delivery_id)
        kinds = (*(before.kinds if before else ()), *((row.kind,) if before is None or row.kind not in before.kinds else ()))
        merged[row.delivery_id] = Passage(
            message_id=row.message_id,
            type=row.type,
            subject=row.subject,
            delivery_id=row.delivery_id,
            first_at=min(row.at, before.first_at) if before else row.at,
            last_at=max(row.at, before.last_at) if before else row.at,
            kinds=kinds,
            outcome="provided" if "provided" in kinds or row.state == "delivered" else "other",
        )
    for call in open_calls:
        if call.id not in merged:
            merged[call.id] = Passage(
                message_id=call.message_id, type=call.type, subject=call.subject, delivery_id=call.id, first_at=call.at, last_at=call.at,
                kinds=(), outcome="under-way",
            )  # fmt: skip
    return Scope(
        party=party,
        since=since,
        until=until,
        passages=tuple(sorted(merged.values(), key=lambda each: (each.first_at, each.delivery_id))),
        unchained=sum(row.block is None for row in found),
    )


def _of_party(party: str) -> ColumnElement[bool]:
    """Entries about a delivery name its party; those about the party as a whole have it in their detail."""
    e = t.audit_entry.c
    return or_(e.party == party, e.detail.contains(f'"party_id":{json.dumps(party)}', autoescape=True))


def _id_at(seconds: float) -> str:
    """The smallest id of an entry that a machine writes at this time by its clock (:func:`gateway.ids.new_id`)."""
    return f"{max(0, int(seconds * 1000)):012x}"
