"""A notice of the city CS comes in, and is in the register: with TLS, signatures, RabbitMQ and the ledger, all of them real processes."""

from __future__ import annotations

import asyncio
import json
import uuid

import pytest

from message_formats import samples
from simulators.journal import read_entries
from simulators.world.people import Elsewhere
from tests.inbound.kit import Ends, notice, publish
from tests.support.broker import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
OTHER = samples.municipality_code(samples.OTHER_MUNICIPALITY_BASE)


@pytest.mark.flow("F1-2")
@pytest.mark.rule("R18")
@pytest.mark.invariant("I8")
async def test_a_move_in_notice_reaches_the_register_and_is_final_when_acknowledged(ends: Ends) -> None:
    delivery = str(uuid.uuid4())
    said = await ends.send(notice(serial=1), ids=(delivery,))
    assert said == {
        "status": 200,
        "fault": None,
        "signed": True,
        "results": [{"delivery": delivery, "outcome": "accepted", "code": None, "duplicate": False}],
    }, (ends.town.folder, said)
    row = await ends.until_state(delivery, "delivered")
    assert (row["system"], row["producer"], row["door"], row["party"]) == (
        "city-cs",
        "other-municipality-cs",
        "soap",
        "resident-record-system",
    )
    assert row["subject"] is not None
    assert ends.effects[-1:] == [row["id"]]
    assert ends.replies(row["id"]) == {"delivered"}
    [provided] = ends.rows("SELECT outcome, system, party FROM provision WHERE id = ?", row["id"])
    assert tuple(provided) == ("provided", "other-municipality-cs", "resident-record-system")


@pytest.mark.flow("F1-2")
@pytest.mark.rule("R17")
@pytest.mark.invariant("I2")
@pytest.mark.edge("F1-2", "duplicate-notice")
async def test_the_same_notice_again_has_the_same_receipt_and_no_second_effect(ends: Ends) -> None:
    delivery, xml = str(uuid.uuid4()), notice(serial=2)
    [first] = (await ends.send(xml, ids=(delivery,)))["results"]
    await ends.until_state(delivery, "delivered")
    [again] = (await ends.send(xml, ids=(delivery,)))["results"]
    assert again == {**first, "duplicate": True}
    [other] = (await ends.send(notice(serial=3), ids=(delivery,)))["results"]
    assert (other["outcome"], other["code"]) == ("rejected", "same-id-other-content")
    assert ends.effects.count(ends.delivery(delivery)["id"]) == 1
    assert len(ends.rows("SELECT id FROM message WHERE source_id = ?", delivery)) == 1
    [kept] = ends.rows("SELECT system, door, code, status, payload_id FROM quarantine WHERE source_id = ?", delivery)
    assert (kept["system"], kept["door"], kept["code"], kept["status"]) == ("city-cs", "soap", "same-id-other-content", "kept")
    assert kept["payload_id"] is not None


@pytest.mark.invariant("I6")
@pytest.mark.invariant("I8")
@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ("signer", "signer-unknown"),
        ("unsigned", "unsigned"),
        ("expired", "timestamp-expired"),
        ("altered", "digest-mismatch"),
        ("replay", "replayed"),
    ],
)
async def test_what_is_not_proven_to_be_the_city_cs_is_refused_and_counted(ends: Ends, wrong: str, code: str) -> None:
    delivery = str(uuid.uuid4())
    if wrong == "replay":
        assert (await ends.send(notice(serial=4), ids=(delivery,)))["results"][0]["outcome"] == "accepted"
        before = 1
    else:
        before = 0
    said = await ends.send(notice(serial=4), ids=(delivery,), wrong=wrong)
    assert (said["status"], said["fault"], said["results"], said["signed"]) == (500, code, [], True)
    assert len(ends.rows("SELECT id FROM message WHERE source_id = ?", delivery)) == before
    assert not ends.rows("SELECT id FROM quarantine WHERE source_id = ?", delivery)


@pytest.mark.invariant("I6")
async def test_what_was_signed_for_another_gateway_is_refused_and_kept(ends: Ends) -> None:
    said = await ends.send(notice(serial=5), wrong="addressee")
    assert (said["status"], said["fault"], said["results"]) == (500, "addressed-elsewhere", [])
    [kept] = ends.rows("SELECT id FROM quarantine WHERE code = 'addressed-elsewhere'")
    assert kept["id"] in {each.get("quarantine") for each in ends.record("refused")}


