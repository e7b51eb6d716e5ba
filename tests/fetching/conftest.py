from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from simulators.harness.town import Plan, Town
from tests.fetching.kit import IMMIGRATION, PORTAL, REGISTER, Mailboxes
from tests.support.broker import until
from tests.support.business_time import begin_on_a_working_day


@pytest.fixture(scope="module")
async def town(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    """Everything real, as processes: gateway with broker and ledger, city CS, the residence card issuing system."""
    folder = tmp_path_factory.mktemp("fetching")
    further = {
        "profile": "test",
        "links": {"look_s": 0.3, "lag_s": 600, "parties": {IMMIGRATION: 2}},
        "feeds": {
            "linkage": {"party": REGISTER, "type": "number-linkage-feed", "at": "03:00", "grace_s": 600},
            "immigration-daily": {"party": IMMIGRATION, "grace_s": 600, "empty": "anomaly"},
        },
    }
    plan = Plan(
        workers=1, population=20, city_seed=3, inbound=True, mailboxes=(IMMIGRATION, PORTAL), further=further, acknowledge_s=2.0,
        more_parties={"gateway-operators": {"adapter": "operators", "queue": {"keys": str(folder / "register.jwks")}}},
        retry={"first_s": 0.2, "longest_s": 1.0, "budget": 40},
    )  # fmt: skip
    async with Town(folder, plan) as town:
        await asyncio.to_thread(begin_on_a_working_day, town)  # what is due when must not depend on the hour of the run
        await town.start()
        yield town


@pytest.fixture
async def ends(town: Town) -> AsyncIterator[Mailboxes]:
    """A register at its queue; the first run, of the day on which the gateway was started, is over."""
    found = Mailboxes(town)
    await found.open_register()
    await until(lambda: bool(runs := found.runs()) and runs[-1]["ended_at"] is not None, 40)
    yield found
    await found.close_register()


@pytest.fixture
async def portal(ends: Mailboxes) -> Mailboxes:
    """The same, looking at the portal."""
    return replace(ends, party=PORTAL)
