"""Messages among the systems of the city by queue: with TLS, RabbitMQ and the ledger, all of them real processes."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pika
import pytest
from pika.exceptions import AMQPError, ChannelClosedByBroker

from adapters.in_house.systems import systems as table
from gateway.policy.routes import tables
from message_formats import samples
from simulators.harness.town import REGISTER
from simulators.in_house.systems import Atena, FamilyRegister, InternalLink
from tests.in_house.kit import QUEUES, InHouse, message
from tests.support.broker import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
LINK, CERTIFICATES, ATENA, FAMILY, SOURCES = (
    "internal-link-system", "certificate-issuance-system", "atena-system", "family-register-system", "administrative-column-sources",
)  # fmt: skip
WAYS = [
    pytest.param(REGISTER, "resident-change-notification", LINK, id="change-to-internal-link",
                 marks=[pytest.mark.flow(each) for each in ("F1-1", "F1-2", "F1-3", "F1-5", "F1-6", "F1-10", "FS1-8a")]),
    pytest.param(REGISTER, "certificate-data-change", CERTIFICATES, id="change-to-certificates",
                 marks=[pytest.mark.flow(each) for each in ("F1-1", "F1-2", "F1-3", "F1-5", "F1-6", "F1-10", "FS3-2")]),
    pytest.param(REGISTER, "card-identifier-change", CERTIFICATES, id="card", marks=pytest.mark.flow("FS1-7")),
    pytest.param(REGISTER, "family-register-supplement-internal", FAMILY, id="supplement",
                 marks=[pytest.mark.flow("F1-1"), pytest.mark.flow("FS1-11")]),
    pytest.param("tax-system", "tax-certificate-change", CERTIFICATES, id="tax", marks=pytest.mark.flow("FS3-3")),
    pytest.param(SOURCES, "administrative-column-update", LINK, id="columns-in", marks=pytest.mark.flow("FS1-8b")),
    pytest.param(LINK, "administrative-column-update", REGISTER, id="columns-on", marks=pytest.mark.flow("FS1-8b")),
    pytest.param(LINK, "atena-linkage-update", ATENA, id="linkage", marks=pytest.mark.flow("FS5-4")),
    pytest.param(REGISTER, "master-copy-reconciliation-data", LINK, id="master", marks=pytest.mark.flow("FR-2")),
    pytest.param(LINK, "copy-reconciliation-result", REGISTER, id="copies", marks=pytest.mark.flow("FR-2")),
]  # fmt: skip


@pytest.fixture
async def systems(house: InHouse) -> AsyncIterator[InHouse]:
    """Every system at its queue."""
    await house.open(*QUEUES)
    yield house
    await house.close()


def test_the_table_of_adapters_and_the_routes_say_the_same() -> None:
    routed: dict[str, set[str]] = {}
    for kind, routes in tables().routes.items():
        for route in routes:
            routed.setdefault(route.party, set()).add(kind)
    for kind, arrivals in tables().inbound.items():
        for arrival in arrivals:
            routed.setdefault(arrival.route.party, set()).add(kind)
    for name, row in table().items():
        assert set(row["types"]) >= routed[row["party"]] - {kind for kind in routed[row["party"]] if kind.endswith("-request")}, name
        assert set(row["types"]) <= routed[row["party"]], name


@pytest.mark.rule("R18")
@pytest.mark.invariant("I8")
@pytest.mark.parametrize(("sender", "kind", "party"), WAYS)
async def test_a_message_reaches_its_system_and_is_final_when_acknowledged(systems: InHouse, sender: str, kind: str, party: str) -> None:
    receipt = await systems.send(sender, kind, message(kind, 1))
    assert receipt["status"] == "accepted", receipt
    row = await systems.until_state(receipt["id"], party, "delivered")
    assert set(systems.deliveries(receipt["id"])) == {party}
    [effect] = [each for each in systems.effects(party) if each["delivery"] == row["id"]]
    assert effect["type"] == kind
    assert systems.provision(receipt["id"])["outcome"] == "provided"


@pytest.mark.rule("R17")
@pytest.mark.rule("R18")
@pytest.mark.invariant("I2")
@pytest.mark.parametrize("party", [LINK, CERTIFICATES, FAMILY, ATENA, REGISTER])
async def test_a_system_that_was_away_has_everything_once_and_in_order(systems: InHouse, party: str) -> None:
    """The guarantees of the queue channel, for each system: it goes in the middle, nothing is put into a queue that nobody consumes,
    it comes back, and has each message once, those of one resident in their order."""
    sender, kind = {
        LINK: (REGISTER, "resident-change-notification"), CERTIFICATES: (REGISTER, "certificate-data-change"),
        FAMILY: (REGISTER, "family-register-supplement-internal"), ATENA: (LINK, "atena-linkage-update"),
        REGISTER: (LINK, "administrative-column-update"),
    }[party]  # fmt: skip
    serial = 700
    before = len(systems.effects(party))
    await systems.close(party)
    ids = [str(uuid.uuid4()) for _ in range(4)]
    for name in ids:
        receipt = await systems.send(sender, kind, message(kind, serial), id=name)
        assert receipt["status"] == "accepted", receipt
        assert await systems.send(sender, kind, message(kind, serial), id=name) == {**receipt, "http": 202}  # once more
    await systems.open(party)
    for name in ids:
        await systems.until_state(name, party, "delivered")
    expected = [systems.deliveries(name)[party]["id"] for name in ids]
    assert [each["delivery"] for each in systems.effects(party)][before:] == expected
    assert len(set(expected)) == len(ids)
    last = await systems.send(sender, kind, message(kind, serial))
    await systems.until_state(last["id"], party, "delivered")


@pytest.mark.flow("F1-1")
@pytest.mark.invariant("I4")
@pytest.mark.invariant("I3")
async def test_a_dead_certificate_system_holds_back_nobody_else(systems: InHouse) -> None:
    await systems.close(CERTIFICATES)
    waiting = await systems.send(REGISTER, "certificate-data-change", message("certificate-data-change", 8))
    going = await systems.send(REGISTER, "resident-change-notification", message("resident-change-notification", 8))
    await systems.until_state(going["id"], LINK, "delivered")
    assert systems.deliveries(waiting["id"])[CERTIFICATES]["state"] != "delivered"
    await systems.open(CERTIFICATES)
    await systems.until_state(waiting["id"], CERTIFICATES, "delivered")


@pytest.mark.flow("FS1-7")
@pytest.mark.invariant("I5")
@pytest.mark.edge("FS1-7", "pin-in-clear")
async def test_a_pin_is_in_clear_in_no_queue_log_or_table(systems: InHouse) -> None:
    """While it waits (the system is away) and after: neither broker, ledger nor logs hold the card's number, which comes with the PIN."""
    card = "SAMPLE-CARD-77777777"
    changes: dict[str, Any] = {"identification_number": card, "certificate_serial_number": None, "pin": "7707"}
    content = message("card-identifier-change", 77, **changes)
    assert card.encode() in content
    await systems.close(CERTIFICATES)
    receipt = await systems.send(REGISTER, "card-identifier-change", content)
    assert receipt["status"] == "accepted", receipt

    def clear() -> list[str]:
        var = systems.town.var
        return [str(file) for file in var.rglob("*") if file.is_file() and card.encode() in file.read_bytes()]

    assert clear() == []
    await systems.open(CERTIFICATES)
    await systems.until_state(receipt["id"], CERTIFICATES, "delivered")
    assert clear() == []


