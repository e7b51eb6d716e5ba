"""The world, and a party alone, as processes: killed and started again, they know what they knew."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from certs.authority import TestAuthority
from message_formats import samples
from simulators.harness.processes import Child, Processes, free_ports
from simulators.world.service import build_prefecture
from tests.simulators.conftest import context_of
from tests.simulators.world_kit import OTHER, World, settings

pytestmark = pytest.mark.slow


def written(folder: Path, authority: TestAuthority) -> dict[str, Any]:
    """Settings of a world with ports of its own."""
    found: dict[str, Any] = settings(folder, authority).model_dump(mode="json", exclude_unset=True)
    found = {name: each for name, each in found.items() if each is not None}
    for each, port, control in zip(found.values(), *[iter(free_ports(3)), iter(free_ports(3))], strict=False):
        each |= {"port": port, "control_port": control}
    return found


async def control(folder: Path, party: str, port: int, method: str, path: str, body: Any = None) -> Any:
    headers = {"Authorization": f"Bearer {(folder / f'{party}.token').read_text().strip()}"}
    async with (
        aiohttp.ClientSession(trust_env=False) as session,
        session.request(method, f"http://127.0.0.1:{port}{path}", json=body, headers=headers) as answer,
    ):
        return json.loads(await answer.text())


def python(processes: Processes, folder: Path, given: dict[str, Any], name: str, *arguments: str) -> Child:
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(given))
    return processes.python(name, "simulators.world", *arguments, "--config", str(file), ready_file=folder / f"{name}.ready")


@pytest.mark.invariant("I1")
async def test_a_world_that_was_killed_has_all_that_was_to_be_sent(tmp_path: Path, authority: TestAuthority) -> None:
    given = {**written(tmp_path, authority), "ready_file": str(tmp_path / "world.ready")}
    port = given["city_cs"]["control_port"]
    async with Processes(logs=tmp_path) as processes:
        child = python(processes, tmp_path, given, "world")
        child.start()
        await child.wait_ready()
        await control(tmp_path, "city-cs", port, "POST", "/_sim/emit", {"do": "allocate", "count": 3})
        ask = {"do": "move-out-certificate-request", "municipality": OTHER, "code": samples.resident_record_code(1)}
        assert await control(tmp_path, "city-cs", port, "POST", "/_sim/emit", ask) == {"provided": False}
        before = await control(tmp_path, "city-cs", port, "GET", "/_sim/state")
        child.kill()
        await child.wait_ended()
        child.start()
        await child.wait_ready()
        after = await control(tmp_path, "city-cs", port, "GET", "/_sim/state")
        for name in ("codes_allocated", "to_send", "municipalities", "counts"):
            assert after[name] == before[name]
        assert (after["codes_allocated"], after["to_send"]) == (3, 1)
        assert await child.stop() == 0
        assert not (tmp_path / "world.ready").exists()


@pytest.mark.flow("F2-1")
async def test_a_party_alone_is_killed_and_knows_what_it_was_told(tmp_path: Path, authority: TestAuthority) -> None:
    given = {**written(tmp_path, authority)["prefecture_server"], "ready_file": str(tmp_path / "alone.ready")}
    party = build_prefecture(settings(tmp_path, authority).prefecture_server or pytest.fail("no settings"))
    async with (
        Processes(logs=tmp_path) as processes,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context_of(authority, "gateway")), trust_env=False) as session,
    ):
        child = python(processes, tmp_path, given, "alone", "prefecture-server")
        child.start()
        await child.wait_ready()
        world = World({}, None, session, {party.name: given["port"]})  # type: ignore[arg-type]
        record = {"items": samples.items("identity-information-notice", 1), "delivery": "d-1"}
        assert (await world.call(party, "NotifyIdentityInformation", record)).one == ("accepted", None, False)
        child.kill()
        await child.wait_ended()
        child.start()
        await child.wait_ready()
        assert (await world.call(party, "NotifyIdentityInformation", record)).one == ("accepted", None, True)
        state = await control(tmp_path, party.name, given["control_port"], "GET", "/_sim/state")
        assert (state["residents"], state["counts"]["taken"]) == (1, 1)
