"""What the ledger needs of a database: a writer's session and a pool of readers. SQLite and PostgreSQL each fill it in."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Literal, Protocol

from sqlalchemy import Connection, Engine

Dialect = Literal["sqlite", "postgresql"]


class Session(Protocol):
    """The writer's connection. Used by one thread."""

    @property
    def connection(self) -> Connection:
        """For statements between :meth:`begin` and :meth:`commit`; nobody else may commit it."""

    def begin(self, *, bulk: bool = False) -> float:
        """Start a transaction that may write and return ledger time (seconds since 1970 UTC, taken within it: R21).

        ``bulk``: where there is one lock for all, whoever is live in another process goes first, for a while.
        """

    def commit(self) -> None:
        """Commit; refuses a transaction that the database has already given up, where COMMIT would quietly do nothing."""

    def rollback(self) -> None:
        """Undo; a session that cannot even do that is closed by its owner."""

    def close(self) -> None:
        """Give the connection back to the system, whatever state it is in."""


class Backend(Protocol):
    """One kind of database."""

    @property
    def dialect(self) -> Dialect:
        """Its name, as SQLAlchemy calls it."""

    @property
    def readers(self) -> Engine:
        """Pool of connections that can only read; each transaction sees one snapshot."""

    def session(self) -> Session:
        """Open a writer's session. Blocks; raises what the driver raises, or ConfigurationError where the server would lose data."""

    def migration_lock(self) -> AbstractContextManager[None]:
        """Held while the schema is brought up to date, so that of several processes one does it (R21)."""

    def close(self) -> None:
        """Close everything; sessions are closed by their owners before."""


class TransactionGone(Exception):
    """The database gave the transaction up and an operation swallowed the error: nothing of it would be committed. A bug."""
