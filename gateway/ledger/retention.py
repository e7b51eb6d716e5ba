"""Retention as the ledger sees it: what is due, and small steps that let it expire and erase it (R23, I9).

What is due is found beside the writer, along the index of finished deliveries; a *mark* in ``meta`` says how far each rule has come with
each party, so that nothing is looked at twice. Steps are bulk operations of a few rows: data key first, then body, then the line of the
disposal history and the entry of the record, in one transaction. Finality is looked at again in it: nothing that is not final is erased.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, delete, func, or_, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from gateway.delivery import commands
from gateway.delivery.rows import UNPLACED, DeliveryRow, KeyRow, State
from gateway.errors import CommandRefused
from gateway.ledger import tables as t
from gateway.ledger.bells import Bell, bell_of
from gateway.ledger.clock import business_clock, ledger_time, set_business_offset
from gateway.ledger.unit import Unit

MARK = "retention.mark."
LEASE = "retention"


# ---- looking --------------------------------------------------------------------------------------------------------------------------


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Late:
    """A delivery that was to be sent by now."""

    id: str
    message_id: str
    type: str
    key_id: str
    number: int
    may_expire: bool
    """False: it is being sent or its outcome is unknown (R23)."""


def expiry_due(conn: Connection, party: str, before: float | None, types: Collection[str] | None, after: str, limit: int) -> list[Late]:
    """Unfinished deliveries, accepted before ``before``, in the order of their ids, from behind ``after``; None: of any time, any type."""
    d, m = t.delivery.c, t.message.c
    query = (
        select(d.id, d.message_id, d.key_id, d.number, d.state, d.unanswered_since, m.type)
        .join(t.message, m.id == d.message_id)
        .where(d.party == party, d.final_at.is_(None), d.id > after)
    )
    if before is not None:
        query = query.where(d.accepted_at < before, d.number != UNPLACED)  # what waits for its day is not late
    if types is not None:
        query = query.where(m.type.in_(sorted(types)))
    rows = conn.execute(query.order_by(d.id).limit(limit))
    return [
        Late(
            id=r.id, message_id=r.message_id, type=r.type, key_id=r.key_id, number=r.number,
            may_expire=r.state == State.QUEUED.value and r.unanswered_since is None,
        )
        for r in rows
    ]  # fmt: skip


def ended(conn: Connection, due: Sequence[Due]) -> list[tuple[str, str]]:
    """The deliveries whose bodies these are, with what became of them: a restore from before knows by it that they are over (R24)."""
    d = t.delivery.c
    keys = {each.key for each in due}
    query = select(d.id, d.state, d.payload_id).where(
        d.message_id.in_(sorted({each.message_id for each in due})), d.final_at.is_not(None), d.replaced_by.is_(None)
    )
    return [(row.id, row.state) for row in conn.execute(query) if row.payload_id in keys]


def records_due(conn: Connection, before: float, limit: int) -> list[tuple[str, float]]:
    """The oldest messages all of whose deliveries ended before ``before``, without any body left: id, end."""
    m, d, k = t.message.c, t.delivery.c, t.data_key.c
    oldest = select(m.id).where(m.accepted_at < before).order_by(m.id).limit(limit)
    ids = list(conn.execute(oldest).scalars())
    kept = set(conn.execute(select(k.message_id).where(k.message_id.in_(ids))).scalars())
    ends = conn.execute(
        select(d.message_id, func.max(d.final_at).label("last"), func.count().filter(d.final_at.is_(None)).label("open"))
        .where(d.message_id.in_(ids))
        .group_by(d.message_id)
    )
    return [(r.message_id, r.last) for r in ends if not r.open and r.last < before and r.message_id not in kept]


def provisions_due(conn: Connection, before: float, limit: int) -> list[tuple[str, float]]:
    """The oldest records of provision that ended before ``before``: id, end. One whose delivery is under way stays, however old it is."""
    c, d = t.provision.c, t.delivery.c
    open_one = select(d.id).where(d.id == c.id, d.final_at.is_(None)).exists()
    ended_at = func.coalesce(c.outcome_at, c.at)
    query = select(c.id, ended_at.label("ended")).where(c.at < before, ended_at < before, ~open_one).order_by(c.at).limit(limit)
    return [(row.id, row.ended) for row in conn.execute(query)]


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


def orphans(conn: Connection) -> tuple[int, int]:
    """Bodies without a data key, and data keys without a body: the first open for nobody, the second for nothing."""
    k, p = t.data_key.c, t.payload.c
    bodies = conn.execute(
        select(func.count()).select_from(t.payload.outerjoin(t.data_key, k.id == p.id)).where(k.id.is_(None))
    ).scalar_one()
    keys = conn.execute(select(func.count()).select_from(t.data_key.outerjoin(t.payload, k.id == p.id)).where(p.id.is_(None))).scalar_one()
    return bodies, keys


# ---- changing -------------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of the disposal history that steps of a run add to."""

    id: str
    run: str
    rule: str
    place: str
    type: str | None
    party: str | None
    began_at: float
    actor: str
    instruction: str | None = None


