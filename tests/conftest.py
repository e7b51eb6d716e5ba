"""For all tests: where generated things go, and which tests share a process."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis.database import DirectoryBasedExampleDatabase

REPOSITORY = Path(__file__).resolve().parent.parent

# Processes that tests start run this tree, whatever is installed.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))

settings.register_profile("renkei", database=DirectoryBasedExampleDatabase(REPOSITORY / "var" / "cache" / "hypothesis"))
settings.load_profile("renkei")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked slow start brokers, databases and processes: with ``-n`` they all go to one process, one after the other."""
    for item in items:
        if item.get_closest_marker("slow") is not None and item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group("machine"))


@pytest.fixture(scope="session")
def repository() -> Path:
    """The top-level folder of this repository."""
    return REPOSITORY
