"""R19: the door closes for the disk and for the total backlog, keeps a reserve, and does not flutter."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.errors import LedgerUnavailable
from gateway.intake.pressure import Pressure, PressureLimits, TooMuch, free_bytes

pytestmark = pytest.mark.rule("R19")


class World:
    def __init__(self) -> None:
        self.free, self.waiting, self.down, self.unreadable = 10_000, 0, False, False
        limits = PressureLimits(backlog=100, disk_reserve_bytes=1000, interval_s=0.01)
        self.pressure = Pressure(limits, disks=[Path("/")], backlog=self.backlog, free=self.disk)

    def disk(self, path: Path) -> int:
        if self.unreadable:
            raise OSError(5, "input/output error")
        return self.free

    async def backlog(self) -> int:
        if self.down:
            raise LedgerUnavailable("ledger-locked", "the database is locked")
        return self.waiting

    async def code(self) -> str | None:
        await self.pressure.measure()
        return self.pressure.closed.code if self.pressure.closed else None


async def test_the_disk_closes_the_door_before_the_reserve_is_touched_and_opens_with_a_tenth_more() -> None:
    world = World()
    codes = []
    for world.free in (1000, 999, 1000, 1099, 1100):
        codes.append(await world.code())
    assert codes == [None, "disk-full", "disk-full", "disk-full", None]


async def test_the_backlog_closes_the_door_and_opens_it_with_a_tenth_more_room() -> None:
    world = World()
    codes = []
    for world.waiting in (99, 100, 95, 91, 90):
        codes.append(await world.code())
    assert codes == [None, "backlog-full", "backlog-full", "backlog-full", None]
    world.waiting = 100
    await world.code()
    assert isinstance(world.pressure.closed, TooMuch)


async def test_a_ledger_or_a_disk_that_does_not_answer_closes_the_door_too() -> None:
    world = World()
    world.down = True
    assert await world.code() == "ledger-unavailable"
    world.unreadable = True
    assert await world.code() == "disk-full"


async def test_it_goes_on_measuring_and_wakes_who_waits() -> None:
    world = World()
    world.free = 0
    await world.pressure.start()
    waiting = asyncio.create_task(world.pressure.wait_open())
    assert world.pressure.closed is not None
    world.free = 10_000
    await asyncio.wait_for(waiting, 5)
    assert world.pressure.closed is None
    await world.pressure.stop()


def test_the_free_space_of_a_real_disk() -> None:
    assert free_bytes(Path("/")) > 0
