"""What the benches carry: updates of a synthetic city, made once from a seed. All residents are fictitious."""

from __future__ import annotations

import functools
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


@functools.lru_cache(maxsize=2)
def updates(count: int, *, seed: int = SEED) -> list[Work]:
    """The first events of a very busy day, ``count`` of different residents: the real mix, in which any order is right."""
    city = City(seed, POPULATION)
    made: list[Work] = []
    seen: set[int] = set()
    for event in city.day(1, count * 2):
        if event.resident in seen:
            continue
        seen.add(event.resident)
        if len(made) == count:
            break
        time = event.ce_time.isoformat(timespec="seconds").replace("+00:00", "Z")
        made.append(Work(event.ce_id, time, event.request_control_number, event.resident, event.xml))
    return made
