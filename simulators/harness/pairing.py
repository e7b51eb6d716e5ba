"""The pairing run: thousands of certificate requests, answers that go wrong in every way, and the death of every process.

All are processes of their own. The centre asks in waves of hundreds that begin in one moment; the issuing system answers some late, twice,
not at all, to somebody else's question, or about another person, card or kind. Meanwhile one process after the other is killed and comes
back. Who was right is read from the journals of the kiosks and of the issuing system alone.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from simulators.convenience import family, issuing
from simulators.convenience.world import holders
from simulators.errors import ProcessFailed
from simulators.harness.convenience import CENTRE, ConvenienceTown
from simulators.harness.processes import Child
from simulators.harness.spent import Meter
from simulators.harness.town import Plan
from simulators.journal import read_entries

MISCHIEF: Mapping[str, float] = {
    "late": 0.02, "twice": 0.03, "exchanged": 0.06, "silence": 0.01, "slow": 0.2,
    "other-person": 0.02, "other-card": 0.02, "other-request": 0.02, "other-kind": 0.02, "no-person": 0.01,
}  # fmt: skip
VICTIMS = ("gateway", "certificate-issuance", "broker", "family-register", "certificate-centre", "worker-1", "supervisor")
OVERLOAD = "too-many-questions"


@dataclass(frozen=True, slots=True, kw_only=True)
class PairingPlan:
    """One run. Times in seconds.

    The centre keeps the gateway busy, not beyond its power: a wave begins when the last one is nearly over. Every tenth wave is more than
    the gateway takes at once; what is too much must be refused, and at once.
    """

    requests: int = 20_000
    at_once: int = 160
    every_s: float = 1.0
    open_below: int = 60
    surge: int = 240
    people: int = 300
    kills: int = 12
    victims: tuple[str, ...] = VICTIMS
    """In turn."""
    seed: int = 1
    answer_s: float = 8.0
    deadline_s: float = 12.0
    most_questions: int = 240
    mischief: Mapping[str, float] = field(default_factory=lambda: dict(MISCHIEF))
    environment: Mapping[str, str] = field(default_factory=dict)
    """For the gateway's processes: a planted bug, say."""
    time_limit_s: float = 3600.0


async def run_pairing(folder: Path, plan: PairingPlan, say: Callable[[str], None] = lambda text: None) -> dict[str, Any]:
    """The verdict as JSON, with what was killed.

    :raises ProcessFailed: something did not come up, or the run did not end.
    """
    retry = {"first_s": 0.2, "longest_s": 1.0, "budget": 1000}
    made = Plan(workers=1, inbound=True, acknowledge_s=5.0, answer_s=plan.answer_s, retry=retry, environment=plan.environment)
    town = ConvenienceTown(folder, made, inbound={"most_questions": plan.most_questions}, most_questions=plan.most_questions)
    async with town:
        await town.start()
        centre = await _open(town, plan)
        began, meter = time.monotonic(), Meter()
        say(f"{plan.people} people have cards; {plan.requests} requests begin")
        meter.look(_pids(town), new=False)
        centre.start()
        killed = await _kill_some(town, plan, centre, say, meter)
        seconds = time.monotonic() - began
        # what is on its way to the centre when it ends is nobody's; what it has not ended by itself it says when it comes back
        found, latencies = town.pairing(), _latencies(town)
    cost = {name: round(spent / plan.requests * 1000, 2) for name, spent in sorted(meter.spent_s().items())}
    return {**found.shown(), "seconds": round(seconds, 1), "killed": killed, "latency_s": latencies, "cpu_ms_per_request": cost}


def _latencies(town: ConvenienceTown) -> dict[str, dict[str, float]]:
    """Seconds from card to certificate, and from card to the refusal of what was too much."""
    took: dict[str, list[float]] = {"printed": [], OVERLOAD: []}
    for entry in read_entries(town.kiosks):
        word = entry.get("code") or entry["kind"]
        if word in took:
            took[word].append(entry["took_s"])
    return {
        word: {"count": len(found), "p50": statistics.median(found), "p99": sorted(found)[int(len(found) * 0.99)], "longest": max(found)}
        for word, found in took.items()
        if found
    }


