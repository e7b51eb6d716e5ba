"""The threat model is what its data say, and names only tests that there are."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests import threats
from tests.ran import Ran
from tests.support.data import read_yaml
from tests.threats import Attack, Threat, load, missing, not_run, page

pytest_plugins = ["pytester"]


def test_every_named_test_exists() -> None:
    assert missing(load()) == []


def test_the_page_is_what_the_data_say() -> None:
    model = load()
    said = threats.PAGE.read_text(encoding="utf-8")
    assert page(model) == said, "python -m tests.threats --write"


def test_the_controls_are_those_of_the_specification() -> None:
    for parent in Path(__file__).resolve().parents:
        file = parent / "shared" / "spec" / "controls.yaml"
        if file.is_file():
            specified = {each["id"]: each["requirement"].strip() for each in read_yaml(file.read_text(encoding="utf-8"))["controls"]}
            assert {name: specified[name] for name in load().controls} == dict(load().controls)


def test_every_threat_has_a_test_and_every_prefix_of_an_attack_a_threat() -> None:
    model = load()
    assert all(each.tests for each in model.threats)
    prefixes = {prefix for each in model.threats for prefix in each.attacks}
    assert {each.id.rpartition("-")[0] for each in model.attacks} <= prefixes


def test_what_is_named_wrongly_or_did_not_run_is_said() -> None:
    here = "tests/test_threats.py"
    row = Threat(id="T-1", area="a", threat="x", control="y", tests=(f"{here}::test_every_named_test_exists", here, "tests/gone.py"))
    model = threats.Model(
        areas={"a": "A"}, threats=(row,), attacks=(Attack(id="A-X-1", attack="z", refused=""),), controls={}, awaited=("tests/gone.py",)
    )
    assert missing(model) == []
    other = dataclasses.replace(model, threats=(dataclasses.replace(row, tests=(f"{here}::test_never_written",)),))
    assert missing(other) == [f"T-1 names {here}::test_never_written, which there is not"]
    passed = {f"{here}::test_every_named_test_exists": "passed", "tests/x.py::test_y[A-X-1-in]": "passed"}
    assert not_run(model, passed) == []
    assert not_run(model, {}) == [
        f"T-1: {here}::test_every_named_test_exists did not run",
        f"T-1: {here} did not run",
        "A-X-1: A-X-1 did not run",
    ]
    assert not_run(model, {**passed, "tests/x.py::test_y[A-X-1-out]": "failed"}) == ["A-X-1: A-X-1 failed"]
    assert not_run(model, {**passed, "tests/x.py::test_y[A-X-1-in]": "skipped"}) == ["A-X-1: A-X-1 skipped"]
    assert not_run(model, {f"{here}::test_every_named_test_exists": "passed", "tests/x.py::test_y[A-X-12-in]": "passed"}) == [
        "A-X-1: A-X-1 did not run"
    ], "another attack with the same beginning"


@pytest.mark.thorough
def test_what_ran_is_written_down(pytester: pytest.Pytester, tmp_path: Path) -> None:
    pytester.makeconftest("from tests import ran\ndef pytest_addoption(parser):\n    parser.addoption(ran.OPTION, default=None)\n"
                          "def pytest_configure(config):\n    ran.register(config)\n")  # fmt: skip
    pytester.makepyfile(
        test_it="""
        import pytest
        @pytest.mark.parametrize("n", ["A-X-1", "A-X-2"])
        def test_one(n): assert n == "A-X-1"
        def test_two(): pytest.skip("not here")
        @pytest.fixture
        def broken(): raise ValueError
        def test_three(broken): pass
        """
    )
    file = tmp_path / "ran.json"
    pytester.runpytest_subprocess("--ran", str(file), "-p", "no:cacheprovider")
    assert json.loads(file.read_text(encoding="utf-8")) == {
        "test_it.py::test_one[A-X-1]": "passed",
        "test_it.py::test_one[A-X-2]": "failed",
        "test_it.py::test_two": "skipped",
        "test_it.py::test_three": "failed",
    }


def test_the_group_that_xdist_adds_is_no_part_of_the_id(tmp_path: Path) -> None:
    noted = Ran(tmp_path / "ran.json")
    for node in ("a.py::test_b@town", "a.py::test_c[x@y]@town", "a.py::test_c[x@y]"):
        noted.pytest_runtest_logreport(SimpleNamespace(nodeid=node, when="call", outcome="passed"))
    assert list(noted.outcomes) == ["a.py::test_b", "a.py::test_c[x@y]"]
