"""Rows without bodies, place by place: which are past their time, and what hangs on them (I9).

One query for each place says what is due. It is asked beside the writer and again in the transaction that erases, so that nothing goes
that is still needed; every table of the ledger belongs to a place, or the retention table says why it is kept (``PLACES``, ``CONTENT``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection, Select, delete, func, literal, literal_column, or_, select, text, tuple_

from gateway.ledger import tables as t
from gateway.ledger.links import LINKAGE, LINKAGE_TYPE
from gateway.ledger.retention.erasing import Line, note
from gateway.ledger.retention.looking import Due
from gateway.ledger.unit import Unit
from gateway.policy.marks import DECEASED
from gateway.policy.rights import day_of

Aliases = Sequence[bytes]
CONTENT: Final = ("payload", "data_key")
"""What sealed bodies lie in: places ``content``, ``receipt``, ``quarantine``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowPlace:
    """How the rows of one place are found and erased."""

    tables: tuple[str, ...]
    """All in which something of the place stands; the first is the one that counts."""
    due: Callable[[float], Select[tuple[str, float]]]
    """``id`` and ``ended`` of what ended before this ledger time."""
    id: Callable[[], Any]
    """What ``id`` is, to ask for some again."""
    erase: Callable[[Unit, Sequence[str], Aliases], int]
    """Erase what is due; how many."""
    entry: str = "rows-erased"
    keys: Callable[[Connection, Sequence[str]], list[Due]] = lambda _conn, _ids: []
    """Data keys that hang on them: destroyed first."""
    aliases: Callable[[Connection, Sequence[str]], Aliases] = lambda _conn, _ids: ()
    """Blind indexes that hang on them, looked for beside the writer: no index leads to them."""


def rows_due(conn: Connection, place: str, before: float, limit: int) -> list[tuple[str, float]]:
    """The oldest of a place that ended before this ledger time: id, end."""
    query = PLACES[place].due(before)
    return [(row.id, row.ended) for row in conn.execute(query.limit(limit))]


def stray_links(conn: Connection) -> int:
    """Sealed atena numbers that no resident has any more."""
    k, a = t.data_key.c, t.atena_link.c
    query = select(func.count()).select_from(t.data_key.outerjoin(t.atena_link, a.payload_id == k.id))
    return conn.execute(query.where(k.party == LINKAGE, a.subject.is_(None))).scalar_one()


def keys_on(conn: Connection, place: str, ids: Sequence[str]) -> list[Due]:
    """Data keys that hang on these rows."""
    return PLACES[place].keys(conn, ids)


def aliases_on(conn: Connection, place: str, ids: Sequence[str]) -> Aliases:
    """Blind indexes that hang on these rows."""
    return PLACES[place].aliases(conn, ids)


@dataclass(slots=True, kw_only=True)
class EraseRows:
    """Rows of one place, with what hangs on them. Bodies are gone before. Result: how many."""

    line: Line
    rows: Sequence[tuple[str, float]]
    before: float
    aliases: Aliases = ()
    bulk: bool = True
    size: int = 1
    erased: int = field(default=0, init=False)

    def plan(self, unit: Unit) -> None:
        self.erased = 0

    def apply(self, unit: Unit) -> None:
        place = PLACES[self.line.place]
        again = place.due(self.before).where(place.id().in_([each for each, _ in self.rows]))
        found = [(row.id, row.ended) for row in unit.conn.execute(again)]
        if not found:
            return  # another process was faster, or it is needed again
        self.erased = place.erase(unit, [each for each, _ in found], self.aliases)
        ends = [at for _, at in found]
        note(unit, self.line, self.erased, min(ends), max(ends))
        unit.audit(
            place.entry, self.line.actor, rule=self.line.rule, place=self.line.place, count=self.erased, disposal=self.line.id
        )  # fmt: skip

    def finish(self, unit: Unit) -> int:
        return self.erased


# ---- messages, provisions ---------------------------------------------------------------------------------------------------------------


