"""Live work beside bulk work through one gateway (I4): how much longer a live message takes while a bulk one is under way."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import statistics
import sys
import time
from dataclasses import dataclass
from typing import Any

from simulators.harness.town import Town

LIVE_PER_S = 20.0
_DELIVERED = (
    "SELECT d.accepted_at, d.final_at FROM delivery d WHERE d.lane = ? AND d.party = 'city-cs' AND d.state = 'delivered' "
    "AND d.accepted_at >= ? AND d.accepted_at < ?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolation:
    """Of one run: latencies from acceptance to the party's answer, in seconds; bulk records delivered in a second."""

    samples: int
    idle_p50_s: float
    idle_p99_s: float
    beside_p50_s: float
    beside_p99_s: float
    bulk_per_s: float


async def measure(town: Town, live: int, bulk: int, *, skip: int = 0) -> Isolation:
    """``live`` messages alone, then as many while ``bulk`` ones are delivered. The town runs, its party takes several records in a call.

    Only live messages that were accepted while bulk ones were being handed in and delivered count as beside them.
    """
    since = time.time()
    await _push(town, live, skip=skip, rate=LIVE_PER_S)
    await _until_done(town, since)
    middle = time.time()
    handing_in = asyncio.create_task(_push(town, bulk, skip=skip, bulk=True))
    await _until(town, "SELECT count(*) FROM delivery WHERE lane = 'bulk' AND state = 'delivered' AND accepted_at >= ?", middle)
    started = time.time()
    await _push(town, live, skip=skip + live, rate=LIVE_PER_S)
    over = time.time()
    await handing_in
    await _until_done(town, since)
    idle, beside = _latencies(town, "live", since, middle), _latencies(town, "live", started, min(over, _last_bulk(town)))
    ended = _last_bulk(town)
    first = _rows(town, "SELECT min(accepted_at) FROM delivery WHERE lane = 'bulk' AND accepted_at >= ?", middle)[0][0]
    return Isolation(
        samples=min(len(idle), len(beside)),
        idle_p50_s=statistics.median(idle), idle_p99_s=idle[int(len(idle) * 0.99)],
        beside_p50_s=statistics.median(beside), beside_p99_s=beside[int(len(beside) * 0.99)],
        bulk_per_s=bulk / (ended - first),
    )  # fmt: skip


def _latencies(town: Town, lane: str, since: float, until: float) -> list[float]:
    return sorted(final - accepted for accepted, final in _rows(town, _DELIVERED, lane, since, until))


def _last_bulk(town: Town) -> float:
    return float(_rows(town, "SELECT max(final_at) FROM delivery WHERE lane = 'bulk' AND state = 'delivered'")[0][0])


async def _until(town: Town, query: str, *values: Any) -> None:
    while not _rows(town, query, *values)[0][0]:
        await asyncio.sleep(0.05)


async def _until_done(town: Town, since: float, timeout_s: float = 600.0) -> None:
    deadline = time.monotonic() + timeout_s
    while (left := _rows(town, "SELECT count(*) FROM delivery WHERE final_at IS NULL AND accepted_at >= ?", since)[0][0]) > 0:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{left} deliveries did not end within {timeout_s:g} s")
        await asyncio.sleep(0.2)


async def _push(town: Town, count: int, *, skip: int, rate: float | None = None, bulk: bool = False) -> dict[str, Any]:
    arguments = ["--url", f"https://127.0.0.1:{town.ports.https}", "--certificates", str(town.certificates)]
    arguments += ["--count", str(count), "--skip", str(skip)] + (["--per-s", str(rate)] if rate else []) + (["--bulk"] if bulk else [])
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.performance.pusher", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, complaint = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"the register failed: {complaint.decode()[-2000:]}")
    found: dict[str, Any] = json.loads(out)
    if found["refused"]:
        raise RuntimeError(f"{found['refused']} messages were refused")
    return found


def _rows(town: Town, query: str, *values: Any) -> list[Any]:
    with contextlib.closing(sqlite3.connect(f"file:{town.var}/ledger/renkei.db?mode=ro", uri=True, timeout=30)) as connection:
        return connection.execute(query, values).fetchall()
