"""Edge cases of the Juki-net's flows, end to end: what is refused, what waits, what goes on beside it, and what the register is told."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import pytest

from message_formats import samples
from simulators.city import City
from simulators.harness.admin import Admin
from simulators.journal import read_entries
from tests.inbound.kit import notice
from tests.support.broker import until
from tests.world.kit import OTHER, Whole

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
CS, PREFECTURE, CARDS = "city-cs", "prefecture-server", "card-management-system"
CITY = City(3, 40)
EFFECT = ("effect", "taken")


def update(index: int, reason: str, number: int, **changes: str | None) -> Mapping[str, str | None]:
    """An update of somebody whom the city CS knows from the beginning."""
    own = {"change_reason": reason, "update_sequence_number": str(number), "request_control_number": f"E{uuid.uuid4().hex[:12]}"}
    return {**CITY.initial_record(index), **own, **changes}


MOVED_IN = {
    name: samples.identity_items(10)[name] for name in ("previous_municipality_code", "previous_address", "previous_address_gaiji_count")
}


async def fault(whole: Whole, party: str, **what: Any) -> None:
    await whole.simulated(party, "POST", "/_sim/faults", what)


async def well(whole: Whole, party: str) -> None:
    await whole.simulated(party, "DELETE", "/_sim/faults")


def delivery(whole: Whole, message_id: str, party: str) -> str:
    [row] = whole.rows(
        "SELECT d.id FROM delivery d JOIN message m ON m.id = d.message_id WHERE m.source_id = ? AND d.party = ?", message_id, party
    )
    return str(row["id"])


def noted(whole: Whole, party: str, *deliveries: str) -> list[str]:
    """Those of the deliveries that took effect at a party, in the order in which they did, by its own journal."""
    entries = read_entries(whole.town.journal_of(party))
    return [each["delivery"] for each in entries if each["kind"] in EFFECT and each.get("delivery") in deliveries]


def breaker(whole: Whole, party: str) -> str:
    rows = whole.rows("SELECT breaker FROM party_state WHERE party = ?", party)
    return rows[0]["breaker"] if rows else "closed"


@pytest.mark.parametrize(
    ("index", "items", "code"),
    [
        pytest.param(
            10, update(10, "11", 1, **MOVED_IN), "E101", marks=[pytest.mark.edge(f, "existing-resident") for f in ("F1-1", "F2-1")]
        ),
        pytest.param(
            11,
            update(11, "21", 1, name_kanji="別人　例子", name_gaiji_count="0", gaiji_flag="0", address="虚構県架空市見本町９丁目９番９号"),
            "E102",
            marks=[pytest.mark.edge(f, "more-than-address") for f in ("F1-1", "F2-1")],
        ),
    ],
)
async def test_what_the_city_cs_refuses_goes_no_further_and_the_register_is_told(
    whole: Whole, index: int, items: Mapping[str, str | None], code: str
) -> None:
    message = await whole.hand_in("identity-information-update", items)
    told = await whole.came("identity-update-result", request_control_number=str(items["request_control_number"]))
    assert (told["outcome"], told["error_code"]) == ("rejected", code)
    assert whole.ends_of(message)[CS] == ("queued", "rejected")
    assert whole.ends_of(message)[PREFECTURE][0] == "queued"
    assert noted(whole, PREFECTURE, delivery(whole, message, PREFECTURE)) == []


@pytest.mark.edge("F1-1", "city-cs-down")
@pytest.mark.invariant("I3")
@pytest.mark.control("C-1-7-11")
async def test_updates_wait_for_a_city_cs_that_is_down_are_seen_to_wait_and_arrive_in_order(whole: Whole) -> None:
    await fault(whole, CS, kind="down")
    messages = [
        await whole.hand_in("identity-information-update", update(12, "22", number, relationship=said))
        for number, said in ((1, "世帯主"), (2, "妻"), (3, "世帯主"))
    ]
    await until(lambda: breaker(whole, CS) != "closed")
    async with Admin(whole.town, "operator-a") as admin:
        [seen] = [each for each in (await admin.get("parties"))["items"] if each["party"] == CS]
    assert seen["breaker"] != "closed"
    assert {whole.ends_of(each)[CS][0] for each in messages} <= {"queued", "waiting"}
    await well(whole, CS)
    for message in messages:
        await whole.delivered(message, CS, PREFECTURE)
    expected = [delivery(whole, each, CS) for each in messages]
    assert noted(whole, CS, *expected) == expected


@pytest.mark.edge("F1-11", "no-open-request")
@pytest.mark.edge("F3-1", "binding")
@pytest.mark.control("C-1-2-1")
async def test_a_number_for_which_nobody_asked_is_bound_to_nobody_and_put_aside(whole: Whole) -> None:
    """By resident record code only: a name that fits somebody else's open request does not help."""
    asked, stranger = samples.resident_record_code(551), samples.resident_record_code(552)
    await whole.delivered(await whole.hand_in("individual-number-generation-request", {"resident_record_code": asked}), CS)
    assert (await whole.came("individual-number-notice", resident_record_code=asked))["individual_number"] == samples.individual_number(551)
    xml = notice("individual-number-notice", 552)
    assert stranger in xml
    [said] = (await whole.send(xml, operation="NotifyIndividualNumber"))["results"]
    assert (said["outcome"], said["code"]) == ("rejected", "answer-without-request")
    assert whole.rows("SELECT id FROM quarantine WHERE code = 'answer-without-request' AND status = 'kept'")
    assert all(items["resident_record_code"] != stranger for kind, items in whole.received if kind == "individual-number-notice")


