"""The suite is worth something: each adapter that is wrong on purpose is convicted by it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from adapters.juki_cs import JukiCsAdapter
from adapters.soap.way import Way
from gateway.contract import Adapter, CallUnanswered, Delivered, Envelope, HttpAnswer, Outcome, PartyDown, Receipt, Rejected, Unknown
from gateway.testing.contract import FAULTS, SEVERAL, examine
from gateway.testing.simulation import Simulator
from tests.contract.conftest import POINTS

pytestmark = [pytest.mark.slow, pytest.mark.invariant("I2")]
BY_NAME = {fault.name: fault for fault in FAULTS}


class SilenceIsSuccess(JukiCsAdapter):
    async def deliver(self, envelopes: Sequence[Envelope]) -> Sequence[Outcome]:
        found = await super().deliver(envelopes)
        return [Delivered(receipt=Receipt(code="ok", body=b"")) if isinstance(each, Unknown) else each for each in found]


class SilenceIsNotSent(JukiCsAdapter):
    async def deliver(self, envelopes: Sequence[Envelope]) -> Sequence[Outcome]:
        return [PartyDown(code="x") if isinstance(each, Unknown) else each for each in await super().deliver(envelopes)]


class ByPosition(JukiCsAdapter):
    async def deliver(self, envelopes: Sequence[Envelope]) -> Sequence[Outcome]:
        found = list(await super().deliver(envelopes))
        found.sort(key=lambda each: isinstance(each, Rejected))
        return found


class NewIdsEachTime(JukiCsAdapter):
    """Sends a repetition under another key, so that the party cannot know it again."""

    async def deliver(self, envelopes: Sequence[Envelope]) -> Sequence[Outcome]:
        return [
            PartyDown(code="x") if each.resent else outcome
            for each, outcome in zip(envelopes, await super().deliver(envelopes), strict=True)
        ]


class Escapes(JukiCsAdapter):
    async def _read(self, way: Way, answer: HttpAnswer, message_id: str, envelopes: Sequence[Envelope]) -> Sequence[Outcome]:
        if answer.status != 200:
            raise CallUnanswered("escaped")
        return await super()._read(way, answer, message_id, envelopes)


class ForgetsOne(JukiCsAdapter):
    async def deliver(self, envelopes: Sequence[Envelope]) -> Sequence[Outcome]:
        return (await super().deliver(envelopes))[:-1]


@pytest.mark.parametrize("simulator", [each for each in POINTS if each.name == "juki_cs"], ids=lambda point: point.name, indirect=True)
@pytest.mark.parametrize(
    ("wrong", "fault", "count"),
    [
        (SilenceIsSuccess, "time-out-before-effect", 1),
        (SilenceIsSuccess, "garbage-missing-result", SEVERAL),
        (SilenceIsSuccess, "http-500-after-effect", 1),
        (SilenceIsNotSent, "reset-after-effect", 1),
        (SilenceIsNotSent, "slow-drip-after-effect", 1),
        (ByPosition, "refuse", SEVERAL),
        (NewIdsEachTime, "http-500-after-effect", 1),
        (Escapes, "http-500-before-effect", 1),
        (ForgetsOne, "none", SEVERAL),
    ],
)
async def test_wrong_adapter_is_convicted(simulator: Simulator, wrong: type[Adapter], fault: str, count: int) -> None:
    if not issubclass(wrong, simulator.simulation.adapter):
        pytest.skip("a variant of another party's adapter")
    with pytest.raises(AssertionError):
        await examine(simulator, BY_NAME[fault], count, wrong)
