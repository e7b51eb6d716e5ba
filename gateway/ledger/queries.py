"""What is read of the ledger for people and senders: pure SQL into dataclasses, beside the writer. Nothing here locks or changes anything.

Words of state come from :func:`gateway.delivery.status.describe` alone, so that door, API, console and metrics say the same.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, func, literal, literal_column, or_, select, tuple_

from gateway.delivery.breaker import PartyRow
from gateway.delivery.rows import DeliveryRow, Hold, KeyRow, State
from gateway.delivery.status import Status, describe
from gateway.errors import InputRefused
from gateway.ids import key_place
from gateway.ledger import tables as t
from gateway.ledger.clock import ledger_time
from gateway.ledger.lookup import party_row
from gateway.ledger.receipts import utc
from gateway.policy.ways import way_of

_DELIVERY = [c.name for c in t.delivery.columns]
_KEY = [c.name for c in t.key_row.columns]
_WITH_KEY = (
    select(*t.delivery.columns, *t.key_row.columns, t.message.c.type)
    .join(t.key_row, t.key_row.c.id == t.delivery.c.key_id)
    .join(t.message, t.message.c.id == t.delivery.c.message_id)
)


# ---- one message ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundDelivery:
    """A delivery with what is needed to say where it is."""

    delivery: DeliveryRow
    key: KeyRow
    party: PartyRow
    message_type: str
    status: Status
    blocked_by: str | None
    """The delivery that it waits behind or for."""
    now: float
    """Ledger time of all this."""

    @property
    def is_head(self) -> bool:
        """It is the one that is worked on; commands act on it only."""
        return not self.delivery.state.final and self.delivery.number == self.key.head

    @property
    def behind(self) -> int:
        """How many deliveries wait behind it."""
        return 0 if self.delivery.state.final else max(0, self.key.next_number - 1 - self.delivery.number)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry of the record."""

    at: float
    kind: str
    actor: str
    delivery_id: str | None
    detail: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundMessage:
    """A message, its deliveries and its record."""

    id: str
    source_id: str
    system: str
    type: str
    door: str
    accepted_at: float
    subject: str | None
    corrects: str | None
    operator: str | None
    terminal: str | None
    deliveries: tuple[FoundDelivery, ...]
    timeline: tuple[Entry, ...]


def find_messages(conn: Connection, reference: str) -> list[str]:
    """Ids of the messages that ``reference`` names: the gateway's id, a delivery id, or the senders' id; several: ambiguous."""
    by_id = conn.execute(select(t.message.c.id).where(t.message.c.id == reference)).scalars().all()
    if by_id:
        return list(by_id)
    by_delivery = conn.execute(select(t.delivery.c.message_id).where(t.delivery.c.id == reference)).scalars().all()
    if by_delivery:
        return list(by_delivery)
    return [
        found
        for system in _systems(conn)
        for found in conn.execute(select(t.message.c.id).where(t.message.c.system == system, t.message.c.source_id == reference)).scalars()
    ]


def message(conn: Connection, message_id: str) -> FoundMessage | None:
    """One message with everything."""
    row = conn.execute(select(t.message).where(t.message.c.id == message_id)).mappings().first()
    if row is None:
        return None
    found = deliveries(conn, t.delivery.c.message_id == message_id)
    entries = conn.execute(
        select(t.audit_entry).where(t.audit_entry.c.message_id == message_id).order_by(t.audit_entry.c.at, t.audit_entry.c.id)
    )
    return FoundMessage(
        id=row["id"], source_id=row["source_id"], system=row["system"], type=row["type"], door=row["door"], accepted_at=row["accepted_at"],
        subject=row["subject"], corrects=row["corrects"], operator=row["operator"], terminal=row["terminal"],
        deliveries=tuple(sorted(found, key=lambda each: (each.delivery.accepted_at, each.delivery.id))),
        timeline=tuple(_entry(each) for each in entries),
    )  # fmt: skip


def delivery(conn: Connection, delivery_id: str) -> FoundDelivery | None:
    """One delivery."""
    found = deliveries(conn, t.delivery.c.id == delivery_id)
    return found[0] if found else None


def sender_of(conn: Connection, delivery_id: str) -> str:
    """Who handed a delivery in, as its way says; empty: there is no such delivery."""
    d, m = t.delivery.c, t.message.c
    query = select(d.way, d.party, m.type, func.coalesce(m.producer, m.system)).join(t.message, m.id == d.message_id)
    row = conn.execute(query.where(d.id == delivery_id)).first()
    return "" if row is None else way_of(row[0], row[2], row[3], row[1]).producer


