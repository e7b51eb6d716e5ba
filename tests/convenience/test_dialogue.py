"""F5-1 end to end: kiosk, centre, gateway in the place of the convenience server, issuing system, and back; and what is not released."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest

from message_formats import samples
from simulators.convenience.world import Holder
from tests.convenience.kit import ANSWER_S, Ends
from tests.support.broker import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240), pytest.mark.flow("F5-1")]


def facts(body: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(body)
    return found


@pytest.mark.control("C-1-2-20")
@pytest.mark.parametrize("number", [1, 10])  # a card of each kind
async def test_a_certificate_of_each_kind_comes_at_once(ends: Ends, number: int) -> None:
    holder = Holder(number)
    for kind in ("1", "2", "3", "4"):
        since = len(ends.record("dialogue"))
        end = await ends.ask(holder, kind)
        assert (end.kind, end.code) == ("printed", None), end
        assert end.items is not None
        assert (end.items["certificate_type"], facts(end.body)["name"]) == (kind, holder.name)
        assert "atena_number" not in end.items  # by the item filter of the last way: it stays in the city
        record = ends.record("dialogue")[since:][-1]
        assert (record["actor"], record["outcome"], record["type"], record["to"]) == (
            "certificate-centre",
            "answered",
            "certificate-data",
            "certificate-centre",
        )
        [provision] = ends.rows("SELECT * FROM provision WHERE id = ?", record["dialogue"])
        assert (provision["system"], provision["party"], provision["outcome"]) == (
            "certificate-issuance-system",
            "certificate-centre",
            "provided",
        )
        assert provision["subject"] is not None
    # nothing of it is kept at the gateway: neither message nor body
    assert ends.rows("SELECT id FROM message WHERE type IN ('certificate-request', 'certificate-data')") == []


@pytest.mark.parametrize("card", [samples.certificate_serial(4_000_001), "SAMPLE-CARD-99999999"])
@pytest.mark.edge("F5-1", "unknown-card")
async def test_a_card_that_nobody_has_is_refused(ends: Ends, card: str) -> None:
    """Serial number or identification number unknown."""
    since, asked = len(ends.record("dialogue")), sum(ends.issuing.counts.values())
    end = await ends.ask(Holder(2), card=card)
    assert (end.kind, end.code) == ("refused", "person-unknown")
    assert [(each["outcome"], each["code"]) for each in ends.record("dialogue")[since:]] == [("refused", "person-unknown")]
    assert sum(ends.issuing.counts.values()) == asked  # the issuing system was not even asked


@pytest.mark.edge("F5-1", "stopped-or-protected")
async def test_a_certificate_stop_is_refused(ends: Ends) -> None:
    assert await ends.hand_in("certificate-data-change", Holder(3).data_change(stop=True)) == 202
    await ends.until_delivered()
    end = await ends.ask(Holder(3))
    assert (end.kind, end.code, end.body) == ("refused", "certificate-stopped", b"")


@pytest.mark.invariant("I7")
@pytest.mark.edge("F5-1", "stopped-or-protected")
async def test_the_certificate_of_a_protected_resident_does_not_leave(ends: Ends) -> None:
    """支援措置, whatever the issuing system says: also when the mark came a moment before the answer."""
    holder = Holder(4)
    ends.issuing.hold = asyncio.Event()
    waiting = asyncio.create_task(ends.ask(holder))
    await until(lambda: len(ends.issuing._tasks) == 1)
    code = samples.items("certificate-data-change", 4)["resident_record_copy_data/resident_record_code"]
    changes = {"resident_record_code": code, "atena_number": holder.atena, "starts_on": "20200101", "ends_on": None, "state": "2"}
    mark = {**samples.items("resident-protection-mark", 4), **changes}
    mark = {name: value for name, value in mark.items() if name in samples.items("resident-protection-mark", 4)}
    assert await ends.hand_in("resident-protection-mark", mark) == 202
    ends.issuing.hold.set()
    end = await waiting
    assert (end.kind, end.code, end.body) == ("refused", "protected", b"")
    assert (await ends.ask(Holder(5))).kind == "printed"


@pytest.mark.invariant("I7")
@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ("other-person", "answer-for-another-person"),
        ("no-person", "answer-for-another-person"),
        ("other-card", "answer-for-another-card"),
        ("other-request", "answer-for-another-request"),
        ("other-kind", "answer-of-another-kind"),
    ],
)
async def test_an_answer_is_released_to_its_own_request_card_kind_and_person_only(ends: Ends, wrong: Any, code: str) -> None:
    since = len(ends.record("dialogue"))
    ends.issuing.wrong = wrong
    end = await ends.ask(Holder(6))
    assert (end.kind, end.code, end.body) == ("refused", code, b"")
    [record] = ends.record("dialogue")[since:]
    assert (record["outcome"], record["code"]) == ("answer-refused", code)
    [provision] = ends.rows("SELECT outcome, code, terms FROM provision WHERE id = ?", record["dialogue"])
    assert tuple(provision) == ("refused", code, None)


@pytest.mark.invariant("I7")
async def test_two_certificates_that_are_exchanged_reach_nobody(ends: Ends) -> None:
    """What happened in 2023: two questions in one second, of people with one name and birth date, and each had the other's answer."""
    one, other = Holder(7), Holder(22)
    assert (one.name, one.birth) == (other.name, other.birth)
    ends.issuing.wrong = "exchanged"
    found = await asyncio.gather(ends.ask(one), ends.ask(other))
    assert [(end.kind, end.code, end.body) for end in found] == [("refused", "answer-for-another-request", b"")] * 2


