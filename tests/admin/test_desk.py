"""The desk on a real ledger with real keys: four eyes for every kind, kept refusals, bulk output, payloads. All residents are made up."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from gateway.admin.desk import QuarantineView
from gateway.admin.ledger_accounts import LedgerAccounts
from gateway.admin.ledger_desk import LedgerDesk
from gateway.admin.service import Command, Hold, NotFound, RequestStatus, RequestView, State
from gateway.admin.words import what_next
from gateway.approvals.kinds import RULES, Effect, Kind, Role
from gateway.approvals.rights import Rights
from gateway.delivery.results import Results
from gateway.errors import CommandRefused, InputRefused
from gateway.intake.admit import Intake
from gateway.ledger import bulk, contents
from gateway.ledger import tables as t
from gateway.ledger.ledger import Ledger
from gateway.ledger.unit import MARKS
from gateway.policy.rights import Rights as PolicyRights
from gateway.policy.rights import StalePolicy
from gateway.policy.routes import PolicyTables, build, tables
from gateway.security.blind import BlindIndex, ContentMac
from gateway.security.sealing import Sealer
from message_formats import catalogue, reading, samples
from tests.admin.test_ledger_service import OK, PARTY, City, ledger_url, postgres_server, postgres_url, seen
from tests.intake import kit
from tests.intake.test_content_guard import DISGUISES, NOTICE, disguised, everything, places

pytestmark = pytest.mark.thorough

__all__ = ["ledger_url", "postgres_server", "postgres_url"]
A, B = "operator-a", "operator-b"


def ways(approval: str | None = None) -> PolicyTables:
    """The register may send two types to the city CS; what leaves of the one needs an approval."""
    packaged = tables()
    route: dict[str, Any] = {"party": PARTY, "stream": "identity", "lane": "bulk"}
    return build(
        {
            "systems": {"in-house": [*packaged.in_house], "outside": [*packaged.outside]},
            "ephemeral": [*packaged.ephemeral],
            "connections": {name: [{"from": kit.REGISTER, "to": PARTY}] for name in (kit.TYPE, NOTICE)},
        },
        {
            "routes": {
                kit.TYPE: [{**route, **({"approval": approval} if approval else {})}],
                NOTICE: [{"party": PARTY, "stream": "notice", "lane": "live"}],
            }
        },
    )


class Hall(City):
    """A city with a desk, whose routes a test chooses."""

    def routes(self, approval: str | None) -> None:
        preparer = kit.preparer(self.keys, policy=ways(approval), senders=everything())
        self.intake = Intake(preparer=preparer, ledger=self.ledger)
        self.desk._hand_in = self.intake.admit_again

    async def entries(self, kind: str) -> list[Any]:
        query = select(t.audit_entry).where(t.audit_entry.c.kind == kind).order_by(t.audit_entry.c.id)
        return await self.ledger.read(lambda conn: list(conn.execute(query).all()))

    async def age(self, request_id: str) -> None:
        """Nobody decided this request in time."""
        statement = update(t.command).where(t.command.c.id == request_id).values(expires_at=1.0)

        class Age:
            bulk, size = False, 1

            def plan(self, unit: Any) -> None: ...
            def apply(self, unit: Any) -> None:
                unit.conn.execute(statement)

            def finish(self, unit: Any) -> None: ...

        await self.ledger.submit(Age())

    async def mark(self, source_id: str, until: str | None = None) -> None:
        """Support measures for whom a message is about."""
        message = t.message.c
        query = select(message.subject, message.id).where(message.source_id == source_id)

        class Mark:
            bulk, size = False, 1

            def plan(self, unit: Any) -> None: ...
            def apply(self, unit: Any) -> None:
                subject, message_id = unit.conn.execute(query).one()
                unit.insert_ignore(t.meta, [{"name": MARKS, "value": "1"}])
                unit.conn.execute(t.person_mark.delete())
                row = {"subject": subject, "mark": "support-1", "since": "2020-01-01", "until": until, "message_id": message_id, "at": 1.0}
                unit.conn.execute(t.person_mark.insert().values(row))

            def finish(self, unit: Any) -> None: ...

        await self.ledger.submit(Mark())

    async def refuse(self, data: bytes = b"<broken", source_id: str = "bad-1", type_: str = kit.TYPE) -> QuarantineView:
        """A message that a door refuses and keeps."""
        answer = await self.intake.admit_one(kit.submission(data, id=source_id, type=type_))
        assert answer.refusal is not None
        return (await self.desk.quarantine(kept_only=True, limit=10, before=None))[0]


@pytest.fixture
async def hall(tmp_path: Path, ledger_url: str) -> AsyncIterator[Hall]:
    ledger = await asyncio.to_thread(Ledger.open, ledger_url)
    hall = Hall(tmp_path, ledger)
    hall.routes(None)
    yield hall
    await ledger.close()


async def code_of(call: Any) -> str:
    with pytest.raises(CommandRefused) as error:
        await call
    return error.value.code


# ---- four eyes, for every kind ---------------------------------------------------------------------------------------------------------


async def ask(hall: Hall, kind: Kind) -> RequestView:
    """A request of each kind, by operator-a."""
    reason = "a reason"
    if kind in (Kind.SKIP, Kind.CORRECT, Kind.SETTLE, Kind.RELEASE, Kind.REVEAL, Kind.BULK_OUTPUT, Kind.BY_HAND):
        hall.routes({Kind.RELEASE: "release", Kind.BULK_OUTPUT: "bulk-output"}.get(kind))
        if kind is Kind.SKIP:
            notice = samples.message(NOTICE).to_bytes()
            assert (await hall.intake.admit_one(kit.submission(notice, id="m1", type=NOTICE))).refusal is None
        else:
            await hall.submit("m1")
        if kind is Kind.BULK_OUTPUT:
            [waiting] = await hall.desk.bulk()
            return await hall.desk.ask_bulk_output(A, waiting.party, waiting.type, waiting.digest, reason)
        if kind is Kind.SETTLE:
            from gateway.contract import Unknown

            await hall.deliver("m1", Unknown(code="timeout"))
            await hall.deliver("m1", OK)
        elif kind is Kind.RELEASE:
            await hall.deliver("m1", OK)  # finds that it may not leave yet
        elif kind is Kind.BY_HAND:
            await hall.service.manual(A, "city-cs", reason)
        elif kind is not Kind.REVEAL:
            await hall.hold("m1")
        view = await hall.view("m1")
        if kind is Kind.REVEAL:
            return await hall.desk.ask_reveal(A, view.delivery_id, view.digest, reason, clear=False)
        if kind is Kind.CORRECT:
            return await hall.service.correct(A, view.delivery_id, seen(view), reason, kit.xml(1, request_control_number="R999999999"))
        if kind is Kind.SETTLE:
            return await hall.service.settle(A, view.delivery_id, seen(view), reason, True)
        command = {Kind.SKIP: hall.service.skip, Kind.BY_HAND: hall.service.by_hand}.get(kind, hall.service.release)
        return await command(A, view.delivery_id, seen(view), reason)
    if kind in (Kind.QUARANTINE_RELEASE, Kind.QUARANTINE_DISCARD):
        kept = await hall.refuse()
        call = hall.desk.ask_release if kind is Kind.QUARANTINE_RELEASE else hall.desk.ask_discard
        return await call(A, kept.quarantine_id, kept.digest, reason)
    for each in (
        Kind.POLICY_CHANGE,
        Kind.PURGE,
        Kind.RESTORE_RELEASE,
        Kind.RECONCILIATION_CORRECTION,
        Kind.MEDIUM_OUTPUT,
    ):  # each tested where it belongs
        hall.desk.effects[each] = lambda _: lambda _unit, _row: "applied"
    if kind is Kind.OPERATOR_RIGHTS:
        configured = {"operator-c": Rights(roles=frozenset({Role.VIEWER}))}
        accounts = LedgerAccounts(hall.ledger, configured)
        accounts.serve_at(hall.desk)
        return await accounts.ask_rights(A, "operator-c", configured["operator-c"].digest(), reason)
    return await hall.desk.ask(kind, A, "policy 2", seen_digest=b"d" * 32, reason=reason)


TWO = [kind for kind, rule in RULES.items() if rule.effect is not Effect.AT_ONCE]


@pytest.mark.rule("R13")
@pytest.mark.control("C-1-2-16")
@pytest.mark.control("C-2-2-6")
@pytest.mark.parametrize("kind", TWO, ids=lambda each: each.value)
async def test_nobody_approves_their_own_request_nor_what_they_did_not_see_nor_too_late(hall: Hall, kind: Kind) -> None:
    asked = await ask(hall, kind)
    assert (asked.command, asked.status, asked.requested_by, asked.reason) == (kind, RequestStatus.WAITING, A, "a reason")
    approve = hall.desk.approve
    assert await code_of(approve(A, asked.request_id, asked.approval_digest)) == "same-person"
    assert await code_of(approve(B, asked.request_id, b"x" * 32)) == "digest-changed"
    assert (await hall.desk.request(asked.request_id)).status is RequestStatus.WAITING
    await hall.age(asked.request_id)
    assert await code_of(approve(B, asked.request_id, asked.approval_digest)) == "request-expired"
    assert (await hall.desk.request(asked.request_id)).status is RequestStatus.EXPIRED
    assert await code_of(approve(B, asked.request_id, asked.approval_digest)) == "request-decided"
    assert len(await hall.entries("command-requested")) == 1
    assert len(await hall.entries("command-refused")) == 4
    assert not await hall.entries("command")


@pytest.mark.rule("R13")
@pytest.mark.parametrize("kind", TWO, ids=lambda each: each.value)
async def test_whoever_lost_the_role_meanwhile_has_asked_for_nothing(hall: Hall, kind: Kind) -> None:
    asked = await ask(hall, kind)
    hall.entitled = False
    assert await code_of(hall.desk.approve(B, asked.request_id, asked.approval_digest)) == "requester-not-entitled"
    assert (await hall.desk.request(asked.request_id)).status is RequestStatus.REFUSED


@pytest.mark.control("C-1-2-16")
@pytest.mark.control("C-1-7-12")
@pytest.mark.parametrize("kind", TWO, ids=lambda each: each.value)
@pytest.mark.control("C-1-3-21")
@pytest.mark.control("C-2-3-6")
@pytest.mark.control("C-2-3-10")
async def test_both_persons_are_on_record_and_one_may_take_back_what_the_other_refuses(hall: Hall, kind: Kind) -> None:
    asked = await ask(hall, kind)
    assert await code_of(hall.desk.withdraw(B, asked.request_id)) == "not-the-requester"
    assert await code_of(hall.desk.refuse(A, asked.request_id, "no")) == "same-person"
    done = await hall.desk.refuse(B, asked.request_id, "not now")
    assert (done.status, done.requested_by, done.decided_by) == (RequestStatus.REFUSED, A, B)
    [entry] = await hall.entries("command-declined")
    assert (entry.actor, "not now" in entry.detail) == (B, True)


# ---- deliveries that leave only when approved ------------------------------------------------------------------------------------------


@pytest.mark.rule("R13")
async def test_a_delivery_that_needs_a_release_is_held_at_its_turn_until_two_persons_let_it_go(hall: Hall) -> None:
    hall.routes("release")
    await hall.submit("m1")
    await hall.deliver("m1", OK)
    view = await hall.view("m1")
    assert (view.state, view.hold, view.reason) == (State.HELD, Hold.APPROVAL, "needs-release")
    assert Command.RETRY not in view.allowed
    assert Command.RELEASE in view.allowed
    assert await code_of(hall.service.retry(A, view.delivery_id, seen(view), "let it go")) == "needs-approval"
    asked = await hall.service.release(A, view.delivery_id, seen(view), "the resident has asked for it")
    await hall.deliver("m1", OK)
    assert (await hall.view("m1")).state is State.HELD
    await hall.desk.approve(B, asked.request_id, asked.approval_digest)
    await hall.deliver("m1", OK)
    assert (await hall.view("m1")).state is State.DELIVERED


@pytest.mark.rule("R4")
async def test_a_correction_of_what_needs_a_release_needs_it_still(hall: Hall) -> None:
    hall.routes("release")
    await hall.submit("m1")
    await hall.deliver("m1", OK)
    view = await hall.view("m1")
    asked = await hall.service.correct(A, view.delivery_id, seen(view), "a typing error", kit.xml(1, request_control_number="R999999999"))
    await hall.desk.approve(B, asked.request_id, asked.approval_digest)
    await hall.deliver("m1", OK)
    assert (await hall.view("m1")).hold is Hold.APPROVAL


@pytest.mark.control("C-1-3-28")
@pytest.mark.control("C-2-3-14")
@pytest.mark.control("C-3-3-7")
async def test_bulk_output_starts_only_when_approved_and_only_what_was_seen(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "STEP", 2)
    hall.routes("bulk-output")
    for i in range(5):
        await hall.submit(f"m{i}", i + 1)
    await hall.submit("m0-b", 1)  # waits behind m0
    for i in range(3):
        await hall.deliver(f"m{i}", OK)
    assert [(await hall.view(f"m{i}")).state for i in range(5)] == [State.HELD] * 3 + [State.QUEUED] * 2
    held = await hall.view("m0")
    assert held.reason == "needs-bulk-output"
    assert await code_of(hall.service.release(A, held.delivery_id, seen(held), "just this")) == "no-approval-needed"
    [waiting] = await hall.desk.bulk()
    assert (waiting.party, waiting.type, waiting.count) == (PARTY, kit.TYPE, 6)
    with pytest.raises(NotFound):
        await hall.desk.ask_bulk_output(A, PARTY, NOTICE, waiting.digest, "yearly")
    assert await code_of(hall.desk.ask_bulk_output(A, PARTY, kit.TYPE, b"x" * 32, "yearly")) == "changed-meanwhile"
    asked = await hall.desk.ask_bulk_output(A, PARTY, kit.TYPE, waiting.digest, "the yearly reconciliation")
    assert asked.argument is not None
    assert asked.argument["count"] == 6
    await hall.submit("late", 9)
    done = await hall.desk.approve(B, asked.request_id, asked.approval_digest)
    assert (done.status, done.outcome, done.decided_by) == (RequestStatus.DONE, "released", B)
    for name in ("m0", "m0-b", "m1", "m2", "m3", "m4", "late"):
        await hall.deliver(name, OK)
    states = {name: (await hall.view(name)).state for name in ("m0", "m0-b", "m1", "m2", "m3", "m4", "late")}
    assert states.pop("late") is State.HELD
    assert set(states.values()) == {State.DELIVERED}
    [waiting] = await hall.desk.bulk()
    assert waiting.count == 1


@pytest.mark.control("C-1-3-28")
async def test_a_set_that_changed_after_the_request_is_not_released(hall: Hall) -> None:
    hall.routes("bulk-output")
    for i in range(2):
        await hall.submit(f"m{i}", i + 1)
    [waiting] = await hall.desk.bulk()
    asked = await hall.desk.ask_bulk_output(A, PARTY, kit.TYPE, waiting.digest, "the yearly reconciliation")
    await hall.deliver("m0", OK)
    view = await hall.view("m0")
    correction = await hall.service.correct(A, view.delivery_id, seen(view), "wrong", kit.xml(1, request_control_number="R999999999"))
    await hall.desk.approve(B, correction.request_id, correction.approval_digest)
    assert await code_of(hall.desk.approve(B, asked.request_id, asked.approval_digest)) == "changed-meanwhile"
    assert (await hall.desk.request(asked.request_id)).status is RequestStatus.REFUSED


async def test_what_a_crash_left_half_released_is_carried_on(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    hall.routes("bulk-output")
    for i in range(3):
        await hall.submit(f"m{i}", i + 1)
    [waiting] = await hall.desk.bulk()
    asked = await hall.desk.ask_bulk_output(A, PARTY, kit.TYPE, waiting.digest, "the yearly reconciliation")

    async def dies(*_: object) -> None:
        raise ConnectionError

    with monkeypatch.context() as patched:
        patched.setattr(LedgerDesk, "_release_all", dies)
        with pytest.raises(ConnectionError):
            await hall.desk.approve(B, asked.request_id, asked.approval_digest)
    assert (await hall.desk.request(asked.request_id)).status is RequestStatus.APPROVED
    await hall.desk.resume()
    assert (await hall.desk.request(asked.request_id)).status is RequestStatus.DONE
    assert await hall.desk.bulk() == []


# ---- what was refused and is kept --------------------------------------------------------------------------------------------------------


@pytest.mark.invariant("I10")
async def test_what_was_refused_is_listed_with_rule_and_place_and_without_its_content(hall: Hall) -> None:
    first = await hall.refuse(source_id="bad-1")
    second = await hall.refuse(b"<also broken", source_id="bad-2")
    assert (first.code, first.status, first.has_body, first.releasable, first.source_id) == ("malformed-xml", "kept", True, True, "bad-1")
    page = await hall.desk.quarantine(kept_only=True, limit=1, before=None)
    assert [each.quarantine_id for each in page] == [second.quarantine_id]
    page = await hall.desk.quarantine(kept_only=True, limit=5, before=second.quarantine_id)
    assert [each.quarantine_id for each in page] == [first.quarantine_id]
    assert b"broken" not in repr(await hall.desk.quarantine(kept_only=True, limit=5, before=None)).encode()
    with pytest.raises(NotFound):
        await hall.desk.quarantined("nothing")


@pytest.mark.control("C-2-2-6")
async def test_a_suspicion_of_the_guard_passes_when_two_persons_say_so_and_that_is_on_record(hall: Hall) -> None:
    data = disguised(NOTICE, places(catalogue.get(NOTICE))[0], DISGUISES[0])
    kept = await hall.refuse(data, "guarded", NOTICE)
    assert (kept.code, kept.rule) == ("number-suspected", "content-guard")
    asked = await hall.desk.ask_release(A, kept.quarantine_id, kept.digest, "it is the number of a building")
    with pytest.raises(NotFound):
        await hall.service.message("guarded")
    done = await hall.desk.approve(B, asked.request_id, asked.approval_digest)
    assert (done.status, done.outcome) == (RequestStatus.DONE, "accepted")
    message = await hall.service.message("guarded")
    after = await hall.desk.quarantined(kept.quarantine_id)
    assert (after.status, after.message_id, after.request_id) == ("released", message.message_id, asked.request_id)
    [entry] = [each for each in await hall.entries("command") if "waived" in each.detail]
    assert '"waived":["content-guard"]' in entry.detail
    assert await code_of(hall.desk.ask_release(A, kept.quarantine_id, kept.digest, "again")) == "not-releasable"


async def test_only_the_guard_is_set_aside_every_other_check_holds(hall: Hall) -> None:
    kept = await hall.refuse()
    asked = await hall.desk.ask_release(A, kept.quarantine_id, kept.digest, "try it again")
    done = await hall.desk.approve(B, asked.request_id, asked.approval_digest)
    assert (done.status, done.outcome) == (RequestStatus.DONE, "refused:malformed-xml")
    after = await hall.desk.quarantined(kept.quarantine_id)
    assert (after.status, after.message_id) == ("kept", None)
    assert len(await hall.desk.quarantine(kept_only=False, limit=10, before=None)) == 1  # not kept twice


async def test_what_the_sender_corrected_meanwhile_is_not_overtaken(hall: Hall) -> None:
    kept = await hall.refuse(source_id="m1")
    await hall.submit("m1")
    asked = await hall.desk.ask_release(A, kept.quarantine_id, kept.digest, "hand it in")
    done = await hall.desk.approve(B, asked.request_id, asked.approval_digest)
    assert done.outcome is not None
    assert done.outcome.startswith("refused:")


@pytest.mark.control("C-1-2-16")
@pytest.mark.invariant("I9")
async def test_discarding_destroys_the_key_and_leaves_the_evidence(hall: Hall) -> None:
    kept = await hall.refuse()
    asked = await hall.desk.ask_discard(A, kept.quarantine_id, kept.digest, "sent by mistake")
    await hall.desk.approve(B, asked.request_id, asked.approval_digest)
    after = await hall.desk.quarantined(kept.quarantine_id)
    assert (after.status, after.has_body, after.releasable, after.code) == ("discarded", False, False, kept.code)
    gone = await hall.ledger.read(lambda conn: (conn.execute(select(t.data_key)).all(), conn.execute(select(t.payload)).all()))
    assert gone == ([], [])
    assert await code_of(hall.desk.ask_discard(A, kept.quarantine_id, after.digest, "again")) == "not-kept"


# ---- a look into a payload ---------------------------------------------------------------------------------------------------------------


@pytest.mark.control("C-1-3-23")
@pytest.mark.control("C-1-3-29")
@pytest.mark.parametrize("clear", [False, True])
async def test_a_payload_is_shown_once_to_who_asked_masked_unless_asked_otherwise(hall: Hall, clear: bool) -> None:
    await hall.submit("m1")
    view = await hall.view("m1")
    assert await code_of(hall.desk.ask_reveal(A, view.delivery_id, b"x" * 32, "to see it", clear=clear)) == "changed-meanwhile"
    asked = await hall.desk.ask_reveal(A, view.delivery_id, view.digest, "the party asks what it was", clear=clear)
    assert await code_of(hall.desk.reveal(A, asked.request_id)) == "not-approved"
    approved = await hall.desk.approve(B, asked.request_id, asked.approval_digest)
    assert approved.status is RequestStatus.APPROVED
    assert await code_of(hall.desk.reveal(B, asked.request_id)) == "not-the-requester"
    shown = await hall.desk.reveal(A, asked.request_id)
    sent = kit.xml(1, request_control_number="Rm1".ljust(10, "0"))
    assert shown.masked is not clear
    assert (shown.content == sent) is clear
    values = [text for text in (element.text for element in _elements(sent)) if text and len(text.strip()) > 3]
    assert values
    assert any(value.encode() in shown.content for value in values) is clear
    assert [element.tag for element in _elements(shown.content)] == [element.tag for element in _elements(sent)]
    assert await code_of(hall.desk.reveal(A, asked.request_id)) == "not-approved"
    [entry] = [each for each in await hall.entries("command") if "shown" in each.detail]
    assert (entry.actor, entry.delivery_id) == (A, view.delivery_id)
    assert f'"outcome":"shown-{"clear" if clear else "masked"}"' in entry.detail


@pytest.mark.control("C-1-3-31")
@pytest.mark.invariant("I7")
async def test_a_correction_hides_from_its_approver_where_a_resident_under_support_measures_lives(hall: Hall) -> None:
    await hall.submit("m1")
    view = await hall.hold("m1")
    where = {"address": "架空県架空市秘密町一丁目２番３号", "previous_address": "架空県以前市元町９", "postal_code": "9990001"}
    content = kit.xml(1, request_control_number="R999999999", **where)
    asked = await hall.service.correct(A, view.delivery_id, seen(view), "wrong town code", content)
    shown = await hall.desk.content(B, asked.request_id)
    assert not shown.masked
    assert all(value.encode() in shown.content for value in where.values())
    await hall.mark("m1")  # also when the mark comes after the request
    shown = await hall.desk.content(B, asked.request_id)
    assert shown.masked
    assert not any(value.encode() in shown.content for value in where.values())
    assert b"R999999999" in shown.content, "what the mark does not protect can be judged"
    assert ("漢" * 12 + "0漢0漢").encode() in shown.content, "its form too"
    read = [json.loads(each.detail)["masked"] for each in await hall.entries("content-read")]
    assert read == [False, True], "the record says what was seen"
    done = await hall.desk.approve(B, asked.request_id, asked.approval_digest)
    assert done.status is RequestStatus.DONE, "what is sealed is the whole: the approval is of that"


@pytest.mark.control("C-1-3-31")
async def test_a_payload_about_a_resident_under_support_measures_is_shown_masked_only(hall: Hall) -> None:
    await hall.submit("m1")
    view = await hall.view("m1")
    asked = await hall.desk.ask_reveal(A, view.delivery_id, view.digest, "the party asks what it was", clear=True)
    await hall.desk.approve(B, asked.request_id, asked.approval_digest)
    await hall.mark("m1")  # the mark comes after the approval
    assert await code_of(hall.desk.reveal(A, asked.request_id)) == "protected"
    assert await code_of(hall.desk.ask_reveal(A, view.delivery_id, view.digest, "once more", clear=True)) == "protected"
    asked = await hall.desk.ask_reveal(A, view.delivery_id, view.digest, "once more", clear=False)
    await hall.desk.approve(B, asked.request_id, asked.approval_digest)
    assert (await hall.desk.reveal(A, asked.request_id)).masked
    await hall.mark("m1", until="2020-03-31")  # it has ended
    await hall.desk.ask_reveal(A, view.delivery_id, view.digest, "once more", clear=True)


async def test_a_kept_refusal_can_be_looked_at_too(hall: Hall) -> None:
    kept = await hall.refuse(b"<broken 1234 \xe5\xb1\xb1\xe7\x94\xb0")
    asked = await hall.desk.ask_reveal(A, kept.quarantine_id, kept.digest, "what did they send?", clear=False)
    await hall.desk.approve(B, asked.request_id, asked.approval_digest)
    assert (await hall.desk.reveal(A, asked.request_id)).content.decode() == "＊aaaaaa 0000 漢漢"


def _elements(xml: bytes) -> list[Any]:
    from lxml import etree

    return list(etree.fromstring(xml).iter())


# ---- what operators are told -------------------------------------------------------------------------------------------------------------


async def test_what_is_held_says_that_a_request_waits(hall: Hall) -> None:
    await hall.submit("m1")
    view = await hall.hold("m1")
    asked = await hall.service.correct(A, view.delivery_id, seen(view), "wrong code", kit.xml(1, request_control_number="R999999999"))
    [held] = (await hall.service.held(parties=None, limit=5, after=None)).items
    assert [(each.request_id, each.command) for each in held.waiting] == [(asked.request_id, Kind.CORRECT)]
    assert asked.request_id in what_next(held, "en")
    assert "申請の承認を待っています" in what_next(held, "ja")
    await hall.desk.withdraw(A, asked.request_id)
    assert (await hall.view("m1")).waiting == ()


async def test_a_correction_passes_the_guard_too(hall: Hall) -> None:
    data = samples.message(NOTICE).to_bytes()
    assert (await hall.intake.admit_one(kit.submission(data, id="m1", type=NOTICE))).refusal is None
    view = await hall.hold("m1")
    bad = disguised(NOTICE, places(catalogue.get(NOTICE))[0], DISGUISES[0])
    with pytest.raises(InputRefused) as error:
        await hall.service.correct(A, view.delivery_id, seen(view), "wrong", bad)
    assert error.value.code == "number-suspected"


# ---- operators' accounts -----------------------------------------------------------------------------------------------------------------

NOW = dt.datetime.now(dt.UTC)


def people(**more: Rights) -> dict[str, Rights]:
    return {A: Rights(roles=frozenset({Role.OPERATOR})), B: Rights(roles=frozenset({Role.ADMINISTRATOR})), **more}


@pytest.mark.control("C-1-3-16")
@pytest.mark.control("C-1-3-20")
async def test_a_right_that_is_added_counts_when_another_person_approved(hall: Hall) -> None:
    await LedgerAccounts(hall.ledger, people()).take_over()
    more = people(**{A: Rights(roles=frozenset({Role.OPERATOR, Role.APPROVER})), "operator-c": Rights(roles=frozenset({Role.VIEWER}))})
    accounts = LedgerAccounts(hall.ledger, more)
    await accounts.take_over()  # knows somebody already: takes nothing over
    accounts.serve_at(hall.desk)
    table = {each.name: each for each in await accounts.operators()}
    assert table[A].roles == (Role.OPERATOR,)
    assert (table["operator-c"].roles, table["operator-c"].approved) == ((), None)
    assert table[B].pending_digest is None
    assert not await accounts.entitled("operator-c", Kind.RETRY)
    assert await code_of(accounts.ask_rights(B, A, b"x" * 32, "a new post")) == "changed-meanwhile"
    digest = table[A].pending_digest
    assert digest is not None
    asked = await accounts.ask_rights("operator-d", A, digest, "a new post")
    assert await code_of(hall.desk.approve(A, asked.request_id, asked.approval_digest)) == "same-person"  # one's own rights
    await hall.desk.approve(B, asked.request_id, asked.approval_digest)
    [line] = [each for each in await accounts.operators() if each.name == A]
    assert (set(line.roles), line.pending_digest) == ({Role.OPERATOR, Role.APPROVER}, None)
    assert (line.requested_by, line.approved_by) == ("operator-d", B)
    [entry] = await hall.entries("operator-rights")
    assert '"before"' in entry.detail
    fewer = LedgerAccounts(hall.ledger, {B: people()[B]})
    assert [each.roles for each in await fewer.operators() if each.name == A] == [()]  # taken away: at once
    assert not await fewer.entitled(A, Kind.RETRY)


@pytest.mark.control("C-1-3-17")
@pytest.mark.control("C-2-3-5")
@pytest.mark.control("C-2-3-17")
async def test_the_table_marks_what_was_not_reviewed_what_ended_and_what_is_not_used(hall: Hall) -> None:
    ended = Rights(roles=frozenset({Role.VIEWER}), valid_until=dt.date(2020, 3, 31))
    await LedgerAccounts(hall.ledger, people(left=ended)).take_over()
    accounts = LedgerAccounts(hall.ledger, people(left=ended), clock=lambda: NOW + dt.timedelta(days=800))
    table = {each.name: each for each in await accounts.operators()}
    assert table[A].overdue
    assert table[A].unused
    assert (table["left"].expired, table[A].expired) == (True, False)
    assert await code_of(accounts.review(A, A, "as needed")) == "same-person"
    now = LedgerAccounts(hall.ledger, people(left=ended))
    line = await now.review(B, A, "the post is the same")
    assert (line.overdue, line.reviewed_by) == (False, B)
    [entry] = await hall.entries("operator-reviewed")
    assert (entry.actor, "the post is the same" in entry.detail, f'"operator":"{A}"' in entry.detail) == (B, True, True)


@pytest.mark.control("C-1-3-19")
@pytest.mark.control("C-1-4-2")
@pytest.mark.control("C-1-4-3")
async def test_sessions_refusals_and_contractors_are_on_record(hall: Hall) -> None:
    contractor = Rights(roles=frozenset({Role.VIEWER}), contractor=True)
    accounts = LedgerAccounts(hall.ledger, people(contractor=contractor), refusals_s=3600)
    await accounts.take_over()
    for _ in range(3):
        account = await accounts.account("contractor")
        assert account is not None
        await accounts.sighted(account, "192.0.2.7")
        await accounts.refused("contractor", "role-missing", "retry", "192.0.2.7")
    [session] = await hall.entries("operator-session")
    assert (session.actor, '"contractor":true' in session.detail, "192.0.2.7" in session.detail) == ("contractor", True, True)
    await accounts.close()
    first, rest = await hall.entries("access-refused")
    assert ('"count":1' in first.detail, '"count":2' in rest.detail) == (True, True)
    assert await code_of(accounts.release(B, A, 2.0, "not needed")) == "no-contractor"
    line = await accounts.release(B, "contractor", 2.0, "maintenance")
    assert line.released_until is not None
    assert (await accounts.release(B, "contractor", 0.0, "they are done")).released_until is None
    assert [entry.kind for kind in ("contractor-released", "contractor-ended") for entry in await hall.entries(kind)] == [
        "contractor-released", "contractor-ended",
    ]  # fmt: skip


# ---- what the register is told of a decision ---------------------------------------------------------------------------------------------


@pytest.mark.rule("R13")
@pytest.mark.flow("F1-1")
@pytest.mark.flow("F2-1")
@pytest.mark.parametrize("kind", [Kind.SETTLE, Kind.BY_HAND])
async def test_the_register_learns_what_two_persons_settle_or_did_by_hand(hall: Hall, kind: Kind) -> None:
    asked = await ask(hall, kind)
    hall.desk._results = results = Results(
        policy=tables(), parties=frozenset({PARTY, kit.REGISTER}), rights=PolicyRights(), sealer=Sealer(hall.keys),
        blind=BlindIndex.following(hall.keys), mac=ContentMac.following(hall.keys),
    )  # fmt: skip
    made, once = results.of, iter([StalePolicy(), None])

    def made_late(told: Any, answer: Any) -> Any:
        """Made by a policy that counts no longer: the first time the ledger will not have it."""
        message = made(told, answer)
        return message if next(once) is None else dataclasses.replace(message, standing="another")

    results.of = made_late  # type: ignore[method-assign]
    await hall.desk.approve(B, asked.request_id, asked.approval_digest)
    assert (await hall.view("m1")).state is State.DELIVERED
    query = select(t.delivery.c.id, t.message.c.source_id, t.message.c.type).join(t.message, t.message.c.id == t.delivery.c.message_id)
    [told] = await hall.ledger.read(lambda conn: conn.execute(query.where(t.delivery.c.party == kit.REGISTER)).all())
    assert (told.type, told.source_id) == ("identity-update-result", f"result:{asked.delivery_id}:accepted")
    content = await hall.ledger.read(lambda conn: contents.delivery_content(conn, told.id))
    assert content is not None
    update = await hall.ledger.read(lambda conn: contents.delivery_content(conn, asked.delivery_id or ""))
    assert update is not None
    number = reading.read(hall.desk._unsealed(update), expected=kit.TYPE).items["request_control_number"]
    items = reading.read(hall.desk._unsealed(content), expected="identity-update-result").items
    assert (items["request_control_number"], items["outcome"], items["error_code"]) == (number, "accepted", None)
