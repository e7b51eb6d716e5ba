"""A person waits: each answer goes to its own question, about the same request and the same person, in time, or nowhere."""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import pytest

from certs.tls import client_context
from message_formats import samples
from simulators.harness.town import REGISTER, Plan, Town
from simulators.register.answers import Answers
from tests.inbound.kit import Ends, notice
from tests.support.broker import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240), pytest.mark.flow("FS2-11")]
OPERATION = "RequestWideAreaCertificate"
ANSWER_S = 2.0


@pytest.fixture(scope="module")
async def town(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    plan = Plan(workers=1, population=20, inbound=True, acknowledge_s=2.0, answer_s=ANSWER_S)
    async with Town(tmp_path_factory.mktemp("dialogues"), plan) as town:
        await town.start()
        yield town


@pytest.fixture
async def answers(town: Town) -> AsyncIterator[Answers]:
    made = town.answers()
    made.start()
    await until(lambda: made.consuming)
    yield made
    await made.stop()


@pytest.fixture
def ends(town: Town) -> Iterator[Ends]:
    return Ends(town)  # type: ignore[return-value]


async def ask(ends: Ends, serial: int = 1, delivery: str | None = None) -> tuple[dict[str, Any], str, str]:
    """The other municipality asks; what it is told, its request id, and the resident."""
    request_id, code = f"req-{uuid.uuid4()}", samples.resident_record_code(serial)
    xml = notice("wide-area-certificate-request", serial, request_id=request_id, resident_record_code=code)
    return await ends.send(xml, operation=OPERATION, ids=(delivery or str(uuid.uuid4()),)), request_id, code


def records(ends: Ends, since: int) -> list[dict[str, Any]]:
    return ends.record("dialogue")[since:]


async def test_the_answer_comes_at_once_and_is_on_record_before_it_leaves(ends: Ends, answers: Answers) -> None:
    since, delivery = len(ends.record("dialogue")), str(uuid.uuid4())
    said, request_id, code = await ask(ends, 1, delivery)
    assert (said["status"], said["fault"], said["signed"]) == (200, None, True), said
    assert request_id in said["content"]
    assert code in said["content"]
    [record] = records(ends, since)
    assert (record["actor"], record["outcome"], record["type"], record["to"], record["id"]) == (
        "city-cs",
        "answered",
        "wide-area-certificate-data",
        "other-municipality-cs",
        delivery,
    )
    [provision] = ends.rows("SELECT * FROM provision WHERE id = ?", record["dialogue"])
    assert (provision["system"], provision["party"], provision["outcome"]) == (
        "resident-record-system",
        "other-municipality-cs",
        "provided",
    )
    assert provision["terms"] is not None
    # nothing of it is kept: neither message nor body
    assert ends.rows("SELECT id FROM message WHERE source_id = ?", delivery) == []
    found = [file.name for file in ends.town.folder.rglob("*") if file.is_file() and code.encode() in file.read_bytes()]
    assert found == []


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ("other-person", "answer-for-another-person"),
        ("other-request", "answer-for-another-request"),
        ("clear", "answer-malformed"),
        ("refuse", "certificate-stopped"),
    ],
)
@pytest.mark.invariant("I7")
async def test_an_answer_that_is_not_to_this_question_is_not_released(ends: Ends, answers: Answers, wrong: Any, code: str) -> None:
    since = len(ends.record("dialogue"))
    answers.wrong = wrong
    said, _, _ = await ask(ends, 2)
    assert (said["status"], said["fault"], said["results"], "content" in said) == (500, code, [], False)
    [record] = records(ends, since)
    assert (record["outcome"], record["code"]) == ("answer-refused", code)
    [provision] = ends.rows("SELECT outcome, code FROM provision WHERE id = ?", record["dialogue"])
    assert tuple(provision) == ("refused", code)


@pytest.mark.invariant("I7")
async def test_two_answers_that_are_exchanged_reach_nobody(ends: Ends, answers: Answers) -> None:
    """What happened in 2023: two questions at the same moment, and each had the other's answer."""
    answers.wrong = "exchanged"
    (first, _, _), (second, _, _) = await asyncio.gather(ask(ends, 3), ask(ends, 4))
    assert {first["fault"], second["fault"]} == {"answer-for-another-request"} or {first["fault"], second["fault"]} == {
        "answer-for-another-person"
    }
    assert "content" not in first
    assert "content" not in second