def _note(unit: Unit, line: Line, count: int, oldest: float, newest: float) -> None:
    make = postgresql.insert if unit.postgresql else sqlite.insert
    c = t.disposal.c
    statement = make(t.disposal).values(
        id=line.id, run=line.run, rule=line.rule, place=line.place, type=line.type, party=line.party, count=count, oldest=oldest,
        newest=newest, began_at=line.began_at, ended_at=unit.now, actor=line.actor, instruction=line.instruction,
    )  # fmt: skip
    new = statement.excluded
    smallest, largest = (func.least, func.greatest) if unit.postgresql else (func.min, func.max)
    more = {
        "count": c["count"] + new["count"], "oldest": smallest(c.oldest, new.oldest), "newest": largest(c.newest, new.newest),
        "ended_at": new.ended_at,
    }  # fmt: skip
    unit.conn.execute(statement.on_conflict_do_update(index_elements=["id"], set_=more))


@dataclass(slots=True, kw_only=True)
class EraseStep:
    """Destroy some data keys, then their bodies. Result: how many keys.

    Of a message that has an unfinished delivery to that party nothing is touched (R23).
    """

    line: Line
    due: Sequence[Due]
    bulk: bool = True
    size: int = 1
    erased: int = 0

    def plan(self, unit: Unit) -> None:
        self.erased = 0

    def apply(self, unit: Unit) -> None:
        d = t.delivery.c
        pairs = sorted({(each.message_id, each.party) for each in self.due})
        open_ones = select(d.message_id, d.party).where(d.message_id.in_(sorted({m for m, _ in pairs})), d.final_at.is_(None))
        unfinished = {tuple(row) for row in unit.conn.execute(open_ones)}
        due = [each for each in self.due if (each.message_id, each.party) not in unfinished]
        ids = sorted(each.key for each in due)
        if not ids:
            return
        gone = unit.conn.execute(delete(t.data_key).where(t.data_key.c.id.in_(ids)))
        unit.conn.execute(delete(t.payload).where(t.payload.c.id.in_(ids)))
        if gone.rowcount == 0:
            return  # another process was faster
        self.erased = gone.rowcount
        _note(unit, self.line, self.erased, min(each.at for each in due), max(each.at for each in due))
        messages = sorted({each.message_id for each in due})
        unit.audit(
            "content-erased", self.line.actor, rule=self.line.rule, type=self.line.type, to=self.line.party, count=self.erased,
            disposal=self.line.id, messages=messages,
        )  # fmt: skip

    def finish(self, unit: Unit) -> int:
        return self.erased


