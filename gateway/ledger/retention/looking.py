"""What is past its time, looked for beside the writer (R23).

Along the index of finished deliveries; a *mark* in ``meta`` says how far each rule has come with each party, so that nothing is looked at
twice.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, func, or_, select

from gateway.delivery.rows import State
from gateway.ledger import tables as t
from gateway.ledger.clock import business_clock, ledger_time

MARK = "retention.mark."
LEASE = "retention"


@dataclass(frozen=True, slots=True, kw_only=True)
class Now:
    """The two clocks at one moment."""

    ledger: float
    business: float


def clocks(conn: Connection) -> Now:
    """Ledger time and business time."""
    now = ledger_time(conn)
    return Now(ledger=now, business=business_clock(conn).at(now))


def parties(conn: Connection) -> list[str]:
    """All parties that deliveries were ever for, by jumping along the indexes."""
    found: set[str] = set()
    for where in (t.delivery.c.final_at.is_not(None), t.delivery.c.final_at.is_(None)):
        last: str | None = None
        while True:
            query = select(func.min(t.delivery.c.party)).where(where)
            last = conn.execute(query if last is None else query.where(t.delivery.c.party > last)).scalar()
            if last is None:
                break
            found.add(last)
    return sorted(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """How far a rule has come: the last delivery that it passed, by the time of its end and its id."""

    at: float = 0.0
    id: str = ""

    @classmethod
    def read(cls, conn: Connection, name: str) -> Mark:
        """The mark of this name; the beginning, if there is none."""
        value = conn.execute(select(t.meta.c.value).where(t.meta.c.name == f"{MARK}{name}")).scalar()
        if value is None:
            return cls()
        at, _, delivery = value.partition(" ")
        return cls(at=float(at), id=delivery)

    def text(self) -> str:
        return f"{self.at!r} {self.id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A data key to be destroyed, with its body."""

    key: str
    message_id: str
    party: str
    type: str | None
    at: float
    """From when it counts: the end of the last of its deliveries; of quarantine: its arrival."""
    wrapped: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What a look found."""

    due: tuple[Due, ...]
    mark: Mark
    more: bool


def content_due(
    conn: Connection,
    party: str,
    mark: Mark,
    before: float,
    kinds: Collection[str],
    types: Collection[str],
    others: Collection[str],
    limit: int,
) -> Page:
    """Sealed bodies for ``party`` of deliveries that ended after ``mark`` and before ``before`` (ledger time).

    :param types: of these types only; empty: of all but ``others``.
    """
    d, m = t.delivery.c, t.message.c
    query = (
        select(d.id, d.message_id, d.final_at, m.type)
        .join(t.message, m.id == d.message_id)
        .where(d.party == party, d.final_at >= mark.at, or_(d.final_at > mark.at, d.id > mark.id), d.final_at < before)
        .order_by(d.final_at, d.id)
        .limit(limit)
    )
    rows = conn.execute(query).all()
    if not rows:
        return Page(due=(), mark=mark, more=False)
    wanted = {row.message_id: row.type for row in rows if (row.type in types if types else row.type not in others)}
    due = keys_of_messages(conn, party, wanted, before, kinds) if wanted else []
    return Page(due=tuple(due), mark=Mark(at=rows[-1].final_at, id=rows[-1].id), more=len(rows) == limit)


def keys_of_messages(conn: Connection, party: str, messages: dict[str, str], before: float, kinds: Collection[str]) -> list[Due]:
    """Their data keys for ``party``, where all deliveries ended before ``before``."""
    k, p, d = t.data_key.c, t.payload.c, t.delivery.c
    ids = sorted(messages)
    ends = {
        row.message_id: row.last
        for row in conn.execute(
            select(d.message_id, func.max(d.final_at).label("last"), func.count().filter(d.final_at.is_(None)).label("open"))
            .where(d.message_id.in_(ids), d.party == party)
            .group_by(d.message_id)
        )
        if not row.open and row.last < before
    }
    query = (
        select(k.id, k.message_id, k.wrapped)
        .join(t.payload, p.id == k.id)
        .where(k.message_id.in_(sorted(ends)), k.party == party, p.kind.in_(sorted(kinds)))
        .order_by(k.id)
    )
    return [
        Due(key=r.id, message_id=r.message_id, party=party, type=messages[r.message_id], at=ends[r.message_id], wrapped=bytes(r.wrapped))
        for r in conn.execute(query)
    ]


def quarantine_due(conn: Connection, before: float, types: Collection[str], others: Collection[str], limit: int) -> list[Due]:
    """Bodies that were refused at a door before ``before``."""
    q, k = t.quarantine.c, t.data_key.c
    query = select(q.id, q.type, q.at, k.id.label("key"), k.wrapped).join(t.data_key, k.id == q.payload_id).where(q.at < before)
    if types:
        query = query.where(q.type.in_(sorted(types)))
    elif others:
        query = query.where(or_(q.type.is_(None), q.type.not_in(sorted(others))))
    rows = conn.execute(query.order_by(q.at).limit(limit))
    return [Due(key=r.key, message_id=r.id, party="quarantine", type=r.type, at=r.at, wrapped=bytes(r.wrapped)) for r in rows]


def ended(conn: Connection, due: Sequence[Due]) -> list[tuple[str, str]]:
    """The deliveries whose bodies these are, with what became of them: a restore from before knows by it that they are over (R24)."""
    d = t.delivery.c
    keys = {each.key for each in due}
    query = select(d.id, d.state, d.payload_id).where(
        d.message_id.in_(sorted({each.message_id for each in due})), d.final_at.is_not(None), d.replaced_by.is_(None)
    )
    return [(row.id, row.state) for row in conn.execute(query) if row.payload_id in keys]


def history(conn: Connection, since: float = 0.0) -> list[Any]:
    """The disposal history, newest first."""
    c = t.disposal.c
    return list(conn.execute(select(t.disposal).where(c.began_at >= since).order_by(c.began_at.desc(), c.rule)))


def held_of(conn: Connection, party: str) -> tuple[int, int, int]:
    """Of a party: contents, unfinished deliveries, and those of them that are being sent or unknown."""
    d = t.delivery.c
    contents = conn.execute(select(func.count()).select_from(t.data_key).where(t.data_key.c.party == party)).scalar_one()
    sure = (d.state == State.QUEUED.value) & d.unanswered_since.is_(None)
    open_ones, certain = conn.execute(
        select(func.count(), func.count().filter(sure)).where(d.party == party, d.final_at.is_(None))
    ).one()  # fmt: skip
    return contents, open_ones, open_ones - certain
