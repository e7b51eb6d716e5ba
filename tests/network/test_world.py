"""The intermediate server in one world with the city CS, as ``renkei simulate world`` runs it, and a gateway before it."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from simulators.harness.town import Plan, Town
from tests.support.broker import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.mark.flow("F6-1")
async def test_the_world_has_the_intermediate_server(tmp_path: Path) -> None:
    plan = Plan(workers=1, population=10, parties=("city-cs", "intermediate-server"), inbound=True)
    async with Town(tmp_path, plan) as town:
        await town.start()

        def state(party: str) -> Any:
            url, token = town.control(party)
            asked = urllib.request.Request(f"{url}/_sim/state", headers={"Authorization": f"Bearer {token}"})
            with urllib.request.urlopen(asked, timeout=10) as answer:
                return json.load(answer)

        found = await asyncio.to_thread(state, "intermediate-server")
        assert (found["party"], found["permission_list"], found["signatures"]) == ("intermediate-server", 54, True)
        url, token = town.control("intermediate-server")
        body = json.dumps({"do": "status", "status": "RUNNING"}).encode()
        asked = urllib.request.Request(f"{url}/_sim/emit", body, {"Authorization": f"Bearer {token}"})
        assert len(json.load(await asyncio.to_thread(urllib.request.urlopen, asked, timeout=10))["deliveries"]) == 1

        async def arrived() -> bool:
            return (await asyncio.to_thread(state, "intermediate-server"))["to_send"] == 0

        await until(arrived, 30)
        assert (await asyncio.to_thread(state, "intermediate-server"))["sent_refused"] == 0
