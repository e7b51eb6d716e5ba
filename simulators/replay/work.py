"""Everybody of the city at work: the register, our other systems, the kiosks, and what happens beside; for a replay and for the demo."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

from simulators.city import City
from simulators.harness.town import Plan
from simulators.harness.whole import WholeTown
from simulators.journal import read_entries
from simulators.references import References
from simulators.replay.accounts import Books, hold_together, read_journals, read_kiosks, read_records
from simulators.replay.beside import Beside
from simulators.replay.concerned import Concerned
from simulators.replay.counter import HTTPS_SHARE, Counter
from simulators.replay.house import House
from simulators.replay.kiosks import Kiosks
from simulators.replay.month import DayPlan, Month
from simulators.replay.network import Network
from simulators.replay.terminals import QUESTIONS, Terminals
from simulators.replay.townhall import Townhall
from simulators.replay.ways import CITY_CS, IMMIGRATION, PORTAL, REGISTER, WORKS, Present, handed_in

FETCH_AT = {IMMIGRATION: "06:00", PORTAL: "07:05"}
"""A replay steps the business clock once a day, so the hourly fetch of applications has one moment on it."""


def town_of(folder: Path, present: Present, *, outlive: bool = False, **plan: Any) -> WholeTown:
    """A town with these parties. ``plan``: further settings of its :class:`Plan`."""
    ways = handed_in(present.everybody)
    made = Plan(
        parties=present.parties, mailboxes=present.mailboxes, systems=present.systems, inbound=True, profile="test",
        types=(*ways[REGISTER], *(QUESTIONS if present.terminals else ())), fetch_at=FETCH_AT, **plan,
    )  # fmt: skip
    senders = {system: sorted({kind.partition(" ")[0] for kind in types}) for system, types in ways.items() if system != REGISTER}
    works = {system: each for system, each in WORKS.items() if system in present.systems}
    return WholeTown(folder, made, senders=senders, works=works, kiosks=present.kiosks, outlive=outlive)


class Work:
    """See the module's text. A context manager; belongs to the event loop."""

    def __init__(
        self, town: WholeTown, present: Present, city: City, month: Month, references: References, hall: Townhall, *,
        https_share: float = HTTPS_SHARE, requests_a_day: int | None = None,
    ) -> None:  # fmt: skip
        self.town, self.present, self._hall = town, present, hall
        self.counter = Counter(town, month, references, https_share=https_share)
        self.house = House(town, references)
        self.network = Network(self.house)
        self.beside = Beside(self.house, city, hall)
        self.kiosks = Kiosks(self.house, city, requests_a_day=requests_a_day) if present.kiosks else None
        self.terminals = Terminals(self.house, city, hall) if present.terminals else None
        self.house.by_register = self.counter.put
        self.counter.changed, self.counter.paired = self._changed, self.network.passed_on
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.house)
            if self.kiosks is not None:
                await stack.enter_async_context(self.kiosks)
            if self.terminals is not None:
                await stack.enter_async_context(self.terminals)
            await stack.enter_async_context(self.counter)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def _changed(self, who: Concerned) -> None:
        self.beside.changed(who)
        if self.present.systems:
            self.network.changed(who)

    # ---- the course of a day

    async def opening(self) -> None:
        """What is permitted, and what everybody knows before the first day."""
        if self.town.works:
            await self._hall.permit(self.town.approvals)
        self.beside.opening()
        if self.terminals is not None:
            self.terminals.opening()
        if self.kiosks is not None:
            self.kiosks.opening()

    def opened(self) -> None:
        """The same, as far as it needs what was said before."""
        if self.kiosks is not None:
            self.kiosks.taxes()

    async def morning(self, number: int) -> None:
        """What lies in the mailboxes when the business clock comes to a day."""
        await self._hall.begin(self.beside.morning(number))

    async def day(self, plan: DayPlan, *, per_s: float | None = None) -> None:
        """The day itself; returns when the doors have all of the register's."""
        await self._hall.begin(plan.happenings)
        over_s = len(plan.messages) / per_s if per_s is not None else 0.0
        if self.kiosks is not None:
            self.kiosks.day(plan.number, over_s=over_s)
        if self.terminals is not None:
            self.terminals.day(over_s=over_s)
        await self.counter.hand_in(plan, per_s=per_s)

    async def evening(self, number: int) -> None:
        """What is done when the day is through."""
        self.network.evening()
        await self.beside.evening(number)

    @property
    def quiet(self) -> bool:
        """Nobody here has anything in hand."""
        return self.counter.quiet and self.house.quiet

    def pending(self) -> Mapping[str, int]:
        """What is missing, for who waits in vain."""
        return {**self.counter.pending(), "in_house": self.house.in_hand, **self.house.refused}

    # ---- the books

    def books(self, tally: Mapping[str, Any], *, time_up: bool) -> Books:
        """All of them held against each other; the journals are read as they are now."""
        records = read_records(self.present, self.town.folder)
        return hold_together(
            records=records, journals=read_journals(self.present, self.town.folder), tally=tally,
            city_cs=read_entries(self.town.journal_of(CITY_CS)), handed_in=handed_in(self.present.everybody),
            kiosks=read_kiosks(self.present, self.town.folder), dialogues=self.terminals.found if self.terminals is not None else None,
            time_up=time_up,
        )  # fmt: skip
