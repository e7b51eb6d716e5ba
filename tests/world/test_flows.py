"""Flows of the Juki-net's side from end to end: register, gateway, party, world, and back, with everything real and signed."""

from __future__ import annotations

import pytest

from message_formats import samples
from simulators.city import City
from simulators.journal import read_entries
from simulators.world.people import Elsewhere
from tests.support.broker import until
from tests.world.kit import OTHER, Whole

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
ELSEWHERE = Elsewhere(3)
CITY = City(3, 40)
CS, PREFECTURE, CARDS = "city-cs", "prefecture-server", "card-management-system"


@pytest.mark.flow("F3-1")
@pytest.mark.flow("F1-11")
@pytest.mark.edge("F3-1", "repeated")
async def test_a_number_is_asked_for_and_comes_back_to_the_register(whole: Whole) -> None:
    code = samples.resident_record_code(501)
    message = await whole.hand_in("individual-number-generation-request", {"resident_record_code": code})
    await whole.delivered(message, CS)
    notice = await whole.came("individual-number-notice", resident_record_code=code)
    assert notice["individual_number"] == samples.individual_number(501)
    again = await whole.hand_in("individual-number-generation-request", {"resident_record_code": code})
    await whole.delivered(again, CS)
    await until(
        lambda: sum(kind == "individual-number-notice" and each["resident_record_code"] == code for kind, each in whole.received) >= 2
    )
    numbers = {
        each["individual_number"]
        for kind, each in whole.received
        if kind == "individual-number-notice" and each["resident_record_code"] == code
    }
    assert numbers == {notice["individual_number"]}


@pytest.mark.flow("F3-2")
async def test_a_changed_number_comes_back_and_is_the_one_that_counts(whole: Whole) -> None:
    resident = CITY.resident(2)
    items = {"resident_record_code": resident.resident_record_code, "individual_number": resident.individual_number}
    await whole.delivered(await whole.hand_in("individual-number-change-request", items), CS)
    notice = await whole.came("individual-number-notice", resident_record_code=resident.resident_record_code)
    assert notice["individual_number"] != resident.individual_number
    assert (await whole.state(CS))["numbers_changed"] == 1


@pytest.mark.flow("F3-3")
async def test_a_changed_code_is_known_to_j_lis(whole: Whole) -> None:
    resident = CITY.resident(5)
    items = {
        "new_resident_record_code": samples.resident_record_code(9_777_777),
        "former_resident_record_code": resident.resident_record_code,
    }
    await whole.delivered(await whole.hand_in("resident-code-change-notice", items), CS)
    assert (await whole.state(CS))["codes_changed"] == 1


@pytest.mark.flow("FX-1")
async def test_designated_codes_reach_the_register(whole: Whole) -> None:
    await whole.do(CS, do="allocate", count=5)
    allocation = await whole.came("resident-code-allocation")
    assert len(set(allocation.values())) == 5
    await whole.until_state_of(CS, to_send=0, codes_allocated=5)


@pytest.mark.flow("F1-1")
@pytest.mark.flow("F2-1")
async def test_the_prefecture_is_told_what_the_city_cs_took(whole: Whole) -> None:
    items = samples.identity_items(601, request_control_number="WORLD601")
    message = await whole.hand_in("identity-information-update", items)
    await whole.delivered(message, CS, PREFECTURE)
    assert (await whole.state(PREFECTURE))["residents"] == 1
    refused = samples.identity_items(601, request_control_number="WORLD601B", update_sequence_number="1")
    second = await whole.hand_in("identity-information-update", refused)
    await until(lambda: bool(whole.ends_of(second)[CS][1]))
    assert whole.ends_of(second)[PREFECTURE][0] != "delivered"
    assert (await whole.state(PREFECTURE))["taken"] == 1


@pytest.mark.flow("F1-1")
async def test_the_origin_hears_of_a_move_in(whole: Whole) -> None:
    person = ELSEWHERE.person(OTHER, 1)
    items = {
        "resident_record_code": person.code,
        "name": person.name,
        "move_in_date": "20260401",
        "new_municipality": samples.municipality_code(),
    }
    await whole.delivered(await whole.hand_in("move-in-notice", items, OTHER), CS)
    assert (await whole.do(CS, do="holds", municipality=OTHER, code=person.code, kind="move_in_notices"))["holds"]
    supplement = samples.items("family-register-supplement-notice", 1)
    await whole.delivered(await whole.hand_in("family-register-supplement-notice", supplement, OTHER), CS)
    assert (await whole.state(CS))["municipalities"][OTHER]["supplements"] == 1


@pytest.mark.flow("F1-3")
async def test_certificate_data_of_a_special_move_out_wait_at_the_city_cs(whole: Whole) -> None:
    data = {**samples.items("move-out-certificate-data", 602), "further_items/special_move_out": "1"}
    code = data["resident_record_code"]
    assert not (await whole.do(CS, do="move-out-certificate-request", municipality=OTHER, code=code))["provided"]
    await whole.delivered(await whole.hand_in("move-out-certificate-data", data), CS)
    assert (await whole.do(CS, do="move-out-certificate-request", municipality=OTHER, code=code))["provided"]
    notice = {"do": "move-in-notice", "municipality": OTHER, "code": code, "name": data["name"], "date": "20260402"}
    await whole.do(CS, **notice)
    assert (await whole.came("move-in-notice", resident_record_code=code or ""))["new_municipality"] == OTHER


