"""Overload and closing time, end to end: a clear refusal at once, and whoever was taken is served."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from simulators.convenience.world import Holder, holders
from simulators.harness.convenience import ConvenienceTown
from simulators.harness.town import Plan
from tests.convenience.kit import Ends
from tests.support.broker import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240), pytest.mark.flow("F5-1"), pytest.mark.invariant("I4")]


@pytest.fixture(scope="module")
async def ends(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ends]:
    hours = [{"opens": "00:00", "closes": "24:00"}, {"kinds": ["3"], "opens": "00:00", "closes": "00:00"}]
    plan = Plan(workers=1, inbound=True, acknowledge_s=2.0, answer_s=20.0, retry={"first_s": 0.2, "longest_s": 1.0, "budget": 100})
    async with ConvenienceTown(tmp_path_factory.mktemp("service"), plan, inbound={"hours": hours, "most_questions": 8}) as town:
        await town.start()
        found = Ends(town)
        await found.open()
        await town.populate(tuple(holders(30)))
        await found.until_delivered()
        yield found
        await found.close()


async def test_more_than_may_be_open_are_refused_at_once_and_the_others_are_served(ends: Ends) -> None:
    ends.issuing.hold = asyncio.Event()
    taken = [asyncio.create_task(ends.ask(Holder(number), deadline_s=20.0)) for number in range(1, 9)]
    await until(lambda: len(ends.issuing._tasks) == 8)
    began = time.monotonic()
    refused = await asyncio.gather(*(ends.ask(Holder(number), deadline_s=20.0) for number in range(9, 29)))
    assert {(end.kind, end.code) for end in refused} == {("refused", "too-many-questions")}
    assert time.monotonic() - began < 5.0  # none of them waited for the issuing system
    ends.issuing.hold.set()
    assert {end.kind for end in await asyncio.gather(*taken)} == {"printed"}
    ends.issuing.hold = None
    assert (await ends.ask(Holder(9), deadline_s=20.0)).kind == "printed"
    record = [each for each in ends.record("dialogue") if each.get("code") == "too-many-questions"]
    assert len(record) == 20  # on record, each of them


async def test_a_kind_outside_its_hours_is_refused_at_once(ends: Ends) -> None:
    end = await ends.ask(Holder(1), "3", deadline_s=20.0)
    assert (end.kind, end.code) == ("refused", "outside-service-hours")
    assert (await ends.ask(Holder(1), "2", deadline_s=20.0)).kind == "printed"


async def test_a_request_whose_kiosk_waits_no_longer_is_not_begun(ends: Ends) -> None:
    """What the centre signed says until when it takes an answer (``wsu:Expires``)."""
    end = await ends.ask(Holder(1), deadline_s=0.5)
    assert (end.kind, end.code) in {("refused", "request-expired"), ("timed-out", None)}
    await until(lambda: [each["code"] for each in ends.record("dialogue")][-1] == "request-expired")
