"""Planted bugs: what is switched on in the gateway from outside its code, and the run that convicts each.

The patches live in ``tests/faults/planted`` (not in the wheel): a ``sitecustomize`` that Python loads at the start of every process of the
gateway, and which changes modules of the product as they are imported. Here is only which run finds which bug out.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from simulators.errors import SimulatorError
from simulators.harness.chaos import Settings, with_bug

VARIABLE = "RENKEI_PLANTED_BUG"
PLACE = Path(__file__).resolve().parents[2] / "tests" / "faults" / "planted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bug:
    """A planted bug. ``faults``: what brings it out; ``changes``: what else the run needs."""

    meaning: str
    faults: tuple[str, ...]
    changes: Mapping[str, Any] = field(default_factory=dict)


BUGS: dict[str, Bug] = {}


def planted(name: str, settings: Settings, *, faults_given: bool = False) -> Settings:
    """The run that convicts a bug.

    :raises SimulatorError: no such bug, or its patches are not here (an installed wheel has none).
    """
    bug = BUGS.get(name)
    if bug is None:
        raise SimulatorError("no-such-bug", f"no such bug; known: {', '.join(sorted(BUGS))}")
    if not (PLACE / "sitecustomize.py").exists():
        raise SimulatorError("no-patches", "planted bugs need a clone of the repository")
    path = os.pathsep.join([str(PLACE), *filter(None, [os.environ.get("PYTHONPATH")])])
    if not faults_given:
        settings = replace(settings, only=bug.faults)
    return with_bug(replace(settings, **bug.changes), {"PYTHONPATH": path, VARIABLE: name})