@pytest.mark.invariant("I7")
@pytest.mark.control("C-2-3-2")
async def test_a_type_that_may_not_come_from_this_party_is_refused_and_recorded(ends: Ends) -> None:
    """An operation that only we call; one that has no way here; a body that is not its operation's."""
    outgoing = await ends.send(notice("identity-information-update"), operation="UpdateIdentityInformation")
    assert outgoing["fault"] == "operation-not-offered"
    delivery = str(uuid.uuid4())
    xml = notice("family-register-supplement-notice")
    [result] = (await ends.send(xml, operation="SendFamilyRegisterSupplement", ids=(delivery,)))["results"]
    assert (result["outcome"], result["code"]) == ("rejected", "not-permitted")
    [record] = ends.rows("SELECT outcome, system, type FROM provision WHERE code = 'not-permitted'")
    assert tuple(record) == ("refused", "city-cs", "family-register-supplement-notice")
    assert (await ends.send(notice(serial=6), action="NotifyIndividualNumber"))["fault"] == "operation-differs"


@pytest.mark.flow("FS2-12")
@pytest.mark.control("C-2-3-2")
async def test_supplement_entries_for_the_family_register_go_to_the_register_first(ends: Ends) -> None:
    """The city CS speaks to the register only: it has them, and hands them on to the family register system as a message of its own."""
    delivery = str(uuid.uuid4())
    xml = notice("family-register-supplement-internal")
    [result] = (await ends.send(xml, operation="RelayFamilyRegisterSupplement", ids=(delivery,)))["results"]
    assert result["outcome"] == "accepted", result
    row = await ends.until_state(delivery, "delivered")
    assert (row["system"], row["producer"], row["party"]) == ("city-cs", None, "resident-record-system")
    assert row["id"] in ends.effects
    [provided] = ends.rows("SELECT outcome FROM provision WHERE id = ?", row["id"])
    assert provided["outcome"] == "provided"


@pytest.mark.invariant("I10")
async def test_one_bad_record_of_several_is_refused_alone_and_its_values_are_told_nobody(ends: Ends) -> None:
    """A check digit that is wrong is the record's fault; what the schema refuses is the call's."""
    good = notice(serial=8).split("resident_record_code>")[1].split("<")[0]
    code = good[:-1] + str((int(good[-1]) + 1) % 10)
    bad = notice(serial=8).replace(good, code)
    ids = tuple(str(uuid.uuid4()) for _ in range(3))
    said = await ends.send(notice(serial=7), bad, notice(serial=9), ids=ids)
    assert [each["outcome"] for each in said["results"]] == ["accepted", "rejected", "accepted"]
    assert said["results"][1]["code"] == "invalid-number"
    assert (await ends.send("<x/>"))["fault"] == "schema-invalid"
    assert code not in str(said)
    assert code not in str([dict(row) for row in ends.rows("SELECT * FROM audit_entry")])
    assert code not in str([dict(row) for row in ends.rows("SELECT * FROM quarantine")])


@pytest.mark.flow("F1-2")
@pytest.mark.rule("R14")
@pytest.mark.edge("F1-2", "notice-before-move-out")
@pytest.mark.control("C-1-2-1")
async def test_a_notice_before_the_move_out_is_committed_is_held_and_tried_again(ends: Ends) -> None:
    xml, delivery = notice(serial=11), str(uuid.uuid4())
    code = xml.split("resident_record_code>")[1].split("<")[0]
    ends.unknown.add(code)
    await ends.send(xml, ids=(delivery,))
    await until(lambda: ends.delivery(delivery)["spent"] >= 2)
    row = ends.delivery(delivery)
    assert (row["state"] in ("queued", "sending", "awaiting-reply"), row["id"] in ends.effects) == (True, False)
    other = str(uuid.uuid4())
    await ends.send(notice(serial=12), ids=(other,))
    await ends.until_state(other, "delivered")  # another resident waits for nobody
    assert ends.delivery(delivery)["state"] != "delivered"
    ends.unknown.clear()
    await ends.until_state(delivery, "delivered")
    assert ends.effects[-1:] == [row["id"]]
    assert ends.replies(row["id"]) == {"retry-later", "delivered"}


@pytest.mark.flow("F1-2")
async def test_of_several_notices_that_are_held_the_newest_is_taken(ends: Ends) -> None:
    """The earlier one leaves no effect, unless the register was just taking it; the newest is the last that it has."""
    xml, first, newest = notice(serial=17), str(uuid.uuid4()), str(uuid.uuid4())
    code = xml.split("resident_record_code>")[1].split("<")[0]
    ends.unknown.add(code)
    await ends.send(xml, ids=(first,))
    await until(lambda: ends.delivery(first)["spent"] >= 2)
    await until(lambda: ends.delivery(first)["state"] == "queued")
    await ends.send(xml.replace("<name>", "<name>再"), ids=(newest,))
    ends.unknown.clear()
    row = await ends.until_state(newest, "delivered")
    assert ends.effects[-1:] == [row["id"]]
    old = ends.delivery(first)
    superseded = old["state"] == "rejected" and old["replaced_by"] == row["id"]
    assert superseded is (old["id"] not in ends.effects)


