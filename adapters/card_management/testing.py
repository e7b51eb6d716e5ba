"""The test manifest of this adapter, for the contract suite (:mod:`gateway.testing`)."""

from __future__ import annotations

from adapters.card_management.adapter import CardManagementAdapter
from adapters.soap.testing import simulated

SIMULATION = simulated(CardManagementAdapter, ["-m", "simulators.world", "card-management"], "SendDestinationInformation")
