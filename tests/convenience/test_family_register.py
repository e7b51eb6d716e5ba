"""F5-2: the issuing system asks the family register before it answers, within the same deadline."""

from __future__ import annotations

import time

import pytest

from message_formats import writing
from simulators.convenience.queues import Question, Refusal
from simulators.convenience.world import Holder
from tests.convenience.kit import ANSWER_S, Ends
from tests.support.broker import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240), pytest.mark.flow("F5-2")]


async def test_a_certificate_of_the_family_register_is_made_of_what_it_says_now(ends: Ends) -> None:
    since = len(ends.record("dialogue"))
    end = await ends.ask(Holder(1), "4")
    assert end.kind == "printed"
    assert ends.family.asked[-1:] == [end.request]
    inner, outer = ends.record("dialogue")[since:]
    assert (inner["actor"], inner["type"], inner["to"], inner["outcome"]) == (
        "certificate-issuance-system",
        "family-register-certificate-data",
        "certificate-issuance-system",
        "answered",
    )
    assert (outer["actor"], outer["type"], outer["outcome"]) == ("certificate-centre", "certificate-data", "answered")
    # never stored in the certificate system: its journal has effects of the feeds and certificates made, and nothing of the register
    kinds = {entry["type"] for entry in ends.issuing.journal.entries() if entry["kind"] == "effect"}
    assert kinds <= {"card-identifier-change", "certificate-data-change", "tax-certificate-change"}


@pytest.mark.edge("F5-2", "other-domicile")
async def test_a_domicile_elsewhere_is_refused(ends: Ends) -> None:
    holder = Holder(7)
    assert not holder.here
    end = await ends.ask(holder, "4")
    assert (end.kind, end.code) == ("refused", "domicile-elsewhere")
    assert (await ends.ask(holder, "1")).kind == "printed"


@pytest.mark.edge("F5-2", "register-down")
async def test_with_the_family_register_down_its_certificates_are_refused_at_once_and_others_work(ends: Ends) -> None:
    await ends.family.stop()
    began = time.monotonic()
    end = await ends.ask(Holder(2), "4")
    assert (end.kind, end.code) == ("refused", "no-responder")
    assert time.monotonic() - began < 1.0
    for kind in ("1", "2", "3"):
        assert (await ends.ask(Holder(2), kind)).kind == "printed"
    await ends.open_family()


async def test_the_whole_meets_the_deadline_of_the_kiosk(ends: Ends) -> None:
    """A slow family register: nothing is waited for longer than the first question may take, and its answer goes nowhere."""
    since = len(ends.record("late-answer"))
    ends.family.slow_s = ANSWER_S + 0.5
    began = time.monotonic()
    end = await ends.ask(Holder(5), "4")
    assert (end.kind, end.code) == ("refused", "no-answer-in-time")
    assert time.monotonic() - began < ANSWER_S + 1.5
    # of the family register, and of the issuing system, which may have refused a moment after the deadline
    await until(lambda: len(ends.record("late-answer")) > since)


@pytest.mark.invariant("I7")
async def test_what_the_family_register_says_of_another_request_is_not_released(ends: Ends) -> None:
    ends.family.wrong = "other-request"
    end = await ends.ask(Holder(5), "4")
    assert (end.kind, end.code) == ("refused", "answer-for-another-request")


@pytest.mark.invariant("I7")
@pytest.mark.parametrize("kind", ["1", "4"])
async def test_the_family_register_is_asked_within_a_request_for_it_only(ends: Ends, kind: str) -> None:
    """The issuing system asks for another request than the open one, or while a copy of the resident record is asked for."""
    asked: list[str] = []
    since = len(ends.family.asked)

    async def answer(question: Question) -> bytes:
        group = "family_register_request"
        request_id = question.message.items["request_id"] if kind == "1" else "another-request-that-is-open-elsewhere"
        items = {"request_id": request_id, f"{group}/domicile": "虚構県架空市例示町１番地", f"{group}/register_head": "見本　葛子"}
        items |= {f"{group}/certificate_type": "1", f"{group}/copies": "1"}
        content = writing.write("family-register-certificate-request", items).to_bytes()
        try:
            await ends.issuing.ask_back(question, content, "family-register-certificate-request")
        except Refusal as error:
            asked.append(error.code)
            raise
        raise AssertionError("it was answered")

    ends.issuing.answer = answer  # type: ignore[method-assign]
    end = await ends.ask(Holder(5), kind)
    assert (end.kind, end.code, asked) == ("refused", "not-within-a-request", ["not-within-a-request"])
    assert ends.family.asked[since:] == []


async def test_who_has_no_open_question_cannot_ask(ends: Ends) -> None:
    """A question under a correlation that is open no more: dropped unopened, and on record."""
    late: list[Question] = []
    answer = ends.issuing.answer

    async def remembered(question: Question) -> bytes:
        late.append(question)
        return await answer(question)

    ends.issuing.answer = remembered  # type: ignore[method-assign]
    assert (await ends.ask(Holder(5), "4")).kind == "printed"
    since, asked = len(ends.record("late-answer")), len(ends.family.asked)
    late[0].ends = time.monotonic() + 1.0
    with pytest.raises(Refusal, match="no-answer-in-time"):
        await ends.issuing.ask_back(late[0], b"whatever", "family-register-certificate-request")
    await until(lambda: len(ends.record("late-answer")) == since + 1)
    assert len(ends.family.asked) == asked
