"""Live work beside bulk work through one gateway (I4): how much longer a live message takes while a bulk one is under way.

Definition. A *live* message is an identity update of one resident, handed in at the HTTPS door at random moments (open loop). Its time runs
from the moment at which the register was due to send it to the moment at which the city CS put its effect into its journal. *Bulk* is a
change of addresses: identity updates of other residents with ``lane: bulk``, to the same party, handed in through the same door in batches
with 64 messages under way, as ``renkei submit --bulk`` does it. Its rate is counted at the party's journal.

Windows with and without bulk work take turns, so that both see the same neighbours on the machine; the live register goes on through all
of them. What was handed in within :data:`SETTLE_S` after a change counts for neither side. The machine carries the simulated party and
both registers besides the gateway; the bulk register is niced, since it would be another machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import sqlite3
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from simulators.harness.town import Town
from tests.performance import cost

WINDOW_S = 15.0
SETTLE_S = 1.0
LIVE_PER_S = 25.0
"""Almost three times what the largest city hands in in its peak hour (9/s at 8.8 million residents, design/domain-facts.md)."""
LIVE_OF_A_RUN = 45_000
"""Place of the bulk messages in the stream of the workload: after every live one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolation:
    """Of one run: times from hand-in to effect, in seconds; bulk records a second that took effect."""

    samples: int
    idle_p50_s: float
    idle_p99_s: float
    beside_p50_s: float
    beside_p99_s: float
    bulk_per_s: float
    cores_idle: dict[str, float]
    cores_beside: dict[str, float]
    """Processors in use by process."""


@dataclass(slots=True, kw_only=True)
class Window:
    """A stretch of time, wall clock."""

    run: int
    bulk: bool
    since: float
    until: float = math.inf
    cpu_s: dict[str, float]


async def measure(town: Town, samples: int, *, runs: int = 3, live_per_s: float = LIVE_PER_S, in_flight: int = 64) -> list[Isolation]:
    """``runs`` runs, each with ``samples`` live messages alone and as many beside bulk ones. The town is started, nobody else uses it."""
    url, certificates = f"https://127.0.0.1:{town.ports.https}", str(town.certificates)
    common = ("--url", url, "--certificates", certificates)
    live = await register("live", *common, "--per-s", str(live_per_s))
    bulk = await register("bulk", *common, "--skip", str(LIVE_OF_A_RUN), "--in-flight", str(in_flight), "--nice", "10")
    say(live, "go")
    pids = {**town.supervised(), "city-cs": town["city-cs"].pid, "live register": live.pid, "bulk register": bulk.pid}
    say(bulk, "on")  # what is compiled, cached or opened at first use is not what is measured
    await asyncio.sleep(5.0)
    pairs = math.ceil(samples / (live_per_s * (WINDOW_S - SETTLE_S)) * 1.02)
    windows: list[Window] = []
    for run in range(runs):
        for number in range(2 * pairs):
            beside = number % 2 == 1
            say(bulk, "on" if beside else "off")
            if not beside:
                await until_drained(town)
            await asyncio.sleep(SETTLE_S)
            before = cost.spent(pids)
            window = Window(run=run, bulk=beside, since=time.time(), cpu_s={})
            await asyncio.sleep(WINDOW_S - SETTLE_S)
            window.until = time.time()
            after = cost.spent(pids)
            window.cpu_s = {n: after[n].user_s + after[n].system_s - was.user_s - was.system_s for n, was in before.items()}
            windows.append(window)
    say(bulk, "off")
    handed_in = dict((await told_by(live))["handed_in"])
    await told_by(bulk)
    await until_drained(town)
    await asyncio.sleep(2.0)
    effects = effects_of(town.journal)
    return [_run([w for w in windows if w.run == run], handed_in, effects) for run in range(runs)]


def _run(windows: Sequence[Window], handed_in: dict[str, float], effects: dict[str, float]) -> Isolation:
    times: dict[bool, list[float]] = {False: [], True: []}
    for key, due in handed_in.items():
        for window in windows:
            if window.since <= due < window.until:
                times[window.bulk].append(effects[key] - due)  # KeyError: a message was lost, which no bench may hide
    idle, beside = sorted(times[False]), sorted(times[True])
    loud = [w for w in windows if w.bulk]
    records = sum(1 for key, at in effects.items() if key not in handed_in and any(w.since <= at < w.until for w in loud))
    return Isolation(
        samples=min(len(idle), len(beside)),
        idle_p50_s=idle[len(idle) // 2], idle_p99_s=idle[int(len(idle) * 0.99)],
        beside_p50_s=beside[len(beside) // 2], beside_p99_s=beside[int(len(beside) * 0.99)],
        bulk_per_s=records / sum(w.until - w.since for w in loud),
        cores_idle=_cores([w for w in windows if not w.bulk]), cores_beside=_cores(loud),
    )  # fmt: skip


def _cores(windows: Sequence[Window]) -> dict[str, float]:
    seconds = sum(w.until - w.since for w in windows)
    return {name: sum(w.cpu_s[name] for w in windows) / seconds for name in windows[0].cpu_s}


def effects_of(journal: Path) -> dict[str, float]:
    """When each 依頼管理番号 took effect at the party, wall clock."""
    found = {}
    for line in journal.read_bytes().splitlines():
        entry = json.loads(line)
        if entry["kind"] == "effect":
            found[entry["request"]] = datetime.fromisoformat(entry["at"]).timestamp()
    return found


async def until_drained(town: Town, lane: str = "bulk", timeout_s: float = 120.0) -> None:
    """Nothing of a lane is due or under way in the ledger any more."""
    deadline = time.monotonic() + timeout_s
    while (left := rows(town, "SELECT count(*) FROM key_row WHERE lane = ? AND due_at IS NOT NULL", lane)[0][0]) > 0:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{left} keys of the {lane} lane are still due after {timeout_s:g} s")
        await asyncio.sleep(0.1)


def rows(town: Town, query: str, *values: Any) -> list[Any]:
    """From the town's ledger."""
    with contextlib.closing(sqlite3.connect(f"file:{town.var}/ledger/renkei.db?mode=ro", uri=True, timeout=30)) as connection:
        return connection.execute(query, values).fetchall()


async def register(*arguments: str) -> asyncio.subprocess.Process:
    """A register of :mod:`tests.performance.streams`, ready to begin."""
    command = [sys.executable, "-m", "tests.performance.streams", *arguments]
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=1 << 26, start_new_session=True
    )
    assert process.stdout is not None
    if await process.stdout.readline() != b"ready\n":
        raise RuntimeError("a register failed")
    return process


def say(process: asyncio.subprocess.Process, line: str) -> None:
    """Tell a register."""
    assert process.stdin is not None
    process.stdin.write(line.encode() + b"\n")


async def told_by(process: asyncio.subprocess.Process) -> dict[str, Any]:
    """End a register; what it tells of its run."""
    assert process.stdin is not None
    process.stdin.close()
    assert process.stdout is not None
    said = await process.stdout.read()
    if await process.wait():
        raise RuntimeError("a register failed")
    found: dict[str, Any] = json.loads(said)
    if found["refused"]:
        raise RuntimeError(f"{found['refused']} messages were refused")
    return found
