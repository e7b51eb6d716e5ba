"""The AMQP door on a real broker: order, receipts before acks, passing failures, epochs, and messages that kill their consumer."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.broker import BrokerEndpoint, EmbeddedNode
from gateway.broker.errors import ConnectionLost
from gateway.errors import InputRefused, LedgerUnavailable
from gateway.security.jwe import JweKeys
from message_formats import samples
from tests.intake.kit import xml
from tests.intake.queues import Bench, Impatient, bench
from tests.intake.test_prepare import BAD
from tests.support.broker import Names, until

pytestmark = pytest.mark.slow


@pytest.fixture
async def queue(endpoint: BrokerEndpoint, declared: Names, tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(endpoint, declared, tmp_path) as running:
        yield running


@pytest.mark.rule("R16")
@pytest.mark.invariant("I1")
async def test_messages_are_admitted_in_the_order_in_which_they_came_and_each_gets_its_receipt(queue: Bench) -> None:
    ids = await queue.register.send_all(250)
    door = await queue.door()
    answers = await queue.register.answers(250)
    assert queue.home.ledger.order == ids == [answer["id"] for answer in answers]
    assert {answer["status"] for answer in answers} == {"accepted"}
    assert max(queue.home.ledger.batches) > 1, "what waits is admitted in batches"
    await door.stop()
    assert await queue.waiting() == 0


@pytest.mark.rule("R17")
@pytest.mark.invariant("I2")
async def test_the_same_message_twice_gets_the_same_receipt_although_it_is_encrypted_anew(queue: Bench) -> None:
    await queue.door()
    sent = await queue.register.send()
    await queue.register.send(source_id=sent, time="2026-11-03T00:00:00Z")
    await queue.register.answers(2)
    assert len(set(queue.register.receipts)) == 1
    await queue.register.send(xml(sex="1"), sent)
    refused = (await queue.register.answers(3))[2]
    assert (refused["status"], refused["code"], refused["id"]) == ("refused", "same-id-other-content", sent)
    assert len(queue.home.ledger.messages) == 1


class Unconfirmed:
    """A broker that takes receipts and does not confirm them."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.confirm = asyncio.Event()

    async def publish(self, exchange: str, routing_key: str, body: bytes, **_: Any) -> None:
        self.taken.append(body)
        await self.confirm.wait()


@pytest.mark.rule("R16")
@pytest.mark.invariant("I1")
async def test_a_message_is_acked_only_after_its_receipt_was_confirmed(queue: Bench) -> None:
    broker = Unconfirmed()
    ids = await queue.register.send_all(3)
    door = await queue.door(publisher=broker)
    await until(lambda: bool(broker.taken))
    subscription = door._subscription
    await until(lambda: subscription.unacked == 3)
    assert queue.home.ledger.order == ids[: len(broker.taken)], "committed, and not acked"
    broker.confirm.set()
    await until(lambda: subscription.unacked == 0)
    await door.stop()
    assert await queue.waiting() == 0


@pytest.mark.rule("R16")
@pytest.mark.rule("R17")
@pytest.mark.invariant("I2")
async def test_a_crash_between_commit_and_ack_gives_the_same_receipt_again(queue: Bench) -> None:
    broker = Unconfirmed()
    ids = await queue.register.send_all(5)
    door = await queue.door(publisher=broker)
    await until(lambda: bool(broker.taken))
    told = list(broker.taken)
    assert queue.home.ledger.order == ids[: len(told)]
    door._subscription.pause()  # the channel dies with everything unacked, as in a crash
    await queue.door()
    answers = await queue.register.answers(5)
    assert [answer["id"] for answer in answers] == ids
    assert queue.register.receipts[: len(told)] == told
    assert queue.home.ledger.order == ids, "nothing was admitted twice"


class Failing:
    """Publishes, but the first ``times`` confirms get lost on the way."""

    def __init__(self, inner: Any, times: int) -> None:
        self.inner, self.times = inner, times

    async def publish(self, *args: Any, **kwargs: Any) -> None:
        if self.times:
            self.times -= 1
            raise ConnectionLost("the connection was lost before the confirm")
        await self.inner.publish(*args, **kwargs)


@pytest.mark.rule("R16")
async def test_a_receipt_that_is_not_confirmed_is_published_again_before_the_ack(queue: Bench) -> None:
    await queue.door(publisher=Failing(queue.register.publisher, 3))
    sent = await queue.register.send()
    assert [answer["id"] for answer in await queue.register.answers(1)] == [sent]
    assert queue.home.ledger.batches == [1]


