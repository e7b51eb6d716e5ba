"""What the ledger's writer commits together: operations, groups of them, and what a group took."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection

T_co = TypeVar("T_co", covariant=True)


class Operation(Protocol[T_co]):
    """A piece of work for one transaction; its result is of type ``T``. Name this class as a base, so that the type is known."""

    @property
    def bulk(self) -> bool:
        """Waits for everything that is live."""

    @property
    def size(self) -> int:
        """How many units of work (rows, about) it stands for: an admission of 100 messages counts 100. It is never divided."""


RunGroup = Callable[[Connection, Sequence[Any], float], Sequence[Any]]
"""Does a group's work within a transaction: ``(connection, operations, now)`` → one result for each, in order.

A result that is an exception is raised to that operation's caller, while the group commits. Raising rolls the group back. Runs in the
writer's thread, possibly several times for the same operations; it must not commit, and not keep what it learned in a run that did not
commit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRecord:
    """What one transaction took, for metrics. Times in seconds."""

    operations: int
    units: int
    bulk: bool
    committed: bool
    wait_s: float
    """For the database's lock (SQLite) or its answer to BEGIN."""
    work_s: float
    commit_s: float
    waiting: int
    """Operations that waited when the transaction ended."""

    @property
    def lock_s(self) -> float:
        """How long the lock (SQLite) or the row locks (PostgreSQL) were held."""
        return self.work_s + self.commit_s


@dataclass(slots=True, kw_only=True)
class WriterStatistics:
    """Sums since the start."""

    groups: int = 0
    operations: int = 0
    units: int = 0
    redone: int = 0
    """Groups that were rolled back and redone one by one."""
    repeated: int = 0
    """Transactions repeated because of a deadlock or a lost connection."""
    commits_unknown: int = 0
    lock_s: float = 0.0
    longest_lock_s: float = 0.0


@dataclass(slots=True)
class Entry:
    """An operation that waits, and whom to tell."""

    operation: Any
    bulk: bool
    size: int
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    since: float
    result: Any = None
    error: BaseException | None = None

    def resolve(self) -> None:
        """Tell the caller; on its event loop."""
        # Cancelled: the caller went away, what it asked for was done all the same.
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


def take(waiting: deque[Entry], cap: int) -> list[Entry]:
    """From the front, at least one, and no more than ``cap`` units."""
    taken = [waiting.popleft()]
    units = taken[0].size
    while waiting and units + waiting[0].size <= cap:
        units += waiting[0].size
        taken.append(waiting.popleft())
    return taken


def resolve_all(entries: list[Entry]) -> None:
    """Tell all callers of a group on one event loop, which must be running."""
    for entry in entries:
        entry.resolve()
