"""The pages of a running gateway: each process has its own, for monitors only, and a restarted one has it again."""

from __future__ import annotations

import os
import re
import signal
import ssl
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from certs.tls import client_context
from simulators.harness.town import Plan, Town
from tests.support.broker import until

REPOSITORY = Path(__file__).resolve().parents[2]
WORKERS = 2


@pytest.fixture(scope="module")
async def town(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    """City CS, broker, gateway and two workers, without traffic."""
    async with Town(tmp_path_factory.mktemp("town"), Plan(workers=WORKERS, population=500)) as town:
        await town.start()
        yield town


def identity(town: Town, name: str) -> ssl.SSLContext:
    certificates = town.certificates
    return client_context(certificates / f"{name}.pem", certificates / f"{name}.key", certificates / "ca.pem")


async def look(town: Town, index: int, path: str, name: str = "monitor") -> tuple[int, str]:
    """Status and text of a page of process ``index`` (0: the gateway); status 0 where nobody listens."""
    url = f"https://localhost:{town.ports.metrics + index}{path}"
    try:
        async with aiohttp.ClientSession() as client, client.get(url, ssl=identity(town, name)) as answer:
            return answer.status, await answer.text()
    except aiohttp.ClientConnectorError:
        return 0, ""


async def ready(town: Town, index: int) -> Mapping[str, Any]:
    url = f"https://localhost:{town.ports.metrics + index}/readyz"
    async with aiohttp.ClientSession() as client, client.get(url, ssl=identity(town, "monitor")) as answer:
        found: Mapping[str, Any] = await answer.json()
        return found


@pytest.mark.slow
async def test_every_process_is_live_and_ready_and_says_what_it_needs(town: Town) -> None:
    for index in range(WORKERS + 1):
        assert (await look(town, index, "/livez"))[0] == 200
    gateway, *workers = [await ready(town, index) for index in range(WORKERS + 1)]
    assert gateway["ready"], gateway
    needed = {"ledger", "broker", "audit", "intake", "intake resident-record-system", "retention", "flows", "days"}
    assert set(gateway["dependencies"]) == needed
    assert (gateway["business_clock"]["offset_s"], gateway["business_clock"]["profile"]) == (0.0, "production")
    for worker in workers:
        assert worker["ready"], worker
        assert (worker["role"], set(worker["dependencies"])) == ("worker", {"ledger", "broker", "audit"})


@pytest.mark.slow
async def test_every_metric_is_explained_to_operators_and_what_is_explained_is_there(town: Town) -> None:
    shown: set[str] = set()
    for index in (0, 1):
        status, text = await look(town, index, "/metrics")
        assert status == 200
        shown |= set(re.findall(r"^# TYPE (renkei_\w+) ", text, re.M))
    shown = {name.removesuffix("_total") for name in shown if not name.endswith("_created")}
    for page in ("operations.md", "operations.ja.md"):
        text = (REPOSITORY / "docs" / page).read_text(encoding="utf-8")
        explained = {name.removesuffix("_total") for name in re.findall(r"^\| `(renkei_\w+)`", text, re.M)}
        assert explained == shown, page


@pytest.mark.slow
@pytest.mark.invariant("I6")
async def test_a_known_peer_that_is_no_monitor_sees_nothing(town: Town) -> None:
    for index in range(WORKERS + 1):
        status, text = await look(town, index, "/metrics", name="resident-record-system")
        assert (status, "renkei_" in text) == (403, False)


@pytest.mark.slow
@pytest.mark.rule("R6")
async def test_a_killed_worker_comes_back_with_its_page(town: Town) -> None:
    before = town.supervised()["worker-1"]
    os.kill(before, signal.SIGKILL)

    async def back() -> bool:
        return town.supervised().get("worker-1", before) != before and (await look(town, 1, "/readyz"))[0] == 200

    await until(back, 30.0)


@pytest.mark.slow
@pytest.mark.invariant("I5")
async def test_the_logs_of_the_processes_are_structured(town: Town) -> None:
    for name in ("gateway", "worker-1", "worker-2"):
        lines = (town.var / "log" / f"{name}.log").read_text(encoding="utf-8").splitlines()
        assert lines[0].startswith('{"timestamp":'), name
        assert f'"process": "{name}"' in lines[0]
