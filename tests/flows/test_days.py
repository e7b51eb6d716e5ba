"""What depends on time and on who comes last: day of effect, newest-wins notices, sending again, a party worked by hand.

All data are fictitious.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from gateway.contract import Delivered, Receipt, Rejected, RetryLater
from gateway.delivery.rows import PartyTraits, State
from gateway.delivery.status import describe
from gateway.errors import CommandRefused
from gateway.flows.days import DayKeeper
from gateway.ledger import queries
from gateway.ledger import tables as t
from gateway.ledger.commands import Command, Seen
from gateway.ledger.outcomes import Learned
from gateway.policy.rights import JAPAN
from tests.audit.kit import Record
from tests.flows.test_tracker import DAY, City
from tests.ledger.kit import prepared, to

OK = Delivered(receipt=Receipt(code="00", body=b"<receipt/>"))
CS = ("identity-information-update", "city-cs")
NOTICE = "move-in-notice"
TRAITS = PartyTraits(party="city-cs", resend=True, memory_s=1e6, settle_s=1.0, call_s=10.0)


@pytest.fixture
async def city(tmp_path: Path, ledger_url: str) -> AsyncIterator[City]:
    record = await Record.open(ledger_url, tmp_path)
    yield City(record)
    await record.close()


def day(in_days: int) -> str:
    return (dt.datetime.now(JAPAN).date() + dt.timedelta(days=in_days)).isoformat()


async def admit(city: City, source_id: str, *, who: int = 1, type: str = CS[0], party: str = CS[1], **more: Any) -> str | None:
    """The message's id, or None where it is refused; the code is in ``refused``."""
    of_delivery = {name: more.pop(name) for name in ("effective_on", "newest") if name in more}
    delivery = dataclasses.replace(to(party, stream=type, content=source_id), **of_delivery)
    [admission] = await city.ledger.admit([prepared(source_id, delivery, who=who, type=type, content=source_id, **more)])
    refused[source_id] = None if admission.refusal is None else admission.refusal.code
    return None if admission.refusal is not None else admission.message_id


refused: dict[str, str | None] = {}


async def row(city: City, message_id: str | None) -> dict[str, Any]:
    return await city.row(t.delivery, t.delivery.c.message_id == message_id)


async def send(city: City, party: str = "city-cs", answer: Any = OK, *, limit: int = 20) -> list[str]:
    """Work everything that is due at a party, one after the other; the messages in the order in which they left."""
    sent = []
    worker = await city.ledger.register("worker")
    traits = dataclasses.replace(TRAITS, party=party)
    for _ in range(limit):
        query = select(t.key_row.c.id).where(t.key_row.c.party == party, t.key_row.c.due_at.is_not(None), t.key_row.c.held.is_(None))
        claimed = []
        for key in await city.ledger.read(lambda conn, q=query: list(conn.execute(q).scalars())):  # type: ignore[misc]
            claimed += (await city.ledger.claim(worker, party, [key], traits)).claimed
        if not claimed:
            break
        for claim in claimed:
            sent.append(claim.message_id)
            await city.ledger.write_outcomes(worker, party, [Learned(claim=claim, answer=answer)], traits, go_on=False)
    return sent


# ---- day of effect -------------------------------------------------------------------------------------------------------------------


@pytest.mark.rule("R2")
@pytest.mark.invariant("I3")
async def test_what_has_a_day_of_effect_waits_visibly_and_holds_nothing_that_may_go_now(city: City) -> None:
    later, now = await admit(city, "later", effective_on=day(3)), await admit(city, "now")
    waits = (await city.ledger.read(lambda conn: queries.deliveries(conn, t.delivery.c.message_id == later)))[0]
    assert (waits.status.word, waits.status.reason, waits.status.next) == ("waiting-for", "day-of-effect", "day")
    midnight = dt.datetime.combine(dt.date.fromisoformat(day(3)), dt.time(), JAPAN)
    assert waits.status.next_at == midnight.timestamp()
    assert await DayKeeper(city.ledger).once() == 0
    assert await send(city) == [now]
    assert (await row(city, later))["number"] == 0


