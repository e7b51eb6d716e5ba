"""renkei controls: what of the assessment's controls is proved, by which tests, and how they ended last."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.options import Json
from gateway.cli.support import say, show_json, show_table
from gateway.cli.wording import t
from gateway.errors import ConfigurationError
from gateway.policy.controls import Proof, proofs

HOME = Path(__file__).resolve().parents[2]
REPORT = HOME / "var" / "reports" / "controls.json"
"""What test runs write: the last outcome of each test that is marked with a control."""


def controls(
    untested: Annotated[bool, typer.Option("--untested", help=t("controls.untested"))] = False,
    as_json: Json = False,
) -> None:
    """All controls of the assessment with the gateway's share, the tests marked with them and their last outcome."""
    found = proofs(_marked(), _outcomes())
    if untested:
        found = [each for each in found if each.missing]
    if as_json:
        show_json({"controls": [_plain(each) for each in found], "without_test": [each.control.id for each in found if each.missing]})
        return
    rows = [[each.control.id, each.control.share, each.control.term, len(each.tests), each.outcome] for each in found]
    show_table([t("label.control"), t("label.share"), "", t("label.tests"), t("label.outcome")], rows)
    missing = sum(each.missing for each in found)
    say(t("controls.summary", count=len(found), tested=sum(bool(each.tests) for each in found), untested=missing))


def _marked() -> dict[str, list[str]]:
    return marked_tests("control")["control"]


def marked_tests(*kinds: str) -> dict[str, dict[str, list[str]]]:
    """Kind of mark → what is marked → tests, as pytest collects them.

    :raises ConfigurationError: there are no tests here, or one cannot be loaded.
    """
    if not (HOME / "tests" / "traceability.py").exists():
        raise ConfigurationError("no-tests", t("controls.no_tests"))
    command = [sys.executable, "-m", "tests.traceability", "--json"]
    done = subprocess.run(command, cwd=HOME, capture_output=True, text=True, check=False, timeout=300)
    try:
        said: dict[str, dict[str, list[str]]] = json.loads(done.stdout)
        return {kind: said[kind] for kind in kinds}
    except (ValueError, KeyError) as error:
        last = (done.stderr.strip().splitlines() or [""])[-1]
        raise ConfigurationError("tests-unreadable", f"the tests cannot be listed: {last}") from error


def _outcomes() -> dict[str, dict[str, str]]:
    return outcomes_in(REPORT)


def outcomes_in(report: Path) -> dict[str, dict[str, str]]:
    """Test → outcome and when, as test runs left them."""
    try:
        found: dict[str, dict[str, str]] = json.loads(report.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return found


def _plain(each: Proof) -> dict[str, Any]:
    return {
        "id": each.control.id,
        "section": each.control.section,
        "term": each.control.term,
        "requirement": each.control.requirement,
        "share": each.control.share,
        "same_as": each.control.same_as,
        "tests": list(each.tests),
        "outcome": each.outcome,
        "ran_at": each.ran_at,
    }
