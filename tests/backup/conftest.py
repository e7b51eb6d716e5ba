"""Ledgers for the tests of backup and restore."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.backup.kit import Town
from tests.support.postgres import ledger_url, postgres_server, postgres_url

__all__ = ["ledger_url", "postgres_server", "postgres_url", "town"]


@pytest.fixture
async def town(tmp_path: Path, ledger_url: str) -> AsyncIterator[Town]:
    made = await Town.open(tmp_path, ledger_url)
    yield made
    await made.close()
