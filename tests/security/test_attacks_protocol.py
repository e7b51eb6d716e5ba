"""The table of attacks, part two: TLS itself, and what changes while a connection is open."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ssl
import warnings
from typing import Any

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from certs.authority import Profile, TestAuthority
from gateway.contract import CallNotSent
from gateway.security import door as door_module
from tests.security.attacking import Door, Watcher, connecting_to, lines, open_to_attack
from tests.security.forgery import DAY, Forger, Material
from tests.security.raw import OK, Conversation, blocking_server, raw_server
from tests.security.test_attacks_peers import REQUEST, answer_all, ask, by_curl, by_openssl, run

pytestmark = [pytest.mark.invariant("I6"), pytest.mark.rule("R22"), pytest.mark.usefixtures("on_record"), pytest.mark.thorough]

# ciphers and versions of each attack, for OpenSSL's command and for Python
OPENSSL = {
    "tls-1.1": ["-tls1_1"],
    "tls-1.2": ["-tls1_2"],
    "static-rsa": ["-tls1_2", "-cipher", "AES256-GCM-SHA384:@SECLEVEL=0"],
    "cbc": ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-SHA:ECDHE-RSA-AES256-SHA:@SECLEVEL=0"],
    "anonymous": ["-tls1_2", "-cipher", "aNULL:@SECLEVEL=0"],
    "fallback": ["-tls1_2", "-fallback_scsv"],
}
CIPHERS = {
    "static-rsa": "AES256-GCM-SHA384:@SECLEVEL=0",
    "cbc": "ECDHE-ECDSA-AES256-SHA:ECDHE-RSA-AES256-SHA:@SECLEVEL=0",
    "anonymous": "aNULL:@SECLEVEL=0",
}
VERSIONS = {"tls-1.1": ssl.TLSVersion.TLSv1_1}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> TestAuthority:
    made = TestAuthority(tmp_path_factory.mktemp("certs"))
    made.create()
    made.issue("gateway", Profile.PEER, dns=["localhost"], ips=["127.0.0.1"])
    return made


@pytest.fixture
def forger(authority: TestAuthority, tmp_path_factory: pytest.TempPathFactory) -> Forger:
    return Forger(authority, tmp_path_factory.mktemp("forged"))


def context(line: dict[str, Any], material: Material, purpose: int) -> ssl.SSLContext:
    made = material.context(purpose, CIPHERS.get(line["make"], "ALL:@SECLEVEL=0"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that old versions are refused is what is shown here
        made.minimum_version = ssl.TLSVersion.TLSv1
        made.maximum_version = VERSIONS.get(line["make"], ssl.TLSVersion.TLSv1_2)
    return made


def lowest(line: dict[str, Any]) -> ssl.TLSVersion:
    """A listener that speaks 1.2 where the attack is about ciphers."""
    return ssl.TLSVersion.TLSv1_3 if line["make"] == "tls-1.2" else ssl.TLSVersion.TLSv1_2


def came_to_nothing(door: Door, code: str, note: dict[str, Any]) -> None:
    assert (note["code"], note["place"], door.admitted) == (code, "intake", [])


@pytest.mark.parametrize("line", [each for each in lines("protocol", "in") if each.values[0]["make"] in {*CIPHERS, "tls-1.1", "tls-1.2"}])
async def test_weak_tls_at_our_door(line: dict[str, Any], forger: Forger) -> None:
    material = forger.material("good", "in")
    async with open_to_attack(forger, minimum=lowest(line)) as door:
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", door.port, ssl=context(line, material, ssl.PROTOCOL_TLS_CLIENT))
        came_to_nothing(door, line["in"], await door.watcher.first())


@pytest.mark.parametrize("line", [each for each in lines("protocol", "in") if each.values[0]["make"] in OPENSSL])
async def test_weak_tls_at_our_door_with_openssl(line: dict[str, Any], forger: Forger) -> None:
    material = forger.material("good", "in")
    minimum = ssl.TLSVersion.TLSv1_2 if line["make"] != "tls-1.2" else ssl.TLSVersion.TLSv1_3
    async with open_to_attack(forger, minimum=minimum) as door:
        assert b" 200 OK" not in await by_openssl(door.port, material, *OPENSSL[line["make"]])
        came_to_nothing(door, line["in"], await door.watcher.first())


@pytest.mark.parametrize("version", ["1.1", "1.2"])
async def test_weak_tls_at_our_door_with_curl(version: str, forger: Forger) -> None:
    material = forger.material("good", "in")
    async with open_to_attack(forger) as door:
        assert b" 200 OK" not in await by_curl(door.port, material, f"--tlsv{version}", "--tls-max", version)
        came_to_nothing(door, "tls-version", await door.watcher.first())


@pytest.mark.parametrize("line", [each for each in lines("protocol", "out") if each.values[0]["make"] in {*CIPHERS, "tls-1.1", "tls-1.2"}])
async def test_weak_tls_of_a_party(line: dict[str, Any], forger: Forger) -> None:
    material, watcher = forger.material("good", "out"), Watcher()
    with blocking_server(context(line, material, ssl.PROTOCOL_TLS_SERVER)) as server:
        async with connecting_to(forger, server.port, watcher) as http:
            if line["make"] in CIPHERS:
                http._context.minimum_version = ssl.TLSVersion.TLSv1_2
            with pytest.raises(CallNotSent) as refused:
                await http.post("/x", b"<fictitious/>", {})
        assert server.requests == []
    assert (refused.value.code, watcher.notes[0]["code"]) == (line["out"], line["out"])


@pytest.mark.attack("A-PRO-07")
@pytest.mark.control("C-1-2-10")
@pytest.mark.control("C-1-2-19")
@pytest.mark.control("C-1-5-8")
@pytest.mark.control("C-1-7-1")
async def test_plain_text_at_our_door(forger: Forger) -> None:
    async with open_to_attack(forger) as door:
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        writer.write(REQUEST)
        assert b"200" not in await reader.read()
        writer.close()
        came_to_nothing(door, "not-tls", await door.watcher.first())
        assert b"200 OK" not in await run("curl", "--silent", "--max-time", "5", f"http://127.0.0.1:{door.port}/v1/openapi.yaml")
        assert [each["code"] for each in door.watcher.notes] == ["not-tls"] * 2


@pytest.mark.attack("A-PRO-07")
async def test_plain_text_of_a_party(forger: Forger) -> None:
    async def plain(talk: Conversation) -> None:
        await talk.reader.read(10)
        await talk.send(OK)

    watcher = Watcher()
    async with raw_server(plain) as server, connecting_to(forger, server.port, watcher) as http:
        with pytest.raises(CallNotSent, match="not-tls"):
            await http.post("/x", b"<fictitious/>", {})
    assert watcher.notes[0]["code"] == "not-tls"


@pytest.mark.attack("A-PRO-08")
async def test_renegotiation_ends_the_connection(forger: Forger) -> None:
    """TLS 1.2 only; RFC 8446 has none. ``R`` at the beginning of a line asks OpenSSL's command for it."""
    material = forger.material("good", "in")
    shown = ["-cert", str(material.certificate), "-key", str(material.key), "-cert_chain", str(material.certificate)]
    async with open_to_attack(forger, minimum=ssl.TLSVersion.TLSv1_2) as door:
        out = await run("openssl", "s_client", "-connect", f"127.0.0.1:{door.port}", "-tls1_2", *shown, stdin=b"R\n" + REQUEST)
        assert b"RENEGOTIATING" in out
        assert b"no renegotiation" in out
        assert b"200 OK" not in out
        assert door.admitted == []


