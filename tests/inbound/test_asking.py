"""The register asks while somebody waits: answered about this request and this person, in time and on record, or not at all."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from certs.authority import TestAuthority
from gateway.broker import BrokerEndpoint, Consumer, topology
from gateway.contract import CallNotSent, CallUnanswered, Question, QuestionRefused
from gateway.delivery.questions import Questions
from gateway.intake.admit import Intake
from gateway.intake.submission import Sender
from gateway.ledger import tables as t
from message_formats import reading, samples, writing
from tests.inbound.asking import BUSINESS, Counter, answer_to, counter, question
from tests.intake.kit import REGISTER, headers, preparer, submission
from tests.support.broker import until

pytestmark = [pytest.mark.slow]
KINDS = [
    pytest.param("identity-confirmation-request", marks=pytest.mark.flow("F2-2")),
    pytest.param("identity-search-request", marks=pytest.mark.flow("F2-4")),
    pytest.param("identity-inquiry-request", marks=pytest.mark.flow("F2-5")),
    pytest.param("wide-area-certificate-request", marks=pytest.mark.flow("F1-8")),
]


@pytest.fixture
async def desk(tmp_path: Path, endpoint: BrokerEndpoint, people: TestAuthority) -> AsyncIterator[Counter]:
    async with counter(tmp_path, endpoint, people) as made:
        yield made


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.control("C-2-3-8")
@pytest.mark.control("C-1-5-1")
@pytest.mark.edge("F2-4", "without-need")
async def test_the_answer_comes_on_the_same_request_and_what_was_asked_by_is_on_record_masked(desk: Counter, kind: str) -> None:
    body = question(kind)
    said = await desk.ask(body, kind)
    assert said.status == 200, said.json
    [asked] = desk.party.asked
    items = reading.read(body, expected=kind).items
    assert reading.read(said.body, expected=said.headers["ce-type"]).items["request_id"] == items["request_id"]
    assert said.headers["ce-id"] == asked.dialogue_id
    assert asked.municipality == ("992011" if kind == "wide-area-certificate-request" else None)
    [entry] = await desk.record()
    assert (entry["outcome"], entry["dialogue"], entry["question"], entry["reference"]) == (
        "answered",
        asked.dialogue_id,
        kind,
        "2026-000123",
    )
    [kept] = await desk.rows(t.inquiry)
    condition = json.loads(kept["condition"])
    assert set(condition) == {path for path, value in items.items() if value is not None and path != "request_id"}
    [provision] = await desk.rows(t.provision)
    assert (provision["id"], provision["outcome"], provision["operator"], provision["terminal"], provision["party"]) == (
        asked.dialogue_id, "provided", "staff-0001", "terminal-07", "resident-record-system",
    )  # fmt: skip
    # nothing of question or answer is kept: no message, no body, and no value that anybody could read
    assert await desk.rows(t.message) == await desk.rows(t.payload) == []
    names = {value for path, value in items.items() if value and path.rpartition("/")[2] in ("name", "resident_record_code", "birth_date")}
    assert not [file.name for file in desk.folder.rglob("*") if file.is_file() for value in names if value.encode() in file.read_bytes()]


@pytest.mark.invariant("I7")
@pytest.mark.parametrize(
    ("says", "code"),
    [
        (
            lambda q: answer_to(q, **{"identity_information/resident_record_code": samples.resident_record_code(999)}),
            "answer-for-another-person",
        ),
        (lambda q: answer_to(q, request_id="another-request"), "answer-for-another-request"),
        (lambda q: b"<nothing/>", "answer-malformed"),
    ],
)
async def test_an_answer_that_is_not_to_this_question_is_refused_and_on_record(
    desk: Counter, says: Callable[[Question], bytes], code: str
) -> None:
    desk.party.says = says
    said = await desk.ask()
    assert (said.status, said.json["code"]) == (502, code)
    [entry] = await desk.record()
    assert (entry["outcome"], entry["code"], entry["question"]) == ("answer-refused", code, "identity-confirmation-request")
    [provision] = await desk.rows(t.provision)
    assert (provision["outcome"], provision["code"]) == ("refused", code)


@pytest.mark.edge("F2-5", "items-beyond-need")
async def test_an_answer_with_an_item_beyond_its_type_is_not_taken_over(desk: Counter) -> None:
    """What the type of the answer does not have reaches nobody: not the item, and not the rest of an answer that brought it."""
    desk.party.says = lambda asked: answer_to(asked).replace(b"</request_id>", b"</request_id><income>0</income>", 1)
    said = await desk.ask(kind="identity-inquiry-request")
    assert (said.status, said.json["code"]) == (502, "answer-malformed")
    assert b"income" not in said.body


@pytest.mark.control("C-2-5-7")
@pytest.mark.flow("F2-4")
async def test_the_answer_to_a_search_is_what_the_party_found_and_nothing_else(desk: Counter) -> None:
    """Neither the condition nor what it yields is changed on the way."""
    body = question("identity-search-request")
    said = await desk.ask(body, "identity-search-request")
    [asked] = desk.party.asked
    assert reading.read(asked.content).items == reading.read(body).items
    assert reading.read(said.body).items == reading.read(answer_to(asked)).items


@pytest.mark.invariant("I7")
async def test_two_questions_at_once_each_have_their_own_answer_or_none(desk: Counter) -> None:
    bodies = [question(serial=serial) for serial in range(1, 13)]
    for body, said in zip(bodies, await asyncio.gather(*(desk.ask(body) for body in bodies)), strict=True):
        mine, got = reading.read(body), reading.read(said.body)
        assert said.status == 200
        assert got.items["request_id"] == mine.items["request_id"]
        assert got.items["identity_information/resident_record_code"] == mine.items["resident_record_code"]


@pytest.mark.control("C-2-5-2")
@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (QuestionRefused("not-found"), 502, "party-refused"),
        (CallNotSent("connect-refused"), 502, "party-not-reached"),
        (CallUnanswered("answer-schema-invalid"), 504, "party-unanswered"),
        (RuntimeError("a bug"), 504, "party-unanswered"),
    ],
)
async def test_no_answer_says_why_and_is_on_record(desk: Counter, error: Exception, status: int, code: str) -> None:
    def fail(_: Question) -> bytes:
        raise error

    desk.party.says = fail
    said = await desk.ask()
    assert (said.status, said.json["code"]) == (status, code)
    [entry] = await desk.record()
    assert (entry["outcome"], entry["code"]) == ("not-answered", code)


@pytest.mark.control("C-2-3-8")
@pytest.mark.parametrize("missing", ["operator", "terminal", "reference"])
@pytest.mark.edge("F2-4", "without-need")
async def test_without_operator_terminal_or_reference_nothing_is_asked(desk: Counter, missing: str) -> None:
    changes: dict[str, Any] = {f"ce_{missing}": None}
    said = await desk.ask(**changes)
    assert (said.status, said.json["code"], said.json["place"]) == (422, "business-record-missing", f"attribute {missing}")
    assert desk.party.asked == []
    [entry] = await desk.record()
    assert (entry["outcome"], entry["missing"]) == ("refused", [missing])
    assert "name" in entry["asked_by"]


@pytest.mark.control("C-2-3-8")
async def test_where_the_city_wants_it_so_it_is_asked_and_marked(tmp_path: Path, endpoint: BrokerEndpoint, people: TestAuthority) -> None:
    async with counter(tmp_path, endpoint, people, incomplete="flag") as desk:
        assert (await desk.ask(ce_reference=None)).status == 200
        [entry] = await desk.record()
        assert (entry["outcome"], entry["missing"], entry["reference"]) == ("answered", ["reference"], None)


@pytest.mark.flow("F2-4")
@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({"address": None, "birth_date": None}, 422),
        ({"name": None, "address": None}, 422),
        ({"name": None, "birth_date": None}, 422),
        ({"address": None, "sex": None}, 200),
        ({"birth_date": None, "sex": None}, 200),
    ],
)
@pytest.mark.edge("F2-4", "too-few-items")
async def test_a_search_needs_two_of_name_address_and_birth_date(desk: Counter, given: dict[str, None], status: int) -> None:
    body: Any = _without("identity-search-request", *given)
    said = await desk.ask(body, "identity-search-request")
    assert said.status == status, said.json
    assert bool(desk.party.asked) == (status == 200)


def _without(kind: str, *names: str) -> bytes:
    from lxml import etree

    root = etree.fromstring(question(kind))
    for each in list(root):
        if etree.QName(each).localname in names:
            root.remove(each)
    return etree.tostring(root)


@pytest.mark.flow("F1-8")
@pytest.mark.flow("F2-2")
@pytest.mark.edge("F1-8", "no-answer", "late-answer")
@pytest.mark.edge("F2-2", "timeout")
@pytest.mark.parametrize("kind", ["identity-confirmation-request", "wide-area-certificate-request"])
async def test_a_late_answer_is_dropped_unopened_and_recorded_and_is_nobody_elses(
    tmp_path: Path, endpoint: BrokerEndpoint, people: TestAuthority, kind: str
) -> None:
    async with counter(tmp_path, endpoint, people, answer_s=1.0) as desk:
        desk.party.wait = asyncio.Event()
        said = await desk.ask(kind=kind)
        assert (said.status, said.json["code"], said.headers.get("Retry-After")) == (504, "no-answer-in-time", None)
        [late] = desk.party.asked
        desk.party.wait.set()
        await until_recorded(desk, late.dialogue_id)
        body = question(kind, serial=2)
        again = await desk.ask(body, kind)
        assert reading.read(again.body).items["request_id"] == reading.read(body).items["request_id"]
        assert [each["outcome"] for each in await desk.record()] == ["no-answer", "answered"]
        assert len(desk.party.asked) == 2  # nothing was asked again behind anybody's back


async def until_recorded(desk: Counter, dialogue_id: str) -> None:
    async def recorded() -> bool:
        return [each["dialogue"] for each in await desk.record("late-answer")] == [dialogue_id]

    await until(recorded)


async def test_nobody_there_to_ask_is_said_at_once(desk: Counter) -> None:
    await desk.questions.stop()
    said = await desk.ask()
    assert (said.status, said.json["code"]) == (503, "no-responder")


async def test_a_second_question_of_the_same_id_waits_for_nobody(desk: Counter) -> None:
    desk.party.wait = asyncio.Event()
    head = headers("the-same", **{"ce_type": "identity-confirmation-request", **BUSINESS})
    first = asyncio.create_task(desk.web.send(path="/v1/dialogues", body=question(), head=head))
    await until(lambda: bool(desk.party.asked))
    second = await desk.web.send(path="/v1/dialogues", body=question(), head=head)
    assert (second.status, second.json["code"]) == (409, "dialogue-open")
    desk.party.wait.set()
    assert (await first).status == 200


async def test_what_is_no_question_or_of_nobody_who_may_ask_is_refused(desk: Counter) -> None:
    said = await desk.ask(b"<x/>")
    assert (said.status, said.json["code"]) == (422, "wrong-namespace")
    said = await desk.ask(b"<x/>", "identity-information-update")
    assert (said.status, said.json["code"]) == (403, "not-permitted")
    by_queue = await desk.web.post(question(), headers(ce_type="identity-confirmation-request", **BUSINESS))
    assert by_queue.json["code"] in ("not-carried", "not-permitted")
    assert desk.party.asked == []


@pytest.mark.invariant("I7")
async def test_a_list_in_which_somebody_is_protected_is_not_released(desk: Counter) -> None:
    """支援措置 (F2-4): the question names nobody, so the marks of those who are in the answer count."""
    code = samples.resident_record_code(1)
    assert (await desk.ask(question("identity-search-request"), "identity-search-request")).status == 200
    await mark_protected(desk, code)
    said = await desk.ask(question("identity-search-request"), "identity-search-request")
    assert (said.status, said.json["code"]) == (403, "protected")
    assert [each["outcome"] for each in await desk.record()] == ["answered", "answer-refused"]


async def mark_protected(desk: Counter, code: str) -> None:
    """The register says so of a resident, through the door's own way into the ledger."""
    kind = "resident-protection-mark"
    items = {**samples.items(kind, 1), "resident_record_code": code, "starts_on": "20200101", "ends_on": None, "state": "2"}
    sender = Sender(system=REGISTER, peer=REGISTER, types=frozenset({kind}))
    ready = preparer(desk.web.house.keys, senders={REGISTER: sender})
    [answer] = await Intake(preparer=ready, ledger=desk.ledger).admit([submission(writing.write(kind, items).to_bytes(), type=kind)])
    assert answer.refusal is None


@pytest.mark.rule("R9")
async def test_what_another_worker_had_in_hand_is_not_asked_again(desk: Counter, endpoint: BrokerEndpoint) -> None:
    """A worker that died may have asked: the next says at once that there is no answer, and the party is not asked twice."""
    questions, consumer = desk.questions, desk.questions._consumer
    await questions.stop()
    dying, held = Consumer(endpoint, name="a worker that dies"), []
    await dying.start()
    await dying.subscribe(topology.dialogues_queue("city-cs"), prefetch=1, on_delivery=held.append)
    waiting = asyncio.create_task(desk.ask())
    await until(lambda: bool(held))
    after = Questions("city-cs", desk.party, consumer, questions._publisher, questions._keys, questions._own, at_once=1)
    await after.start()
    began = time.monotonic()
    await dying.close(drain_s=0.0)
    said = await waiting
    await after.stop()
    assert (said.status, said.json["code"], said.json["rule"]) == (504, "party-unanswered", "worker-lost")
    assert time.monotonic() - began < 4.0
    assert desk.party.asked == []
