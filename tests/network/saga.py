"""The in-house half of code acquisition, as the atena system and the register do it: each reacts to what it has from its queue."""

from __future__ import annotations

import asyncio
import itertools
import random
import ssl
import uuid
from collections import Counter
from collections.abc import Mapping
from typing import Any

import aiohttp

from simulators.harness.town import REGISTER
from tests.network.kit import ATENA, LINK, Line, number, pair

ANSWER, PAIR = "processing-number-response", "code-acquisition-number-pair"


class Hands:
    """Both systems. Reactions are carried out by a few tasks on connections that are kept."""

    def __init__(self, line: Line, individual: Mapping[str, str], *, lanes: int = 8, crossed: float = 0.0) -> None:
        """``individual``: Individual Number by integrated atena number, which the atena system alone knows; ``crossed``: the share of
        processing numbers to which it first joins the number of somebody else, who has an answer at the same time."""
        self._line, self._individual = line, individual
        self._crossed, self._chance = crossed, random.Random(17)
        numbers = list(individual)
        self._other = dict(itertools.pairwise([*numbers, numbers[0]]))
        self._work: asyncio.Queue[tuple[str, str, bytes]] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []
        self._sessions: dict[str, aiohttp.ClientSession] = {}
        self._lanes = lanes
        self.said: Counter[tuple[str, str]] = Counter()
        """(type, receipt status or code of the refusal)."""

    async def __aenter__(self) -> Hands:
        for system in (ATENA, REGISTER, LINK):
            context: ssl.SSLContext = self._line.house.context(system)
            self._sessions[system] = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context, limit=self._lanes), trust_env=False)
        for system, react in ((ATENA, self._atena), (REGISTER, self._register)):
            taker = self._line.house.book(system).system
            original = taker.take

            def take(kind: str, items: Mapping[str, Any], original: Any = original, react: Any = react) -> None:
                original(kind, items)
                react(kind, items)

            taker.take = take  # type: ignore[method-assign]
        self._tasks = [asyncio.create_task(self._lane()) for _ in range(self._lanes)]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for session in self._sessions.values():
            await session.close()

    def _atena(self, kind: str, items: Mapping[str, Any]) -> None:
        if kind == ANSWER:
            if self._chance.random() < self._crossed:
                wrong = pair(items["processing_number"], self._individual[self._other[items["integrated_atena_number"]]])
                self._work.put_nowait((ATENA, PAIR, wrong))
            found = pair(items["processing_number"], self._individual[items["integrated_atena_number"]])
            self._work.put_nowait((ATENA, PAIR, found))

    def _register(self, kind: str, items: Mapping[str, Any]) -> None:
        if kind == PAIR:
            self._work.put_nowait((REGISTER, PAIR, pair(items["processing_number"], items["individual_number"])))

    async def _lane(self) -> None:
        while True:
            system, kind, content = await self._work.get()
            await self.hand_in(system, kind, content)

    async def hand_in(self, system: str, kind: str, content: bytes) -> Mapping[str, Any]:
        """The same message until there is a receipt or a refusal."""
        headers = {
            "ce-specversion": "1.0", "ce-id": str(uuid.uuid4()), "ce-source": f"/{system}", "ce-type": kind,
            "Content-Type": "application/xml",
        }  # fmt: skip
        url = f"https://127.0.0.1:{self._line.house.town.ports.https}/v1/messages"
        while True:
            try:
                async with self._sessions[system].post(url, data=content, headers=headers, server_hostname="gateway") as answer:
                    found: Mapping[str, Any] = await answer.json(content_type=None)
            except (aiohttp.ClientError, TimeoutError):
                await asyncio.sleep(0.2)
                continue
            if answer.status in (429, 503):
                await asyncio.sleep(0.2)
                continue
            self.said[kind, str(found.get("code", found["status"]))] += 1
            return {**found, "id": headers["ce-id"]}


def people(line: Line, count: int) -> dict[str, tuple[str, str]]:
    """(resident record code, Individual Number) of so many residents of the synthetic city, by integrated atena number."""
    found = {}
    for place in range(count):
        code = line.cs.elsewhere.serials.code(place)
        individual = line.cs.authority.number(code)
        assert individual is not None
        found[number(place + 1000)] = (code, individual)
    return found
