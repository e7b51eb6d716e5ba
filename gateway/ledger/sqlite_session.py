"""A writer's connection to SQLite: its settings, its turn among the processes of one machine, its transactions (R21).

Settings: WAL with ``synchronous=FULL``, so that a commit is on disk when it returns; ``secure_delete``, so that what was deleted is
overwritten; foreign keys; no implicit transactions of the driver. Writers take the lock with ``BEGIN IMMEDIATE`` and try again every
millisecond: the busy time-out of SQLite sleeps up to 100 ms between tries.

**Taking turns.** Trying again is not fair: a process that commits without a pause has the lock again before the others have looked.
So whoever waits stands in a *turnstile* (an advisory lock on a file beside the database) which everybody passes before
``BEGIN IMMEDIATE``. It only orders: nobody waits at it for longer than ``TURN_S``, so that a frozen process stops nobody there.

**Bulk groups** (I4) go one after the other over all processes (a second advisory lock, held until the commit), and do not stand in the
turnstile while they wait: something live in any process finds at most one of them before it. After ``BULK_TURN_S`` they queue like the
rest.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from pathlib import Path
from typing import Any, Final, Literal

from sqlalchemy import Connection, Engine

from gateway.errors import ConfigurationError
from gateway.ledger.backend import TransactionGone
from gateway.ledger.failures import LOCKED, classify

RETRY_S: Final = 0.001
TURN_RETRY_S: Final = 0.0002
"""Whoever stands in the turnstile is the only one that tries, and may try more often."""
TURN_S: Final = 0.015
"""How long to wait at the turnstile: a lock is held for 10 ms (R21), so longer means that who stands in it is frozen."""
BULK_TURN_S: Final = 0.1
"""How long a bulk group stands back for live ones of other processes, so that it does not starve."""
WRITER_CACHE_BYTES: Final = 4 * 1024 * 1024
READER_CACHE_BYTES: Final = 512 * 1024
"""Of pages, for each connection: what one transaction works on. Longer they are of no use, since whatever another process commits makes
them void, and the kernel has them as well."""
WRITER_STATEMENTS: Final = 128
READER_STATEMENTS: Final = 16
"""Prepared statements that a connection keeps, each with the values that were last bound to it: what looks for many ids at once, in ever
other numbers, takes some 50 KB each."""


def set_up(driver: sqlite3.Connection, *, read_only: bool) -> None:
    """A new connection's settings. :raises ConfigurationError: ``ledger-no-wal``."""
    cursor = driver.cursor()
    cursor.execute("PRAGMA busy_timeout = 5000")  # for the statements below; entering WAL mode takes a lock
    mode = cursor.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise ConfigurationError("ledger-no-wal", "the disk of the ledger does not support SQLite's write-ahead log: use a local disk")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA secure_delete = ON")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute("PRAGMA wal_autocheckpoint = 0")
    cursor.execute(f"PRAGMA cache_size = -{(READER_CACHE_BYTES if read_only else WRITER_CACHE_BYTES) // 1024}")
    cursor.execute("PRAGMA trusted_schema = OFF")
    if read_only:
        cursor.execute("PRAGMA query_only = ON")
        cursor.execute("PRAGMA busy_timeout = 2000")  # a reader waits only for recovery after a crash
    else:
        cursor.execute("PRAGMA busy_timeout = 0")
    cursor.close()


