"""Purge of one party, by two persons; the release after a restore; the discard of a refusal: all on record (C-1-7-18)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.admin.ledger_desk import LedgerDesk
from gateway.admin.retention import LedgerRetention
from gateway.admin.service import NotFound, RequestStatus, RequestView
from gateway.approvals.kinds import Kind
from gateway.errors import CommandRefused
from gateway.ledger import tables as t
from gateway.ledger.housekeeping import Quarantine
from gateway.ledger.quarantine import entry
from gateway.retention.erasures import NO_HEAD, keys_of
from tests.backup.conftest import town
from tests.backup.kit import OTHER, Town
from tests.retention.test_keeper import DAYS, TRAITS, admit, deliver_all, shift

pytestmark = pytest.mark.thorough

__all__ = ["town"]
A, B = "operator-a", "operator-b"


async def entitled(_name: str, _kind: Kind) -> bool:
    return True


class Office:
    """The desk and what erases, on one ledger."""

    def __init__(self, town: Town) -> None:
        self.town = town
        self.desk = LedgerDesk(town.safe.ledger, town.safe.sealer, lambda _: TRAITS, entitled=entitled)
        self.retention = LedgerRetention(town.safe.ledger, town.keeper, self.desk, ["city-cs", "prefecture-server"])

    async def done(self, request: RequestView) -> RequestView:
        """When what was approved has been carried out."""
        await asyncio.gather(*self.retention._purges)
        return await self.desk.request(request.request_id)


@pytest.fixture
async def office(town: Town) -> AsyncIterator[Office]:
    made = Office(town)
    yield made
    await made.retention.close()


async def code_of(call: Any) -> str:
    with pytest.raises(CommandRefused) as error:
        await call
    return error.value.code


@pytest.mark.control("C-1-7-18")
@pytest.mark.control("C-1-7-16")
@pytest.mark.invariant("I9")
@pytest.mark.rule("R23")
async def test_two_persons_purge_a_party(office: Office) -> None:
    town = office.town
    await admit(town.safe, 2, OTHER)
    await deliver_all(town.safe)
    await admit(town.safe, 3, OTHER, who=1)
    worker = await town.safe.ledger.register("worker")
    key = next(row for row in await town.safe.rows(t.key_row) if row.head < row.next_number)
    await town.safe.ledger.claim(worker, "city-cs", [key.id], TRAITS)
    seen = await office.retention.purgeable("city-cs")
    assert (seen.contents, seen.unfinished, seen.must_not) == (7, 3, 1)
    assert await code_of(office.retention.ask_purge(A, "city-cs", b"x" * 32, "the contract has ended")) == "changed-meanwhile"
    asked = await office.retention.ask_purge(A, "city-cs", seen.digest, "the contract has ended")
    assert await code_of(office.desk.approve(A, asked.request_id, seen.digest)) == "same-person"
    assert len(await town.safe.rows(t.data_key)) == 7, "nothing happens before"
    await office.desk.approve(B, asked.request_id, seen.digest)
    done = await office.done(asked)
    assert (done.status, done.outcome) == (RequestStatus.DONE, "erased:6")
    assert len(await town.safe.rows(t.data_key)) == 1, "what is being sent stays until it is known (R23)"
    assert sorted(row.state for row in await town.safe.rows(t.delivery)) == ["delivered", "delivered", "expired", "expired", "sending"]
    history = await office.retention.history()
    assert {(each.rule, each.party, each.actor, each.instruction) for each in history} == {("purge", "city-cs", B, asked.request_id)}
    assert sum(each.count for each in history) == 6
    lines = list(town.place.erasures.since(NO_HEAD))
    assert [each["kind"] for each in lines if each.get("instruction") == asked.request_id] == ["ordered", "done"]
    assert len(keys_of(lines)) == 6
    assert len(await town.safe.entries("provided")) == 2, "records stay"
    with pytest.raises(NotFound):
        await office.retention.purgeable("nobody")


async def test_a_purge_that_a_crash_interrupted_goes_on_at_the_next_start(office: Office) -> None:
    town = office.town
    await admit(town.safe, 3, OTHER)
    seen = await office.retention.purgeable("city-cs")
    asked = await office.retention.ask_purge(A, "city-cs", seen.digest, "a reason")
    del office.desk.afterwards[Kind.PURGE]  # the process ends with the approval
    await office.desk.approve(B, asked.request_id, seen.digest)
    assert len(await town.safe.rows(t.data_key)) == 3
    again = Office(town)
    await again.desk.resume()
    assert (await again.done(asked)).status is RequestStatus.DONE
    assert await town.safe.rows(t.data_key) == []


@pytest.mark.rule("R24")
async def test_a_purge_that_had_not_ended_is_named_by_the_restore(office: Office) -> None:
    town = office.town
    await admit(town.safe, 1, OTHER)
    file, _ = await town.backup()
    town.place.erasures.append("ordered", instruction="i-1", party="city-cs")
    await town.chain()
    done, _ = await town.restore(file)
    assert done.purges == ("city-cs",)


@pytest.mark.control("C-1-7-15")
async def test_the_plan_says_what_a_run_would_do_and_the_run_does_it(office: Office) -> None:
    town = office.town
    await admit(town.safe, 3)
    await admit(town.safe, 2, OTHER)
    await deliver_all(town.safe)
    await admit(town.safe, 1)
    plan = {each.rule: each for each in await office.retention.plan()}
    assert (plan["body"].due, plan["destination-information"].due) == (2, 0)
    await shift(town.safe.ledger, DAYS)
    plan = {each.rule: each for each in await office.retention.plan()}
    due = {rule: (each.due, each.expires, each.must_not) for rule, each in plan.items() if each.due or each.expires}
    assert due == {"body": (2, 0, 0), "destination-information": (3, 1, 0), "destination-information-receipt": (3, 0, 0)}
    assert plan["destination-information"].basis == ("C-3-7-1", "C-3-7-2", "C-3-7-4")
    done = await office.retention.run(A, "before the audit")
    assert (done.erased, done.expired, done.must_not) == (9, 1, 0)
    [entry_] = await town.safe.entries("retention-run")
    assert entry_.actor == A
    assert all(each.due == 0 for each in await office.retention.plan())
    assert {each.actor for each in await office.retention.history()} == {A}


@pytest.mark.rule("R24")
async def test_a_discarded_refusal_is_on_the_list_outside_before_it_is_gone(office: Office) -> None:
    town = office.town
    sealed = town.safe.sealer.seal(b"fictitious", message_id="q-1", message_type=OTHER, party="quarantine")
    kept = Quarantine(
        system="resident-record-system", door="https", code="schema", rule=None, place=None, size_bytes=10, quarantine_id="q-1",
        sealed=sealed, type=OTHER,
    )  # fmt: skip
    await town.safe.ledger.submit(kept)
    file, manifest = await town.backup()
    assert manifest.rows["payload"] == 1, "what two persons may still decide about is in the backup"
    found = await office.desk.quarantined("q-1")
    asked = await office.desk.ask_discard(A, "q-1", found.digest, "a reason")
    await office.desk.approve(B, asked.request_id, found.digest)
    assert keys_of(list(town.place.erasures.since(manifest.erasures_head))) == {sealed.key_id}
    await town.chain()
    done, again = await town.restore(file)
    assert done.erased == 1
    assert await again.safe.rows(t.payload) == []
    assert await again.safe.ledger.read(lambda conn: entry(conn, "q-1")) is not None, "that it was refused stays on record"


@pytest.mark.rule("R24")
async def test_after_a_restore_two_persons_release_a_party(office: Office) -> None:
    town = office.town
    await admit(town.safe, 2, OTHER)
    file, manifest = await town.backup()
    _, again = await town.restore(file)
    office = Office(again)
    last, parties = await office.retention.restored()
    assert last is not None
    assert (last["backup"], last["by"]) == (manifest.backup, "local:tester")
    assert [(each.party, each.stopped, each.unknown) for each in parties] == [("city-cs", True, 2), ("prefecture-server", True, 0)]
    digest = parties[0].digest or b""
    assert await code_of(office.retention.ask_restore_release(A, "city-cs", b"x" * 32, "compared")) == "changed-meanwhile"
    asked = await office.retention.ask_restore_release(A, "city-cs", digest, "compared by telephone with the vendor")
    assert await code_of(office.desk.approve(A, asked.request_id, digest)) == "same-person"
    await admit(again.safe, 3, OTHER)  # submitted again by the register
    done = await office.desk.approve(B, asked.request_id, digest)
    assert (done.status, done.outcome) == (RequestStatus.DONE, "released:3")
    assert {(row.state, row.unanswered_since) for row in await again.safe.rows(t.delivery)} == {("unknown", manifest.since)}
    _, parties = await office.retention.restored()
    assert [(each.party, each.stopped, each.unknown) for each in parties] == [("city-cs", False, 5), ("prefecture-server", True, 0)]
    assert await code_of(office.retention.ask_restore_release(A, "city-cs", digest, "again")) == "not-restored"
    await admit(again.safe, 1, OTHER)
    assert [row.state for row in await again.safe.rows(t.delivery)].count("queued") == 1, "what comes after the release is new"
