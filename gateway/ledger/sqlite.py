"""The ledger on SQLite: one file on a local disk, shared by the processes of one machine (R21).

Settings: WAL with ``synchronous=FULL``, so that a commit is on disk when it returns; ``secure_delete``, so that what was deleted is
overwritten; foreign keys; no implicit transactions of the driver. Writers take the lock with ``BEGIN IMMEDIATE`` and try again every
millisecond: the busy time-out of SQLite sleeps up to 100 ms between tries.

**Taking turns.** Trying again is not fair: a process that commits without a pause has the lock again before the others have looked.
So whoever waits stands in a *turnstile* (an advisory lock on a file beside the database) which everybody passes before
``BEGIN IMMEDIATE``. It only orders: nobody waits at it for longer than ``TURN_S``, so that a frozen process stops nobody there.

**Bulk groups** (I4) go one after the other over all processes (a second advisory lock, held until the commit), and do not stand in the
turnstile while they wait: something live in any process finds at most one of them before it. After ``BULK_TURN_S`` they queue like the
rest.

**Checkpoints.** Up to 3.51.2 SQLite has a race (its documentation calls it the WAL-reset bug): a checkpoint that starts when
everything is already copied, just while another connection starts the log anew, can later lose committed pages. Debian 12 has 3.40. We
exclude it: automatic checkpoints are off everywhere, one process at a time checkpoints (a lock file), and it first commits a write of
its own, so that the log can never be found completely copied. Checkpoints run in a thread beside the writer: first without blocking
anybody, then, when the log has grown or at intervals, truncating it (erasure must reach the log, too: section 8).
"""

from __future__ import annotations

import bisect
import contextlib
import fcntl
import logging
import os
import sqlite3
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import NullPool, QueuePool

from gateway.errors import ConfigurationError
from gateway.ledger.backend import Dialect, TransactionGone
from gateway.ledger.failures import LOCKED, classify

_log = logging.getLogger(__name__)

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
CHECKPOINT_BYTES: Final = 8 * 1024 * 1024
"""So much of the log that is not in the database yet is copied into it."""
TRUNCATE_BYTES: Final = 32 * 1024 * 1024
TRUNCATE_S: Final = 60.0
"""The log is truncated at this size, or when so long has passed since the last time (seconds)."""
_NETWORK_FILE_SYSTEMS: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "afs", "lustre", "gpfs", "ocfs2", "gfs2", "vboxsf"}
)


def _set_up(driver: sqlite3.Connection, *, read_only: bool) -> None:
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


