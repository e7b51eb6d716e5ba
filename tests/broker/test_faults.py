"""What happens to messages when the broker is killed, frozen, or out of memory."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from gateway.broker import BrokerEndpoint, Consumer, Delivery, EmbeddedNode, Publisher, topology
from gateway.broker.admin import NodeAdmin
from gateway.broker.errors import Blocked, ConfirmTimeout, ConnectionLost, NotConnected, PublishFailed
from tests.support.broker import Names, until

pytestmark = pytest.mark.slow


@pytest.mark.invariant("I1")
@pytest.mark.rule("R15a")
async def test_a_killed_node_loses_nothing_that_it_confirmed(broker_node: EmbeddedNode, declared: Names) -> None:
    """Kill in full flight, restart on the same folder: publisher and consumer find their way back by themselves."""
    endpoint = broker_node.endpoint()
    publisher = Publisher(endpoint, name="p", confirm_timeout_s=5)
    received: set[bytes] = set()
    unusable: list[str] = []

    def on_delivery(delivery: Delivery) -> None:
        received.add(delivery.body)
        consumer.ack(delivery)

    consumer = Consumer(endpoint, name="c", on_unusable=unusable.append)
    await publisher.start()
    await consumer.start()
    subscription = await consumer.subscribe(declared.live, prefetch=50, on_delivery=on_delivery)
    confirmed: set[bytes] = set()
    kinds: set[type[PublishFailed]] = set()

    async def send(lane: int) -> None:
        for n in range(300):
            body = b"%d-%d" % (lane, n)
            while True:
                try:
                    await publisher.publish("work", declared.live_key, body)
                except PublishFailed as error:
                    kinds.add(type(error))
                    await asyncio.sleep(0.05)
                else:
                    confirmed.add(body)
                    break

    sending = asyncio.gather(*(send(lane) for lane in range(10)))
    await until(lambda: len(confirmed) > 600)
    pid = broker_node.pid
    broker_node.kill()
    await until(lambda: not publisher.connected and not subscription.active)
    await broker_node.start()
    assert broker_node.pid != pid
    await sending
    await until(lambda: confirmed <= received, 30)
    assert len(confirmed) == 3000
    assert kinds <= {ConnectionLost, NotConnected, ConfirmTimeout}
    assert NotConnected in kinds
    assert publisher.link.generation == 2
    assert not unusable
    await consumer.close()
    await publisher.close()


@pytest.mark.rule("R15a")
async def test_a_queue_declared_just_before_the_kill_rings_again(broker_node: EmbeddedNode, names: Names) -> None:
    """On 3.10.8 the queue declared last is then unusable for more than a minute; deleting and declaring it again repairs it."""
    last = names.topology.queues[-1].name
    key = topology.work_key(names.party, "bulk")
    assert last == f"work.{key}"
    endpoint = broker_node.endpoint()
    await topology.declare(endpoint, names.topology)
    broker_node.kill()
    await broker_node.start()
    rang: asyncio.Queue[Delivery] = asyncio.Queue()
    repairs: list[asyncio.Task[bool]] = []

    def repair(queue: str) -> None:
        # as several processes would that find it unusable, and do not know of one another
        repairs.append(asyncio.create_task(topology.recreate(endpoint, names.topology, queue)))

    consumer = Consumer(endpoint, name="c", on_unusable=repair, unusable_after_s=3)
    publisher = Publisher(endpoint, name="p", confirm_timeout_s=2)
    await publisher.start()
    await consumer.start()
    await consumer.subscribe(last, prefetch=5, on_delivery=rang.put_nowait, wait_s=0)

    def ring() -> bool:
        publisher.ring("work", key, b"key")
        return not rang.empty()

    await until(ring, 45)
    await asyncio.gather(*repairs)
    await consumer.close(drain_s=0)
    await publisher.close(drain_s=0)


async def test_a_frozen_node_times_out_its_confirms_and_is_left(broker_node: EmbeddedNode, declared: Names) -> None:
    endpoint = dataclasses.replace(broker_node.endpoint(), heartbeat_s=2)
    publisher = Publisher(endpoint, name="p", confirm_timeout_s=0.5)
    await publisher.start()
    await publisher.publish("work", declared.live_key, b"before")
    broker_node.freeze()
    try:
        for _ in range(3):
            publisher.ring("work", declared.live_key, b"bell")
        with pytest.raises(ConfirmTimeout) as caught:
            await publisher.publish("work", declared.live_key, b"during")
        assert caught.value.maybe_taken
        assert caught.value.code == "broker-confirm-timeout"
        await until(lambda: publisher.counters.bells_timed_out == 3)
        await until(lambda: not publisher.connected, 6)
        with pytest.raises(NotConnected):
            await publisher.publish("work", declared.live_key, b"nobody there")
    finally:
        broker_node.thaw()
    await until(lambda: publisher.connected, 15)
    await publisher.publish("work", declared.live_key, b"after")
    await publisher.close()


async def test_closing_does_not_hang_on_a_frozen_node(broker_node: EmbeddedNode, declared: Names) -> None:
    publisher = Publisher(broker_node.endpoint(), name="p")
    consumer = Consumer(broker_node.endpoint(), name="c")
    await publisher.start()
    await consumer.start()
    await consumer.subscribe(declared.live, prefetch=5, on_delivery=lambda _delivery: None)
    broker_node.freeze()
    try:
        publisher.ring("work", declared.live_key, b"bell")
        await asyncio.wait_for(asyncio.gather(publisher.close(drain_s=0.5), consumer.close(drain_s=0.5)), 15)
    finally:
        broker_node.thaw()


@pytest.mark.rule("R19")
async def test_an_alarm_blocks_publishers_and_not_consumers(broker_node: EmbeddedNode, declared: Names) -> None:
    endpoint = broker_node.endpoint()
    admin = NodeAdmin(broker_node)
    publisher = Publisher(endpoint, name="p", confirm_timeout_s=1)
    consumer = Consumer(endpoint, name="c")
    await publisher.start()
    await consumer.start()
    inbox: asyncio.Queue[Delivery] = asyncio.Queue()
    for n in range(3):
        await publisher.publish("work", declared.live_key, b"%d" % n)
    await admin.set_memory_limit(1)
    try:
        with pytest.raises(Blocked) as sent:
            await publisher.publish("work", declared.live_key, b"left already")
        assert sent.value.maybe_taken
        assert publisher.blocked
        with pytest.raises(Blocked) as kept:
            await publisher.publish("work", declared.live_key, b"kept back")
        assert not kept.value.maybe_taken
        assert kept.value.code == "broker-blocked"
        publisher.ring("work", declared.live_key, b"bell")
        assert publisher.counters.bells_blocked == 1
        subscription = await consumer.subscribe(declared.live, prefetch=10, on_delivery=inbox.put_nowait)
        assert subscription.active
        for n in range(3):
            delivery = await asyncio.wait_for(inbox.get(), 5)
            assert delivery.body == b"%d" % n
            assert consumer.ack(delivery)
        assert (await consumer.depth(declared.live)).consumers == 1, "questions go over the connection that is not blocked"
        waiting = asyncio.create_task(wait_out_the_alarm(publisher, declared.live_key))
    finally:
        await admin.set_memory_limit(1 << 30)
    await until(lambda: not publisher.blocked)
    await asyncio.wait_for(waiting, 10)
    bodies = {(await asyncio.wait_for(inbox.get(), 5)).body for _ in range(2)}
    assert bodies == {b"left already", b"patient"}
    await consumer.close(drain_s=0)
    await publisher.close()


async def wait_out_the_alarm(publisher: Publisher, key: str) -> None:
    while True:
        try:
            await publisher.publish("work", key, b"patient")
        except Blocked:
            continue
        return


async def test_no_broker_at_all(declared: Names, endpoint: BrokerEndpoint) -> None:
    """Nothing hangs: start says so, publish raises, ring counts, and close ends."""
    nobody = dataclasses.replace(endpoint, hosts=(("127.0.0.1", 1),))
    publisher, consumer = Publisher(nobody, name="p"), Consumer(nobody, name="c")
    assert not await publisher.start(wait_s=0.3)
    assert not await consumer.start(wait_s=0.1)
    assert publisher.link.last_error is not None
    assert publisher.link.last_error.code == "broker-unreachable"
    with pytest.raises(NotConnected):
        await publisher.publish("work", "k", b"x")
    await publisher.close()
    await consumer.close()


async def test_a_second_host_is_taken_when_the_first_is_away(declared: Names, endpoint: BrokerEndpoint) -> None:
    several = dataclasses.replace(endpoint, hosts=(("127.0.0.1", 1), *endpoint.hosts))
    await topology.declare(several, declared.topology)
    publisher = Publisher(several, name="p")
    assert await publisher.start()
    await publisher.publish("work", declared.live_key, b"x")
    await publisher.close()