def _records(before: float) -> Select[tuple[str, float]]:
    """Messages all of whose deliveries ended, without any body left; the link of an atena number needs no message."""
    m, d, k = t.message.c, t.delivery.c, t.data_key.c
    mine = select(d.id).where(d.message_id == m.id)
    body = select(k.id).where(k.message_id == m.id, k.party != LINKAGE).exists()
    ended = func.coalesce(select(func.max(d.final_at)).where(d.message_id == m.id).scalar_subquery(), m.accepted_at)
    open_one = mine.where(or_(d.final_at.is_(None), d.final_at >= before)).exists()
    return select(m.id, ended.label("ended")).where(m.accepted_at < before, ~open_one, ~body).order_by(m.id)


def _erase_records(unit: Unit, ids: Sequence[str], _: Aliases) -> int:
    d, k = t.delivery.c, t.key_row.c
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
    unit.conn.execute(
        delete(t.key_row).where(
            k.id.in_(sorted({row.key_id for row in gone})), k.head >= k.next_number, k.claim_worker.is_(None),
            ~select(d.id).where(d.key_id == k.id).exists(),
        )
    )  # fmt: skip
    return unit.conn.execute(delete(t.message).where(t.message.c.id.in_(ids))).rowcount


def _provisions(before: float) -> Select[tuple[str, float]]:
    """Records of provision. One whose delivery is under way stays, however old it is."""
    c, d = t.provision.c, t.delivery.c
    open_one = select(d.id).where(d.id == c.id, d.final_at.is_(None)).exists()
    ended = func.coalesce(c.outcome_at, c.at)
    return select(c.id, ended.label("ended")).where(c.at < before, ended < before, ~open_one).order_by(c.at)


def _erase_provisions(unit: Unit, ids: Sequence[str], _: Aliases) -> int:
    unit.conn.execute(delete(t.inquiry).where(t.inquiry.c.id.in_(ids)))
    return unit.conn.execute(delete(t.provision).where(t.provision.c.id.in_(ids))).rowcount


# ---- what was refused, asked for, looked at ---------------------------------------------------------------------------------------------


def _refusals(before: float) -> Select[tuple[str, float]]:
    """Refusals at a door whose body is gone."""
    q, k = t.quarantine.c, t.data_key.c
    body = select(k.id).where(k.id == q.payload_id).exists()
    return select(q.id, q.at.label("ended")).where(q.at < before, ~body).order_by(q.at)


def _requests(before: float) -> Select[tuple[str, float]]:
    """Requests about something else than a delivery (those go with its record). A bulk output under way is carried on."""
    c = t.command.c
    ended = func.coalesce(c.used_at, c.decided_at, c.expires_at)
    under_way = (c.kind == "bulk-output") & (c.status == "approved")
    return select(c.id, ended.label("ended")).where(c.delivery_id.is_(None), ended < before, ~under_way).order_by(ended)


def _checks(before: float) -> Select[tuple[str, float]]:
    c = t.daily_check.c
    return select(c.id, c.checked_at.label("ended")).where(c.checked_at < before).order_by(c.checked_at)


# ---- feeds, reconciliation, media -------------------------------------------------------------------------------------------------------


def _imports(before: float) -> Select[tuple[str, float]]:
    """Batches that were acknowledged to their party, and the runs that fetched them or nothing."""
    b, r = t.fetch_batch.c, t.fetch_run.c
    batches = select(b.id, b.imported_at.label("ended")).where(b.imported_at < before, b.acknowledged_at.is_not(None))
    of_run = select(b.id).where(b.run == r.id).exists()
    ended = func.coalesce(r.ended_at, r.began_at)
    runs = select(r.id, ended.label("ended")).where(ended < before, ~of_run)
    both = batches.union_all(runs).subquery("imported")
    return select(both.c.id, both.c.ended).order_by(both.c.ended)


def _erase_imports(unit: Unit, ids: Sequence[str], _: Aliases) -> int:
    unit.conn.execute(delete(t.fetch_record).where(t.fetch_record.c.batch_id.in_(ids)))
    batches = unit.conn.execute(delete(t.fetch_batch).where(t.fetch_batch.c.id.in_(ids))).rowcount
    return batches + unit.conn.execute(delete(t.fetch_run).where(t.fetch_run.c.id.in_(ids))).rowcount


