"""Three nodes, one of them lost."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.broker import Consumer, Delivery, Publisher, topology
from gateway.broker.cluster import LocalCluster
from gateway.broker.errors import PublishFailed
from tests.support.broker import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.mark.invariant("I1")
async def test_a_lost_node_costs_no_confirmed_message(tmp_path: Path) -> None:
    async with LocalCluster(tmp_path) as cluster:
        endpoint = cluster.endpoint()
        top = topology.build(systems=["register"], parties=["city-cs"])
        await topology.declare(endpoint, top)
        publisher = Publisher(endpoint, name="p", confirm_timeout_s=5)
        assert await publisher.start()
        confirmed: set[bytes] = set()

        async def send(lane: int) -> None:
            for n in range(200):
                body = b"%d-%d" % (lane, n)
                while body not in confirmed:
                    try:
                        await publisher.publish("work", "city-cs.live", body)
                    except PublishFailed:
                        await asyncio.sleep(0.1)
                    else:
                        confirmed.add(body)

        sending = asyncio.gather(*(send(lane) for lane in range(10)))
        await until(lambda: len(confirmed) > 300)
        host = publisher.link.connection
        assert host is not None
        lost = next(node for node in cluster.nodes if node.port == host.params.port)
        lost.kill()  # the very node that the publisher talks to
        await asyncio.wait_for(sending, 60)
        assert len(confirmed) == 2000
        assert publisher.link.generation >= 2

        # Declaring again, as every process does at its start, works with two of three nodes.
        await topology.declare(endpoint, top)

        received: set[bytes] = set()

        def on_delivery(delivery: Delivery) -> None:
            received.add(delivery.body)
            consumer.ack(delivery)

        consumer = Consumer(endpoint, name="c")
        assert await consumer.start()
        await consumer.subscribe("work.city-cs.live", prefetch=100, on_delivery=on_delivery)
        await until(lambda: confirmed <= received, 30)

        await lost.start(timeout_s=90)  # and it comes back into the cluster
        await publisher.publish("work", "city-cs.live", b"all three")
        await until(lambda: b"all three" in received)
        await consumer.close()
        await publisher.close()
