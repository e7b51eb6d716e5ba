"""The information provision network in a replay: atena numbers, replicas and codes of those whom an event concerns (FS5-4, FS6-4, F6-1).

Whoever changes is linked and registered at the intermediate server, if that was not done before, and has a new replica; who is gone has
none any more. For those who are new a code is asked for in the evening, when everything of the day is through: by the atena system (1-1),
which puts the Individual Number to the processing number that comes (1-2g), whereupon the register passes both on (1-3).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from simulators.replay.concerned import Concerned
from simulators.replay.house import House
from simulators.replay.ways import ATENA, CODE_REQUEST, LINK, LINKAGE, PAIR, PROCESSING, REGISTRATION, REPLICA


class Network:
    """What link and atena system do for it. Belongs to the event loop."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._individual: dict[str, str] = {}
        """Individual Number by integrated number, of who is registered: the atena system's own knowledge."""
        self._turn: dict[str, asyncio.Lock] = {}
        self._without_code: list[str] = []
        self._number = 0
        house.heard[ATENA, PROCESSING] = self._processing

    def changed(self, who: Concerned) -> None:
        """The city CS has taken an update of this resident."""
        self._number += 1
        self._house.go(self._told(who, f"{who.number}-{self._number}"))

    async def _told(self, who: Concerned, name: str) -> None:
        house = self._house
        async with self._turn.setdefault(who.number, asyncio.Lock()):
            if who.number not in self._individual:
                if who.gone or not await self._register(who, name):
                    return
                if who.new:
                    self._without_code.append(who.number)
            held = {} if who.gone else {"household_items/head_name": who.head, "household_items/relationship": who.relationship}
            await house.hand_in(LINK, REPLICA, {"integrated_atena_number": who.number, **held}, f"replica-{name}")

    async def _register(self, who: Concerned, name: str) -> bool:
        """The number must be linked before it is registered, and registered before anything else of it leaves (FS6-4)."""
        bound = {"business_identifier[1]/system": ATENA, "business_identifier[1]/number": who.number}
        items = {"atena_number": who.atena, "individual_number": who.individual, **who.items, **bound}
        if not await self._house.hand_in(LINK, LINKAGE, items, f"linkage-{name}"):
            return False
        self._individual[who.number] = who.individual
        return await self._house.hand_in(ATENA, REGISTRATION, {"integrated_atena_number": who.number}, f"registration-{name}")

    def evening(self) -> None:
        """Codes for who is new since the last evening."""
        wanted, self._without_code = self._without_code, []
        for number in wanted:
            self._house.go(self._ask(number))

    async def _ask(self, number: str) -> None:
        await self._house.hand_in(ATENA, CODE_REQUEST, {"integrated_atena_number": number}, f"code-{number}")

    def _processing(self, items: Mapping[str, Any]) -> None:
        processing, individual = items["processing_number"], self._individual[items["integrated_atena_number"]]
        self._house.go(self._pair({"processing_number": processing, "individual_number": individual}))

    async def _pair(self, items: Mapping[str, str]) -> None:
        await self._house.hand_in(ATENA, PAIR, items, "-".join(items.values()))

    def passed_on(self, items: Mapping[str, str]) -> None:
        """The pair has come to the register, which passes it on to the city CS."""
        pair = {name: items[name] for name in ("processing_number", "individual_number")}
        self._house.register(PAIR, pair, "-".join(pair.values()))
