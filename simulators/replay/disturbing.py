"""Random faults of a replay, deterministic by seed: a party that is down for a while, time-outs after effect, a killed worker or gateway,
one of our systems that is away. Some days nothing happens."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from simulators.harness.strikes import Striker
from simulators.harness.town import Town

Control = Callable[[str, str, str, Any], Awaitable[Any]]
"""Party, method, path, body; see :meth:`simulators.replay.townhall.Townhall.control`."""
KINDS = ("nothing", "down", "time-out", "late-effect", "http-503", "kill worker", "kill gateway", "away")
WEIGHTS = (2, 3, 3, 2, 2, 3, 2, 2)
Away = Callable[[str, float], Awaitable[None]]
"""One of our systems is not at its queue for so many seconds; see :meth:`simulators.replay.house.House.away`."""


class Disturber:
    """Makes something fail on a day. Belongs to the event loop."""

    def __init__(self, town: Town, *, seed: int, control: Control, away: Away) -> None:
        self._town, self._control, self._away = town, control, away
        self._random = random.Random(f"renkei-replay/{seed}")
        self._striker = Striker(town, self._random)
        self.done: Counter[str] = Counter()

    async def day(self) -> None:
        """The faults of one day: one or two, somewhere in its first seconds."""
        for kind in self._random.choices(KINDS, WEIGHTS, k=self._random.randint(1, 2)):
            await asyncio.sleep(self._random.uniform(0.0, 1.0))
            if kind.startswith("kill"):
                self.done[kind] += await self._striker.strike(kind) is not None
            elif kind == "away":
                if self._town.plan.systems:
                    system = self._random.choice(self._town.plan.systems)
                    await self._away(system, self._random.uniform(1.0, 4.0))
                    self.done[f"away {system}"] += 1
            elif kind != "nothing":
                party = self._random.choice((*self._town.plan.parties, *self._town.plan.mailboxes))
                await self._control(party, "POST", "faults", self._fault(kind))
                self.done[f"{kind} {party}"] += 1

    def _fault(self, kind: str) -> dict[str, Any]:
        match kind:
            case "down":
                return {"kind": "down", "for_s": round(self._random.uniform(1.0, 4.0), 1)}
            case "time-out":
                return {"kind": "time-out", "times": 1, "takes_effect": True, "hold_s": 6.0}
            case "late-effect":
                return {"kind": "late-effect", "times": 1, "delay_s": 2.0}
        return {"kind": kind, "times": 2}
