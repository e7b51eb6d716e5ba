"""Integrated atena numbers and the replica go to the intermediate server (FS6-4, FR-2), and what comes from it: all of it real."""

from __future__ import annotations

import asyncio
import json

import pytest

from message_formats import samples
from simulators.harness.town import REGISTER
from tests.network.kit import ATENA, LINK, SERVER, Line, deletion, linkage, number, registration, replica
from tests.support.broker import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.mark.edge("FR-2", "mismatch")
@pytest.mark.flow("FS6-4")
@pytest.mark.flow("FR-2")
@pytest.mark.control("C-M-6-7")
@pytest.mark.control("C-M-6-2")
async def test_a_number_and_its_replica_reach_the_intermediate_server(line: Line) -> None:
    await line.known(1)
    [row] = line.house.rows(
        "SELECT registered_id, linked_id, atena, individual FROM integrated_number WHERE registered_id IS NOT NULL LIMIT 1"
    )
    assert all(row)
    assert line.taken("RegisterAtenaNumber")
    assert line.server.holdings.people[number(1)].replica == ("見本　例太", "世帯主")
    row = await line.delivered(REGISTER, "provision-replica-update", replica(1, "見本　改"))
    assert line.server.holdings.people[number(1)].replica == ("見本　改", "世帯主"), "a correction by the register itself (FR-2 5)"
    [provided] = line.house.rows("SELECT outcome, system, party FROM provision WHERE id = ?", row["id"])
    assert tuple(provided) == ("provided", REGISTER, SERVER)


@pytest.mark.edge("FS6-4", "not-matched")
@pytest.mark.flow("FS6-4")
@pytest.mark.control("C-M-6-13")
async def test_a_replica_before_its_number_or_of_somebody_who_is_not_linked_never_leaves(line: Line) -> None:
    before = len(line.taken("UpdateReplica"))
    stranger = await line.send(LINK, "provision-replica-update", replica(2))
    assert (stranger["http"], stranger["code"]) == (409, "not-linked")
    assert (await line.send(ATENA, "atena-number-registration", registration(2)))["code"] == "not-linked"
    await line.delivered(LINK, "atena-linkage-update", linkage(2), ATENA)
    assert (await line.send(LINK, "provision-replica-update", replica(2)))["code"] == "atena-number-not-registered"
    await line.delivered(ATENA, "atena-number-registration", registration(2))
    await line.delivered(LINK, "provision-replica-update", replica(2))
    assert len(line.taken("UpdateReplica")) == before + 1
    refused = {row["code"] for row in line.house.rows("SELECT code FROM quarantine WHERE type = 'provision-replica-update'")}
    assert {"not-linked", "atena-number-not-registered"} <= refused


@pytest.mark.control("C-M-6-13")
async def test_numbers_that_do_not_agree_are_refused(line: Line) -> None:
    await line.known(3, 4)
    mixed = linkage(3, atena_number=samples.atena_number(4))
    refused = await line.send(LINK, "atena-linkage-update", mixed)
    assert refused["code"] in ("numbers-mismatch", "number-change-forbidden"), refused
    second = await line.send(LINK, "atena-linkage-update", linkage(3, **{"business_identifier[1]/number": number(33)}))
    assert second["code"] == "numbers-mismatch"
    other = await line.send(LINK, "atena-linkage-update", linkage(3, **{"business_identifier[1]/number": number(4)}))
    assert other["code"] == "numbers-mismatch"
    assert (await line.send(LINK, "provision-replica-update", replica(33)))["code"] == "not-linked"


@pytest.mark.edge("FS6-4", "other-system")
@pytest.mark.control("C-M-6-2")
@pytest.mark.control("C-M-6-19")
@pytest.mark.flow("FS6-4")
async def test_nobody_else_creates_or_changes_a_replica(line: Line) -> None:
    """The atena system hands numbers in, and no replica; the tax system neither."""
    for system in (ATENA, "tax-system"):
        refused = await line.send(system, "provision-replica-update", replica(1))
        assert refused["code"] == "not-permitted", refused
    assert (await line.send(LINK, "atena-number-registration", registration(1)))["code"] == "not-permitted"


