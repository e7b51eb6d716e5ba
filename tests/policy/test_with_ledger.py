"""The policy along the way of a message, with the real ledger: versions, what is queued, marks of residents, records of provision."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from gateway.admin.policy_api import ProvisionPage, ProvisionQuery
from gateway.approvals.kinds import Kind
from gateway.errors import CommandRefused
from gateway.ledger import policies, provisions
from gateway.ledger import tables as t
from gateway.policy.items import present
from gateway.policy.loading import build, packaged
from gateway.policy.rights import Rights
from message_formats import reading, samples, writing
from tests.policy.kit import LINK, REGISTER, TRANSFER, WORK, Way, mark, transfer, way, with_approvals

pytestmark = pytest.mark.slow


def items_of(content: bytes) -> set[str]:
    return set(present(reading.read(content)))


def approved(work: str = WORK) -> frozenset[str]:
    (permission,) = with_approvals().by_work[work]
    return permission.items


class Erase:
    """Bodies, keys and deliveries are gone, as after their retention."""

    bulk, size = False, 1

    def plan(self, unit: Any) -> None:
        """Nothing is needed."""

    def apply(self, unit: Any) -> None:
        for table in (t.data_key, t.payload, t.delivery):
            unit.conn.execute(table.delete())

    def finish(self, unit: Any) -> None:
        return None


class Tamper(Erase):
    """Somebody with the database writes another document beside the digest."""

    def __init__(self, document: str) -> None:
        self.document = document

    def apply(self, unit: Any) -> None:
        unit.conn.execute(t.policy_document.update().values(document=self.document))


async def records(where: Way) -> list[provisions.Provision]:
    return await where.ledger.read(lambda conn: provisions.search(conn, provisions.Wanted()))


# ---- versions ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.invariant("I7")
@pytest.mark.control("C-1-3-1")
@pytest.mark.control("C-2-5-2")
@pytest.mark.control("C-3-5-2")
async def test_what_is_not_approved_is_refused_and_recorded_until_two_persons_approve_it(way: Way) -> None:
    (answer,) = await way.hand_in(transfer(), work=WORK, operator="staff-0042")
    assert answer.refusal is not None
    assert (answer.refusal.code, answer.refusal.rule) == ("not-approved", "C-1-3-1")
    (refused,) = await records(way)
    assert (refused.outcome, refused.code, refused.rule, refused.operator) == ("refused", "not-approved", "C-1-3-1", "staff-0042")
    assert (refused.party, refused.work, refused.type) == ("business-systems", WORK, TRANSFER)
    with pytest.raises(CommandRefused) as same:
        await way.apply(with_approvals(), "operator-a", "operator-a")
    assert same.value.code == "same-person"
    assert await way.apply(with_approvals()) == 1
    (answer,) = await way.hand_in(transfer(), work=WORK)
    assert answer.refusal is None  # without a restart
    kinds = [row.kind for row in await way.rows(t.audit_entry, order=t.audit_entry.c.id)]
    assert kinds.count("command-requested") == 2
    assert {"policy-applied", "command-refused", "refused"} <= set(kinds)


@pytest.mark.rule("R13")
async def test_an_approval_names_what_was_looked_at_and_what_counted_then(way: Way) -> None:
    first, second = with_approvals(), with_approvals(transfer_3=None)

    one, other, third = await way.ask(first), await way.ask(second), await way.ask(second)
    for digest in (second.digest, "ab" * 32):
        with pytest.raises(CommandRefused) as refused:
            await way.desk.approve("operator-b", one, bytes.fromhex(digest))
        assert refused.value.code == "digest-changed"
    assert (await way.desk.withdraw("operator-a", third)).status == "withdrawn"
    done = await way.desk.approve("operator-b", one, bytes.fromhex(first.digest))
    assert (done.status, done.outcome, done.command) == ("done", "version 1", Kind.POLICY_CHANGE)
    with pytest.raises(CommandRefused) as refused:
        await way.desk.approve("operator-b", other, bytes.fromhex(second.digest))
    assert refused.value.code == "changed-meanwhile"
    with pytest.raises(CommandRefused) as refused:
        await way.admin.ask("operator-a", second.document, "a test", 0)
    assert refused.value.code == "changed-meanwhile"
    assert {each.request_id: each.status for each in await way.desk.requests(waiting_only=False)} == {
        one: "done", other: "refused", third: "withdrawn",
    }  # fmt: skip
    (version,) = await way.admin.versions()
    assert (version.version, version.requested_by, version.approved_by, version.request_id) == (1, "operator-a", "operator-b", one)


@pytest.mark.rule("R13")
async def test_a_document_that_was_changed_in_the_ledger_after_it_was_asked_for_never_counts(way: Way) -> None:
    policy = with_approvals()
    request = await way.ask(policy)
    await way.ledger.submit(Tamper(packaged().document))
    with pytest.raises(CommandRefused) as refused:
        await way.desk.approve("operator-b", request, bytes.fromhex(policy.digest))
    assert refused.value.code == "digest-changed"
    assert (await way.ledger.read(policies.active)).version == 0
    assert await way.admin.versions() == []


async def test_a_request_for_a_policy_is_shown_with_what_it_would_change_now(way: Way) -> None:
    await way.apply(with_approvals())
    request = await way.desk.request(await way.ask(with_approvals(transfer_2={"items": ["atena_number", "name"]})))
    assert (request.command, request.status, request.argument) == (
        Kind.POLICY_CHANGE, "waiting", {"base": 1, "name": with_approvals().name},
    )  # fmt: skip
    shown = await way.admin.change(request)
    assert [each.place for each in shown.changes] == ["approvals.transfer-2"]
    assert "address" in shown.changes[0].lost
    refused = await way.desk.refuse("operator-b", request.request_id, "not this week")
    assert refused.status == "refused"
    assert (await way.ledger.read(policies.active)).version == 1


@pytest.mark.rule("R13")
async def test_of_two_approvals_at_once_one_counts(ledger_url: str, tmp_path: Path) -> None:
    async with way(ledger_url, tmp_path) as here, way(ledger_url, tmp_path) as there:
        first, second = with_approvals(), with_approvals(transfer_3=None)
        one, other = await here.ask(first), await here.ask(second)
        ended = await asyncio.gather(
            here.desk.approve("operator-b", one, bytes.fromhex(first.digest)),
            there.desk.approve("operator-b", other, bytes.fromhex(second.digest)),
            return_exceptions=True,
        )
        (refused,) = [each for each in ended if isinstance(each, BaseException)]
        assert isinstance(refused, CommandRefused)
        assert refused.code == "changed-meanwhile"
        assert [each.version for each in await here.admin.versions()] == [1]


@pytest.mark.invariant("I7")
async def test_no_message_is_decided_by_a_mixture_of_two_versions(ledger_url: str, tmp_path: Path) -> None:
    """Two recipients of each message; each version approves other items for both. Another process applies versions all the time."""
    more, less = (
        with_approvals(),
        with_approvals(transfer_9={"items": ["atena_number", "name"]}, transfer_2={"items": ["atena_number", "sex"]}),
    )
    both = ("tax-system", "business-systems")
    async with way(ledger_url, tmp_path, (TRANSFER, LINK, "tax-system")) as traffic, way(ledger_url, tmp_path) as elsewhere:
        # for one work each way has one permission: both are taken where no work is named and the way has only that one
        def alone(policy: Any) -> Any:
            document = json.loads(policy.document)
            rows = {row["to"]: row for row in document["permissions"][TRANSFER]}
            rows["business-systems"]["works"] = ["transfer-2"]
            return build(document)

        versions = [alone(more), alone(less)]
        await elsewhere.apply(versions[0])
        done = asyncio.Event()

        async def change() -> None:
            number = 1
            while not done.is_set():
                await elsewhere.apply(versions[number % 2])
                number += 1
                await asyncio.sleep(0)

        changing = asyncio.create_task(change())
        for serial in range(1, 61):
            (answer,) = await traffic.hand_in(transfer(serial))
            assert answer.refusal is None
        done.set()
        await changing
        applied = {row.version: row.applied_at for row in await traffic.rows(t.policy_version)}
        assert len(applied) > 5
        by_message: dict[str, list[provisions.Provision]] = {}
        for each in await traffic.ledger.read(lambda conn: provisions.search(conn, provisions.Wanted(limit=1000))):
            assert each.message_id is not None
            by_message.setdefault(each.message_id, []).append(each)
        assert len(by_message) == 60
        seen = set()
        for found in by_message.values():
            assert {each.party for each in found} == set(both)
            (version,) = {each.policy for each in found}
            assert version is not None
            seen.add(version)
            assert applied[version] <= found[0].at  # it counted when the message was accepted,
            if traffic.ledger.engine.dialect == "sqlite":
                assert applied.get(version + 1, found[0].at) >= found[0].at  # and the next one did not yet
            whole = version % 2 == 1
            assert all(("birth_date" in each.items) == whole for each in found)
        assert len(seen) > 5


# ---- what is queued ------------------------------------------------------------------------------------------------------------------


@pytest.mark.flow("FS1-8a")
@pytest.mark.invariant("I7")
@pytest.mark.invariant("I8")
async def test_the_recipient_gets_exactly_the_approved_items_and_the_record_says_so(way: Way) -> None:
    await way.apply(with_approvals())
    await way.hand_in(transfer(), work=WORK, operator="staff-0042", terminal="T1")
    (permitted,) = await records(way)
    assert permitted.outcome == "permitted"
    await way.deliver()
    assert items_of(way.party.got[0]) == approved()
    (record,) = await records(way)
    assert (record.outcome, record.operator, record.terminal, record.policy) == ("provided", "staff-0042", "T1", 1)
    assert set(record.items) == approved()
    assert record.basis == ("番号法第9条第1項（別表第一）第8項", "別表第一主務省令第8条")
    assert record.outcome_at is not None


@pytest.mark.flow("FS1-8a")
@pytest.mark.invariant("I7")
@pytest.mark.edge("FS1-8a", "withdrawn")
async def test_an_item_whose_approval_was_withdrawn_meanwhile_is_not_sent(way: Way) -> None:
    await way.apply(with_approvals())
    await way.hand_in(transfer(), work=WORK)
    await way.apply(with_approvals(transfer_2={"items": ["atena_number", "name"]}))
    await way.deliver()
    assert items_of(way.party.got[0]) == {"atena_number", "name"}
    (record,) = await records(way)
    assert (record.outcome, set(record.items), record.policy) == ("provided", {"atena_number", "name"}, 2)


@pytest.mark.flow("FS1-8a")
@pytest.mark.invariant("I7")
async def test_what_was_sealed_for_less_gets_no_more_by_a_later_approval(way: Way) -> None:
    await way.apply(with_approvals(transfer_2={"items": ["atena_number", "name"]}))
    await way.hand_in(transfer(), work=WORK)
    await way.apply(with_approvals())
    await way.deliver()
    assert items_of(way.party.got[0]) == {"atena_number", "name"}


@pytest.mark.flow("FS1-8a")
@pytest.mark.invariant("I7")
@pytest.mark.invariant("I3")
@pytest.mark.edge("FS1-8a", "withdrawn")
async def test_an_approval_withdrawn_as_a_whole_ends_what_is_queued_and_the_next_has_its_turn(way: Way) -> None:
    await way.apply(with_approvals())
    await way.hand_in(transfer(), work=WORK)
    await way.hand_in(transfer(), work="transfer-3")
    await way.apply(with_approvals(transfer_2=None))
    called = await way.deliver()
    assert called is not None
    assert [each.code for each in called.refused] == ["not-approved"]
    await way.deliver()
    (permission,) = with_approvals().by_work["transfer-3"]
    assert [items_of(each) for each in way.party.got] == [permission.items]
    first, second = await records(way)
    assert (first.outcome, first.code, first.rule, second.outcome) == ("refused", "not-approved", "C-1-3-1", "provided")
    rows = await way.rows(t.delivery, order=t.delivery.c.number)
    assert [(row.state, row.reason) for row in rows] == [("skipped", "policy-refused"), ("delivered", None)]
    (entry,) = await way.rows(t.audit_entry, t.audit_entry.c.kind == "refused")
    assert json.loads(entry.detail)["policy"] == 2


@pytest.mark.rule("R4")
async def test_what_bears_a_number_that_the_party_counts_is_held_and_goes_when_it_is_permitted_again(way: Way) -> None:
    without = json.loads(packaged().document)
    without["permissions"]["identity-information-update"] = [
        {**row, "until": "2026-01-01"} for row in without["permissions"]["identity-information-update"]
    ]
    message = samples.message("identity-information-update", 3)
    (answer,) = await way.hand_in(message, system=REGISTER)
    assert answer.refusal is None
    await way.apply(build(without))
    await way.deliver("city-cs")
    (key,) = await way.rows(t.key_row)
    assert (key.held, way.party.got) == ("rejected", [])
    (record,) = await records(way)
    assert (record.outcome, record.code) == ("refused", "outside-period")


async def test_the_main_way_is_byte_identical(way: Way) -> None:
    message = samples.message("identity-information-update", 3)
    await way.hand_in(message, system=REGISTER)
    await way.deliver("city-cs")
    assert way.party.got == [message.to_bytes()]
    (record,) = await records(way)
    assert record.outcome == "provided"
    assert len(record.items) <= 36


# ---- marks ---------------------------------------------------------------------------------------------------------------------------


@pytest.mark.invariant("I7")
async def test_a_mark_counts_for_everything_accepted_after_it(way: Way) -> None:
    await way.apply(with_approvals())
    (accepted,) = await way.hand_in(mark(), system=REGISTER)
    assert accepted.refusal is None
    assert await way.rows(t.delivery) == []  # it leaves to nobody
    await way.hand_in(transfer(7), transfer(8), work=WORK)
    await way.deliver()
    gone = {"address", "resident_items/address", "resident_items/previous_address"}
    assert sorted((items_of(each) for each in way.party.got), key=len) == [approved() - gone, approved()]
    assert any("address" not in record.items for record in await records(way))


@pytest.mark.invariant("I7")
async def test_a_mark_takes_effect_on_what_is_queued(way: Way) -> None:
    await way.apply(with_approvals())
    await way.hand_in(transfer(), work=WORK)
    await way.hand_in(mark(), system=REGISTER)
    await way.deliver()
    assert "address" in approved()
    assert "address" not in items_of(way.party.got[0])


async def test_a_mark_that_has_ended_or_begins_later_does_not_count(way: Way) -> None:
    await way.apply(with_approvals())
    await way.hand_in(mark(state="3", ends_on="20260601"), system=REGISTER)
    await way.hand_in(mark(8, starts_on="20990101"), system=REGISTER)
    await way.hand_in(transfer(7), transfer(8), work=WORK)
    await way.deliver()
    assert all("address" in items_of(each) for each in way.party.got)


@pytest.mark.invariant("I5")
async def test_a_mark_is_kept_without_who_it_is(way: Way) -> None:
    await way.hand_in(mark(), system=REGISTER)
    (row,) = await way.rows(t.person_mark)
    assert (row.mark, row.since, row.until) == ("support-1", "2026-01-01", None)
    assert samples.items(TRANSFER, 7)["atena_number"] not in str(tuple(row))


@pytest.mark.invariant("I7")
async def test_marks_that_messages_of_one_group_set_and_take_back_are_as_the_last_says(way: Way) -> None:
    """Also of the first mark of all."""
    changes = []
    for number, reason in enumerate(("32", "11", "32", "11")):
        items = {**samples.message("identity-information-update", 5).items, "change_reason": reason}
        items["request_control_number"] = f"R{number:016d}"
        if reason == "32":
            items |= dict.fromkeys(("previous_municipality_code", "previous_address", "previous_address_gaiji_count"))
        changes.append(writing.write("identity-information-update", items))
    assert [each.refusal for each in await way.hand_in(*changes[:2], system=REGISTER)] == [None, None]
    assert await way.rows(t.person_mark) == []
    assert [each.refusal for each in await way.hand_in(changes[2], system=REGISTER)] == [None]
    assert [row.mark for row in await way.rows(t.person_mark)] == ["deceased"]
    assert [each.refusal for each in await way.hand_in(changes[3], system=REGISTER)] == [None]
    assert await way.rows(t.person_mark) == []


async def test_only_the_register_sets_marks(way: Way) -> None:
    (answer,) = await way.hand_in(mark(), system=LINK)
    assert answer.refusal is not None
    assert await way.rows(t.person_mark) == []


@pytest.mark.invariant("I7")
@pytest.mark.control("C-3-7-4")
@pytest.mark.edge("F2-7", "refused")
async def test_after_a_death_destination_information_of_that_person_is_refused(way: Way) -> None:
    moved_in = ("previous_municipality_code", "previous_address", "previous_address_gaiji_count")
    items = {**samples.message("identity-information-update", 5).items, "change_reason": "32", **dict.fromkeys(moved_in)}
    (answer,) = await way.hand_in(writing.write("identity-information-update", items), system=REGISTER)
    assert answer.refusal is None
    (row,) = await way.rows(t.person_mark)
    assert row.mark == "deceased"
    code = items["resident_record_code"]
    destination = samples.message("destination-information", 5)
    assert ("resident-record-code", code) in destination.identifiers
    (answer,) = await way.hand_in(destination, system=REGISTER)
    assert answer.refusal is not None
    assert (answer.refusal.code, answer.refusal.rule) == ("deceased", "C-3-7-4")


@pytest.mark.invariant("I7")
@pytest.mark.control("C-3-7-4")
async def test_destination_information_that_waits_is_not_sent_after_a_death(ledger_url: str, tmp_path: Path) -> None:
    destination = "destination-information"
    async with way(ledger_url, tmp_path, (destination, REGISTER, "city-cs")) as where:
        (answer,) = await where.hand_in(samples.message(destination, 5), system=REGISTER)
        assert answer.refusal is None
        moved_in = ("previous_municipality_code", "previous_address", "previous_address_gaiji_count")
        items = {**samples.message("identity-information-update", 5).items, "change_reason": "32", **dict.fromkeys(moved_in)}
        (answer,) = await where.hand_in(writing.write("identity-information-update", items), system=REGISTER)
        assert answer.refusal is None
        while await where.deliver("city-cs") is not None:
            pass
        assert [reading.read(each).type_name for each in where.party.got] == ["identity-information-update"]
        (row,) = [each for each in await records(where) if each.type == destination]
        assert (row.outcome, row.code, row.rule) == ("refused", "deceased", "C-3-7-4")


@pytest.mark.invariant("I7")
@pytest.mark.control("C-1-7-6")
@pytest.mark.edge("F1-10", "death")
async def test_what_is_not_destination_information_goes_on_after_a_death_as_for_the_living(way: Way) -> None:
    await way.apply(with_approvals())
    moved_in = ("previous_municipality_code", "previous_address", "previous_address_gaiji_count")
    items = {**samples.message("identity-information-update", 7).items, "change_reason": "32", **dict.fromkeys(moved_in)}
    (answer,) = await way.hand_in(writing.write("identity-information-update", items), system=REGISTER)
    assert answer.refusal is None
    await way.hand_in(transfer(7), work=WORK)
    await way.deliver()
    assert items_of(way.party.got[0]) == approved()  # filtered as before


# ---- refusals ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.invariant("I8")
@pytest.mark.control("C-2-5-2")
async def test_a_wrong_work_a_wrong_basis_and_a_missing_approval_are_refused_and_recorded_each(way: Way) -> None:
    await way.apply(with_approvals())
    cases: list[tuple[dict[str, str], str]] = [
        ({"work": "transfer-15"}, "work-inactive"),  # no department
        ({"work": "inquirer-1"}, "not-carried"),  # the intermediate server's
        ({"work": "transfer-9"}, "work-wrong"),  # of the tax system
        ({"work": WORK, "legalbasis": "民法第1条"}, "basis-wrong"),
        ({}, "work-missing"),
    ]
    await way.hand_in(transfer(), work=WORK)  # the resident is known from now on
    for claims, _ in cases:
        (answer,) = await way.hand_in(transfer(), operator="staff-0042", terminal="T1", **claims)
        assert answer.refusal is not None
    permitted, *found = await records(way)
    assert [(each.outcome, each.code) for each in found] == [("refused", code) for _, code in cases]
    assert {(each.party, each.operator, each.terminal) for each in found} == {("business-systems", "staff-0042", "T1")}
    assert all(each.rule for each in found)
    assert len(await way.rows(t.audit_entry, t.audit_entry.c.kind == "refused")) == len(cases)
    assert len(await way.rows(t.delivery)) == 1
    assert permitted.subject is not None
    assert {each.subject for each in found} == {permitted.subject}  # a disclosure request of the resident finds them


@pytest.mark.invariant("I8")
async def test_each_row_of_the_lists_leaves_a_record_of_what_went_and_of_what_was_refused(way: Way) -> None:
    """All 44 transfers and the provision to the Board of Education, through the ledger: provided with exactly its items, then refused."""
    await way.apply(with_approvals())
    rows = [w for w in with_approvals().by_work if w.startswith(("transfer-", "ordinance-"))]
    active = [w for w in rows if with_approvals().works[w].active and _party(w) == "business-systems"]
    assert len(active) > 30
    for work in active:
        await way.hand_in(transfer(), work=work)
        await way.deliver()
        await way.hand_in(transfer(), work=work, legalbasis="民法第1条")
    found = await records(way)
    for work in active:
        (provided,) = [each for each in found if each.work == work and each.outcome == "provided"]
        assert set(provided.items) == approved(work)
        (refused,) = [each for each in found if each.work == work and each.outcome == "refused"]
        assert refused.code == "basis-wrong"
    assert len(found) == 2 * len(active)


def _party(work: str) -> str:
    (permission,) = with_approvals().by_work[work]
    return permission.consumer


# ---- records -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.control("C-2-5-1")
@pytest.mark.control("C-3-5-1")
@pytest.mark.control("C-1-5-3")
@pytest.mark.invariant("I8")
async def test_records_are_found_by_resident_without_saying_whom_and_with_others_masked(way: Way) -> None:
    await way.apply(with_approvals())
    for serial in (7, 7, 8):
        await way.hand_in(transfer(serial), work=WORK, operator="staff-0042")
        await way.deliver()
    admin = way.admin
    number = samples.items(TRANSFER, 7)["atena_number"]
    assert number is not None
    page = await admin.provisions("auditor-a", ProvisionQuery(reason="a disclosure request", by="atena-number", value=number))
    assert len(page.items) == 2
    assert {each.resident for each in page.items} == {None}
    assert {each.operator for each in page.items} == {"＊＊＊＊"}
    assert {each.recipients for each in page.items} == {("こども相談課", "子育て給付課")}
    first = await admin.provisions("auditor-a", ProvisionQuery(reason="a daily look", masked=False, limit=1))
    assert first.next_after is not None
    rest = await admin.provisions("auditor-a", ProvisionQuery(reason="a daily look", masked=False, after=first.next_after))
    assert [each.operator for each in rest.items] == ["staff-0042", "staff-0042"]
    # the same name for the same resident on every page, another for another, and others in another answer
    assert first.items[0].resident == rest.items[0].resident != rest.items[1].resident
    again = await admin.provisions("auditor-a", ProvisionQuery(reason="a daily look", limit=1))
    assert again.items[0].resident != first.items[0].resident
    looked = await way.rows(t.audit_entry, t.audit_entry.c.kind == "provisions-searched")
    assert len(looked) == 4
    assert not any(number in row.detail for row in looked)


@pytest.mark.control("C-1-3-31")
@pytest.mark.control("C-1-3-27")
@pytest.mark.control("C-2-5-6")
async def test_an_output_to_a_file_is_recorded_as_one_and_says_that_the_resident_is_protected(way: Way) -> None:
    await way.apply(with_approvals())
    await way.hand_in(transfer(7), transfer(8), work=WORK)
    await way.hand_in(mark(7), system=REGISTER)

    async def searched(serial: int) -> ProvisionPage:
        number = samples.items(TRANSFER, serial)["atena_number"]
        assert number is not None
        return await way.admin.provisions(
            "operator-a", ProvisionQuery(reason="request 12 of 2026", by="atena-number", value=number, export=True)
        )

    assert (await searched(7)).protected
    assert not (await searched(8)).protected
    first, _ = await way.rows(t.audit_entry, t.audit_entry.c.kind == "provisions-exported", order=t.audit_entry.c.id)
    detail = json.loads(first.detail)
    assert (first.actor, detail["reason"], detail["found"], detail["by"]) == ("operator-a", "request 12 of 2026", 1, "atena-number")


@pytest.mark.invariant("I8")
async def test_a_record_does_not_need_the_body(way: Way) -> None:
    await way.apply(with_approvals())
    await way.hand_in(transfer(), work=WORK)
    await way.deliver()
    before = await records(way)
    await way.ledger.submit(Erase())
    assert await way.rows(t.payload) == []
    assert await records(way) == before


async def test_a_process_that_has_not_heard_of_a_version_decides_by_it_all_the_same(ledger_url: str, tmp_path: Path) -> None:
    async with way(ledger_url, tmp_path) as first, way(ledger_url, tmp_path) as second:
        await first.apply(with_approvals())
        for where in (first, second):
            (answer,) = await where.hand_in(transfer(), work=WORK)
            assert answer.refusal is None
        await first.apply(with_approvals(transfer_2=None))
        (answer,) = await second.hand_in(transfer(), work=WORK)
        assert answer.refusal is not None


async def test_a_new_day_is_a_new_standing() -> None:
    now = [time.time()]
    rights = Rights(clock=lambda: now[0])
    before = rights.standing
    assert rights.standing is before
    now[0] += 86_400
    assert (rights.standing.on - before.on).days == 1