def _anomalies(before: float) -> Select[tuple[str, float]]:
    """Those that are over."""
    c = t.anomaly.c
    return select(c.id, c.cleared_at.label("ended")).where(c.cleared_at < before).order_by(c.cleared_at)


def _reconciliations(before: float) -> Select[tuple[str, float]]:
    """Comparisons that came to their end, with nothing on their worklist that is still to be decided."""
    r, d = t.reconciliation.c, t.reconciliation_difference.c
    left = select(d.id).where(d.reconciliation == r.id, or_(d.state.in_(["open", "postponed"]), d.changed_at >= before)).exists()
    query = select(r.id, r.changed_at.label("ended")).where(r.status == "done", r.changed_at < before, ~left)
    return query.order_by(r.changed_at)


def _erase_reconciliations(unit: Unit, ids: Sequence[str], _: Aliases) -> int:
    unit.conn.execute(delete(t.reconciliation_difference).where(t.reconciliation_difference.c.reconciliation.in_(ids)))
    return unit.conn.execute(delete(t.reconciliation).where(t.reconciliation.c.id.in_(ids))).rowcount


def _media(before: float) -> Select[tuple[str, float]]:
    c = t.medium_output.c
    ended = func.coalesce(c.ended_at, c.began_at)
    return select(c.request_id.label("id"), ended.label("ended")).where(ended < before).order_by(ended)


# ---- persons ----------------------------------------------------------------------------------------------------------------------------


def _acquisitions(before: float) -> Select[tuple[str, float]]:
    """Acquisitions of codes at which nothing has happened since, wherever they stand."""
    c = t.code_acquisition.c
    return select(c.id, c.changed_at.label("ended")).where(c.changed_at < before).order_by(c.changed_at)


def _erase_acquisitions(unit: Unit, ids: Sequence[str], _: Aliases) -> int:
    alias = t.subject_alias.c
    # with the kind in its text: that is how its index is found
    unit.conn.execute(delete(t.subject_alias).where(alias.subject.in_(ids), text("kind = 'processing-number'")))
    return unit.conn.execute(delete(t.code_acquisition).where(t.code_acquisition.c.id.in_(ids))).rowcount


def _mark_id() -> Any:
    return t.person_mark.c.subject + literal(" ") + t.person_mark.c.mark


def _marks(before: float) -> Select[tuple[str, float]]:
    """Support measures whose last day was before."""
    c = t.person_mark.c
    over = (c.mark != DECEASED, c.until < day_of(before, 0.0).isoformat())
    return select(_mark_id().label("id"), c.at.label("ended")).where(*over).order_by(c.at)


def _erase_marks(unit: Unit, ids: Sequence[str], _: Aliases) -> int:
    return unit.conn.execute(delete(t.person_mark).where(_mark_id().in_(ids))).rowcount


def _persons(before: float) -> Select[tuple[str, float]]:
    """Residents who had died before, of whom no record of provision, acquisition or comparison speaks any more."""
    c, p, a, d = t.person_mark.c, t.provision.c, t.code_acquisition.c, t.reconciliation_difference.c
    named = (
        select(p.id).where(p.subject == c.subject).exists(),
        select(a.id).where(a.person == c.subject).exists(),
        select(d.id).where(d.subject == c.subject).exists(),
    )
    query = select(c.subject.label("id"), c.at.label("ended")).where(c.mark == DECEASED, c.at < before, *(~each for each in named))
    return query.order_by(c.at)


def _link_keys(conn: Connection, ids: Sequence[str]) -> list[Due]:
    """The sealed atena numbers of these subjects."""
    a, k = t.atena_link.c, t.data_key.c
    query = select(a.at, a.message_id, k.id, k.wrapped).join(t.data_key, k.id == a.payload_id).where(a.subject.in_(ids)).order_by(k.id)
    return [
        Due(key=row.id, message_id=row.message_id, party=LINKAGE, type=LINKAGE_TYPE, at=row.at, wrapped=bytes(row.wrapped))
        for row in conn.execute(query)
    ]


def _aliases_of(conn: Connection, ids: Sequence[str]) -> Aliases:
    c = t.subject_alias.c
    subjects = [*ids, *_partners(conn, ids)]
    return [bytes(row.blind) for row in conn.execute(select(c.blind).where(c.subject.in_(subjects)))]


