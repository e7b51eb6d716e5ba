"""Leases: work that one process does for all. Who holds one is void with its registration (R6), so nobody waits for the dead.

Each time a lease is taken its epoch rises. Whoever writes under a lease sees in the same transaction that it still holds it
(:func:`holds`), so that one that slept and was replaced writes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.dialects import postgresql, sqlite

from gateway.ledger import tables as t
from gateway.ledger.unit import Unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A lease that was taken: by which registration, and which holder that is."""

    name: str
    worker: str
    epoch: int


def _row(unit: Unit, name: str) -> Any:
    query = select(t.lease.c.worker, t.lease.c.epoch).where(t.lease.c.name == name)
    return unit.conn.execute(query.with_for_update() if unit.postgresql else query).first()


def holds(unit: Unit, held: Held) -> bool:
    """It is still this holder's; the lease stays locked to the end of the transaction."""
    row = _row(unit, held.name)
    return row is not None and (row.worker, row.epoch) == (held.worker, held.epoch) and not unit.is_void(held.worker)


@dataclass(slots=True, kw_only=True)
class TakeLease:
    """Take a lease if nobody holds it, or who did is void (R6). Result: :class:`Held`, or None: another process is at it.

    Taking one that is one's own already gives a new epoch, unless ``keep`` says to leave it as it is.
    """

    name: str
    worker: str
    keep: bool = False
    bulk: bool = True
    size: int = 1
    held: Held | None = None

    def plan(self, unit: Unit) -> None:
        self.held = None

    def apply(self, unit: Unit) -> None:
        make = postgresql.insert if unit.postgresql else sqlite.insert
        unit.conn.execute(make(t.lease).values(name=self.name, worker="", epoch=0, taken_at=unit.now).on_conflict_do_nothing())
        row = _row(unit, self.name)
        if unit.is_void(self.worker) or (row.worker not in ("", self.worker) and not unit.is_void(row.worker)):
            return
        if self.keep and row.worker == self.worker:
            self.held = Held(name=self.name, worker=self.worker, epoch=row.epoch)
            return
        values = {"worker": self.worker, "epoch": row.epoch + 1, "taken_at": unit.now}
        unit.conn.execute(update(t.lease).where(t.lease.c.name == self.name).values(values))
        self.held = Held(name=self.name, worker=self.worker, epoch=row.epoch + 1)

    def finish(self, unit: Unit) -> Held | None:
        return self.held


@dataclass(slots=True, kw_only=True)
class ReleaseLease:
    """Let another process take it at once."""

    held: Held
    bulk: bool = True
    size: int = 1

    def plan(self, unit: Unit) -> None:
        """Nothing is needed before."""

    def apply(self, unit: Unit) -> None:
        c, held = t.lease.c, self.held
        mine = (c.name == held.name, c.worker == held.worker, c.epoch == held.epoch)
        unit.conn.execute(update(t.lease).where(*mine).values(worker=""))

    def finish(self, unit: Unit) -> None:
        return None