async def _open(town: ConvenienceTown, plan: PairingPlan) -> Child:
    """The systems run and have everybody's data; the centre is ready to start."""
    settings = town.settings_of(issuing.SYSTEM, seed=plan.seed, slow_s=plan.answer_s / 4)
    first = town.process("certificate-issuance", settings)
    other = town.process("family-register", town.settings_of(family.SYSTEM))
    first.start()
    other.start()
    await first.wait_ready()
    await other.wait_ready()
    await town.populate(tuple(holders(plan.people)))
    await _until_delivered(town, 3 * plan.people)
    await first.stop()
    (town.folder / "certificate-issuance.yaml").unlink()
    file = town.folder / "certificate-issuance.yaml"
    file.write_text(_yaml({**settings, "mischief": dict(plan.mischief)}), encoding="utf-8")
    first.start()
    await first.wait_ready()
    wanted = {"requests": plan.requests, "people": plan.people, "at_once": plan.at_once, "every_s": plan.every_s}
    wanted |= {"open_below": plan.open_below, "surge": plan.surge}
    return town.process("certificate-centre", town.centre_settings(**wanted, deadline_s=plan.deadline_s, seed=plan.seed))


def _yaml(settings: Mapping[str, Any]) -> str:
    return str(yaml.safe_dump(dict(settings)))


async def _until_delivered(town: ConvenienceTown, count: int, timeout_s: float = 300.0) -> None:
    ends = time.monotonic() + timeout_s
    effects = _Counted(town.issued, b'"kind":"effect"')
    while True:
        if (lines := effects.now()) >= count:
            await asyncio.sleep(1.0)  # the acknowledgements of the last ones
            return
        if time.monotonic() > ends:
            raise ProcessFailed("not-delivered", f"the issuing system has {lines} of {count} messages after {timeout_s:g} s")
        await asyncio.sleep(0.2)


async def _kill_some(town: ConvenienceTown, plan: PairingPlan, centre: Child, say: Callable[[str], None], meter: Meter) -> dict[str, int]:
    """Until the centre has ended of its own accord: kill in turn, evenly over the requests."""
    chance = random.Random(plan.seed)
    points = [round((number + 0.5) * plan.requests / plan.kills) for number in range(plan.kills)]
    killed: dict[str, int] = {}
    ends = time.monotonic() + plan.time_limit_s
    asked = _Counted(town.kiosks, b'"kind":"asked"')
    while True:
        meter.look(_pids(town))
        if time.monotonic() > ends:
            raise ProcessFailed("pairing-not-over", f"the requests had not ended after {plan.time_limit_s:g} s")
        if points and asked.now() >= points[0]:
            points.pop(0)
            victim = plan.victims[sum(killed.values()) % len(plan.victims)]
            await asyncio.sleep(chance.random() * 0.3)
            meter.look(_pids(town))
            await _kill(town, victim)
            killed[victim] = killed.get(victim, 0) + 1
            say(f"{asked.now()} asked; killed {victim}")
        if not centre.running:
            if centre.exit_code not in (0, -signal.SIGKILL):
                raise ProcessFailed("centre-failed", f"the centre ended with {centre.exit_code}")
            if centre.exit_code == 0:
                break
            centre.start()
        await asyncio.sleep(0.1)
    return killed


async def _kill(town: ConvenienceTown, victim: str) -> None:
    if victim in ("certificate-issuance", "family-register", "certificate-centre"):
        child = town[victim]
        if not child.running:
            return
        child.kill()
        await child.wait_ended()
        (town.folder / f"{victim}.ready").unlink(missing_ok=True)
        if victim != "certificate-centre":
            child.start()
        return
    if victim == "supervisor":  # the gateway with all its processes and the broker, as when a machine loses power
        child = town["renkei"]
        child.kill()
        await child.wait_ended()
        child.start()
        return
    pid = town.supervised().get(victim)
    if pid is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


class _Counted:
    """How often ``what`` stands in a file that grows; only what is new is read."""

    def __init__(self, file: Path, what: bytes) -> None:
        self._file, self._what = file, what
        self._place = self._count = 0

    def now(self) -> int:
        if self._file.exists():
            with self._file.open("rb") as lines:
                lines.seek(self._place)
                new = lines.read()
            whole = new[: new.rfind(b"\n") + 1]
            self._place += len(whole)
            self._count += whole.count(self._what)
        return self._count


def _pids(town: ConvenienceTown) -> dict[str, int]:
    """All processes of the town, by name."""
    return {**town.processes.started(), **town.supervised()}


__all__ = ["CENTRE", "MISCHIEF", "VICTIMS", "PairingPlan", "run_pairing"]
