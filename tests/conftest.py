"""For all tests: where generated things go, and which tests share a process."""

from __future__ import annotations

import gc
import os
import re
import signal
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis.database import DirectoryBasedExampleDatabase

from tests import ran
from tests.reports import FLOW_MARKS, FLOWS, ControlReport, note_controls

REPOSITORY = Path(__file__).resolve().parent.parent

# Processes that tests start run this tree, whatever is installed.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))

settings.register_profile("renkei", database=DirectoryBasedExampleDatabase(REPOSITORY / "var" / "cache" / "hypothesis"))
settings.load_profile("renkei")


TOWNS = frozenset({"convenience", "demo", "faults", "inbound", "operations"})
"""Folders whose slow tests run whole gateways: never two of those at a time, for they measure how soon something happens."""


LEAVES_OUT = re.compile(r"not \w+( and not \w+)*")
MARKS_OF_FILE = re.compile(r"^pytestmark = (.*)$", re.MULTILINE)
MARK = re.compile(r"pytest\.mark\.(\w+)")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(ran.OPTION, default=None, metavar="FILE", help="write down which tests ran and how they ended (tests/threats.py)")


def pytest_configure(config: pytest.Config) -> None:
    ran.register(config)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # started in the background it is ignored, also by what the tests start
    config.pluginmanager.register(ControlReport(), "controls")  # kept for ``renkei controls``
    config.pluginmanager.register(ControlReport(FLOWS, FLOW_MARKS), "flows")  # kept for ``renkei flows verify``


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is imported and collected stays until the end: the collector of garbage need not look through it, now or later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """A file of whose tests none would run is not even read: ``-m "not slow …"`` (``bin/check``) leaves out two files of five."""
    if collection_path.suffix == ".py" and LEAVES_OUT.fullmatch(wanted := config.option.markexpr):
        marks = MARKS_OF_FILE.search(collection_path.read_text(encoding="utf-8"))
        if marks is not None and {f"not {mark}" for mark in MARK.findall(marks[1])} & set(wanted.split(" and ")):
            return True
    return None


@pytest.hookimpl(tryfirst=True)  # before xdist writes the groups down
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With ``-n``: the slow tests of a folder go to one process, one after the other, so that they share its broker and database.

    They come first, whole gateways before all: what is quick then fills up the other process.
    """
    for item in items:
        if item.get_closest_marker("slow") is not None:
            folder = item.path.relative_to(REPOSITORY / "tests").parts[0]
            item.add_marker(pytest.mark.xdist_group("town" if folder in TOWNS else folder))
    items.sort(key=_turn)
    note_controls(items)
    ran.note_attacks(items)


def _turn(item: pytest.Item) -> int:
    group = item.get_closest_marker("xdist_group")
    return 2 if group is None else 0 if group.args == ("town",) else 1


@pytest.fixture(scope="session")
def repository() -> Path:
    """The top-level folder of this repository."""
    return REPOSITORY
