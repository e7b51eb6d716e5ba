"""What the register sends in the demo: a day of the city, and in it one resident whose in-city move is entered with a mistake.

That resident has two more changes on the same day. The city CS refuses the move (E102), so that the other two must wait behind it until the
register has replaced it. Nothing else happens to that resident.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Collection, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import replace
from pathlib import Path

from simulators.city import City, Event, replacement, spoiled
from simulators.city.events import alone
from simulators.city.files import write_json_lines
from simulators.references import References
from simulators.register.messages import outgoing

REASONS = ("MOVE", "HH_CHANGE", "AMEND_OFF")
SMALLEST = 20
"""Events that a day must have at least, for the story to have room."""
PLACES = (0.12, 0.18, 0.24)
"""When in the day the three events of the resident come, as shares of it."""


class StoryDay:
    """One day.

    :param without: residents (indexes) whose events are left out.
    """

    def __init__(self, city: City, references: References, *, day: int, events: int, without: Collection[int] = ()) -> None:
        if events < SMALLEST:
            raise ValueError(f"the demo needs a day of at least {SMALLEST} events")
        ordinary = [event for event in city.day(day, events - len(REASONS)) if event.resident not in without]
        busy = {event.resident for event in ordinary} | set(without)
        self.resident = self._somebody(city, day, busy)
        told = alone(city.people, day, events, city.date_of(day), self.resident, REASONS)
        places = [round(share * len(ordinary)) for share in PLACES]
        self.events: list[Event] = []
        for place, event in enumerate(ordinary):
            self.events += [replace(told[n], ce_time=event.ce_time) for n, at in enumerate(places) if at == place]
            self.events.append(event)
        self.mistaken = next(event for event in self.events if event.ce_id == told[0].ce_id)
        """The move as it should have been sent."""
        self.followers = tuple(event.ce_id for event in told[1:])
        self.reference = outgoing(self.mistaken.xml, id=self.mistaken.ce_id, time="", references=references).resident

    @staticmethod
    def _somebody(city: City, day: int, busy: AbstractSet[int]) -> int:
        """A resident to whose household nothing happens on this day."""
        chance = random.Random(f"renkei-demo/{city.seed}/{city.population}/{day}")
        for _ in range(10_000):
            resident = chance.randrange(city.population)
            if not busy & set(city.people.household(resident)):
                return resident
        raise ValueError(f"in a city of {city.population} something happens to everybody on such a day: fewer events, or more residents")

    def sent(self) -> Iterator[Event]:
        """The events as the register sends them."""
        return (spoiled(event) if event.ce_id == self.mistaken.ce_id else event for event in self.events)

    def write(self, day_file: Path, replacement_file: Path) -> None:
        """The day, and the replacement of its mistaken move, as JSON Lines for ``renkei submit``."""
        write_json_lines(self.sent(), day_file)
        write_json_lines(itertools.repeat(replacement(self.mistaken), 1), replacement_file)
