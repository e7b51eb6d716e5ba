"""A small pytest plugin: the last outcome of every test that is marked with a control, a flow or an edge case of one.

``renkei controls`` and ``renkei flows verify`` read what it writes.

Each run renews the tests that it ran; those of other runs stay. With ``-n`` only the process that leads writes.
"""

from __future__ import annotations

import datetime as dt
import json
import os
from pathlib import Path

import pytest

from tests.ran import without_group

REPORT = Path(__file__).resolve().parent.parent / "var" / "reports" / "controls.json"
FLOWS = REPORT.with_name("flows.json")
MARK = "control"
FLOW_MARKS = ("flow", "edge")
_WORST = ("failed", "skipped", "passed")


class ControlReport:
    """Registered by ``tests/conftest.py``."""

    def __init__(self, file: Path = REPORT, marks: tuple[str, ...] = (MARK,)) -> None:
        self._file = file
        self._marks = marks
        self._found: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Setup, call and teardown of a test; of several parameters the worst counts."""
        if not any(name in self._marks for name, _ in report.user_properties):
            return
        if report.when != "call" and report.outcome == "passed":
            return
        test = without_group(report.nodeid).partition("[")[0]
        before = self._found.get(test, "passed")
        self._found[test] = min(report.outcome, before, key=_WORST.index)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write, beside what other runs left."""
        if hasattr(session.config, "workerinput") or not self._found:
            return
        now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        try:
            known = json.loads(self._file.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            known = {}
        known |= {test: {"outcome": outcome, "at": now} for test, outcome in self._found.items()}
        self._file.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._file.with_name(f"{self._file.name}.{os.getpid()}")
        fresh.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        fresh.replace(self._file)


def note_controls(items: list[pytest.Item]) -> None:
    """Let the report of each test name its controls, flows and edge cases, also across processes."""
    for item in items:
        for name in (MARK, "flow"):
            for mark in item.iter_markers(name):
                item.user_properties += [(name, each) for each in mark.args]
        for mark in item.iter_markers("edge"):
            item.user_properties += [("edge", each) for each in edges_of(mark)]


def edges_of(mark: pytest.Mark) -> list[str]:
    """``flow/edge`` of each edge case that a mark names: ``edge("F1-1", "city-cs-down")``."""
    flow, *edges = mark.args
    return [f"{flow}/{each}" for each in edges]