@pytest.mark.edge("F1-11", "answer-twice")
async def test_a_number_that_is_notified_twice_takes_effect_once(whole: Whole) -> None:
    code = samples.resident_record_code(553)
    await whole.delivered(await whole.hand_in("individual-number-generation-request", {"resident_record_code": code}), CS)
    await whole.came("individual-number-notice", resident_record_code=code)
    xml, name = notice("individual-number-notice", 553), str(uuid.uuid4())
    first = await whole.send(xml, operation="NotifyIndividualNumber", ids=(name,))
    row = await whole.until_state(name, "delivered")
    second = await whole.send(xml, operation="NotifyIndividualNumber", ids=(name,))
    assert [each["results"][0]["outcome"] for each in (first, second)] == ["accepted", "accepted"]
    assert (whole.effects.count(row["id"]), len(whole.rows("SELECT id FROM message WHERE source_id = ?", name))) == (1, 1)


@pytest.mark.edge("F2-3", "one-of-two-fails")
async def test_origin_and_prefecture_are_told_each_for_itself_until_both_know(whole: Whole) -> None:
    person = samples.resident_record_code(720)
    moved_in = {**samples.items("move-in-notice", 720), "resident_record_code": person}
    for away, arrived in ((PREFECTURE, True), (CS, False)):
        await fault(whole, away, kind="down")
        serial = 720 if arrived else 721
        message = await whole.hand_in("identity-information-update", samples.identity_items(serial, request_control_number=f"TWO{serial}"))
        told = await whole.hand_in("move-in-notice", moved_in, OTHER)
        if arrived:
            await whole.delivered(told, CS)
            await until(lambda message=message: whole.ends_of(message)[CS][0] == "delivered")
        assert whole.ends_of(message)[PREFECTURE][0] != "delivered"
        await well(whole, away)
        await whole.delivered(message, CS, PREFECTURE)
        await whole.delivered(told, CS)


@pytest.mark.edge("F2-3", "continuation-refused")
async def test_a_move_in_stands_when_the_card_cannot_be_continued_and_operators_see_it(whole: Whole) -> None:
    code = CITY.resident(13).resident_record_code
    moved = await whole.hand_in("identity-information-update", update(13, "22", 1))
    await fault(whole, CARDS, kind="refuse", code="card-expired", times=1)
    items = {**samples.items("card-continuation-request", 13), "resident_record_code": code}
    refused = await whole.hand_in("card-continuation-request", items)
    await until(lambda: whole.ends_of(refused)[CARDS][1] == "rejected")
    await whole.delivered(moved, CS, PREFECTURE)
    async with Admin(whole.town, "operator-a") as admin:
        [seen] = [each for each in (await admin.get("held"))["items"] if each["delivery_id"] == delivery(whole, refused, CARDS)]
    assert (seen["party"], seen["hold"]) == (CARDS, "rejected")
    await well(whole, CARDS)