class Turnstile:
    """See the module's text. Not for several threads."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def enter(self) -> bool:
        """Wait for our turn, at most ``TURN_S``; False if it did not come."""
        return self.enter_until(time.monotonic() + TURN_S)

    def try_enter(self) -> bool:
        """Our turn, if nobody stands in it."""
        return try_lock(self._descriptor)

    def enter_until(self, deadline: float) -> bool:
        """:meth:`enter`, until a moment of the monotonic clock."""
        while not try_lock(self._descriptor):
            if time.monotonic() > deadline:
                return False
            time.sleep(TURN_RETRY_S)
        return True

    def leave(self) -> None:
        """Let the next one in."""
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        os.close(self._descriptor)


def _driver_of(connection: Connection) -> sqlite3.Connection:
    driver: Any = connection.connection.driver_connection
    if not isinstance(driver, sqlite3.Connection):
        raise TypeError("not a connection to SQLite")
    return driver


def try_lock(descriptor: int) -> bool:
    """Take an advisory lock on an open file, if nobody holds it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class SqliteSession:
    """The writer's connection. One thread."""

    def __init__(self, engine: Engine, turnstile: Path, lock_wait_s: float) -> None:
        self._turnstile = Turnstile(turnstile)
        self._bulk_turn = Turnstile(turnstile.with_name(f"{turnstile.name}-bulk"))
        try:
            self._connection = engine.connect()
        except BaseException:
            self._turnstile.close()
            self._bulk_turn.close()
            raise
        self._driver = _driver_of(self._connection)
        self._lock_wait_s = lock_wait_s

    @property
    def connection(self) -> Connection:
        return self._connection

    def begin(self, *, bulk: bool = False) -> float:
        if not (bulk and self._begin_behind()):
            self._begin_in_turn()
        self._connection.begin()  # tells SQLAlchemy; the driver itself sends nothing
        return time.time()

    def _begin_behind(self) -> bool:
        """Begin when nobody else wants to, and no other bulk group is under way; False: it did not come to that in time."""
        deadline = time.monotonic() + BULK_TURN_S
        alone = self._bulk_turn.enter_until(deadline)
        try:
            while time.monotonic() < deadline:
                if self._turnstile.try_enter():
                    try:
                        if self._try_begin():
                            return True
                    finally:
                        self._turnstile.leave()
                time.sleep(RETRY_S)
        except BaseException:
            if alone:
                self._bulk_turn.leave()
            raise
        return False

    def _begin_in_turn(self) -> None:
        deadline = time.monotonic() + self._lock_wait_s
        turn = self._turnstile.enter()
        try:
            while not self._try_begin():
                if time.monotonic() > deadline:
                    raise LOCKED.error()
                time.sleep(TURN_RETRY_S if turn else RETRY_S)
        finally:
            if turn:
                self._turnstile.leave()

    def _try_begin(self) -> bool:
        try:
            self._driver.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if classify(error) is LOCKED:
                return False
            raise
        return True

    def commit(self) -> None:
        if not self._driver.in_transaction:
            raise TransactionGone
        self._connection.commit()
        self._bulk_turn.leave()

    def rollback(self) -> None:
        try:
            self._connection.rollback()
            if self._driver.in_transaction:
                self._driver.rollback()
        finally:
            self._bulk_turn.leave()

    def leave_a_frame(self) -> None:
        """Commit a write that means nothing, so that the log holds something that is not copied yet. For the checkpointer."""
        self.begin()
        try:
            number = self._driver.execute("PRAGMA user_version").fetchone()[0]
            self._driver.execute(f"PRAGMA user_version = {(number + 1) % 2**31}")
        finally:
            self._connection.commit()

    def checkpoint(self, mode: Literal["PASSIVE", "TRUNCATE"]) -> bool:
        """Copy the log into the database; False if not all of it could be. For the checkpointer."""
        turn = mode == "TRUNCATE" and self._turnstile.enter()  # it needs the writers' lock
        try:
            self._driver.execute("PRAGMA busy_timeout = 30")
            busy, log_frames, copied_frames = self._driver.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
        finally:
            self._driver.execute("PRAGMA busy_timeout = 0")
            if turn:
                self._turnstile.leave()
        return not busy and log_frames == copied_frames

    def close(self) -> None:
        self._connection.invalidate()
        self._connection.close()
        self._turnstile.close()
        self._bulk_turn.close()


def beside(path: Path, suffix: str) -> Path:
    """The lock file ``<database>-<suffix>``."""
    return Path(f"{path}-{suffix}")
