"""The demo as it goes: what is started, what is made to fail and when, and what is said about it.

The gateway, the parties outside (the *world*) and our own systems (the *office*) are processes, started as an operator would start them;
the register runs in here, so that its day can be told. What each event of the day asks for goes to every party
(:mod:`simulators.replay.month`). One resident's message is rejected early in the day; at 40 % of the day the city CS goes down for a
while; at 70 % the register replaces the rejected message.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from simulators.city import City
from simulators.demo.books import Books, Reckoning, Tail
from simulators.demo.eyes import Eyes, Glance, as_typed
from simulators.demo.kept import Folder
from simulators.demo.screen import Now, Screen
from simulators.demo.story import StoryDay
from simulators.demo.text import language, t
from simulators.errors import ProcessFailed, SimulatorError
from simulators.harness.town import Town
from simulators.references import References
from simulators.replay.accounts import Books as AllBooks
from simulators.replay.flows import Flow, flows_of
from simulators.replay.month import Month
from simulators.replay.townhall import Townhall
from simulators.replay.ways import CITY_CS, REGISTER, SETS, handed_in
from simulators.replay.work import Work, town_of
from simulators.settings import read_secret

PRESENT = SETS["all"]
FEED_LONGEST_S, FEED_SHORTEST_S, FEED_PER_S = 40.0, 16.0, 20.0
"""The day is handed in within this time: slowly enough to see something."""
HTTPS_SHARE = 0.3
DOWN_S = 8.0
DOWN_AT, REPLACE_AT = 0.4, 0.7
LOOK_AFTER_S = 4.0
"""Into the outage, when the operator looks."""
PATIENCE_S = 60.0
"""For anything that must happen on the way."""
LIMIT_S = 180.0
"""For the whole day, beyond the time of handing in."""
DAY_S = 86_400.0
MORE_EVENTS = 100
"""Of the next day, for who wants to go on by hand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What is wanted."""

    population: int = 400_000
    events: int | None = None
    seed: int = 1
    keep: bool = False


@dataclass(slots=True, kw_only=True)
class Told:
    """What happened, for the result."""

    outage: dict[str, Any] = field(default_factory=dict)
    hold: dict[str, Any] = field(default_factory=dict)
    disturbed: list[tuple[float, float]] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """All books."""

    updates: Reckoning
    all: AllBooks
    flows: tuple[Flow, ...]

    @property
    def ok(self) -> bool:
        """All agree."""
        return self.updates.ok and self.all.ok


class Director:
    """One demo. Belongs to the event loop of the main thread, since children end with the thread that started them."""

    def __init__(self, folder: Folder, options: Options, screen: Screen) -> None:
        self.folder = folder
        self.options = options
        self.screen = screen
        self.town = town_of(
            folder.path, PRESENT, outlive=options.keep, population=options.population, city_seed=options.seed, records_per_call=10
        )
        self.told = Told()
        self.began = time.monotonic()
        self.books = Books(record=Tail(self.town.record), journal=Tail(self.town.journal))
        self.story: StoryDay
        self.events = 0
        self._glance = Glance()
        self._eyes: Eyes
        self._work: Work
        self._hall = Townhall(self.town)

    async def play(self) -> Outcome:
        """The whole demo, up to all books held against each other. Leaves everything running.

        :raises SimulatorError: it cannot be started, or does not go on.
        """
        await self._start()
        async with Eyes(self.town) as self._eyes, self._hall:
            self.screen.open()
            watching = asyncio.get_running_loop().create_task(self._watch())
            try:
                time_up = not await self._day()
            finally:
                watching.cancel()
                with contextlib.suppress(asyncio.CancelledError):  # our own
                    await watching
                self.screen.close()
        self.screen.say("reconciling") if not time_up else self.screen.say("time-up", seconds=self._limit_s, style="bold red")
        updates = self.books.reckon(self.told.disturbed, [self.story.reference], time_up=time_up)
        books = self._work.books(await self._hall.tally(), time_up=time_up)
        return Outcome(updates=updates, all=books, flows=flows_of(books, inquiries=self._work.beside.inquiries.total()))

    async def take_queue(self) -> None:
        """Somebody else takes what comes to our queues from now on."""
        after = self.town.after()
        after.start()
        self._note()
        await after.wait_ready(60)

    def _note(self) -> None:
        self.folder.note(self.town.processes, self.town.processes.started())

    async def stop(self) -> None:
        """End everything."""
        await self.town.stop()

    # ---- start ------------------------------------------------------------------------------------------------------------------------

    async def _start(self) -> None:
        town = self.town
        city = City(self.options.seed, self.options.population)
        self.events = self.options.events or city.peak_events()
        town.set_up()
        references = References(read_secret(town.salt_file))
        try:
            self.story = StoryDay(city, references, day=1, events=self.events)
        except ValueError as error:
            raise SimulatorError("city-too-small", str(error)) from error
        title = t("title", population=self.options.population, seed=self.options.seed, events=self.events)
        self.screen.title(title)
        self.screen.say("starting")
        outside = [town.city_cs(), *map(town.simulator, PRESENT.mailboxes)]
        for child in (*outside, town.gateway()):
            child.start()
        self._note()
        try:
            for child in outside:
                await child.wait_ready(90)
            await town.gateway_ready(120)
        except ProcessFailed as error:
            raise SimulatorError(error.code, f"{error.detail}{_last_line(town)}") from error
        self.screen.say("started")

    # ---- the day ----------------------------------------------------------------------------------------------------------------------

    @property
    def _feed_s(self) -> float:
        return min(FEED_LONGEST_S, max(FEED_SHORTEST_S, self.events / FEED_PER_S))

    @property
    def _limit_s(self) -> float:
        return self._feed_s + LIMIT_S + self.events / FEED_PER_S

    async def _day(self) -> bool:
        """Returns whether everything came through in time."""
        references = References(read_secret(self.town.salt_file))
        city = City(self.options.seed, self.options.population)
        month = Month(city, references, types=handed_in(PRESENT.everybody)[REGISTER], notice_after=0)
        loop = asyncio.get_running_loop()
        async with Work(self.town, PRESENT, city, month, references, self._hall, https_share=HTTPS_SHARE) as self._work:
            await self._opening()
            self._work.counter.replacing = False
            handing, telling = loop.create_task(self._hand_in(month)), loop.create_task(self._tell())
            try:
                done, pending = await asyncio.wait({handing, telling}, timeout=self._limit_s, return_when=asyncio.FIRST_EXCEPTION)
                for task in done:
                    task.result()
                return not pending
            finally:
                for task in (handing, telling):
                    task.cancel()
                await asyncio.gather(handing, telling, return_exceptions=True)

    async def _opening(self) -> None:
        """What everybody knows before the day; then it becomes morning.

        :raises SimulatorError: it does not.
        """
        self.screen.say("opening")
        try:
            async with asyncio.timeout(LIMIT_S):
                self._work.opening()
                await self._quiet()
                self._work.opened()
                await self._quiet()
                await self._work.morning(1)
                await self._hall.step(self._eyes, DAY_S)
        except TimeoutError as error:
            raise SimulatorError("demo-does-not-go-on", f"the day does not begin: {self._work.pending()}") from error
        self.screen.say("day")

    async def _quiet(self) -> None:
        while not (self._work.quiet and await self._hall.quiet(self._eyes)):  # noqa: ASYNC110 the gateway is asked, nobody tells
            await asyncio.sleep(0.2)

    async def _hand_in(self, month: Month) -> None:
        """All of the day, and what happens elsewhere because of it; until nothing is under way any more."""
        plan = month.plan(1, self.story.events, {self.story.mistaken.ce_id})
        await self._work.day(plan, per_s=len(plan.messages) / self._feed_s)
        await self._hall.begin(month.due(1))
        await self._quiet()
        await self._work.evening(1)
        await self._quiet()

    async def _watch(self) -> None:
        while True:
            self.books.look()
            self._glance = await self._eyes.glance() or self._glance
            self.screen.now(self._now())
            await asyncio.sleep(0.3)

    def _now(self) -> Now:
        books = self.books
        return Now(counts=books.counts, events=self.events + 1, others=books.others, came=self._came, glance=self._glance)

    @property
    def _came(self) -> int:
        """Before the day there is no register."""
        return self._work.counter.came if hasattr(self, "_work") else 0

    async def _tell(self) -> None:
        await self._rejection()
        await self._outage()
        await self._replacement()
        if self.books.total("submitted") > self.events:
            self.screen.say("waiting-rest")

    async def _rejection(self) -> None:
        await self._until("rejected", lambda: self._glance.held >= 1)
        refused = next(e for e in self._of_resident() if e["kind"] == "refused")
        self.told.hold = {"code": refused["code"], "update_sequence_number": refused["update"]}
        self.screen.say("rejected", code=refused["code"])
        await self._until("behind", self._all_behind)
        self.told.hold["behind"] = len(self.story.followers)
        self.screen.say("behind", count=len(self.story.followers))
        await self._operator("held")

    async def _all_behind(self) -> bool:
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):  # asked again
            items = (await self._eyes.get("held"))["items"]
            return any(item["behind"] >= len(self.story.followers) for item in items)
        return False

    async def _outage(self) -> None:
        await self._until("fed", lambda: self.books.total("submitted") >= self.events * DOWN_AT)
        self.screen.say("down", seconds=DOWN_S)
        began = time.time()
        await self._hall.control(CITY_CS, "POST", "faults", {"kind": "down", "for_s": DOWN_S})
        await self._until("breaker", lambda: self._glance.breaker != "closed")
        await asyncio.sleep(max(0.0, LOOK_AFTER_S - (time.time() - began)))
        self.screen.say("down.look", count=self._glance.unfinished)
        await self._operator("status")
        await asyncio.sleep(max(0.0, DOWN_S - (time.time() - began)))
        waited = self._glance.unfinished
        effects = self.books.total("effect")
        await self._until("back", lambda: self.books.total("effect") > effects)
        after_s = max(0.0, self.books.first_effect_after(began + DOWN_S) - began - DOWN_S)
        self.screen.say("back", seconds=after_s, count=waited)
        await self._until("caught-up", lambda: self._glance.breaker == "closed" and self._glance.backing_off == 0)
        self.told.disturbed.append((began, time.time()))
        self.told.outage = {"down_s": DOWN_S, "waited": waited, "first_effect_after_s": round(after_s, 3)}

    async def _replacement(self) -> None:
        await self._until("fed", lambda: self.books.total("submitted") >= self.events * REPLACE_AT)
        update = self.told.hold["update_sequence_number"]
        self.screen.say("replacing", update=update, abnormal=1)
        self._work.counter.replacing = True
        self._work.counter.replace()
        expected = [update + n for n in range(1 + len(self.story.followers))]
        await self._until("freed", lambda: self._effects_of_resident() == expected)
        entries = self._of_resident()
        refused, freed = (next(e for e in entries if e["kind"] == kind) for kind in ("refused", "effect"))
        self.told.hold |= {
            "abnormal_update_sequence_number": freed["abnormal"],
            "held_s": round((freed["mono_ns"] - refused["mono_ns"]) / 1e9, 1),
            "effects_in_order": expected,
        }
        self.screen.say("freed", updates=", ".join(map(str, expected)))
        await self._operator("message", self.story.mistaken.ce_id)

    def _of_resident(self) -> list[dict[str, Any]]:
        return self.books.of_resident(self.story.reference)

    def _effects_of_resident(self) -> list[int]:
        return [entry["update"] for entry in self._of_resident() if entry["kind"] == "effect"]

    # ---- means ------------------------------------------------------------------------------------------------------------------------

    async def _until(self, what: str, condition: Callable[[], bool | Awaitable[bool]]) -> None:
        """:raises SimulatorError: it does not come true."""
        deadline = time.monotonic() + PATIENCE_S + self._feed_s
        while True:
            holds = condition()
            if holds if isinstance(holds, bool) else await holds:
                return
            if time.monotonic() > deadline:
                raise SimulatorError("demo-does-not-go-on", f"waited in vain for: {what}; see {self.town.var / 'log'}")
            await asyncio.sleep(0.1)

    async def _operator(self, *arguments: str) -> None:
        """An operator types a command; what it shows is shown."""
        environment = {"RENKEI_CONFIG": str(self.town.config), "RENKEI_OPERATOR": "operator-a", "RENKEI_LANG": language()}
        code, shown = await as_typed([*self.town.plan.command, *arguments], columns=self.screen.command_columns, environment=environment)
        self.screen.command(" ".join(("renkei", *arguments)), shown)
        if code != 0:
            raise SimulatorError("command-failed", f"renkei {' '.join(arguments)} ended with {code}")

    def write_more(self) -> StoryDay:
        """Files with the next day, for who wants to go on by hand; the resident of the first day has no part in it."""
        city = City(self.options.seed, self.options.population)
        for _ in city.day(1, self.events - 3):
            pass
        references = References(read_secret(self.town.salt_file))
        events = min(MORE_EVENTS, self.events)
        more = StoryDay(city, references, day=2, events=events, without={self.story.resident})
        more.write(self.folder.path / "day-2.jsonl", self.folder.path / "replacement.jsonl")
        return more


def _last_line(town: Town) -> str:
    """Of the supervisor's log: why it ended, as a rule."""
    log = town.folder / "log" / "renkei.log"
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() if log.exists() else []
    return f"\n{lines[-1]}" if lines else ""
