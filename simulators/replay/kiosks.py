"""The kiosks of the convenience stores in a replay (F5-1, F5-2), and what their certificates are made of (FS1-7, FS3-2, FS3-3).

One resident in a thousand holds a card and asks, again and again, as often in all as the whole city does (City.beside). What they need
is handed in before the first day: the data of their certificates and their cards by the register, their taxes by the tax system. A request
that meets an undelivered change of the same person is refused, and so is that of somebody who moved out: both journals have it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Self

from simulators.city import City, Resident
from simulators.city.daily import PER_1000_A_YEAR
from simulators.city.events import WORKING_DAYS
from simulators.convenience.centre import KINDS, Centre
from simulators.convenience.service import build_caller, build_centre
from simulators.convenience.soap import Caller
from simulators.convenience.world import Holder
from simulators.replay.house import House
from simulators.replay.ways import CARD_CHANGE, DATA_CHANGE, TAX, TAX_CHANGE

RESIDENTS_PER_HOLDER = 1000
FEWEST = 20
DEADLINE_S = 30.0
AT_ONCE = 10
KIOSKS = 60
SHARES = (60, 28, 7, 5)
"""Of the kinds of certificates, in a hundred."""
TAXES_A_DAY = 20
"""One holder in so many has a change of taxes on a day."""


@dataclass(frozen=True, slots=True)
class CityHolder(Holder):
    """A resident of the city with a card."""

    person: Resident

    @property
    def atena(self) -> str:
        """Atena number (宛名番号)."""
        return self.person.atena_number

    @property
    def name(self) -> str:
        """As in the register."""
        return self.person.name

    @property
    def birth(self) -> str:
        """As in the register."""
        return self.person.birth_date

    def data_change(self, *, stop: bool = False, address: str | None = None) -> dict[str, str | None]:
        """As in the register."""
        group, person = "resident_record_copy_data", self.person
        numbers = {"resident_record_code": person.resident_record_code, "individual_number": person.individual_number}
        made = Holder.data_change(self, stop=stop or person.protected, address=address or person.address.text)
        born = {f"{each}/birth_date@text": person.birth_text for each in (group, "seal_certificate_data")}
        return made | {f"{group}/{name}": value for name, value in numbers.items()} | born


def holders(city: City) -> tuple[CityHolder, ...]:
    """Those who hold a card, spread over the city."""
    count = max(FEWEST, city.population // RESIDENTS_PER_HOLDER)
    step = max(1, city.population // count)
    return tuple(CityHolder(1 + place, city.resident(place * step)) for place in range(min(count, city.population)))


def a_day(city: City, what: str) -> int:
    """How many of something a day of this city has; at least one."""
    return max(1, round(city.population / 1000 * PER_1000_A_YEAR[what] / WORKING_DAYS))


class Kiosks:
    """The centre, its kiosks and what feeds the issuing system. A context manager; belongs to the event loop."""

    def __init__(self, house: House, city: City, *, requests_a_day: int | None = None) -> None:
        self._house, self._city = house, city
        self._holders = holders(city)
        self._a_day = requests_a_day or a_day(city, "certificate-request")
        self._random = random.Random(f"renkei-replay/kiosks/{city.seed}")
        self._room = asyncio.Semaphore(AT_ONCE)
        self._caller: Caller
        self._centre: Centre

    async def __aenter__(self) -> Self:
        settings = self._house.town.centre_settings(deadline_s=DEADLINE_S)
        self._caller = build_caller(settings)
        self._centre = build_centre(settings, self._caller)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._caller.close()
        self._centre.close()

    def opening(self) -> None:
        """What the issuing system must have before the first day."""
        for each in self._holders:
            self._house.register(DATA_CHANGE, each.data_change(), f"opening-data-{each.number}")
            self._house.register(CARD_CHANGE, each.card_change(), f"opening-card-{each.number}")

    def taxes(self) -> None:
        """What the tax system knows of them; it needs the persons to be known there, or is put aside (FS3-3)."""
        for each in self._holders:
            self._tax(each, f"opening-tax-{each.number}")

    def day(self, number: int, *, over_s: float = 0.0) -> None:
        """The requests of a day, spread over so much time, and its changes of taxes."""
        for place, each in enumerate(self._holders):
            if (place + number) % TAXES_A_DAY == 0:
                self._tax(each, f"tax-{number}-{each.number}")
        for holder, kind in self._wanted():
            self._house.go(self._ask(holder, kind, self._random.uniform(0, over_s)))

    def _tax(self, holder: Holder, name: str) -> None:
        self._house.go(self._hand_in(holder.tax_change(), name))

    async def _hand_in(self, items: Mapping[str, str | None], name: str) -> None:
        await self._house.hand_in(TAX, TAX_CHANGE, items, name)

    def _wanted(self) -> Iterator[tuple[CityHolder, str]]:
        """Each kind at least once."""
        for kind in (*KINDS, *self._random.choices(KINDS, SHARES, k=max(0, self._a_day - len(KINDS)))):
            yield self._random.choice(self._holders), kind

    async def _ask(self, holder: Holder, kind: str, after_s: float) -> None:
        await asyncio.sleep(after_s)
        async with self._room:
            await self._centre.ask(self._random.randrange(KIOSKS), holder, kind)

    @property
    def ends(self) -> Mapping[str, int]:
        """How the requests ended."""
        return dict(sorted(self._centre.counts.items()))