@pytest.mark.edge("F2-8", "peer-not-authenticated")
@pytest.mark.invariant("I6")
@pytest.mark.parametrize(
    ("party", "kind"),
    [
        pytest.param(PREFECTURE, "identity-information-update", marks=[pytest.mark.control("C-2-5-5"), pytest.mark.control("C-2-5-11")]),
        pytest.param(CARDS, "card-management-update", marks=pytest.mark.control("C-3-5-4")),
    ],
)
async def test_who_cannot_prove_to_be_the_party_gets_nothing(whole: Whole, party: str, kind: str) -> None:
    """Somebody else's certificate, of the same authority, at the party's address."""
    await fault(whole, party, kind="wrong-certificate")
    code = CITY.resident(15).resident_record_code
    items: Mapping[str, str | None] = {"resident_record_code": code, "event": "1", "card_identifier": "SAMPLE-CARD-00000015"}
    message = await whole.hand_in(kind, items if party == CARDS else update(15, "22", 1))
    await until(lambda: breaker(whole, party) != "closed")
    [state] = whole.rows("SELECT code FROM party_state WHERE party = ?", party)
    assert state["code"]
    mine = delivery(whole, message, party)
    assert not [each for each in read_entries(whole.town.journal_of(party)) if each.get("delivery") == mine]
    await well(whole, party)
    await until(lambda: whole.ends_of(message)[party][0] == "delivered", 40.0)
    assert noted(whole, party, mine) == [mine]


@pytest.mark.edge("F3-2", "in-flight")
@pytest.mark.invariant("I3")
async def test_what_is_in_flight_with_the_old_number_arrives_before_what_has_the_new_one(whole: Whole) -> None:
    resident = CITY.resident(16)
    await fault(whole, PREFECTURE, kind="down")
    old = await whole.hand_in("identity-information-update", update(16, "22", 1))
    await until(lambda: whole.ends_of(old)[CS][0] == "delivered")
    change = {"resident_record_code": resident.resident_record_code, "individual_number": resident.individual_number}
    await whole.delivered(await whole.hand_in("individual-number-change-request", change), CS)
    number = (await whole.came("individual-number-notice", resident_record_code=resident.resident_record_code))["individual_number"]
    assert number != resident.individual_number
    new = await whole.hand_in("identity-information-update", update(16, "42", 2, individual_number=number))
    await until(lambda: whole.ends_of(new)[CS][0] == "delivered")
    await well(whole, PREFECTURE)
    await whole.delivered(new, CS, PREFECTURE)
    await whole.delivered(old, CS, PREFECTURE)
    expected = [delivery(whole, each, PREFECTURE) for each in (old, new)]
    assert noted(whole, PREFECTURE, *expected) == expected


@pytest.mark.edge("F3-3", "while-open")
async def test_a_number_that_is_being_asked_for_is_made_before_the_code_changes(whole: Whole) -> None:
    """Both go to J-LIS in one stream; the notice is about the former code, by which it was asked for."""
    former, later = samples.resident_record_code(561), samples.resident_record_code(9_777_561)
    await fault(whole, CS, kind="down")
    asked = await whole.hand_in("individual-number-generation-request", {"resident_record_code": former})
    changed = await whole.hand_in("resident-code-change-notice", {"new_resident_record_code": later, "former_resident_record_code": former})
    await well(whole, CS)
    await whole.delivered(changed, CS)
    expected = [delivery(whole, each, CS) for each in (asked, changed)]
    assert noted(whole, CS, *expected) == expected
    found = await whole.came("individual-number-notice", individual_number=samples.individual_number(561))
    assert found["resident_record_code"] in (former, later)
