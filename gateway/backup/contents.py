"""What of the ledger is in a backup: its tables, row by row, as lines of JSON; the same for SQLite and PostgreSQL.

Left out is what no backup may have: bodies and data keys of types that must vanish one business day after they were sent (C-3-7-3), of
deliveries, receipts, corrections and refusals alike, and of refusals whose type is not known; whatever is wrapped under a day key besides.
Also what means nothing in another incarnation: registrations of processes, leases, intake epochs.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection, LargeBinary, Select, Table, and_, func, or_, select, tuple_

from gateway.ledger import tables as t

LEFT_OUT: Final = frozenset({"worker", "lease", "intake_epoch"})
TABLES: Final[tuple[Table, ...]] = tuple(each for each in t.metadata.sorted_tables if each.name not in LEFT_OUT)
PAGE: Final = 2000
_BYTES: Final[Mapping[str, frozenset[int]]] = {
    each.name: frozenset(place for place, column in enumerate(each.columns) if isinstance(column.type, LargeBinary)) for each in TABLES
}


@dataclass(slots=True, kw_only=True)
class Counted:
    """What was written or read of one table."""

    rows: int = 0
    left_out: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which data keys, and bodies with them, are left out."""

    ephemeral: Collection[str]
    _out: set[str] = field(default_factory=set)

    def prepare(self, conn: Connection) -> None:
        """Find them, in the snapshot that is backed up."""
        k, m, q = t.data_key.c, t.message.c, t.quarantine.c
        types = sorted(self.ephemeral)
        by_day = select(k.id).where(k.kek_id.contains("/"))
        by_type = select(k.id).join(t.message, m.id == k.message_id).where(m.type.in_(types))
        refused = select(q.payload_id).where(q.payload_id.is_not(None), or_(q.type.is_(None), q.type.in_(types)))
        for query in (by_day, by_type, refused):
            self._out.update(conn.execute(query).scalars())

    def keeps(self, table: str, row: Sequence[Any]) -> bool:
        """Rows of other tables are all kept; id is the first column of both."""
        return table not in ("data_key", "payload") or row[0] not in self._out


def rows(conn: Connection, table: Table, page: int = PAGE) -> Iterator[Sequence[Any]]:
    """All rows in the order of the primary key, in pages: no statement runs long (R21)."""
    key = list(table.primary_key.columns)
    query = select(table).order_by(*key).limit(page)
    after: Select[Any] = query
    while True:
        found = conn.execute(after).all()
        yield from found
        if len(found) < page:
            return
        last = found[-1]._mapping
        after = query.where(tuple_(*key) > tuple_(*(last[each] for each in key)) if len(key) > 1 else key[0] > last[key[0]])


def line(table: str, row: Sequence[Any]) -> bytes:
    """One row as a line."""
    binary = _BYTES[table]
    values = [base64.b64encode(value).decode() if place in binary and value is not None else value for place, value in enumerate(row)]
    return json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def row_of(table: str, text: bytes) -> list[Any]:
    """The row that :func:`line` wrote."""
    binary = _BYTES[table]
    values = json.loads(text)
    return [base64.b64decode(value) if place in binary and value is not None else value for place, value in enumerate(values)]


def write(conn: Connection, write: Callable[[bytes], None], ephemeral: Collection[str]) -> dict[str, Counted]:
    """Write every table: a line that names it with its columns, its rows, an empty line."""
    kept = Filter(ephemeral=ephemeral)
    kept.prepare(conn)
    counted = {}
    for table in TABLES:
        counted[table.name] = count = Counted()
        write(json.dumps({"table": table.name, "columns": [each.name for each in table.columns]}).encode() + b"\n")
        batch: list[bytes] = []
        for row in rows(conn, table):
            if not kept.keeps(table.name, row):
                count.left_out += 1
                continue
            batch.append(line(table.name, row))
            count.rows += 1
            if len(batch) >= PAGE:
                write(b"".join(batch))
                batch.clear()
        write(b"".join(batch) + b"\n")
    return counted


def ephemeral_keys(conn: Connection, ephemeral: Collection[str]) -> int:
    """How many data keys a ledger has that no backup may have; for looking at a backup that was opened."""
    k, m = t.data_key.c, t.message.c
    of_type = and_(m.id == k.message_id, m.type.in_(sorted(ephemeral)))
    query = select(func.count()).select_from(t.data_key.outerjoin(t.message, of_type))
    return conn.execute(query.where(or_(m.id.is_not(None), k.kek_id.contains("/")))).scalar_one()
