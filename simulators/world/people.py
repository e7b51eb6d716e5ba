"""Who lives elsewhere: the residents of other municipalities, made on demand by the municipality's code.

All resident record codes of synthetic people differ in seven digits. Those of our city's residents, present and to come, are taken from
the first eight million places of a sequence that looks mixed; the places behind are for everybody else: 1,000 residents for each of 1,000
municipalities, and the codes and numbers that J-LIS gives out.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date

from message_formats import samples
from message_formats.identifiers import MunicipalityCode, ResidentRecordCode
from simulators.city import names
from simulators.city.people import People, Resident

SERIALS = 10_000_000
ELSEWHERE = 8_000_000
POOL = 9_000_000
"""Codes that J-LIS designates beforehand (住民票コードの指定)."""
CHANGED_NUMBERS = 9_500_000
RESIDENTS = 1000
"""Of each other municipality."""

Items = Mapping[str, str]
"""Of the group ``identity_information``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """One resident of another municipality, with what a register knows besides."""

    code: str
    number: str
    municipality: str
    name: str
    birth_date: str
    birth_text: str | None
    sex: str
    address: str
    head_name: str
    relationship: str
    domicile: str

    @property
    def identity(self) -> dict[str, str]:
        """As a ``identity_information``."""
        found = {
            "resident_record_code": self.code,
            "name": self.name,
            "birth_date": self.birth_date,
            "sex": self.sex,
            "address": self.address,
            "individual_number": self.number,
        }
        return found if self.birth_text is None else {**found, "birth_date@text": self.birth_text}


class Serials:
    """Places and identifiers of one run."""

    def __init__(self, city_seed: int) -> None:
        people = People(city_seed, 1, date(2026, 4, 1))
        self._people = people
        offset = people.serial(0)
        self._offset, self._back = offset, pow((people.serial(1) - offset) % SERIALS, -1, SERIALS)
        self._first = int(samples.resident_record_code(0)[:10])

    def code(self, place: int) -> str:
        """The resident record code of a place."""
        return samples.resident_record_code(self._people.serial(place))

    def number(self, place: int) -> str:
        """The Individual Number of a place."""
        return samples.individual_number(self._people.serial(place))

    def place(self, code: str) -> int | None:
        """The place of a code; None: it is none of ours."""
        if not ResidentRecordCode.check(code):
            return None
        serial = int(code[:10]) - self._first
        return (serial - self._offset) * self._back % SERIALS if 0 <= serial < SERIALS else None


class Elsewhere:
    """The other municipalities, each there as soon as somebody names it."""

    def __init__(self, city_seed: int = 1) -> None:
        self.serials = Serials(city_seed)
        self._named: dict[int, str] = {}

    def municipality(self, code: str) -> bool:
        """Whether there is such a municipality; from now on its residents can be found."""
        if not MunicipalityCode.check(code) or code == samples.municipality_code():
            return False
        return self._named.setdefault(int(code[:5]) % 1000, code) == code

    @property
    def named(self) -> tuple[str, ...]:
        """The municipalities that somebody named so far."""
        return tuple(self._named.values())

    def person(self, municipality: str, index: int) -> Person:
        """A resident: ``index`` below :data:`RESIDENTS`."""
        if not self.municipality(municipality):
            raise KeyError(municipality)
        return _person(self.serials, municipality, index)

    def find(self, code: str) -> Person | None:
        """Who bears this code, as far as he lives in a municipality that was named."""
        place = self.serials.place(code)
        if place is None or not ELSEWHERE <= place < POOL:
            return None
        block, index = divmod(place - ELSEWHERE, RESIDENTS)
        municipality = self._named.get(block)
        return None if municipality is None else _person(self.serials, municipality, index)

    def everybody(self) -> Iterator[Person]:
        """All residents of all municipalities that were named."""
        for municipality in self.named:
            for index in range(RESIDENTS):
                yield _person(self.serials, municipality, index)


@functools.lru_cache(maxsize=20_000)
def _person(serials: Serials, municipality: str, index: int) -> Person:
    people = People(int(municipality), RESIDENTS, date(2026, 4, 1))
    found = people.resident(index)
    place = ELSEWHERE + int(municipality[:5]) % 1000 * RESIDENTS + index
    head = people.resident(found.members[0])
    where = _address(found, municipality)
    return Person(
        code=serials.code(place),
        number=serials.number(place),
        municipality=municipality,
        name=found.name,
        birth_date=found.birth_date,
        birth_text=found.birth_text,
        sex=found.sex,
        address=where,
        head_name=head.name,
        relationship=found.relationship,
        domicile=where.partition("　")[0],
    )


def _address(found: Resident, municipality: str) -> str:
    """Visibly another place than the city."""
    return f"虚構県別天市第{int(municipality[2:5])}区" + found.address.text.removeprefix(names.CITY)


__all__ = ["CHANGED_NUMBERS", "ELSEWHERE", "POOL", "RESIDENTS", "Elsewhere", "Items", "Person", "Serials"]
