"""The table of attacks, part three: what a known peer sends once it is in, and what a party answers; and where connections may go."""

from __future__ import annotations

import asyncio
import gzip
import ipaddress
import re
import socket
import ssl
from typing import Any

import pytest

from certs.authority import Profile, TestAuthority
from gateway.contract import CallNotSent, CallUnanswered
from gateway.delivery.transport import PartyHttp
from gateway.intake import https
from gateway.security.outgoing import Allowed, OutgoingList
from tests.intake.kit import headers, xml
from tests.security.attacking import LIMIT, TABLE, Watcher, connecting_to, lines, open_to_attack
from tests.security.forgery import Forger
from tests.security.raw import OK, Conversation, raw_server

pytestmark = [pytest.mark.usefixtures("on_record"), pytest.mark.thorough]
HOST = b"Host: gateway\r\n"
HEAD = b"POST /v1/messages HTTP/1.1\r\n" + HOST + b"".join(f"{name}: {value}\r\n".encode() for name, value in headers().items())
BODY = xml()
BOMB = gzip.compress(b"\0" * 10_000_000)
CHUNKS = b"8000\r\n" + b"a" * 0x8000 + b"\r\n8001\r\n" + b"a" * 0x8001 + b"\r\n"

REQUESTS: dict[str, bytes] = {
    "two-lengths": HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n" + BODY,
    "length-and-chunks": HEAD + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /v1/keys HTTP/1.1\r\n\r\n",
    "disguised-chunks": HEAD + b"Transfer-Encoding: xchunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "signed-length": HEAD + b"Content-Length: +5\r\n\r\nhello",
    "bad-chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
    "injection": HEAD + b"X-Note: a\r\n evil: b\rInjected: c\r\nContent-Length: 0\r\n\r\n",
    "space-in-name": HEAD + b"Content-Length : 5\r\n\r\nhello",
    "zero-byte": HEAD + b"X-Note: a\x00b\r\nContent-Length: 0\r\n\r\n",
    "huge-header": HEAD + b"X-Note: " + b"a" * 65536 + b"\r\nContent-Length: 0\r\n\r\n",
    "many-headers": HEAD + b"".join(b"X-%d: a\r\n" % number for number in range(1000)) + b"Content-Length: 0\r\n\r\n",
    "oversize": HEAD + b"Content-Length: 99999999\r\n\r\n",
    "oversize-chunks": HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNKS,
    "bomb": HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(BOMB) + BOMB,
    "spoofed-identity": b"GET /v1/openapi.yaml HTTP/1.1\r\n" + HOST
    + b"X-SSL-Client-CN: resident-record-system\r\nX-Client-Cert: resident-record-system\r\n"
    + b"Forwarded: for=127.0.0.1;by=resident-record-system\r\nX-Forwarded-For: 10.0.0.1\r\n\r\n",
    "hidden-request": HEAD + b"Content-Length: 99999999\r\n\r\nPOST /v1/messages HTTP/1.1\r\n" + HEAD.partition(b"\r\n")[2]
    + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY,
    "traversal": b"GET /v1/../../etc/passwd HTTP/1.1\r\n" + HOST + b"\r\n",
    "not-http": b"\x00\x01\x02 not http at all\r\n\r\n",
}  # fmt: skip


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> TestAuthority:
    made = TestAuthority(tmp_path_factory.mktemp("certs"))
    made.create()
    made.issue("gateway", Profile.PEER, dns=["localhost"], ips=["127.0.0.1"])
    return made


@pytest.fixture(scope="module")
def forger(authority: TestAuthority, tmp_path_factory: pytest.TempPathFactory) -> Forger:
    return Forger(authority, tmp_path_factory.mktemp("forged"))


async def say(port: int, forger: Forger, request: bytes, *, who: str = "good") -> bytes:
    """Everything that comes back until the other side closes the connection."""
    context = forger.material(who, "in").context(ssl.PROTOCOL_TLS_CLIENT)
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    try:
        writer.write(request)
        async with asyncio.timeout(10):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.transport.abort()