@pytest.mark.control("C-M-6-19")
@pytest.mark.control("C-M-6-12")
@pytest.mark.flow("FS6-4")
async def test_a_replica_is_deleted_by_an_update_without_items_and_the_check_list_says_so(line: Line) -> None:
    await line.known(9)
    await line.server.do("check-list", {})
    await line.delivered(LINK, "provision-replica-update", deletion(9))
    assert line.server.holdings.people[number(9)].replica is None
    [change] = line.server.holdings.changes
    assert (change.number, change.kind) == (number(9), "3")


@pytest.mark.edge("F6-2", "own-inquiry")
@pytest.mark.control("C-M-6-1")
@pytest.mark.flow("F6-2")
@pytest.mark.parametrize("kind", ["provision-request", "information-inquiry", "provision-response"])
async def test_this_business_cannot_inquire(line: Line, kind: str) -> None:
    """Neither may the type be handed in, nor has the adapter an operation for it."""
    from adapters.intermediate_server import IntermediateServerAdapter

    content = samples.message(kind).to_bytes() if kind.startswith("provision") else replica(1)
    refused = await line.send(LINK, kind, content)
    assert refused["code"] in ("unknown-type", "not-permitted"), refused
    assert kind not in IntermediateServerAdapter.manifest.message_types
    assert IntermediateServerAdapter.manifest.questions == ()


@pytest.mark.edge("FS6-4", "individual-number")
@pytest.mark.control("C-M-6-17")
@pytest.mark.control("C-M-6-24")
@pytest.mark.flow("FS6-4")
@pytest.mark.parametrize(
    "disguised",
    [
        "999900000011",
        "９９９９００００００１１",
        "9999-0000-0011",
        "9999 0000 0011",
        "９９９９－００００－００１１",
        "様方 9999・0000・0011",
    ],
)
async def test_no_individual_number_goes_to_the_network_in_any_disguise(line: Line, disguised: str) -> None:
    await line.delivered(LINK, "atena-linkage-update", linkage(1), ATENA)
    refused = await line.send(LINK, "provision-replica-update", replica(1, disguised))
    assert refused["code"] in ("number-suspected", "schema-invalid", "value-pattern"), refused
    assert disguised not in json.dumps(dict(refused), ensure_ascii=False)


@pytest.mark.edge("FS6-4", "format")
@pytest.mark.control("C-M-6-17")
@pytest.mark.control("C-M-6-24")
@pytest.mark.control("C-M-6-15")
@pytest.mark.parametrize("spoilt", ["item", "attribute", "namespace", "second"])
async def test_what_is_not_in_the_closed_schema_is_refused_before_the_line(line: Line, spoilt: str) -> None:
    good, extra = replica(1).decode(), "<individual_number>999900000011</individual_number>"
    text = {
        "item": good.replace("</household_items>", f"</household_items>{extra}"),
        "attribute": good.replace("<household_items>", '<household_items note="999900000011">'),
        "namespace": good.replace("provision-replica-update:1", "provision-replica-update:2"),
        "second": good.replace("</head_name>", "</head_name><head_name>999900000011</head_name>"),
    }[spoilt]
    before = len(line.taken("UpdateReplica"))
    refused = await line.send(LINK, "provision-replica-update", text.encode())
    assert refused["http"] in (400, 422), refused
    assert "999900000011" not in json.dumps(dict(refused))
    assert len(line.taken("UpdateReplica")) == before


@pytest.mark.edge("FS6-4", "format")
@pytest.mark.control("C-M-6-15")
async def test_a_format_refusal_of_the_server_is_shown_to_operators_and_to_the_sender(line: Line) -> None:
    from simulators.faults import FaultSpec

    await line.known(5)
    fault = line.server.faults.put(FaultSpec(kind="refuse", code="format-error", times=1))
    receipt = await line.send(LINK, "provision-replica-update", replica(5, "見本　誤"))
    row = await line.house.until_held(receipt["id"], SERVER)
    assert row["held"] == "rejected"
    line.server.faults.take_away(fault.id)
    listed = await line.house.renkei("held", "--json")
    assert "format-error" in json.dumps(listed)
    status = await line.house.renkei("message", receipt["message"], "--json")
    assert "format-error" in json.dumps(status)
    corrected = await line.send(LINK, "provision-replica-update", replica(5, "見本　正"), corrects=receipt["id"])
    assert corrected["status"] == "accepted", corrected
    await line.house.until_state(corrected["id"], SERVER, "delivered")
    assert line.server.holdings.people[number(5)].replica == ("見本　正", "世帯主")


