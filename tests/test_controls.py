"""The controls of the assessment: packaged as specified, each with the tests that prove it, and what became of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import controls as cli_controls
from gateway.policy.controls import OURS, controls, proofs
from tests.reports import ControlReport, note_controls
from tests.support.data import read_yaml

ROLL = ("enforce", "record", "support", "outside")


def _specified(repository: Path) -> list[dict[str, Any]]:
    for parent in repository.parents:
        file = parent / "shared" / "spec" / "controls.yaml"
        if file.is_file():
            found: list[dict[str, Any]] = read_yaml(file.read_text(encoding="utf-8"))["controls"]
            return found
    return []


def test_all_controls_are_there_as_specified(repository: Path) -> None:
    assert len(controls()) == len({each.id for each in controls()}) == 202
    assert {each.share for each in controls()} == set(ROLL)
    ids = {each.id for each in controls()}
    assert all(each.same_as is None or each.same_as in ids for each in controls())
    for control, wanted in zip(controls(), _specified(repository) or (), strict=False):
        said = (control.id, control.section, control.term, control.requirement, control.share, control.same_as)
        assert said == (
            wanted["id"], wanted["section"], wanted["document_term"], " ".join(wanted["requirement"].split()), wanted["gateway_share"],
            wanted.get("same_as"),
        )  # fmt: skip
    assert len(_specified(repository)) in (0, 202)


def test_a_control_has_the_tests_of_the_one_that_it_repeats_and_their_worst_outcome() -> None:
    twice = next(each for each in controls() if each.same_as is not None)
    assert twice.same_as is not None
    marked = {twice.same_as: ["tests/x.py::one", "tests/x.py::two"]}

    def outcome(**outcomes: str) -> tuple[str | None, str | None]:
        ran = {f"tests/x.py::{name}": {"outcome": word, "at": f"2026-11-0{i + 1}"} for i, (name, word) in enumerate(outcomes.items())}
        found = {each.control.id: each for each in proofs(marked, ran)}
        assert found[twice.id].tests == found[str(twice.same_as)].tests == ("tests/x.py::one", "tests/x.py::two")
        return found[twice.id].outcome, found[twice.id].ran_at

    assert outcome() == ("not run", None)
    assert outcome(one="passed") == ("not run", "2026-11-01")
    assert outcome(one="passed", two="passed") == ("passed", "2026-11-01")
    assert outcome(one="passed", two="failed") == ("failed", "2026-11-01")
    assert outcome(one="skipped", two="skipped") == ("skipped", "2026-11-01")
    missing = [each for each in proofs(marked, {}) if each.missing]
    assert twice.id not in {each.control.id for each in missing}
    assert {each.control.share for each in missing} == set(OURS)


def _report(name: str, outcome: Any, when: Any, properties: list[tuple[str, object]]) -> pytest.TestReport:
    return pytest.TestReport(f"t.py::{name}", ("t.py", 1, name), {}, outcome, None, when, user_properties=properties)


def test_a_run_of_tests_leaves_outcomes_beside_those_of_other_runs(tmp_path: Path) -> None:
    file = tmp_path / "reports" / "controls.json"

    class Config:
        pass

    class Session:
        config = Config()

    def run(**outcomes: str) -> None:
        report = ControlReport(file)
        for name, outcome in outcomes.items():
            for parameter in ("[a]@town", "[b]", "@town"):
                for when in ("setup", "call", "teardown"):
                    what = outcome if (when, parameter) == ("call", "[a]@town") else "passed"
                    report.pytest_runtest_logreport(_report(f"{name}{parameter}", what, when, [("control", "C-1-3-13")]))
        report.pytest_runtest_logreport(_report("unmarked", "failed", "call", []))
        report.pytest_sessionfinish(Session())  # type: ignore[arg-type]

    run(one="failed", two="passed")
    run(two="skipped")
    found = json.loads(file.read_text(encoding="utf-8"))
    assert {test: each["outcome"] for test, each in found.items()} == {"t.py::one": "failed", "t.py::two": "skipped"}


def test_the_controls_of_a_test_travel_with_its_report(request: pytest.FixtureRequest) -> None:
    item = request.node
    item.add_marker(pytest.mark.control("C-1-2-3"))
    note_controls([item])
    try:
        assert ("control", "C-1-2-3") in item.user_properties
    finally:
        item.user_properties.clear()


def test_the_command_names_what_has_no_test(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    monkeypatch.setattr(cli_controls, "_marked", lambda: {"C-1-3-13": ["tests/a.py::b"]})
    monkeypatch.setattr(cli_controls, "REPORT", tmp_path / "none.json")
    cli_controls.controls(as_json=True)
    said = json.loads(capsys.readouterr().out)
    assert len(said["controls"]) == 202
    [one] = [each for each in said["controls"] if each["id"] == "C-1-3-13"]
    assert (one["tests"], one["outcome"]) == (["tests/a.py::b"], "not run")
    assert "C-1-3-13" not in said["without_test"]
    assert {each["share"] for each in said["controls"] if each["id"] in said["without_test"]} == set(OURS)
    cli_controls.controls(untested=True)
    assert "C-1-3-13 " not in capsys.readouterr().out


@pytest.mark.thorough
def test_the_tests_of_this_checkout_are_found() -> None:
    marked = cli_controls._marked()
    assert any(test.startswith("tests/admin/test_access.py::") for test in marked["C-1-3-13"])
