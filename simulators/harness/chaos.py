"""``renkei chaos``: traffic while processes are killed and frozen, then a verdict from what the register sent and the party journalled.

The gateway is judged from outside, as a user would: its own ledger is not looked at. What happens to whom is drawn from a seed. At most
one fault in ten hits a broker node or the database server. After the last fault everything is let run until all is final, or time is up.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import statistics
import subprocess
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from simulators.errors import ProcessFailed, SimulatorError
from simulators.harness.town import LedgerKind, Plan, Town
from simulators.journal import read_entries

PER_S = 40.0
"""Messages a second that the register hands in meanwhile."""
RESIDENTS = 400
"""So few that most have several messages under way: order would show."""
_READY_S = 60.0
_WATCH_S = 30.0
_SETTLE_S = 180.0
RECOVERY_MEDIAN_S, RECOVERY_WORST_S, FROZEN_WORST_S = 3.0, 10.0, 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One kind of fault. ``weight``: how often it is drawn, relative to the others."""

    name: str
    weight: int
    heavy: bool = False
    """Hits the broker node or the database: at most one fault in ten."""


FAULTS = (
    Fault(name="kill worker", weight=30),
    Fault(name="kill gateway", weight=16),
    Fault(name="kill city-cs", weight=14),
    Fault(name="freeze worker", weight=10),
    Fault(name="freeze gateway", weight=5),
    Fault(name="freeze city-cs", weight=5),
    Fault(name="kill supervisor", weight=4),
    Fault(name="cut connections", weight=3),
    Fault(name="kill broker", weight=4, heavy=True),
    Fault(name="kill broker just declared", weight=1, heavy=True),
    Fault(name="freeze broker", weight=2, heavy=True),
    Fault(name="broker alarm", weight=2, heavy=True),
    Fault(name="kill database", weight=4, heavy=True),
)


@dataclass(slots=True, kw_only=True)
class Recovery:
    """How long from the victim being ready again (or thawed) to the next effect at the party, in seconds."""

    fault: str
    at: float
    ready_at: float = 0.0
    seconds: float | None = None


