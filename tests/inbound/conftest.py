from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from certs.authority import TestAuthority
from certs.setup import ensure
from simulators.harness.town import Plan, Town
from tests.inbound.kit import Ends
from tests.support.broker import authority, broker_node, endpoint

__all__ = ["authority", "broker_node", "endpoint"]


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> TestAuthority:
    """Certificates of the register: fictitious."""
    return ensure(tmp_path_factory.mktemp("people"))


@pytest.fixture(scope="module")
async def town(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    """Everything real, as processes: gateway with its broker and ledger, and the city CS."""
    plan = Plan(
        workers=1, population=20, city_seed=3, inbound=True, acknowledge_s=2.0, retry={"first_s": 0.2, "longest_s": 1.0, "budget": 40}
    )
    async with Town(tmp_path_factory.mktemp("inbound"), plan) as town:
        await town.start()
        yield town


@pytest.fixture
async def ends(town: Town) -> AsyncIterator[Ends]:
    """A register at its queue."""
    found = Ends(town)
    await found.open_register()
    yield found
    await found.close_register()