@pytest.mark.rule("R16")
async def test_a_ledger_that_fails_stops_the_queue_and_keeps_the_order(queue: Bench) -> None:
    failures = 0

    def locked() -> None:
        nonlocal failures
        failures += 1
        raise LedgerUnavailable("ledger-locked", "the database is locked")

    queue.home.ledger.before = locked
    door = await queue.door(prefetch=20)
    ids = await queue.register.send_all(40)
    await until(lambda: failures >= 3)
    assert queue.register.receipts == []
    assert door._subscription.unacked == 20
    queue.home.ledger.before = None
    await queue.register.answers(40)
    assert queue.home.ledger.order == ids
    assert door._subscription.generation == 1, "nothing was given back for it"


@pytest.mark.rule("R19")
async def test_pressure_stops_the_queue_and_refuses_nobody(queue: Bench) -> None:
    queue.home.free = 0
    await queue.home.pressure.start()
    queue.stack.push_async_callback(queue.home.pressure.stop)
    door = await queue.door(prefetch=10)
    ids = await queue.register.send_all(30)
    await until(lambda: door._subscription.unacked == 10)
    assert (queue.home.ledger.messages, queue.register.receipts) == ([], [])
    queue.home.free = 1 << 40
    await queue.register.answers(30)
    assert queue.home.ledger.order == ids


@pytest.mark.invariant("I10")
@pytest.mark.invariant("I5")
@pytest.mark.parametrize("name", sorted(BAD))
async def test_bad_content_is_refused_with_a_receipt_kept_and_acked(queue: Bench, name: str) -> None:
    data, code = BAD[name]
    door = await queue.door()
    before, bad, after = [await queue.register.send(content) for content in (xml(1), data, xml(2))]
    answers = await queue.register.answers(3)
    assert [answer["id"] for answer in answers] == [before, bad, after], "a refusal keeps its place"
    assert [answer["status"] for answer in answers] == ["accepted", "refused", "accepted"]
    assert (answers[1]["code"], bool(answers[1]["rule"]), bool(answers[1]["place"])) == (code, True, True)
    assert [k.code for k in queue.home.ledger.kept] == [code]
    assert samples.individual_number(1) not in queue.register.receipts[1].decode()
    await until(lambda: door._subscription.unacked == 0)


@pytest.mark.invariant("I10")
@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"type": "no-such-type"}, "unknown-type"),
        ({"source": "/tax-system"}, "source-mismatch"),
        ({"specversion": None}, "missing-attribute"),
        ({"subject": "x"}, "unknown-attribute"),
        ({"body": xml()}, "jwe-malformed"),
        ({"body": b""}, "jwe-malformed"),
        ({"body": b"a" * 200_000}, "too-large"),
        ({"content_type": "application/xml"}, "wrong-content-type"),
        ({"content_type": None}, "wrong-content-type"),
    ],
)
async def test_bad_messages_are_refused_each_with_its_code(queue: Bench, changes: dict[str, Any], code: str) -> None:
    await queue.door()
    if changes.get("body") == b"":
        changes = {"body": b"."}
    sent = await queue.register.send(**changes)
    (answer,) = await queue.register.answers(1)
    assert (answer["status"], answer["code"], answer["id"]) == ("refused", code, sent)
    assert [k.code for k in queue.home.ledger.kept] == [code]
    assert queue.home.ledger.messages == []


@pytest.mark.invariant("I5")
async def test_a_message_without_an_id_gets_a_refusal_without_one_but_with_the_digest_of_its_body(queue: Bench) -> None:
    await queue.door()
    await queue.register.send(id=None)
    await queue.register.send(id=samples.individual_number(1))
    answers = await queue.register.answers(2)
    assert [answer["id"] for answer in answers] == [None, None]
    assert [answer["body_sha256"] for answer in answers] == [hashlib.sha256(body).hexdigest() for body in queue.register.published]
    assert [answer["code"] for answer in answers] == ["missing-attribute", "personal-data-in-attribute"]
    assert samples.individual_number(1).encode() not in b"".join(queue.register.receipts)


@pytest.mark.invariant("I5")
async def test_no_digest_is_told_of_a_body_that_could_be_guessed(queue: Bench) -> None:
    """A number alone, say: twelve digits are tried out in no time. What is encrypted is random."""
    await queue.door()
    await queue.register.send(body=samples.individual_number(1).encode())
    await queue.register.send(body=b"e30." + samples.individual_number(1).encode() + b".." + b".")
    answers = await queue.register.answers(2)
    assert [answer["body_sha256"] for answer in answers] == [None, None]


