"""Consuming: several subscriptions on one connection, a channel for each.

A subscription is kept up by a task of its own::

    idle --link open and not paused--> opening --consume-ok--> active --channel lost, cancelled by the broker--> opening (after a pause)
                                          |                       |
                                          +--- refused (retried) -+--- pause() --> paused --resume()--> opening

Pausing closes the channel (``basic.cancel`` would hand a single-active queue to the next consumer while this one still holds messages);
what was not acked goes back to its place. Each channel has a *generation*: an ack for a delivery of an older one does nothing, so that
nothing is acked on a channel that did not deliver it. A subscription that cannot be made active for ``unusable_after_s`` seconds while
the connection is up is reported (R15a).

A handler that raises is a bug. It is reported and the channel is closed, which returns everything unacked: the message is neither lost
nor left hanging until the connection ends, as pika's own "log and go on" would.
"""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from gateway.broker.channel import Channel
from gateway.broker.connection import Link
from gateway.broker.endpoint import BrokerEndpoint
from gateway.broker.errors import ChannelClosed
from gateway.broker.subscription import Delivery, Subscription

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueDepth:
    """Ready messages and consumers of a queue, as the broker last counted them."""

    ready: int
    consumers: int


class Consumer:
    """See the module. All methods belong to the loop on which :meth:`start` was awaited.

    :param on_error: called with the queue and the exception when a handler raised; without it the error is logged by type and place.
    :param on_unusable: called with the queue when it could not be consumed for ``unusable_after_s`` seconds, and again each time that
        this much time has passed (R15a); a subscription may have its own.
    """

    def __init__(
        self,
        endpoint: BrokerEndpoint,
        *,
        name: str,
        on_error: Callable[[str, Exception], None] | None = None,
        on_unusable: Callable[[str], None] | None = None,
        unusable_after_s: float = 15.0,
    ) -> None:
        self.link = Link(endpoint, name=name)
        self.unusable_after_s = unusable_after_s
        self.subscriptions: dict[str, Subscription] = {}
        self._on_error = on_error
        self._on_unusable = on_unusable
        self._generations = 0
        self._asking: Channel | None = None
        self._asking_lock = asyncio.Lock()

    @property
    def connected(self) -> bool:
        return self.link.connected

    async def start(self, *, wait_s: float = 10.0) -> bool:
        """Connect; return whether that was done within ``wait_s`` seconds. It is tried further in any case."""
        self._loop = asyncio.get_running_loop()
        return await self.link.start(wait_s=wait_s)

    async def subscribe(
        self,
        queue: str,
        *,
        prefetch: int,
        on_delivery: Callable[[Delivery], None],
        on_unusable: Callable[[str], None] | None = None,
        single_active: bool = False,
        wait_s: float = 5.0,
    ) -> Subscription:
        """Consume ``queue`` from now on; waits at most ``wait_s`` seconds until that is so, and goes on trying (see ``active``).

        :param on_delivery: called on the loop for each message, in order; must not block. It settles the message later with
            :meth:`ack` or :meth:`nack`.
        :param single_active: the queue has ``x-single-active-consumer``; decides how :meth:`Subscription.close` ends.
        """
        if queue in self.subscriptions:
            raise ValueError(f"{queue} is already subscribed")
        subscription = Subscription(
            self,
            queue,
            prefetch=prefetch,
            on_delivery=on_delivery,
            on_unusable=on_unusable or self._on_unusable,
            single_active=single_active,
        )
        self.subscriptions[queue] = subscription
        await subscription.wait_active(wait_s)
        return subscription

    def ack(self, delivery: Delivery) -> bool:
        """Settle one delivery. False, and nothing is done, if its channel is gone (it comes again) or it was settled before."""
        subscription = self.subscriptions.get(delivery.queue)
        return subscription is not None and subscription.ack(delivery, up_to=False)

    def ack_up_to(self, delivery: Delivery) -> bool:
        """Settle this delivery and all before it on its subscription. False if its channel is gone or nothing was open."""
        subscription = self.subscriptions.get(delivery.queue)
        return subscription is not None and subscription.ack(delivery, up_to=True)

    def nack(self, delivery: Delivery, *, requeue: bool = True) -> bool:
        """Refuse one delivery: back to its place in the queue (counted), or away. False as for :meth:`ack`."""
        subscription = self.subscriptions.get(delivery.queue)
        return subscription is not None and subscription.nack(delivery, requeue=requeue)

    async def depth(self, queue: str, *, timeout_s: float = 5.0) -> QueueDepth:
        """Ready messages and consumers of ``queue``, over this connection (which an alarm does not block).

        :raises ChannelClosed: there is no such queue (``broker-not-found``), it does not answer, or there is no connection.
        """
        async with self._asking_lock:
            connection = self.link.connection
            if connection is None:
                raise ChannelClosed("broker-not-connected", "there is no connection to the broker")
            channel = self._asking
            if channel is None or not channel.is_open or channel.connection is not connection:
                channel = self._asking = await Channel.open(connection, timeout_s=timeout_s)
            answer = await channel.call(channel.raw.queue_declare, queue=queue, passive=True, timeout_s=timeout_s)
        return QueueDepth(ready=answer.method.message_count, consumers=answer.method.consumer_count)

    async def close(self, *, drain_s: float = 5.0) -> None:
        """Stop: no new deliveries, wait for the handlers (at most ``drain_s`` seconds), tell the acks, disconnect."""
        if self.subscriptions:
            await asyncio.gather(*(one.close(drain_s=drain_s) for one in list(self.subscriptions.values())))
        await self.link.close()

    def _next_generation(self) -> int:
        self._generations += 1
        return self._generations

    def _forget(self, subscription: Subscription) -> None:
        if self.subscriptions.get(subscription.queue) is subscription:
            del self.subscriptions[subscription.queue]

    def _handler_failed(self, queue: str, error: Exception) -> None:
        if self._on_error is not None:
            self._on_error(queue, error)
            return
        # Without the exception's own text: it may hold what the message held (I5).
        places = [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)[-3:]]
        _log.error("handler of %s raised %s at %s", queue, type(error).__name__, " < ".join(reversed(places)))


__all__ = ["Consumer", "Delivery", "QueueDepth", "Subscription"]
