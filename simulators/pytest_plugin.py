"""Renkei's simulated parties in a vendor's tests: a pytest plug-in (entry point ``pytest11``; or ``-p simulators.pytest_plugin``).

Settings in the vendor's ``pyproject.toml``::

    [tool.pytest.ini_options]
    renkei_parties = ["city-cs", "prefecture-server"]
    renkei_types = ["move-in-notice"]                  # besides identity-information-update

Fixtures: ``renkei`` (:class:`~simulators.harness.vendor.VendorTown`) is the town, one for the whole run, in which every party behaves
again when a test is over. Whoever needs more overrides ``renkei_plan``. Nothing is started before a test asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from simulators.harness.town_config import Plan
    from simulators.harness.vendor import VendorTown


def pytest_addoption(parser: pytest.Parser) -> None:
    """The settings."""
    parser.addini("renkei_parties", "parties of the town: city-cs, prefecture-server, card-management-system", "args", ["city-cs"])
    parser.addini("renkei_types", "message types that the register hands in, besides identity-information-update", "args", [])
    parser.addini("renkei_population", "residents whom the city CS knows from the beginning", "string", "0")


@pytest.fixture(scope="session")
def renkei_plan(pytestconfig: pytest.Config) -> Plan:
    """What kind of town; override it for more than the settings say."""
    from simulators.harness.town_config import Plan

    return Plan(
        population=int(pytestconfig.getini("renkei_population")),
        parties=tuple(pytestconfig.getini("renkei_parties")),
        types=tuple(pytestconfig.getini("renkei_types")),
        call_s=3.0,
        retry={"first_s": 0.2, "longest_s": 1.0, "budget": 40},
    )


@pytest.fixture(scope="session")
def renkei_town(renkei_plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VendorTown]:
    """The town as it stands, with what earlier tests left."""
    from simulators.harness.vendor import VendorTown

    town = VendorTown(tmp_path_factory.mktemp("renkei"), renkei_plan)
    try:
        town.start()
        yield town
    finally:
        town.stop()


@pytest.fixture
def renkei(renkei_town: VendorTown) -> Iterator[VendorTown]:
    """The town; every party behaves again when the test is over."""
    yield renkei_town
    for party in renkei_town.parties.values():
        party.well()
