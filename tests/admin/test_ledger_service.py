"""The admin service on a real ledger with real keys: what operators see and do. All residents are fictitious."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from certs.authority import TestAuthority
from gateway.admin.ledger_desk import LedgerDesk
from gateway.admin.ledger_service import LedgerAdminService
from gateway.admin.service import Command, DeliveryView, Hold, NotFound, RequestStatus, Seen, State
from gateway.approvals.kinds import Kind as RequestKind
from gateway.config import Config, Party
from gateway.contract import Adapter, Delivered, Limits, Receipt, Rejected, Unknown
from gateway.delivery.rows import PartyTraits
from gateway.errors import BrokerUnavailable, CommandRefused, InputRefused
from gateway.intake.admit import Intake
from gateway.ledger import contents
from gateway.ledger import tables as t
from gateway.ledger.ledger import Ledger
from gateway.ledger.outcomes import Learned
from gateway.ledger.queries import backlog, own_message
from gateway.plugins import BoundParty
from gateway.security.keys import KeyStore, Kind
from gateway.security.sealing import Sealer
from tests.intake import kit
from tests.support.postgres import ledger_url, postgres_server, postgres_url

__all__ = ["ledger_url", "postgres_server", "postgres_url"]
PARTY = "city-cs"
TRAITS = PartyTraits(party=PARTY, settle_s=0.0, call_s=-2.0)
"""Holds what is unknown; a call is settled at once, so that the tests need not wait."""


class Broker:
    connected = True
    blocked = False

    async def depth(self, queue: str) -> Any:
        if queue.endswith("bulk"):
            raise BrokerUnavailable("broker-silent", "the broker does not answer")
        return dataclasses.make_dataclass("Depth", ["ready"])(7)


class City:
    """A ledger, its service, and somebody who hands in and delivers."""

    def __init__(self, folder: Path, ledger: Ledger) -> None:
        self.ledger = ledger
        self.keys = KeyStore(folder / "keys").ensure()
        party = Party(adapter="juki_cs", url="https://localhost:1", peer=PARTY)
        self.config = Config(data_dir=folder, parties={PARTY: party})
        bound = BoundParty(party=PARTY, adapter=Adapter, settings={}, limits=Limits(), config=party)
        self.broker = Broker()
        self.service = LedgerAdminService(
            self.config, ledger, self.keys, {PARTY: bound}, lambda _: TRAITS, broker=self.broker, depth=self.broker.depth
        )
        self.intake = Intake(preparer=kit.preparer(self.keys), ledger=ledger)
        self.entitled = True
        self.desk = LedgerDesk(ledger, Sealer(self.keys), self.service.traits_of, entitled=self._entitled, hand_in=self.intake.admit_again)
        self.worker = ""

    async def _entitled(self, _name: str, _kind: RequestKind) -> bool:
        return self.entitled

    async def submit(self, source_id: str, serial: int = 1, **changes: str | None) -> None:
        data = kit.xml(serial, request_control_number=f"R{source_id}".ljust(10, "0"), **changes)
        answer = await self.intake.admit_one(kit.submission(data, id=source_id))
        assert answer.refusal is None, answer.refusal

    async def deliver(self, source_id: str, answer: Any) -> None:
        """One attempt at the head of a message's key."""
        view = await self.view(source_id)
        key = await self.key(view.delivery_id)
        self.worker = self.worker or await self.ledger.register("worker")
        result = await self.ledger.claim(self.worker, PARTY, [key], TRAITS)
        learned = [Learned(claim=claim, answer=answer) for claim in result.claimed]
        if learned:
            await self.ledger.write_outcomes(self.worker, PARTY, learned, TRAITS, go_on=False)

    async def key(self, delivery_id: str) -> str:
        from sqlalchemy import select

        query = select(t.delivery.c.key_id).where(t.delivery.c.id == delivery_id)
        return await self.ledger.read(lambda conn: conn.execute(query).scalar_one())

    async def hold(self, source_id: str) -> DeliveryView:
        await self.deliver(source_id, Rejected(code="E103"))
        return await self.view(source_id)

    async def view(self, source_id: str) -> DeliveryView:
        views = (await self.service.message(source_id)).deliveries
        return views[-1]


@pytest.fixture
async def city(tmp_path: Path, ledger_url: str) -> AsyncIterator[City]:
    ledger = await asyncio.to_thread(Ledger.open, ledger_url)
    yield City(tmp_path, ledger)
    await ledger.close()