@pytest.mark.attack("A-PRO-09")
async def test_no_resumption_carries_a_revoked_peer(forger: Forger, tmp_path: Any) -> None:
    """OpenSSL's command keeps the session and comes back with it after the revocation. With TLS 1.2 the server remembers sessions."""
    material, session = forger.material("good", "in"), tmp_path / "session"
    for version, minimum in (("-tls1_3", ssl.TLSVersion.TLSv1_3), ("-tls1_2", ssl.TLSVersion.TLSv1_2)):
        forger.write_lists()
        async with open_to_attack(forger, minimum=minimum) as door:
            assert b"200 OK" in await by_openssl(door.port, material, version, "-sess_out", str(session))
            forger.write_lists((forger.serial(material),))
            again = ["-sess_in", str(session)] if session.exists() else []
            assert b"200 OK" not in await by_openssl(door.port, material, version, *again)
            came_to_nothing(door, "revoked", await door.watcher.first())
        session.unlink(missing_ok=True)


@pytest.mark.attack("A-PRO-10")
async def test_revoked_while_the_connection_is_open(forger: Forger) -> None:
    material = forger.material("good", "in")
    async with open_to_attack(forger) as door:
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port, ssl=material.context(ssl.PROTOCOL_TLS_CLIENT))
        request = REQUEST.replace(b"Connection: close\r\n", b"")
        writer.write(request)
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        forger.write_lists((forger.serial(material),))
        writer.write(request)
        rest = await reader.read()
        writer.close()
        assert b"HTTP/1.1 403" in rest
        note = await door.watcher.first()
        assert (note["code"], note["who"], note["fingerprint"]) == ("revoked", "resident-record-system", material.fingerprint)


