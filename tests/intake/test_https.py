"""The HTTPS door over real mutual TLS: acceptance, every refusal with its status and code, pressure, and who may ask for what."""

from __future__ import annotations

import asyncio
import json
import ssl
import uuid
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from certs.authority import TestAuthority
from certs.tls import client_context
from gateway.errors import LedgerUnavailable
from message_formats import samples
from tests.intake.kit import OTHER, REGISTER, House, headers, xml
from tests.intake.test_prepare import BAD
from tests.intake.web import Web, serve

PROBLEM = "application/problem+json"
STATUS = {"malformed-xml": 400, "too-large": 413}


def assert_problem(answer: Any, status: int, code: str) -> None:
    assert (answer.status, answer.json["code"], answer.json["status"]) == (status, code, status)
    assert answer.headers["Content-Type"] == PROBLEM
    assert answer.json["type"] == f"urn:renkei:problem:{code}"
    assert answer.json["title"]
    assert answer.json["detail"]


@pytest.mark.invariant("I1")
async def test_a_message_is_accepted_with_a_receipt(web: Web) -> None:
    sent = str(uuid.uuid4())
    answer = await web.post(head=headers(sent))
    assert answer.status == 202
    assert answer.json["status"] == "accepted"
    assert (answer.json["id"], answer.json["system"]) == (sent, REGISTER)
    assert web.house.ledger.order == [sent]


@pytest.mark.rule("R17")
@pytest.mark.invariant("I2")
async def test_the_same_message_twice_gets_the_same_receipt_byte_for_byte(web: Web) -> None:
    head = headers()
    first = await web.post(head=head)
    second = await web.post(head={**head, "ce-time": "2026-11-03T09:15:00+09:00"})
    assert (second.status, second.body) == (202, first.body)
    assert len(web.house.ledger.messages) == 1


@pytest.mark.rule("R17")
async def test_the_same_id_with_other_content_is_refused_and_kept(web: Web) -> None:
    head = headers()
    await web.post(head=head)
    assert_problem(await web.post(xml(sex="1"), head), 409, "same-id-other-content")
    assert [kept.code for kept in web.house.ledger.kept] == ["same-id-other-content"]


@pytest.mark.invariant("I10")
@pytest.mark.invariant("I5")
@pytest.mark.parametrize("name", sorted(BAD))
async def test_bad_content_is_refused_with_a_problem_and_kept(web: Web, name: str) -> None:
    data, code = BAD[name]
    answer = await web.post(data)
    assert_problem(answer, STATUS.get(code, 422), code)
    assert "rule" in answer.json
    assert "place" in answer.json
    assert samples.individual_number(1) not in answer.body.decode()
    assert web.house.ledger.messages == []
    kept = web.house.ledger.kept
    assert [k.code for k in kept] == ([] if code == "too-large" else [code])
    assert all(k.sealed is None or data not in k.sealed.sealed for k in kept)


@pytest.mark.invariant("I10")
@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"ce_id": None}, 400, "missing-attribute"),
        ({"ce_type": None}, 400, "missing-attribute"),
        ({"ce_specversion": "0.3"}, 400, "invalid-attribute"),
        ({"ce_subject": "x"}, 400, "unknown-attribute"),
        ({"ce_operator": samples.individual_number(1)}, 400, "personal-data-in-attribute"),
        ({"ce_type": "no-such-type"}, 422, "unknown-type"),
        ({"ce_type": "destination-information"}, 422, "wrong-namespace"),
        ({"ce_municipality": "131016"}, 400, "unknown-attribute"),
        ({"ce_municipality": "131017"}, 400, "invalid-attribute"),
        ({"ce_source": "urn:renkei:system:tax-system"}, 403, "source-mismatch"),
    ],
)
async def test_bad_attributes_are_refused_with_a_problem_and_kept(web: Web, changes: dict[str, Any], status: int, code: str) -> None:
    answer = await web.post(head=headers(**changes))
    assert_problem(answer, status, code)
    assert [k.code for k in web.house.ledger.kept] == [code]
    assert [k.size_bytes for k in web.house.ledger.kept] == [len(xml())]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"Content_Type": None}, "wrong-content-type"),
        ({"Content_Type": "text/plain"}, "wrong-content-type"),
        ({"Content_Type": "application/xml; charset=shift_jis"}, "wrong-content-type"),
        ({"Content_Type": "application/jose"}, "wrong-content-type"),
        ({"Content_Encoding": "gzip"}, "content-encoding"),
    ],
)
async def test_other_content_types_are_refused(web: Web, changes: dict[str, Any], code: str) -> None:
    async with web.client() as session, session.post("/v1/messages", data=xml(), headers=headers(**changes)) as response:
        assert response.status == 415
        assert (await response.json(content_type=None))["code"] == code


