"""Bulk work leaves room for what is live: its lanes, its share of a call, its pace, and the look-up beside it (I4)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.delivery.party import PartyRunner, Shape
from gateway.delivery.rows import PartyTraits
from gateway.delivery.worker import TOGETHER, ringer
from gateway.ledger.bells import Bell
from gateway.ledger.claims import ClaimResult
from gateway.pacing import FLOOR, LOOK_S, QUIET_S, BulkPace


class Time:
    """A clock that goes on when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


def pace(per_s: float = 100.0) -> tuple[BulkPace, Time]:
    clock = Time()
    return BulkPace(per_s, clock=clock, sleep=clock.sleep), clock


@pytest.mark.invariant("I4")
async def test_alone_nothing_is_held_back_and_beside_live_work_chunks_are_spaced() -> None:
    bulk, clock = pace()
    for _ in range(50):
        await bulk.turn(25)
    assert clock.now == 100.0, "nobody live is there"
    clock.now += 10
    bulk.live(0.01)
    began = clock.now
    for _ in range(9):
        await bulk.turn(25)
        bulk.live(0.01)
    assert clock.now - began == pytest.approx(8 * 0.25, rel=0.3), "25 of 100 a second: one chunk every quarter"
    clock.now += QUIET_S + 1
    quiet = clock.now
    for _ in range(50):
        await bulk.turn(25)
    assert clock.now == quiet


@pytest.mark.invariant("I4")
async def test_the_pace_gives_way_while_live_work_takes_much_longer_and_comes_back() -> None:
    bulk, clock = pace()
    for _ in range(100):
        clock.now += 0.01
        bulk.live(0.010)
    for _ in range(40):
        await bulk.turn(5)
        clock.now += LOOK_S
        for _ in range(10):
            bulk.live(0.200)
            clock.now += 0.001
    assert bulk.rate == pytest.approx(100 * FLOOR), "slower and slower, but it never stops"
    for _ in range(60):
        await bulk.turn(5)
        clock.now += LOOK_S
        for _ in range(10):
            bulk.live(0.011)
            clock.now += 0.001
    assert bulk.rate == 100


class Ledger:
    """Notes the claims; nothing is claimed."""

    def __init__(self) -> None:
        self.claims: list[tuple[bool, int]] = []
        self.open = asyncio.Event()

    async def claim(self, registration: str, party: str, keys: list[str], traits: Any, *, probe: bool, bulk: bool) -> ClaimResult:
        self.claims.append((bulk, len(keys)))
        await self.open.wait()
        return ClaimResult(claimed=(), bells=(), breaker_open=False)


class Alive:
    id = "w"

    def alive(self, registration: str | None = None) -> bool:
        return True


@pytest.mark.invariant("I4")
@pytest.mark.parametrize("calls", [1, 2, 4, 16])
async def test_a_backlog_of_bulk_work_leaves_lanes_calls_and_the_look_up_to_what_is_live(calls: int) -> None:
    ledger: Any = Ledger()
    liveness: Any = Alive()
    nobody: Any = None
    shape = Shape(calls=calls, records_per_call=100, share=20, bulk_records=25)
    runner = PartyRunner(PartyTraits(party="city-cs"), shape, nobody, ledger, liveness, None)
    let_go = []
    for first in range(0, 2000, TOGETHER):
        keys = [f"b{number}" for number in range(first, first + TOGETHER)]
        runner.ring_together(keys, bulk=True, done=lambda: let_go.append(1))
    await asyncio.sleep(0)
    assert ledger.claims
    assert all(bulk and size == 25 for bulk, size in ledger.claims), "small ones, behind everything live"
    assert len(ledger.claims) <= max(1, calls // 2 + 1)
    assert runner.busy(bulk=True)
    assert not runner.busy(bulk=False), "what is live is looked for all the same"
    assert runner.free(bulk=False) > 0
    before = len(ledger.claims)
    runner.ring("live")
    await asyncio.sleep(0)
    assert ledger.claims[before:] == [(False, 1)], "at once, before 1,900 others"
    ledger.open.set()
    while len(let_go) < 2000:
        await asyncio.sleep(0)
    assert sum(size for bulk, size in ledger.claims if bulk) == 2000


@pytest.mark.rule("R15")
def test_bells_of_the_bulk_lane_go_together_and_each_fits_into_its_body() -> None:
    rung: list[tuple[str, bytes]] = []

    class Publisher:
        def ring(self, exchange: str, routing_key: str, body: bytes) -> None:
            rung.append((routing_key, body))

    publisher: Any = Publisher()
    bells = [Bell("city-cs", "bulk", f"{number:032x}") for number in range(2 * TOGETHER + 1)]
    bells[3:3] = [Bell("city-cs", "live", "a" * 32), Bell("prefecture-server", "bulk", "b" * 32)]
    ringer(publisher)(bells)
    assert [(key, len(body.split())) for key, body in rung] == [
        ("city-cs.live", 1),
        ("city-cs.bulk", TOGETHER),
        ("city-cs.bulk", TOGETHER),
        ("city-cs.bulk", 1),
        ("prefecture-server.bulk", 1),
    ]
    assert all(len(body) < 1024 for _, body in rung)