def _partners(conn: Connection, ids: Sequence[str]) -> list[str]:
    """Subjects of their other numbers, of which no record of provision or acquisition speaks."""
    i, p, a = t.integrated_number.c, t.provision.c, t.code_acquisition.c
    rows = conn.execute(
        select(i.subject, i.atena, i.individual).where(or_(*(each.in_(ids) for each in (i.subject, i.atena, i.individual))))
    )
    others = {each for row in rows for each in row if each is not None} - set(ids)
    named = set(conn.execute(select(p.subject).where(p.subject.in_(others))).scalars())
    named.update(conn.execute(select(a.person).where(a.person.in_(others))).scalars())
    return sorted(others - named)


def _erase_persons(unit: Unit, ids: Sequence[str], aliases: Aliases) -> int:
    """Their links first, then marks and blind indexes. Of ``aliases`` only theirs: who is not due any more keeps them."""
    i, c = t.integrated_number.c, t.subject_alias.c
    subjects = [*ids, *_partners(unit.conn, ids)]
    unit.conn.execute(delete(t.atena_link).where(t.atena_link.c.subject.in_(ids)))
    unit.conn.execute(delete(t.integrated_number).where(or_(i.subject.in_(ids), i.atena.in_(ids), i.individual.in_(ids))))
    unit.conn.execute(delete(t.person_mark).where(t.person_mark.c.subject.in_(ids)))
    if aliases:
        unit.conn.execute(delete(t.subject_alias).where(c.blind.in_(list(aliases)), c.subject.in_(subjects)))
    return len(ids)


def _plain(column: Any) -> Callable[[Unit, Sequence[str], Aliases], int]:
    """Rows on which nothing hangs."""

    def erase(unit: Unit, ids: Sequence[str], _: Aliases) -> int:
        return unit.conn.execute(delete(column.table).where(column.in_(ids))).rowcount

    return erase


PLACES: Final[Mapping[str, RowPlace]] = {
    "record": RowPlace(
        tables=("message", "delivery", "key_row", "late_outcome", "reply", "command"),
        due=_records, id=lambda: t.message.c.id, erase=_erase_records, entry="records-erased",
    ),
    "provision": RowPlace(
        tables=("provision", "inquiry"), due=_provisions, id=lambda: t.provision.c.id, erase=_erase_provisions, entry="provisions-erased"
    ),
    "refusal": RowPlace(tables=("quarantine",), due=_refusals, id=lambda: t.quarantine.c.id, erase=_plain(t.quarantine.c.id)),
    "request": RowPlace(tables=("command",), due=_requests, id=lambda: t.command.c.id, erase=_plain(t.command.c.id)),
    "daily-check": RowPlace(tables=("daily_check",), due=_checks, id=lambda: t.daily_check.c.id, erase=_plain(t.daily_check.c.id)),
    "import": RowPlace(
        tables=("fetch_batch", "fetch_record", "fetch_run"), due=_imports, id=lambda: literal_column("imported.id"), erase=_erase_imports
    ),
    "anomaly": RowPlace(tables=("anomaly",), due=_anomalies, id=lambda: t.anomaly.c.id, erase=_plain(t.anomaly.c.id)),
    "reconciliation": RowPlace(
        tables=("reconciliation", "reconciliation_difference"), due=_reconciliations, id=lambda: t.reconciliation.c.id,
        erase=_erase_reconciliations,
    ),
    "medium": RowPlace(
        tables=("medium_output",), due=_media, id=lambda: t.medium_output.c.request_id, erase=_plain(t.medium_output.c.request_id)
    ),
    "acquisition": RowPlace(
        tables=("code_acquisition", "subject_alias"), due=_acquisitions, id=lambda: t.code_acquisition.c.id, erase=_erase_acquisitions
    ),
    "mark": RowPlace(tables=("person_mark",), due=_marks, id=_mark_id, erase=_erase_marks),
    "person": RowPlace(
        tables=("person_mark", "subject_alias", "integrated_number", "atena_link", *CONTENT),
        due=_persons, id=lambda: t.person_mark.c.subject, erase=_erase_persons, keys=_link_keys, aliases=_aliases_of,
    ),
}  # fmt: skip
