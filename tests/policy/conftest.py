"""Databases for the tests of the policy."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.policy.kit import Way
from tests.policy.kit import way as opened
from tests.support.postgres import ledger_url, postgres_server, postgres_url

__all__ = ["ledger_url", "postgres_server", "postgres_url", "way"]


@pytest.fixture
async def way(ledger_url: str, tmp_path: Path) -> AsyncIterator[Way]:
    """A door and a caller on a new ledger, on each kind of database."""
    async with opened(ledger_url, tmp_path, ("destination-information", "resident-record-system", "city-cs")) as made:
        yield made
