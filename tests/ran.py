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
_GROUP = re.compile(r"(?<=[\w\]])@[\w.-]+\Z")
"""What pytest-xdist adds to the id of a test in a group."""


class Ran:
    """Node id → ``passed``, ``failed`` or ``skipped``; the worst of set-up, call and tear-down."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.outcomes: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: Any) -> None:
        node = _GROUP.sub("", report.nodeid)
        before = self.outcomes.get(node, "passed")
        if report.when == "call" or report.outcome != "passed":
            self.outcomes[node] = report.outcome if before == "passed" else before

    def pytest_sessionfinish(self) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_text(json.dumps(self.outcomes, indent=0, sort_keys=True), encoding="utf-8")


def register(config: pytest.Config) -> None:
    """For ``pytest_configure``; not in the processes of xdist."""
    file = config.getoption(OPTION)
    if file is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Ran(Path(file)), "ran")
