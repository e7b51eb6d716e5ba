"""The ledger on SQLite: one file on a local disk, shared by the processes of one machine (R21).

How its writers take turns stands in :mod:`gateway.ledger.sqlite_session`, how its log is kept short in :mod:`gateway.ledger.checkpoints`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from sqlalchemy import create_engine, event
from sqlalchemy.pool import NullPool, QueuePool

from gateway.errors import ConfigurationError
from gateway.ledger.backend import Dialect
from gateway.ledger.checkpoints import Checkpointer
from gateway.ledger.sqlite_session import READER_STATEMENTS, WRITER_STATEMENTS, SqliteSession, beside, set_up

_NETWORK_FILE_SYSTEMS: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "afs", "lustre", "gpfs", "ocfs2", "gfs2", "vboxsf"}
)


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
        event.listen(self._writers, "connect", lambda driver, _: set_up(driver, read_only=False))
        event.listen(self.readers, "connect", lambda driver, _: set_up(driver, read_only=True))
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