def seen(view: DeliveryView) -> Seen:
    return Seen(state=view.state, digest=view.digest)


OK = Delivered(receipt=Receipt(code="accepted", body=b""))


async def test_status_parties_and_queues(city: City) -> None:
    for i in range(3):
        await city.submit(f"a{i}", 1)
    await city.submit("b0", 2)
    await city.deliver("b0", OK)
    await city.hold("a0")
    status = await city.service.status()
    assert (status.unfinished, status.held_keys, status.accepted_last_hour, status.delivered_last_hour) == (3, 1, 4, 1)
    assert (status.workers, status.broker, status.instance, status.requests_waiting) == (1, "up", "renkei", 0)
    assert status.oldest_unfinished_at is not None
    [party] = await city.service.parties()
    assert (party.party, party.breaker, party.unfinished, party.held_keys, party.paused_by) == (PARTY, "closed", 3, 1, None)
    assert party.last_delivered_at is not None
    live, bulk = await city.service.queues()
    assert (live.lane, live.depth, live.held_keys, live.waiting, live.bells) == ("live", 3, 1, 2, 7)
    assert (bulk.depth, bulk.bells, bulk.oldest_at) == (0, None, None)
    assert await city.ledger.read(backlog) == 3


async def test_the_end_of_our_certificate_is_shown(city: City) -> None:
    authority = TestAuthority(city.config.certificates_directory)
    authority.create()
    authority.issue("gateway", profile="peer", dns=["gateway"])
    [party] = await city.service.parties()
    assert party.certificate_ends_at is not None


async def test_pause_and_resume(city: City) -> None:
    await city.submit("m1")
    paused = await city.service.pause("operator-a", PARTY, "works at the centre")
    assert paused.paused_by == "operator-a"
    view = await city.view("m1")
    assert view.party_down
    assert (view.state, view.reason) == (State.QUEUED, "party-paused")
    assert (await city.service.resume("operator-a", PARTY, "done")).paused_by is None
    with pytest.raises(NotFound):
        await city.service.pause("operator-a", "nobody", "a reason")


async def test_a_message_is_found_by_each_of_its_ids_with_its_record(city: City) -> None:
    await city.submit("m1")
    await city.submit("m2")
    view = await city.hold("m1")
    by_source = await city.service.message("m1")
    assert await city.service.message(view.delivery_id) == await city.service.message(by_source.message_id)
    assert by_source.message_id == view.message_id
    assert [entry.kind for entry in by_source.timeline] == ["accepted", "outcome"]
    assert by_source.timeline[1].detail["code"] == "E103"
    assert (view.state, view.hold, view.reason, view.behind) == (State.HELD, Hold.REJECTED, "E103", 1)
    assert view.allowed == (Command.RETRY, Command.CORRECT)  # the type bears 更新順番号: never skipped (R4)
    waiting = await city.view("m2")
    assert (waiting.state, waiting.blocked_by, waiting.allowed) == (State.WAITING_BEHIND, view.delivery_id, ())
    with pytest.raises(NotFound):
        await city.service.message("m9")


async def test_an_id_that_two_systems_used_is_ambiguous(city: City) -> None:
    await city.submit("m1")
    other = kit.preparer(city.keys).prepare(kit.submission(kit.xml(2, request_control_number="R000000099"), id="m1"))
    await city.ledger.admit([dataclasses.replace(other, system=kit.OTHER)])
    with pytest.raises(NotFound) as error:
        await city.service.message("m1")
    assert error.value.code == "ambiguous"


async def test_held_comes_in_pages_longest_held_first(city: City) -> None:
    for i in range(5):
        await city.submit(f"m{i}", i + 1)
        await city.hold(f"m{i}")
    found: list[str] = []
    after = None
    for _ in range(3):
        page = await city.service.held(parties=[PARTY], limit=2, after=after)
        found += [each.delivery_id for each in page.items]
        after = page.next_after
    assert after is None
    assert found == [(await city.view(f"m{i}")).delivery_id for i in range(5)]
    assert len((await city.service.held(parties=None, limit=5, after=None)).items) == 5
    with pytest.raises(NotFound):
        await city.service.held(parties=["nobody"], limit=5, after=None)
    with pytest.raises(InputRefused):
        await city.service.held(parties=None, limit=5, after="from elsewhere")