@pytest.mark.rule("R2")
@pytest.mark.invariant("I3")
async def test_on_its_day_it_takes_its_place_in_the_order_of_release(city: City) -> None:
    """By day, then by acceptance, behind what was accepted and not sent before that day."""
    c, a, b = [await admit(city, name, effective_on=day(d)) for name, d in (("c", 3), ("a", 2), ("b", 2))]
    await city.shift(1 * DAY)
    first = await admit(city, "first")
    assert await DayKeeper(city.ledger).once() == 0
    await city.shift(3 * DAY)
    assert await DayKeeper(city.ledger).once() == 3
    last = await admit(city, "last")
    assert await send(city) == [first, a, b, c, last]
    assert await DayKeeper(city.ledger).once() == 0, "once"
    assert len(await city.entries("released-on-its-day")) == 3


async def test_a_day_that_has_come_or_is_past_is_now(city: City) -> None:
    today, past = await admit(city, "today", effective_on=day(0)), await admit(city, "past", effective_on=day(-3))
    assert await send(city) == [today, past]


@pytest.mark.rule("R4")
async def test_what_waits_for_its_day_may_be_replaced_before_it(city: City) -> None:
    """By one for another day, or for now: what was replaced never leaves."""
    first = await admit(city, "first", effective_on=day(2))
    other = await admit(city, "other", effective_on=day(5), corrects="first")
    await city.shift(3 * DAY)
    assert await DayKeeper(city.ledger).once() == 0
    now = await admit(city, "now", corrects="other")
    assert await send(city) == [now]
    await city.shift(9 * DAY)
    assert await DayKeeper(city.ledger).once() == 0
    assert {(await row(city, each))["state"] for each in (first, other)} == {"rejected"}


async def test_two_processes_release_once(city: City) -> None:
    from gateway.ledger import days

    message = await admit(city, "m", effective_on=day(1))
    await city.shift(2 * DAY)
    found = await city.ledger.read(lambda conn: days.due(conn, 10))
    for _ in range(2):
        await city.ledger.submit(days.ReleaseDay(deliveries=found))
    assert (await row(city, message))["number"] == 1
    assert (await city.row(t.key_row, t.key_row.c.party == "city-cs"))["next_number"] == 2


# ---- newest wins ---------------------------------------------------------------------------------------------------------------------


async def test_a_later_move_in_notice_takes_the_place_of_one_that_the_register_has_not_taken(city: City) -> None:
    register = "resident-record-system"
    notice: dict[str, Any] = {"type": NOTICE, "party": register, "system": "city-cs", "newest": True}
    first, other = await admit(city, "n1", **notice), await admit(city, "n2", who=2, **notice)
    assert await send(city, register, RetryLater(code="not-yet", after_s=3600.0), limit=1)
    second = await admit(city, "n3", **notice)
    assert ((await row(city, first))["state"], (await row(city, first))["replaced_by"]) == ("rejected", (await row(city, second))["id"])
    sent = await send(city, register)
    assert second in sent
    assert first not in sent
    assert (await row(city, other))["state"] == "queued", "of another resident: it waits as before"


@pytest.mark.invariant("I1")
async def test_a_notice_that_is_being_taken_is_not_superseded(city: City) -> None:
    register = "resident-record-system"
    notice: dict[str, Any] = {"type": NOTICE, "party": register, "system": "city-cs", "newest": True}
    first = await admit(city, "n1", **notice)
    worker = await city.ledger.register("worker")
    traits = dataclasses.replace(TRAITS, party=register)
    key = (await row(city, first))["key_id"]
    [claim] = (await city.ledger.claim(worker, register, [key], traits)).claimed
    second = await admit(city, "n2", **notice)
    third = await admit(city, "n3", **notice)
    assert (await row(city, second))["state"] == "rejected", "it was not sent yet: the newest has its place"
    await city.ledger.write_outcomes(worker, register, [Learned(claim=claim, answer=OK)], traits, go_on=False)
    assert await send(city, register) == [third]
    assert (await row(city, first))["state"] == "delivered"


# ---- sending again -------------------------------------------------------------------------------------------------------------------


