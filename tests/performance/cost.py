"""What a message costs: processor time of every process of a town, and how often the kernel switched between its threads.

Unlike a rate, it says where the time goes, and it hardly changes when the machine has other things to do.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What a process has spent so far."""

    user_s: float
    system_s: float
    switches: int
    """Voluntary and involuntary, of all its threads."""


def spent(pids: Mapping[str, int]) -> dict[str, Spent]:
    """By the names given; a process and all its threads, without its children."""
    found = {}
    for name, pid in pids.items():
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        switches = 0
        for status in Path(f"/proc/{pid}/task").glob("*/status"):
            lines = status.read_text().splitlines()
            switches += sum(int(line.split()[1]) for line in lines if "ctxt_switches" in line)
        found[name] = Spent(user_s=int(fields[11]) * _TICK_S, system_s=int(fields[12]) * _TICK_S, switches=switches)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class PerMessage:
    """The same for one message."""

    user_ms: float
    system_ms: float
    switches: float


def per_message(before: Mapping[str, Spent], after: Mapping[str, Spent], count: int) -> dict[str, PerMessage]:
    """The difference, by name, for each of ``count`` messages."""
    return {
        name: PerMessage(
            user_ms=(after[name].user_s - then.user_s) / count * 1000,
            system_ms=(after[name].system_s - then.system_s) / count * 1000,
            switches=(after[name].switches - then.switches) / count,
        )
        for name, then in before.items()
    }
