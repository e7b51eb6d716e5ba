"""The Immigration Bureau's mailbox, end to end: over mutual TLS, through the ledger and RabbitMQ, to the register's queue."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import re
import signal
import time

import pytest

from tests.fetching.kit import REGISTER, Mailboxes, address_notice, card_of, status_notice
from tests.support.broker import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


async def bind(ends: Mailboxes, serial: int, name: str) -> None:
    """The register has told the Bureau of this resident: their card is known here."""
    await ends.hand_in(name, address_notice(serial))
    await until(lambda: bool(found := ends.taken(name, REGISTER)) and found[0]["state"] == "delivered")


@pytest.mark.flow("F1-6")
@pytest.mark.control("C-1-2-25")
@pytest.mark.control("C-1-2-18")
@pytest.mark.invariant("I2")
async def test_a_status_notice_comes_from_the_mailbox_to_the_register_once_a_day(ends: Mailboxes) -> None:
    await bind(ends, 1, "address-1")
    await ends.put("day-1", {"notice-1": status_notice(1)})
    run = await ends.next_run()
    assert (run["batches"], run["records"], run["missed"], run["code"]) == (1, 1, 0, None)
    await until(lambda: ends.taken("notice-1")[0]["state"] == "delivered")
    [taken] = ends.taken("notice-1")
    assert (taken["party"], taken["door"], taken["producer"]) == (REGISTER, "fetch", None)
    assert taken["subject"] == ends.taken("address-1", REGISTER)[0]["subject"]
    assert ends.effects[-1:] == [taken["id"]]
    report = ends.batch("day-1")
    assert (report["records"], report["accepted"], report["set_aside"], report["refused"]) == (1, 1, 0, 0)
    assert report["acknowledged_at"] is not None
    [told] = [each for each in ends.journal("acknowledged") if each["batch"] == "day-1"]
    assert told["results"] == [{"record": "notice-1", "outcome": "accepted", "code": None}]


@pytest.mark.flow("F1-6")
@pytest.mark.control("C-1-2-1")
@pytest.mark.invariant("I10")
@pytest.mark.edge("F1-6", "unbound-card")
async def test_a_card_that_belongs_to_nobody_known_is_set_aside_for_staff(ends: Mailboxes) -> None:
    await ends.put("day-unbound", {"notice-unbound": status_notice(501)})
    await ends.next_run()
    assert ends.records("day-unbound") == {"notice-unbound": ("set-aside", "not-bound")}
    assert ends.taken("notice-unbound") == []
    [kept] = ends.rows("SELECT code, rule, status, payload_id FROM quarantine WHERE source_id = 'notice-unbound'")
    assert (kept["code"], kept["rule"], kept["status"]) == ("not-bound", "C-1-2-1", "kept")
    assert kept["payload_id"] is not None
    # nothing remains by which a later notice would find somebody
    await ends.put("day-unbound-2", {"notice-unbound-2": status_notice(501)})
    await ends.next_run()
    assert ends.records("day-unbound-2") == {"notice-unbound-2": ("set-aside", "not-bound")}


@pytest.mark.flow("F1-6")
@pytest.mark.control("C-1-2-3")
@pytest.mark.edge("F1-6", "item-not-listed")
async def test_items_outside_the_list_are_dropped_and_counted(ends: Mailboxes) -> None:
    await bind(ends, 2, "address-2")
    strange = "<tax_class>A</tax_class><employer><name>架空商店</name></employer>"
    xml = status_notice(2).replace("</ResidenceStatusNotice>", f"{strange}</ResidenceStatusNotice>")
    await ends.put("day-items", {"notice-items": xml})
    await ends.next_run()
    assert ends.records("day-items") == {"notice-items": ("accepted", None)}
    assert ends.batch("day-items")["items_dropped"] == 2
    await until(lambda: ends.taken("notice-items")[0]["state"] == "delivered")
    assert {name.partition("/")[0] for name in ends.given[-1]} == {
        "residence_card_number",
        "status_of_residence",
        "period_of_stay",
        "other_items",
    }
    assert ends.given[-1]["residence_card_number"] == card_of(2)


@pytest.mark.flow("F1-6")
@pytest.mark.control("C-1-3-10")
@pytest.mark.parametrize(
    ("name", "spoilt"),
    [
        ("item", ("</ResidenceStatusNotice>", "<individual_number>999900000011</individual_number></ResidenceStatusNotice>")),
        ("disguised", ("永住者", "永住者 9999-0000-0011")),
        ("dropped-item", ("</ResidenceStatusNotice>", "<remark>９９９９００００００１１</remark></ResidenceStatusNotice>")),
        ("attribute", ("<period_of_stay>", '<period_of_stay note="999900000011">')),
        ("in-pieces", ("</ResidenceStatusNotice>", "<a>9999</a><b>0000</b><c>0011</c></ResidenceStatusNotice>")),
    ],
)
@pytest.mark.edge("F1-6", "individual-number")
async def test_an_individual_number_in_whatever_disguise_is_refused(ends: Mailboxes, name: str, spoilt: tuple[str, str]) -> None:
    if not ends.taken("address-3", REGISTER):
        await bind(ends, 3, "address-3")
    notice = f"notice-number-{name}"
    xml = status_notice(3).replace(*spoilt)
    assert xml != status_notice(3)
    await ends.put(f"day-number-{name}", {notice: xml, f"{notice}-good": status_notice(3)})
    await ends.next_run()
    assert ends.records(f"day-number-{name}") == {notice: ("set-aside", "number-suspected"), f"{notice}-good": ("accepted", None)}
    assert ends.taken(notice) == []


@pytest.mark.flow("FS7-2")
@pytest.mark.control("C-1-3-10")
@pytest.mark.edge("FS7-2", "individual-number")
async def test_an_individual_number_does_not_leave_for_the_immigration_bureau(ends: Mailboxes) -> None:
    before = len(ends.journal("effect"))
    xml = address_notice(4, **{"address_change/address": "虚構県架空市見本町 999900000011"})
    await ends.hand_in("address-number", xml, expected=422)
    item = address_notice(4).replace(
        b"</ResidenceAddressNotice>", b"<individual_number>999900000011</individual_number></ResidenceAddressNotice>"
    )
    await ends.hand_in("address-number-item", item, expected=422)
    assert ends.taken("address-number", REGISTER) == []
    assert len(ends.journal("effect")) == before


@pytest.mark.flow("F1-6")
@pytest.mark.control("C-1-2-25")
@pytest.mark.edge("F1-6", "no-notice-on-a-day")
async def test_a_day_without_a_notice_and_an_empty_batch_are_recorded(ends: Mailboxes) -> None:
    run = await ends.next_run()
    assert (run["batches"], run["records"], run["code"]) == (0, 0, None)
    await ends.put("day-empty", {})
    run = await ends.next_run()
    assert (run["batches"], run["records"], run["code"]) == (1, 0, None)
    assert ends.batch("day-empty")["acknowledged_at"] is not None
    assert [each["records"] for each in ends.record("fetched")][-2:] == [0, 0]


@pytest.mark.flow("F1-6")
@pytest.mark.invariant("I2")
@pytest.mark.invariant("I1")
async def test_a_batch_whose_acknowledgement_was_lost_is_shown_again_and_has_no_second_effect(ends: Mailboxes) -> None:
    await bind(ends, 5, "address-5")
    await ends.put("day-lost", {"notice-lost": status_notice(5), "notice-lost-unbound": status_notice(505)})
    fault = {"kind": "reset", "key": "acknowledge", "takes_effect": False, "times": 2}
    await asyncio.to_thread(ends.control, "POST", "/_sim/faults", fault)
    run = await ends.next_run()
    assert run["attempts"] >= 2
    assert len(ends.taken("notice-lost")) == 1
    assert len(ends.rows("SELECT id FROM quarantine WHERE source_id = 'notice-lost-unbound'")) == 1
    assert ends.batch("day-lost")["acknowledged_at"] is not None
    assert len([each for each in ends.journal("acknowledged") if each["batch"] == "day-lost"]) == 1


@pytest.mark.flow("F1-6")
@pytest.mark.invariant("I2")
async def test_a_gateway_that_dies_between_commit_and_acknowledgement_takes_nothing_twice(ends: Mailboxes) -> None:
    await bind(ends, 6, "address-6")
    await ends.put("day-killed", {f"notice-killed-{number}": status_notice(6) for number in range(3)})
    hold = {"kind": "time-out", "key": "acknowledge", "takes_effect": False, "times": 1, "hold_s": 30}
    await asyncio.to_thread(ends.control, "POST", "/_sim/faults", hold)
    ends.shift(86_400.0)
    await until(lambda: ends.batch("day-killed") is not None, 40)
    killed = ends.town.supervised()["gateway"]
    os.kill(killed, signal.SIGKILL)
    await until(lambda: ends.batch("day-killed")["acknowledged_at"] is not None, 60)
    await until(lambda: ends.runs()[-1]["ended_at"] is not None)
    assert ends.town.supervised()["gateway"] != killed
    for number in range(3):
        [taken] = ends.taken(f"notice-killed-{number}")
        await until(lambda number=number: ends.taken(f"notice-killed-{number}")[0]["state"] == "delivered")
        assert ends.effects.count(taken["id"]) == 1


@pytest.mark.control("C-1-2-25")
@pytest.mark.control("C-1-7-8")
async def test_days_that_were_missed_are_counted_and_made_up_for(ends: Mailboxes) -> None:
    await ends.put("day-missed", {"notice-missed": status_notice(507)})
    await asyncio.to_thread(ends.control, "POST", "/_sim/faults", {"kind": "http-500", "key": "list", "takes_effect": False})
    before = len(ends.runs())
    ends.shift(86_400.0)
    await until(lambda: len(ends.runs()) > before and ends.runs()[-1]["code"] == "http-500", 40)
    ends.shift(2 * 86_400.0)
    await until(lambda: len(ends.runs()) > before + 1, 40)
    await asyncio.to_thread(ends.control, "DELETE", "/_sim/faults")
    await until(lambda: ends.runs()[-1]["ended_at"] is not None, 40)
    assert ends.runs()[-1]["missed"] == 2
    assert ends.runs()[-1]["records"] == 1
    assert [each["count"] for each in ends.record("fetch-missed")][-1:] == [2]


@pytest.mark.flow("FS7-2")
@pytest.mark.rule("R1")
@pytest.mark.invariant("I3")
async def test_address_notices_arrive_in_order_for_each_resident_in_the_bureau_s_codes(ends: Mailboxes) -> None:
    days = [f"202604{day:02}" for day in range(1, 7)]
    await asyncio.to_thread(ends.control, "POST", "/_sim/faults", {"kind": "http-503", "key": "deliver", "times": 2})
    for day in days:
        await ends.hand_in(f"order-{day}", address_notice(8, **{"address_change/changed_on": day}))
    await until(lambda: ends.taken(f"order-{days[-1]}", REGISTER)[0]["state"] == "delivered", 40)
    ids = {ends.taken(f"order-{day}", REGISTER)[0]["id"]: day for day in days}
    arrived = [(ids[each["delivery"]], each["reason"]) for each in ends.journal("effect") if each["delivery"] in ids]
    assert [day for day, _ in arrived] == days
    assert {reason for _, reason in arrived} == {"A1"}


@pytest.mark.flow("FS7-2")
async def test_what_the_bureau_refuses_is_held_with_its_code_and_can_be_sent_again(ends: Mailboxes) -> None:
    await ends.hand_in("address-future", address_notice(9, **{"address_change/changed_on": "29991231"}))
    query = "SELECT k.held FROM key_row k JOIN delivery d ON d.key_id = k.id WHERE d.id = ?"
    [row] = ends.taken("address-future", REGISTER)
    await until(lambda: ends.rows(query, row["id"])[0]["held"] == "rejected")
    assert "N103" in (ends.taken("address-future", REGISTER)[0]["outcome_code"], ends.taken("address-future", REGISTER)[0]["reason"])


@pytest.mark.flow("FS7-2")
@pytest.mark.edge("FS7-2", "japanese-national")
async def test_a_japanese_national_has_no_card_and_no_notice(ends: Mailboxes) -> None:
    before = len(ends.journal("effect"))
    xml = address_notice(1).replace(card_of(1).encode(), b"")
    await ends.hand_in("address-national", xml, expected=422)
    await ends.hand_in(
        "address-nobody", re.sub(rb"<residence_card_number>.*?</residence_card_number>", b"", address_notice(1)), expected=422
    )
    assert len(ends.journal("effect")) == before


@pytest.mark.flow("FS7-2")
async def test_a_move_out_to_come_is_notified_on_its_day(ends: Mailboxes) -> None:
    [offset] = ends.rows("SELECT value FROM meta WHERE name = 'business_offset_s'")
    today = dt.datetime.fromtimestamp(time.time() + float(offset["value"]), dt.timezone(dt.timedelta(hours=9))).date()
    day = (today + dt.timedelta(days=2)).isoformat()
    await ends.hand_in("address-to-come", address_notice(70), effectiveon=day)
    await ends.hand_in("address-now", address_notice(71))
    await until(lambda: ends.taken("address-now", REGISTER)[0]["state"] == "delivered", 40)
    assert ends.taken("address-to-come", REGISTER)[0]["state"] == "queued"
    ends.shift(2 * 86_400.0)
    await until(lambda: ends.taken("address-to-come", REGISTER)[0]["state"] == "delivered", 60)