async def test_keys_rotate_and_a_destroyed_one_is_named(queue: Bench, tmp_path: Path) -> None:
    await queue.door()
    old = queue.register.token(xml(1))
    kid = queue.jwe.kids()[-1]
    queue.jwe.rotate()
    await queue.register.send(body=old)
    await queue.register.send(xml(2))
    assert [a["status"] for a in await queue.register.answers(2)] == ["accepted", "accepted"]
    queue.jwe.destroy(kid)
    sent = await queue.register.send(body=old)
    assert [a["code"] for a in (await queue.register.answers(3))[2:]] == ["jwe-key-unknown"]
    await queue.register.send(xml(3), sent)
    assert (await queue.register.answers(4))[3]["status"] == "accepted"
    header = old.split(b".")[0]
    await queue.register.send(body=b".".join([header, *queue.register.token(xml(4)).split(b".")[1:]]))
    assert (await queue.register.answers(5))[4]["status"] == "refused"


@pytest.mark.control("C-3-7-1")
@pytest.mark.parametrize("disguised", [False, True])
async def test_an_ephemeral_type_that_comes_by_queue_is_refused_and_its_key_destroyed(queue: Bench, disguised: bool) -> None:
    data = b'<DestinationInformation xmlns="urn:renkei:format:destination-information:1">fictitious</DestinationInformation>'
    kid = queue.jwe.kids()[-1]
    token = queue.register.token(data)
    await queue.door()
    await queue.register.send(body=token, **({} if disguised else {"type": "destination-information"}))
    (answer,) = await queue.register.answers(1)
    assert (answer["status"], answer["code"]) == ("refused", "ephemeral-by-queue")
    assert kid not in queue.jwe.kids()
    with pytest.raises(InputRefused):
        JweKeys(queue.home.keys).decrypt(token)
    (kept,) = queue.home.ledger.kept
    assert (kept.code, kept.sealed) == ("ephemeral-by-queue", None)
    await queue.register.send()
    assert (await queue.register.answers(2))[1]["status"] == "accepted", "the door goes on with a new key"


@pytest.mark.rule("R16")
@pytest.mark.planted("intake without epoch")
async def test_a_consumer_that_was_frozen_and_replaced_admits_nothing_more(queue: Bench) -> None:
    frozen, thawed = asyncio.Event(), asyncio.Event()

    def freeze() -> Any:
        if not frozen.is_set():
            frozen.set()
            return thawed.wait()
        return None

    ids = await queue.register.send_all(10)
    queue.home.ledger.before = freeze
    first = await queue.door()
    await frozen.wait()  # with its epoch claimed and its batch on the way to the ledger
    second = await queue.door(start=False)
    first._subscription.pause()
    first._subscription.generation = 1  # frozen: it does not notice that its channel is gone
    await second.start()
    await queue.register.answers(10)
    assert queue.home.ledger.order == ids
    batches = list(queue.home.ledger.batches)
    more = await queue.register.send_all(3)
    thawed.set()
    await queue.register.answers(13)
    assert queue.home.ledger.order == ids + more
    assert sum(queue.home.ledger.batches) == sum(batches) + 3, "what the frozen one held was not admitted again"
    assert len(queue.register.receipts) == 13
    await until(lambda: first._subscription.generation != 1)


@pytest.mark.rule("R16")
async def test_the_one_that_takes_over_claims_a_new_epoch(queue: Bench) -> None:
    first = await queue.door()
    second = await queue.door()
    await queue.register.send()
    await queue.register.answers(1)
    assert queue.home.ledger.epochs == {queue.names.system: ("worker-1", 1)}
    await first.stop()
    await queue.register.send()
    await queue.register.answers(2)
    assert queue.home.ledger.epochs == {queue.names.system: ("worker-2", 2)}
    assert second.failed is None


@pytest.mark.rule("R16")
async def test_order_is_kept_when_messages_come_again(queue: Bench) -> None:
    ids = await queue.register.send_all(60)
    await Impatient(queue.endpoint, queue.names.intake).crash(1, holding=20)
    await queue.door(prefetch=7)
    await queue.register.answers(60)
    assert queue.home.ledger.order == ids