@pytest.mark.flow("FS3-3")
@pytest.mark.flow("FS1-8b")
@pytest.mark.edge("FS3-3", "unknown-number")
@pytest.mark.edge("FS1-8b", "unknown-number")
@pytest.mark.parametrize(
    ("sender", "kind", "party"),
    [("tax-system", "tax-certificate-change", CERTIFICATES), (LINK, "administrative-column-update", REGISTER)],
)
async def test_an_atena_number_that_is_not_known_is_put_aside_and_nobody_else_waits(
    systems: InHouse, sender: str, kind: str, party: str
) -> None:
    system = systems.book(party).system
    system.people = {samples.atena_number(serial) for serial in range(40, 50)}
    try:
        unknown = await systems.send(sender, kind, message(kind, 51))
        row = await systems.until_held(unknown["id"], party)
        assert (row["held"], row["outcome_code"]) == ("rejected", "atena-unknown")
        known = await systems.send(sender, kind, message(kind, 41))
        await systems.until_state(known["id"], party, "delivered")
        held = await systems.renkei("held", "--json")
        assert row["id"] in {each["delivery_id"] for each in held["items"]}
        assert system.report[f"{kind}: atena-unknown"] == 1
    finally:
        system.people = set()


@pytest.mark.flow("FS1-8b")
@pytest.mark.control("C-1-2-2")
@pytest.mark.invariant("I6")
@pytest.mark.edge("FS1-8b", "item-not-permitted")
async def test_a_department_is_known_by_its_certificate_and_links_what_it_permits_only(systems: InHouse) -> None:
    kind = "administrative-column-update"
    items = samples.message(kind, 43).items
    own = {name: value if name.startswith(("atena", "elect")) else None for name, value in items.items()}
    more = {name: value if name.startswith(("atena", "elect", "national_health")) else None for name, value in items.items()}
    sender = systems.sender(SOURCES, certificate="elections-section")
    accepted = await sender.send(kind, message(kind, 43, **own))
    await systems.until_state(accepted["id"], LINK, "delivered")
    refused = await sender.send(kind, message(kind, 43, **more))
    assert (refused["http"], refused["code"]) == (403, "item-not-permitted"), refused
    assert "national_health_insurance" in str(refused)
    assert systems.deliveries(refused["id"]) == {}
    [row] = systems.rows("SELECT system, supplier FROM message WHERE source_id = ?", accepted["id"])
    assert tuple(row) == (SOURCES, "elections-section")
    [kept] = systems.rows("SELECT code, place, attributes FROM quarantine WHERE source_id = ?", refused["id"])
    assert (kept["code"], json.loads(kept["attributes"])["supplier"]) == ("item-not-permitted", "elections-section")