@pytest.mark.attack("A-PRO-10")
async def test_party_revoked_while_the_connection_is_open(forger: Forger) -> None:
    material, watcher = forger.material("good", "out"), Watcher()
    async with raw_server(answer_all, material.context(ssl.PROTOCOL_TLS_SERVER)) as server:
        async with connecting_to(forger, server.port, watcher) as http:
            await http.post("/x", b"<fictitious/>", {})
            forger.write_lists((forger.serial(material),))
            with pytest.raises(CallNotSent, match="revoked"):
                await http.post("/x", b"<fictitious/>", {})
        assert len(server.requests) == 1
    assert watcher.notes[0]["code"] == "revoked"


@pytest.mark.attack("A-PRO-11")
async def test_expired_while_the_connection_is_open(forger: Forger, monkeypatch: pytest.MonkeyPatch) -> None:
    now = dt.datetime.now(dt.UTC)
    material = forger.leaf(name="resident-record-system", usages=[ExtendedKeyUsageOID.CLIENT_AUTH], window=(now - DAY, now + DAY))
    async with open_to_attack(forger) as door:
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port, ssl=material.context(ssl.PROTOCOL_TLS_CLIENT))
        request = REQUEST.replace(b"Connection: close\r\n", b"")
        writer.write(request)
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        later, verify = now + 2 * DAY, door.authority._path.verify
        monkeypatch.setattr("certs.peer.time.time", later.timestamp)
        monkeypatch.setattr(door.authority._path, "verify", lambda one, purpose, chain: verify(one, purpose, chain=chain, now=later))
        writer.write(request)
        assert b"HTTP/1.1 403" in await reader.read()
        writer.close()
        assert (await door.watcher.first())["code"] == "expired"


@pytest.mark.attack("A-PRO-12")
async def test_a_handshake_that_does_not_end_is_ended(forger: Forger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door_module.TlsSite.__init__, "__kwdefaults__", {**door_module.TlsSite.__init__.__kwdefaults__, "handshake_s": 0.2})
    async with open_to_attack(forger) as door:
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        writer.write(b"\x16\x03\x01\x02\x00\x01")  # the beginning of a ClientHello
        assert await reader.read() == b""
        writer.close()
        came_to_nothing(door, "handshake-timeout", await door.watcher.first())


@pytest.mark.attack("A-PRO-13")
async def test_a_flood_of_handshakes_is_cut(forger: Forger, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ones above the number are closed at once; somebody from elsewhere, and who comes afterwards, gets through."""
    monkeypatch.setattr(door_module, "MOST_OF_ONE", 4)
    good = forger.material("good", "in")
    async with open_to_attack(forger) as door:
        open_ones = [await asyncio.open_connection("127.0.0.1", door.port) for _ in range(6)]
        came_to_nothing(door, "too-many-handshakes", await door.watcher.first())
        for _, writer in open_ones:
            writer.close()
            with contextlib.suppress(OSError):  # some of them were cut
                await writer.wait_closed()
        async with asyncio.timeout(5):
            while b" 200 OK" not in await ask(door.port, good):
                await asyncio.sleep(0)
        assert {each["code"] for each in door.watcher.notes} <= {"too-many-handshakes", "handshake-cut"}