@pytest.mark.rule("R16")
async def test_from_the_second_return_on_messages_are_taken_singly(queue: Bench) -> None:
    ids = await queue.register.send_all(30)
    await Impatient(queue.endpoint, queue.names.intake).crash(2, holding=8)
    await queue.door()
    await queue.register.answers(30)
    assert queue.home.ledger.order == ids
    assert queue.home.ledger.batches[:8] == [1] * 8
    assert max(queue.home.ledger.batches[8:]) > 1


@pytest.mark.rule("R16")
@pytest.mark.invariant("I10")
async def test_the_message_that_came_back_five_times_is_quarantined_and_those_behind_it_are_not(queue: Bench) -> None:
    ids = await queue.register.send_all(6)
    await Impatient(queue.endpoint, queue.names.intake).crash(5, holding=4)
    opened: list[bytes] = []

    class Watched(JweKeys):
        def decrypt(self, token: bytes | str) -> tuple[bytes, str]:
            opened.append(token if isinstance(token, bytes) else token.encode())
            return super().decrypt(token)

    await queue.door(opener=Watched(queue.home.keys))
    answers = await queue.register.answers(6)
    assert [(a["id"], a["status"]) for a in answers] == [(ids[0], "refused"), *((i, "accepted") for i in ids[1:])]
    assert answers[0]["code"] == "quarantined"
    assert len(opened) == 5, "the one that may kill is not opened again"
    (kept,) = queue.home.ledger.kept
    assert (kept.code, kept.source_id) == ("quarantined", ids[0])
    assert kept.sealed is not None


@pytest.mark.rule("R17")
async def test_one_that_was_accepted_before_the_crashes_gets_its_receipt_not_a_quarantine(queue: Bench) -> None:
    broker = Unconfirmed()
    (sent,) = await queue.register.send_all(1)
    door = await queue.door(publisher=broker)
    await until(lambda: len(broker.taken) == 1)
    await door.stop(drain_s=0)
    await Impatient(queue.endpoint, queue.names.intake).crash(5, holding=1)
    await queue.door()
    (answer,) = await queue.register.answers(1)
    assert (answer["id"], answer["status"]) == (sent, "accepted")
    assert queue.register.receipts == broker.taken


async def test_a_bug_that_one_message_brings_out_stops_nobody(queue: Bench) -> None:
    bad = queue.register.token(b"poison")

    class Buggy(JweKeys):
        def decrypt(self, token: bytes | str) -> tuple[bytes, str]:
            if token == bad:
                raise ZeroDivisionError(samples.individual_number(1))
            return super().decrypt(token)

    await queue.door(opener=Buggy(queue.home.keys))
    await queue.register.send(body=bad)
    await queue.register.send()
    answers = await queue.register.answers(2)
    assert [a.get("code") for a in answers] == ["quarantined", None]


async def test_a_bug_of_the_ledger_gives_the_messages_back_and_finds_the_one_at_fault(queue: Bench) -> None:
    ids = await queue.register.send_all(4)
    inner = queue.home.ledger.admit

    async def admit(messages: Any, **kwargs: Any) -> Any:
        if any(m.source_id == ids[1] for m in messages):
            raise ZeroDivisionError
        return await inner(messages, **kwargs)

    queue.home.ledger.admit = admit  # type: ignore[method-assign]
    door = await queue.door()
    answers = await queue.register.answers(4, timeout_s=60)
    assert {a["id"]: a["status"] for a in answers} == {i: "refused" if i == ids[1] else "accepted" for i in ids}
    assert queue.home.ledger.order == [ids[0], ids[2], ids[3]]
    assert door.failed is None


@pytest.mark.invariant("I1")
async def test_a_broker_that_dies_and_comes_back_loses_nothing_and_doubles_nothing(queue: Bench, broker_node: EmbeddedNode) -> None:
    inner = queue.home.ledger.admit

    async def slow(messages: Any, **kwargs: Any) -> Any:
        await asyncio.sleep(0.05)
        return await inner(messages, **kwargs)

    queue.home.ledger.admit = slow  # type: ignore[method-assign]
    ids = await queue.register.send_all(120)
    await queue.door(prefetch=20)
    await until(lambda: len(queue.home.ledger.messages) > 20)
    broker_node.kill()
    await broker_node.start()
    await until(lambda: {json.loads(each)["id"] for each in queue.register.receipts} == set(ids), 60)
    assert queue.home.ledger.order == ids
    for each in ids:
        assert len(set(queue.register.of(each))) == 1, "a receipt that comes twice is the same"