def deliveries(conn: Connection, *conditions: Any) -> list[FoundDelivery]:
    """Deliveries with their keys, parties and words."""
    now = ledger_time(conn)
    rows = conn.execute(_WITH_KEY.where(*conditions)).all()
    pairs = [(*_rows(row), row[-1]) for row in rows]
    parties = {p: party_row(conn, p) for p in sorted({row.party for row, _, _ in pairs})}
    heads = _heads(conn, [key for row, key, _ in pairs if not row.state.final and row.number != key.head])
    found = []
    for row, key, message_type in pairs:
        status = describe(row, key, parties[row.party], now)
        blocked_by = heads.get(key.id) if status.word == "waiting-behind" else row.waits_for if status.word == "waiting-for" else None
        found.append(
            FoundDelivery(
                delivery=row,
                key=key,
                party=parties[row.party],
                message_type=way_of(row.way, message_type, "", row.party).message_type,
                status=status,
                blocked_by=blocked_by,
                now=now,
            )
        )
    return found


def own_message(conn: Connection, system: str, source_id: str) -> dict[str, Any] | None:
    """What a sending system is told of its own message (``GET /v1/messages/{ce-id}``): for each party the word of state, the reason and
    the party's own code. None: that system has sent no such id."""
    row = conn.execute(
        select(t.message.c.id, t.message.c.type, t.message.c.accepted_at).where(
            t.message.c.system == system, t.message.c.source_id == source_id
        )
    ).first()
    if row is None:
        return None
    found = deliveries(conn, t.delivery.c.message_id == row.id)
    mine = {each.delivery.id for each in found}
    told = [
        {
            "party": each.delivery.party,
            "state": each.status.word,
            "reason": each.status.reason,
            "outcome_code": each.delivery.outcome_code,
        }
        for each in sorted(found, key=lambda each: each.delivery.party)
        if each.delivery.replaced_by not in mine  # what an operator corrected goes on as the corrected one
    ]
    return {"id": source_id, "message": row.id, "type": row.type, "accepted_at": utc(row.accepted_at), "deliveries": told}


def own_expired(conn: Connection, system: str, after: str | None, limit: int) -> dict[str, Any]:
    """What a sending system is told of its own messages that were not delivered in time (``GET /v1/expired``), oldest first (C-3-7-4).

    :raises InputRefused: ``query-malformed``: ``after`` is nothing that was given.
    """
    d, m = t.delivery.c, t.message.c
    query = (
        select(d.id, d.party, d.reason, d.final_at, m.id.label("message"), m.source_id, m.type)
        .join(t.message, m.id == d.message_id)
        .where(d.state == literal_column("'expired'"), m.system == system)
        .order_by(d.final_at, d.id)
        .limit(limit)
    )
    if after is not None:
        at, _, last = after.partition("_")
        try:
            query = query.where(tuple_(d.final_at, d.id) > tuple_(literal(float(at)), literal(last)))
        except ValueError as error:
            raise InputRefused("query-malformed", "after is what an earlier answer gave as next_after", place="after") from error
    rows = conn.execute(query).all()
    items = [
        {
            "id": row.source_id, "message": row.message, "type": row.type, "party": row.party, "reason": row.reason,
            "expired_at": utc(row.final_at),
        }
        for row in rows
    ]  # fmt: skip
    return {"items": items, "next_after": f"{rows[-1].final_at!r}_{rows[-1].id}" if rows else after, "more": len(rows) == limit}


# ---- what is held --------------------------------------------------------------------------------------------------------------------


def held(conn: Connection, *, parties: Collection[str] | None, limit: int, after: tuple[float, str] | None) -> list[FoundDelivery]:
    """Heads that hold their key, longest held first, behind ``after`` (when it was last changed, id)."""
    at, identity = t.delivery.c.updated_at, t.delivery.c.id
    query = (
        select(identity)
        .join(t.key_row, and_(t.key_row.c.id == t.delivery.c.key_id, t.delivery.c.number == t.key_row.c.head))
        .where(t.key_row.c.held.is_not(None), t.delivery.c.replaced_by.is_(None), t.delivery.c.final_at.is_(None))
        .order_by(at, identity)
        .limit(limit)
    )
    if parties is not None:
        query = query.where(t.key_row.c.party.in_(sorted(parties)))
    if after is not None:
        query = query.where(or_(at > after[0], and_(at == after[0], identity > after[1])))
    ids = conn.execute(query).scalars().all()
    found = {each.delivery.id: each for each in deliveries(conn, t.delivery.c.id.in_(ids))} if ids else {}
    return [found[each] for each in ids]


# ---- the backlog ----------------------------------------------------------------------------------------------------------------------


