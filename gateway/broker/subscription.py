"""One consumed queue: messages in, acks out, and the queue consumed again after everything that can end it."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pika import spec
from pika.adapters.asyncio_connection import AsyncioConnection

from gateway.broker import wire
from gateway.broker.acks import AckWindow
from gateway.broker.channel import Channel
from gateway.errors import BrokerUnavailable

if TYPE_CHECKING:
    from gateway.broker.consumer import Consumer

_log = logging.getLogger(__name__)
_ACK_BATCH = 64
"""Acks that are told at the latest when so many have come together; below that, once per turn of the loop."""
_CONSUME_TIMEOUT_S = 5.0
_RETRY_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One message as it came. Prints without its content (I5)."""

    queue: str
    tag: int
    generation: int
    body: bytes = field(repr=False)
    properties: spec.BasicProperties = field(repr=False)
    routing_key: str = field(repr=False)
    exchange: str
    redelivered: bool

    @property
    def headers(self) -> Mapping[str, Any]:
        return self.properties.headers or {}

    @property
    def delivery_count(self) -> int:
        """How often it was delivered before, as the quorum queue counts (0 for the first time)."""
        count = (self.properties.headers or {}).get("x-delivery-count", 0)
        return count if isinstance(count, int) else 0


class Subscription:
    """One consumed queue. Made by :meth:`Consumer.subscribe`."""

    def __init__(
        self,
        consumer: Consumer,
        queue: str,
        *,
        prefetch: int,
        on_delivery: Callable[[Delivery], None],
        on_unusable: Callable[[str], None] | None,
        single_active: bool,
    ) -> None:
        if inspect.iscoroutinefunction(on_delivery):
            raise TypeError("on_delivery is called on the loop and must not be a coroutine function; let it start a task")
        self.queue = queue
        self.prefetch = prefetch
        self.single_active = single_active
        self.generation = 0
        """Of the channel in use; 0 while there is none."""
        self.cancels = 0
        """How often the broker ended the consuming (queue deleted, its leader moved)."""
        self.handler_errors = 0
        self.last_error: BrokerUnavailable | None = None
        self._consumer = consumer
        self._on_delivery = on_delivery
        self._on_unusable = on_unusable
        self._channel: Channel | None = None
        self._consumer_tag = ""
        self._window = AckWindow()
        self._active = asyncio.Event()
        self._wanted = asyncio.Event()
        self._wanted.set()
        self._muted = False
        self._closed = False
        self._flush_due = False
        self._drained: asyncio.Event = asyncio.Event()
        self._unusable_since: float | None = None
        self._task = asyncio.create_task(self._keep(), name=f"subscription {queue}")

    @property
    def active(self) -> bool:
        """The broker delivers to us (or will, as single-active consumer, when it is our turn)."""
        return self._active.is_set()

    @property
    def paused(self) -> bool:
        return not self._wanted.is_set()

    @property
    def unacked(self) -> int:
        return self._window.unacked

    async def wait_active(self, timeout_s: float) -> bool:
        """Wait until the subscription is active, at most ``timeout_s`` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._active.wait()
        return self.active

    def pause(self) -> None:
        """Consume no more until :meth:`resume`; deliveries not acked by now go back to the queue and their acks do nothing (R12)."""
        self._wanted.clear()
        self._end_channel()

    async def resume(self, *, wait_s: float = 5.0) -> bool:
        """Consume again; return whether the broker agreed within ``wait_s`` seconds (it is tried further in any case)."""
        self._wanted.set()
        return await self.wait_active(wait_s)

    async def close(self, *, drain_s: float = 5.0) -> None:
        """Take nothing more, wait at most ``drain_s`` seconds until the handlers have settled what they hold, tell the acks, end.

        With ``single_active`` the channel stays the active consumer until then, and what comes meanwhile goes back unhandled.
        """
        self._closed = True
        channel = self._channel
        answers = True
        if channel is not None and channel.is_open and self.active:
            self._muted = True
            if not self.single_active:
                try:
                    await channel.call(channel.raw.basic_cancel, consumer_tag=self._consumer_tag, timeout_s=2.0)
                except BrokerUnavailable as error:  # the channel is going down: then there is nothing left to end
                    _log.warning("broker: ending the consuming of %s: %s", self.queue, error)
                    answers = False
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(drain_s):
                    while self._window.unacked:
                        self._drained.clear()
                        await self._drained.wait()
            self.flush()
        self._end_channel()
        if channel is not None and answers:
            await channel.close(timeout_s=2.0)
        self._task.cancel()
        await asyncio.wait({self._task})
        self._consumer._forget(self)

    # --- acks

    def ack(self, delivery: Delivery, *, up_to: bool) -> bool:
        if delivery.generation != self.generation:
            return False
        window = self._window
        if not (window.ack_up_to(delivery.tag) if up_to else window.ack(delivery.tag)):
            return False
        if not self._flush_due:
            self._flush_due = True
            self._consumer._loop.call_soon(self.flush)
        elif window.untold >= _ACK_BATCH:
            self.flush()
        if self._closed:
            self._drained.set()
        return True

    def nack(self, delivery: Delivery, *, requeue: bool) -> bool:
        channel = self._channel
        if delivery.generation != self.generation or channel is None or not channel.is_open or not self._window.refuse(delivery.tag):
            return False
        # basic.reject, not basic.nack: from 4.3 on only the former counts against the delivery limit.
        channel.raw.basic_reject(delivery.tag, requeue=requeue)
        self._drained.set()
        return True

    def flush(self) -> None:
        """Tell the broker all acks noted so far."""
        self._flush_due = False
        channel = self._channel
        if channel is None or not channel.is_open or not self._window.untold:
            return  # on a closed channel an ack would cost the whole connection; the messages come again
        multiple, singles = self._window.take()
        frames = [wire.ack(channel.number, multiple, multiple=True)] if multiple else []
        frames += [wire.ack(channel.number, tag, multiple=False) for tag in singles]
        wire.emit(channel.connection, frames)

    # --- keeping it up

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        link = self._consumer.link
        while not self._closed:
            await self._wanted.wait()
            if link.connection is None or not link.connection.is_open:  # closed: the link is about to notice
                self._unusable_since = None
                await link.wait_change()
                continue
            if self._unusable_since is None:
                self._unusable_since = loop.time()
            try:
                channel = await self._open(link.connection)
            except BrokerUnavailable as error:
                self.last_error = error
                self._report_unusable(loop.time())
                await asyncio.sleep(_RETRY_S)
                continue
            if channel is self._channel:  # else it was given up again (paused, handler failed) before we came here
                self._unusable_since, self.last_error = None, None
                self._active.set()
                await asyncio.wait({channel.closed})
                self._active.clear()
            self._forget_channel(channel)
            if self._wanted.is_set() and link.connection is channel.connection and not self._closed:
                self._unusable_since = loop.time()
                self.last_error = channel.failure()
                await asyncio.sleep(_RETRY_S)

    async def _open(self, connection: AsyncioConnection) -> Channel:
        channel = await Channel.open(connection, timeout_s=_CONSUME_TIMEOUT_S)
        try:
            await channel.call(channel.raw.basic_qos, prefetch_count=self.prefetch, timeout_s=_CONSUME_TIMEOUT_S)
            channel.raw.add_on_cancel_callback(lambda _frame: self._on_cancelled(channel))
            self._window = AckWindow()
            self._channel = channel
            self._muted = False
            self.generation = self._consumer._next_generation()
            generation = self.generation

            def on_message(_raw: Any, method: Any, properties: spec.BasicProperties, body: bytes) -> None:
                self._deliver(generation, method, properties, body)

            def consume(callback: Callable[..., Any]) -> None:
                self._consumer_tag = channel.raw.basic_consume(self.queue, on_message, auto_ack=False, callback=callback)

            await channel.call(consume, timeout_s=_CONSUME_TIMEOUT_S)
        except BaseException:
            self._forget_channel(channel)
            raise
        return channel

    def _deliver(self, generation: int, method: Any, properties: spec.BasicProperties, body: bytes) -> None:
        if generation != self.generation:
            return  # of a channel that is being closed: it goes back by itself
        self._window.delivered = method.delivery_tag
        if self._muted:
            self._window.refuse(method.delivery_tag)
            return
        delivery = Delivery(
            queue=self.queue,
            tag=method.delivery_tag,
            generation=generation,
            body=body,
            properties=properties,
            routing_key=method.routing_key,
            exchange=method.exchange,
            redelivered=method.redelivered,
        )
        try:
            self._on_delivery(delivery)
        except Exception as error:
            self.handler_errors += 1
            self._end_channel()
            self._consumer._handler_failed(self.queue, error)

    def _on_cancelled(self, channel: Channel) -> None:
        self.cancels += 1
        if channel is self._channel:
            _log.warning("broker ended the consuming of %s", self.queue)
            self._end_channel()

    def _end_channel(self) -> None:
        """Give the channel up, with the acks noted so far told first."""
        channel = self._channel
        if channel is not None:
            self.flush()
            self._forget_channel(channel)

    def _forget_channel(self, channel: Channel) -> None:
        if channel is self._channel:
            self._channel = None
            self.generation = 0
            self._active.clear()
            self._drained.set()
        channel.abandon()

    def _report_unusable(self, now: float) -> None:
        since = self._unusable_since
        if since is None or now - since < self._consumer.unusable_after_s:
            return
        self._unusable_since = now
        _log.error("queue %s cannot be used: %s", self.queue, self.last_error)
        if self._on_unusable is not None:
            self._on_unusable(self.queue)
