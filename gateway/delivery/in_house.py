"""The way to one of our own systems: its queue on the broker, encrypted for its key (R18).

Nothing is put into a queue that nobody consumes: the ledger holds what waits anyway, and a queue is one more copy of personal data. Who
consumes is asked at most once a second.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from gateway.broker import Consumer, Publisher, topology
from gateway.broker.errors import PublishFailed
from gateway.contract import CallNotSent, CallUnanswered, HttpAnswer
from gateway.errors import BrokerUnavailable
from gateway.security.jwe import MEDIA_TYPE
from gateway.security.jwe_out import ConsumerKey

ASKED_S = 1.0


class QueueLine:
    """:class:`gateway.contract.QueueCaller` for one system. For one event loop."""

    def __init__(self, system: str, publisher: Publisher, consumer: Consumer, key: ConsumerKey, *, acknowledge_s: float) -> None:
        self._system = system
        self._publisher = publisher
        self._consumer = consumer
        self._key = key
        self.acknowledge_s = acknowledge_s
        self._consumed_until = 0.0

    async def send(self, body: bytes, *, delivery_id: str, correlation: str, headers: Mapping[str, str]) -> None:
        """See :class:`gateway.contract.QueueCaller`."""
        await self._require_consumer()
        try:
            await self._publisher.publish(
                topology.IN_HOUSE_EXCHANGE,
                self._system,
                self._key.encrypt(body),
                content_type=MEDIA_TYPE,
                headers=headers,
                message_id=delivery_id,
                correlation_id=correlation,
            )
        except PublishFailed as error:
            if error.maybe_taken:
                raise CallUnanswered(error.code) from error
            raise CallNotSent(error.code) from error

    async def probe(self) -> None:
        """See :class:`gateway.contract.QueueCaller`."""
        if self._key.problem is not None:
            raise CallNotSent("consumer-key")
        self._consumed_until = 0.0
        await self._require_consumer()

    async def _require_consumer(self) -> None:
        if time.monotonic() < self._consumed_until:
            return
        try:
            depth = await self._consumer.depth(topology.in_house_queue(self._system))
        except BrokerUnavailable as error:
            raise CallNotSent(error.code) from error
        if not depth.consumers:
            raise CallNotSent("no-consumer")
        self._consumed_until = time.monotonic() + ASKED_S


class PullLine:
    """:class:`gateway.contract.QueueCaller` for a system that fetches: the delivery that is *pending* in the ledger is the offer."""

    def __init__(self, *, acknowledge_s: float) -> None:
        self.acknowledge_s = acknowledge_s

    async def send(self, body: bytes, *, delivery_id: str, correlation: str, headers: Mapping[str, str]) -> None:
        """Nothing leaves here: it does when it is fetched (:mod:`gateway.pull`)."""

    async def probe(self) -> None:
        """Always: whether the system comes is not for us to ask."""


class NoHttp:
    """In place of an HTTP client, for a system that has its messages by queue."""

    async def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> HttpAnswer:
        """Never possible."""
        raise CallNotSent("no-http")

    async def probe(self) -> None:
        """Never possible."""
        raise CallNotSent("no-http")

    async def close(self) -> None:
        """Nothing is open."""