@dataclass(slots=True, kw_only=True)
class SetMark:
    """A rule has come so far with a party."""

    name: str
    mark: Mark
    bulk: bool = True
    size: int = 1

    def plan(self, unit: Unit) -> None:
        """One row of ``meta``."""

    def apply(self, unit: Unit) -> None:
        set_fact(unit, f"{MARK}{self.name}", self.mark.text())

    def finish(self, unit: Unit) -> None:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Expired:
    """What became of deliveries that were too late."""

    expired: tuple[str, ...]
    refused: tuple[str, ...]
    """Being sent, or of unknown outcome: they must not expire (R23)."""
    bells: tuple[Bell, ...]


@dataclass(slots=True, kw_only=True)
class ExpireStep:
    """Deliveries that are no longer to be sent. Result: :class:`Expired`."""

    late: Sequence[Late]
    rule: str
    actor: str
    bulk: bool = True
    size: int = 1
    expired: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    bells: list[Bell] = field(default_factory=list)

    def plan(self, unit: Unit) -> None:
        self.expired, self.refused, self.bells = [], [], []
        unit.want_keys.update(each.key_id for each in self.late)
        unit.want_final.update(each.id for each in self.late)

    def apply(self, unit: Unit) -> None:
        unit.load_deliveries(each.id for each in self.late)
        for each in sorted(self.late, key=lambda each: (each.key_id, each.number)):
            key, delivery = unit.keys.get(each.key_id), unit.deliveries.get(each.id)
            if key is None or delivery is None or delivery.state.final:
                continue
            if not expire(unit, key, delivery, self.rule):
                self.refused.append(delivery.id)
                continue
            self.expired.append(delivery.id)
            unit.touch(key, delivery)
            self.bells.extend(bell_of(woken, unit.now) for woken in unit.wake_dependents(delivery))
            unit.audit("expired", self.actor, delivery=delivery, rule=self.rule)
            if key.due_at is not None and key.claim_worker is None:
                self.bells.append(bell_of(key, unit.now))

    def finish(self, unit: Unit) -> Expired:
        return Expired(expired=tuple(self.expired), refused=tuple(self.refused), bells=tuple(self.bells))


def expire(unit: Unit, key: KeyRow, delivery: DeliveryRow, rule: str) -> bool:
    """Let it expire in its place, if nothing of it can be or become an effect (R13, R23)."""
    head = unit.head(key)
    if head is not None and head.id == delivery.id:
        if not commands.outcome_known(key, head, unit.now):
            return False
        commands.expire(key, head, rule, unit.now)
        return True
    if not commands.never_sent(delivery):
        return False
    commands.expire_in_place(delivery, rule, unit.now)
    return True


@dataclass(slots=True, kw_only=True)
class EraseRecords:
    """Message rows, with everything that hangs on them. Bodies are gone before. Result: how many messages."""

    line: Line
    messages: Sequence[tuple[str, float]]
    bulk: bool = True
    size: int = 1

    def plan(self, unit: Unit) -> None:
        """Rows that nothing changes any more."""

    def apply(self, unit: Unit) -> None:
        ids = [each for each, _ in self.messages]
        d = t.delivery.c
        gone = unit.conn.execute(select(d.id, d.key_id).where(d.message_id.in_(ids))).all()
        deliveries = [row.id for row in gone]
        for column in (t.late_outcome.c.delivery_id, t.command.c.delivery_id):
            unit.conn.execute(delete(column.table).where(column.in_(deliveries)))
        correlations = select(d.party, d.correlation).where(d.message_id.in_(ids), d.correlation.is_not(None))
        pairs = [tuple(row) for row in unit.conn.execute(correlations)]
        if pairs:
            unit.conn.execute(delete(t.reply).where(tuple_(t.reply.c.party, t.reply.c.correlation).in_(pairs)))
        unit.conn.execute(delete(t.delivery).where(d.message_id.in_(ids)))
        # a key row counts numbers: only one on which nothing is left to happen may go
        k = t.key_row.c
        unit.conn.execute(
            delete(t.key_row).where(
                k.id.in_(sorted({row.key_id for row in gone})), k.head >= k.next_number, k.claim_worker.is_(None),
                ~select(d.id).where(d.key_id == k.id).exists(),
            )
        )  # fmt: skip
        unit.conn.execute(delete(t.message).where(t.message.c.id.in_(ids)))
        ends = [at for _, at in self.messages]
        _note(unit, self.line, len(ids), min(ends), max(ends))
        unit.audit("records-erased", self.line.actor, rule=self.line.rule, count=len(ids), disposal=self.line.id)

    def finish(self, unit: Unit) -> int:
        return len(self.messages)