@pytest.mark.flow("FS1-8b")
async def test_one_department_that_is_missing_does_not_hold_the_others(systems: InHouse) -> None:
    """What comes of national health insurance alone is taken; items of other departments are not invented."""
    only = {name: value if name.startswith(("atena", "national_health")) else None
            for name, value in samples.message("administrative-column-update", 42).items.items()}  # fmt: skip
    receipt = await systems.send(SOURCES, "administrative-column-update", message("administrative-column-update", 42, **only))
    row = await systems.until_state(receipt["id"], LINK, "delivered")
    [effect] = [each for each in systems.effects(LINK) if each["delivery"] == row["id"]]
    assert {each.partition("/")[0] for each in effect["items"]} == {"atena_number", "national_health_insurance"}


@pytest.mark.flow("FS1-8b")
@pytest.mark.control("C-1-2-6")
@pytest.mark.control("C-1-2-18")
@pytest.mark.control("C-1-2-11")
@pytest.mark.edge("FS1-8b", "recorded")
@pytest.mark.edge("FS1-8b", "one-missing")
async def test_the_import_report_of_a_day_names_each_record_with_what_became_of_it_and_the_missing_department(systems: InHouse) -> None:
    """For several persons to check: what was accepted, set aside and refused; of whom nothing came, while others were processed."""
    kind = "administrative-column-update"
    items = samples.message(kind, 44).items
    own = {name: value if name.startswith(("atena", "elect")) else None for name, value in items.items()}
    sender = systems.sender(SOURCES, certificate="elections-section")
    taken = await sender.send(kind, message(kind, 44, **own))
    await systems.until_state(taken["id"], LINK, "delivered")
    refused = await sender.send(kind, message(kind, 44))
    assert refused["code"] == "item-not-permitted"
    system = systems.book(LINK).system
    system.people = {samples.atena_number(44)}
    try:
        unknown = await sender.send(kind, message(kind, 45, **{**own, "atena_number": samples.atena_number(45)}))
        row = await systems.until_held(unknown["id"], LINK)
        assert row["outcome_code"] == "atena-unknown"
    finally:
        system.people = set()
    day = datetime.now(ZoneInfo("Asia/Tokyo")).date().isoformat()
    report = await systems.renkei("reports", "import", SOURCES, day, "--json")
    lines = {each["record"]: each for each in report["records"]}
    common = {"message_type": kind, "supplier": "elections-section"}
    expected = {
        taken["id"]: {"party": LINK, "outcome": "accepted", "code": None, "place": None},
        unknown["id"]: {"party": LINK, "outcome": "set-aside", "code": "atena-unknown", "place": None},
        refused["id"]: {"party": None, "outcome": "refused", "code": "item-not-permitted"},
    }
    for record, said in expected.items():
        assert lines[record].items() >= {**common, **said}.items(), lines[record]
    assert lines[refused["id"]]["place"] in {each for each in items if not each.startswith(("atena", "elect"))}
    [count] = [each for each in report["counts"] if each["supplier"] == "elections-section"]
    assert all(count[name] >= 1 for name in ("accepted", "set_aside", "refused"))
    assert "other-sections" in report["missing"]
    assert "elections-section" not in report["missing"]
    # several persons check it; both are on record, and what comes later must be checked anew (C-1-2-6)
    options = ("--result", "compared with the lists on paper", "--seen", report["digest"], "--json")
    once = await systems.renkei("reports", "check-import", SOURCES, day, *options)
    assert (once["checked"], [each["checked_by"] for each in once["checks"]]) == (False, ["operator-a"])
    twice = await systems.renkei("reports", "check-import", SOURCES, day, *options, who="operator-b")
    assert (twice["checked"], [each["checked_by"] for each in twice["checks"]]) == (True, ["operator-a", "operator-b"])
    rows = systems.rows("SELECT actor FROM audit_entry WHERE kind = 'import-checked' ORDER BY at, id")
    assert [row["actor"] for row in rows] == ["operator-a", "operator-b"]
    later = await sender.send(kind, message(kind, 46))
    assert later["code"] == "item-not-permitted"
    changed = await systems.renkei("reports", "import", SOURCES, day, "--json")
    assert (changed["checked"], [each["same"] for each in changed["checks"]]) == (False, [False, False])
    shown = str(await systems.renkei("reports", "import", SOURCES, day))
    assert all(word in shown for word in (taken["id"], unknown["id"], refused["id"], "other-sections"))
    numbers = {samples.atena_number(44), samples.atena_number(45)}
    assert not any(number in shown + json.dumps(report) for number in numbers), "the sender's ids, no resident's"


