"""What a replay and the demo ask of a whole town: its parties by their control APIs, whether all is quiet, and the ledger's book."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Self

import aiohttp

from simulators.errors import SimulatorError
from simulators.harness.admin import Admin
from simulators.harness.town import Town
from simulators.replay.month import Happening

LOOK_S = 0.1
TALLY_S = 120.0


class Townhall:
    """A context manager; for one event loop."""

    def __init__(self, town: Town) -> None:
        self.town = town
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(trust_env=False)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def control(self, party: str, method: str, path: str, body: Any = None) -> Any:
        """The control API of a party.

        :raises SimulatorError: it refuses.
        :raises aiohttp.ClientError, TimeoutError: it cannot be asked now.
        """
        url, token = self.town.control(party)
        headers = {"Authorization": f"Bearer {token}"}
        async with self._session.request(method, f"{url}/_sim/{path}", json=body, headers=headers) as answer:
            text = await answer.text()
            if answer.status >= 400:
                raise SimulatorError("control-refused", f"{party} {path}: {text[:200]}")
            return json.loads(text) if text else None

    async def begin(self, happenings: Iterable[Happening]) -> None:
        """Let these things happen; a party that is being started again is waited for."""
        for each in happenings:
            while True:
                with suppress(aiohttp.ClientConnectionError, TimeoutError):
                    await self.control(each.party, "POST", "emit", each.what)
                    break
                await asyncio.sleep(LOOK_S)

    async def quiet(self, admin: Admin) -> bool:
        """Nothing waits at the gateway, and no party has anything to send, or in its mailbox. Who cannot be asked now is not quiet."""
        with suppress(aiohttp.ClientError, TimeoutError, OSError):
            lanes = (await admin.get("queues"))["items"]
            if any(lane["depth"] for lane in lanes):
                return False
            plan = self.town.plan
            states = await asyncio.gather(*(self.control(party, "GET", "state") for party in (*plan.parties, *plan.mailboxes)))
            return not any(state.get("to_send") or state.get("waiting") for state in states)
        return False

    async def step(self, admin: Admin, offset_s: float) -> None:
        """The business clock is put so far ahead of real time."""
        while True:
            with suppress(aiohttp.ClientConnectionError, TimeoutError):
                await admin.post("business-clock", {"offset_s": offset_s})
                return
            await asyncio.sleep(LOOK_S)

    async def tally(self) -> Any:
        """What ``renkei tally --json`` says, as an operator types it.

        :raises SimulatorError: it fails.
        """
        process = await asyncio.create_subprocess_exec(*self.town.renkei("tally", "--json"), stdout=asyncio.subprocess.PIPE)
        out, _ = await asyncio.wait_for(process.communicate(), TALLY_S)
        if process.returncode != 0:
            raise SimulatorError("command-failed", f"renkei tally ended with {process.returncode}")
        return json.loads(out)