def backlog(conn: Connection) -> int:
    """Deliveries that are not final, in all (R19)."""
    return conn.execute(select(func.count()).select_from(t.delivery).where(t.delivery.c.final_at.is_(None))).scalar_one()


# ---- commands ------------------------------------------------------------------------------------------------------------------------


def subjects_of(conn: Connection, kind: str, blinds: Sequence[bytes]) -> set[str]:
    """The subjects that an identifier belongs to, given its blind index under each key that is in use."""
    query = select(t.subject_alias.c.subject).where(t.subject_alias.c.blind.in_(list(blinds)), t.subject_alias.c.kind == kind)
    return set(conn.execute(query).scalars())


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageOfSubject:
    """A message about somebody, as a line of a list."""

    message_id: str
    source_id: str
    system: str
    type: str
    accepted_at: float
    parties: tuple[str, ...]


def messages_of(conn: Connection, subject: str, places: Iterable[tuple[str, str]], limit: int) -> list[MessageOfSubject]:
    """The newest messages about a subject, at the places (party, stream) where there can be some."""
    wanted = [key_place(party, stream, subject) for party, stream in places]
    query = (
        select(t.message.c.id, t.message.c.source_id, t.message.c.system, t.message.c.type, t.message.c.accepted_at, t.delivery.c.party)
        .join(t.delivery, t.delivery.c.message_id == t.message.c.id)
        .join(t.key_row, t.key_row.c.id == t.delivery.c.key_id)
        .where(t.key_row.c.place.in_(wanted), t.delivery.c.replaced_by.is_(None))
        .order_by(t.message.c.accepted_at.desc(), t.message.c.id.desc())
        .limit(limit)
    )
    rows: dict[str, list[Any]] = {}
    for row in conn.execute(query):
        rows.setdefault(row.id, []).append(row)
    return [
        MessageOfSubject(
            message_id=first.id, source_id=first.source_id, system=first.system, type=first.type, accepted_at=first.accepted_at,
            parties=tuple(sorted(row.party for row in (first, *rest))),
        )
        for first, *rest in rows.values()
    ]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a message came from, and for what."""

    system: str
    subject: str | None
    work: str | None
    basis: str | None


def origin(conn: Connection, message_id: str) -> Origin:
    """What the policy asks of a message."""
    m = t.message.c
    system = func.coalesce(m.producer, m.system).label("system")
    row = conn.execute(select(system, m.subject, m.work, m.basis).where(m.id == message_id)).one()
    return Origin(system=row.system, subject=row.subject, work=row.work, basis=row.basis)


def waited_for(conn: Connection, delivery_id: str) -> bool:
    """Whether a delivery that is not final waits for this one."""
    d = t.delivery.c
    return conn.execute(select(d.id).where(d.waits_for == delivery_id, d.final_at.is_(None)).limit(1)).first() is not None


def message_subject(conn: Connection, message_id: str) -> str | None:
    """Whom a message is about."""
    return conn.execute(select(t.message.c.subject).where(t.message.c.id == message_id)).scalar()


# ---- shared --------------------------------------------------------------------------------------------------------------------------


def _systems(conn: Connection) -> list[str]:
    """The systems that have sent something, by jumping along the index of messages."""
    found: list[str] = []
    while True:
        query = select(func.min(t.message.c.system))
        system = conn.execute(query.where(t.message.c.system > found[-1]) if found else query).scalar()
        if system is None:
            return found
        found.append(system)


def _heads(conn: Connection, keys: Iterable[KeyRow]) -> dict[str, str]:
    found = {}
    for key in keys:
        if key.id not in found:
            query = select(t.delivery.c.id).where(
                t.delivery.c.key_id == key.id, t.delivery.c.number == key.head, t.delivery.c.replaced_by.is_(None)
            )
            found[key.id] = conn.execute(query).scalar_one()
    return found


def _rows(row: Sequence[Any]) -> tuple[DeliveryRow, KeyRow]:
    delivery_values = dict(zip(_DELIVERY, row, strict=False))
    delivery_values["state"] = State(delivery_values["state"])
    delivery_values["content_digest"] = bytes(delivery_values["content_digest"])
    key_values = dict(zip(_KEY, row[len(_DELIVERY) :], strict=False))
    key_values["held"] = Hold(key_values["held"]) if key_values["held"] else None
    return DeliveryRow(**delivery_values), KeyRow(**key_values)


def _entry(row: Any) -> Entry:
    detail: dict[str, Any] = json.loads(row.detail)
    shown = {name: _text(value) for name, value in detail.items() if value is not None}
    return Entry(at=row.at, kind=row.kind, actor=row.actor, delivery_id=row.delivery_id, detail=shown)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(str(each) for each in value)
    return str(value).lower() if isinstance(value, bool) else str(value)
