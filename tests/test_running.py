"""That the tests are run as they are meant to be."""

from __future__ import annotations

import os

import pytest


@pytest.mark.slow
def test_slow_tests_of_a_folder_go_to_one_process(request: pytest.FixtureRequest) -> None:
    """xdist knows a group by what stands behind an ``@`` in a test's id."""
    grouped = request.node.nodeid.endswith("@test_running.py")
    assert grouped is ("PYTEST_XDIST_WORKER" in os.environ)
