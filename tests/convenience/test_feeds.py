"""What certificates are made of, and which cards work: a certificate is as current as the register, or there is none."""

from __future__ import annotations

import asyncio
import json

import pytest

from message_formats import samples
from simulators.convenience.world import Holder
from tests.convenience.kit import Ends
from tests.support.broker import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.mark.flow("FS1-7")
async def test_a_revoked_card_stops_working_with_the_receipt_of_its_revocation(ends: Ends) -> None:
    """From the moment when the register has its receipt: first the gateway refuses, then the issuing system knows."""
    holder = Holder(14)
    assert (await ends.ask(holder)).kind == "printed"
    await ends.issuing.stop_messages()
    assert await ends.hand_in("card-identifier-change", holder.card_change(validity="3")) == 202
    end = await ends.ask(holder)
    assert (end.kind, end.code) == ("refused", "changes-undelivered")
    ends.issuing.take_messages()
    await ends.until_delivered()
    end = await ends.ask(holder)
    assert (end.kind, end.code) == ("refused", "card-revoked")


@pytest.mark.flow("FS1-7")
async def test_a_new_card_takes_the_place_of_the_former_one_in_order(ends: Ends) -> None:
    holder = Holder(15)
    cards = [samples.certificate_serial(5_000_000 + number) for number in range(5)]
    for card in cards:
        assert await ends.hand_in("card-identifier-change", holder.card_change(card=card)) == 202
    await ends.until_delivered()
    said = [(await ends.ask(holder, card=card)).code for card in (holder.card, *cards)]
    assert said == ["card-revoked"] * 5 + [None]


@pytest.mark.flow("FS1-7")
@pytest.mark.invariant("I5")
@pytest.mark.edge("FS1-7", "pin-in-clear")
async def test_card_numbers_and_pins_are_nowhere_in_clear(ends: Ends) -> None:
    """Neither in the ledger, the broker, a log, nor in what operators see."""
    holder, card, pin = Holder(20), "SAMPLE-CARD-77345677", "8352"
    await ends.issuing.stop_messages()
    change = {**holder.card_change(card=card), "pin": pin}
    assert await ends.hand_in("card-identifier-change", change) == 202
    assert (await ends.ask(holder, card=card)).code == "changes-undelivered"
    ends.issuing.take_messages()
    await ends.until_delivered()
    assert (await ends.ask(holder, card=card)).kind == "printed"
    refused = {**change, "atena_number": "not-a-number"}
    found = [
        file.relative_to(ends.town.folder)
        for file in ends.town.folder.rglob("*")
        if file.is_file() and (card.encode() in (text := file.read_bytes()) or f"<pin>{pin}".encode() in text)
    ]
    assert found == [], refused


@pytest.mark.flow("FS3-2")
@pytest.mark.edge("FS3-2", "undelivered-changes")
async def test_a_certificate_for_a_person_with_undelivered_changes_is_refused(ends: Ends) -> None:
    """A stale certificate is worse than none; other people's are made meanwhile."""
    holder = Holder(16)
    await ends.issuing.stop_messages()
    assert await ends.hand_in("certificate-data-change", holder.data_change(address="虚構県架空市新住所町２番")) == 202
    since = len(ends.record("dialogue"))
    end = await ends.ask(holder)
    assert (end.kind, end.code) == ("refused", "changes-undelivered")
    [record] = ends.record("dialogue")[since:]
    assert (record["outcome"], record["code"], record["rule"]) == ("refused", "changes-undelivered", "FS3-2")
    assert (await ends.ask(Holder(17))).kind == "printed"
    ends.issuing.take_messages()
    await ends.until_delivered()
    assert (await ends.ask(holder)).kind == "printed"


@pytest.mark.flow("FS3-2")
@pytest.mark.parametrize("delivered", [False, True])
async def test_a_change_that_comes_while_the_certificate_is_made_stops_it(ends: Ends, delivered: bool) -> None:
    """The answer was made before the change: the transaction that would record it sees that."""
    holder = Holder(18)
    if not delivered:
        await ends.issuing.stop_messages()
    ends.issuing.hold = asyncio.Event()
    waiting = asyncio.create_task(ends.ask(holder))
    await until(lambda: len(ends.issuing._tasks) == 1)
    assert await ends.hand_in("card-identifier-change", holder.card_change(validity="1")) == 202
    if delivered:
        await ends.until_delivered()
    ends.issuing.hold.set()
    end = await waiting
    assert (end.kind, end.code, end.body) == ("refused", "changed-meanwhile" if delivered else "changes-undelivered", b"")
    if not delivered:
        ends.issuing.take_messages()
        await ends.until_delivered()
    assert (await ends.ask(holder)).kind == "printed"


@pytest.mark.flow("FS3-3")
@pytest.mark.edge("FS3-3", "unknown-number")
async def test_a_tax_change_of_an_unknown_atena_number_is_put_aside(ends: Ends) -> None:
    """It waits until the person is known there, visibly, and nobody else waits for it."""
    stranger = Holder(900)
    assert await ends.hand_in("tax-certificate-change", stranger.tax_change(), "tax-system") == 202
    waiting = (
        "SELECT d.state, d.reason FROM delivery d JOIN message m ON m.id = d.message_id WHERE m.system = 'tax-system' AND final_at IS NULL"
    )
    await until(lambda: [tuple(row) for row in ends.rows(waiting)] == [("queued", "atena-number-unknown")])
    assert await ends.hand_in("tax-certificate-change", Holder(19).tax_change(), "tax-system") == 202
    await until(lambda: len(ends.rows(waiting)) == 1)
    assert (await ends.ask(Holder(19), "3")).kind == "printed"
    assert await ends.hand_in("certificate-data-change", stranger.data_change()) == 202
    assert await ends.hand_in("card-identifier-change", stranger.card_change()) == 202
    await ends.until_delivered()
    end = await ends.ask(stranger, "3")
    assert (end.kind, json.loads(end.body)["type"]) == ("printed", "3")
