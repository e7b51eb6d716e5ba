"""The test manifest of this adapter, for the contract suite (:mod:`gateway.testing`). All residents are fictitious."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from adapters.juki_cs.adapter import UPDATE, JukiCsAdapter
from gateway.contract import Envelope
from gateway.testing.manifest import Place, Simulation, first_attempt
from message_formats import samples, writing

_FIRST_SERIAL = 7_000_000


def _command(place: Place) -> Sequence[str]:
    return ["-m", "simulators.juki_cs", "--salt", "contract-suite", *place.flags(signed=True)]


def _envelope(serial: int, **changes: str) -> Envelope:
    key = f"C{uuid.uuid4().hex[:19]}"
    items = samples.identity_items(_FIRST_SERIAL + serial, request_control_number=key, **changes)
    return first_attempt(UPDATE, writing.write(UPDATE, items).to_bytes(), party_key=key)


def _gap(serial: int) -> Envelope:
    return _envelope(serial, update_sequence_number="5")


SIMULATION = Simulation(adapter=JukiCsAdapter, peer="city-cs", command=_command, record=_envelope, refused=_gap)
