"""Every adapter of this repository keeps the contract, against its simulator as a process."""

from __future__ import annotations

import pytest

from gateway.errors import ConfigurationError
from gateway.testing.contract import AdapterContract
from gateway.testing.simulation import find_simulations
from tests.contract.conftest import POINTS

pytestmark = [pytest.mark.slow, pytest.mark.invariant("I2"), pytest.mark.rule("R9"), pytest.mark.rule("R10")]


class TestAdapters(AdapterContract):
    """All of it."""


def test_every_adapter_has_a_test_manifest() -> None:
    assert [each.adapter.manifest.name for each in find_simulations(POINTS)] == sorted(
        point.name for point in POINTS if point.load().manifest.message_types and not point.load().manifest.queue
    ), "whoever is delivered to by HTTP is tried out"


def test_an_adapter_without_one_is_named() -> None:
    [point, *_] = POINTS
    with pytest.raises(ConfigurationError, match="no-test-manifest"):
        find_simulations([type(point)(name="other", value="adapters.soap:X", group=point.group)])
