"""A town whose gateway has three parties on the Juki-net's side, all of them in one world."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from simulators.harness.town import Plan, Town
from tests.world.kit import PARTIES, TYPES, Whole


@pytest.fixture(scope="module")
async def town(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    plan = Plan(
        workers=1, population=40, city_seed=3, inbound=True, parties=PARTIES, types=TYPES, acknowledge_s=2.0,
        retry={"first_s": 0.2, "longest_s": 1.0, "budget": 40},
        simulator={"quiet_s": 0.5}, settings={"prefecture-server": {"quiet_s": 0.5}},
    )  # fmt: skip
    async with Town(tmp_path_factory.mktemp("world"), plan) as town:
        await town.start()
        yield town


@pytest.fixture
async def whole(town: Town) -> AsyncIterator[Whole]:
    """The town with a register at both ends."""
    found = Whole(town)
    await found.open_register()
    yield found
    await found.close_register()