@pytest.mark.invariant("I10")
@pytest.mark.parametrize("line", [each for each in lines("http", "in") if each.values[0]["make"] in REQUESTS])
async def test_what_is_no_proper_request(line: dict[str, Any], forger: Forger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(https, "LINGER_S", 0.2)
    monkeypatch.setattr(https, "KEEP_ALIVE_S", 1.0)
    async with open_to_attack(forger) as door:
        who = "other-party" if line["make"] == "spoofed-identity" else "good"
        answer = await say(door.port, forger, REQUESTS[line["make"]], who=who)
        assert re.match(rb"HTTP/1\.[01] (\d+) ", answer)[1] == str(line["status"]).encode(), answer[:200]  # type: ignore[index]
        assert answer.count(b"HTTP/1.") == 1, "nothing but the one refusal"
        assert f'"urn:renkei:problem:{line["in"]}"'.encode() in answer
        for echoed in (b"hello", b"Injected", b"passwd", b"evil", b"aaaa"):
            assert echoed not in answer
        assert door.admitted == []
        assert [each["code"] for each in door.watcher.notes] == [line["in"]], "on record as a peer's doing"


@pytest.mark.attack("A-HTTP-14")
@pytest.mark.invariant("I4")
async def test_headers_that_do_not_end(forger: Forger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(https, "KEEP_ALIVE_S", 0.3)
    async with open_to_attack(forger) as door:
        assert await say(door.port, forger, HEAD) == b""
        assert (await door.watcher.first())["code"] == "headers-timeout"


@pytest.mark.attack("A-HTTP-15")
@pytest.mark.invariant("I4")
async def test_a_body_that_does_not_end(forger: Forger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(https, "LINGER_S", 0.2)
    async with open_to_attack(forger, body_timeout_s=0.2) as door:
        answer = await say(door.port, forger, HEAD + b"Content-Length: 1000\r\n\r\n<")
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert door.metered == ["body-timeout"]


# --- what a party answers


async def drip(talk: Conversation) -> None:
    await talk.request()
    await talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        await talk.send(b"a")
        await asyncio.sleep(0.05)


async def endless(talk: Conversation) -> None:
    await talk.request()
    await talk.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\n\r\n")
    while True:
        await talk.send(b"a" * 65536)


ANSWERS = {
    "compressed": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nxx",
    "oversize": b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n" + b"a" * (2 * LIMIT),
    "cut": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nab",
    "two-lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
}


@pytest.mark.parametrize("line", [each for each in lines("answers", "out") if each.values[0]["make"] in {*ANSWERS, "drip", "endless"}])
async def test_what_is_no_proper_answer(line: dict[str, Any], forger: Forger) -> None:
    async def script(talk: Conversation) -> None:
        await talk.request()
        await talk.send(ANSWERS[line["make"]])

    spoken = {"drip": drip, "endless": endless}.get(line["make"], script)
    party = forger.material("good", "out").context(ssl.PROTOCOL_TLS_SERVER)
    async with raw_server(spoken, party) as server:
        async with connecting_to(forger, server.port, Watcher(), call_s=0.6, answer_bytes=LIMIT) as http:
            with pytest.raises(CallUnanswered) as caught:
                await http.post("/x", BODY, {})
        assert caught.value.code == line["out"]
        assert len(server.requests) == 1, "the request is never repeated by itself"


@pytest.mark.attack("A-ANS-07")
async def test_a_redirect_is_an_answer_and_nothing_else(forger: Forger) -> None:
    party = forger.material("good", "out").context(ssl.PROTOCOL_TLS_SERVER)
    async with raw_server(_elsewhere, party) as server:
        async with connecting_to(forger, server.port, Watcher()) as http:
            assert (await http.post("/x", BODY, {})).status == 307
        assert len(server.requests) == 1


async def _elsewhere(talk: Conversation) -> None:
    await talk.request()
    await talk.send(b"HTTP/1.1 307 Go\r\nLocation: https://127.0.0.1:1/elsewhere\r\nContent-Length: 0\r\n\r\n")


@pytest.mark.attack("A-ANS-08")
async def test_an_answer_without_a_question_is_not_taken_for_the_next(forger: Forger) -> None:
    async def twice(talk: Conversation) -> None:
        await talk.request()
        await talk.send(OK + OK.replace(b"ok", b"no"))
        await talk.reader.read()

    party = forger.material("good", "out").context(ssl.PROTOCOL_TLS_SERVER)
    async with raw_server(twice, party) as server:
        async with connecting_to(forger, server.port, Watcher()) as http:
            for _ in range(2):
                assert (await http.post("/x", BODY, {})).body == b"ok"
        assert server.connections == 2


# --- where connections may go


def listed(http: PartyHttp, *allowed: Allowed) -> PartyHttp:
    http._outgoing = OutgoingList(allowed)
    return http


LOOPBACK = ipaddress.ip_network("127.0.0.0/8")


@pytest.mark.attack("A-NET-01")
@pytest.mark.control("C-1-2-24")
@pytest.mark.control("C-1-2-12")
@pytest.mark.control("C-M-6-9")
@pytest.mark.parametrize(
    "allowed",
    [
        Allowed(network=ipaddress.ip_network("10.0.0.0/8")),
        Allowed(network=LOOPBACK, port=1),
        Allowed(host="cs.example", network=LOOPBACK),
        None,
    ],
    ids=["other network", "other port", "other name", "empty list"],
)
async def test_nothing_goes_where_the_list_does_not_lead(allowed: Allowed | None, forger: Forger) -> None:
    watcher, knocked = Watcher(), []

    async def knock(_talk: Conversation) -> None:
        knocked.append(1)

    async with raw_server(knock) as server, connecting_to(forger, server.port, watcher) as http:
        listed(http, *([allowed] if allowed else []))
        for call in (http.post("/x", BODY, {}), http.probe()):
            with pytest.raises(CallNotSent) as caught:
                await call
            assert caught.value.code == "outgoing-not-allowed"
    assert knocked == [], "not even a connection"
    assert [(each["code"], each["place"]) for each in watcher.notes] == [("outgoing-not-allowed", "city-cs")] * 2


@pytest.mark.attack("A-NET-02")
@pytest.mark.control("C-1-2-24")
async def test_a_name_that_leads_out_of_its_network_is_not_followed(forger: Forger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever answers for the name service does not choose where messages go."""
    watcher, loop = Watcher(), asyncio.get_running_loop()

    async def answer(_host: str, port: int, **_: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(type(loop), "getaddrinfo", lambda _self, host, port, **more: answer(host, port, **more), raising=False)
    async with raw_server(_elsewhere) as server:
        async with connecting_to(forger, server.port, watcher, url=f"https://cs.example:{server.port}") as http:
            listed(http, Allowed(host="cs.example", network=ipaddress.ip_network("10.20.0.0/16")))
            with pytest.raises(CallNotSent, match="outgoing-not-allowed"):
                await http.post("/x", BODY, {})
            with pytest.raises(CallNotSent, match="outgoing-not-allowed"):
                await http.probe()
        assert server.connections == 0


@pytest.mark.attack("A-NET-03")
@pytest.mark.control("C-1-2-24")
async def test_a_proxy_of_the_environment_is_not_used(forger: Forger, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    party = forger.material("good", "out").context(ssl.PROTOCOL_TLS_SERVER)
    async with raw_server(_elsewhere, party) as server, connecting_to(forger, server.port, Watcher()) as http:
        assert (await http.post("/x", BODY, {})).status == 307


@pytest.mark.control("C-1-2-12")
@pytest.mark.control("C-M-6-9")
async def test_each_party_has_its_own_line(forger: Forger) -> None:
    """Connections start from the address of the configuration; an interface that is not there is not replaced by another."""
    seen: list[str] = []

    async def look(talk: Conversation) -> None:
        seen.append(talk.writer.get_extra_info("peername")[0])
        await _elsewhere(talk)

    party = forger.material("good", "out").context(ssl.PROTOCOL_TLS_SERVER)
    async with raw_server(look, party) as server:
        async with connecting_to(forger, server.port, Watcher(), address="127.0.0.9") as http:
            await http.post("/x", BODY, {})
            await http.probe()
        async with connecting_to(forger, server.port, Watcher(), interface="no-such-line") as http:
            with pytest.raises(CallNotSent):
                await http.post("/x", BODY, {})
    assert seen == ["127.0.0.9"] * 2


def test_every_id_stands_for_one_attack() -> None:
    ids = [line["id"] for section in TABLE.values() for line in section]
    assert len(ids) == len(set(ids)) >= 60