@pytest.mark.edge("F5-1", "late-answer")
async def test_a_late_answer_is_discarded_and_recorded_and_not_for_the_next_citizen(ends: Ends) -> None:
    since = len(ends.record("late-answer"))
    ends.issuing.wrong = "late"
    began = time.monotonic()
    end = await ends.ask(Holder(8))
    assert (end.kind, end.code) == ("refused", "no-answer-in-time")
    assert ANSWER_S <= time.monotonic() - began < ANSWER_S + 2
    ends.issuing.wrong = None
    following = await ends.centre.ask(ends.kiosk, Holder(23), "1")  # at the same kiosk, a namesake
    assert facts(following.body)["request"] == following.request
    await until(lambda: len(ends.record("late-answer")) == since + 1)
    assert ends.town.pairing().ok, ends.town.pairing().shown()


async def test_a_second_answer_is_recorded_and_goes_nowhere(ends: Ends) -> None:
    since = len(ends.record("late-answer"))
    ends.issuing.wrong = "twice"
    assert (await ends.ask(Holder(9))).kind == "printed"
    await until(lambda: len(ends.record("late-answer")) == since + 1)


async def test_nobody_there_is_said_at_once(ends: Ends) -> None:
    await ends.issuing.stop()
    began = time.monotonic()
    end = await ends.ask(Holder(9))
    assert (end.kind, end.code) == ("refused", "no-responder")
    assert time.monotonic() - began < 1.0
    await ends.open_issuing()
    assert (await ends.ask(Holder(9))).kind == "printed"


async def test_request_ids_must_be_unguessable_and_one_is_open_once(ends: Ends) -> None:
    assert (await ends.ask(Holder(11), request_id="20261123-0001")).code == "request-id-guessable"
    ends.issuing.hold = asyncio.Event()
    request_id = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    first = asyncio.create_task(ends.ask(Holder(11), request_id=request_id))
    await until(lambda: len(ends.issuing._tasks) == 1)
    said = await ends.caller.request(
        {"request_id": request_id, **Holder(12).key(), "certificate_type": "1"}, deadline_s=5, timeout_s=5
    )  # beside the journal: two kiosks do not share an id
    assert (said.fault, said.certificate) == ("request-id-in-use", None)
    ends.issuing.hold.set()
    assert (await first).kind == "printed"


@pytest.mark.control("C-1-3-9")
@pytest.mark.edge("F5-1", "edited")
async def test_certificate_data_come_from_their_source_systems_only(ends: Ends) -> None:
    """Nothing but the register may change what a copy of the resident record is made of, and nothing but the tax system the taxes."""
    data, tax = Holder(13).data_change(address="虚構県架空市偽物町９番"), Holder(13).tax_change()
    assert await ends.hand_in("certificate-data-change", data, "tax-system") == 403
    assert await ends.hand_in("certificate-data-change", data, "certificate-issuance-system") == 403
    assert await ends.hand_in("certificate-data-change", data, "family-register-system") == 403
    assert await ends.hand_in("tax-certificate-change", tax, "resident-record-system") == 403
    assert ends.rows("SELECT 1 FROM delivery WHERE final_at IS NULL") == []
