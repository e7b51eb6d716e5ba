"""What a harness can see from outside while a run goes on: effects in the party's journal, receipts in the register's record."""

from __future__ import annotations

import asyncio
import bisect
import itertools
import json
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any


class Follower:
    """Reads a growing file of JSON Lines: each time only what has come since."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0

    def new(self) -> list[dict[str, Any]]:
        """The complete lines that have come since the last time."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._read)
                data = file.read()
        except FileNotFoundError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self._read += len(whole)
        return [json.loads(line) for line in whole.splitlines()]


class Watch:
    """When something took effect at the party, and when something was accepted: seconds of the wall clock, rising."""

    def __init__(self, journal: Path, record: Path) -> None:
        self._journal = Follower(journal)
        self._record = Follower(record)
        self.effects: list[float] = []
        self.accepted: list[float] = []
        self.refused: set[str] = set()
        """依頼管理番号 of what the party has refused."""
        self.replaced: dict[str, str] = {}
        """What the register has replaced: message id → 依頼管理番号."""
        self._requests: dict[str, str] = {}

    def look(self) -> None:
        """Take in what has come since."""
        for entry in self._journal.new():
            if entry["kind"] == "effect":
                self.effects.append(_seconds(entry["at"]))
            elif entry["kind"] == "refused":
                self.refused.add(entry["request"])
        for entry in self._record.new():
            self._take(entry)

    def _take(self, entry: Mapping[str, Any]) -> None:
        if entry["kind"] == "receipt" and entry["status"] == "accepted":
            bisect.insort(self.accepted, _seconds(entry["accepted_at"]))
        elif entry["kind"] == "message":
            self._requests[entry["id"]] = entry["request"]
            if entry.get("corrects"):
                self.replaced[entry["corrects"]] = self._requests.get(entry["corrects"], "")

    @property
    def healed(self) -> int:
        """Messages that were held although the party never refused them, and that the register then replaced: nothing may come to that."""
        return sum(request not in self.refused for request in self.replaced.values())

    def silence_after(self, moment: float) -> float:
        """The longest time without an effect, from ``moment`` to the last effect."""
        later = [moment, *self.effects[bisect.bisect_right(self.effects, moment) :]]
        return max((after - before for before, after in itertools.pairwise(later)), default=0.0)

    async def effect_after(self, moment: float, within_s: float) -> float | None:
        """Seconds from ``moment`` to the first effect after it; ``None``: there was none within ``within_s`` seconds from now."""
        return await self._after(self.effects, moment, within_s)

    async def accepted_after(self, moment: float, within_s: float) -> float | None:
        """As :meth:`effect_after`, for the first acceptance."""
        return await self._after(self.accepted, moment, within_s)

    async def _after(self, moments: list[float], moment: float, within_s: float) -> float | None:
        deadline = time.monotonic() + within_s
        while True:
            self.look()
            place = bisect.bisect_right(moments, moment)
            if place < len(moments):
                return moments[place] - moment
            if time.monotonic() > deadline:
                return None
            await asyncio.sleep(0.02)


def _seconds(at: str) -> float:
    return datetime.fromisoformat(at).timestamp()