async def test_many_at_once_each_have_their_own(ends: Ends, answers: Answers) -> None:
    said = await asyncio.gather(*(ask(ends, serial) for serial in range(10, 30)))
    for answer, request_id, code in said:
        assert (request_id in answer["content"], code in answer["content"]) == (True, True)


async def test_silence_ends_at_the_deadline_and_a_late_answer_is_dropped_and_recorded(ends: Ends, answers: Answers) -> None:
    since = len(ends.record("dialogue"))
    answers.wrong, answers.late_s = "late", ANSWER_S + 0.5
    began = time.monotonic()
    said, _, _ = await ask(ends, 5)
    assert (said["status"], said["fault"]) == (500, "no-answer-in-time")
    assert ANSWER_S <= time.monotonic() - began < ANSWER_S + 2
    [record] = records(ends, since)
    assert (record["outcome"], record["code"]) == ("no-answer", "no-answer-in-time")
    await until(lambda: [each["dialogue"] for each in ends.record("late-answer")][-1:] == [record["dialogue"]])
    answers.wrong = None
    again, request_id, _ = await ask(ends, 6)  # the late one is not taken for the answer to the next question
    assert request_id in again["content"]


async def test_a_second_answer_is_recorded_and_goes_nowhere(ends: Ends, answers: Answers) -> None:
    since = len(ends.record("late-answer"))
    answers.wrong = "twice"
    said, request_id, _ = await ask(ends, 7)
    assert request_id in said["content"]
    await until(lambda: len(ends.record("late-answer")) == since + 1)


@pytest.mark.invariant("I7")
@pytest.mark.edge("FS2-11", "stopped-or-protected")
async def test_the_copy_of_a_protected_resident_does_not_leave(ends: Ends, answers: Answers) -> None:
    """支援措置: refused and recorded, whatever the register answers; also when the mark came a moment before the answer."""
    since, code = len(ends.record("dialogue")), samples.resident_record_code(40)
    said, _, _ = await ask(ends, 40)
    assert said["fault"] is None
    changes = {"resident_record_code": code, "starts_on": "20200101", "ends_on": None, "state": "2"}
    mark = notice("resident-protection-mark", 40, **changes)
    assert await hand_in(ends.town, "resident-protection-mark", mark) == 202
    said, _, _ = await ask(ends, 40)
    assert (said["status"], said["fault"], "content" in said) == (500, "protected", False)
    answered, refused = records(ends, since)
    assert answered["outcome"] == "answered"
    assert (refused["outcome"], refused["code"], refused["rule"]) == ("answer-refused", "protected", "支援措置")
    other, _, _ = await ask(ends, 41)
    assert other["fault"] is None


async def hand_in(town: Town, kind: str, xml: str) -> int:
    """The register hands a message in by HTTPS."""
    context = client_context(*(town.certificates / f for f in (f"{REGISTER}.pem", f"{REGISTER}.key", "ca.pem", "ca.crl")))
    head = {"ce-specversion": "1.0", "ce-id": str(uuid.uuid4()), "ce-source": "/register", "ce-type": kind}
    head["Content-Type"] = "application/xml"
    url = f"https://localhost:{town.ports.https}/v1/messages"
    connector = aiohttp.TCPConnector(ssl=context)
    async with (
        aiohttp.ClientSession(connector=connector, trust_env=False) as session,
        session.post(url, data=xml.encode(), headers=head) as answer,
    ):
        return answer.status


@pytest.mark.invariant("I4")
async def test_a_broker_that_died_takes_its_questions_with_it_and_is_asked_again_when_it_is_back(ends: Ends, answers: Answers) -> None:
    answers.wrong = "silence"
    waiting = asyncio.create_task(ask(ends, 9))
    await until(lambda: bool(answers.asked))
    os.kill(ends.town.supervised()["broker"], 9)
    lost, _, _ = await waiting
    assert (lost["status"], "content" in lost) == (500, False)
    answers.wrong = None

    async def answered() -> bool:
        said, request_id, _ = await ask(ends, 9)
        return request_id in said.get("content", "")

    await until(answered, 60.0)


async def test_nobody_there_is_said_at_once(ends: Ends, town: Town) -> None:
    began = time.monotonic()
    said, _, _ = await ask(ends, 8)
    assert (said["status"], said["fault"]) == (500, "no-responder")
    assert time.monotonic() - began < ANSWER_S
