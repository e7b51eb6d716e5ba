"""``renkei chaos``: nothing is lost, doubled, reordered or stuck, whatever is killed; and it leaves nothing running."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from simulators.harness.strikes import FAULTS, draw
from tests.faults.kit import KEYS, REPOSITORY, Ran, chaos, command, environment, processes_that_name


def clean(ran: Ran) -> None:
    assert ran.code == 0, f"{ran.said}\n{ran.result}"
    assert tuple(ran.result)[: len(KEYS)] == KEYS
    assert ran.result["ok"] is True
    assert set(ran.counts.values()) == {0}
    assert ran.result["effects"] + ran.result["replaced"] == ran.result["accepted"] == ran.result["submitted"] > 0
    assert ran.result["recovery_s"]["median"] <= 3
    assert ran.result["recovery_s"]["max"] <= 10


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.invariant("I1")
@pytest.mark.invariant("I2")
@pytest.mark.invariant("I3")
@pytest.mark.parametrize(("ledger", "seed"), [("sqlite", 5), ("postgresql", 6)])
async def test_twelve_faults(tmp_path: Path, ledger: str, seed: int) -> None:
    ran = await chaos(tmp_path, "--kills", "12", "--seed", str(seed), "--ledger", ledger, "--per-s", "20")
    clean(ran)
    assert ran.result["kills"] == 12


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.rule("R6")
@pytest.mark.parametrize("fault", ["freeze gateway", "kill broker just declared", "kill supervisor", "broker alarm"])
async def test_one_kind_of_fault_again_and_again(tmp_path: Path, fault: str) -> None:
    clean(await chaos(tmp_path, "--kills", "8", "--seed", "3", "--only", fault, "--per-s", "20", timeout_s=1800))


def test_what_happens_is_drawn_from_the_seed_and_at_most_one_fault_in_ten_hits_the_broker() -> None:
    heavy = {fault.name for fault in FAULTS if fault.heavy}
    for seed in range(20):
        drawn = draw(random.Random(seed), 200, "sqlite")
        assert drawn == draw(random.Random(seed), 200, "sqlite")
        assert 0 < sum(name in heavy for name in drawn) <= 20
        assert "kill database" not in drawn
    assert "kill database" in draw(random.Random(1), 200, "postgresql")
    with pytest.raises(ValueError, match="no such fault"):
        draw(random.Random(1), 5, "sqlite", ["earthquake"])


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
async def test_nothing_is_left_running_however_the_harness_ends(tmp_path: Path, number: int) -> None:
    ledger = "postgresql" if number == signal.SIGKILL else "sqlite"
    harness = subprocess.Popen(
        command("--folder", str(tmp_path), "--kills", "1000", "--ledger", ledger, "--only", "freeze worker"),
        env=environment(),
        cwd=REPOSITORY,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert harness.stderr is not None
        async with asyncio.timeout(120):
            while "1/1000" not in await asyncio.to_thread(harness.stderr.readline):
                assert harness.poll() is None
        assert len(processes_that_name(str(tmp_path))) >= 5
        os.kill(harness.pid, number)
        harness.wait(60)
        deadline = time.monotonic() + 20
        while left := processes_that_name(str(tmp_path)):
            assert time.monotonic() < deadline, left
            await asyncio.sleep(0.05)
    finally:
        harness.kill()
        harness.communicate()
