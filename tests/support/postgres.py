"""Databases for tests: the fixture ``ledger_url`` gives a new ledger, once on SQLite and once on PostgreSQL.

Its tables are there already: they are made once for a process and copied (``empty_ledger_url`` is without them). It is not born yet: who
opens it first gives it its profile and its incarnation, as with an empty database.

Import the fixtures into a ``conftest.py``: ``from tests.support.postgres import ledger_url, postgres_server, postgres_url``.
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url

from gateway.ledger.engine import open_engine
from gateway.ledger.migrate import migrate
from gateway.ledger.tables import meta
from simulators.harness.postgres import PostgresServer

__all__ = ["PostgresServer", "empty_ledger_url", "ledger_url", "postgres_server", "postgres_url"]


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One server for the whole run. A test that stops or breaks it makes one of its own."""
    with PostgresServer() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """An empty database on the server of the run, dropped afterwards."""
    url = postgres_server.create_database()
    yield url
    name = make_url(url).database
    if name is None:
        raise AssertionError("a database without a name")
    postgres_server.drop_database(name)


KINDS = [pytest.param("sqlite", id="sqlite"), pytest.param("postgresql", id="postgresql", marks=pytest.mark.slow)]


@pytest.fixture(params=KINDS)
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a new ledger, for each kind of database."""
    if request.param == "sqlite":
        file = tmp_path / "ledger" / "ledger.db"
        file.parent.mkdir(mode=0o700)
        file.touch(mode=0o600)
        file.write_bytes(_sqlite_ledger())
        yield f"sqlite:///{file}"
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    url = server.create_database(template=_postgres_ledger(server))
    yield url
    server.drop_database(str(make_url(url).database))


@pytest.fixture(params=KINDS)
def empty_ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database, for each kind of database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ledger/ledger.db"
    url: str = request.getfixturevalue("postgres_url")
    return url


@functools.cache
def _sqlite_ledger() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        _make(f"sqlite:///{folder}/ledger/ledger.db")
        return (Path(folder) / "ledger" / "ledger.db").read_bytes()


@functools.cache
def _postgres_ledger(server: PostgresServer) -> str:
    name = "ledger_template"
    _make(server.create_database(name))
    return name


def _make(url: str) -> None:
    engine = open_engine(url)
    try:
        migrate(engine)
        session = engine.session()
        session.begin()
        session.connection.execute(meta.delete())
        session.commit()
        session.close()
    finally:
        engine.close_here()
