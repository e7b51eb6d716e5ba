"""The test manifest of this adapter, for the contract suite (:mod:`gateway.testing`). All residents are fictitious."""

from __future__ import annotations

from collections.abc import Sequence

from adapters.immigration.adapter import ADDRESS_NOTICE, PARTY, ImmigrationAdapter
from gateway.contract import Envelope
from gateway.testing.manifest import Place, Simulation, first_attempt
from message_formats import samples, writing

_FIRST_SERIAL = 7_100_000


def _command(place: Place) -> Sequence[str]:
    return ["-m", "simulators.immigration", "--salt", "contract-suite", *place.flags()]


def _envelope(serial: int, **changes: str) -> Envelope:
    items = {**samples.items(ADDRESS_NOTICE, _FIRST_SERIAL + serial), **changes}
    return first_attempt(ADDRESS_NOTICE, writing.write(ADDRESS_NOTICE, items).to_bytes())


def _of_a_day_to_come(serial: int) -> Envelope:
    return _envelope(serial, **{"address_change/changed_on": "29991231"})


SIMULATION = Simulation(adapter=ImmigrationAdapter, peer=PARTY, command=_command, record=_envelope, refused=_of_a_day_to_come)