@pytest.mark.flow("F1-4")
@pytest.mark.flow("F2-3")
async def test_certificate_data_of_a_special_move_in_come_from_the_origin(whole: Whole) -> None:
    by_register, unasked = ELSEWHERE.person(OTHER, 3), ELSEWHERE.person(OTHER, 2)
    items = {"resident_record_code": by_register.code, "requesting_municipality": samples.municipality_code()}
    await whole.delivered(await whole.hand_in("move-out-certificate-request", items, OTHER), CS)
    data = await whole.came("move-out-certificate-data", resident_record_code=by_register.code)
    assert data["name"] == by_register.name
    refused = (await whole.state(CS))["sent_refused"]
    await whole.do(CS, do="move-out-certificate", municipality=OTHER, index=2)  # about somebody for whom the register asked nothing
    await whole.until_state_of(CS, sent_refused=refused + 1, to_send=0)
    assert not [each for kind, each in whole.received if each.get("resident_record_code") == unasked.code]
    card = {"resident_record_code": by_register.code, "card_identifier": "SAMPLE-CARD-00000603", "continuation": "1"}
    await whole.delivered(await whole.hand_in("card-continuation-request", card), CARDS)
    await whole.until_state_of(CARDS, continued=1)


@pytest.mark.flow("F2-7")
async def test_destination_information_reaches_both_byte_for_byte(whole: Whole) -> None:
    before = (await whole.state(CARDS))["destinations"]
    await whole.delivered(await whole.hand_in("destination-information", samples.items("destination-information", 7)), CS, CARDS)
    assert (await whole.state(CARDS))["destinations"] == before + 1


@pytest.mark.flow("F2-8")
@pytest.mark.flow("F4-1")
async def test_cards_both_ways(whole: Whole) -> None:
    code = CITY.resident(8).resident_record_code
    await whole.do(CARDS, do="card", code=code, card="SAMPLE-CARD-00000008", event="ISSUED")
    heard = await whole.came("card-management-update", resident_record_code=code)
    assert heard["card_identifier"] == "SAMPLE-CARD-00000008"
    items = {"resident_record_code": code, "event": "2", "card_identifier": "SAMPLE-CARD-00000008"}
    await whole.delivered(await whole.hand_in("card-management-update", items), CARDS)
    assert (await whole.state(CARDS))["card_events"]["ABOLISHED"] == 1


@pytest.mark.flow("F2-6")
async def test_reconciliation_with_the_prefecture_and_the_national_server(whole: Whole) -> None:
    planted = CITY.resident(20).resident_record_code
    await whole.do(PREFECTURE, do="alter", code=planted, changes={"address": "虚構県架空市別の町９丁目"})
    record = CITY.initial_record(20)
    named = {
        "name": "name_kanji",
        **{each: each for each in ("birth_date", "sex", "address", "individual_number", "change_reason", "change_date")},
    }
    items = {"run_id": "RUN-1", "resident_record_code": planted, **{name: record[item] for name, item in named.items()}}
    await whole.delivered(await whole.hand_in("reconciliation-identity-data", items), CS, PREFECTURE)
    entries = read_entries(whole.town.journal_of(PREFECTURE))
    assert [(each["difference"], each["item"]) for each in entries if each.get("run") == "RUN-1" and "difference" in each] == [
        ("3", "address")
    ]
    entries = read_entries(whole.town.journal_of(CS))
    assert not [each for each in entries if each.get("run") == "RUN-1" and "difference" in each]


@pytest.mark.flow("FR-1")
async def test_reconciliation_with_the_city_cs_comes_back(whole: Whole) -> None:
    record = CITY.initial_record(21)
    named = {
        "name": "name_kanji",
        **{each: each for each in ("birth_date", "address", "individual_number", "change_reason", "change_date")},
    }
    items = {"run_id": "RUN-2", "cut_off": "20300101000000000", **{name: record[item] for name, item in named.items()}}
    items |= {"resident_record_code": record["resident_record_code"], "sex": "1" if record["sex"] == "2" else "2"}
    await whole.delivered(await whole.hand_in("core-cs-reconciliation-data", items), CS)
    result = await whole.came("core-cs-reconciliation-result", run_id="RUN-2")
    kinds = {(result[f"differences[{place}]/kind"], result.get(f"differences[{place}]/item")) for place in range(1, 40)}
    assert kinds == {("3", "sex"), ("2", None)}  # only one of the residents was named: all others are a surplus


@pytest.mark.flow("FS2-11")
async def test_our_resident_asks_for_a_copy_elsewhere(whole: Whole) -> None:
    answers = whole.town.answers()
    answers.start()
    try:
        await until(lambda: answers.consuming)
        code = CITY.resident(22).resident_record_code
        said = await whole.do(CS, do="wide-area", municipality=OTHER, code=code)
        assert said == {"status": 200, "fault": None, "signed": True, "answered": True, "own": True}
    finally:
        await answers.stop()


@pytest.mark.invariant("I4")
@pytest.mark.flow("F2-1")
@pytest.mark.control("C-1-7-11")
async def test_a_party_that_is_away_has_everything_when_it_is_back(whole: Whole) -> None:
    await whole.simulated(PREFECTURE, "POST", "/_sim/faults", {"kind": "down"})
    before = (await whole.state(PREFECTURE))["taken"]
    messages = [
        await whole.hand_in("identity-information-update", samples.identity_items(serial, request_control_number=f"AWAY{serial}"))
        for serial in range(700, 705)
    ]
    for message in messages:
        await until(lambda message=message: whole.ends_of(message)[CS][0] == "delivered")
        assert whole.ends_of(message)[PREFECTURE][0] != "delivered"
    await whole.simulated(PREFECTURE, "DELETE", "/_sim/faults")
    for message in messages:
        await whole.delivered(message, CS, PREFECTURE)
    assert (await whole.state(PREFECTURE))["taken"] == before + 5