@pytest.mark.rule("R13")
async def test_retry_and_its_refusals(city: City) -> None:
    await city.submit("m1")
    view = await city.hold("m1")
    with pytest.raises(CommandRefused) as error:
        await city.service.retry("operator-a", view.delivery_id, Seen(state=State.QUEUED, digest=view.digest), "a reason")
    assert error.value.code == "changed-meanwhile"
    done = await city.service.retry("operator-a", view.delivery_id, seen(view), "the party has put it right")
    assert (done.command, done.status, done.decided_by) == (Command.RETRY, RequestStatus.DONE, "operator-a")
    assert (await city.view("m1")).state is State.QUEUED
    with pytest.raises(NotFound):
        await city.service.retry("operator-a", "none", seen(view), "a reason")


@pytest.mark.rule("R4")
async def test_a_type_that_the_party_counts_is_not_skipped(city: City) -> None:
    await city.submit("m1")
    view = await city.hold("m1")
    with pytest.raises(CommandRefused) as error:
        await city.service.skip("operator-a", view.delivery_id, seen(view), "a reason")
    assert (error.value.code, error.value.rule) == ("skip-forbidden", "R4")


@pytest.mark.rule("R13")
@pytest.mark.rule("R4")
async def test_a_correction_from_request_to_delivery(city: City) -> None:
    await city.submit("m1")
    await city.submit("m2")
    view = await city.hold("m1")
    content = kit.xml(1, request_control_number="R999999999")
    asked = await city.service.correct("operator-a", view.delivery_id, seen(view), "wrong town code", content)
    assert asked.status is RequestStatus.WAITING
    assert [each.request_id for each in await city.desk.requests(waiting_only=True)] == [asked.request_id]
    assert (await city.service.status()).requests_waiting == 1
    shown = (await city.desk.content("operator-b", asked.request_id)).content
    assert b"R999999999" in shown
    assert asked.approval_digest != view.digest
    with pytest.raises(CommandRefused) as error:
        await city.desk.approve("operator-b", asked.request_id, view.digest)
    assert error.value.code == "digest-changed"
    with pytest.raises(CommandRefused) as error:
        await city.desk.approve("operator-a", asked.request_id, asked.approval_digest)
    assert error.value.code == "same-person"
    done = await city.desk.approve("operator-b", asked.request_id, asked.approval_digest)
    assert (done.status, done.decided_by) == (RequestStatus.DONE, "operator-b")
    new = await city.view("m1")
    assert new.delivery_id != view.delivery_id
    assert (new.number, new.state, new.digest) == (view.number, State.QUEUED, asked.content_digest)
    result = await city.ledger.claim(city.worker, PARTY, [await city.key(new.delivery_id)], TRAITS)
    [claim] = result.claimed
    opened = Sealer(city.keys).unseal(
        claim.sealed, wrapped=claim.wrapped, kek_id=claim.kek_id, message_id=claim.message_id, message_type=claim.message_type, party=PARTY
    )
    assert opened == shown
    kinds = [entry.kind for entry in (await city.service.message("m1")).timeline]
    assert "content-read" in kinds
    assert kinds.count("command-refused") == 2
    told = await city.ledger.read(lambda conn: own_message(conn, kit.REGISTER, "m1"))
    assert told is not None
    assert [each["state"] for each in told["deliveries"]] == ["sending"]  # the corrected one only


@pytest.mark.rule("R4")
@pytest.mark.parametrize(
    ("case", "code"),
    [
        ("malformed", "malformed-xml"),
        ("other-type", "wrong-root"),
        ("other-resident", "other-resident"),
        ("unknown-resident", "other-resident"),
        ("old-key", "party-key-reused"),
        ("used-key", "party-key-reused"),
        ("too-large", "too-large"),
    ],
)
async def test_what_a_correction_may_not_be(city: City, case: str, code: str) -> None:
    await city.submit("m1", 1)
    await city.submit("m2", 2)
    view = await city.hold("m1")
    contents = {
        "malformed": b"<not xml",
        "other-type": b"<IdentityUpdateResult xmlns='urn:renkei:format:identity-update-result:1'/>",
        "other-resident": kit.xml(2, request_control_number="R999999999"),
        "unknown-resident": kit.xml(3, request_control_number="R999999999"),
        "old-key": kit.xml(1, request_control_number="Rm1".ljust(10, "0"), postal_code="9990002"),
        "used-key": kit.xml(1, request_control_number="Rm2".ljust(10, "0")),
        "too-large": b" " * (city.config.intake.limits.message_bytes + 1),
    }
    with pytest.raises((InputRefused, CommandRefused)) as error:
        await city.service.correct("operator-a", view.delivery_id, seen(view), "a reason", contents[case])
    assert error.value.code == code
    assert not await city.desk.requests(waiting_only=False)


