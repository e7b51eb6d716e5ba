"""How fast bells are rung, beside what pika's asyncio adapter does at its best with the same size and window.

Both publish persistent, mandatory messages with confirms to the same kind of queue, keep at most ``window`` of them unconfirmed and fill up
whenever a confirm has made room. The raw side does nothing else: no return callback, no counters, one properties object for all.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pika
from pika import spec
from pika.adapters.asyncio_connection import AsyncioConnection

from gateway.broker import BrokerEndpoint, EmbeddedNode, Publisher, topology

EXCHANGE = "work"


async def measure_ring_rate(endpoint: BrokerEndpoint, n: int, window: int, size: int, *, routing_key: str) -> float:
    """Bells a second through :meth:`Publisher.ring`, from the first call to the last confirm.

    :raises RuntimeError: a bell was lost, refused or dropped: then the number means nothing.
    """
    publisher = Publisher(endpoint, name="measure bells", bell_window=window)
    if not await publisher.start():
        raise RuntimeError("no broker")
    body = b"k" * size
    counters = publisher.counters
    started = time.perf_counter()
    rung = 0
    while rung < n:
        free = min(publisher.bells_free, n - rung)
        if not free:
            await publisher.wait_bell_room()
            continue
        for _ in range(free):
            publisher.ring(EXCHANGE, routing_key, body)
        rung += free
    await publisher.close(drain_s=60)
    taken = time.perf_counter() - started
    if counters.bells_confirmed != n:
        raise RuntimeError(f"only {counters.bells_confirmed} of {n} bells were confirmed")
    return n / taken


async def measure_raw_rate(endpoint: BrokerEndpoint, n: int, window: int, size: int, *, routing_key: str) -> float:
    """Messages a second through a bare ``AsyncioConnection`` with asynchronous confirms, from the first publish to the last confirm."""
    loop = asyncio.get_running_loop()
    finished: asyncio.Future[float] = loop.create_future()
    body = b"k" * size
    properties = spec.BasicProperties(delivery_mode=2)
    sent = confirmed = 0
    started = 0.0

    def on_open(connection: Any) -> None:
        connection.channel(on_open_callback=on_channel)

    def on_channel(channel: Any) -> None:
        def fill() -> None:
            nonlocal sent
            while sent < n and sent - confirmed < window:
                channel.basic_publish(EXCHANGE, routing_key, body, properties, mandatory=True)
                sent += 1

        def on_confirm(frame: Any) -> None:
            nonlocal confirmed
            confirmed = frame.method.delivery_tag if frame.method.multiple else confirmed + 1
            if confirmed >= n:
                if not finished.done():
                    finished.set_result(time.perf_counter() - started)
            else:
                fill()

        def on_selected(_frame: Any) -> None:
            nonlocal started
            started = time.perf_counter()
            fill()

        channel.confirm_delivery(on_confirm, callback=on_selected)

    def on_error(_connection: Any, error: Any) -> None:
        if not finished.done():
            finished.set_exception(RuntimeError(f"connection failed: {type(error).__name__}"))

    closed: asyncio.Future[None] = loop.create_future()
    connection = AsyncioConnection(
        endpoint.parameters(0, name="measure raw"),
        on_open_callback=on_open,
        on_open_error_callback=on_error,
        on_close_callback=lambda *_: closed.set_result(None),
        custom_ioloop=loop,
    )
    assert isinstance(connection, pika.connection.Connection)
    taken = await asyncio.wait_for(finished, 300)
    connection.close()
    await asyncio.wait_for(closed, 10)
    return n / taken


async def measure_side_by_side(
    endpoint: BrokerEndpoint, *, routing_key: str, n: int = 20_000, window: int = 500, size: int = 32, rounds: int = 3
) -> tuple[float, float]:
    """(bells, raw) a second: the best of ``rounds`` turns each, taken alternately."""
    bells = raw = 0.0
    for _ in range(rounds):
        raw = max(raw, await measure_raw_rate(endpoint, n, window, size, routing_key=routing_key))
        bells = max(bells, await measure_ring_rate(endpoint, n, window, size, routing_key=routing_key))
    return bells, raw


async def beside(folder: Path) -> tuple[float, float]:
    """:func:`measure_side_by_side` on a node of its own below ``folder``."""
    node = EmbeddedNode(folder / "broker", name="bench")
    async with node:
        await topology.declare(node.endpoint(), topology.build(systems=[], parties=["bench-party"]))
        # nobody consumes: two rounds of both stay below the length limit of a work queue
        return await measure_side_by_side(node.endpoint(), routing_key=topology.work_key("bench-party", "live"), rounds=2)