@pytest.mark.flow("F1-2")
async def test_the_municipality_that_a_notice_came_from_stays_with_it(ends: Ends) -> None:
    delivery = str(uuid.uuid4())
    record = {"delivery": delivery, "xml": notice(serial=31), "municipality": "131016"}
    await ends.send(records=[record])
    row = await ends.until_state(delivery, "delivered")
    assert [found["municipality"] for found in ends.rows("SELECT municipality FROM message WHERE id = ?", row["message_id"])] == ["131016"]


@pytest.mark.flow("F1-2")
@pytest.mark.edge("F1-2", "unbound-notice")
@pytest.mark.control("C-1-2-1")
async def test_what_the_register_cannot_bind_for_good_is_put_aside_for_staff(ends: Ends) -> None:
    xml, delivery = notice(serial=13), str(uuid.uuid4())
    ends.refused.add(xml.split("resident_record_code>")[1].split("<")[0])
    await ends.send(xml, ids=(delivery,))
    await until(lambda: (found := ends.delivery(delivery)) is not None and found["held"] == "rejected")
    row = ends.delivery(delivery)
    assert (row["state"], row["reason"], row["id"] in ends.effects) == ("queued", "no-such-resident", False)


@pytest.mark.edge("FS2-12", "domicile-not-here")
async def test_a_supplement_of_a_domicile_that_is_not_here_is_returned_to_staff(ends: Ends) -> None:
    """It names no resident record code: the register knows the domicile, or it does not."""
    ends.refused.add("")
    xml, delivery = notice("family-register-supplement-internal", serial=15), str(uuid.uuid4())
    await ends.send(xml, operation="RelayFamilyRegisterSupplement", ids=(delivery,))
    await until(lambda: (found := ends.delivery(delivery)) is not None and found["held"] == "rejected")
    row = ends.delivery(delivery)
    assert (row["state"], row["id"] in ends.effects) == ("queued", False)
    ends.refused.clear()


@pytest.mark.edge("F1-4", "items-beyond-need")
async def test_certificate_data_with_an_item_beyond_its_type_are_not_taken_in(ends: Ends) -> None:
    xml, delivery = notice("move-out-certificate-data", serial=16), str(uuid.uuid4())
    more = xml.replace("</resident_record_code>", "</resident_record_code><income>0</income>", 1)
    said = await ends.send(more, operation="SendMoveOutCertificate", ids=(delivery,))
    assert (said["fault"], said["results"]) == ("schema-invalid", [])
    assert not ends.rows("SELECT id FROM message WHERE source_id = ?", delivery)


@pytest.mark.flow("F3-1")
@pytest.mark.flow("F1-11")
@pytest.mark.invariant("I5")
async def test_a_number_notice_reaches_the_register_and_stands_nowhere_in_clear(ends: Ends) -> None:
    xml, delivery = notice("individual-number-notice", serial=14), str(uuid.uuid4())
    [said] = (await ends.send(xml, operation="NotifyIndividualNumber", ids=(delivery,)))["results"]
    assert said["outcome"] == "accepted"
    row = await ends.until_state(delivery, "delivered")
    assert (row["producer"], ends.effects[-1]) == ("j-lis", row["id"])
    number = xml.split("individual_number>")[1].split("<")[0].encode()
    found = [file.name for file in ends.town.folder.rglob("*") if file.is_file() and number in file.read_bytes()]
    assert found == []


@pytest.mark.parametrize(
    ("kind", "operation", "producer", "stream"),
    [
        pytest.param("card-management-update", "UpdateCards", "card-management-system", "card", marks=pytest.mark.flow("F2-8")),
        pytest.param("resident-code-allocation", "AllocateResidentCodes", "j-lis", "resident-codes", marks=pytest.mark.flow("FX-1")),
        pytest.param(
            "core-cs-reconciliation-result", "ReportCoreReconciliation", "city-cs", "reconciliation", marks=pytest.mark.flow("FR-1")
        ),
        pytest.param(
            "move-out-certificate-data",
            "SendMoveOutCertificate",
            "other-municipality-cs",
            "move-out-certificate",
            marks=[pytest.mark.flow("F1-4"), pytest.mark.flow("F2-3")],
        ),
    ],
)
async def test_each_kind_of_message_from_the_city_cs(ends: Ends, kind: str, operation: str, producer: str, stream: str) -> None:
    delivery = str(uuid.uuid4())
    said = await ends.send(notice(kind, serial=30), operation=operation, ids=(delivery,))
    assert [each["outcome"] for each in said["results"]] == ["accepted"], said
    row = await ends.until_state(delivery, "delivered")
    [key] = ends.rows("SELECT stream FROM key_row WHERE id = ?", row["key_id"])
    assert (row["producer"] or row["system"], key["stream"], ends.effects[-1]) == (producer, stream, row["id"])