@pytest.mark.rule("R3")
@pytest.mark.flow("F2-1")
async def test_what_others_wait_for_is_corrected_by_its_sender_only(city: City) -> None:
    """The notice for the prefecture is made of the update: an operator's correction of the update alone would let the former one go."""
    both = frozenset({PARTY, "prefecture-server"})
    city.intake = Intake(preparer=kit.preparer(city.keys, parties=both), ledger=city.ledger)
    await city.submit("m1", 1)
    views = {each.party: each for each in (await city.service.message("m1")).deliveries}
    city.worker = await city.ledger.register("worker")
    claimed = (await city.ledger.claim(city.worker, PARTY, [await city.key(views[PARTY].delivery_id)], TRAITS)).claimed
    refusals = [Learned(claim=claim, answer=Rejected(code="E103")) for claim in claimed]
    await city.ledger.write_outcomes(city.worker, PARTY, refusals, TRAITS, go_on=False)
    held = next(each for each in (await city.service.message("m1")).deliveries if each.party == PARTY)
    with pytest.raises(CommandRefused) as error:
        content = kit.xml(1, request_control_number="R999999999")
        await city.service.correct("operator-a", held.delivery_id, seen(held), "wrong town code", content)
    assert error.value.code == "others-wait"
    # what operators and backups open is known by the type that it was sealed as
    sealed = await city.ledger.read(lambda conn: contents.delivery_content(conn, views["prefecture-server"].delivery_id))
    assert sealed is not None
    assert sealed.message_type == "identity-information-notice"
    again = kit.submission(kit.xml(1, request_control_number="R999999999"), id="m2", corrects="m1")
    assert (await city.intake.admit_one(again)).refusal is None
    states = {(each.party, each.state) for each in (await city.service.message("m1")).deliveries}
    assert {party for party, _ in states} == both
    assert State.QUEUED not in {state for _, state in states}, "both were replaced"


async def test_a_correction_is_recognised_after_the_hmac_key_has_rotated(city: City) -> None:
    await city.submit("m1", 1)
    view = await city.hold("m1")
    city.keys.rotate(Kind.BLIND)
    asked = await city.service.correct("operator-a", view.delivery_id, seen(view), "why", kit.xml(1, request_control_number="R999999999"))
    assert asked.status is RequestStatus.WAITING


@pytest.mark.rule("R13")
async def test_settle_and_withdraw(city: City) -> None:
    await city.submit("m1")
    await city.deliver("m1", Unknown(code="timeout"))
    await city.deliver("m1", OK)  # finds nothing to send: it is held
    view = await city.view("m1")
    assert (view.state, view.hold) == (State.UNKNOWN, Hold.UNKNOWN)
    assert view.allowed == (Command.SETTLE,)
    with pytest.raises(CommandRefused) as error:
        await city.service.retry("operator-a", view.delivery_id, seen(view), "a reason")
    assert error.value.code == "retry-unknown"
    first = await city.service.settle("operator-a", view.delivery_id, seen(view), "the centre says that it is not there", False)
    assert first.took_effect is False
    assert (await city.desk.withdraw("operator-a", first.request_id)).status is RequestStatus.WITHDRAWN
    second = await city.service.settle("operator-a", view.delivery_id, seen(view), "the centre has found it", True)
    await city.desk.approve("operator-b", second.request_id, second.approval_digest)
    assert (await city.view("m1")).state is State.DELIVERED
    assert [each.request_id for each in await city.desk.requests(waiting_only=False)] == [second.request_id, first.request_id]
    with pytest.raises(NotFound):
        await city.desk.content("operator-b", second.request_id)
    with pytest.raises(NotFound):
        await city.desk.request("none")


async def test_what_a_sender_is_told_of_its_own_message(city: City) -> None:
    await city.submit("m1")
    await city.hold("m1")
    told = await city.ledger.read(lambda conn: own_message(conn, kit.REGISTER, "m1"))
    assert told is not None
    assert told["deliveries"] == [{"party": PARTY, "state": "held", "reason": "E103", "outcome_code": "E103"}]
    assert told["accepted_at"].endswith("Z")
    assert await city.ledger.read(lambda conn: own_message(conn, kit.OTHER, "m1")) is None