async def test_a_message_is_sent_again_once_the_earlier_one_is_over(city: City) -> None:
    first = await admit(city, "m1")
    assert await admit(city, "again", resends="m1") is None
    assert await send(city) == [first]
    again = await admit(city, "again", resends="m1")
    assert again is not None
    assert (await city.row(t.message, t.message.c.id == again))["resends"] == first
    assert await send(city) == [again]
    assert refused["again"] is None
    for source_id, wrong in (
        ("x1", {"resends": "nothing"}),
        ("x2", {"resends": "m1", "who": 2}),
        ("x3", {"resends": "m1", "type": NOTICE}),
    ):
        assert await admit(city, source_id, **wrong) is None  # type: ignore[arg-type]
    assert [refused[each] for each in ("x1", "x2", "x3")] == ["resends-unknown", "resends-other-resident", "resends-other-type"]
    await city.follow()
    [case] = await city.cases()
    assert case.steps["1-3"].messages == [first, again]


# ---- a party worked by hand ----------------------------------------------------------------------------------------------------------


async def ask(city: City, message_id: str | None, actor: str = "operator-a") -> str:
    found = await row(city, message_id)
    party = (await city.ledger.read(lambda conn: queries.deliveries(conn, t.delivery.c.message_id == message_id)))[0]
    word = describe(party.delivery, party.key, party.party, party.now).word
    seen = Seen(delivery_id=found["id"], state=word, content_digest=bytes(found["content_digest"]))
    done = await city.ledger.command(Command(kind="by-hand", actor=actor, seen=seen, reason="entered at the terminal", traits=TRAITS))
    return str(done["request"])


async def approve(city: City, request: str, message_id: str | None, actor: str = "operator-b") -> None:
    digest = bytes((await row(city, message_id))["content_digest"])
    await city.ledger.command(Command(kind="", actor=actor, traits=TRAITS, command_id=request, approved_digest=digest))


@pytest.mark.rule("R13")
@pytest.mark.invariant("I2")
async def test_what_was_done_by_hand_is_not_sent_and_the_rest_follows_in_order(city: City) -> None:
    first, second, other = await admit(city, "m1"), await admit(city, "m2"), await admit(city, "m3", who=2)
    await city.ledger.pause("city-cs", "operator-a", "line down", paused=True, manual=True)
    assert await send(city) == []
    shown = (await city.ledger.read(lambda conn: queries.deliveries(conn, t.delivery.c.message_id == first)))[0]
    assert shown.status.reason == "party-manual"
    request = await ask(city, first)
    with pytest.raises(CommandRefused, match="second person"):
        await approve(city, request, first, "operator-a")
    await approve(city, request, first)
    done = await row(city, first)
    assert (done["state"], done["outcome_code"], done["attempts"]) == ("delivered", "done-by-hand", 0)
    with pytest.raises(CommandRefused) as refused_resume:
        await city.ledger.pause("city-cs", "operator-a", "a reason", paused=False)
    assert refused_resume.value.code == "party-manual"
    await city.ledger.pause("city-cs", "operator-a", "line is back", paused=False, manual=True)
    assert set(await send(city)) == {second, other}
    assert [each.kind for each in await city.entries("party-manual") + await city.entries("party-automatic")] == [
        "party-manual", "party-automatic",
    ]  # fmt: skip


@pytest.mark.rule("R13")
async def test_nothing_is_done_by_hand_at_a_party_that_works_by_itself_nor_what_may_have_been_sent(city: City) -> None:
    first = await admit(city, "m1")
    with pytest.raises(CommandRefused) as error:
        await ask(city, first)
    assert error.value.code == "party-automatic"
    await city.ledger.pause("city-cs", "operator-a", "line down", paused=True, manual=True)
    request = await ask(city, first)
    await city.ledger.pause("city-cs", "operator-a", "line is back", paused=False, manual=True)
    with pytest.raises(CommandRefused) as error:
        await approve(city, request, first)
    assert error.value.code == "party-automatic", "what was asked for meanwhile is void"
    assert await send(city) == [first]


async def test_a_refused_delivery_may_be_done_by_hand_too(city: City) -> None:
    first = await admit(city, "m1")
    assert await send(city, answer=Rejected(code="E01", fields=()), limit=1) == [first]
    await city.ledger.pause("city-cs", "operator-a", "line down", paused=True, manual=True)
    await approve(city, await ask(city, first), first)
    assert State((await row(city, first))["state"]) is State.DELIVERED
