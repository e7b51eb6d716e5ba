"""The one writer of this process: a thread that commits what callers hand in, in groups (R20, R21).

**Theory of operation.** A commit costs the same for one operation and for a hundred: the disk has to say yes. So the thread commits at
once when it is idle, and while a commit runs, what comes in gathers and becomes the next group.

- A group holds live operations, or bulk ones when nothing live waits; what is bulk and has waited for ``BULK_PATIENCE_S`` gets a quarter of
  a group of live ones, so that it never starves. Within live and within bulk the order of submission is kept.
- The size of a group is bounded (``max_group`` units) and, on SQLite, such that the work in it takes at most ``target_lock_s`` (a bulk
  group: ``bulk_lock_s``): other processes wait for the same lock. What one unit takes is learned from the last groups.
- A group costs as much as some ten operations: its lock, its commit, changes between threads. So where it is asked for
  (``gather_s``: by worker processes; at the doors a sender waits) and callers come side by side (the last group held several live
  operations, and few), the next one begins so long after the last one ended, with what has come by then. A lone caller, whoever comes
  after a pause, and something live among bulk or whole batches, waits for nothing.
- Results are told to callers only after COMMIT has returned, all of a group in one call into their event loop.
- After an exception the group is rolled back and redone one by one, each in its own transaction, so that a bad operation fails alone. A
  deadlock, or a connection lost before COMMIT was sent, repeats the group as it is. After a COMMIT whose outcome is not known nobody is
  told success: everybody gets ``LedgerUnavailable("commit-unknown")`` and reads the ledger before going on.

The thread never ends before :meth:`Writer.close`: whatever an operation raises is its own caller's.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import random
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from gateway.errors import LedgerUnavailable
from gateway.ledger.backend import Session
from gateway.ledger.engine import LedgerEngine
from gateway.ledger.failures import CLOSED, COMMIT_UNKNOWN, CONTENTION, Failure, Kind, classify
from gateway.ledger.groups import Entry, GroupRecord, Operation, RunGroup, WriterStatistics, resolve_all, take
from gateway.ledger.pace import Pace

T = TypeVar("T")

BULK_PATIENCE_S: Final = 0.1
LOOK_S: Final = 0.002
"""Between two looks whether something live is still under way elsewhere, seconds."""
GATHER_S: Final = 0.006
"""Between two groups of a worker, while callers come side by side: seconds. At full load it makes three groups of one."""
GATHER_ENOUGH: Final = 24
"""So many units are a group worth its cost: nobody waits for more, nor after as many."""
BULK_AT_LEAST: Final = 16
"""Units in a bulk group, however slow the machine: below that the fixed cost of a commit is all there is."""
SWITCH_S: Final = 0.0005
CONTENTION_TRIES: Final = 8
LOST_TRIES: Final = 3
GIVE_UP_AFTER: Final = 3
"""While redoing one by one: after so many operations in a row for which the database was not to be had, the rest are answered the same."""


class _CommitUnknown(Exception):
    pass


class Writer:
    """See the module's text. Made and used from event loops; the thread is its own."""

    def __init__(
        self,
        engine: LedgerEngine,
        run_group: RunGroup,
        *,
        max_group: int = 200,
        target_lock_s: float = 0.008,
        bulk_lock_s: float = 0.004,
        bulk_pause_s: float = 0.001,
        gather_s: float = 0.0,
        live: Callable[[], bool] | None = None,
        on_group: Callable[[GroupRecord], None] | None = None,
    ) -> None:
        """Start the thread. ``on_group`` is called in it after each transaction: it must be quick and must not raise."""
        self._engine = engine
        self._run_group = run_group
        self._max_group = max_group
        self._on_group = on_group
        one_lock_for_all = engine.dialect == "sqlite"
        self._target_lock_s = target_lock_s if one_lock_for_all else float("inf")
        self._bulk_lock_s = bulk_lock_s if one_lock_for_all else float("inf")
        self._bulk_pause_s = bulk_pause_s if one_lock_for_all else 0.0
        self._inbox: queue.SimpleQueue[Entry | None] = queue.SimpleQueue()
        self._live: deque[Entry] = deque()
        self._bulk: deque[Entry] = deque()
        self._session: Session | None = None
        self._gather_s = gather_s
        self._live_somewhere = live
        self._gather_until = 0.0
        self._pause_until = 0.0
        self._pace = Pace()
        self._begun = False
        self._closing = False
        self._draining = True
        self.statistics = WriterStatistics()
        # After each statement of SQLite the thread waits for the interpreter's lock, holding the database's: with the default of 5 ms a
        # loop that computes slows groups down thirty times (measured: 119 operations/s; with 0.5 ms 3,400/s).
        sys.setswitchinterval(min(sys.getswitchinterval(), SWITCH_S))
        self._thread = threading.Thread(target=self._run, name="ledger-writer", daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        """The thread lives. It ends with :meth:`close` and never by itself."""
        return self._thread.is_alive()

    @property
    def queue_length(self) -> int:
        """Operations that wait, about."""
        return self._inbox.qsize() + len(self._live) + len(self._bulk)

    def enqueue(self, operation: Operation[T]) -> asyncio.Future[T]:
        """Hand in an operation; it is done whatever becomes of the future. Call it on the event loop that shall be told.

        Raises LedgerUnavailable (``ledger-closed``) at once after :meth:`close`.
        """
        if self._closing:
            raise CLOSED.error()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._inbox.put(Entry(operation, operation.bulk, operation.size, loop, future, time.monotonic()))
        return future

    async def submit(self, operation: Operation[T]) -> T:
        """Hand in an operation and wait for its commit.

        Cancelling the caller does not cancel the operation (R20): it is done, and its result is lost. Who must know it (a claim, say)
        awaits ``asyncio.shield(writer.enqueue(operation))`` and keeps the future.

        Raises:
            LedgerUnavailable: nothing was done; or, with code ``commit-unknown``, nobody knows.
            OperationFailed: this operation violates the schema; nothing of it was done.
            Exception: what the operation itself raised; nothing of it was done.
        """
        return await self.enqueue(operation)

    async def close(self, drain: bool = True) -> None:
        """End the thread: after doing what waits, or answering it with ``ledger-closed``."""
        if not self._closing:
            self._draining = drain
            self._closing = True
            self._inbox.put(None)
        await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, self._thread.join))

    # In the writer's thread from here on.

    def _run(self) -> None:
        while True:
            if not self._live and not self._bulk:
                if self._closing and self._inbox.empty():
                    break
                self._take_in(self._inbox.get())
            self._empty_inbox()
            if self._closing and not self._draining:
                self._refuse_all()
            if self._live or (self._bulk and self._pause_is_over()):
                self._gather()
                self._settle(self._next_group())
        self._drop_session()

    def _take_in(self, entry: Entry | None) -> None:
        if entry is not None:
            (self._bulk if entry.bulk else self._live).append(entry)

    def _empty_inbox(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                self._take_in(self._inbox.get_nowait())

    def _pause_is_over(self) -> bool:
        """After a bulk group other processes get the lock first (R21); something live ends our pause, not theirs."""
        now = time.monotonic()
        remaining = self._pause_until - now
        if remaining <= 0 and self._live_somewhere is not None and now - self._bulk[0].since < BULK_PATIENCE_S and self._live_somewhere():
            remaining = LOOK_S
        if remaining <= 0 or self._closing:
            return True
        with contextlib.suppress(queue.Empty):
            self._take_in(self._inbox.get(timeout=remaining))
        return False

    def _gather(self) -> None:
        """While callers come side by side, let some more come: see the module's text."""
        remaining = self._gather_until - time.monotonic()
        if remaining > 0 and not self._closing and sum(entry.size for entry in (*self._live, *self._bulk)) < GATHER_ENOUGH:
            time.sleep(remaining)  # not on the inbox: it would wake this thread for each of them
            self._empty_inbox()

    def _refuse_all(self) -> None:
        entries = [*self._live, *self._bulk]
        self._live.clear()
        self._bulk.clear()
        for entry in entries:
            entry.error = CLOSED.error()
        self._tell(entries)

    def _next_group(self) -> list[Entry]:
        if not self._live:
            return take(self._bulk, max(1, min(self._max_group, self._pace.units_in(self._bulk_lock_s, at_least=BULK_AT_LEAST))))
        cap = max(1, min(self._max_group, self._pace.units_in(self._target_lock_s)))
        group = take(self._live, cap)
        if self._bulk and time.monotonic() - self._bulk[0].since > BULK_PATIENCE_S:
            group += take(self._bulk, max(1, cap // 4))
        return group

    def _settle(self, entries: list[Entry]) -> None:
        """Do a group, whatever it takes, and tell its callers."""
        failure = self._attempt(entries)
        if failure is not None and self._begun and len(entries) > 1:  # without a database they would only fail singly
            self.statistics.redone += 1
            self._one_by_one(entries)
        self._tell(entries)
        ended = time.monotonic()
        bulk = any(entry.bulk for entry in entries)
        small = not bulk and len(entries) > 1 and sum(entry.size for entry in entries) < GATHER_ENOUGH
        self._gather_until = ended + self._gather_s if small else 0.0
        if bulk:
            self._pause_until = ended + self._bulk_pause_s

    def _one_by_one(self, entries: list[Entry]) -> None:
        in_vain = 0
        for entry in entries:
            entry.error = entry.result = None
        for index, entry in enumerate(entries):
            failure = self._attempt([entry])
            in_vain = in_vain + 1 if isinstance(failure, LedgerUnavailable) else 0
            if in_vain == GIVE_UP_AFTER:
                for rest in entries[index + 1 :]:
                    rest.error = failure
                return

    def _attempt(self, entries: list[Entry]) -> BaseException | None:
        """One transaction, repeated while that makes sense. Fills in results or errors; returns what made a group fail *as a group*."""
        contended = lost = 0
        while True:
            try:
                results = self._transact(entries)
            except _CommitUnknown as error:
                self.statistics.commits_unknown += 1
                for entry in entries:
                    entry.error = COMMIT_UNKNOWN.error()
                    entry.error.__cause__ = error.__cause__
                return None  # never redone: it may have been done
            except BaseException as error:
                failure = classify(error)
                if failure.kind is Kind.LOST and lost + 1 < LOST_TRIES:
                    lost += 1
                elif failure.kind is Kind.CONTENTION and contended + 1 < CONTENTION_TRIES:
                    contended += 1
                    time.sleep(random.uniform(0, 0.002 * 2**contended))  # noqa: S311
                else:
                    mine = _for_callers(error, failure)
                    for entry in entries:
                        entry.error = mine
                    return mine
                self.statistics.repeated += 1
            else:
                for entry, result in zip(entries, results, strict=True):
                    if isinstance(result, BaseException):
                        entry.error = result
                    else:
                        entry.result = result
                return None

    def _transact(self, entries: list[Entry]) -> Sequence[Any]:
        self._begun = False
        started = time.monotonic()
        locked = worked = ended = 0.0
        committed = False
        try:
            if self._session is None:
                self._session = self._engine.session()
            session = self._session
            now = session.begin(bulk=all(entry.bulk for entry in entries))
            self._begun = True
            locked = time.monotonic()
            results = self._run_group(session.connection, [entry.operation for entry in entries], now)
            if len(results) != len(entries):
                raise RuntimeError(f"{len(entries)} operations, but {len(results)} results")
            worked = time.monotonic()
            self._commit(session)
            committed = True
            return results
        except BaseException as error:
            self._roll_back(error)
            raise
        finally:
            ended = time.monotonic()
            if locked:
                self._count(entries, committed, locked - started, (worked or ended) - locked, ended - (worked or ended))

    def _commit(self, session: Session) -> None:
        try:
            session.commit()
        except Exception as error:
            failure = classify(error)
            if failure.kind is Kind.LOST or failure.code in {"ledger-io", "ledger-timeout"}:
                raise _CommitUnknown from error
            raise

    def _roll_back(self, error: BaseException) -> None:
        if self._session is None:
            return
        failure = classify(error)
        if isinstance(error, _CommitUnknown) or failure.kind is Kind.LOST or failure.code in {"ledger-io", "ledger-corrupt"}:
            self._drop_session()
            return
        try:
            self._session.rollback()
        except Exception:  # what cannot be rolled back is closed: the database then rolls back by itself
            self._drop_session()

    def _drop_session(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            with contextlib.suppress(Exception):  # it is given up, in whatever state it is
                session.close()

    def _count(self, entries: list[Entry], committed: bool, wait_s: float, work_s: float, commit_s: float) -> None:
        units = sum(entry.size for entry in entries)
        if committed:
            self._pace.learn(units, work_s, commit_s)
        totals = self.statistics
        totals.groups += 1
        totals.operations += len(entries)
        totals.units += units
        totals.lock_s += work_s + commit_s
        totals.longest_lock_s = max(totals.longest_lock_s, work_s + commit_s)
        if self._on_group is not None:
            self._on_group(
                GroupRecord(
                    operations=len(entries),
                    units=units,
                    bulk=entries[0].bulk,
                    committed=committed,
                    wait_s=wait_s,
                    work_s=work_s,
                    commit_s=commit_s,
                    waiting=self.queue_length,
                )
            )

    def _tell(self, entries: list[Entry]) -> None:
        loops: dict[asyncio.AbstractEventLoop, list[Entry]] = {}
        for entry in entries:
            loops.setdefault(entry.loop, []).append(entry)
        for loop, told in loops.items():
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(resolve_all, told)


def _for_callers(error: BaseException, failure: Failure) -> BaseException:
    """What the callers get for ``error``: texts of drivers hold values of rows, so they are replaced."""
    if isinstance(error, StopIteration):  # a future does not take it
        return RuntimeError("an operation raised StopIteration")
    if failure.kind is Kind.FOREIGN:
        return error
    translated = (CONTENTION if failure.kind is Kind.CONTENTION else failure).error()
    translated.__cause__ = error
    return translated
