"""The table of attacks, part one: who is at the other end. Every line from both sides, with our own client and with strangers' programs."""

from __future__ import annotations

import asyncio
import datetime as dt
import ssl
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes

from certs.authority import Profile, TestAuthority
from gateway.contract import CallNotSent
from tests.security.attacking import Door, Watcher, connecting_to, lines, open_to_attack
from tests.security.forgery import DAY, Forger, Material, revocation_list
from tests.security.raw import OK, Conversation, raw_server

pytestmark = [pytest.mark.invariant("I6"), pytest.mark.rule("R22"), pytest.mark.usefixtures("on_record"), pytest.mark.thorough]
REQUEST = b"GET /v1/openapi.yaml HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> TestAuthority:
    made = TestAuthority(tmp_path_factory.mktemp("certs"))
    made.create()
    made.issue("gateway", Profile.PEER, dns=["localhost"], ips=["127.0.0.1"])
    return made


@pytest.fixture
def forger(authority: TestAuthority, tmp_path_factory: pytest.TempPathFactory) -> Forger:
    return Forger(authority, tmp_path_factory.mktemp("forged"))


def options(line: dict[str, Any], forger: Forger) -> dict[str, Any]:
    """What must be configured for this attack to be told from a good peer."""
    if line["make"] == "sibling":
        return {"issuer": forger.issuing.fingerprint(hashes.SHA256()).hex()}
    return {"pins": frozenset({"0" * 64})} if line["make"] == "other-key" else {}


async def ask(port: int, material: Material) -> bytes:
    """Everything that an attacker gets for a request, however the connection ends."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=material.context(ssl.PROTOCOL_TLS_CLIENT))
    except OSError:
        return b""
    answer = b""
    try:
        writer.write(REQUEST)
        while part := await reader.read(65536):
            answer += part
    except OSError:
        pass  # refused after our handshake, as TLS 1.3 does
    finally:
        writer.transport.abort()
    return answer


async def run(*command: str, stdin: bytes = b"") -> bytes:
    """What a program says on both its outputs."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    out, _ = await asyncio.wait_for(process.communicate(stdin), 20)
    return out


async def by_openssl(port: int, material: Material, *more: str) -> bytes:
    shown = [] if material.certificate is None else ["-cert", str(material.certificate), "-key", str(material.key)]
    chain = [] if material.certificate is None else ["-cert_chain", str(material.certificate)]
    careless = ["-cipher", "ALL:@SECLEVEL=0", "-ign_eof"]
    return await run(
        "openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", "gateway", *shown, *chain, *careless, *more, stdin=REQUEST
    )


async def by_curl(port: int, material: Material, *more: str) -> bytes:
    shown = [] if material.certificate is None else ["--cert", str(material.certificate), "--key", str(material.key)]
    careless = ["--ciphers", "ALL:@SECLEVEL=0", "--insecure", "--silent", "--show-error", "--include", "--max-time", "10"]
    return await run("curl", *careless, *shown, *more, f"https://127.0.0.1:{port}/v1/openapi.yaml")


def was_refused(line: dict[str, Any], door: Door, note: dict[str, Any], material: Material) -> None:
    assert note["code"] == line["in"]
    assert note["fingerprint"] == material.fingerprint
    assert (note["direction"], note["place"], note["address"]) == ("in", "intake", "127.0.0.1")
    assert door.admitted == []
    assert len(door.watcher.notes) == 1


async def test_who_may_come_in_gets_its_answer_from_every_program(forger: Forger) -> None:
    good = forger.material("good", "in")
    async with open_to_attack(forger) as door:
        for answer in (await ask(door.port, good), await by_openssl(door.port, good), await by_curl(door.port, good)):
            assert b"HTTP/1.1 200 OK" in answer
            assert b"openapi: 3" in answer
        assert door.watcher.notes == []


@pytest.mark.parametrize("line", lines("peers", "in"))
async def test_at_our_door(line: dict[str, Any], forger: Forger) -> None:
    material = forger.material(line["make"], "in")
    async with open_to_attack(forger, **options(line, forger)) as door:
        answer = await ask(door.port, material)
        assert b" 200 " not in answer
        assert (b" 403 " in answer) is (line["where"] == "request"), "a refusal of the handshake reads no request"
        was_refused(line, door, await door.watcher.first(), material)


