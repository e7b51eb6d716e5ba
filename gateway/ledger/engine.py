"""The database of the ledger: opening it, and reading from it.

``open_engine(url)`` gives a :class:`LedgerEngine`; what is written goes through :class:`gateway.ledger.writer.Writer`, what is read
through :meth:`LedgerEngine.read` on connections of its own, so that readers never wait for the writer nor stop it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import psycopg
from sqlalchemy import Connection, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from gateway.errors import ConfigurationError
from gateway.ledger.backend import Backend, Dialect, Session
from gateway.ledger.failures import CLOSED, UNREACHABLE, Kind, classify
from gateway.ledger.postgresql import PostgresqlBackend
from gateway.ledger.sqlite import SqliteBackend

T = TypeVar("T")


class LedgerEngine:
    """One process's access to the ledger's database. Thread-safe, except that a session belongs to the thread that uses it."""

    def __init__(self, backend: Backend, *, readers: int) -> None:
        self._backend = backend
        self._pool = ThreadPoolExecutor(max_workers=readers, thread_name_prefix="ledger-read")
        self._closed = False

    @property
    def dialect(self) -> Dialect:
        """``sqlite`` or ``postgresql``."""
        return self._backend.dialect

    @property
    def backend(self) -> Backend:
        """For migration and maintenance."""
        return self._backend

    def session(self) -> Session:
        """Open a connection that may write; for the writer and migrations only. Raises LedgerUnavailable, ConfigurationError."""
        if self._closed:
            raise CLOSED.error()
        try:
            return self._backend.session()
        except DBAPIError as error:
            failure = classify(error)
            raise (UNREACHABLE if failure.kind is Kind.LOST else failure).error() from error

    async def read(self, fn: Callable[[Connection], T]) -> T:
        """Run ``fn`` on a reading connection in a thread; everything it reads is of one moment. ``fn`` must not block for anything else.

        Raises LedgerUnavailable when the database cannot be read. Cancelling the caller does not stop the query.
        """
        if self._closed:
            raise CLOSED.error()
        return await asyncio.get_running_loop().run_in_executor(self._pool, self.read_here, fn)

    def read_here(self, fn: Callable[[Connection], T]) -> T:
        """As :meth:`read`, in the calling thread (it blocks: not on an event loop)."""
        for attempt in (1, 2):
            try:
                with self._backend.readers.connect() as connection:
                    connection.begin()
                    try:
                        return fn(connection)
                    finally:
                        if not connection.invalidated:
                            connection.rollback()
            except (DBAPIError, psycopg.Error) as error:
                failure = classify(error)
                if failure.kind in {Kind.LOST, Kind.CONTENTION} and attempt == 1:
                    continue  # reading twice harms nobody; the pool has dropped its dead connections
                raise failure.error() from error
        raise AssertionError("unreachable")

    def files(self) -> tuple[Path, ...]:
        """The files of the database on this disk; none on PostgreSQL."""
        return self._backend.files() if isinstance(self._backend, SqliteBackend) else ()

    def checkpoint(self) -> bool:
        """Copy SQLite's log into the database and truncate it; False if a reader or another process was in the way. Blocks."""
        return self._backend.checkpoint() if isinstance(self._backend, SqliteBackend) else True

    async def close(self) -> None:
        """Close readers and files. Close the writer first."""
        self._closed = True
        await asyncio.get_running_loop().run_in_executor(None, self.close_here)

    def close_here(self) -> None:
        """As :meth:`close`, in the calling thread."""
        self._closed = True
        self._pool.shutdown(wait=True)
        self._backend.close()


def open_engine(url: str, *, readers: int = 3, lock_wait_s: float = 5.0) -> LedgerEngine:
    """Open the ledger's database.

    Args:
        url: ``sqlite:///relative/or//absolute/path`` or ``postgresql://user@host/database``.
        readers: connections and threads for reading.
        lock_wait_s: SQLite: how long to try for the lock before answering ``ledger-locked``, in seconds.

    Raises:
        ConfigurationError: the URL, the file's place or the server's settings do not do. PostgreSQL is first contacted by
            :meth:`LedgerEngine.session` or :meth:`LedgerEngine.read`.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ConfigurationError("ledger-url", "ledger.url is not a database address such as sqlite:///var/ledger/ledger.db") from error
    match parsed.get_backend_name():
        case "sqlite":
            if not parsed.database or parsed.database == ":memory:":
                raise ConfigurationError("ledger-url", "ledger.url names no file: SQLite in memory keeps nothing")
            return LedgerEngine(SqliteBackend(Path(parsed.database), readers=readers, lock_wait_s=lock_wait_s), readers=readers)
        case "postgresql":
            return LedgerEngine(PostgresqlBackend(parsed, readers=readers), readers=readers)
        case other:
            raise ConfigurationError("ledger-url", f"the ledger runs on SQLite or PostgreSQL, not on {other}")


@contextlib.contextmanager
def pipelined(connection: Connection) -> Iterator[None]:
    """Send the statements of the block without waiting for each answer (PostgreSQL's pipeline mode; nothing special on SQLite).

    Only for statements whose result nobody reads, neither rows nor row counts. An error of any of them is raised at the end of the block,
    by the driver (the writer knows it all the same).
    """
    driver: Any = connection.connection.driver_connection
    if not isinstance(driver, psycopg.Connection):
        yield
        return
    with driver.pipeline():
        yield
