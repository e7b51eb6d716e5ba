"""What the benches carry: updates of a synthetic city, made once from a seed. All residents are fictitious."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

from simulators.city import City

POPULATION = 4_000_000
SEED = 7


class Work(NamedTuple):
    """One message of the register."""

    id: str
    time: str
    party_key: str
    resident: int
    xml: bytes


def stream(count: int, *, seed: int = SEED) -> Iterator[Work]:
    """The first events of a very busy day, ``count`` of different residents: the real mix, in which any order is right."""
    seen: set[int] = set()
    for event in City(seed, POPULATION).day(1, count * 2):
        if event.resident in seen:
            continue
        if len(seen) == count:
            return
        seen.add(event.resident)
        time = event.ce_time.isoformat(timespec="seconds").replace("+00:00", "Z")
        yield Work(event.ce_id, time, event.request_control_number, event.resident, event.xml)


def busy(population: int, count: int) -> Iterator[Work]:
    """``count`` events of a very busy day of a small place: many for each resident, in their order."""
    for event in City(SEED, population).day(1, count):
        time = event.ce_time.isoformat(timespec="seconds").replace("+00:00", "Z")
        yield Work(event.ce_id, time, event.request_control_number, event.resident, event.xml)


def updates(skip: int, count: int) -> list[Work]:
    """``count`` messages after the first ``skip``."""
    return list(itertools.islice(stream(skip + count), skip, None))
