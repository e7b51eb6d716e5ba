"""A kill between every two steps of a notice: it is in the register once, and what the city CS was told is true.

The steps: the memory of replays, acceptance, claim, queue, outcome of the call, the register's own steps, the acknowledgement, the end. A
process of the gateway ends itself with SIGKILL exactly there (``planted/``); the register dies in this process.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from simulators.harness.town import Plan, Town
from tests.inbound.kit import Ends, notice
from tests.support.broker import until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.flow("F1-2"),
    pytest.mark.invariant("I1"),
    pytest.mark.invariant("I2"),
    pytest.mark.rule("R18"),
]
STEPS = ("replay memory", "acceptance", "claim", "queue", "outcome", "acknowledgement")
_serials = itertools.count(1)


@pytest.fixture(scope="module")
async def town(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    folder = tmp_path_factory.mktemp("kills")
    planted = os.pathsep.join([str(Path(__file__).with_name("planted")), os.environ.get("PYTHONPATH", "")])
    plan = Plan(
        workers=1,
        population=20,
        inbound=True,
        acknowledge_s=2.0,
        retry={"first_s": 0.2, "longest_s": 1.0, "budget": 40},
        environment={"PYTHONPATH": planted, "RENKEI_DIE_AT": str(folder / "die-at")},
    )
    async with Town(folder, plan) as town:
        await town.start()
        yield town


@pytest.fixture
async def ends(town: Town) -> AsyncIterator[Ends]:
    found = Ends(town)
    await found.open_register()
    yield found
    await found.close_register()


async def once(ends: Ends, delivery: str) -> None:
    """It is delivered, and has taken effect once."""
    row = await ends.until_state(delivery, "delivered", 60.0)
    assert ends.effects.count(row["id"]) == 1
    assert len(ends.rows("SELECT id FROM message WHERE source_id = ?", delivery)) == 1
    assert ends.rows("SELECT outcome FROM provision WHERE id = ?", row["id"])[0]["outcome"] == "provided"


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
async def test_the_gateway_dies(ends: Ends, step: str, when: str) -> None:
    file = ends.town.folder / "die-at"
    file.with_name("die-at.done").unlink(missing_ok=True)
    file.write_text(f"{when} {step}")
    xml, delivery = notice(serial=next(_serials)), str(uuid.uuid4())
    await ends.send_until_accepted(xml, delivery, timeout_s=60.0)
    await until(lambda: not file.exists(), 30.0)
    await once(ends, delivery)


class Died(Exception):
    """The register ends here."""


@pytest.mark.parametrize("moment", ["taken", "written", "acknowledged"])
async def test_the_register_dies(ends: Ends, moment: str) -> None:
    """After it took the message, after it wrote it down, and after it published its acknowledgement but acked nothing to the broker."""
    died = asyncio.Event()

    def die(name: str) -> None:
        if name == moment and not died.is_set():
            died.set()
            inbox = ends.inbox
            assert inbox is not None
            inbox.cut()
            raise Died

    ends.moment = die
    xml, delivery = notice(serial=next(_serials)), str(uuid.uuid4())
    await ends.send_until_accepted(xml, delivery)
    await asyncio.wait_for(died.wait(), 30)
    ends.moment = lambda name: None
    await ends.close_register()
    await ends.open_register()
    await once(ends, delivery)


async def test_the_broker_dies_while_the_register_works(ends: Ends) -> None:
    held = asyncio.Event()

    def strike(name: str) -> None:
        if name == "taken" and not held.is_set():
            held.set()
            os.kill(ends.town.supervised()["broker"], 9)

    ends.moment = strike
    xml, delivery = notice(serial=next(_serials)), str(uuid.uuid4())
    await ends.send_until_accepted(xml, delivery)
    await asyncio.wait_for(held.wait(), 30)
    await once(ends, delivery)