@pytest.mark.flow("FX-1")
async def test_ten_thousand_codes_in_one_message(ends: Ends) -> None:
    """The largest message that comes in: the loop of the listener must not stand still for it, so that others are served meanwhile."""
    codes = "".join(f"<resident_record_codes>{samples.resident_record_code(n)}</resident_record_codes>" for n in range(10_000))
    whole = notice("resident-code-allocation")
    start, end = whole.index("<resident_record_codes>"), whole.rindex("</resident_record_codes>") + len("</resident_record_codes>")
    large, small = str(uuid.uuid4()), str(uuid.uuid4())
    first, second = await asyncio.gather(
        ends.send(whole[:start] + codes + whole[end:], operation="AllocateResidentCodes", ids=(large,)),
        ends.send(notice(serial=31), ids=(small,)),
    )
    assert [each["outcome"] for said in (first, second) for each in said["results"]] == ["accepted", "accepted"]
    for delivery in (large, small):
        await ends.until_state(delivery, "delivered")


@pytest.mark.rule("R18")
@pytest.mark.invariant("I1")
async def test_without_a_register_nothing_lies_in_its_queue_and_nothing_is_lost(ends: Ends) -> None:
    await ends.close_register()
    # who consumes is asked once a second, so one message may still be put into the queue: this one finds out
    finds_out = str(uuid.uuid4())
    await ends.send(notice(serial=214), ids=(finds_out,))
    seen = "SELECT 1 FROM party_state WHERE party = 'resident-record-system' AND code = 'no-consumer' AND breaker != 'closed'"
    await until(lambda: bool(ends.rows(seen)))
    ids = [str(uuid.uuid4()) for _ in range(3)]
    for serial, delivery in enumerate(ids, 15):
        assert (await ends.send(notice(serial=serial), ids=(delivery,)))["results"][0]["outcome"] == "accepted"
    assert bool(ends.rows(seen)), "nobody calls what is not there"
    assert {ends.delivery(delivery)["state"] for delivery in ids} == {"queued"}
    await ends.open_register()
    await ends.until_state(finds_out, "delivered")
    for delivery in ids:
        await ends.until_state(delivery, "delivered")
    assert all(ends.effects.count(ends.delivery(delivery)["id"]) == 1 for delivery in ids)
    assert all(ends.delivery(delivery)["spent"] == 0 for delivery in ids), "a register that is away costs no message its retries"


@pytest.mark.rule("R18")
@pytest.mark.rule("R14")
async def test_an_acknowledgement_that_makes_no_sense_or_is_somebody_elses_ends_nothing(ends: Ends) -> None:
    xml, delivery = notice(serial=19), str(uuid.uuid4())
    ends.unknown.add(xml.split("resident_record_code>")[1].split("<")[0])
    await ends.send(xml, ids=(delivery,))
    await until(lambda: ends.delivery(delivery) is not None and ends.delivery(delivery)["spent"] >= 1)
    row = ends.delivery(delivery)
    inbox = ends.inbox
    assert inbox is not None
    stale = json.dumps({"delivery": row["id"], "correlation": f"{row['id']}.999", "status": "accepted"}).encode()
    mismatch = json.dumps({"delivery": str(uuid.uuid4()), "correlation": f"{row['id']}.1", "status": "accepted"}).encode()
    for body in (b"", b"[]", b'{"status": "accepted"}', mismatch, stale):
        await publish(ends.town, body)
    await until(lambda: any(each["correlation"].endswith(".999") for each in ends.record("reply-not-matched")))
    assert ends.delivery(delivery)["state"] != "delivered"
    ends.unknown.clear()
    await ends.until_state(delivery, "delivered")
    assert ends.effects.count(row["id"]) == 1


@pytest.mark.flow("F1-4")
@pytest.mark.flow("F2-3")
async def test_a_special_move_in_that_began_at_a_terminal_brings_its_data_to_the_register(ends: Ends) -> None:
    person, other = Elsewhere(3).person(OTHER, 4), {"municipality": OTHER}
    await asyncio.to_thread(ends._emit, {"do": "municipality", **other})
    said = await asyncio.to_thread(ends._emit, {"do": "terminal", "dialogue": "special-move-in", "code": person.code, **other})
    assert said == {"match": "1"}

    def came() -> list[str]:
        sent = [each for each in read_entries(ends.town.journal) if each["kind"] == "outgoing" and each.get("municipality") == OTHER]
        return [each["delivery"] for each in sent if ends.delivery(each["delivery"]) is not None]

    await until(lambda: bool(came()))
    await ends.until_state(came()[0], "delivered")
