"""What a failure of the database means: one table from the drivers' codes to our error tree.

Texts of drivers are never passed on: PostgreSQL quotes values of rows in them (I5). The original exception stays reachable as the
``__cause__`` for a debugger; the log shows its class only.
"""

from __future__ import annotations

import enum
import sqlite3
from dataclasses import dataclass
from typing import Final

import psycopg
from sqlalchemy import exc as sa_exc

from gateway.errors import GatewayError, LedgerUnavailable


class Kind(enum.Enum):
    """What to do about a failure."""

    CONTENTION = "contention"
    """Nothing is wrong: repeat the whole transaction (deadlock, serialization)."""
    LOST = "lost"
    """The connection is gone; before COMMIT was sent nothing has happened, so repeat on a new one."""
    UNAVAILABLE = "unavailable"
    """The database cannot serve now: disk full, locked, I/O error, corrupt."""
    STATEMENT = "statement"
    """The fault of one operation: constraint, type, syntax; redo one by one (R20)."""
    FOREIGN = "foreign"
    """Not of the database at all."""


class OperationFailed(GatewayError):
    """One operation violates the schema; it fails alone and trying again does not help. Our fault, a bug."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A classified failure; ``code`` is stable and documented."""

    kind: Kind
    code: str
    detail: str

    def error(self) -> GatewayError:
        """The exception for a caller of the ledger; not for FOREIGN."""
        if self.kind is Kind.STATEMENT:
            return OperationFailed(self.code, self.detail)
        return LedgerUnavailable(self.code, self.detail)


COMMIT_UNKNOWN: Final = Failure(
    kind=Kind.LOST, code="commit-unknown", detail="the outcome of the commit is not known: read the ledger before going on"
)
CONTENTION: Final = Failure(kind=Kind.CONTENTION, code="ledger-contended", detail="the ledger kept refusing the transaction: deadlock")
LOST: Final = Failure(kind=Kind.LOST, code="ledger-connection-lost", detail="the connection to the ledger's database was lost")
UNREACHABLE: Final = Failure(kind=Kind.LOST, code="ledger-unreachable", detail="the ledger's database does not answer")
CLOSED: Final = Failure(kind=Kind.UNAVAILABLE, code="ledger-closed", detail="the ledger is closed in this process")
LOCKED: Final = Failure(kind=Kind.UNAVAILABLE, code="ledger-locked", detail="another process keeps the ledger's database locked")
_DISK_FULL: Final = Failure(kind=Kind.UNAVAILABLE, code="ledger-disk-full", detail="the disk of the ledger is full")
_IO: Final = Failure(kind=Kind.UNAVAILABLE, code="ledger-io", detail="the disk of the ledger reports an error")
_CORRUPT: Final = Failure(
    kind=Kind.UNAVAILABLE, code="ledger-corrupt", detail="the ledger's database is damaged: stop, keep the files, restore from backup"
)
_READ_ONLY: Final = Failure(kind=Kind.UNAVAILABLE, code="ledger-read-only", detail="the ledger's database cannot be written")
_TIMEOUT: Final = Failure(kind=Kind.UNAVAILABLE, code="ledger-timeout", detail="the ledger's database took too long for one statement")
_RESOURCES: Final = Failure(
    kind=Kind.UNAVAILABLE, code="ledger-resources", detail="the ledger's database is short of memory or connections"
)
_CONSTRAINT: Final = Failure(kind=Kind.STATEMENT, code="ledger-constraint", detail="an operation violates a constraint of the ledger")
_STATEMENT: Final = Failure(kind=Kind.STATEMENT, code="ledger-statement", detail="the database refuses a statement of an operation")
_NO_SCHEMA: Final = Failure(kind=Kind.STATEMENT, code="ledger-schema", detail="a table of the ledger is missing: run the migration")
_FOREIGN: Final = Failure(kind=Kind.FOREIGN, code="foreign", detail="not of the database")

# Primary result codes of SQLite (the low byte of the extended code).
_SQLITE: Final = {
    sqlite3.SQLITE_BUSY: LOCKED,
    sqlite3.SQLITE_LOCKED: LOCKED,
    sqlite3.SQLITE_NOMEM: _RESOURCES,
    sqlite3.SQLITE_READONLY: _READ_ONLY,
    sqlite3.SQLITE_IOERR: _IO,
    sqlite3.SQLITE_CORRUPT: _CORRUPT,
    sqlite3.SQLITE_NOTADB: _CORRUPT,
    sqlite3.SQLITE_FULL: _DISK_FULL,
    sqlite3.SQLITE_CANTOPEN: UNREACHABLE,
    sqlite3.SQLITE_PERM: _READ_ONLY,
    sqlite3.SQLITE_AUTH: _READ_ONLY,
    sqlite3.SQLITE_CONSTRAINT: _CONSTRAINT,
}

# SQLSTATE of PostgreSQL; the longest prefix wins.
_SQLSTATE: Final = {
    "40001": CONTENTION,
    "40P01": CONTENTION,
    "55P03": LOCKED,
    "08": LOST,
    "25P03": LOST,  # idle_in_transaction_session_timeout: this process was frozen within a transaction
    "57P": LOST,  # administrator's shutdown, crash, starting up
    "57014": _TIMEOUT,
    "25006": _READ_ONLY,
    "53100": _DISK_FULL,
    "53": _RESOURCES,
    "58": _IO,
    "XX001": _CORRUPT,
    "XX002": _CORRUPT,
    "23": _CONSTRAINT,
    "42P01": _NO_SCHEMA,
}


def classify(error: BaseException) -> Failure:
    """Say what ``error`` means, whether SQLAlchemy wrapped it or the driver raised it (as within a pipeline)."""
    original: BaseException | None = error.orig if isinstance(error, sa_exc.DBAPIError) else error
    if isinstance(original, sqlite3.Error):
        return _classify_sqlite(original)
    if isinstance(original, psycopg.Error):
        return _classify_postgresql(original)
    if isinstance(error, sa_exc.DBAPIError) and error.connection_invalidated:
        return LOST
    if isinstance(error, sa_exc.TimeoutError):
        return _RESOURCES
    if isinstance(error, sa_exc.SQLAlchemyError):
        return _STATEMENT
    return _FOREIGN


def _classify_sqlite(error: sqlite3.Error) -> Failure:
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:  # raised by the module itself: closed connection, wrong thread, a value that it cannot bind
        return _STATEMENT
    return _SQLITE.get(code & 0xFF, _STATEMENT)


def _classify_postgresql(error: psycopg.Error) -> Failure:
    state = error.sqlstate
    if isinstance(error, psycopg.errors.PipelineAborted):
        return _STATEMENT  # an earlier statement of the pipeline failed
    if state is None:
        # libpq itself: no server, or the connection was cut. A misuse of the driver is a ProgrammingError.
        return LOST if isinstance(error, psycopg.OperationalError) else _STATEMENT
    for length in (5, 3, 2):
        found = _SQLSTATE.get(state[:length])
        if found is not None:
            return found
    return _STATEMENT
