"""The contract suite over the adapters of this repository, installed or not."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

pytest.register_assert_rewrite("gateway.testing.contract")

from gateway.testing.simulation import GROUP, Simulator, find_simulations, running  # noqa: E402 - after the rewrite is registered

_PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
POINTS = [EntryPoint(name=name, value=value, group=GROUP) for name, value in _PROJECT["entry-points"][GROUP].items()]


@pytest.fixture(scope="package", params=[each for each in POINTS if find_simulations([each])], ids=lambda point: point.name)
def simulator(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    [simulation] = find_simulations([request.param])
    with running(simulation, tmp_path_factory.mktemp(request.param.name)) as simulator:
        yield simulator