async def test_utf8_may_be_said_and_the_structured_form_is_taken(web: Web) -> None:
    head = headers()
    first = await web.post(head={**head, "Content-Type": 'application/xml; charset="UTF-8"'})
    event = {k[3:]: v for k, v in head.items() if k.startswith("ce-")}
    body = json.dumps({**event, "data": xml().decode()}).encode()
    second = await web.post(body, {"Content-Type": "application/cloudevents+json"})
    assert (second.status, second.body) == (202, first.body)
    assert_problem(await web.post(b"{", {"Content-Type": "application/cloudevents+json"}), 400, "malformed-json")


@pytest.mark.invariant("I6")
async def test_without_a_certificate_there_is_no_connection(web: Web) -> None:
    bare = ssl.create_default_context(cafile=str(web.people.ca))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=bare), trust_env=False) as session:
        with pytest.raises(aiohttp.ClientError):
            await session.post(f"{web.url}/v1/messages", data=xml(), headers=headers())
    assert web.house.ledger.messages == []


@pytest.mark.invariant("I6")
async def test_a_certificate_of_another_authority_is_no_connection(web: Web, tmp_path: Path) -> None:
    other = TestAuthority(tmp_path / "other")
    other.create()
    files = other.issue(REGISTER, "client")
    context = client_context(files.certificate, files.key, web.people.ca)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context), trust_env=False) as session:
        with pytest.raises(aiohttp.ClientError):
            await session.post(f"{web.url}/v1/messages", data=xml(), headers=headers())
    assert web.house.ledger.messages == []


@pytest.mark.invariant("I6")
async def test_a_certificate_that_belongs_to_no_sending_system_is_refused(web: Web) -> None:
    for method, path in (("POST", "/v1/messages"), ("GET", "/v1/messages/x"), ("GET", "/v1/keys"), ("GET", "/v1/openapi.yaml")):
        assert_problem(await web.send(method, path, by="stranger"), 403, "unknown-sender")
    assert_problem(await web.send("GET", "/elsewhere", by="stranger"), 403, "unknown-sender")


@pytest.mark.invariant("I6")
async def test_a_certificate_that_is_revoked_meanwhile_is_refused_on_the_open_connection(home: House, tmp_path: Path) -> None:
    people = TestAuthority(tmp_path / "people")
    people.create()
    people.issue("gateway", "peer", dns=["localhost"])
    people.issue(REGISTER, "client")
    async with serve(home, people) as web, web.client() as session:
        async with session.post("/v1/messages", data=xml(), headers=headers()) as response:
            assert response.status == 202
        people.revoke(REGISTER)
        async with session.post("/v1/messages", data=xml(), headers=headers()) as response:
            assert response.status == 403
            assert (await response.json(content_type=None))["code"] == "revoked"
    assert len(home.ledger.messages) == 1


@pytest.mark.control("C-2-3-2")
async def test_another_known_system_may_not_send_to_the_city_cs(web: Web) -> None:
    assert_problem(await web.post(head=headers(ce_source="/x"), by=OTHER), 403, "not-permitted")
    assert_problem(await web.post(by=OTHER), 403, "not-permitted")


@pytest.mark.thorough
async def test_an_announced_size_is_refused_before_the_body_is_sent(web: Web) -> None:
    reader, writer = await asyncio.open_connection("localhost", int(web.url.rpartition(":")[2]), ssl=web.tls())
    head = "".join(f"{k}: {v}\r\n" for k, v in headers().items())
    writer.write(f"POST /v1/messages HTTP/1.1\r\nHost: x\r\n{head}Content-Length: 1000000\r\n\r\n".encode())
    answer = (await asyncio.wait_for(reader.read(), 10)).decode()  # to the end: the door closes the connection
    assert answer.startswith("HTTP/1.1 413 ")
    assert "too-large" in answer
    assert "connection: close" in answer.lower()
    writer.close()


@pytest.mark.thorough
async def test_a_size_that_is_not_announced_is_refused_while_reading(web: Web) -> None:
    sent = 0

    async def endless() -> Any:
        nonlocal sent
        while sent < 50_000_000:
            sent += 65_536
            yield b" " * 65_536

    async with web.client() as session:
        try:
            async with session.post("/v1/messages", data=endless(), headers=headers()) as response:
                assert response.status == 413
        except aiohttp.ClientOSError:
            pass  # the door closed the connection while we were still writing
    assert sent < 10_000_000
    assert web.house.ledger.messages == []


@pytest.mark.thorough
async def test_a_body_that_does_not_come_is_given_up(home: House, people: TestAuthority) -> None:
    async with serve(home, people, body_timeout_s=0.2) as web:
        reader, writer = await asyncio.open_connection("localhost", int(web.url.rpartition(":")[2]), ssl=web.tls())
        head = "".join(f"{k}: {v}\r\n" for k, v in headers().items())
        writer.write(f"POST /v1/messages HTTP/1.1\r\nHost: x\r\n{head}Content-Length: 1000\r\n\r\n<a".encode())
        answer = (await asyncio.wait_for(reader.read(), 10)).decode()
        assert answer.startswith("HTTP/1.1 408 ")
        writer.close()
    assert home.ledger.messages == []


