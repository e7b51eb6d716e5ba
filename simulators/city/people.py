"""The residents of a synthetic city: each computed from seed and index alone, so that any of them can be asked for at any time.

Indexes below the population are the residents of the first day, in households of realistic sizes; indexes from the population on are
those who move in later, a household after another; those from :data:`BIRTHS` on are born later; those from :data:`REMOVED` on had died or
moved out before the first day, and only their removed records are there (除票).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TypeVar

from message_formats import samples
from simulators.city import names

T = TypeVar("T")

BIRTHS = 5_000_000
"""The first index of those who are born after the first day."""

REMOVED = 7_000_000
"""The first index of those whose records were removed before the first day."""

_BLOCK = 12
# How twelve neighbours live together: a little over two persons in a household.
_PARTITIONS: tuple[tuple[int, ...], ...] = (
    (1, 1, 1, 1, 2, 3, 3),
    (1, 1, 2, 2, 3, 3),
    (1, 1, 1, 2, 3, 4),
    (1, 1, 2, 2, 2, 4),
    (1, 1, 1, 1, 4, 4),
    (1, 2, 2, 3, 4),
    (1, 1, 2, 3, 5),
    (1, 1, 1, 1, 1, 2, 5),
)
_STRIDE = 7_368_787  # coprime to 10,000,000: serials look mixed and never meet


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """An address in the city."""

    town_code: str
    postal_code: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Resident:
    """One fictitious person.

    :ivar index: the number by which the city knows the person.
    :ivar household: number of the household; negative for nobody's.
    :ivar birth_date: eight digits; ``birth_text`` is its wording where it is unknown in part.
    :ivar category: None for a Japanese citizen, otherwise the category of 第30条の45 (code).
    :ivar protected: under support measures (支援措置).
    :ivar state: 住民状態: 1 resident, 2 moved out, 3 deceased; ``removed_on`` is the day of the removal.
    """

    index: int
    household: int
    members: tuple[int, ...]
    relationship: str
    name: str
    kana: str
    birth_date: str
    birth_text: str | None
    sex: str
    resident_record_code: str
    individual_number: str
    atena_number: str
    address: Address
    resident_since: str
    address_since: str
    category: str | None
    residence_card_number: str | None
    protected: bool
    state: str = "1"
    removed_on: str | None = None


class Bits:
    """A stream of small random numbers out of one digest."""

    __slots__ = ("_rest",)

    def __init__(self, key: bytes, label: bytes, number: int) -> None:
        digest = hashlib.blake2b(label + number.to_bytes(8, "big"), digest_size=48, key=key).digest()
        self._rest = int.from_bytes(digest, "big")

    def below(self, bound: int) -> int:
        """A number from 0 to ``bound`` - 1."""
        self._rest, drawn = divmod(self._rest, bound)
        return drawn

    def one_in(self, bound: int) -> bool:
        """True once in ``bound``."""
        return self.below(bound) == 0

    def choose(self, options: tuple[T, ...]) -> T:
        """One of the options."""
        return options[self.below(len(options))]


@dataclass(frozen=True, slots=True)
class _Household:
    number: int
    first: int
    size: int
    foreign: bool
    surname: tuple[str, str]
    address: Address
    head_age: int
    since: date


_RELATIONS: dict[int, tuple[tuple[str, ...], ...]] = {
    1: (("世帯主",),),
    2: (("世帯主", "妻"), ("世帯主", "子"), ("世帯主", "母")),
    3: (("世帯主", "妻", "子"), ("世帯主", "子", "子")),
    4: (("世帯主", "妻", "子", "子"), ("世帯主", "夫", "子", "母")),
    5: (("世帯主", "妻", "子", "子", "母"), ("世帯主", "妻", "子", "子の妻", "子の子")),
}

_UNKNOWN: tuple[str, ...] = ("{Y}頃", "{Y}{M}月頃", "{Y} 月日不詳", "{Y}{M}月 日不詳", "{Y}春", "{Y}{M}月上旬", "推定{Y}{M}月{D}日")


class People:
    """Who lives, or will live, in the city of a seed."""

    def __init__(self, seed: int, population: int, first_day: date) -> None:
        self.seed = seed
        self.population = population
        self.first_day = first_day
        self._key = seed.to_bytes(16, "big", signed=True)
        self._offset = Bits(self._key, b"offset", 0).below(10_000_000)
        self._block = -1
        self._households: tuple[_Household, ...] = ()
        self._city_code = samples.municipality_code()

    def bits(self, label: bytes, number: int) -> Bits:
        """Random numbers for one thing of this city."""
        return Bits(self._key, label, number)

    def serial(self, index: int) -> int:
        """The serial number behind a resident's identifiers; no two residents share one."""
        return (index * _STRIDE + self._offset) % 10_000_000

    def household(self, index: int) -> tuple[int, ...]:
        """The members of a resident's household on the first day, or when it moved in."""
        if BIRTHS <= index < REMOVED:
            return (index,)
        found = self._household_of(index)
        return tuple(range(found.first, found.first + found.size))

    def resident(self, index: int) -> Resident:
        """The resident of that index, as of the first day (or of the day of moving in, or of birth)."""
        if BIRTHS <= index < REMOVED:
            return self._newborn(index)
        household = self._household_of(index)
        bits = Bits(self._key, b"person", index)
        place = index - household.first
        relations = _RELATIONS[household.size]
        relationship = relations[household.number % len(relations)][place]
        sex = _sex(relationship, bits)
        birth = self._birth(relationship, household, place, bits)
        text: str | None = None
        value = f"{birth:%Y%m%d}"
        if birth.year < 1950 and bits.one_in(150):
            value, text = _unknown(birth, bits)
        elif birth.month == 3 and birth.day == 1 and birth.year < 1960:
            value = f"{birth.year}0229" if birth.year % 4 else value  # a 29 February that no calendar has, as some family registers say
        given = bits.choose(names.MALE if sex == "1" else names.FEMALE)
        if household.foreign:
            foreign = names.FOREIGN[(household.number + place) % len(names.FOREIGN)]
            name, kana = foreign
        else:
            name, kana = f"{household.surname[0]}　{given[0]}", f"{household.surname[1]}　{given[1]}"
        since = max(household.since, birth)
        return self._made(index, household, bits, relationship=relationship, name=(name, kana), birth=(value, text), sex=sex, since=since)

    def _made(
        self,
        index: int,
        household: _Household,
        bits: Bits,
        *,
        relationship: str,
        name: tuple[str, str],
        birth: tuple[str, str | None],
        sex: str,
        since: date,
    ) -> Resident:
        serial = self.serial(index)
        category = None
        if household.foreign:
            category = ("1", "1", "1", "1", "1", "1", "2", "2", "3", "4", "5", "6")[bits.below(12)]
        return Resident(
            index=index,
            household=household.number,
            members=tuple(range(household.first, household.first + household.size)),
            relationship=relationship,
            name=name[0],
            kana=name[1],
            birth_date=birth[0],
            birth_text=birth[1],
            sex=sex,
            resident_record_code=samples.resident_record_code(serial),
            individual_number=samples.individual_number(serial),
            atena_number=samples.atena_number(index),
            address=household.address,
            resident_since=f"{since:%Y%m%d}",
            address_since=f"{since:%Y%m%d}",
            category=category,
            residence_card_number=samples.residence_card_number(serial) if household.foreign else None,
            protected=bits.one_in(500),
            **self._removal(index, bits),
        )

    def _removal(self, index: int, bits: Bits) -> dict[str, str]:
        if index < REMOVED:
            return {}
        removed = self.first_day - timedelta(days=1 + bits.below(5 * 365))
        return {"state": "3" if bits.one_in(4) else "2", "removed_on": f"{removed:%Y%m%d}"}

    def _newborn(self, index: int) -> Resident:
        bits = Bits(self._key, b"birth", index)
        parent = self.resident(self.parent(index))
        household = self._household_of(parent.index)
        sex = "1" if bits.one_in(2) else "2"
        given = bits.choose(names.MALE if sex == "1" else names.FEMALE)
        surname = household.surname if not household.foreign else ("SAMPLE", "サンプル")
        name = (f"{surname[0]}　{given[0]}", f"{surname[1]}　{given[1]}")
        return self._made(
            index,
            household,
            bits,
            relationship="子",
            name=name,
            birth=(f"{self.first_day:%Y%m%d}", None),
            sex=sex,
            since=self.first_day,
        )

    def parent(self, index: int) -> int:
        """The parent of somebody born after the first day: the head of a household of the first day."""
        bits = Bits(self._key, b"parent", index)
        return self._household_of(bits.below(self.population)).first

    def _household_of(self, index: int) -> _Household:
        block = index // _BLOCK
        if block != self._block:
            self._households = self._partition(block)
            self._block = block
        offset = index - block * _BLOCK
        for household in self._households:
            offset -= household.size
            if offset < 0:
                return household
        raise AssertionError("the sizes of a block add up to its length")

    def _partition(self, block: int) -> tuple[_Household, ...]:
        sizes = Bits(self._key, b"block", block).choose(_PARTITIONS)
        made: list[_Household] = []
        first = block * _BLOCK
        for place, size in enumerate(sizes):
            made.append(self._household(block * _BLOCK + place, first, size))
            first += size
        return tuple(made)

    def _household(self, number: int, first: int, size: int) -> _Household:
        bits = Bits(self._key, b"household", number)
        stem = bits.choose(names.STEMS)
        ending = bits.choose(names.VARIANT_ENDINGS if bits.one_in(12) else names.ENDINGS)
        head_age = 22 + bits.below(65) if size < 3 else 28 + bits.below(30)
        since = self.first_day - timedelta(days=30 + bits.below(min(head_age, 30) * 365))
        return _Household(
            number=number,
            first=first,
            size=size,
            foreign=bits.one_in(33),
            surname=(stem[0] + ending[0], stem[1] + ending[1]),
            address=address(bits),
            head_age=head_age,
            since=since,
        )

    def _birth(self, relationship: str, household: _Household, place: int, bits: Bits) -> date:
        age = household.head_age
        if relationship in ("妻", "夫"):
            age += bits.below(9) - 4
        elif relationship == "子":
            age = max(0, age - 24 - bits.below(8) - place)
        elif relationship == "母":
            age = min(104, age + 22 + bits.below(10))
        elif relationship == "子の妻":
            age = max(18, age - 24)
        elif relationship == "子の子":
            age = max(0, age - 52)
        return self.first_day - timedelta(days=age * 365 + age // 4 + 1 + bits.below(360))


def address(bits: Bits) -> Address:
    """An address of the invented city."""
    town = bits.below(len(names.TOWNS))
    chome = 1 + bits.below(6)
    text = f"{names.CITY}{names.TOWNS[town]}{_wide(chome)}丁目{_wide(1 + bits.below(30))}番{_wide(1 + bits.below(40))}号"
    if bits.one_in(2):
        text += f"　見本{('住宅', '荘', 'ハイツ', 'マンション')[bits.below(4)]}{_wide(101 + bits.below(8) + 100 * bits.below(9))}号室"
    return Address(town_code=f"{town + 1:04d}{chome:03d}", postal_code=samples.postal_code(town * 10 + chome), text=text)


def _wide(number: int) -> str:
    return str(number).translate({48 + digit: 0xFF10 + digit for digit in range(10)})


def _sex(relationship: str, bits: Bits) -> str:
    if relationship in ("妻", "母", "子の妻"):
        return "2"
    if relationship == "夫":
        return "1"
    return "1" if bits.one_in(2) else "2"


def _unknown(birth: date, bits: Bits) -> tuple[str, str]:
    form = bits.choose(_UNKNOWN)
    year = f"昭和{birth.year - 1925}年" if birth.year > 1926 else f"大正{birth.year - 1911}年"
    text = form.format(Y=year, M=birth.month, D=birth.day)
    month = birth.month if "{M}" in form else 0
    day = birth.day if "{D}" in form else 0
    return f"{birth.year:04}{month:02}{day:02}", text
