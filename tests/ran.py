"""What ran, and how it ended: ``pytest --ran FILE`` writes it down, for ``python -m tests.threats --ran FILE``.

Works with pytest-xdist: reports of its processes arrive at the one that was started.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

OPTION = "--ran"
MARK = "attack"
"""Names attacks of tests/security/attacks.yaml that a test makes where its parameters do not."""
_GROUP = re.compile(r"(?<=[\w\]])@[\w.-]+\Z")


def without_group(test: str) -> str:
    """The id of a test without what pytest-xdist adds to it for a test in a group."""
    return _GROUP.sub("", test)


class Ran:
    """Node id → ``passed``, ``failed`` or ``skipped``; the worst of set-up, call and tear-down."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.outcomes: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: Any) -> None:
        attacks = "".join(f"[{value}]" for name, value in getattr(report, "user_properties", ()) if name == MARK)
        node = without_group(report.nodeid) + attacks
        before = self.outcomes.get(node, "passed")
        if report.when == "call" or report.outcome != "passed":
            self.outcomes[node] = report.outcome if before == "passed" else before

    def pytest_sessionfinish(self) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_text(json.dumps(self.outcomes, indent=0, sort_keys=True), encoding="utf-8")


def note_attacks(items: list[pytest.Item]) -> None:
    """Let the report of each test name the attacks that it is marked with, also across processes."""
    for item in items:
        for mark in item.iter_markers(MARK):
            item.user_properties += [(MARK, each) for each in mark.args]


def register(config: pytest.Config) -> None:
    """For ``pytest_configure``; not in the processes of xdist."""
    file = config.getoption(OPTION)
    if file is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Ran(Path(file)), "ran")
