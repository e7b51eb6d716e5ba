"""The world outside: what happens at one party is seen at another, once, and survives a restart."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from certs.authority import TestAuthority
from message_formats import samples, writing
from message_formats.identifiers import IndividualNumber, ResidentRecordCode
from simulators.world.people import Elsewhere
from tests.simulators.conftest import eventually
from tests.simulators.world_kit import OTHER, OURS, Gateway, World, running_world, settings

pytestmark = pytest.mark.thorough


@pytest.fixture
async def world(tmp_path: Path, authority: TestAuthority) -> AsyncIterator[World]:
    async with running_world(settings(tmp_path, authority), authority) as found:
        yield found


def code_of_ours(world: World, index: int) -> str:
    assert world.cs.city is not None
    return world.cs.city.resident(index).resident_record_code


# ---- numbers ---------------------------------------------------------------------------------------------------------------------------


@pytest.mark.flow("F3-1")
@pytest.mark.flow("F1-11")
async def test_a_number_is_generated_once_and_comes_back_later(world: World) -> None:
    code = samples.resident_record_code(77)
    for _ in range(2):  # another request for the same person: the same number again
        answer = await world.call(world.cs, "RequestIndividualNumber", {"items": {"resident_record_code": code}})
        assert answer.one == ("accepted", None, False)
    notices = await eventually(lambda: len(found := world.gateway.of("NotifyIndividualNumber")) == 2 and found)
    assert {each["resident_record_code"] for each in notices} == {code}
    [number] = {each["individual_number"] for each in notices}
    assert IndividualNumber.check(number or "")


@pytest.mark.invariant("I2")
async def test_a_delivery_that_is_repeated_is_taken_once(world: World) -> None:
    record = {"items": {"resident_record_code": samples.resident_record_code(78)}, "delivery": "d-78"}
    assert (await world.call(world.cs, "RequestIndividualNumber", record)).one == ("accepted", None, False)
    assert (await world.call(world.cs, "RequestIndividualNumber", record)).one == ("accepted", None, True)
    await eventually(lambda: world.gateway.of("NotifyIndividualNumber"))
    await eventually(lambda: world.cs.state()["to_send"] == 0)
    assert len(world.gateway.of("NotifyIndividualNumber")) == 1


@pytest.mark.flow("F3-2")
async def test_a_number_is_changed_by_who_knows_it(world: World) -> None:
    assert world.cs.city is not None
    resident = world.cs.city.resident(3)
    wrong = {"resident_record_code": resident.resident_record_code, "individual_number": samples.individual_number(1)}
    assert (await world.call(world.cs, "RequestIndividualNumberChange", {"items": wrong})).one == ("rejected", "number-not-current", False)
    right = {**wrong, "individual_number": resident.individual_number}
    assert (await world.call(world.cs, "RequestIndividualNumberChange", {"items": right})).one == ("accepted", None, False)
    [notice] = await eventually(lambda: world.gateway.of("NotifyIndividualNumber"))
    assert notice["individual_number"] != resident.individual_number
    assert (await world.call(world.cs, "RequestIndividualNumberChange", {"items": right})).one == ("rejected", "number-not-current", False)
    inquiry = {"request_id": "q-1", "resident_record_code": resident.resident_record_code}
    found = (await world.call(world.cs, "InquireIdentity", {"items": inquiry})).content
    assert found["identity_information[1]/individual_number"] == notice["individual_number"]


@pytest.mark.flow("F3-3")
async def test_a_changed_code_leads_to_the_same_number(world: World) -> None:
    assert world.cs.city is not None
    resident, new = world.cs.city.resident(4), world.cs.authority.pool(1)[0]
    change = {"new_resident_record_code": new, "former_resident_record_code": resident.resident_record_code}
    assert (await world.call(world.cs, "NotifyResidentCodeChange", {"items": change})).one == ("accepted", None, False)
    assert world.cs.authority.number(new) == world.cs.authority.number(resident.resident_record_code) == resident.individual_number
    other = {"new_resident_record_code": code_of_ours(world, 5), "former_resident_record_code": code_of_ours(world, 6)}
    assert (await world.call(world.cs, "NotifyResidentCodeChange", {"items": other})).one == ("rejected", "code-in-use", False)


@pytest.mark.flow("FX-1")
@pytest.mark.edge("FX-1", "twice")
async def test_codes_are_designated_that_nobody_has(world: World) -> None:
    for count in (3, 2):
        await world.cs.emit({"do": "allocate", "count": count})
    found = await eventually(lambda: len(each := world.gateway.of("AllocateResidentCodes")) == 2 and each)
    codes = [value for items in found for value in items.values() if value is not None]
    assert len(set(codes)) == 5
    assert all(ResidentRecordCode.check(code) and world.cs.authority.number(code) is None for code in codes)


@pytest.mark.flow("F6-1")
async def test_a_processing_number_counts_once(world: World) -> None:
    assert world.cs.city is not None
    number = world.cs.city.resident(7).individual_number
    pair = {"processing_number": "SAMPLENUMBER0000000001", "individual_number": number}
    assert (await world.call(world.cs, "SendCodeAcquisitionPair", {"items": pair})).one == ("accepted", None, False)
    assert (await world.call(world.cs, "SendCodeAcquisitionPair", {"items": pair})).one == ("accepted", None, False)
    assert world.cs.state()["code_pairs"] == 1
    stranger = {"processing_number": "SAMPLENUMBER0000000002", "individual_number": samples.individual_number(9_999_999)}
    assert (await world.call(world.cs, "SendCodeAcquisitionPair", {"items": stranger})).one == ("rejected", "number-unknown", False)


# ---- other municipalities --------------------------------------------------------------------------------------------------------------


@pytest.mark.flow("F1-1")
async def test_the_origin_has_the_move_in_notice(world: World) -> None:
    person = Elsewhere(5).person(OTHER, 8)
    items = {"resident_record_code": person.code, "name": person.name, "move_in_date": "20260401", "new_municipality": OURS}
    assert (await world.call(world.cs, "SendMoveInNotice", {"items": items})).one == ("rejected", "municipality-missing", False)
    assert (await world.call(world.cs, "SendMoveInNotice", {"items": items, "municipality": OURS})).one[1] == "municipality-unknown"
    assert (await world.call(world.cs, "SendMoveInNotice", {"items": items, "municipality": OTHER})).one == ("accepted", None, False)
    held = {"do": "holds", "municipality": OTHER, "code": person.code, "kind": "move_in_notices"}
    assert await world.cs.emit(held) == {"holds": True}
    assert world.cs.state()["municipalities"] == {OTHER: {"move_in_notices": 1}}


@pytest.mark.flow("F1-4")
@pytest.mark.flow("F2-3")
async def test_a_special_move_in_begins_at_a_terminal(world: World) -> None:
    person = Elsewhere(5).person(OTHER, 9)
    await world.cs.emit({"do": "municipality", "municipality": OTHER})
    said = await world.cs.emit({"do": "terminal", "dialogue": "special-move-in", "code": person.code, "municipality": OTHER})
    assert said == {"match": "1"}
    [data] = await eventually(lambda: world.gateway.of("SendMoveOutCertificate"))
    assert (data["resident_record_code"], data["name"]) == (person.code, person.name)
    assert [municipality for _, _, municipality in world.gateway.taken.values()] == [OTHER]


@pytest.mark.flow("F1-4")
async def test_a_silent_origin_takes_the_request_and_says_nothing(world: World) -> None:
    person = Elsewhere(5).person(OTHER, 10)
    await world.cs.emit({"do": "municipality", "municipality": OTHER, "silent": True})
    items = {"resident_record_code": person.code, "requesting_municipality": OURS}
    answer = await world.call(world.cs, "RequestMoveOutCertificate", {"items": items, "municipality": OTHER})
    assert answer.one == ("accepted", None, False)
    assert world.cs.state()["to_send"] == 0
    unknown = {"resident_record_code": code_of_ours(world, 1), "requesting_municipality": OURS}
    answer = await world.call(world.cs, "RequestMoveOutCertificate", {"items": unknown, "municipality": OTHER})
    assert answer.one == ("rejected", "not-available", False)


@pytest.mark.flow("F1-3")
async def test_certificate_data_wait_for_the_destination(world: World) -> None:
    data = samples.items("move-out-certificate-data", 5)
    ask = {"do": "move-out-certificate-request", "municipality": OTHER, "code": data["resident_record_code"]}
    assert await world.cs.emit(ask) == {"provided": False}
    ordinary = {**data, "further_items/special_move_out": "0"}
    assert (await world.call(world.cs, "SendMoveOutCertificate", {"items": ordinary})).one == ("rejected", "not-special", False)
    special = {**data, "further_items/special_move_out": "1"}
    assert (await world.call(world.cs, "SendMoveOutCertificate", {"items": special})).one == ("accepted", None, False)
    assert await world.cs.emit(ask) == {"provided": True}
    counts = world.cs.state()["municipalities"][OTHER]
    assert counts == {"move_out_certificates": 1, "move_out_certificates_not_available": 1}


@pytest.mark.flow("F1-8")
async def test_a_copy_is_made_where_somebody_lives(world: World) -> None:
    person = Elsewhere(5).person(OTHER, 11)
    items = {**samples.items("wide-area-certificate-request", 1), "resident_record_code": person.code, "request_id": "r-8"}
    copy = (await world.call(world.cs, "RequestWideAreaCertificate", {"items": items, "municipality": OTHER})).content
    assert (copy["request_id"], copy["resident_record_code"]) == ("r-8", person.code)
    assert copy["resident_record_copy_data/name"] == person.name
    assert copy.get("resident_record_copy_data/individual_number") is None
    stranger = {**items, "resident_record_code": code_of_ours(world, 1)}
    answer = await world.call(world.cs, "RequestWideAreaCertificate", {"items": stranger, "municipality": OTHER})
    assert (answer.status, answer.fault) == (500, "no-such-resident")


@pytest.mark.flow("FS2-12")
async def test_a_supplement_from_elsewhere_is_relayed(world: World) -> None:
    await world.cs.emit({"do": "supplement", "municipality": OTHER, "index": 12})
    [relayed] = await eventually(lambda: world.gateway.of("RelayFamilyRegisterSupplement"))
    assert relayed["supplement_entries/name"] == Elsewhere(5).person(OTHER, 12).name


# ---- identity --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.flow("F2-2")
async def test_our_own_are_confirmed_from_our_own_file_and_others_from_the_national_server(world: World) -> None:
    assert world.cs.city is not None
    ours = world.cs.city.resident(13)
    found = (
        await world.call(world.cs, "ConfirmIdentity", {"items": {"request_id": "c-1", "resident_record_code": ours.resident_record_code}})
    ).content
    assert (found["match"], found["identity_information/name"]) == ("1", ours.name)
    person = Elsewhere(5).person(OTHER, 13)
    items = {"request_id": "c-2", "resident_record_code": person.code}
    assert (await world.call(world.cs, "ConfirmIdentity", {"items": items})).content["match"] == "0"  # nobody has named that place yet
    await world.cs.emit({"do": "municipality", "municipality": OTHER})
    assert (await world.call(world.cs, "ConfirmIdentity", {"items": items})).content["match"] == "1"
    terminal = {"do": "terminal", "dialogue": "confirm", "code": person.code}
    assert await world.cs.emit(terminal) == {"match": "1"}


@pytest.mark.flow("F2-4")
@pytest.mark.control("C-2-5-7")
async def test_a_search_lists_those_who_fit_without_numbers(world: World) -> None:
    assert world.cs.city is not None
    resident = world.cs.city.resident(14)
    for party in (world.cs, world.prefecture):
        items = {"request_id": "s-1", "name": resident.name.replace("　", " "), "birth_date": resident.birth_date}
        found = (await world.call(party, "SearchIdentity", {"items": items})).content
        assert found["matches[1]/resident_record_code"] == resident.resident_record_code
        assert not any(key.endswith("individual_number") and value for key, value in found.items())
        nobody = {"request_id": "s-2", "name": resident.name, "birth_date": "19010101"}
        assert set((await world.call(party, "SearchIdentity", {"items": nobody})).content) == {"request_id"}
    wide = "<request_id>s-3</request_id><name>見本</name><sex>1</sex>"
    xml = f'<IdentitySearchRequest xmlns="urn:renkei:format:identity-search-request:1">{wide}</IdentitySearchRequest>'
    for party in (world.cs, world.prefecture):
        answer = await world.call(party, "SearchIdentity", {"xml": xml})
        assert (answer.status, answer.fault) == (500, "item-missing")


@pytest.mark.flow("F2-5")
async def test_an_inquiry_by_a_code_that_nobody_has_is_refused(world: World) -> None:
    items = {"request_id": "i-1", "resident_record_code": samples.resident_record_code(9_999_998)}
    answer = await world.call(world.cs, "InquireIdentity", {"items": items})
    assert (answer.status, answer.fault) == (500, "no-match")


@pytest.mark.flow("F2-1")
async def test_who_was_updated_is_found_as_he_is_now(world: World) -> None:
    items = samples.identity_items(31, request_control_number="UPD31", individual_number=None)
    xml = writing.write("identity-information-update", items).to_bytes().decode()
    await world.call(world.cs, "UpdateIdentityInformation", {"xml": xml})
    code = samples.resident_record_code(31)
    await world.call(world.cs, "RequestIndividualNumber", {"items": {"resident_record_code": code}})
    found = (await world.call(world.cs, "InquireIdentity", {"items": {"request_id": "i-2", "resident_record_code": code}})).content
    assert found["identity_information[1]/individual_number"] == samples.individual_number(31)
    search = {"request_id": "s-4", "name": items["name_kanji"] or "", "address": items["address"] or ""}
    matches = (await world.call(world.cs, "SearchIdentity", {"items": search})).content
    assert matches["matches[1]/resident_record_code"] == code


# ---- cards -----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.flow("F2-7")
@pytest.mark.control("C-3-5-6")
async def test_destination_information_that_was_touched_is_refused(world: World) -> None:
    xml = samples.message("destination-information", 3).to_bytes().decode()
    for party in (world.cs, world.cards):
        answer = await world.call(party, "SendDestinationInformation", {"xml": xml}, {"xml": xml, "digest": "0" * 64})
        assert [(each["outcome"], each["code"]) for each in answer.results] == [("accepted", None), ("rejected", "digest-differs")]
    assert world.cards.state()["destinations"] == 1
    assert "sealed" not in next(entry for entry in world.cs.journal.entries() if entry["kind"] == "taken")


@pytest.mark.flow("F2-7")
async def test_what_is_left_to_the_city_cs_reaches_the_other_parties(tmp_path: Path, authority: TestAuthority) -> None:
    carries = ("prefecture-server", "card-management-system")
    async with running_world(settings(tmp_path, authority, carries=carries), authority) as world:
        world.cards.faults.put(world_down())
        xml = samples.message("destination-information", 3).to_bytes().decode()
        await world.call(world.cs, "SendDestinationInformation", {"xml": xml})
        update = samples.message("identity-information-update", 32).to_bytes().decode()
        await world.call(world.cs, "UpdateIdentityInformation", {"xml": update})
        await eventually(lambda: world.prefecture.held(samples.resident_record_code(32)))
        assert world.cards.state()["destinations"] == 0
        world.cards.faults.clear()
        await eventually(lambda: world.cards.state()["destinations"] == 1)


def world_down() -> object:
    from simulators.faults import FaultSpec

    return FaultSpec(kind="down")


@pytest.mark.flow("F2-8")
async def test_a_card_has_a_life_and_the_city_hears_of_it(world: World) -> None:
    code = code_of_ours(world, 15)
    await world.cards.emit({"do": "card", "code": code, "card": "SAMPLE-CARD-1", "event": "ISSUED"})
    [heard] = await eventually(lambda: world.gateway.of("UpdateCards"))
    assert (heard["resident_record_code"], heard["card_identifier"]) == (code, "SAMPLE-CARD-1")
    base = {"resident_record_code": code, "card_identifier": "SAMPLE-CARD-1"}
    assert (await world.call(world.cards, "UpdateCards", {"items": {**base, "event": "1"}})).one[1] == "card-issued-before"
    assert (await world.call(world.cards, "UpdateCards", {"items": {**base, "event": "2"}})).one == ("accepted", None, False)
    assert (await world.call(world.cards, "UpdateCards", {"items": {**base, "event": "4"}})).one[1] == "card-abolished"
    assert (await world.call(world.cards, "RequestCardContinuation", {"items": {**base, "continuation": "1"}})).one[1] == "card-abolished"
    foreign = {"resident_record_code": code, "card_identifier": "SAMPLE-CARD-9", "continuation": "1"}
    assert (await world.call(world.cards, "RequestCardContinuation", {"items": foreign})).one == ("accepted", None, False)
    assert world.cards.state()["card_events"] == {"ABOLISHED": 1}


# ---- reconciliation --------------------------------------------------------------------------------------------------------------------


def reconciliation(world: World, index: int, run: str, **changes: str) -> dict[str, object]:
    held = dict(world.cs.identity.of(code_of_ours(world, index)) or {})
    held.pop("timestamp")
    return {"items": {"run_id": run, **held, **changes}}


@pytest.mark.flow("F2-6")
async def test_reconciliation_finds_what_was_planted_and_nothing_else(world: World) -> None:
    await world.prefecture.emit({"do": "alter", "code": code_of_ours(world, 1), "changes": {"address": "虚構県架空市別の町１丁目"}})
    await world.prefecture.emit({"do": "alter", "code": code_of_ours(world, 2), "missing": True})
    sent = [reconciliation(world, index, "run-1") for index in range(60) if index != 3]
    answer = await world.call(world.prefecture, "ReconcileIdentityInformation", *sent)
    assert {each["outcome"] for each in answer.results} == {"accepted"}
    [result] = await eventually(lambda: world.gateway.of("ReportReconciliation"))
    assert result["run_id"] == "run-1"
    found = {
        (
            result[f"differences[{place}]/resident_record_code"],
            result[f"differences[{place}]/kind"],
            result.get(f"differences[{place}]/item"),
        )
        for place in (1, 2, 3)
    }
    assert found == {(code_of_ours(world, 1), "3", "address"), (code_of_ours(world, 2), "1", None), (code_of_ours(world, 3), "2", None)}
    assert "differences[4]/kind" not in result


@pytest.mark.flow("FR-1")
async def test_the_city_cs_compares_with_the_core_up_to_the_cut_off(world: World) -> None:
    cut_off = {"cut_off": "20300101000000000"}
    sent = [reconciliation(world, index, "run-2", **cut_off) for index in range(60)]
    sent[4]["items"]["sex"] = "2" if sent[4]["items"]["sex"] == "1" else "1"  # type: ignore[index]
    await world.call(world.cs, "ReconcileWithCore", *sent)
    [result] = await eventually(lambda: world.gateway.of("ReportCoreReconciliation"))
    assert (result["differences[1]/resident_record_code"], result["differences[1]/item"]) == (code_of_ours(world, 4), "sex")
    assert "differences[2]/kind" not in result


# ---- what every party does -------------------------------------------------------------------------------------------------------------


@pytest.mark.invariant("I1")
async def test_a_restart_forgets_nothing_and_repeats_nothing(tmp_path: Path, authority: TestAuthority) -> None:
    gateway = Gateway(away=1_000_000)
    code = samples.resident_record_code(79)
    record = {"items": {"resident_record_code": code}, "delivery": "d-79"}
    async with running_world(settings(tmp_path, authority), authority, gateway) as world:
        await world.call(world.cs, "RequestIndividualNumber", record)
        await eventually(lambda: gateway.tries > 0)
    gateway.away = 0
    async with running_world(settings(tmp_path, authority), authority, gateway) as world:
        assert (await world.call(world.cs, "RequestIndividualNumber", record)).one == ("accepted", None, True)
        [notice] = await eventually(lambda: gateway.of("NotifyIndividualNumber"))
        assert notice["resident_record_code"] == code
        assert world.cs.authority.number(code) == notice["individual_number"]
        await eventually(lambda: world.cs.state()["to_send"] == 0)
    async with running_world(settings(tmp_path, authority), authority, gateway) as world:
        assert world.cs.state()["to_send"] == 0
        assert len(gateway.taken) == 1


async def test_what_the_gateway_refuses_is_not_sent_again(world: World) -> None:
    world.gateway.refuse = "policy-refused"
    await world.cs.emit({"do": "supplement", "municipality": OTHER})
    await eventually(lambda: world.cs.state()["sent_refused"] == 1)
    assert world.cs.state()["to_send"] == 0
    assert world.gateway.tries == 1


async def test_faults_meet_every_operation(world: World) -> None:
    from simulators.faults import FaultSpec

    code = code_of_ours(world, 16)
    base = {"items": {"resident_record_code": code, "card_identifier": "SAMPLE-CARD-2", "event": "1"}, "delivery": "d-2"}
    world.cards.faults.put(FaultSpec(kind="refuse", code="busy-elsewhere", times=1))
    assert (await world.call(world.cards, "UpdateCards", base)).one == ("rejected", "busy-elsewhere", False)
    world.cards.faults.put(FaultSpec(kind="soap-server", times=1, takes_effect=True))
    assert (await world.call(world.cards, "UpdateCards", base)).fault == "internal"
    assert (await world.call(world.cards, "UpdateCards", base)).one == ("accepted", None, True)
    world.cards.faults.put(FaultSpec(kind="garbage", variant="other-delivery", times=1, takes_effect=False))
    answer = await world.call(world.cards, "UpdateCards", {**base, "delivery": "d-3"})
    assert answer.results[0]["delivery"] == "not-d-3"
    assert world.cards.counters["taken"] == 1


@pytest.mark.invariant("I5")
async def test_the_journals_tell_nobody_who_it_was(world: World) -> None:
    person = Elsewhere(5).person(OTHER, 17)
    await world.cs.emit({"do": "terminal", "dialogue": "special-move-in", "code": person.code, "municipality": OTHER})
    await world.call(world.cs, "RequestIndividualNumber", {"items": {"resident_record_code": samples.resident_record_code(80)}})
    await eventually(lambda: len(world.gateway.taken) == 2)
    text = world.cs.journal.path.read_text(encoding="utf-8")
    for value in (person.code, person.name, person.number, samples.resident_record_code(80), samples.individual_number(80)):
        assert value not in text
    assert all(json.loads(line)["kind"] for line in text.splitlines())


async def test_a_reset_gives_everything_up(world: World) -> None:
    await world.cs.emit({"do": "allocate", "count": 2})
    await eventually(lambda: world.gateway.of("AllocateResidentCodes"))
    for party in (world.cs, world.prefecture, world.cards):
        party.reset()
    assert world.cs.state()["codes_allocated"] == 0
    await world.call(world.cs, "RequestIndividualNumber", {"items": {"resident_record_code": samples.resident_record_code(81)}})
    await eventually(lambda: world.gateway.of("NotifyIndividualNumber"))
