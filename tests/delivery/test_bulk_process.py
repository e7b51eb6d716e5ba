"""The bulk process of a real gateway: it admits and delivers the bulk lane, and its death costs time, nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections import Counter
from pathlib import Path

import pytest

from simulators.harness.town import Plan, Town
from tests.performance.isolation import register, rows, say, told_by, until_drained
from tests.performance.workload import POPULATION, SEED


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.invariant("I1")
@pytest.mark.invariant("I2")
@pytest.mark.invariant("I4")
async def test_bulk_work_goes_on_after_the_bulk_process_was_killed(tmp_path: Path) -> None:
    plan = Plan(workers=1, records_per_call=100, population=POPULATION, city_seed=SEED, further={"bulk": {"process": True}})
    async with Town(tmp_path, plan) as town:
        await town.start()
        async with asyncio.timeout(60):
            while not (town.var / "run" / "bulk.sock").exists():
                await asyncio.sleep(0.05)
        common = ("--url", f"https://127.0.0.1:{town.ports.https}", "--certificates", str(town.certificates))
        bulk = await register("bulk", *common, "--in-flight", "16")
        say(bulk, "on")
        await _effects(town, 50)
        first = town.supervised()["bulk"]
        claimed = rows(town, "SELECT count(*) FROM worker WHERE role = 'bulk' AND ended_at IS NULL")[0][0]
        assert claimed == 1
        os.kill(first, signal.SIGKILL)
        await _effects(town, 50 + _count(town))
        say(bulk, "off")
        accepted = (await told_by(bulk))["accepted"]
        await until_drained(town)
        assert town.supervised()["bulk"] != first
        took_effect = Counter(
            entry["request"] for entry in map(json.loads, town.journal.read_bytes().splitlines()) if entry["kind"] == "effect"
        )
        assert len(took_effect) == accepted
        assert set(took_effect.values()) == {1}
        assert {row[0] for row in rows(town, "SELECT DISTINCT lane FROM delivery")} == {"bulk"}


def _count(town: Town) -> int:
    with contextlib.suppress(FileNotFoundError):
        return town.journal.read_bytes().count(b'"effect"')
    return 0


async def _effects(town: Town, count: int) -> None:
    async with asyncio.timeout(90):
        while _count(town) < count:
            await asyncio.sleep(0.1)
