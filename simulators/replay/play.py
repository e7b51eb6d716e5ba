"""The month as it goes: a town is started, each day handed in, everything waited for, the business clock put to the next day."""

from __future__ import annotations

import asyncio
import os
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from simulators.city import City
from simulators.errors import SimulatorError
from simulators.harness.admin import OnDuty
from simulators.harness.whole import WholeTown
from simulators.references import References
from simulators.replay.accounts import Books
from simulators.replay.disturbing import Disturber
from simulators.replay.flows import Flow, flows_of
from simulators.replay.month import DayPlan, Month
from simulators.replay.townhall import Townhall
from simulators.replay.ways import REGISTER, SETS, handed_in
from simulators.replay.work import Work, town_of

DAY_S = 86_400.0
SHORTEST_LOOK_S, LONGEST_LOOK_S = 0.05, 0.4
"""How often is looked whether all is quiet: seldom while it is not, since each look asks everybody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What is wanted. ``patience_s``: how long a day may take to become quiet."""

    days: int = 30
    population: int = 400_000
    seed: int = 1
    parties: str = "all"
    faults: bool = False
    events_a_day: int | None = None
    workers: int = 1
    patience_s: float = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What became of it. Times in seconds; ``cpu_s``: of all processes, this one among them, from when
    they were ready; of a process that was killed what it had used is missing."""

    books: Books
    flows: tuple[Flow, ...]
    days: int
    messages: int
    deliveries: int
    replaced: int
    disturbed: dict[str, int]
    start_s: float
    run_s: float
    cpu_s: float
    cpu_by: dict[str, float]
    """By process, where it lives."""

    def shown(self, options: Options) -> dict[str, Any]:
        """As JSON."""
        return {
            "ok": self.books.ok,
            "days": self.days,
            "population": options.population,
            "seed": options.seed,
            "parties": options.parties,
            "faults": self.disturbed,
            "messages": self.messages,
            "deliveries": self.deliveries,
            "replaced": self.replaced,
            "start_s": round(self.start_s, 1),
            "run_s": round(self.run_s, 1),
            "cpu_s": round(self.cpu_s, 1),
            "cpu_by": {name: round(spent, 1) for name, spent in sorted(self.cpu_by.items(), key=lambda each: -each[1])},
            "cpu_ms_per_delivery": round(self.cpu_s * 1000 / max(1, self.deliveries), 2),
            "flows": [asdict(each) for each in self.flows],
            **self.books.shown(),
        }


def town_for(folder: Path, options: Options) -> WholeTown:
    """The town."""
    return town_of(
        folder, SETS[options.parties],
        workers=options.workers, population=options.population, city_seed=options.seed, records_per_call=100,
        call_s=4.0 if options.faults else 30.0, acknowledge_s=10.0, retry={"first_s": 0.3, "longest_s": 2.0, "budget": 60},
    )  # fmt: skip


class Replay:
    """One replay. A context manager that ends its processes; belongs to the event loop of the main thread."""

    def __init__(self, folder: Path, options: Options, tell: Callable[[str, dict[str, Any]], None] = lambda what, values: None) -> None:
        """``tell``: hears of each day (``day``) what it brought."""
        self.town = town_for(folder, options)
        self.options = options
        self._tell = tell
        self._offset_days = 0
        self._work: Work
        self._duty: OnDuty
        self._hall = Townhall(self.town)

    async def __aenter__(self) -> Replay:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.town.stop()

    async def play(self) -> Found:
        """All days, and the books.

        :raises SimulatorError: it cannot be started, or a day does not become quiet.
        """
        options, town = self.options, self.town
        began = time.monotonic()
        await asyncio.to_thread(town.set_up)
        await town.start()
        references = References(town.salt_file.read_text())
        city = City(options.seed, options.population)
        present = SETS[options.parties]
        month = Month(city, references, types=handed_in(present.everybody)[REGISTER], events_a_day=options.events_a_day)
        ready, spent = time.monotonic(), self._cpu_by()
        disturber = Disturber(town, seed=options.seed, control=self._hall.control) if options.faults else None
        async with (
            self._hall,
            OnDuty(town) as self._duty,
            Work(town, present, city, month, references, self._hall) as self._work,
        ):
            await self._opening()
            for number in range(1, options.days + 1):
                await self._work.morning(number)
                await self._step_to(city, number)
                await self._day(month.day(number), disturber)
            tally = await self._hall.tally()
        run_s, cpu_by = time.monotonic() - ready, self._cpu_by()
        cpu_by = {name: used - spent.get(name, 0.0) for name, used in cpu_by.items()}
        books = self._work.books(tally, time_up=True)
        return Found(
            books=books, flows=flows_of(books, inquiries=self._work.beside.inquiries.total()), days=options.days,
            messages=sum(each["count"] for each in tally["messages"]),
            deliveries=sum(each["count"] for each in tally["deliveries"]), replaced=self._work.counter.replaced,
            disturbed=dict(disturber.done) if disturber is not None else {}, start_s=ready - began, run_s=run_s,
            cpu_s=sum(cpu_by.values()), cpu_by=cpu_by,
        )  # fmt: skip

    async def _opening(self) -> None:
        self._work.opening()
        await self._quiet(0)
        self._work.opened()
        await self._quiet(0)

    # ---- a day -----------------------------------------------------------------------------------------------------------------

    async def _day(self, plan: DayPlan, disturber: Disturber | None) -> None:
        began = time.monotonic()
        disturbing = asyncio.get_running_loop().create_task(disturber.day()) if disturber is not None else None
        try:
            await self._work.day(plan)
            fed_s = time.monotonic() - began
            if disturbing is not None:
                await disturbing
            await self._quiet(plan.number)
            await self._work.evening(plan.number)
            await self._quiet(plan.number)
        finally:
            if disturbing is not None:
                disturbing.cancel()
                await asyncio.gather(disturbing, return_exceptions=True)
        self._tell("day", {"day": plan.number, "messages": len(plan.messages), "fed_s": fed_s, "s": time.monotonic() - began})

    async def _quiet(self, number: int) -> None:
        """Nothing is under way anywhere, seen twice in a row.

        :raises SimulatorError: it does not come to that.
        """
        deadline, seen, pause_s = time.monotonic() + self.options.patience_s, 0, SHORTEST_LOOK_S
        while seen < 2:
            if time.monotonic() > deadline:
                raise SimulatorError("replay-not-quiet", f"day {number} does not end: {self._work.pending()}; see {self.town.var / 'log'}")
            was_quiet = self._work.quiet and await self._hall.quiet(self._duty)
            seen = seen + 1 if was_quiet else 0
            pause_s = SHORTEST_LOOK_S if was_quiet else min(pause_s * 1.5, LONGEST_LOOK_S)
            if self.options.faults:
                await self._duty.look()
            await asyncio.sleep(pause_s)

    async def _step_to(self, city: City, number: int) -> None:
        """The business clock is put to a day; real time is what it is."""
        # where something is fetched, the first day has a morning, too
        days = (city.date_of(number) - city.date_of(1)).days + bool(self.town.plan.mailboxes)
        if days != self._offset_days:
            await self._hall.step(self._duty, days * DAY_S)
            self._offset_days = days

    def _cpu_by(self) -> dict[str, float]:
        """Of the town's processes that live, and of this one."""
        own = os.times()
        named = {pid: name for name, pid in (*self.town.supervised().items(), *self.town.processes.started().items())}
        found: defaultdict[str, float] = defaultdict(float, {"replay": own.user + own.system})
        for pid in {*self.town.processes.leftovers(), *named}:  # the broker's environment is a clean one
            found[named.get(pid, "other")] += cpu_of(pid)
        return found


def cpu_of(pid: int) -> float:
    """Seconds of CPU time of a process and its ended children; 0 if it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


__all__ = ["Found", "Options", "Replay", "cpu_of", "town_for"]
