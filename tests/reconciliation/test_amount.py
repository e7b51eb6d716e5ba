"""Many residents: the same measurement as ``bin/bench reconcile``, smaller."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.performance.reconcile import measure


@pytest.mark.slow
@pytest.mark.flow("FR-1")
async def test_twenty_thousand_residents_and_exactly_what_was_planted(tmp_path: Path) -> None:
    found = await measure(tmp_path, 20_000)
    assert found.exact
    assert found.planted == 200
    assert found.peak_bytes < 200 << 20
    assert found.digest_s + found.compare_s < 60
