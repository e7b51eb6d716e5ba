from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from message_formats import profiles
from simulators.harness.town import Plan, Town
from tests.outbound.kit import Register


@pytest.fixture(scope="module")
async def town(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    """Everything real, as processes: the gateway, and city CS, prefecture server and card management in one world."""
    sent = {each.type for name in ("juki_cs", "card_management") for each in profiles.get(name).operations if each.outbound}
    plan = Plan(
        workers=1, population=0, parties=("city-cs", "prefecture-server", "card-management-system"), types=tuple(sorted(sent)),
        records_per_call=20, retry={"first_s": 0.2, "longest_s": 1.0, "budget": 40},
    )  # fmt: skip
    async with Town(tmp_path_factory.mktemp("outbound"), plan) as town:
        await town.start()
        yield town


@pytest.fixture
async def register(town: Town) -> AsyncIterator[Register]:
    """A register at the gateway's door."""
    async with Register(town) as found:
        yield found
