"""Databases for tests: the fixture ``ledger_url`` gives an empty one, once on SQLite and once on PostgreSQL.

Import the fixtures into a ``conftest.py``: ``from tests.support.postgres import ledger_url, postgres_server``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url

from simulators.harness.postgres import PostgresServer

__all__ = ["PostgresServer", "ledger_url", "postgres_server", "postgres_url"]


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


@pytest.fixture(params=[pytest.param("sqlite", id="sqlite"), pytest.param("postgresql", id="postgresql", marks=pytest.mark.slow)])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database, for each kind of database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ledger/ledger.db"
    url: str = request.getfixturevalue("postgres_url")
    return url
