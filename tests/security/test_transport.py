"""The HTTP client of a party: who may be at the other end, and *not sent* said only where the party certainly did nothing (I2, I6, R10)."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import functools
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest

from certs.authority import Profile, TestAuthority
from certs.peer import Authority
from certs.setup import ensure
from certs.tls import server_context
from gateway.contract import CallNotSent, CallUnanswered, HttpAnswer
from gateway.delivery import transport
from gateway.delivery.transport import Endpoint, PartyHttp
from gateway.errors import ConfigurationError
from tests.security.raw import OK, Conversation, RawServer, Script, blocking_server, free_port, raw_server

pytestmark = pytest.mark.thorough

BODY = b"<fictitious/>"
Caller = Callable[..., PartyHttp]


@pytest.fixture
def authority(tmp_path: Path) -> TestAuthority:
    return ensure(tmp_path / "certs")


@pytest.fixture
async def caller(authority: TestAuthority) -> AsyncIterator[Caller]:
    made: list[PartyHttp] = []

    def make(url: str, name: str = "gateway", trusted: TestAuthority = authority, **options: object) -> PartyHttp:
        endpoint = dataclasses.replace(Endpoint(url=url, peer="city-cs", connect_s=2.0, call_s=10.0), **options)  # type: ignore[arg-type]
        ours = authority.files(name)
        http = PartyHttp.from_files(endpoint, certificate=ours.certificate, key=ours.key, ca=trusted.ca, crl=trusted.crl)
        made.append(http)
        return http

    yield make
    for http in made:
        await http.close()


def serving(authority: TestAuthority, name: str = "city-cs", trusted: TestAuthority | None = None, **options: object) -> ssl.SSLContext:
    files, trusted = authority.files(name), trusted or authority
    return server_context(files.certificate, files.key, trusted.ca, trusted.crl, **options)  # type: ignore[arg-type]


async def not_sent(http: PartyHttp) -> str:
    with pytest.raises(CallNotSent) as caught:
        await http.post("/x", BODY, {})
    return caught.value.code


async def unanswered(http: PartyHttp) -> str:
    with pytest.raises(CallUnanswered) as caught:
        await http.post("/x", BODY, {})
    return caught.value.code


async def answer_all(talk: Conversation) -> None:
    while True:
        await talk.request()
        await talk.send(OK)


# --- the plain way


async def test_an_answer_comes_whole_and_the_connection_is_used_again(authority: TestAuthority, caller: Caller) -> None:
    async with raw_server(answer_all, serving(authority)) as server:
        http = caller(server.url + "/prefix/")
        for _ in range(3):
            answer = await http.post("/juki-cs/identity", BODY, {"SOAPAction": '"a"', "Content-Type": "text/xml"})
            assert (answer.status, answer.content_type, answer.body) == (200, "text/xml", b"ok")
        assert server.connections == 1
        assert server.requests == [BODY] * 3
        head = server.heads[0].decode()
        assert head.startswith("POST /prefix/juki-cs/identity HTTP/1.1\r\n")
        assert "Accept-Encoding" not in head
        assert "User-Agent" not in head


async def test_an_idle_connection_is_given_up_before_the_party_does(authority: TestAuthority, caller: Caller) -> None:
    async with raw_server(answer_all, serving(authority)) as server:
        http = caller(server.url, keep_alive_s=0.0)
        for _ in range(2):
            await http.post("/x", BODY, {})
        assert server.connections == 2


async def test_errors_and_redirects_of_the_party_are_answers(authority: TestAuthority, caller: Caller) -> None:
    async def script(talk: Conversation) -> None:
        for head in (b"302 Found\r\nLocation: https://127.0.0.1:1/elsewhere", b"500 Oops", b"503 Busy\r\nRetry-After: 7"):
            await talk.request()
            await talk.send(b"HTTP/1.1 " + head + b"\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n")

    async with raw_server(script, serving(authority)) as server:
        http = caller(server.url)
        answers: list[HttpAnswer] = [await http.post("/x", BODY, {}) for _ in range(3)]
        assert [each.status for each in answers] == [302, 500, 503]
        assert answers[2].headers["retry-after"] == "7"
        assert not any(b"cookie" in head.lower() for head in server.heads)


async def test_the_environment_changes_nothing(authority: TestAuthority, caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with raw_server(answer_all, serving(authority)) as server:
        assert (await caller(server.url).post("/x", BODY, {})).status == 200


# --- before the first byte: not sent, and tried again where that can help


@pytest.mark.rule("R10")
async def test_nobody_there(caller: Caller) -> None:
    assert await not_sent(caller(f"https://127.0.0.1:{free_port()}")) == "connection-refused"
    assert await not_sent(caller("https://no-such-host.invalid")) == "name-not-resolved"


@pytest.mark.rule("R10")
async def test_cut_in_the_handshake_is_tried_three_times(caller: Caller) -> None:
    async def hang_up(talk: Conversation) -> None:
        await talk.reader.read(10)

    async with raw_server(hang_up) as server:
        assert await not_sent(caller(server.url)) == "handshake-cut"
        assert server.connections == transport.ATTEMPTS


@pytest.mark.rule("R10")
async def test_a_retry_in_the_call_succeeds_and_sends_once(authority: TestAuthority, caller: Caller) -> None:
    port, seen = free_port(), []
    waiting = asyncio.Event()

    async def hang_up_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append("cut")
        writer.transport.abort()
        waiting.set()

    first = await asyncio.start_server(hang_up_once, "127.0.0.1", port)
    call = asyncio.create_task(caller(f"https://127.0.0.1:{port}").post("/x", BODY, {}))
    await waiting.wait()
    first.close()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n" + BODY)
        seen.append("answered")
        writer.write(OK)

    second = await asyncio.start_server(answer, "127.0.0.1", port, ssl=serving(authority))
    assert (await call).body == b"ok"
    assert seen == ["cut", "answered"]
    second.close()


@pytest.mark.rule("R10")
async def test_accepts_but_never_speaks(caller: Caller) -> None:
    async def silent(talk: Conversation) -> None:
        await talk.reader.read()

    async with raw_server(silent) as server:
        assert await not_sent(caller(server.url, connect_s=0.1)) == "connect-timeout"
        assert await not_sent(caller(server.url, connect_s=5.0, call_s=0.1)) == "deadline"


@pytest.mark.rule("R10")
async def test_not_tls_at_all(caller: Caller) -> None:
    async def plain(talk: Conversation) -> None:
        await talk.reader.read(10)
        await talk.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with raw_server(plain) as server:
        assert await not_sent(caller(server.url)) == "not-tls"
        assert server.connections == 1, "trying again would not help"


@pytest.mark.invariant("I6")
@pytest.mark.control("C-1-5-9")
async def test_wrong_peers_get_no_byte(authority: TestAuthority, tmp_path: Path, caller: Caller) -> None:
    foreign = TestAuthority(tmp_path / "foreign")
    foreign.create()
    foreign.issue("city-cs", Profile.SERVER, dns=["localhost"])
    authority.issue("prefecture-server", Profile.SERVER, dns=["localhost"], ips=["127.0.0.1"])
    authority.issue("wild", Profile.SERVER, dns=["*.city.example"])
    now = dt.datetime.now(dt.UTC)

    async def refused_with(context: ssl.SSLContext, **options: object) -> str:
        async with raw_server(answer_all, context) as server:
            code = await not_sent(caller(server.url, **options))
            assert server.requests == []
            return code

    assert await refused_with(serving(foreign, trusted=authority)) == "issuer-unknown"
    assert await refused_with(serving(authority, "prefecture-server")) == "wrong-peer"
    assert await refused_with(serving(authority, "operator-a")) == "wrong-purpose", "a certificate for clients only"
    # OpenSSL is content with the wildcard; we are not
    assert await refused_with(serving(authority, "wild"), peer="cs.city.example") == "wrong-peer"
    assert await refused_with(serving(authority), peer="CN=city") == "wrong-peer"
    assert await refused_with(serving(authority), peer="urn:renkei:party:city-cs") == "wrong-peer"
    authority.issue("city-cs", Profile.SERVER, not_before=now - dt.timedelta(days=3), not_after=now - dt.timedelta(days=1))
    assert await refused_with(serving(authority)) == "expired"
    authority.issue("city-cs", Profile.SERVER)
    context = serving(authority)
    authority.revoke("city-cs")
    assert await refused_with(context) == "revoked"


@pytest.mark.invariant("I6")
async def test_peer_named_by_common_name_or_uri(authority: TestAuthority, caller: Caller) -> None:
    authority.issue("city-cs", Profile.SERVER, uri="urn:renkei:party:city-cs")
    async with raw_server(answer_all, serving(authority)) as server:
        for peer in ("CN=city-cs", "urn:renkei:party:city-cs"):
            assert (await caller(server.url, peer=peer).post("/x", BODY, {})).status == 200


@pytest.mark.invariant("I6")
async def test_revoked_between_two_requests_of_one_connection(
    authority: TestAuthority, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Authority, "RECHECK_FILES_S", 0.0)
    async with raw_server(answer_all, serving(authority)) as server:
        http = caller(server.url)
        await http.post("/x", BODY, {})
        authority.revoke("city-cs")
        assert await not_sent(http) == "revoked"
        assert len(server.requests) == 1


@pytest.mark.rule("R10")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_party_that_refuses_our_certificate_did_nothing(
    authority: TestAuthority, tmp_path: Path, caller: Caller, version: ssl.TLSVersion
) -> None:
    other = ensure(tmp_path / "other")
    context = serving(authority, trusted=other, minimum=ssl.TLSVersion.TLSv1_2)
    context.maximum_version = version
    with blocking_server(context) as server:
        http = caller(server.url)
        http._context.minimum_version = ssl.TLSVersion.TLSv1_2
        for _ in range(5):
            assert await not_sent(http) == "tls-alert-unknown-ca"
        assert server.requests == []


@pytest.mark.rule("R10")
async def test_party_that_has_revoked_us_says_so(authority: TestAuthority, caller: Caller) -> None:
    authority.revoke("gateway")
    with blocking_server(serving(authority)) as server:
        assert await not_sent(caller(server.url)) == "tls-alert-certificate-revoked"


# --- after it: unknown, and never sent a second time


async def ends(authority: TestAuthority, caller: Caller, script: Script, **options: object) -> tuple[str, RawServer]:
    async with raw_server(script, serving(authority)) as server:
        code = await unanswered(caller(server.url, **options))
        assert server.connections == 1, "nothing is tried again once the request may have left (R10)"
        return code, server


@pytest.mark.rule("R10")
@pytest.mark.invariant("I2")
async def test_connection_ends_without_an_answer(authority: TestAuthority, caller: Caller) -> None:
    async def read_and_close(talk: Conversation) -> None:
        await talk.request()

    async def close_unread(talk: Conversation) -> None:
        return

    async def read_and_reset(talk: Conversation) -> None:
        await talk.request()
        talk.reset()

    code, server = await ends(authority, caller, read_and_close)
    assert (code, server.requests) == ("connection-closed", [BODY])
    assert (await ends(authority, caller, close_unread))[0] in {"connection-closed", "connection-reset"}
    code, server = await ends(authority, caller, read_and_reset)
    assert (code, server.requests) == ("connection-reset", [BODY])


@pytest.mark.rule("R10")
async def test_kept_connection_that_dies_under_the_second_request_is_not_repeated(authority: TestAuthority, caller: Caller) -> None:
    async def once(talk: Conversation) -> None:
        await talk.request()
        await talk.send(OK)
        await talk.request()

    async with raw_server(once, serving(authority)) as server:
        http = caller(server.url)
        await http.post("/x", BODY, {})
        assert await unanswered(http) == "connection-closed"
        assert (server.connections, len(server.requests)) == (1, 2)


@pytest.mark.rule("R9")
async def test_silence_and_slow_drip_end_at_the_deadline(authority: TestAuthority, caller: Caller) -> None:
    async def silent(talk: Conversation) -> None:
        await talk.request()
        await talk.reader.read()

    async def drip(talk: Conversation) -> None:
        await talk.request()
        for byte in OK * 1000:
            await talk.send(bytes([byte]))
            await asyncio.sleep(0.01)

    for script in (silent, drip):
        assert (await ends(authority, caller, script, call_s=0.3))[0] == "deadline"


@pytest.mark.rule("R9")
@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", "answer-truncated"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n", "answer-truncated"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "connection-closed"),
        (b"\x16\x03garbage\r\n\r\n", "answer-malformed"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok", "answer-malformed"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + bytes(2000), "answer-too-large"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n" + bytes(2000) + b"\r\n0\r\n\r\n", "answer-too-large"),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + bytes(2000), "answer-too-large"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nok", "answer-encoded"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70000 + b"\r\n\r\n", "answer-malformed"),
    ],
)
async def test_answers_that_are_none(authority: TestAuthority, caller: Caller, answer: bytes, code: str) -> None:
    async def script(talk: Conversation) -> None:
        await talk.request()
        await talk.send(answer)

    assert (await ends(authority, caller, script, answer_bytes=1000))[0] == code


@pytest.mark.invariant("I2")
async def test_a_late_second_answer_is_not_taken_for_the_next_one(authority: TestAuthority, caller: Caller) -> None:
    sent = asyncio.Event()

    async def twice(talk: Conversation) -> None:
        await talk.request()
        await talk.send(OK)
        if talk.number == 1:
            await sent.wait()
            await talk.send(OK.replace(b"ok", b"no"))
            sent.clear()
        await talk.reader.read()

    async with raw_server(twice, serving(authority)) as server:
        http = caller(server.url)
        await http.post("/x", BODY, {})
        assert http._session is not None
        connector = http._session.connector
        assert isinstance(connector, aiohttp.TCPConnector)
        [[(protocol, _)]] = connector._conns.values()
        sent.set()
        while not protocol.should_close:
            await asyncio.sleep(0)
        assert (await http.post("/x", BODY, {})).body == b"ok"
        assert server.connections == 2


@pytest.mark.rule("R10")
@pytest.mark.parametrize(
    ("reason", "fresh", "sent"),
    [
        ("TLSV1_ALERT_UNKNOWN_CA", True, False),
        ("TLSV1_ALERT_UNKNOWN_CA", False, True),
        ("TLSV1_ALERT_INTERNAL_ERROR", True, True),
        ("DECRYPTION_FAILED_OR_BAD_RECORD_MAC", True, True),
    ],
)
async def test_only_an_alert_of_the_handshake_on_a_fresh_connection_says_not_sent(
    authority: TestAuthority, caller: Caller, monkeypatch: pytest.MonkeyPatch, reason: str, fresh: bool, sent: bool
) -> None:
    async def fail(*_: object, **__: object) -> None:
        call = transport._current.get()
        call.handed_over, call.fresh = True, fresh
        cause = ssl.SSLError(1, "alert")
        cause.reason = reason
        raise aiohttp.ClientOSError(1, "alert") from cause

    http = caller("https://127.0.0.1:1")
    http._session = http._open()
    monkeypatch.setattr(http._session, "post", fail)
    code = await (unanswered(http) if sent else not_sent(http))
    assert code == ("tls-broken" if sent else "tls-alert-unknown-ca")


@pytest.mark.rule("R10")
@pytest.mark.parametrize("fresh", [True, False])
async def test_an_alert_hidden_behind_a_failed_write_is_still_seen(caller: Caller, monkeypatch: pytest.MonkeyPatch, fresh: bool) -> None:
    async def fail(*_: object, **__: object) -> None:
        protocol = transport._Protocol(asyncio.get_running_loop())
        alert = ssl.SSLError(1, "alert")
        alert.reason = "TLSV1_ALERT_UNKNOWN_CA"
        asyncio.get_running_loop().call_soon(protocol.connection_lost, alert)
        call = transport._current.get()
        call.handed_over, call.fresh, call.protocol = True, fresh, protocol
        raise aiohttp.ClientConnectionResetError("Cannot write to closing transport")

    http = caller("https://127.0.0.1:1")
    http._session = http._open()
    monkeypatch.setattr(http._session, "post", fail)
    assert await (not_sent(http) if fresh else unanswered(http)) == ("tls-alert-unknown-ca" if fresh else "connection-reset")


async def test_an_aiohttp_that_works_otherwise_is_noticed(authority: TestAuthority, caller: Caller) -> None:
    async with raw_server(answer_all, serving(authority)) as server:
        http = caller(server.url)
        http._session = http._open()
        connector = http._session.connector
        assert connector is not None
        connector._factory = functools.partial(aiohttp.client_proto.ResponseHandler, loop=asyncio.get_running_loop())
        with pytest.raises(TypeError, match="must be adapted"):
            await http.post("/x", BODY, {})
        assert server.requests == []


# --- probe and settings


@pytest.mark.invariant("I6")
async def test_probe_sends_nothing_and_tells_why(authority: TestAuthority, tmp_path: Path, caller: Caller) -> None:
    async def probed(http: PartyHttp) -> str:
        with pytest.raises(CallNotSent) as caught:
            await http.probe()
        return caught.value.code

    async with raw_server(answer_all, serving(authority)) as server:
        await caller(server.url).probe()
        assert server.requests == []
        assert await probed(caller(server.url, peer="prefecture-server")) == "wrong-peer"
    assert await probed(caller(f"https://127.0.0.1:{free_port()}")) == "connection-refused"
    other = ensure(tmp_path / "other")
    with blocking_server(serving(authority, trusted=other)) as server:
        assert await probed(caller(server.url)) == "tls-alert-unknown-ca"


@pytest.mark.parametrize("url", ["http://a", "https://", "https://user@a", "https://a?b=c", "a"])
def test_urls_that_are_refused(caller: Caller, url: str) -> None:
    with pytest.raises(ConfigurationError, match="party-url"):
        caller(url)


def test_a_call_never_takes_longer_than_the_rules_allow(caller: Caller) -> None:
    with pytest.raises(ConfigurationError, match="party-call-time"):
        caller("https://a", call_s=121.0)
