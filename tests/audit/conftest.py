"""Databases for the tests of the audit chain."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.audit.kit import Record
from tests.support.postgres import ledger_url, postgres_server, postgres_url

__all__ = ["ledger_url", "postgres_server", "postgres_url", "record"]


@pytest.fixture
async def record(ledger_url: str, tmp_path: Path) -> AsyncIterator[Record]:
    """A ledger with a process that chains, on each kind of database."""
    found = await Record.open(ledger_url, tmp_path)
    yield found
    await found.close()


@pytest.fixture
async def small(tmp_path: Path) -> AsyncIterator[Record]:
    """The same on SQLite alone, where the database makes no difference."""
    found = await Record.open(f"sqlite:///{tmp_path}/ledger/ledger.db", tmp_path)
    yield found
    await found.close()
