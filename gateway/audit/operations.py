"""What is written of the chain: operations for the ledger's writer, all ``bulk``, so that traffic goes first.

Two things keep the chain from forking: each operation locks the lease and sees that it still holds it, and the digest that a block names
as the one before is unique in the ledger.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.dialects import postgresql, sqlite

from gateway.audit.canonical import Block
from gateway.audit.queries import CHAIN
from gateway.errors import LedgerUnavailable
from gateway.ledger import statements as sql
from gateway.ledger import tables as t
from gateway.ledger.leases import Held, holds
from gateway.ledger.unit import Unit

_MARK_CHAINED = "UPDATE audit_entry SET block = {mark} WHERE block IS NULL AND id IN ({ids}) RETURNING 1"


class LeaseLost(LedgerUnavailable):
    """Another process chains now; nothing was written."""

    def __init__(self) -> None:
        super().__init__("audit-lease-lost", "another process chains the audit entries now")


class ChainMoved(LedgerUnavailable):
    """The chain is not where the block was built for, or entries of it have gone: nothing was written."""

    def __init__(self) -> None:
        super().__init__("audit-chain-moved", "the audit chain or the entries of a new block have changed meanwhile")


@dataclass(slots=True, kw_only=True)
class AddBlock:
    """Write a block and say of its entries that they are in it. Result: None, or an error that is raised to the caller alone."""

    held: Held
    block: Block
    chain: str
    bulk: bool = True
    size: int = 1
    refused: LedgerUnavailable | None = None

    def plan(self, unit: Unit) -> None:
        self.refused = None

    def apply(self, unit: Unit) -> None:
        if not holds(unit, self.held):
            self.refused = LeaseLost()
            return
        block, b = self.block, t.audit_block.c
        last = unit.conn.execute(select(b.number, b.digest).order_by(b.number.desc()).limit(1)).first()
        if (0 if last is None else last.number) != block.number - 1 or (last is not None and bytes(last.digest) != block.previous):
            self.refused = ChainMoved()
            return
        if last is None:
            make = postgresql.insert if unit.postgresql else sqlite.insert
            unit.conn.execute(make(t.meta).values(name=CHAIN, value=self.chain))
        marked = sql.rows(unit.conn, _MARK_CHAINED, block.number, ids=block.ids())
        if len(marked) != block.entries:
            raise ChainMoved  # an entry vanished within milliseconds: the transaction is rolled back, the others of its group are redone
        unit.conn.execute(
            t.audit_block.insert().values(
                number=block.number, previous=block.previous, digest=block.digest, at=block.at, entries=block.entries, total=block.total,
                leaves="\n".join(block.leaves),
            )
        )  # fmt: skip

    def finish(self, unit: Unit) -> Any:
        return self.refused


@dataclass(slots=True, kw_only=True)
class AddCheckpoint:
    """Write a signed checkpoint; its number is taken once. Result: None, or an error that is raised to the caller alone."""

    held: Held
    number: int
    block: int
    text: str
    signature: bytes
    bulk: bool = True
    size: int = 1
    refused: LedgerUnavailable | None = None

    def plan(self, unit: Unit) -> None:
        self.refused = None

    def apply(self, unit: Unit) -> None:
        if not holds(unit, self.held):
            self.refused = LeaseLost()
            return
        values = {"number": self.number, "block": self.block, "text": self.text, "signature": self.signature}
        unit.conn.execute(t.audit_checkpoint.insert().values(values))

    def finish(self, unit: Unit) -> Any:
        return self.refused


@dataclass(slots=True, kw_only=True)
class AddTimeStamp:
    """Keep the time stamp of a checkpoint."""

    number: int
    token: bytes
    bulk: bool = True
    size: int = 1

    def plan(self, unit: Unit) -> None:
        """Nothing is needed before."""

    def apply(self, unit: Unit) -> None:
        c = t.audit_checkpoint.c
        unit.conn.execute(update(t.audit_checkpoint).where(c.number == self.number, c.token.is_(None)).values(token=self.token))

    def finish(self, unit: Unit) -> None:
        return None


@dataclass(slots=True, kw_only=True)
class RecordReading:
    """Somebody read or took out a part of the record: that is an entry itself (I8)."""

    kind: str
    actor: str
    detail: dict[str, Any]
    party: str | None = None
    bulk: bool = False
    size: int = 1

    def plan(self, unit: Unit) -> None:
        """Nothing is needed."""

    def apply(self, unit: Unit) -> None:
        detail = {**self.detail, "party_id": self.party} if self.party is not None else self.detail
        unit.audit(self.kind, self.actor, **detail)

    def finish(self, unit: Unit) -> None:
        return None


def size_of(rows: Sequence[Any]) -> int:
    """Units of work that a block of these entries stands for: marking one is a small part of what admitting a message takes."""
    return max(1, len(rows) // 8)