@pytest.mark.parametrize("line", [each for each in lines("peers", "in") if "openssl" in each.values[0].get("tools", ())])
async def test_at_our_door_with_openssl(line: dict[str, Any], forger: Forger) -> None:
    material = forger.material(line["make"], "in")
    async with open_to_attack(forger, **options(line, forger)) as door:
        assert b" 200 OK" not in await by_openssl(door.port, material)
        was_refused(line, door, await door.watcher.first(), material)


@pytest.mark.parametrize("line", [each for each in lines("peers", "in") if "curl" in each.values[0].get("tools", ())])
async def test_at_our_door_with_curl(line: dict[str, Any], forger: Forger) -> None:
    material = forger.material(line["make"], "in")
    async with open_to_attack(forger, **options(line, forger)) as door:
        assert b" 200 OK" not in await by_curl(door.port, material)
        was_refused(line, door, await door.watcher.first(), material)


async def answer_all(talk: Conversation) -> None:
    while True:
        await talk.request()
        await talk.send(OK)


@pytest.mark.parametrize("line", lines("peers", "out"))
@pytest.mark.edge("F1-1", "peer-not-authenticated")
async def test_as_a_party(line: dict[str, Any], forger: Forger) -> None:
    material, watcher = forger.material(line["make"], "out"), Watcher()
    async with raw_server(answer_all, material.context(ssl.PROTOCOL_TLS_SERVER)) as server:
        async with connecting_to(forger, server.port, watcher, peer=material.peer, **options(line, forger)) as http:
            with pytest.raises(CallNotSent) as refused:
                await http.post("/x", b"<fictitious/>", {})
            with pytest.raises(CallNotSent) as probed:
                await http.probe()
        assert (refused.value.code, probed.value.code) == (line["out"], line["out"])
        assert server.requests == []
    assert [(each["code"], each["direction"], each["place"]) for each in watcher.notes] == [(line["out"], "out", "city-cs")] * 2
    assert watcher.notes[0]["fingerprint"] == material.fingerprint
    assert watcher.notes[0]["address"] == "127.0.0.1"


async def test_the_right_party_gets_its_request(forger: Forger) -> None:
    good, watcher = forger.material("good", "out"), Watcher()
    party = raw_server(answer_all, good.context(ssl.PROTOCOL_TLS_SERVER))
    async with party as server, connecting_to(forger, server.port, watcher) as http:
        assert (await http.post("/x", b"<fictitious/>", {})).status == 200
        await http.probe()
    assert watcher.notes == []


def spoil(kind: str, forger: Forger) -> None:
    now = dt.datetime.now(dt.UTC)
    lists = forger._lists[:-1]
    match kind:
        case "stale":
            lists.append(revocation_list(forger.issuing_key, forger.issuing, window=(now - 9 * DAY, now - DAY)))
        case "future":
            lists.append(revocation_list(forger.issuing_key, forger.issuing, window=(now + DAY, now + 9 * DAY)))
        case "forged":
            lists.append(revocation_list(forger.sibling[0], forger.issuing))
    forger.crl.write_bytes(b"".join(lists))


@pytest.mark.parametrize("line", lines("lists", "in"))
async def test_lists_that_say_nothing_let_nobody_in(line: dict[str, Any], forger: Forger) -> None:
    material = forger.material("good", "in")
    spoil(line["make"], forger)
    async with open_to_attack(forger) as door:
        assert b" 200 " not in await ask(door.port, material)
        was_refused(line, door, await door.watcher.first(), material)


@pytest.mark.parametrize("line", lines("lists", "out"))
async def test_lists_that_say_nothing_let_nobody_be_a_party(line: dict[str, Any], forger: Forger) -> None:
    material, watcher = forger.material("good", "out"), Watcher()
    spoil(line["make"], forger)
    async with raw_server(answer_all, material.context(ssl.PROTOCOL_TLS_SERVER)) as server:
        async with connecting_to(forger, server.port, watcher) as http:
            with pytest.raises(CallNotSent) as refused:
                await http.post("/x", b"<fictitious/>", {})
        assert (refused.value.code, server.requests) == (line["out"], [])
    assert watcher.notes[0]["fingerprint"] == material.fingerprint