@pytest.mark.flow("FR-2")
@pytest.mark.control("C-M-6-12")
@pytest.mark.control("C-M-6-16")
async def test_the_daily_check_list_and_the_export_reach_the_register(line: Line) -> None:
    await line.known(6)
    book = line.house.book(REGISTER)
    told = await line.server.do("check-list", {})
    [delivery] = told["deliveries"]
    await line.house.until_state(delivery, REGISTER, "delivered")
    assert told["changes"] >= 1
    exported = await line.server.do("export", {"run": "RUN-1"})
    for each in exported["deliveries"]:
        await line.house.until_state(each, REGISTER, "delivered")
    held = book.system.held["replica-export-data", "RUN-1"]
    replicas = held["replica"] if isinstance(held["replica"], list) else [held["replica"]]
    assert {"integrated_atena_number": number(6), "head_name": "見本　例太", "relationship": "世帯主"} in replicas
    [empty] = (await line.server.do("check-list", {}))["deliveries"]
    await line.house.until_state(empty, REGISTER, "delivered")


@pytest.mark.flow("FM-1")
@pytest.mark.control("C-M-6-23")
async def test_an_operating_notice_is_recorded_and_anything_but_running_is_an_anomaly(line: Line) -> None:
    for status in ("MAINTENANCE", "RUNNING"):
        [delivery] = (await line.server.do("status", {"status": status}))["deliveries"]
        await until(lambda name=delivery: bool(line.house.rows("SELECT id FROM message WHERE source_id = ?", name)), 20)
        shown = await line.house.renkei("network", "--json")
        assert shown["operating_status"] == status
        [message] = line.house.rows("SELECT id FROM message WHERE source_id = ?", delivery)
        kinds = [row["kind"] for row in line.house.rows("SELECT kind FROM audit_entry WHERE message_id = ? ORDER BY kind", message["id"])]
        assert kinds == (["accepted", "operating-status"] if status == "RUNNING" else ["accepted", "link-anomaly", "operating-status"])
        assert not line.house.deliveries(delivery), "it goes to nobody"
    assert shown["registered"] >= 1
    assert shown["overdue"] == 0
    text = await line.house.renkei("network")
    assert "RUNNING" in text


@pytest.mark.invariant("I4")
@pytest.mark.flow("FS6-4")
async def test_a_full_reload_is_bulk_and_what_is_live_goes_first(line: Line) -> None:
    serials = range(100, 160)
    await asyncio.gather(*[line.delivered(LINK, "atena-linkage-update", linkage(each), ATENA) for each in (*serials, 7)])
    await line.delivered(ATENA, "atena-number-registration", registration(7))
    await line.house.renkei("pause", SERVER, "--reason", "a test", "--json")
    bulk = [(await line.send(ATENA, "atena-number-registration", registration(each), lane="bulk"))["id"] for each in serials]
    live = (await line.send(LINK, "provision-replica-update", replica(7)))["id"]
    rows = line.house.rows("SELECT lane, count(*) AS n FROM delivery WHERE state = 'queued' AND party = ? GROUP BY lane", SERVER)
    assert {row["lane"]: row["n"] for row in rows} == {"bulk": 60, "live": 1}
    refused = await line.send(LINK, "provision-replica-update", replica(7), lane="live")
    assert refused["code"] == "invalid-attribute"
    await line.house.renkei("resume", SERVER, "--reason", "a test", "--json")
    await line.house.until_state(live, SERVER, "delivered")
    for each in bulk:
        await line.house.until_state(each, SERVER, "delivered")


@pytest.mark.flow("FS6-4")
@pytest.mark.control("C-M-6-11")
async def test_who_carries_the_call_reads_nothing_of_it(line: Line) -> None:
    """The Body is encrypted for the server within TLS: whoever ends the line before it sees ciphertext."""
    assert line.server.security is not None
    assert line.server.security.encryption is not None
    await line.known(8)
    journal = (line.house.town.folder / f"{SERVER}.jsonl").read_text(encoding="utf-8")
    assert number(8) not in journal
    assert "見本" not in journal