class SqliteBackend:
    """Files: the database, ``-wal``, ``-shm``, and for locks ``-turn``, ``-turn-bulk``, ``-checkpoint``, ``-migration``; all 0600."""

    dialect: Dialect = "sqlite"

    def __init__(self, path: Path, *, readers: int, lock_wait_s: float) -> None:
        self._path = path
        self._lock_wait_s = lock_wait_s
        _prepare_files(path)
        arguments: dict[str, Any] = {"check_same_thread": False, "cached_statements": WRITER_STATEMENTS}
        url = f"sqlite+pysqlite:///{path}"
        self._writers = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT", hide_parameters=True, connect_args=arguments)
        self.readers = create_engine(
            url,
            poolclass=QueuePool,
            pool_size=readers,
            max_overflow=0,
            isolation_level="AUTOCOMMIT",
            hide_parameters=True,
            connect_args=arguments | {"cached_statements": READER_STATEMENTS},
        )
        event.listen(self._writers, "connect", lambda driver, _: _set_up(driver, read_only=False))
        event.listen(self.readers, "connect", lambda driver, _: _set_up(driver, read_only=True))
        event.listen(self.readers, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
        self._checkpointer = Checkpointer(path, self._writers, lock_wait_s)

    def session(self) -> SqliteSession:
        self._checkpointer.start()
        return SqliteSession(self._writers, beside(self._path, "turn"), self._lock_wait_s)

    def checkpoint(self) -> bool:
        """Copy the log into the database and truncate it now; False if a reader or another process was in the way. Blocks."""
        return self._checkpointer.run(truncate=True)

    def files(self) -> tuple[Path, ...]:
        """Database, log and its index."""
        return self._path, Path(f"{self._path}-wal"), Path(f"{self._path}-shm")

    @contextlib.contextmanager
    def migration_lock(self) -> Iterator[None]:
        descriptor = os.open(beside(self._path, "migration"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def close(self) -> None:
        self._checkpointer.stop()
        self.readers.dispose()
        self._writers.dispose()


class Checkpointer:
    """Keeps the write-ahead log short, in a thread of its own. See the module's text for why it writes first."""

    def __init__(self, path: Path, writers: Engine, lock_wait_s: float) -> None:
        self._path = path
        self._lock_wait_s = lock_wait_s
        self._wal = Path(f"{path}-wal")
        self._copied = (b"", 0)
        self._writers = writers
        self._stop = threading.Event()
        self._guard = threading.Lock()
        self._thread: threading.Thread | None = None
        self._truncated_at = time.monotonic()

    def start(self) -> None:
        with self._guard:
            if self._thread is None and not self._stop.is_set():
                self._thread = threading.Thread(target=self._loop, name="ledger-checkpoint", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        with self._guard:
            thread = self._thread
        if thread is not None:
            thread.join()

    def _loop(self) -> None:
        while not self._stop.wait(0.25):
            try:
                self.look()
            except Exception as error:
                # The writer meets the same fault and reports it to its callers; the log merely stays long meanwhile.
                _log.warning("ledger-checkpoint-failed", extra={"code": classify(error).code})

    def look(self) -> bool:
        """Copy the log if enough has come into it, or truncate it if it is time; True if all of it was copied."""
        size, log = self._size(), self._log()
        truncate = size > TRUNCATE_BYTES or (size > 0 and time.monotonic() - self._truncated_at > TRUNCATE_S)
        if not truncate and self._fresh(log) <= CHECKPOINT_BYTES:
            return False
        done = self.run(truncate=truncate)
        if done:
            self._copied = log
        return done

    def _size(self) -> int:
        try:
            return self._wal.stat().st_size
        except FileNotFoundError:
            return 0

    def _log(self) -> tuple[bytes, int]:
        """The log's salt, which changes when it is begun anew, and the bytes in it since then: the frames that bear its salt.

        From SQLite's description of its files (fileformat2.html, section 4); nobody locks this file, so it may be opened and closed.
        """
        try:
            with self._wal.open("rb", buffering=0) as wal:
                header, size = wal.read(32), os.fstat(wal.fileno()).st_size
                salt, frame_bytes = header[16:24], int.from_bytes(header[8:12]) + 24

                def old(frame: int) -> bool:
                    wal.seek(32 + frame * frame_bytes + 8)
                    return wal.read(8) != salt

                return salt, bisect.bisect_left(range((size - 32) // frame_bytes), True, key=old) * frame_bytes
        except FileNotFoundError:
            return b"", 0

    def _fresh(self, log: tuple[bytes, int]) -> int:
        """What is in the log and was not when this process last copied it, in bytes.

        A log does not shrink when it was copied, it is begun anew: by its size it would be copied four times a second for nothing.
        """
        return log[1] - (self._copied[1] if log[0] == self._copied[0] else 0)

    def run(self, *, truncate: bool) -> bool:
        descriptor = os.open(beside(self._path, "checkpoint"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if not try_lock(descriptor):
                return False  # another process is at it
            if truncate:
                self._truncated_at = time.monotonic()
            session = SqliteSession(self._writers, beside(self._path, "turn"), self._lock_wait_s)
            try:
                # Not blocking anybody: most of the work, and both fsyncs, are done here.
                session.leave_a_frame()
                done = session.checkpoint("PASSIVE")
                if truncate:
                    # Blocks writers, but little is left to copy. Falls back to a passive one when it does not get the lock, hence:
                    session.leave_a_frame()
                    done = session.checkpoint("TRUNCATE")
                return done
            finally:
                session.close()
        finally:
            os.close(descriptor)


def beside(path: Path, suffix: str) -> Path:
    """The lock file ``<database>-<suffix>``."""
    return Path(f"{path}-{suffix}")


def _prepare_files(path: Path) -> None:
    """Directory 0700 and file 0600, before SQLite makes them readable for others; log and index inherit the file's mode."""
    directory = path.parent
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if directory.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ConfigurationError(
            "ledger-directory-open", "others may write into the ledger's directory: make it 0700, owned by the gateway's user"
        )
    kind = file_system(directory)
    if kind in _NETWORK_FILE_SYSTEMS or kind.startswith("fuse."):
        raise ConfigurationError(
            "ledger-network-disk", f"SQLite loses data on a network file system ({kind}): use a local disk, or PostgreSQL for the ledger"
        )
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigurationError("ledger-file", "the ledger's file cannot be opened for writing: check its owner and mode") from error
    try:
        os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)


def file_system(path: Path, mounts: Path = Path("/proc/self/mountinfo")) -> str:
    """The type of the file system that ``path`` is on, from the kernel's mount table; empty where there is none to read."""
    real = path.resolve()
    best, kind = -1, ""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return kind
    for line in lines:
        before, _, after = line.partition(" - ")
        point = Path(before.split()[4].encode().decode("unicode_escape"))
        if len(point.parts) >= best and (real == point or point in real.parents):
            best, kind = len(point.parts), after.split()[0]
    return kind
