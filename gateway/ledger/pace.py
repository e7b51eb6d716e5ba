"""How much fits into the time that a lock may be held: learned from the groups that were committed."""

from __future__ import annotations

from typing import Final


class Pace:
    """What a unit of work takes, over the last ten groups or so; large groups weigh more."""

    _KEEP: Final = 0.9
    _AT_FIRST: Final = 50
    AT_LEAST: Final = 48
    """A part of the cost is the same for every group: judged by small groups alone, groups would have to be smaller and smaller."""

    def __init__(self) -> None:
        self._work_s = 0.0
        self._units = 0.0
        self._commit_s = 0.0

    def learn(self, units: int, work_s: float, commit_s: float) -> None:
        """A group of ``units`` took so long to do, and so long to commit (seconds)."""
        self._work_s = self._KEEP * self._work_s + work_s
        self._units = self._KEEP * self._units + units
        self._commit_s = self._KEEP * self._commit_s + (1 - self._KEEP) * commit_s

    def units_in(self, lock_s: float, *, at_least: int = AT_LEAST) -> int:
        """How many units fit into ``lock_s``.

        A slow disk leaves at least a quarter of the time for work: small groups would make it slower still.
        """
        if lock_s == float("inf"):
            return 1 << 30
        if not self._work_s:
            return self._AT_FIRST
        return max(at_least, int(max(lock_s - self._commit_s, lock_s / 4) * self._units / self._work_s))
