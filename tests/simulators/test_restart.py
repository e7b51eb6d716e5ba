"""The city CS as a process: killed in the middle of its work, it loses nothing that it answered, and goes on where it was."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from certs.authority import TestAuthority
from simulators.harness.processes import Child, Processes, free_ports
from simulators.journal import read_entries
from tests.simulators.conftest import SALT, Caller, xml_of

pytestmark = pytest.mark.slow


def city_cs(processes: Processes, authority: TestAuthority, folder: Path, *more: str) -> Child:
    own = authority.files("city-cs")
    port, control_port = free_ports(2)
    salt = folder / "salt"
    salt.write_text(SALT + "\n")
    config = folder / "city-cs.yaml"
    config.write_text(
        f"certificate: {own.certificate}\nkey: {own.key}\nca: {authority.ca}\ncrl: {authority.crl}\njournal: {folder}/journal.jsonl\n"
    )
    ready = folder / "ready.json"
    arguments = ["--config", config, "--port", port, "--control-port", control_port, "--token-file", folder / "token"]
    arguments += ["--salt-file", salt, "--ready-file", ready, *more]
    return processes.python("city-cs", "simulators.juki_cs", *[str(argument) for argument in arguments], ready_file=ready)


@asynccontextmanager
async def calling(folder: Path, context: ssl.SSLContext) -> AsyncIterator[Caller]:
    ports = json.loads((folder / "ready.json").read_text())
    token = (folder / "token").read_text().strip()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
        yield Caller(session, ports["port"], ports["control_port"], token)


@pytest.mark.invariant("I1")
@pytest.mark.invariant("I2")
async def test_killed_while_working_it_has_every_effect_that_it_answered_and_remembers_it(
    tmp_path: Path, authority: TestAuthority, caller_context: ssl.SSLContext
) -> None:
    answered: dict[str, bytes] = {}
    async with Processes(logs=tmp_path) as processes:
        child = city_cs(processes, authority, tmp_path)
        child.start()
        await child.wait_ready()
        async with calling(tmp_path, caller_context) as caller:

            async def work(first: int) -> None:
                for serial in range(first, 100_000, 8):
                    xml = xml_of(serial, request_control_number=f"Q{serial}")
                    try:
                        answer = await caller.update((f"d{serial}", xml))
                    except aiohttp.ClientError:
                        return
                    assert answer.results == [(f"d{serial}", "accepted", None, False)]
                    answered[f"Q{serial}"] = xml

            workers = [asyncio.get_running_loop().create_task(work(first)) for first in range(1, 9)]
            while len(answered) < 300:
                await asyncio.sleep(0.005)
            child.kill()
            await asyncio.gather(*workers)
        await child.wait_ended()
        journalled = {entry["request"] for entry in read_entries(tmp_path / "journal.jsonl") if entry["kind"] == "effect"}
        assert answered.keys() <= journalled
        assert len(journalled) - len(answered) <= 8

        child.start()
        await child.wait_ready()
        async with calling(tmp_path, caller_context) as caller:
            assert await caller.effects() == len(journalled)
            again = list(answered.items())[:100]
            answer = await caller.update(*[(f"again-{request}", xml) for request, xml in again])
            assert {result[1:] for result in answer.results} == {("accepted", None, True)}
            serial = int(again[0][0][1:])
            following = xml_of(serial, change_reason="21", update_sequence_number="2", address="虚構県架空市見本町９丁目９番９号")
            too_much = xml_of(serial, change_reason="21", update_sequence_number="3", sex="1")
            answer = await caller.update(("next", following), ("more", too_much))
            assert [result[2] for result in answer.results] == [None, "E102"]
        assert await child.stop() == 0
    assert not (tmp_path / "ready.json").exists()


async def test_a_second_process_on_the_same_journal_is_refused_in_one_clear_line(tmp_path: Path, authority: TestAuthority) -> None:
    async with Processes(logs=tmp_path) as processes:
        child = city_cs(processes, authority, tmp_path)
        child.start()
        await child.wait_ready()
        arguments = [argument for argument in child.arguments if argument != str(tmp_path / "ready.json") and argument != "--ready-file"]
        second = processes.add("second", arguments)
        second.start()
        assert await second.wait_ended() == 2
        assert second.log.read_text() == "error: journal-busy: journal.jsonl is held by another process; stop that one first\n"


async def test_wrong_settings_are_refused_in_one_clear_line(tmp_path: Path, authority: TestAuthority) -> None:
    async with Processes(logs=tmp_path) as processes:
        child = city_cs(processes, authority, tmp_path, "--journal-sync", "moon")
        child.start()
        assert await child.wait_ended() == 2
        assert "settings-invalid: journal_sync" in child.log.read_text()