@dataclass(slots=True, kw_only=True)
class EraseProvisions:
    """Records of provision, with what was searched by. Result: how many."""

    line: Line
    provisions: Sequence[tuple[str, float]]
    bulk: bool = True
    size: int = 1
    erased: int = 0

    def plan(self, unit: Unit) -> None:
        self.erased = 0

    def apply(self, unit: Unit) -> None:
        ids = [each for each, _ in self.provisions]
        unit.conn.execute(delete(t.inquiry).where(t.inquiry.c.id.in_(ids)))
        self.erased = unit.conn.execute(delete(t.provision).where(t.provision.c.id.in_(ids))).rowcount
        if self.erased == 0:
            return  # another process was faster
        ends = [at for _, at in self.provisions]
        _note(unit, self.line, self.erased, min(ends), max(ends))
        unit.audit("provisions-erased", self.line.actor, rule=self.line.rule, count=self.erased, disposal=self.line.id)

    def finish(self, unit: Unit) -> int:
        return self.erased


@dataclass(slots=True, kw_only=True)
class RecordDisposal:
    """Files that were disposed of, or what a search found afterwards: a line of the history, and an entry."""

    line: Line
    count: int = 0
    oldest: float = 0.0
    newest: float = 0.0
    proof: str | None = None
    detail: dict[str, Any] = field(default_factory=dict)
    bulk: bool = True
    size: int = 1

    def plan(self, unit: Unit) -> None:
        """One row."""

    def apply(self, unit: Unit) -> None:
        if self.count:
            _note(unit, self.line, self.count, self.oldest, self.newest)
            unit.audit(
                "files-erased",
                self.line.actor,
                rule=self.line.rule,
                place=self.line.place,
                count=self.count,
                disposal=self.line.id,
                **self.detail,
            )
        if self.proof is not None:
            unit.conn.execute(update(t.disposal).where(t.disposal.c.run == self.line.run).values(proof=self.proof))
            unit.audit("erasure-searched", self.line.actor, run=self.line.run, proof=self.proof, **self.detail)

    def finish(self, unit: Unit) -> None:
        return None


@dataclass(slots=True, kw_only=True)
class ShiftBusinessClock:
    """Business time of a test ledger goes on by ``offset_s`` from real time (R21), on record; a ledger of production refuses."""

    offset_s: float
    actor: str
    bulk: bool = False
    size: int = 1
    refused: CommandRefused | None = None

    def plan(self, unit: Unit) -> None:
        self.refused = None

    def apply(self, unit: Unit) -> None:
        try:
            set_business_offset(unit.conn, self.offset_s)
            unit.audit("business-clock-shifted", self.actor, offset_s=self.offset_s)
        except CommandRefused as refused:
            self.refused = refused
            unit.audit("command-refused", self.actor, command="shift-business-clock", code=refused.code)

    def finish(self, unit: Unit) -> CommandRefused | None:
        return self.refused


def set_fact(unit: Unit, name: str, value: str) -> None:
    """A fact in ``meta``."""
    make = postgresql.insert if unit.postgresql else sqlite.insert
    statement = make(t.meta).values(name=name, value=value)
    unit.conn.execute(statement.on_conflict_do_update(index_elements=["name"], set_={"value": statement.excluded.value}))
