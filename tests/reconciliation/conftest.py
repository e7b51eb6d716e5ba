"""A town with the city CS and the prefecture server, for whole runs of reconciliation, and a place for media."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import yaml

from simulators.harness.town import Plan, Town
from tests.support.data import read_yaml
from tests.world.kit import PARTIES, TYPES, Whole


@pytest.fixture(scope="module")
async def whole(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Whole]:
    plan = Plan(
        workers=1, population=40, city_seed=3, inbound=True, parties=PARTIES, types=TYPES, acknowledge_s=2.0,
        retry={"first_s": 0.2, "longest_s": 1.0, "budget": 40},
    )  # fmt: skip
    async with Town(tmp_path_factory.mktemp("reconciliation"), plan) as town:
        town.set_up()
        settings = read_yaml(town.config.read_text(encoding="utf-8"))
        (town.folder / "medium").mkdir()
        settings["media"] = {
            "dvd": {"directory": str(town.folder / "medium"), "types": ["destination-information", "reconciliation-identity-data"]}
        }
        town.config.write_text(yaml.safe_dump(settings, allow_unicode=True, sort_keys=False), encoding="utf-8")
        await town.start()
        found = Whole(town)
        await found.open_register()
        yield found
        await found.close_register()
