"""Bulk work stops at its next step while something live is under way in any process of the gateway (I4)."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.ledger.writer import BULK_PATIENCE_S
from gateway.pacing import BulkPace
from gateway.presence import LONGEST_S, PATIENCE_S, SHARE, LivePresence
from tests.ledger.notes import Write, ledger

pytestmark = pytest.mark.invariant("I4")


class Time:
    """A clock that goes on when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture
def presence(tmp_path: Path, clock: Time) -> Iterator[LivePresence]:
    found = LivePresence(tmp_path / "live", clock=clock, sleep=clock.sleep)
    yield found
    found.close()


async def test_who_does_bulk_work_waits_until_what_is_live_has_ended(presence: LivePresence, clock: Time) -> None:
    await presence.let_pass()
    assert clock.now == 100.0, "nothing live is there"
    with presence.live(0.005):
        assert presence.busy()
        clock.now += 0.010
    began = clock.now
    await presence.let_pass()
    assert 0.005 <= clock.now - began < 0.008, "its bell is on the way"


async def test_a_live_operation_that_does_not_end_holds_nobody_up(presence: LivePresence, clock: Time) -> None:
    with presence.live():
        clock.now += LONGEST_S + 0.001
        assert not presence.busy()


async def test_bulk_work_never_stops(presence: LivePresence, clock: Time) -> None:
    """A live operation every two milliseconds: bulk work goes on half of the time."""
    worked = waited = 0.0
    until = clock.now + 10.0
    while clock.now < until:
        with presence.live():
            began = clock.now
            await presence.let_pass()
            waited += clock.now - began
        clock.now += 0.002  # a step
        worked += 0.002
    assert waited == pytest.approx((waited + worked) * SHARE, rel=0.1)


async def test_nobody_waits_for_long(presence: LivePresence, clock: Time) -> None:
    began = clock.now
    with presence.live():
        clock.now += 0.001
        with presence.live():  # another one began
            await presence.let_pass()
    assert clock.now - began <= PATIENCE_S + 0.003


async def test_a_turn_comes_when_what_is_live_has_ended(presence: LivePresence, clock: Time) -> None:
    pace = BulkPace(1e6, presence=presence, clock=clock, sleep=clock.sleep)
    with pace.live_work(0.005):
        clock.now += 0.001
    began = clock.now
    await pace.turn(25)
    assert clock.now - began >= 0.005


_OTHER = """
import sys, time
from pathlib import Path
from gateway.presence import LivePresence
presence = LivePresence(Path(sys.argv[1]))
print("busy" if presence.busy() else "quiet", flush=True)
with presence.live():
    print("live", flush=True)
    sys.stdin.readline()
    presence._tell(time.monotonic() + 0.05)
    print("again", flush=True)
    sys.stdin.readline()
"""


def test_another_process_sees_it_and_a_killed_one_is_forgotten(tmp_path: Path) -> None:
    mine = LivePresence(tmp_path / "live")
    with subprocess.Popen(
        [sys.executable, "-c", _OTHER, str(tmp_path / "live")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == "quiet\n"
        assert other.stdout.readline() == "live\n"
        other.stdin.write("\n")
        other.stdin.flush()
        assert other.stdout.readline() == "again\n"
        assert mine.busy()
        other.kill()
        other.wait()
    deadline = threading.Event()
    deadline.wait(LONGEST_S)
    assert not mine.busy()
    again = LivePresence(tmp_path / "live")  # the slot of the dead is free
    assert os.stat(tmp_path / "live").st_mode & 0o777 == 0o600
    again.close()
    mine.close()


async def test_the_writer_lets_what_is_live_elsewhere_pass(tmp_path: Path) -> None:
    """A bulk group begins when nothing live is under way; or when it has waited long enough."""
    busy = threading.Event()
    busy.set()
    async with ledger(f"sqlite:///{tmp_path / 'ledger.db'}", live=busy.is_set) as (_, writer, journal):
        waiting = writer.enqueue(Write(text="bulk", bulk=True))
        await writer.submit(Write(text="live"))
        assert not waiting.done()
        busy.clear()
        await waiting
        busy.set()
        began = time.monotonic()
        await writer.submit(Write(text="late", bulk=True))
        assert time.monotonic() - began >= BULK_PATIENCE_S
        assert journal.groups == [["live"], ["bulk"], ["late"]]
