"""Every rule, invariant and planted bug of this release has a test that names it, and the page about it is current."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from tests.traceability import INVARIANTS, LATER, PAGE, PLANTED, REPOSITORY, RULES, missing, misspelt


@pytest.mark.thorough
async def test_everything_is_proved_somewhere_and_the_page_says_where() -> None:
    command = [sys.executable, "-m", "tests.traceability"]
    done = await asyncio.to_thread(subprocess.run, command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout == PAGE.read_text(encoding="utf-8"), "python -m tests.traceability --write"


def test_what_no_test_names_is_missed_and_what_is_misspelt_is_found() -> None:
    all_but = {
        "invariant": {each: ["x"] for each in INVARIANTS if each != "I3"},
        "rule": {each: ["x"] for each in (*RULES, "R99") if each not in {"R7", *LATER}},
        "planted": {each: ["x"] for each in PLANTED if each != "retry by requeue"},
    }
    assert missing(all_but) == ["invariant I3", "rule R7", "planted retry by requeue"]
    assert misspelt(all_but) == ["rule R99"]