@pytest.mark.flow("FS5-4")
@pytest.mark.edge("FS5-4", "two-numbers")
async def test_two_atena_numbers_for_one_individual_number_are_a_conflict_that_stops_and_is_reported(systems: InHouse) -> None:
    kind, number = "atena-linkage-update", samples.individual_number(61)
    first = await systems.send(LINK, kind, message(kind, 61))
    await systems.until_state(first["id"], ATENA, "delivered")
    second = await systems.send(LINK, kind, message(kind, 62, individual_number=number))
    if second["status"] == "refused":  # the gateway knows both residents
        assert second["code"] == "identifiers-of-two-residents"
    else:
        row = await systems.until_held(second["id"], ATENA)
        assert (row["held"], row["outcome_code"]) == ("rejected", "atena-conflict")
    system = systems.book(ATENA).system
    assert isinstance(system, Atena)
    assert system.number_of(samples.atena_number(61)) == number
    assert system.number_of(samples.atena_number(62)) is None


@pytest.mark.flow("FR-2")
@pytest.mark.edge("FR-2", "mismatch")
async def test_master_and_copies_are_compared_and_the_result_comes_back(systems: InHouse) -> None:
    run = "RUN-FR2-1"
    for serial in (71, 72):
        change = await systems.send(REGISTER, "resident-change-notification", message("resident-change-notification", serial))
        await systems.until_state(change["id"], LINK, "delivered")
    for serial in (71, 73):  # 72 is not sent, 73 is not there as a copy
        master = await systems.send(
            REGISTER, "master-copy-reconciliation-data", message("master-copy-reconciliation-data", serial, run_id=run)
        )
        await systems.until_state(master["id"], LINK, "delivered")
    link = systems.book(LINK).system
    assert isinstance(link, InternalLink)
    found = link.differences(run)
    assert [each["atena_number"] for each in found] == [samples.atena_number(73)]
    template = samples.message("copy-reconciliation-result", 1).items
    items: dict[str, str | None] = {name: None for name in template if name.startswith("differences")}
    items |= {"differences[1]/atena_number": found[0]["atena_number"], "differences[1]/kind": "1", "run_id": run}
    result = await systems.send(LINK, "copy-reconciliation-result", message("copy-reconciliation-result", 1, **items))
    row = await systems.until_state(result["id"], REGISTER, "delivered")
    [effect] = [each for each in systems.effects(REGISTER) if each["delivery"] == row["id"]]
    assert "differences/atena_number" in effect["items"]
    # corrected: the register tells of the resident anew, and the next run finds nothing
    correction = await systems.send(REGISTER, "resident-change-notification", message("resident-change-notification", 73))
    await systems.until_state(correction["id"], LINK, "delivered")
    for serial in (71, 73):
        content = message("master-copy-reconciliation-data", serial, run_id="RUN-FR2-2")
        again = await systems.send(REGISTER, "master-copy-reconciliation-data", content)
        await systems.until_state(again["id"], LINK, "delivered")
    assert link.differences("RUN-FR2-2") == []


