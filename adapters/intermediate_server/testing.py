"""The test manifest of this adapter, for the contract suite (:mod:`gateway.testing`). All persons are fictitious."""

from __future__ import annotations

import dataclasses

from adapters.intermediate_server.adapter import IntermediateServerAdapter
from adapters.soap.testing import simulated
from gateway.contract import Envelope
from message_formats import writing

_SUITE = simulated(IntermediateServerAdapter, ["-m", "simulators.intermediate"], "RegisterAtenaNumber")


def _nobody(serial: int) -> Envelope:
    """A number of nothing but zeros is nobody's: its form is right, so only the party's own rules refuse it."""
    content = writing.write("atena-number-registration", {"integrated_atena_number": "0" * 14}).to_bytes()
    return dataclasses.replace(_SUITE.record(serial), content=content)


SIMULATION = dataclasses.replace(_SUITE, refused=_nobody)
