"""Processor time of processes that come and go: what each name has spent, whichever process bore it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


class Meter:
    """Look often enough: what a process spends between the last look and its end is not seen."""

    def __init__(self) -> None:
        self._first: dict[tuple[str, int], float] = {}
        self._last: dict[tuple[str, int], float] = {}

    def look(self, pids: Mapping[str, int], *, new: bool = True) -> None:
        """``new``: what a process spent before it was first seen counts, as one that began after the last look."""
        for name, pid in pids.items():
            with suppress(OSError, IndexError, ValueError):  # ended meanwhile
                fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
                now = (int(fields[11]) + int(fields[12])) * _TICK_S
                self._first.setdefault((name, pid), 0.0 if new else now)
                self._last[name, pid] = now

    def spent_s(self) -> dict[str, float]:
        """Seconds of user and system time by name."""
        found: dict[str, float] = {}
        for (name, pid), last in self._last.items():
            found[name] = found.get(name, 0.0) + last - self._first[name, pid]
        return found
