"""How the acquisitions of codes stand, for operators and monitoring: counts, and what is overdue. Names nobody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, func, select

from gateway.acquisition.machine import State
from gateway.ledger import tables as t
from gateway.ledger.clock import ledger_time

OLDEST: Final = 100
OPEN: Final = tuple(each.value for each in State if each.open)
_A = t.code_acquisition


@dataclass(frozen=True, slots=True, kw_only=True)
class Overdue:
    """One acquisition whose next step is overdue. Times are those of the ledger."""

    id: str
    state: str
    asked_at: float
    due_at: float
    asked_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AcquisitionState:
    """All of them in numbers, and the oldest of those that are overdue."""

    registered: int
    linked: int
    states: Mapping[str, int]
    overdue: int
    oldest: Sequence[Overdue]


def open_and_overdue(conn: Connection) -> tuple[int, int]:
    """Open acquisitions, and how many of them are overdue: from an index that holds only what is open."""
    now = ledger_time(conn)
    still_open = _A.c.state.in_(OPEN)
    count = conn.execute(select(func.count()).where(still_open)).scalar_one()
    return count, conn.execute(select(func.count()).where(still_open, _A.c.due_at < now)).scalar_one()


def read(conn: Connection) -> AcquisitionState:
    """The whole table: for a person who asks."""
    links = t.integrated_number
    states = {row[0]: int(row[1]) for row in conn.execute(select(_A.c.state, func.count()).group_by(_A.c.state))}
    late = (_A.c.state.in_(OPEN), _A.c.due_at < ledger_time(conn))
    rows = conn.execute(select(_A).where(*late).order_by(_A.c.due_at).limit(OLDEST))
    return AcquisitionState(
        registered=conn.execute(select(func.count()).where(links.c.registered_id.is_not(None))).scalar_one(),
        linked=conn.execute(select(func.count()).where(links.c.individual.is_not(None))).scalar_one(),
        states={each.value: states.get(each.value, 0) for each in State},
        overdue=conn.execute(select(func.count()).where(*late)).scalar_one(),
        oldest=[Overdue(id=r.id, state=r.state, asked_at=r.asked_at, due_at=r.due_at, asked_id=r.asked_id) for r in rows],
    )
