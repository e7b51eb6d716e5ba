from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.network.kit import Line, running
from tests.support.postgres import ledger_url, postgres_server, postgres_url

__all__ = ["ledger_url", "line", "postgres_server", "postgres_url"]


@pytest.fixture(scope="package")
async def line(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Line]:
    """The gateway as processes, the parties and our systems' ends in here."""
    async with running(tmp_path_factory.mktemp("network")) as found:
        yield found
