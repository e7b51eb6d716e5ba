"""What counts as proof of a flow: a test that ran, and ways for all its messages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.cli import controls as cli_controls
from gateway.cli import flows as cli_flows
from gateway.cli.support import ExitCode
from gateway.flows.model import flows
from gateway.flows.verify import verify
from gateway.policy.routes import build, tables
from tests.reports import FLOW_MARKS, ControlReport, edges_of
from tests.test_controls import _report


def judged(**outcomes: str) -> tuple[dict[str, tuple[bool, str | None]], dict[str, tuple[bool, str | None]]]:
    marked = {"F2-1": ["t.py::one", "t.py::two"], "F1-1": ["t.py::one"], "F1-7": ["t.py::seven"]}
    edges = {"F2-1/format": ["t.py::one"], "F1-5/more-than-needed": ["t.py::seven"]}
    ran = {f"t.py::{name}": {"outcome": outcome, "at": "2026-11-01"} for name, outcome in outcomes.items()}
    found, cases = verify(flows(), tables(), marked, edges, ran)
    return {e.flow.id: (e.ok, e.reason) for e in found}, {f"{e.flow.id}/{e.edge.id}": (e.ok, e.reason) for e in cases}


def test_a_flow_is_proved_by_a_test_that_ran_and_by_nothing_less() -> None:
    assert judged(one="passed")[0]["F2-1"] == (True, None)
    assert judged(one="passed", two="passed")[0]["F2-1"] == (True, None)
    assert judged(one="passed", two="failed")[0]["F2-1"] == (False, "failed: t.py::two")
    assert judged(one="skipped")[0]["F2-1"] == (False, "has not run: t.py::one, t.py::two")
    assert judged()[0]["F2-1"][0] is False
    assert judged(one="passed")[0]["F2-2"] == (False, "no test is marked with it")


def test_a_flow_whose_message_has_no_way_here_is_not_proved_by_any_test() -> None:
    no_routes = build(*_without("identity-information-update"))
    found, _ = verify(flows(), no_routes, {"F2-1": ["t.py::one"]}, {}, {"t.py::one": {"outcome": "passed", "at": "2026-11-01"}})
    [update] = [each for each in found if each.flow.id == "F2-1"]
    assert (update.ok, update.messages) == (False, ())
    assert update.reason == "no way here for 1-3 identity-information-update, 1-3r identity-update-result"


def _without(name: str) -> tuple[dict[str, object], dict[str, object]]:
    from gateway.policy.routes import _packaged

    connections, routes = _packaged("connections.yaml"), _packaged("routes.yaml")
    return dict(connections), {**routes, "routes": {each: rows for each, rows in routes["routes"].items() if each != name}}


def test_an_edge_case_is_proved_by_its_own_test_and_what_is_outside_says_why() -> None:
    _, edges = judged(one="passed")
    assert edges["F2-1/format"] == (True, None)
    assert edges["F2-1/sequence-number"] == (False, "no test is marked with it")
    ok, reason = edges["F1-5/more-than-needed"]
    assert (ok, str(reason)[:9]) == (True, "outside: ")
    assert judged(seven="failed")[1]["F1-5/more-than-needed"] == (False, "failed: t.py::seven")
    assert judged(seven="failed")[0]["F1-7"] == (False, "failed: t.py::seven")
    assert judged()[1]["F6-2/own-inquiry"] == (False, "no test is marked with it")
    assert judged()[0]["F1-9"][0] is True


def test_test_runs_leave_what_became_of_flows_and_edge_cases(tmp_path: Path) -> None:
    report = ControlReport(tmp_path / "flows.json", FLOW_MARKS)
    report.pytest_runtest_logreport(_report("one", "passed", "call", [("flow", "F2-1")]))
    report.pytest_runtest_logreport(_report("two", "failed", "call", [("edge", "F2-1/format")]))
    report.pytest_runtest_logreport(_report("three", "failed", "call", [("control", "C-1-3-13")]))

    class Session:
        class config:
            pass

    report.pytest_sessionfinish(Session())  # type: ignore[arg-type]
    found = json.loads((tmp_path / "flows.json").read_text(encoding="utf-8"))
    assert {test: each["outcome"] for test, each in found.items()} == {"t.py::one": "passed", "t.py::two": "failed"}
    assert edges_of(pytest.mark.edge("F1-1", "a", "b").mark) == ["F1-1/a", "F1-1/b"]


def test_the_command_says_it_for_all_of_them(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    marks = {"flow": {"F2-1": ["t.py::one"]}, "edge": {"F2-1/format": ["t.py::one"]}}
    monkeypatch.setattr(cli_controls, "marked_tests", lambda *_: marks)
    monkeypatch.setattr(cli_flows, "REPORT", tmp_path / "flows.json")
    (tmp_path / "flows.json").write_text(json.dumps({"t.py::one": {"outcome": "passed", "at": "2026-11-01"}}), encoding="utf-8")
    assert cli_flows.verify(as_json=True) == ExitCode.FINDINGS
    said = json.loads(capsys.readouterr().out)
    assert (said["ok"], len(said["flows"]), len(said["edge_cases"])) == (False, 46, 116)
    [update] = [each for each in said["flows"] if each["id"] == "F2-1"]
    assert (update["ok"], update["tests"], "reason" in update) == (True, ["t.py::one"], False)
    assert update["messages"][:2] == ["identity-information-update", "identity-update-result"]
    [edge] = [each for each in said["edge_cases"] if (each["flow"], each["case"]) == ("F2-1", "format")]
    assert edge["ok"] is True
    assert all("reason" in each for each in said["flows"] + said["edge_cases"] if not each["ok"])
    assert cli_flows.verify(missing=True) == ExitCode.FINDINGS
    assert "F2-1  format" not in capsys.readouterr().out
