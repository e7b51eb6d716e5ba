"""What is read of the chain in the ledger, beside the writer. Set-based statements, as text for the driver where there are many rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, func, select

from gateway.audit.canonical import COLUMNS, Block, Row
from gateway.delivery.rows import LIVENESS_S
from gateway.ledger import statements as sql
from gateway.ledger import tables as t
from gateway.ledger.clock import ledger_time

LEASE: Final = "audit-chain"
CHAIN: Final = "audit_chain"
"""The fact of the ledger (table ``meta``) that names its chain; set with the first block."""
PAGE: Final = 512
SLACK: Final = 64
"""So many entries of other blocks may lie between those that are wanted."""

_ENTRY: Final = ", ".join(f'"{name}"' for name in COLUMNS)
_UNCHAINED: Final = f"SELECT {_ENTRY} FROM audit_entry WHERE block IS NULL ORDER BY id LIMIT {{mark}}"  # noqa: S608 names of ours
_BY_ID: Final = f"SELECT {_ENTRY} FROM audit_entry WHERE id IN ({{ids}}) ORDER BY id"  # noqa: S608 names of ours
_FROM: Final = f"SELECT {_ENTRY} FROM audit_entry WHERE id >= {{mark}} ORDER BY id LIMIT {{mark}}"  # noqa: S608 names of ours
_OLDEST: Final = select(t.audit_entry.c.at).where(t.audit_entry.c.block.is_(None)).order_by(t.audit_entry.c.id).limit(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpointed:
    """A checkpoint as the ledger has it."""

    number: int
    block: int
    text: str
    signature: bytes
    token: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainState:
    """Where the chain stands, at a moment of the ledger's time."""

    now: float
    chain: str | None
    """None: nothing has been chained yet."""
    head: Block | None
    """Without its leaves."""
    holder: str | None
    """The registration that holds the lease, if that one still counts (R6)."""
    epoch: int
    oldest_at: float | None
    """Of the entries that are in no block yet, when the first was written."""
    checkpoint: Checkpointed | None

    @property
    def age_s(self) -> float:
        """How long the oldest unchained entry has waited, in seconds."""
        return 0.0 if self.oldest_at is None else max(0.0, self.now - self.oldest_at)


def chain_state(conn: Connection) -> ChainState:
    """Everything that who chains, and who watches, must know; a few rows by key."""
    now = ledger_time(conn)
    held = conn.execute(
        select(t.lease.c.worker, t.lease.c.epoch, t.worker.c.renewed_at, t.worker.c.ended_at)
        .outerjoin(t.worker, t.worker.c.id == t.lease.c.worker)
        .where(t.lease.c.name == LEASE)
    ).first()
    counts = held is not None and held.ended_at is None and held.renewed_at is not None and held.renewed_at > now - LIVENESS_S
    return ChainState(
        now=now,
        chain=conn.execute(select(t.meta.c.value).where(t.meta.c.name == CHAIN)).scalar(),
        head=head(conn),
        holder=held.worker if held is not None and counts else None,
        epoch=0 if held is None else held.epoch,
        oldest_at=conn.execute(_OLDEST).scalar(),
        checkpoint=last_checkpoint(conn),
    )


def head(conn: Connection) -> Block | None:
    """The last block, without its leaves."""
    b = t.audit_block.c
    row = conn.execute(select(b.number, b.previous, b.digest, b.at, b.entries, b.total).order_by(b.number.desc()).limit(1)).first()
    return None if row is None else Block(**{**row._mapping, "previous": bytes(row.previous), "digest": bytes(row.digest)}, leaves=())


def unchained(conn: Connection, limit: int) -> list[Row]:
    """Committed entries that are in no block yet, in the order of their ids. What commits later is found later, whatever its id."""
    return [Row._make(row) for row in sql.rows(conn, _UNCHAINED, limit)]


def blocks(conn: Connection, after: int, limit: int) -> list[Block]:
    """Blocks behind number ``after``, in order, with their leaves."""
    b = t.audit_block.c
    query = (
        select(b.number, b.previous, b.digest, b.at, b.entries, b.total, b.leaves).where(b.number > after).order_by(b.number).limit(limit)
    )
    return [
        Block(
            number=row.number, previous=bytes(row.previous), digest=bytes(row.digest), at=row.at, entries=row.entries, total=row.total,
            leaves=tuple(row.leaves.split("\n")) if row.leaves else (),
        )
        for row in conn.execute(query)
    ]  # fmt: skip


def entries(conn: Connection, ids: Sequence[str]) -> dict[str, Sequence[Any]]:
    """Those of these entries that are there, by id; columns in the order of :class:`~gateway.audit.canonical.Row`.

    Entries of a few blocks lie together: they are read as one piece of the table, and those that lie elsewhere one by one.
    """
    if not ids:
        return {}
    wanted = set(ids)
    found = {row[0]: row for row in sql.rows(conn, _FROM, min(ids), len(ids) + SLACK) if row[0] in wanted}
    if len(found) < len(wanted):
        missing = sorted(wanted - found.keys())
        for first in range(0, len(missing), PAGE):
            found |= {row[0]: row for row in sql.rows(conn, _BY_ID, ids=missing[first : first + PAGE])}
    return found


def chained_rows(conn: Connection, up_to: int) -> int:
    """How many entries say that they are in a block of a number up to this one."""
    e = t.audit_entry.c
    query = select(func.count()).select_from(t.audit_entry).where(e.block.is_not(None), e.block <= up_to)
    return conn.execute(query).scalar_one()


def said_places(conn: Connection, after: str, limit: int) -> list[tuple[str, int | None]]:
    """Ids behind ``after`` with the blocks that they say they are in."""
    e = t.audit_entry.c
    return [(row.id, row.block) for row in conn.execute(select(e.id, e.block).where(e.id > after).order_by(e.id).limit(limit))]


def checkpoints(conn: Connection, after: int = 0, limit: int = 1_000_000) -> list[Checkpointed]:
    """Checkpoints behind number ``after``, in order."""
    c = t.audit_checkpoint.c
    return [_checkpoint(row) for row in conn.execute(select(*c).where(c.number > after).order_by(c.number).limit(limit))]


def last_checkpoint(conn: Connection) -> Checkpointed | None:
    """The newest one."""
    c = t.audit_checkpoint.c
    row = conn.execute(select(*c).order_by(c.number.desc()).limit(1)).first()
    return None if row is None else _checkpoint(row)


def untimed(conn: Connection, limit: int) -> list[Checkpointed]:
    """The newest checkpoints without a time stamp."""
    c = t.audit_checkpoint.c
    return [_checkpoint(row) for row in conn.execute(select(*c).where(c.token.is_(None)).order_by(c.number.desc()).limit(limit))]


def _checkpoint(row: Any) -> Checkpointed:
    return Checkpointed(
        number=row.number,
        block=row.block,
        text=row.text,
        signature=bytes(row.signature),
        token=None if row.token is None else bytes(row.token),
    )
