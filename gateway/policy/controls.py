"""The controls of the assessment, and which tests prove them. Packaged data, and what the tests left behind."""

from __future__ import annotations

import functools
import importlib.resources
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import yaml

Share = Literal["enforce", "record", "support", "outside"]
OURS: frozenset[Share] = frozenset({"enforce", "record"})
"""Shares that need a test of the gateway."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """One control of the assessment (評価書)."""

    id: str
    section: str
    term: str
    """The words of the document that mark it."""
    requirement: str
    share: Share
    same_as: str | None = None
    """The control that says the same for another file: its tests serve this one too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """A control with its tests and what became of them."""

    control: Control
    tests: tuple[str, ...]
    outcome: str | None
    """``failed`` if any did, else ``passed``, ``skipped``, ``not run``; None: no test."""
    ran_at: str | None
    """When the oldest of these outcomes came about, UTC."""

    @property
    def missing(self) -> bool:
        """It should have a test and has none."""
        return not self.tests and self.control.share in OURS


@functools.cache
def controls() -> tuple[Control, ...]:
    """All of them, in the order of the specification."""
    text = importlib.resources.files("gateway.policy").joinpath("data", "controls.yaml").read_text(encoding="utf-8")
    rows: list[dict[str, Any]] = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))["controls"]  # noqa: S506 safe, and quick
    return tuple(Control(**{**row, "requirement": row["requirement"].strip(), "share": cast("Share", row["share"])}) for row in rows)


def proofs(marked: Mapping[str, Iterable[str]], outcomes: Mapping[str, Mapping[str, str]]) -> list[Proof]:
    """Each control with what proves it.

    :param marked: control → tests marked with it, as ``file::name``.
    :param outcomes: test → ``outcome`` and ``at``, as the test run wrote them.
    """
    found = []
    for control in controls():
        names = {*marked.get(control.id, ()), *(marked.get(control.same_as, ()) if control.same_as else ())}
        tests = tuple(sorted(names))
        ran = [outcomes[test] for test in tests if test in outcomes]
        found.append(
            Proof(
                control=control,
                tests=tests,
                outcome=_outcome([each["outcome"] for each in ran], len(tests)),
                ran_at=min((each["at"] for each in ran), default=None),
            )
        )
    return found


def _outcome(outcomes: Sequence[str], count: int) -> str | None:
    if not count:
        return None
    if "failed" in outcomes:
        return "failed"
    if len(outcomes) < count:
        return "not run"
    return "passed" if "passed" in outcomes else "skipped"
