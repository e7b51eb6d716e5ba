"""What the benches carry: updates of a synthetic city, made once from a seed. All residents are fictitious."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

from message_formats import samples, writing
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


def updates(skip: int, count: int) -> list[Work]:
    """``count`` messages after the first ``skip``."""
    return list(itertools.islice(stream(skip + count), skip, None))


BULK_TYPE = "destination-information"


def destinations(skip: int, count: int) -> Iterator[Work]:
    """``count`` messages of the first extraction for everybody, which go by the bulk lane; of nobody whom :func:`stream` is about."""
    for serial in range(skip, skip + count):
        items = {**samples.items(BULK_TYPE, serial), "destination_control_number": f"{serial + 1:023d}"}
        yield Work(f"bulk-{SEED}-{serial}", "2026-04-01T00:00:00Z", "", serial, writing.write(BULK_TYPE, items).to_bytes())