@dataclass(slots=True, kw_only=True)
class Chaos:
    """One run."""

    folder: Path
    kills: int
    seed: int
    ledger: LedgerKind = "sqlite"
    workers: int = 2
    command: tuple[str, ...] | None = None
    environment: dict[str, str] = field(default_factory=dict)
    only: tuple[str, ...] = ()
    """Names of faults to draw from; all by default."""
    settle_s: float = _SETTLE_S
    say: Callable[[str], None] = lambda _: None
    recoveries: list[Recovery] = field(default_factory=list)
    done: list[str] = field(default_factory=list)

    async def run(self) -> dict[str, Any]:
        """Returns what is printed."""
        plan = Plan(ledger=self.ledger, workers=self.workers, population=RESIDENTS, call_s=5.0, records_per_call=10)
        if self.command is not None:
            plan = Plan(
                ledger=self.ledger, workers=self.workers, population=RESIDENTS, call_s=5.0, records_per_call=10, command=self.command
            )
        rng = random.Random(self.seed)
        started = time.monotonic()
        os.environ.update(self.environment)
        async with Town(self.folder, plan) as town:
            self.say("starting the town")
            await town.start()
            register = town.register(
                events_a_day=400, days=list(range(1, 4000)), per_s=PER_S, spoil=20, watch_every_s=1.0, https_share=0.3, record_sync="os"
            )
            register.start()
            await self._first_effect(town)
            for number, fault in enumerate(self._draw(rng), start=1):
                self.say(f"{number}/{self.kills} {fault}")
                await self._strike(town, fault, rng)
                self.done.append(fault)
                await asyncio.sleep(rng.uniform(0.1, 0.8))
            self.say("no more faults: letting everything come to rest")
            await self._let_finish(town, register)
            stuck_after = await self._come_to_rest(town)
            verdict = town.verdict(time_up=True)
        times = [r.seconds for r in self.recoveries if r.seconds is not None and not r.fault.startswith("freeze")]
        frozen = [r.seconds for r in self.recoveries if r.seconds is not None and r.fault.startswith("freeze")]
        never = [r.fault for r in self.recoveries if r.seconds is None]
        recovery = {"median": _round(statistics.median(times)) if times else None, "max": _round(max(times)) if times else None}
        quick = not times or (statistics.median(times) <= RECOVERY_MEDIAN_S and max(times) <= RECOVERY_WORST_S)
        quick = quick and (not frozen or max(frozen) <= FROZEN_WORST_S) and not never
        return {
            "ok": verdict.ok and verdict.complete and quick,
            "seed": self.seed,
            "ledger": self.ledger,
            "kills": len(self.done),
            "submitted": verdict.submitted,
            "accepted": verdict.accepted,
            "effects": verdict.effects,
            "lost": verdict.lost,
            "duplicate_effects": verdict.duplicate_effects,
            "order_violations": verdict.order_violations,
            "stuck": verdict.stuck,
            "unaccepted": verdict.unaccepted,
            "foreign_effects": verdict.foreign_effects,
            "recovery_s": recovery,
            "frozen_recovery_s": {"max": _round(max(frozen)) if frozen else None},
            "never_recovered": never,
            "settled_s": _round(stuck_after),
            "run_s": _round(time.monotonic() - started),
            "faults": {name: self.done.count(name) for name in sorted(set(self.done))},
            "examples": verdict.shown()["examples"],
        }

    def _draw(self, rng: random.Random) -> list[str]:
        kinds = [f for f in FAULTS if (not self.only or f.name in self.only) and (f.name != "kill database" or self.ledger == "postgresql")]
        light = [f for f in kinds if not f.heavy] or kinds
        heavy = [f for f in kinds if f.heavy]
        drawn = []
        for n in range(self.kills):
            pool = heavy if heavy and n % 10 == 5 else light
            drawn.append(rng.choices([f.name for f in pool], [f.weight for f in pool])[0])
        return drawn

    # ---- faults ------------------------------------------------------------------------------------------------------------------

    async def _strike(self, town: Town, fault: str, rng: random.Random) -> None:
        recovery = Recovery(fault=fault, at=time.time())
        what, _, whom = fault.partition(" ")
        if fault == "kill supervisor":
            await self._kill_supervisor(town)
        elif fault == "cut connections":
            await asyncio.to_thread(_rabbitmqctl, town, "close_all_connections", "chaos")
        elif fault == "broker alarm":
            await asyncio.to_thread(_rabbitmqctl, town, "set_vm_memory_high_watermark", "0")
            await asyncio.sleep(rng.uniform(1.0, 4.0))
            await asyncio.to_thread(_rabbitmqctl, town, "set_vm_memory_high_watermark", "absolute", "1GB")
        elif fault == "kill broker just declared":
            await asyncio.to_thread(_rabbitmqctl, town, "delete_queue", "work.city-cs.live")
            await asyncio.sleep(rng.uniform(0.5, 1.5))
            await self._kill(town, "broker", rng)
        elif fault == "kill database":
            assert town.postgres is not None
            await asyncio.to_thread(town.postgres.kill)
            await asyncio.sleep(rng.uniform(0.0, 2.0))
            await asyncio.to_thread(town.postgres.start)
        elif whom == "city-cs":
            await self._city_cs(town, what, rng)
        elif what == "kill":
            await self._kill(town, whom, rng)
        else:
            await self._freeze(town, whom, rng)
        recovery.ready_at = time.time()
        recovery.seconds = await self._next_effect(town, recovery.ready_at)
        self.recoveries.append(recovery)
        if recovery.seconds is None or recovery.seconds > RECOVERY_WORST_S:
            self.say(f"    slow: {recovery.fault}: {recovery.seconds}")

    async def _kill(self, town: Town, whom: str, rng: random.Random) -> None:
        pid = self._pick(town, whom, rng)
        if pid is None:
            return
        before = set(town.ready_processes())
        with contextlib.suppress(ProcessLookupError):  # ended in between
            os.kill(pid, signal.SIGKILL)
        await self._ready_again(town, whom, pid, before)

    async def _ready_again(self, town: Town, whom: str, pid: int, before: set[int]) -> None:
        deadline = time.monotonic() + _READY_S
        while time.monotonic() < deadline:
            if whom == "broker":
                now = town.supervised().get("broker")
                if now is not None and now != pid and await _answers(town.ports.broker):
                    return
            elif any(p not in before and entry["role"] == whom for p, entry in town.ready_processes().items()):
                return
            await asyncio.sleep(0.02)
        raise ProcessFailed("not-ready-again", f"{whom} was not ready again within {_READY_S:g} s")

    async def _freeze(self, town: Town, whom: str, rng: random.Random) -> None:
        pid = self._pick(town, whom, rng)
        if pid is None:
            return
        seconds = rng.choice([1.0, 2.5, 4.0, 6.0]) if whom != "gateway" else rng.choice([2.0, 5.0, 16.0])
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            await asyncio.sleep(seconds)
            os.kill(pid, signal.SIGCONT)
        if whom != "broker":
            await town.gateway_ready(_READY_S)  # a supervisor may have replaced it

    async def _city_cs(self, town: Town, what: str, rng: random.Random) -> None:
        child = town["city-cs"]
        if what == "kill":
            child.kill()
            await asyncio.sleep(rng.uniform(0.0, 1.5))
            (town.folder / "city-cs.ready").unlink(missing_ok=True)
            child.start()
            await child.wait_ready(_READY_S)
        else:
            child.freeze()
            await asyncio.sleep(rng.choice([1.0, 4.0, 7.0]))
            child.thaw()

    async def _kill_supervisor(self, town: Town) -> None:
        """The whole gateway with its broker goes at once, as when a machine loses power; then it is started again."""
        child = town["renkei"]
        child.kill()
        for _ in range(250):
            if not town.supervised() and not await _answers(town.ports.broker):
                break
            await asyncio.sleep(0.02)
        child.start()
        await town.gateway_ready(_READY_S * 2)

    def _pick(self, town: Town, whom: str, rng: random.Random) -> int | None:
        running = [pid for name, pid in sorted(town.supervised().items()) if name == whom or name.startswith(f"{whom}-")]
        return rng.choice(running) if running else None

    # ---- waiting -----------------------------------------------------------------------------------------------------------------

    async def _first_effect(self, town: Town) -> None:
        if await self._next_effect(town, 0.0, within_s=60.0) is None:
            raise SimulatorError("no-effect", "nothing reached the party before the first fault")

    async def _next_effect(self, town: Town, after: float, within_s: float = _WATCH_S) -> float | None:
        """Seconds from ``after`` to the next effect in the party's journal."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            at = _first_effect_after(town.journal, after)
            if at is not None:
                return max(0.0, at - after)
            await asyncio.sleep(0.05)
        return None

    async def _let_finish(self, town: Town, register: Any) -> None:
        """The register stops taking new events and waits for its receipts."""
        register.signal(signal.SIGUSR1)
        try:
            await register.wait_ended(self.settle_s)
        except ProcessFailed:
            self.say("    the register still waits for receipts")

    async def _come_to_rest(self, town: Town) -> float:
        started = time.monotonic()
        while time.monotonic() - started < self.settle_s:
            verdict = town.verdict(time_up=True)
            if verdict.stuck == 0 and verdict.lost == 0:
                break
            await asyncio.sleep(1.0)
        return time.monotonic() - started


def _first_effect_after(journal: Path, after: float) -> float | None:
    """Reads the journal from its end: what is sought is near it."""
    if not journal.exists():
        return None
    found = None
    for entry in reversed(list(_tail(journal))):
        at = datetime.fromisoformat(entry["at"]).timestamp()
        if at <= after:
            break
        if entry["kind"] == "effect":
            found = at
    return found


def _tail(journal: Path, size: int = 400_000) -> list[dict[str, Any]]:
    import json

    with journal.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(0, end - size))
        data = file.read()
    lines = data.split(b"\n")[1 if end > size else 0 :]
    entries = []
    for line in lines:
        with contextlib.suppress(ValueError):  # the last one is being written
            entries.append(json.loads(line))
    return entries


async def _answers(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True


def _rabbitmqctl(town: Town, *arguments: str) -> None:
    """Against the node of this town: how to reach it is read from the node's own environment."""
    pid = town.supervised().get("broker")
    if pid is None:
        return
    try:
        raw = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return
    env = dict(item.decode().partition("=")[::2] for item in raw if item)
    env["RABBITMQ_CTL_ERL_ARGS"] = "-start_epmd false"
    subprocess.run(["/usr/lib/rabbitmq/bin/rabbitmqctl", "--quiet", *arguments], env=env, capture_output=True, timeout=30, check=False)


def _round(value: float) -> float:
    return round(value, 2)


__all__ = ["FAULTS", "Awaitable", "Chaos", "Fault", "read_entries"]
