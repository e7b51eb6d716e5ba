"""A synthetic city: residents and their events, deterministic by seed and visibly fictitious.

``City(seed, population)`` knows its residents by random access and its days in order; nothing is stored for those who do nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import date, timedelta

from message_formats.samples import municipality_code
from simulators.city.daily import Sent, beside, following, protection_marks
from simulators.city.events import EVENTS_PER_1000, KINDS, PEAK, WORKING_DAYS, Day, Event, World, base_items, replacement, spoiled
from simulators.city.people import Address, People, Resident

__all__ = ["KINDS", "Address", "City", "Event", "Resident", "Sent", "replacement", "spoiled"]


class City:
    """One synthetic city.

    :param population: residents on the first day; 1 to 4,000,000.
    :param first_day: day 1 of the stream; days are working days.
    :param kinds: what happens in this city; everything by default. With ``("MOVE", "AMEND_OFF")``, say, nobody comes or goes.
    """

    def __init__(
        self, seed: int = 1, population: int = 400_000, *, first_day: date = date(2026, 4, 1), kinds: Collection[str] = KINDS
    ) -> None:
        if not 1 <= population <= 4_000_000:
            raise ValueError("a city has 1 to 4,000,000 residents")
        if not kinds or not set(kinds) <= set(KINDS):
            raise ValueError(f"something must happen in a city, of {', '.join(KINDS)}")
        self.seed = seed
        self.population = population
        self.first_day = first_day
        self.kinds = tuple(kinds)
        self.municipality_code = municipality_code()
        self.people = People(seed, population, first_day)
        self._counts: dict[int, int] = {}
        self._world = World()

    def resident(self, index: int) -> Resident:
        """The resident of that index, as of the first day."""
        return self.people.resident(index)

    def initial_record(self, index: int) -> dict[str, str | None]:
        """The items of a resident as the city CS holds them before day 1; 更新順番号 is 0."""
        return base_items(self.people.resident(index), self.municipality_code)

    def register_snapshot(self) -> Iterator[dict[str, str | None]]:
        """The initial records of all residents, one after another."""
        return (self.initial_record(index) for index in range(self.population))

    def date_of(self, day: int) -> date:
        """The date of a day of the stream; Saturdays and Sundays are left out."""
        current, left = self.first_day, day - 1
        while True:
            while current.weekday() >= 5:
                current += timedelta(days=1)
            if left == 0:
                return current
            current += timedelta(days=1)
            left -= 1

    def average_events(self) -> int:
        """Events of an average working day."""
        return max(1, round(self.population / 1000 * EVENTS_PER_1000 / WORKING_DAYS))

    def peak_events(self) -> int:
        """Events of a peak day: about 940 for a city of 400,000."""
        return PEAK * self.average_events()

    def day(self, day: int, events: int | None = None) -> Iterator[Event]:
        """The events of a day in order, made as they are asked for.

        :param day: 1, 2, 3…; days before it are gone through first, with the numbers of events that they were asked for with before.
        :param events: how many; by default a peak day on day 1 and average days, which differ a little, after it.
        """
        if day < 1:
            raise ValueError("days count from 1")
        if events is not None:
            self._counts[day] = events
        if self._world.days_done >= day:
            self._world = World()
        while self._world.days_done < day - 1:
            before = self._world.days_done + 1
            for _ in Day(self.people, self._world, before, self._count(before), self.date_of(before), self.kinds).events():
                pass
        world, self._world = self._world, World()  # a day left half-way must not leave a half-changed world behind
        yield from Day(self.people, world, day, self._count(day), self.date_of(day), self.kinds).events()
        self._world = world

    def days(self, first: int, last: int) -> Iterator[Event]:
        """The events of several days in order: weeks, months, years."""
        for day in range(first, last + 1):
            yield from self.day(day)

    def following(self, day: int, events: int | None = None) -> Iterator[Sent]:
        """What the register sends besides its identity updates on a day: notifications, certificate data, notices."""
        return following(self.day(day, events), self.people)

    def beside(self, day: int) -> Iterator[Sent]:
        """Certificate requests, inquiries, card events, applications and support measures of a day, in the order of time."""
        return beside(self.people, day, self.date_of(day))

    def protection_marks(self) -> Iterator[dict[str, str | None]]:
        """The marks (支援措置) of everybody who bears one on the first day, as items of ``resident-protection-mark``."""
        return protection_marks(self.people)

    def _count(self, day: int) -> int:
        if day in self._counts:
            return self._counts[day]
        if day == 1:
            return self.peak_events()
        return max(1, self.average_events() * (80 + self.people.bits(b"day", day).below(50)) // 100)
