"""``renkei chaos``: traffic while processes are killed and frozen, then a verdict from what the register sent and the party journalled.

The gateway is judged from outside, as a user would: its own ledger is not looked at. Few residents have many messages each under way, so
that order is put to the test; some messages are refused by the party and replaced by the register, and what comes behind them must wait.
The party takes what comes out of order (instead of refusing it, which the register would put right again), so that it shows in the journal.
What happens to whom is drawn from a seed. After the last fault everything is let run until all is through, or time is up.
"""

from __future__ import annotations

import asyncio
import random
import signal
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from simulators.errors import ProcessFailed, SimulatorError
from simulators.harness.admin import OnDuty
from simulators.harness.strikes import Striker, Struck, draw
from simulators.harness.town import LedgerKind, Plan, Town
from simulators.harness.watching import Watch
from simulators.verdict import Verdict

RESIDENTS = 60
KINDS = ("MOVE", "AMEND_OFF", "HH_HEAD")
"""What happens in the city: nobody leaves, so that every resident has one message after the other."""
SPOIL_EVERY = 20
"""One in-city move in so many is refused by the party (E102) and replaced by the register, in the first part of a run."""
RECOVERY_MEDIAN_S, RECOVERY_WORST_S, FROZEN_WORST_S = 3.0, 10.0, 20.0
SILENCE_WORST_S = 50.0
"""After the last fault, as long as something is not through: the residents that one accident concerned must not wait for long either. A
record that the party refuses while an earlier attempt of it is open waits until that has settled (R9): 2 s + call + 30 s of the city CS."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One run. Times in seconds."""

    kills: int
    seed: int
    ledger: LedgerKind = "sqlite"
    workers: int = 2
    only: tuple[str, ...] = ()
    """Names of faults to draw from; all by default."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """For the processes of the gateway, besides ours."""
    per_s: float = 40.0
    """Messages a second that the register hands in meanwhile."""
    pause_s: tuple[float, float] = (0.1, 0.8)
    """Between two faults."""
    lead_s: float = 1.0
    """Traffic before the first fault."""
    watch_s: float = 30.0
    """How long an effect is waited for after a fault; if none comes, no more faults are done."""
    settle_s: float = 90.0
    """After the last fault, without any progress: then time is up."""
    resend_after_s: float = 10.0
    """After that the register sends again what has no receipt."""
    replaces: bool = True
    """The register replaces what is held."""
    slow: float = 0.05
    """Share of calls that the party carries out but answers late, piece by piece."""
    resets: float = 0.01
    """Share of calls that end without an answer: half of them carried out."""
    retry: Mapping[str, Any] = field(default_factory=lambda: {"first_s": 0.5, "longest_s": 5.0, "budget": 12})

    def plan(self, folder: Path) -> Plan:
        """The town for it."""
        script = folder / "faults.yaml"
        put = [
            {"kind": "slow-drip", "rate": self.slow, "interval_s": 0.15, "chunk_bytes": 400},
            {"kind": "reset", "rate": self.resets / 2, "takes_effect": True},
            {"kind": "reset", "rate": self.resets / 2, "takes_effect": False, "seed": self.seed + 1},
        ]
        steps = [{"after_s": 0, "put": fault} for fault in put if fault["rate"]]
        script.write_text(yaml.safe_dump({"seed": self.seed, "steps": steps}), encoding="utf-8")
        return Plan(
            ledger=self.ledger,
            workers=self.workers,
            population=RESIDENTS,
            city_seed=1 + self.seed % 1000,
            calls=4,
            records_per_call=8,
            call_s=8.0,
            retry=self.retry,
            simulator={"order_checked": False, "faults": str(script)},
            environment=dict(self.environment),
        )


class Chaos:
    """One run in a folder of its own."""

    def __init__(self, folder: Path, settings: Settings, say: Callable[[str], None] = lambda _: None) -> None:
        self._folder = folder
        self._settings = settings
        self._say = say
        self._struck: list[tuple[Struck, float | None]] = []

    async def run(self) -> dict[str, Any]:
        """Returns what is printed.

        :raises SimulatorError: the town did not come up, or did not come back after a fault.
        """
        settings, started = self._settings, time.monotonic()
        rng = random.Random(settings.seed)
        faults = draw(rng, settings.kills, settings.ledger, settings.only)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        async with Town(self._folder, settings.plan(self._folder)) as town:
            self._say("starting gateway, broker and city CS")
            await town.start()
            watch = Watch(town.journal, town.record)
            register = self._register(town)
            register.start()
            if await watch.effect_after(0.0, 60.0) is None:
                raise SimulatorError("no-effect", f"nothing reached the party before the first fault; see {town.var / 'log'}")
            await asyncio.sleep(settings.lead_s)
            striker = Striker(town, rng)
            stopped = None
            for number, fault in enumerate(faults, start=1):
                self._say(f"{number}/{settings.kills} {fault}")
                try:
                    if not await self._one(striker, watch, fault):
                        break
                except ProcessFailed as error:  # what does not come back is a finding, not a failure of the harness
                    stopped = str(error)
                    self._say(f"    {stopped}")
                    break
                await asyncio.sleep(rng.uniform(*settings.pause_s))
            self._say("no more faults: letting everything come to rest")
            quiet_from = time.time()
            async with OnDuty(town) as on_duty:
                settled_s = await self._come_to_rest(town, watch, register, on_duty)
            if stopped is None and register.exit_code not in (None, 0):
                stopped = f"the register ended with {register.exit_code}"
            verdict = town.verdict(time_up=True)
            silence_s = watch.silence_after(quiet_from)
        return {
            **self._report(verdict, watch.healed, silence_s, stopped),
            "released_after_crashes": len(on_duty.released),
            "settled_s": _round(settled_s),
            "run_s": _round(time.monotonic() - started),
        }

    def _register(self, town: Town) -> Any:
        settings = self._settings
        return town.register(
            kinds=list(KINDS),
            events_a_day=400,
            days=list(range(1, 2000)),
            per_s=settings.per_s,
            spoil=6 + settings.kills // 2 if settings.replaces else 0,
            spoil_every=SPOIL_EVERY,
            watch_every_s=1.0 if settings.replaces else None,
            https_share=0.4,
            https_timeout_s=10.0,
            order="confirm",
            amqp={"resend_after_s": settings.resend_after_s},
        )

    async def _one(self, striker: Striker, watch: Watch, fault: str) -> bool:
        """Do one fault; ``False``: nothing has taken effect since."""
        struck = await striker.strike(fault)
        if struck is None:
            return True
        if fault == "freeze gateway":
            # the doors were frozen: what counts is when something handed in since then was accepted and took effect
            accepted = await watch.accepted_after(struck.at + 0.1, self._settings.watch_s)
            effect = None if accepted is None else await watch.effect_after(struck.at + 0.1 + accepted, self._settings.watch_s)
            seconds = None if accepted is None or effect is None else 0.1 + accepted + effect
        else:
            seconds = await watch.effect_after(struck.ready_at, self._settings.watch_s)
        self._struck.append((struck, seconds))
        bar = FROZEN_WORST_S if fault == "freeze gateway" else RECOVERY_WORST_S
        note = "never recovered" if seconds is None else f"recovered in {seconds:.2f} s"
        if seconds is None or seconds > RECOVERY_MEDIAN_S:
            late = " (too late)" if seconds is None or seconds > bar else ""
            ready_s = struck.ready_at - struck.at
            self._say(f"    {note}{late}; struck at {struck.at:.2f}, ready after {ready_s:.2f} s")
        return seconds is not None

    async def _come_to_rest(self, town: Town, watch: Watch, register: Any, on_duty: OnDuty) -> float:
        """Until all is through, or nothing has moved for long. What three crashes have left held, a person releases (R8)."""
        started = moved = time.monotonic()
        register.signal(signal.SIGUSR1)
        seen = (-1, -1)
        while time.monotonic() - moved < self._settings.settle_s:
            watch.look()
            await on_duty.look()
            now = (len(watch.effects), len(watch.accepted))
            if now != seen:
                seen, moved = now, time.monotonic()
            verdict = town.verdict(time_up=True)
            if not register.running and verdict.complete and verdict.stuck == 0 and verdict.lost == 0:
                break
            if not register.running and not verdict.complete:
                break
            await asyncio.sleep(0.5)
        return time.monotonic() - started

    def _report(self, verdict: Verdict, healed: int, silence_s: float, stopped: str | None) -> dict[str, Any]:
        settings = self._settings
        times = [s for struck, s in self._struck if s is not None and struck.fault != "freeze gateway"]
        frozen = [s for struck, s in self._struck if s is not None and struck.fault == "freeze gateway"]
        never = [struck.fault for struck, s in self._struck if s is None]
        quick = not never and (not times or (statistics.median(times) <= RECOVERY_MEDIAN_S and max(times) <= RECOVERY_WORST_S))
        quick = quick and (not frozen or max(frozen) <= FROZEN_WORST_S)
        quick = quick and silence_s <= SILENCE_WORST_S
        slowest = sorted(((s, struck.fault) for struck, s in self._struck if s is not None), reverse=True)[:5]
        done = [struck.fault for struck, _ in self._struck]
        without_effect = verdict.accepted - verdict.replaced - (verdict.effects - verdict.duplicate_effects - verdict.foreign_effects)
        return {
            "ok": verdict.ok and verdict.complete and quick and not healed and not without_effect and stopped is None,
            "seed": settings.seed,
            "kills": len(self._struck),
            "submitted": verdict.submitted,
            "accepted": verdict.accepted,
            "effects": verdict.effects,
            "lost": verdict.lost,
            "duplicate_effects": verdict.duplicate_effects,
            "order_violations": verdict.order_violations,
            "stuck": verdict.stuck,
            "recovery_s": {"median": _round(statistics.median(times)) if times else None, "max": _round(max(times)) if times else None},
            "frozen_intake_s": {"max": _round(max(frozen)) if frozen else None},
            "longest_silence_s": _round(silence_s),
            "never_recovered": never,
            "slowest": [{"fault": fault, "s": _round(s)} for s, fault in slowest],
            "ledger": settings.ledger,
            "unaccepted": verdict.unaccepted,
            "refused": verdict.refused,
            "replaced": verdict.replaced,
            "without_effect": without_effect,
            "healed": healed,
            "foreign_effects": verdict.foreign_effects,
            "not_back": stopped,
            "faults": {name: done.count(name) for name in sorted(set(done))},
            "examples": verdict.shown()["examples"],
        }


def _round(value: float) -> float:
    return round(value, 2)


def with_bug(settings: Settings, environment: Mapping[str, str]) -> Settings:
    """The same run with a planted bug in the gateway."""
    return replace(settings, environment={**settings.environment, **environment})