@pytest.mark.rule("R19")
async def test_a_full_disk_closes_the_door(web: Web) -> None:
    web.house.free = 0
    await web.house.pressure.measure()
    answer = await web.post()
    assert_problem(answer, 503, "disk-full")
    assert int(answer.headers["Retry-After"]) >= 1
    web.house.free = 1 << 40
    await web.house.pressure.measure()
    assert (await web.post()).status == 202


@pytest.mark.rule("R19")
async def test_a_full_backlog_is_too_many_requests(web: Web) -> None:
    web.house.ledger.backlog = 1000
    await web.house.pressure.measure()
    answer = await web.post()
    assert_problem(answer, 429, "backlog-full")
    assert int(answer.headers["Retry-After"]) >= 1


@pytest.mark.invariant("I1")
async def test_a_ledger_that_cannot_commit_accepts_nothing_and_says_when_to_come_again(web: Web) -> None:
    def locked() -> None:
        raise LedgerUnavailable("ledger-locked", "the database is locked", retry_after_s=2.5)

    web.house.ledger.before = locked
    head = headers()
    answer = await web.post(head=head)
    assert_problem(answer, 503, "ledger-locked")
    assert answer.headers["Retry-After"] == "3"
    assert_problem(await web.post(b"<", headers()), 503, "ledger-locked")  # not told before it is kept
    web.house.ledger.before = None
    assert (await web.post(head=head)).status == 202


@pytest.mark.invariant("I5")
async def test_an_error_of_ours_shows_nothing(web: Web, capsys: pytest.CaptureFixture[str]) -> None:
    number = samples.individual_number(1)

    def broken() -> None:
        raise ValueError(f"secret {number}")

    web.house.ledger.before = broken
    answer = await web.post()
    assert_problem(answer, 500, "internal")
    out = capsys.readouterr()
    assert number not in answer.body.decode() + out.out + out.err


@pytest.mark.invariant("I5")
async def test_a_message_is_shown_to_the_system_that_sent_it_only(web: Web) -> None:
    sent = str(uuid.uuid4())
    await web.post(head=headers(sent))
    answer = await web.send("GET", f"/v1/messages/{sent}")
    assert (answer.status, answer.json["id"]) == (200, sent)
    assert_problem(await web.send("GET", f"/v1/messages/{sent}", by=OTHER), 404, "unknown-message")
    assert_problem(await web.send("GET", "/v1/messages/never-sent"), 404, "unknown-message")


async def test_the_key_and_the_description(web: Web) -> None:
    keys = await web.send("GET", "/v1/keys")
    assert keys.headers["Content-Type"] == "application/jwk-set+json"
    (key,) = keys.json["keys"]
    assert (key["crv"], key["alg"]) == ("P-256", "ECDH-ES+A256KW")
    assert "d" not in key
    assert (await web.send("GET", "/v1/openapi.yaml")).body.startswith(b"openapi: 3.1")


async def test_other_paths_and_methods_are_problems_too(web: Web) -> None:
    assert_problem(await web.send("GET", "/v1/other"), 404, "unknown-path")
    answer = await web.send("PUT", "/v1/messages", body=b"x")
    assert_problem(answer, 405, "method-not-allowed")
    assert answer.headers["Allow"] == "POST"
    assert (await web.send("DELETE", "/v1/messages/x")).headers["Allow"] == "GET"


async def test_many_on_one_connection_keep_their_answers(web: Web) -> None:
    heads = [headers() for _ in range(50)]
    async with web.client() as session:

        async def one(head: dict[str, str]) -> Any:
            async with session.post("/v1/messages", data=xml(), headers=head) as response:
                return (await response.json())["id"]

        assert await asyncio.gather(*map(one, heads)) == [head["ce-id"] for head in heads]


@pytest.mark.control("C-3-7-4")
async def test_a_system_asks_what_of_its_own_has_expired(home: House, people: TestAuthority) -> None:
    asked: list[tuple[str, str | None, int]] = []

    async def expired(system: str, after: str | None, limit: int) -> dict[str, Any]:
        asked.append((system, after, limit))
        return {"items": [], "next_after": after, "more": False}

    async with serve(home, people, expired=expired) as web:
        answer = await web.send("GET", "/v1/expired?after=1.5_x&limit=7")
        assert (answer.status, answer.json, answer.headers["Cache-Control"]) == (
            200,
            {"items": [], "next_after": "1.5_x", "more": False},
            "no-store",
        )
        assert asked == [(REGISTER, "1.5_x", 7)], "whose they are is known from the certificate"
        for wrong in ("0", "1001", "x", "-1", "１"):
            refused = await web.send("GET", f"/v1/expired?limit={wrong}")
            assert (refused.status, refused.json["code"]) == (400, "query-malformed")
        assert (await web.send("POST", "/v1/expired")).status == 405
