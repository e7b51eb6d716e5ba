"""Finding people by the four basic items: name, address, sex, birth date."""

from __future__ import annotations

import asyncio
import unicodedata
from array import array
from collections.abc import Iterator, Mapping

from simulators.city import City

MOST = 100
"""Matches that an answer holds."""
FOUR = ("name", "address", "sex", "birth_date")


def plain(text: str) -> str:
    """A text without what people write differently: widths, spaces, variants of a character."""
    return "".join(each for each in unicodedata.normalize("NFKC", text) if not each.isspace() and not 0xE0100 <= ord(each) <= 0xE01EF)


def fits(asked: Mapping[str, str], held: Mapping[str, str]) -> bool:
    """Whether somebody has every one of the four items that are asked for. An address fits if it begins with what was asked."""
    if "name" in asked and plain(asked["name"]) != plain(held["name"]):
        return False
    if "address" in asked and not plain(held["address"]).startswith(plain(asked["address"])):
        return False
    return all(asked[item] == held[item] for item in ("sex", "birth_date") if item in asked)


class Names:
    """Who of a synthetic city bears a name: made when somebody is searched for the first time, a few bytes for each resident."""

    def __init__(self, city: City | None) -> None:
        self._city = city
        self._places: dict[str, array[int]] | None = None
        self._making: asyncio.Task[dict[str, array[int]]] | None = None

    async def made(self) -> None:
        """Return when it can be asked."""
        if self._places is None:
            if self._making is None:
                self._making = asyncio.get_running_loop().create_task(asyncio.to_thread(self._make))
            self._places = await asyncio.shield(self._making)

    def _make(self) -> dict[str, array[int]]:
        found: dict[str, array[int]] = {}
        if self._city is not None:
            # a city of its own: the one of the event loop keeps the last block that it made
            city = City(self._city.seed, self._city.population)
            for index in range(city.population):
                found.setdefault(plain(city.resident(index).name), array("I")).append(index)
        return found

    def codes(self, name: str) -> Iterator[str]:
        """Resident record codes of those who bore the name on the first day."""
        if self._city is not None and self._places is not None:
            for index in self._places.get(plain(name), ()):
                yield self._city.resident(index).resident_record_code


def chosen(found: list[dict[str, str]]) -> dict[str, str | None]:
    """A list of identity information as the items of a result. The Individual Number is not shown in a list."""
    return {
        f"matches[{place}]/{item}": value
        for place, each in enumerate(found[:MOST], start=1)
        for item, value in each.items()
        if item != "individual_number"
    }
