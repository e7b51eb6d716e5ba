"""What ``renkei chaos`` does to a town: the kinds of fault, and how each is done from outside, as an accident would."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from simulators.errors import ProcessFailed
from simulators.harness.town import Town

READY_S = 90.0
"""How long a victim may take until it is ready again, on a machine that is busy with other things as well."""
CONTROL = "/usr/lib/rabbitmq/bin/rabbitmqctl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One kind of fault. ``weight``: how often it is drawn, relative to the others."""

    name: str
    weight: int
    heavy: bool = False
    """Hits the broker node: at most one fault in ten."""
    only: str | None = None
    """The ledger that it needs."""


FAULTS = (
    Fault(name="kill worker", weight=28),
    Fault(name="kill all workers", weight=6),
    Fault(name="kill gateway", weight=16),
    Fault(name="kill city-cs", weight=14),
    Fault(name="freeze worker", weight=10),
    Fault(name="freeze gateway", weight=6),
    Fault(name="freeze city-cs", weight=4),
    Fault(name="kill supervisor", weight=4),
    Fault(name="cut connections", weight=4),
    Fault(name="kill database", weight=8, only="postgresql"),
    Fault(name="kill broker", weight=4, heavy=True),
    Fault(name="kill broker just declared", weight=2, heavy=True),
    Fault(name="freeze broker", weight=2, heavy=True),
    Fault(name="broker alarm", weight=2, heavy=True),
)


def draw(rng: random.Random, kills: int, ledger: str, only: Sequence[str] = ()) -> list[str]:
    """The faults of a run, in order. Every tenth is a heavy one, and nothing else is."""
    kinds = [fault for fault in FAULTS if (not only or fault.name in only) and fault.only in (None, ledger)]
    if not kinds:
        raise ValueError(f"no such fault; known: {', '.join(fault.name for fault in FAULTS)}")
    light = [fault for fault in kinds if not fault.heavy]
    heavy = [fault for fault in kinds if fault.heavy]
    drawn: list[str] = []
    for number in range(kills):
        pool = heavy if heavy and (number % 10 == 5 or not light) else light
        drawn.append(rng.choices([fault.name for fault in pool], [fault.weight for fault in pool])[0])
    return drawn


@dataclass(frozen=True, slots=True, kw_only=True)
class Struck:
    """A fault that was done. Times are seconds of the wall clock."""

    fault: str
    at: float
    ready_at: float
    """When the victim was ready again, or thawed, or the disturbance was over."""
    frozen_s: float = 0.0
    """How long it was frozen; nobody was killed then."""


