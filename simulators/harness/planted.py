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


_QUICK: dict[str, Any] = {"replaces": False, "settle_s": 8.0, "lead_s": 0.5}
"""What is held stays held (the register would put it right), and who waits in vain waits no longer than needed."""
_LONG_CALLS: dict[str, Any] = {**_QUICK, "slow": 0.6}
_RESETS: dict[str, Any] = {**_QUICK, "resets": 0.05}

BUGS: dict[str, Bug] = {
    "ack-before-commit": Bug(
        meaning="R16: the message is acked before its receipt is confirmed",
        faults=("kill gateway",),
        changes={**_QUICK, "resend_after_s": 3600.0},
    ),
    "answered-before-commit": Bug(meaning="I1: accepted is said before the commit", faults=("kill gateway",), changes=_QUICK),
    "no-sending-commit": Bug(meaning="R5: the claim is not in the ledger", faults=("kill worker",), changes=_LONG_CALLS),
    "epoch-not-checked": Bug(meaning="R7: the outcome of a lost claim is written", faults=("freeze worker",), changes=_LONG_CALLS),
    "requeued-after-crash": Bug(meaning="R8: sending becomes queued again", faults=("kill worker",), changes=_LONG_CALLS),
    "bell-only": Bug(meaning="R15: nobody looks for what is due", faults=("kill city-cs",), changes=_QUICK),
    "void-claims-not-found": Bug(meaning="R6: nobody takes over from the dead", faults=("kill all workers",), changes=_LONG_CALLS),
    "unknown-believed": Bug(meaning="R9: no answer is taken for delivered", faults=("kill city-cs",), changes=_RESETS),
    "unknown-requeued": Bug(meaning="R9: no answer is taken for no effect", faults=("kill city-cs",), changes=_RESETS),
    "number-from-memory": Bug(meaning="R2: numbers are counted in memory", faults=("kill gateway",), changes=_QUICK),
    "breaker-spends-budget": Bug(
        meaning="R12: an outage spends budgets",
        faults=("kill city-cs",),
        changes={**_QUICK, "resets": 0.0, "slow": 0.0, "retry": {"first_s": 0.2, "longest_s": 1.0, "budget": 3}},
    ),
    "refused-passed-over": Bug(
        meaning="I3: what was refused does not hold its resident", faults=("kill worker",), changes={"settle_s": 8.0}
    ),
}


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
