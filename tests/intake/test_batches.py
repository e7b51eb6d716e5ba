"""Batches of events for the bulk lane: an answer for each, in their order, and nothing that somebody waits for among them (I4)."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from certs.authority import TestAuthority
from gateway.cli.batches import Batches
from gateway.contract import CallUnanswered, HttpAnswer
from gateway.errors import LedgerUnavailable
from gateway.intake.admit import Answer as Answered
from gateway.intake.batches import admit_batch
from gateway.intake.bulk import BulkAdmission
from gateway.intake.bulk_line import BatchLines, BulkLine, BulkServer, TakeBatch, admit_chunk
from gateway.intake.cloudevents import MOST_EVENTS
from gateway.intake.submission import Submission
from gateway.pacing import BulkPace
from tests.intake.kit import REGISTER, TYPE, House, headers, house, xml
from tests.intake.test_documents import OPENAPI, check
from tests.intake.web import Answer, Web, serve

BATCH = {"Content-Type": "application/cloudevents-batch+json"}
CHUNK = 5
pytestmark = [pytest.mark.invariant("I4"), pytest.mark.rule("R17")]


def event(identity: str, data: bytes, **changes: Any) -> dict[str, Any]:
    given = {"specversion": "1.0", "id": identity, "source": f"urn:renkei:system:{REGISTER}", "type": TYPE, "lane": "bulk", **changes}
    return {**{name: value for name, value in given.items() if value is not None}, "data": data.decode()}


@pytest.fixture
def home(tmp_path: Path) -> House:
    return house(tmp_path)


@contextlib.asynccontextmanager
async def admission(home: House) -> AsyncIterator[TakeBatch]:
    """With two chunks under way at a time, as in the bulk process."""
    take = functools.partial(admit_chunk, home.intake, BulkPace(1e6))
    bulk = BulkAdmission([take, take], BulkPace(1e6), chunk=CHUNK)
    bulk.start()
    try:
        yield functools.partial(admit_batch, home.intake, bulk)
    finally:
        await bulk.stop()


@pytest.fixture(params=["in the gateway", "in the bulk process"])
async def web(home: House, people: TestAuthority, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Web]:
    async with admission(home) as batches:
        if request.param == "in the gateway":
            async with serve(home, people, batches=batches) as found:
                yield found
            return
        path = tmp_path / "bulk.sock"
        server = BulkServer(path, no_chunk, batches)
        await server.start()
        lines = [BulkLine(path, no_chunk, no_batch) for _ in range(2)]
        async with serve(home, people, batches=BatchLines(lines).take) as found:
            yield found
        for line in lines:
            await line.close()
        await server.stop()


async def no_chunk(chunk: Sequence[Submission]) -> list[Answered]:
    raise AssertionError


async def no_batch(body: bytes, *, system: str, supplier: str | None) -> tuple[bytes, list[str]]:
    raise AssertionError


async def test_the_gateway_admits_a_batch_where_there_is_no_bulk_process(home: House, tmp_path: Path, people: TestAuthority) -> None:
    (tmp_path / "other").mkdir()
    other = house(tmp_path / "other")
    path = tmp_path / "bulk.sock"
    async with admission(home) as own, admission(other) as theirs:
        line = BulkLine(path, no_chunk, own)
        async with serve(home, people, batches=BatchLines([line]).take) as web:
            assert (await hand_in(web, event("m1", xml(1)))).json[0]["status"] == 202
            server = BulkServer(path, no_chunk, theirs)
            await server.start()
            assert (await hand_in(web, event("m2", xml(2)))).json[0]["status"] == 202
            assert (await web.post(b"[]", BATCH)).status == 400
            await server.stop()
            assert (await hand_in(web, event("m3", xml(3)))).json[0]["status"] == 202
        await line.close()
    assert (home.ledger.order, other.ledger.order) == (["m1", "m3"], ["m2"])
    assert [kept.code for kept in other.ledger.kept] == ["batch-size"]


async def hand_in(web: Web, *events: Any) -> Answer:
    return await web.post(json.dumps(events).encode(), BATCH)


async def test_each_event_has_the_answer_that_it_alone_would_have(web: Web, home: House) -> None:
    first = await web.post(xml(1), headers("m1", ce_lane="bulk"))
    broken, none, twice = event("m3", b"<none/>"), "no event", {**event("m9", xml(9)), "subject": "somebody"}
    answer = await hand_in(web, event("m1", xml(1)), event("m2", xml(2)), broken, none, twice, event("m1", xml(7)), event("m5", xml(5)))
    assert answer.status == 200
    check(OPENAPI, OPENAPI["components"]["schemas"]["BatchAnswer"], answer.json)
    assert [(each["id"], each["status"]) for each in answer.json] == [
        ("m1", 202), ("m2", 202), ("m3", 422), (None, 400), (None, 400), ("m1", 409), ("m5", 202),
    ]  # fmt: skip
    assert answer.json[0]["receipt"] == first.json
    assert [each["problem"]["code"] for each in answer.json if each["status"] != 202] == [
        "wrong-namespace", "malformed-json", "unknown-attribute", "same-id-other-content",
    ]  # fmt: skip
    assert home.ledger.order == ["m1", "m2", "m5"]
    assert sorted(kept.code for kept in home.ledger.kept) == [
        "malformed-json",
        "same-id-other-content",
        "unknown-attribute",
        "wrong-namespace",
    ]


@pytest.mark.invariant("I3")
async def test_the_order_of_a_batch_is_kept_over_its_chunks_whoever_else_hands_in(web: Web, home: House) -> None:
    release = asyncio.Event()
    calls = 0

    def before() -> Any:
        nonlocal calls
        calls += 1
        return asyncio.wait_for(release.wait(), 5) if calls == 1 else None  # the first chunk takes long; nothing may pass it

    home.ledger.before = before
    batch = asyncio.create_task(hand_in(web, *(event(f"a{n}", xml(n)) for n in range(1, 13))))
    while calls == 0:
        await asyncio.sleep(0.01)
    others = await hand_in(web, *(event(f"b{n}", xml(n + 20)) for n in range(1, 8)))
    assert all(each["status"] == 202 for each in others.json)
    assert not any(each.startswith("a") for each in home.ledger.order)
    release.set()
    assert all(each["status"] == 202 for each in (await batch).json)
    assert [each for each in home.ledger.order if each.startswith("a")] == [f"a{n}" for n in range(1, 13)]
    assert max(home.ledger.batches) <= CHUNK


@pytest.mark.invariant("I1")
@pytest.mark.invariant("I3")
async def test_behind_what_nobody_knows_nothing_is_tried(web: Web, home: House) -> None:
    calls = 0

    def before() -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise LedgerUnavailable("ledger-io", "the disk")

    home.ledger.before = before
    answer = await hand_in(web, *(event(f"m{n}", xml(n)) for n in range(1, 13)))
    assert [each["status"] for each in answer.json] == [202] * CHUNK + [503] * 7
    assert home.ledger.order == [f"m{n}" for n in range(1, CHUNK + 1)]
    again = await hand_in(web, *(event(f"m{n}", xml(n)) for n in range(1, 13)))
    assert [each["receipt"] for each in again.json[:CHUNK]] == [each["receipt"] for each in answer.json[:CHUNK]]
    assert home.ledger.order == [f"m{n}" for n in range(1, 13)]


async def test_what_somebody_waits_for_is_no_batch_and_what_is_no_batch_is_refused_whole(web: Web, home: House) -> None:
    answer = await hand_in(web, event("live", xml(1), lane=None), event("m2", xml(2)))
    assert [(each["status"], each.get("problem", {}).get("code")) for each in answer.json] == [(422, "batch-not-bulk"), (202, None)]
    for body, code in (
        (b"[", "malformed-json"),
        (json.dumps(event("m3", xml(3))).encode(), "malformed-json"),
        (b"[]", "batch-size"),
        (json.dumps([event(f"n{n}", b"<x/>") for n in range(MOST_EVENTS + 1)]).encode(), "batch-size"),
    ):
        refused = await web.post(body, BATCH)
        assert (refused.status, refused.json["code"]) == (400, code)
    assert home.ledger.order == ["m2"]
    assert len(home.ledger.kept) == 5


def test_the_documented_limit_is_that_of_the_door() -> None:
    assert yaml.safe_load(yaml.safe_dump(OPENAPI))["components"]["schemas"]["Batch"]["maxItems"] == MOST_EVENTS


class Posts:
    """A door to which batches go; ``says`` makes the answers."""

    def __init__(self, says: Any) -> None:
        self.says = says
        self.batches: list[list[dict[str, str]]] = []

    async def post(self, path: str, body: bytes, headers: Any) -> HttpAnswer:
        assert headers == BATCH
        batch = json.loads(body)
        self.batches.append(batch)
        await asyncio.sleep(0)
        return self.says(batch)  # type: ignore[no-any-return]


def said(status: int, document: Any) -> HttpAnswer:
    return HttpAnswer(status=status, content_type="application/json", headers={}, body=json.dumps(document).encode())


async def test_the_command_sends_what_is_ready_together_and_tells_each_its_own_answer() -> None:
    def says(batch: list[dict[str, str]]) -> HttpAnswer:
        status = {"m7": 503}
        return said(200, [{"id": each["id"], "status": status.get(each["id"], 202), "receipt": {"id": each["id"]}} for each in batch])

    door = Posts(says)
    batches = Batches(door)  # type: ignore[arg-type]
    answers = await asyncio.gather(*(batches.post({"id": f"m{n}", "lane": "bulk"}, xml(n)) for n in range(70)))
    assert [json.loads(each.body)["id"] for each in answers if each is not None] == [f"m{n}" for n in range(70)]
    assert [each.status for each in answers if each is not None].count(503) == 1
    assert [len(each) for each in door.batches] == [25, 25, 20]
    assert door.batches[0][3]["data"].encode() == xml(3)
    assert await batches.post({"id": "large"}, b"x" * 600_000) is None


@pytest.mark.parametrize(
    "answer", [said(413, {}), said(415, {}), said(200, [{"id": "another", "status": 202, "receipt": {}}])], ids=["large", "old", "mixed up"]
)
async def test_where_a_batch_is_refused_as_such_its_messages_go_alone(answer: HttpAnswer) -> None:
    assert await Batches(Posts(lambda _: answer)).post({"id": "m1"}, xml(1)) is None  # type: ignore[arg-type]


async def test_an_answer_that_does_not_come_is_everybodys() -> None:
    def says(_: Any) -> HttpAnswer:
        raise CallUnanswered("timeout")

    batches = Batches(Posts(says))  # type: ignore[arg-type]
    found = await asyncio.gather(*(batches.post({"id": f"m{n}"}, xml(n)) for n in range(3)), return_exceptions=True)
    assert all(isinstance(each, CallUnanswered) for each in found)
