from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from simulators.convenience.world import holders
from simulators.harness.convenience import ConvenienceTown
from simulators.harness.town import Plan
from tests.convenience.kit import ANSWER_S, PEOPLE, Ends


@pytest.fixture(scope="session")
async def town(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ConvenienceTown]:
    """Gateway, broker and ledger as processes; everybody's cards and data are with the issuing system."""
    plan = Plan(workers=1, inbound=True, acknowledge_s=2.0, answer_s=ANSWER_S, retry={"first_s": 0.2, "longest_s": 1.0, "budget": 1000})
    async with ConvenienceTown(tmp_path_factory.mktemp("convenience"), plan) as town:
        await town.start()
        found = Ends(town)
        await found.open()
        await town.populate(tuple(holders(PEOPLE)))
        await found.until_delivered()
        await found.close()
        yield town


@pytest.fixture
async def ends(town: ConvenienceTown) -> AsyncIterator[Ends]:
    """Issuing system, family register and centre."""
    found = Ends(town)
    await found.open()
    yield found
    await found.close()
