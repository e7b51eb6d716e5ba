"""Publishing and consuming against a real broker."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest

from gateway.broker import BrokerEndpoint, Consumer, Delivery, Publisher, topology
from gateway.broker.connection import session
from gateway.broker.errors import Nacked, NotConnected, Unroutable
from gateway.errors import BrokerUnavailable
from tests.support.broker import Names, until

pytestmark = pytest.mark.slow


@pytest.fixture
async def publisher(endpoint: BrokerEndpoint):
    publisher = Publisher(endpoint, name="test publisher", confirm_timeout_s=3)
    assert await publisher.start()
    yield publisher
    await publisher.close()


@pytest.fixture
async def consumer(endpoint: BrokerEndpoint):
    consumer = Consumer(endpoint, name="test consumer")
    assert await consumer.start()
    yield consumer
    await consumer.close(drain_s=0)


class Inbox:
    """Collects deliveries."""

    def __init__(self) -> None:
        self.deliveries: asyncio.Queue[Delivery] = asyncio.Queue()

    def __call__(self, delivery: Delivery) -> None:
        self.deliveries.put_nowait(delivery)

    async def next(self) -> Delivery:
        return await asyncio.wait_for(self.deliveries.get(), 10)

    async def take(self, count: int) -> list[Delivery]:
        return [await self.next() for _ in range(count)]


async def test_what_is_published_arrives_as_it_was(publisher: Publisher, consumer: Consumer, declared: Names) -> None:
    inbox = Inbox()
    await consumer.subscribe(declared.live, prefetch=10, on_delivery=inbox)
    body = bytes(range(256)) * 1200  # several frames
    await publisher.publish(
        "work", declared.live_key, body, content_type="application/jose", headers={"cloudEvents:id": "fictitious"},
        message_id="m-1", correlation_id="c-1",
    )  # fmt: skip
    delivery = await inbox.next()
    assert delivery.body == body
    assert delivery.headers["cloudEvents:id"] == "fictitious"
    properties = delivery.properties
    assert (properties.content_type, properties.message_id, properties.correlation_id) == ("application/jose", "m-1", "c-1")
    assert properties.delivery_mode == 2
    assert not delivery.redelivered
    assert delivery.delivery_count == 0
    assert consumer.ack(delivery)
    assert not consumer.ack(delivery), "a second ack of the same delivery would close the channel"


@pytest.mark.invariant("I5")
def test_a_delivery_prints_without_its_content() -> None:
    from pika import spec

    delivery = Delivery(
        queue="q", tag=1, generation=1, body=b"fictitious secret", properties=spec.BasicProperties(headers={"h": "secret"}),
        routing_key="secret", exchange="e", redelivered=False,
    )  # fmt: skip
    assert "secret" not in repr(delivery)


async def test_order_is_kept_and_every_confirm_is_matched(publisher: Publisher, consumer: Consumer, declared: Names) -> None:
    inbox = Inbox()
    await consumer.subscribe(declared.live, prefetch=200, on_delivery=inbox)
    await asyncio.gather(*(publisher.publish("work", declared.live_key, b"%d" % n) for n in range(3000)))
    assert publisher.counters.confirmed == 3000
    numbers = []
    for _ in range(3000):
        delivery = await inbox.next()
        numbers.append(int(delivery.body))
        consumer.ack(delivery)
    assert numbers == list(range(3000))
    await until(lambda: empty(consumer, declared.live))


async def empty(consumer: Consumer, queue: str) -> bool:
    return (await consumer.depth(queue)).ready == 0


async def test_an_unroutable_message_is_an_error_and_its_neighbours_are_not(publisher: Publisher, declared: Names) -> None:
    results = await asyncio.gather(
        publisher.publish("work", declared.live_key, b"1", message_id="same"),
        publisher.publish("work", "nobody.live", b"2", message_id="same"),
        publisher.publish("work", declared.live_key, b"3", message_id="same"),
        publisher.publish("work", "nobody.live", b"4", message_id="same"),
        return_exceptions=True,
    )
    assert results[0] is None
    assert results[2] is None
    for number in (1, 3):
        error = results[number]
        assert isinstance(error, Unroutable)
        assert error.code == "broker-unroutable"
        assert not error.maybe_taken


async def test_an_exchange_that_is_not_there_fails_what_waits_and_the_channel_comes_back(publisher: Publisher, declared: Names) -> None:
    with pytest.raises(BrokerUnavailable) as caught:
        await publisher.publish("no-such-exchange", "k", b"x")
    assert caught.value.code == "broker-connection-lost"
    await until(lambda: publisher.connected)
    await publisher.publish("work", declared.live_key, b"x")


async def test_a_full_queue_refuses(publisher: Publisher, endpoint: BrokerEndpoint, names: Names) -> None:
    queue = topology.Queue(
        name=names.live, arguments={"x-queue-type": "quorum", "x-max-length": 2, "x-overflow": "reject-publish"}, expendable=True
    )
    small = topology.Topology(
        exchanges=(topology.Exchange(name="work"),),
        queues=(queue,),
        bindings=(topology.Binding(exchange="work", queue=names.live, routing_key=names.live_key),),
    )
    await topology.declare(endpoint, small)
    outcomes = [await outcome(publisher.publish("work", names.live_key, b"x")) for _ in range(20)]
    # A quorum queue refuses a little late, but then it does.
    assert outcomes[:2] == [None, None]
    assert isinstance(outcomes[-1], Nacked)
    assert outcomes[-1].code == "broker-nacked"


async def outcome(call: Awaitable[None]) -> BrokerUnavailable | None:
    try:
        await call
    except BrokerUnavailable as error:
        return error
    return None


@pytest.mark.rule("R15")
async def test_bells_are_counted_not_raised(publisher: Publisher, consumer: Consumer, declared: Names) -> None:
    inbox = Inbox()
    await consumer.subscribe(declared.live, prefetch=100, on_delivery=inbox)
    for number in range(100):
        publisher.ring("work", declared.live_key, b"key-%03d" % number)
    publisher.ring("work", "nobody.live", b"key")
    deliveries = await inbox.take(100)
    assert [one.body for one in deliveries] == [b"key-%03d" % number for number in range(100)]
    assert deliveries[0].properties.delivery_mode == 2
    counters = publisher.counters
    await until(lambda: counters.bells_acked == 101)
    assert (counters.bells, counters.bells_returned, counters.bells_confirmed, counters.bells_failed) == (101, 1, 100, 1)
    publisher.ring("no-such-exchange", "k", b"key")
    await until(lambda: counters.bells_lost == 1)
    await publisher.publish("work", declared.live_key, b"a message is not disturbed by a bell that closed its channel")


@pytest.mark.rule("R15")
async def test_bells_beyond_the_window_or_without_a_connection_are_counted(endpoint: BrokerEndpoint, declared: Names) -> None:
    publisher = Publisher(endpoint, name="small", bell_window=10)
    publisher.ring("work", declared.live_key, b"too early")
    assert publisher.counters.bells_not_connected == 1
    await publisher.start()
    for _ in range(15):
        publisher.ring("work", declared.live_key, b"key")
    assert publisher.counters.bells_window_full == 5
    assert publisher.bells_free == 0
    await asyncio.wait_for(publisher.wait_bell_room(), 5)
    publisher.ring("work", declared.live_key, b"key")
    await publisher.close()
    assert publisher.counters.bells_confirmed == 11
    with pytest.raises(NotConnected):
        await publisher.publish("work", declared.live_key, b"x")


async def test_a_cancelled_publish_gives_its_place_back(endpoint: BrokerEndpoint, declared: Names) -> None:
    publisher = Publisher(endpoint, name="narrow", window=1)
    await publisher.start()
    task = asyncio.create_task(publisher.publish("work", declared.live_key, b"1"))
    await asyncio.sleep(0)
    task.cancel()
    await publisher.publish("work", declared.live_key, b"2")
    assert publisher.counters.confirmed == 2
    await publisher.close()


async def test_acks_of_every_pattern_leave_nothing_behind(publisher: Publisher, consumer: Consumer, declared: Names) -> None:
    """Out of order, up to, singly and twice: any wrong ack frame would close the channel and redeliver."""
    inbox = Inbox()
    subscription = await consumer.subscribe(declared.live, prefetch=50, on_delivery=inbox)
    for n in range(50):
        await publisher.publish("work", declared.live_key, b"%d" % n)
    deliveries = await inbox.take(50)
    generation = subscription.generation
    assert consumer.ack(deliveries[7])
    assert consumer.nack(deliveries[3], requeue=False)
    await asyncio.sleep(0)
    assert consumer.ack(deliveries[4])
    assert consumer.ack_up_to(deliveries[9])
    await asyncio.sleep(0)
    for delivery in reversed(deliveries[10:]):
        assert consumer.ack(delivery)
    assert not consumer.ack_up_to(deliveries[49])
    assert subscription.unacked == 0
    await publisher.publish("work", declared.live_key, b"after")
    last = await inbox.next()
    assert last.body == b"after"
    assert subscription.generation == generation, "the channel was closed by a wrong ack"
    consumer.ack(last)


@pytest.mark.rule("R16")
async def test_a_refused_message_comes_back_first_with_its_count(publisher: Publisher, consumer: Consumer, declared: Names) -> None:
    """With a delivery limit, 3.10 puts it back to its place; without one it would go behind the others."""
    inbox = Inbox()
    await consumer.subscribe(declared.live, prefetch=1, on_delivery=inbox)
    for n in range(3):
        await publisher.publish("work", declared.live_key, b"%d" % n)
    seen = []
    for _ in range(3):
        delivery = await inbox.next()
        seen.append((delivery.body, delivery.delivery_count))
        consumer.nack(delivery)
    while len(seen) < 6:
        delivery = await inbox.next()
        seen.append((delivery.body, delivery.delivery_count))
        consumer.ack(delivery)
    assert seen == [(b"0", 0), (b"0", 1), (b"0", 2), (b"0", 3), (b"1", 0), (b"2", 0)]


@pytest.mark.rule("R15")
async def test_a_bell_beyond_the_delivery_limit_is_dropped(publisher: Publisher, consumer: Consumer, declared: Names) -> None:
    inbox = Inbox()
    await consumer.subscribe(declared.live, prefetch=1, on_delivery=inbox)
    publisher.ring("work", declared.live_key, b"poison")
    publisher.ring("work", declared.live_key, b"next")
    counts = []
    while (delivery := await inbox.next()).body == b"poison":
        counts.append(delivery.delivery_count)
        consumer.nack(delivery)
    assert counts == list(range(topology.WORK_LIMITS.deliveries + 1))
    consumer.ack(delivery)


async def test_a_stale_ack_does_nothing(publisher: Publisher, consumer: Consumer, declared: Names) -> None:
    inbox = Inbox()
    subscription = await consumer.subscribe(declared.live, prefetch=5, on_delivery=inbox)
    for body in (b"first", b"second"):
        await publisher.publish("work", declared.live_key, body)
    old_first, old_second = await inbox.take(2)
    subscription.pause()
    assert not consumer.ack(old_second)
    assert not consumer.nack(old_first)
    assert await subscription.resume()
    first, second = await inbox.take(2)
    assert (first.body, second.body) == (b"first", b"second")
    assert first.redelivered
    assert first.generation > old_first.generation
    # Same tag, older generation: must not settle the new delivery.
    assert old_first.tag == first.tag
    assert not consumer.ack(old_first)
    assert subscription.unacked == 2
    assert consumer.ack_up_to(second)


@pytest.mark.rule("R12")
async def test_a_paused_queue_is_not_consumed_and_others_are(publisher: Publisher, consumer: Consumer, declared: Names) -> None:
    live, bulk = Inbox(), Inbox()
    subscription = await consumer.subscribe(declared.live, prefetch=5, on_delivery=live)
    await consumer.subscribe(topology.work_queue(declared.party, "bulk"), prefetch=5, on_delivery=bulk)
    subscription.pause()
    assert subscription.paused
    publisher.ring("work", declared.live_key, b"waits")
    publisher.ring("work", topology.work_key(declared.party, "bulk"), b"goes")
    assert (await bulk.next()).body == b"goes"
    await until(lambda: counted(consumer, declared.live, 1))
    assert live.deliveries.empty()
    await subscription.resume()
    assert (await live.next()).body == b"waits"


@pytest.mark.rule("R12")
async def test_an_ack_right_before_a_pause_is_told(publisher: Publisher, consumer: Consumer, declared: Names) -> None:
    inbox = Inbox()
    subscription = await consumer.subscribe(declared.live, prefetch=5, on_delivery=inbox)
    publisher.ring("work", declared.live_key, b"done")
    publisher.ring("work", declared.live_key, b"not done")
    done, _ = await inbox.take(2)
    assert consumer.ack(done)
    subscription.pause()
    await subscription.resume()
    again = await inbox.next()
    assert again.body == b"not done"
    assert consumer.ack(again)


async def counted(consumer: Consumer, queue: str, ready: int) -> bool:
    return (await consumer.depth(queue)).ready == ready


async def test_a_handler_that_raises_is_reported_and_the_message_comes_again(endpoint: BrokerEndpoint, declared: Names) -> None:
    errors: list[tuple[str, Exception]] = []
    consumer = Consumer(endpoint, name="faulty", on_error=lambda queue, error: errors.append((queue, error)))
    await consumer.start()
    inbox = Inbox()

    def handler(delivery: Delivery) -> None:
        if delivery.delivery_count == 0:
            raise RuntimeError("fictitious bug")
        inbox(delivery)

    subscription = await consumer.subscribe(declared.live, prefetch=5, on_delivery=handler)
    publisher = Publisher(endpoint, name="p")
    await publisher.start()
    await publisher.publish("work", declared.live_key, b"x")
    delivery = await inbox.next()
    assert delivery.delivery_count == 1
    assert [(queue, str(error)) for queue, error in errors] == [(declared.live, "fictitious bug")]
    assert subscription.handler_errors == 1
    assert consumer.ack(delivery)
    await consumer.close()
    await publisher.close()


@pytest.mark.invariant("I5")
async def test_without_a_listener_a_handler_error_is_logged_without_its_text(
    endpoint: BrokerEndpoint, declared: Names, caplog: pytest.LogCaptureFixture
) -> None:
    consumer = Consumer(endpoint, name="faulty")
    await consumer.start()
    publisher = Publisher(endpoint, name="p")
    await publisher.start()
    inbox = Inbox()

    def handler(delivery: Delivery) -> None:
        if delivery.delivery_count == 0:
            raise KeyError("fictitious name of a resident")
        inbox(delivery)

    await consumer.subscribe(declared.live, prefetch=5, on_delivery=handler)
    await publisher.publish("work", declared.live_key, b"x")
    consumer.ack(await inbox.next())
    assert "KeyError" in caplog.text
    assert "fictitious name" not in caplog.text
    await consumer.close()
    await publisher.close()


@pytest.mark.rule("R16")
async def test_single_active_consumer_hands_over_in_order(publisher: Publisher, endpoint: BrokerEndpoint, declared: Names) -> None:
    """The second consumer gets nothing until the first has closed, and then what the first did not ack, in order."""
    first, second = Consumer(endpoint, name="first"), Consumer(endpoint, name="second")
    await first.start()
    await second.start()
    one, two = Inbox(), Inbox()
    await first.subscribe(declared.intake, prefetch=10, on_delivery=one, single_active=True)
    await second.subscribe(declared.intake, prefetch=10, on_delivery=two, single_active=True)
    for n in range(6):
        await publisher.publish(topology.intake_exchange(declared.system), "in", b"%d" % n)
    got = await one.take(6)
    assert two.deliveries.empty()
    assert first.ack_up_to(got[1])
    await first.close(drain_s=0)
    rest = await two.take(4)
    assert [one.body for one in rest] == [b"2", b"3", b"4", b"5"]
    assert all(one.delivery_count == 1 for one in rest)
    await second.close(drain_s=0)


@pytest.mark.rule("R16")
@pytest.mark.parametrize("single_active", [True, False])
async def test_closing_waits_for_the_handlers_and_tells_their_acks(
    publisher: Publisher, endpoint: BrokerEndpoint, declared: Names, single_active: bool
) -> None:
    consumer = Consumer(endpoint, name="closing")
    await consumer.start()
    inbox = Inbox()
    queue = declared.intake if single_active else declared.live
    subscription = await consumer.subscribe(queue, prefetch=2, on_delivery=inbox, single_active=single_active)
    exchange, key = (topology.intake_exchange(declared.system), "in") if single_active else ("work", declared.live_key)
    for n in range(4):
        await publisher.publish(exchange, key, b"%d" % n)
    got = await inbox.take(2)
    closing = asyncio.create_task(consumer.close(drain_s=10))
    await until(lambda: subscription._muted)
    for delivery in got:
        assert consumer.ack(delivery)
    await asyncio.wait_for(closing, 5)
    assert inbox.deliveries.empty(), "a closing consumer hands out nothing more"
    depth = await topology.depth(endpoint, queue)
    assert (depth.ready, depth.consumers) == (2, 0)


async def test_a_deleted_queue_ends_the_subscription_until_it_is_back(
    publisher: Publisher, consumer: Consumer, endpoint: BrokerEndpoint, declared: Names
) -> None:
    inbox = Inbox()
    subscription = await consumer.subscribe(declared.live, prefetch=5, on_delivery=inbox)
    async with session(endpoint, name="admin") as broker:
        await broker.call("queue_delete", queue=declared.live)
    await until(lambda: subscription.cancels == 1 and not subscription.active)
    await topology.declare(endpoint, declared.topology)
    await until(lambda: subscription.active)
    await publisher.publish("work", declared.live_key, b"again")
    assert (await inbox.next()).body == b"again"


@pytest.mark.rule("R15a")
async def test_a_queue_that_stays_unusable_is_reported_and_recreated(endpoint: BrokerEndpoint, names: Names) -> None:
    reported: asyncio.Queue[str] = asyncio.Queue()
    consumer = Consumer(endpoint, name="patient", on_unusable=reported.put_nowait, unusable_after_s=1.0)
    await consumer.start()
    inbox = Inbox()
    subscription = await consumer.subscribe(names.live, prefetch=5, on_delivery=inbox, wait_s=0.1)
    assert not subscription.active
    started = asyncio.get_running_loop().time()
    assert await asyncio.wait_for(reported.get(), 10) == names.live
    assert asyncio.get_running_loop().time() - started >= 0.8
    assert await topology.recreate(endpoint, names.topology, names.live)
    await until(lambda: subscription.active)
    assert not await topology.recreate(endpoint, names.topology, names.live), "a usable queue is left alone"
    publisher = Publisher(endpoint, name="p")
    await publisher.start()
    publisher.ring("work", names.live_key, b"key")
    assert (await inbox.next()).body == b"key"
    await publisher.close()
    await consumer.close(drain_s=0)


@pytest.mark.rule("R15a")
async def test_several_processes_recreate_a_queue_at_the_same_time(endpoint: BrokerEndpoint, names: Names) -> None:
    """Each finds it unusable (it is not there), and some delete what others have just declared and are about to bind."""
    for _ in range(5):
        await asyncio.gather(*(topology.recreate(endpoint, names.topology, names.live) for _ in range(4)))
        assert await topology.usable(endpoint, names.live)
        async with session(endpoint, name="admin") as broker:
            await broker.call("queue_delete", queue=names.live)
