"""Who lived in the city from the beginning: looked up by 住民票コード in a synthetic city, computed when it is asked for, never stored."""

from __future__ import annotations

from message_formats import samples
from message_formats.identifiers import ResidentRecordCode
from simulators.city import City
from simulators.juki_cs.checks import Items, Resident
from simulators.juki_cs.residents import Beginning

_SERIALS = 10_000_000
"""Resident record codes of synthetic cities differ in seven digits."""


def empty() -> Beginning:
    """Nobody lived here."""
    return lambda code: None


def of_city(city: City) -> Beginning:
    """The residents of a synthetic city, with 更新順番号 0 and no flag set."""
    offset = city.people.serial(0)
    back = pow((city.people.serial(1) - offset) % _SERIALS, -1, _SERIALS)
    first = int(samples.resident_record_code(0)[:10])

    def items_of(index: int) -> Items:
        return {name: value for name, value in city.initial_record(index).items() if value is not None}

    def find(code: str) -> Resident | None:
        serial = int(code[:10]) - first
        if not 0 <= serial < _SERIALS or not ResidentRecordCode.check(code):
            return None
        index = (serial - offset) * back % _SERIALS
        return Resident(update=0, load=lambda: items_of(index)) if index < city.population else None

    return find
