"""The test manifest of this adapter, for the contract suite (:mod:`gateway.testing`)."""

from __future__ import annotations

from adapters.prefecture_server.adapter import PrefectureServerAdapter
from adapters.soap.testing import simulated

SIMULATION = simulated(PrefectureServerAdapter, ["-m", "simulators.world", "prefecture-server"], "NotifyIdentityInformation")
