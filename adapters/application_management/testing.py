"""The test manifest of this adapter, for the contract suite (:mod:`gateway.testing`). All residents are fictitious."""

from __future__ import annotations

from collections.abc import Sequence

from adapters.application_management.adapter import PARTY, ApplicationManagementAdapter
from gateway.contract import Envelope
from gateway.testing.manifest import Place, Simulation, first_attempt
from message_formats import samples, writing

FEED = "number-linkage-feed"
_FIRST_SERIAL = 7_200_000
_MUNICIPALITY = "272035"


def _command(place: Place) -> Sequence[str]:
    more = ["--salt", "contract-suite", "--municipality", _MUNICIPALITY]
    return ["-m", "simulators.applications", *more, *place.flags()]


def _envelope(serial: int, **changes: str) -> Envelope:
    items = {**samples.items(FEED, _FIRST_SERIAL + serial), **changes}
    return first_attempt(FEED, writing.write(FEED, items).to_bytes())


def _already_another_s(serial: int) -> Envelope:
    return _envelope(serial, serial_number="1")


SIMULATION = Simulation(
    adapter=ApplicationManagementAdapter,
    peer=PARTY,
    command=_command,
    record=_envelope,
    refused=_already_another_s,
    settings={"municipality": _MUNICIPALITY},
)
