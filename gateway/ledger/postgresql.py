"""The ledger on PostgreSQL (psycopg 3): for several machines (R21).

READ COMMITTED; the start is refused where the server would answer before data is on disk. A process frozen within a transaction is thrown
out by the server after two seconds, so that its locks stop nobody. BEGIN and the server's clock come in one round trip.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Final

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import URL, Connection, create_engine, event
from sqlalchemy.pool import NullPool, QueuePool

from gateway.errors import ConfigurationError
from gateway.ledger.backend import Dialect, TransactionGone

MIGRATION_LOCK: Final = 0x52656E6B6569
"""Key of the advisory lock that a migration holds ("Renkei")."""

_BEGIN: Final = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SELECT extract(epoch FROM clock_timestamp())::float8"
_CONNECT: Final = {
    "connect_timeout": "3",
    "application_name": "renkei",
    # A peer that vanished without a word is noticed after about five seconds.
    "keepalives_idle": "2",
    "keepalives_interval": "1",
    "keepalives_count": "3",
    "tcp_user_timeout": "5000",
}
_SESSION: Final = {
    "idle_in_transaction_session_timeout": "2s",
    "lock_timeout": "5s",
    "statement_timeout": "30s",
    "timezone": "UTC",
    "client_min_messages": "warning",
}


def _set_up(driver: psycopg.Connection[Any]) -> None:
    autocommit = driver.autocommit
    driver.autocommit = True
    rows = driver.execute(
        "SELECT name, setting FROM pg_settings WHERE name IN ('fsync', 'synchronous_commit', 'full_page_writes')"
    ).fetchall()
    settings = dict(rows)
    for name, setting in settings.items():
        if setting == "off":
            raise ConfigurationError(
                f"ledger-{name.replace('_', '-')}-off", f"PostgreSQL runs with {name} = off and would lose accepted messages: set it to on"
            )
    if len(settings) != 3:
        raise ConfigurationError("ledger-settings-hidden", "PostgreSQL does not show its durability settings to the gateway's user")
    for name, value in _SESSION.items():
        driver.execute("SELECT set_config(%s, %s, false)", (name, value))
    driver.autocommit = autocommit


class PostgresqlSession:
    """The writer's connection. One thread."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        driver = connection.connection.driver_connection
        if not isinstance(driver, psycopg.Connection):
            raise TypeError("the engine is not of psycopg")
        self._driver: psycopg.Connection[Any] = driver

    @property
    def connection(self) -> Connection:
        return self._connection

    def begin(self, *, bulk: bool = False) -> float:
        # Two statements in one message of the simple protocol: one round trip. It cannot be prepared.
        cursor = self._driver.execute(_BEGIN, prepare=False)
        cursor.nextset()
        row = cursor.fetchone()
        if row is None:
            raise psycopg.OperationalError("the server did not tell the time")
        self._connection.begin()  # tells SQLAlchemy; in autocommit mode the driver sends nothing
        return float(row[0])

    def commit(self) -> None:
        # COMMIT of a failed transaction is answered by a polite ROLLBACK and no error at all.
        if self._driver.pgconn.transaction_status != TransactionStatus.INTRANS:
            raise TransactionGone
        self._connection.commit()

    def rollback(self) -> None:
        self._connection.rollback()
        if self._driver.pgconn.transaction_status != TransactionStatus.IDLE:
            self._driver.rollback()

    def close(self) -> None:
        self._connection.invalidate()
        self._connection.close()


class PostgresqlBackend:
    """``url`` is SQLAlchemy's; the password may come from libpq's password file."""

    dialect: Dialect = "postgresql"

    def __init__(self, url: URL, *, readers: int) -> None:
        url = url.set(drivername="postgresql+psycopg")
        self._writers = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT", hide_parameters=True, connect_args=_CONNECT)
        self.readers = create_engine(
            url,
            poolclass=QueuePool,
            pool_size=readers,
            max_overflow=0,
            isolation_level="REPEATABLE READ",
            execution_options={"postgresql_readonly": True},
            hide_parameters=True,
            connect_args=_CONNECT,
        )
        for engine in (self._writers, self.readers):
            event.listen(engine, "connect", lambda driver, _: _set_up(driver))

    def session(self) -> PostgresqlSession:
        return PostgresqlSession(self._writers.connect())

    @contextlib.contextmanager
    def migration_lock(self) -> Iterator[None]:
        with self._writers.connect() as connection:
            connection.exec_driver_sql("SET lock_timeout = 0")
            connection.exec_driver_sql("SET statement_timeout = 0")
            connection.exec_driver_sql("SELECT pg_advisory_lock(%s)", (MIGRATION_LOCK,))
            try:
                yield
            finally:
                connection.exec_driver_sql("SELECT pg_advisory_unlock(%s)", (MIGRATION_LOCK,))

    def close(self) -> None:
        self.readers.dispose()
        self._writers.dispose()