@pytest.mark.flow("FS5-4")
@pytest.mark.control("C-1-3-3")
async def test_an_individual_number_is_exchanged_at_the_atena_system_after_the_register_has_changed_it(systems: InHouse) -> None:
    """Not before: the internal link cannot change a number by telling the atena system of another one."""
    kind, new = "atena-linkage-update", samples.individual_number(66)
    first = await systems.send(LINK, kind, message(kind, 65))
    await systems.until_state(first["id"], ATENA, "delivered")
    system = systems.book(ATENA).system
    assert isinstance(system, Atena)
    assert system.number_of(samples.atena_number(65)) == samples.individual_number(65)
    early = await systems.send(LINK, kind, message(kind, 65, individual_number=new))
    assert (early["http"], early["code"]) == (409, "number-change-forbidden"), early
    changed = message("resident-change-notification", 65, individual_number=new)
    told = await systems.send(REGISTER, "resident-change-notification", changed)
    await systems.until_state(told["id"], LINK, "delivered")
    swap = await systems.send(LINK, kind, message(kind, 65, individual_number=new))
    await systems.until_state(swap["id"], ATENA, "delivered")
    assert system.number_of(samples.atena_number(65)) == new
    late = await systems.send(LINK, kind, message(kind, 65))
    assert (late["http"], late["code"]) == (409, "number-change-forbidden"), "the former one, come late: the newest counts"
    assert system.number_of(samples.atena_number(65)) == new


@pytest.mark.flow("FS1-11")
@pytest.mark.edge("FS1-11", "domicile-moves")
async def test_of_a_domicile_that_moves_the_one_after_the_change_decides(systems: InHouse) -> None:
    """To this city: the family register system ends with the last one, whatever was away meanwhile. From it: what still comes here for a
    domicile elsewhere is not taken in, and held for staff; others are taken in."""
    kind, here, elsewhere = "family-register-supplement-internal", "虚構県架空市例示町９番地", "虚構県よそ市見本町１番地"
    head = samples.message(kind, 81).items["register_head"]
    for domicile in (samples.message(kind, 81).items["domicile"], here):  # two family registers, between which there is no order
        await systems.close(FAMILY)
        receipt = await systems.send(REGISTER, kind, message(kind, 81, domicile=domicile))
        await systems.open(FAMILY)
        await systems.until_state(receipt["id"], FAMILY, "delivered")
    system = systems.book(FAMILY).system
    assert isinstance(system, FamilyRegister)
    system.elsewhere.add(elsewhere)
    try:
        assert system.held[kind, str(head)]["domicile"] == here
        moved = await systems.send(REGISTER, kind, message(kind, 82, domicile=elsewhere))
        row = await systems.until_held(moved["id"], FAMILY)
        assert (row["held"], row["outcome_code"]) == ("rejected", "domicile-not-found")
        assert row["id"] in {each["delivery_id"] for each in (await systems.renkei("held", "--json"))["items"]}
        other = await systems.send(REGISTER, kind, message(kind, 83))
        await systems.until_state(other["id"], FAMILY, "delivered")
    finally:
        system.elsewhere.clear()


@pytest.mark.flow("FS1-8a")
@pytest.mark.invariant("I6")
async def test_an_account_reaches_its_own_queue_and_no_other(systems: InHouse) -> None:
    """Own broker user, own names only, and nothing to configure; and a certificate that is no account's does not get in."""

    def attempt(who: str, act: Any) -> str:
        where = pika.ConnectionParameters(
            host="127.0.0.1", port=systems.town.ports.broker_tls, virtual_host="renkei",
            credentials=pika.credentials.ExternalCredentials(), ssl_options=pika.SSLOptions(systems.context(who), "broker"),
        )  # fmt: skip
        try:
            with pika.BlockingConnection(where) as connection:
                act(connection.channel())
        except ChannelClosedByBroker as error:
            return str(error.reply_code)
        except AMQPError:
            return "no-login"
        return "done"

    account = "welfare-account"
    acts = [
        (lambda channel: channel.queue_declare(f"in-house.{account}", passive=True), "done"),
        (lambda channel: channel.basic_get("in-house.tax-system"), "403"),
        (lambda channel: channel.basic_get(f"acks.{account}"), "403"),
        (lambda channel: channel.queue_declare("mine"), "403"),
        (lambda channel: channel.exchange_declare("mine"), "403"),
        (lambda channel: (channel.confirm_delivery(), channel.basic_publish("acks.tax-system", "in", b"{}")), "403"),
        (lambda channel: (channel.confirm_delivery(), channel.basic_publish("in-house", account, b"{}")), "403"),
    ]
    for number, (act, expected) in enumerate(acts):
        assert (number, attempt(account, act)) == (number, expected)
    assert attempt("stranger", lambda channel: None) == "no-login"
    await until(lambda: all(each.consuming for each in systems.mailboxes.values()))
