from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.in_house.kit import InHouse, set_up


@pytest.fixture(scope="package")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[InHouse]:
    """The gateway with its broker and ledger as processes; none of our systems runs yet."""
    found = await asyncio.to_thread(set_up, tmp_path_factory.mktemp("in-house"))
    async with found.town:
        found.town.gateway().start()
        await found.town.gateway_ready(90)
        yield found
        await found.close()