class Striker:
    """Does things to a town."""

    def __init__(self, town: Town, rng: random.Random) -> None:
        self._town = town
        self._rng = rng

    async def strike(self, fault: str) -> Struck | None:
        """Do one fault and wait until the victim is ready again; ``None``: there was no victim.

        :raises ProcessFailed: it was not ready again in time.
        """
        at = time.time()
        what, _, whom = fault.partition(" ")
        if fault == "kill supervisor":
            ready_at = await self._kill_supervisor()
        elif fault == "cut connections":
            ready_at = await self._control("close_all_connections", "chaos")
        elif fault == "broker alarm":
            await self._control("set_vm_memory_high_watermark", "0")
            await asyncio.sleep(self._rng.uniform(1.0, 4.0))
            ready_at = await self._control("set_vm_memory_high_watermark", "absolute", "1GB")
        elif fault == "kill broker just declared":
            await self._control("delete_queue", f"work.city-cs.{self._rng.choice(('live', 'bulk'))}")
            await asyncio.sleep(self._rng.uniform(0.0, 1.5))
            return await self._kill("broker", fault)
        elif fault == "kill database":
            ready_at = await self._kill_database()
        elif fault == "kill all workers":
            return await self._kill_workers(fault)
        elif whom == "city-cs" and what == "kill":
            ready_at = await self._kill_city_cs()
        elif what == "kill":
            return await self._kill(whom, fault)
        else:
            return await self._freeze(whom, fault)
        return Struck(fault=fault, at=at, ready_at=ready_at)

    # ---- killing -----------------------------------------------------------------------------------------------------------------

    async def _kill(self, whom: str, fault: str) -> Struck | None:
        victim = self._pick(whom)
        if victim is None:
            return None
        before = set(self._town.ready_processes())
        at = time.time()
        _send(victim, signal.SIGKILL)
        ready_at = await (self._broker_again(victim) if whom == "broker" else self._ready_again(whom, before, 1))
        return Struck(fault=fault, at=at, ready_at=ready_at)

    async def _kill_workers(self, fault: str) -> Struck | None:
        victims = [pid for name, pid in self._town.supervised().items() if name.startswith("worker-")]
        before = set(self._town.ready_processes())
        at = time.time()
        for victim in victims:
            _send(victim, signal.SIGKILL)
        return Struck(fault=fault, at=at, ready_at=await self._ready_again("worker", before, 1)) if victims else None

    async def _ready_again(self, role: str, before: set[int], count: int) -> float:
        """As many new processes of that role serve; returns since when, in their own words."""
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline:
            new = [entry["ready_at"] for pid, entry in self._town.ready_processes().items() if pid not in before and entry["role"] == role]
            if len(new) >= count:
                return float(sorted(new)[count - 1])
            self._still_runs()
            await asyncio.sleep(0.02)
        raise ProcessFailed("not-ready-again", f"{role} was not ready again within {READY_S:g} s; see {self._town.var / 'log'}")

    async def _broker_again(self, before: int) -> float:
        """A new node answers on its port."""
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline:
            now = self._town.supervised().get("broker")
            if now is not None and now != before and await answers(self._town.ports.broker):
                return time.time()
            self._still_runs()
            await asyncio.sleep(0.02)
        raise ProcessFailed("not-ready-again", f"the broker was not ready again within {READY_S:g} s; see {self._town.var / 'log'}")

    def _still_runs(self) -> None:
        if not self._town["renkei"].running:
            raise ProcessFailed("gateway-ended", f"the gateway ended by itself; see {self._town.folder / 'log' / 'renkei.log'}")

    async def _kill_city_cs(self) -> float:
        child = self._town["city-cs"]
        child.kill()
        await child.wait_ended()
        await asyncio.sleep(self._rng.choice((0.0, 0.3, 1.5, 4.0)))
        child.start()
        await child.wait_ready(READY_S)
        return time.time()

    async def _kill_supervisor(self) -> float:
        """The whole gateway with its broker goes at once, as when a machine loses power; then it is started again."""
        child = self._town["renkei"]
        child.kill()
        await child.wait_ended()
        child.start()
        await self._town.gateway_ready(READY_S)
        return time.time()

    async def _kill_database(self) -> float:
        server = self._town.postgres
        assert server is not None
        await asyncio.to_thread(server.kill)
        await asyncio.sleep(self._rng.choice((0.0, 0.5, 3.0)))
        await asyncio.to_thread(server.start)
        return time.time()

    # ---- freezing ----------------------------------------------------------------------------------------------------------------

    async def _freeze(self, whom: str, fault: str) -> Struck | None:
        """Shorter and longer than a claim lives (3 s) and than the supervisor waits (10 s), which then kills and starts anew."""
        victim = self._town["city-cs"].pid if whom == "city-cs" else self._pick(whom)
        if victim is None:
            return None
        seconds = self._rng.choice((1.0, 2.5, 4.0, 6.0) if whom in ("broker", "city-cs") else (1.0, 3.5, 6.0, 16.0))
        before = set(self._town.ready_processes())
        at = time.time()
        _send(victim, signal.SIGSTOP)
        replaced = None
        while time.time() < at + seconds:
            await asyncio.sleep(0.05)
            if whom in ("worker", "gateway") and victim not in self._town.supervised().values():
                replaced = await self._ready_again(whom, before, 1)
                break
        _send(victim, signal.SIGCONT)
        return Struck(fault=fault, at=at, ready_at=replaced or time.time(), frozen_s=seconds)

    # ---- the broker ----------------------------------------------------------------------------------------------------------------

    async def _control(self, *arguments: str) -> float:
        """``rabbitmqctl`` against the node of this town: how to reach it is read from the node's own environment."""
        pid = self._town.supervised().get("broker")
        if pid is None:
            return time.time()
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):  # it has just ended, or answers nobody
            await asyncio.to_thread(_run_control, pid, arguments)
        return time.time()

    def _pick(self, whom: str) -> int | None:
        running = [pid for name, pid in sorted(self._town.supervised().items()) if name == whom or name.startswith(f"{whom}-")]
        return self._rng.choice(running) if running else None


def _run_control(pid: int, arguments: Sequence[str]) -> None:
    raw = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    env = dict(item.decode().partition("=")[::2] for item in raw if item)
    env["RABBITMQ_CTL_ERL_ARGS"] = "-start_epmd false"
    own = Path(env.get("RABBITMQ_HOME", "/nowhere"), "sbin", "rabbitmqctl")
    command = [str(own) if own.exists() else CONTROL, "--quiet", *arguments]
    subprocess.run(command, env=env, capture_output=True, timeout=60, check=False)


def _send(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # ended in between
        os.kill(pid, number)


async def answers(port: int) -> bool:
    """Somebody takes connections there."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True
