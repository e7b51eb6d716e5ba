"""The AMQP door: CloudEvents in binary mode with JWE data over RabbitMQ, confirms in a window, receipts from a queue.

pika's asyncio adapter, used directly and thinly. Two connections, since an alarm of the broker stops reading from one that publishes. The
broker's confirm says only that the broker has it: **the receipt is the acceptance**. What is not confirmed is published again when the
connection is back, what has no receipt after ``resend_after_s`` is published again with the same id: in the order of the first time.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pika
from pika.adapters.asyncio_connection import AsyncioConnection
from pika.credentials import ExternalCredentials

from simulators.register.keys import GatewayKey
from simulators.register.lanes import Lanes
from simulators.register.messages import Outgoing
from simulators.register.record import RegisterRecord

RECONNECT_FIRST_S = 0.1
RECONNECT_LONGEST_S = 2.0
RESEND_CODES = frozenset({"jwe-key-unknown"})
"""Refusals that say nothing of the message: it is sent again, encrypted for the current key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """Where the broker is and who we are there."""

    host: str
    port: int
    vhost: str = "renkei"
    user: str
    password: str | None = field(default=None, repr=False)
    """Without one the client certificate is the login (EXTERNAL)."""
    context: ssl.SSLContext | None = None
    server_name: str | None = None

    def parameters(self, name: str) -> pika.ConnectionParameters:
        """For pika."""
        parameters = pika.ConnectionParameters(
            host=self.host,
            port=self.port,
            virtual_host=self.vhost,
            credentials=ExternalCredentials() if self.password is None else pika.PlainCredentials(self.user, self.password),
            heartbeat=10,
            blocked_connection_timeout=60,
            client_properties={"connection_name": name},
        )
        if self.context is not None:
            parameters.ssl_options = pika.SSLOptions(self.context, self.server_name or self.host)
        return parameters


class _Link:
    """One connection with one channel that comes back by itself; ``on_open`` gets the channel, ``on_lost`` hears of its end."""

    def __init__(self, broker: Broker, name: str, on_open: Callable[[Any], None], on_lost: Callable[[], None]) -> None:
        self._parameters = broker.parameters(name)
        self._on_open = on_open
        self._on_lost = on_lost
        self._connection: AsyncioConnection | None = None
        self._ended = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.opened = 0

    def start(self) -> asyncio.Task[None]:
        self._task = asyncio.get_running_loop().create_task(self._keep())
        return self._task

    async def _keep(self) -> None:
        pause_s = RECONNECT_FIRST_S
        while True:
            self._ended.clear()
            before = self.opened
            self._connection = AsyncioConnection(
                self._parameters,
                on_open_callback=self._connected,
                on_open_error_callback=lambda *_: self._ended.set(),
                on_close_callback=lambda *_: self._ended.set(),
            )
            await self._ended.wait()
            self._on_lost()
            pause_s = RECONNECT_FIRST_S if self.opened > before else min(pause_s * 2, RECONNECT_LONGEST_S)
            await asyncio.sleep(pause_s)

    def _connected(self, connection: AsyncioConnection) -> None:
        connection.channel(on_open_callback=self._channel_open)

    def _channel_open(self, channel: Any) -> None:
        channel.add_on_close_callback(self._channel_closed)
        self.opened += 1
        self._on_open(channel)

    def _channel_closed(self, channel: Any, reason: BaseException) -> None:
        if channel.connection.is_open:
            channel.connection.close()

    def cut(self) -> None:
        if self._connection is not None and not self._connection.is_closed:
            self._connection._terminate_stream(None)  # type: ignore[attr-defined]  # without a goodbye

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._connection is not None and not self._connection.is_closed and not self._connection.is_closing:
            self._connection.close()  # also one that has not opened yet
            await asyncio.wait([asyncio.get_running_loop().create_task(self._ended.wait())], timeout=2)


@dataclass(slots=True, kw_only=True)
class _Unanswered:
    message: Outgoing
    number: int
    sent_at: float
    bodies: set[str] = field(default_factory=set)
    """SHA-256 of what was published: each time it is encrypted anew."""
    patience_s: float
    """How long to wait for the receipt this time; longer each time, or a slow gateway would only get more to do."""


class AmqpDoor:
    """Publishes messages and takes receipts."""

    def __init__(
        self,
        *,
        broker: Broker,
        system: str,
        key: GatewayKey,
        lanes: Lanes,
        record: RegisterRecord,
        window: int = 200,
        most_unanswered: int = 2000,
        resend_after_s: float = 10.0,
    ) -> None:
        self._system = system
        self._key = key
        self._lanes = lanes
        self._record = record
        self._window = window
        self._most_unanswered = most_unanswered
        self._resend_after_s = resend_after_s
        self._out = _Link(broker, f"{system} publish", self._publishing, self._lost)
        self._in = _Link(broker, f"{system} receipts", self._consuming, lambda: None)
        self._channel: Any = None
        self._tag = 0
        self._unconfirmed: dict[int, Outgoing] = {}
        self._returned: set[str] = set()
        self._unanswered: dict[str, _Unanswered] = {}
        self._again: dict[str, float] = {}
        """Ids to be published again, and from when on (monotonic)."""
        self._number = 0
        self._wake = lanes.ready("amqp")
        self._inbox: list[tuple[Any, int, bytes]] = []
        self._tasks: list[asyncio.Task[None]] = []
        self.counts = {"sent": 0, "resent": 0, "nacked": 0, "returned": 0, "receipts": 0, "strange_receipts": 0}
        self.on_failure: Callable[[BaseException], None] = lambda error: None

    async def start(self) -> None:
        """Connect and begin to take messages."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._publish_all()), loop.create_task(self._look_for_unanswered())]
        for task in (*self._tasks, self._out.start(), self._in.start()):
            task.add_done_callback(self._task_ended)

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.on_failure(error)

    async def stop(self) -> None:
        """Stop; what has no receipt is sent again by whoever goes on from the record."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._out.stop()
        await self._in.stop()

    # Publishing

    def _publishing(self, channel: Any) -> None:
        channel.confirm_delivery(self._confirm)
        channel.add_on_return_callback(self._return)
        self._tag = 0
        self._channel = channel
        self._wake.set()

    def _lost(self) -> None:
        self._channel = None
        now = time.monotonic()
        for message in self._unconfirmed.values():
            self._again[message.id] = now
        self._unconfirmed.clear()
        self._returned.clear()

    async def _publish_all(self) -> None:
        while True:
            self._wake.clear()
            message = self._next()
            if message is None:
                await self._wake.wait()
            else:
                await self._publish(message)

    def _next(self) -> Outgoing | None:
        """What to publish now: first what must be published again; ``None``: nothing, or nothing may be."""
        if self._channel is None or not self._channel.is_open or len(self._unconfirmed) >= self._window:
            return None
        again = self._next_again()
        if again is not None:
            self.counts["resent"] += 1
            return again
        while len(self._unanswered) < self._most_unanswered and (message := self._lanes.next("amqp")) is not None:
            if self._record.answer(message.id) is not None:  # its receipt came from before a restart
                self._lanes.answered(message)
                continue
            self._record.sending(message, "amqp")
            self._number += 1
            self._unanswered[message.id] = _Unanswered(
                message=message, number=self._number, sent_at=time.monotonic(), patience_s=self._resend_after_s
            )
            return message
        return None

    def _next_again(self) -> Outgoing | None:
        """Of what is to be published again, that which was first."""
        now = time.monotonic()
        due = [self._unanswered[name] for name, at in self._again.items() if at <= now and name in self._unanswered]
        for name in [name for name in self._again if name not in self._unanswered]:
            del self._again[name]
        if not due:
            return None
        first = min(due, key=lambda unanswered: unanswered.number)
        del self._again[first.message.id]
        first.sent_at = now
        return first.message

    async def _publish(self, message: Outgoing) -> None:
        await self._key.ensure()
        channel = self._channel
        if channel is None or not channel.is_open:  # lost while the key was fetched
            self._again[message.id] = time.monotonic()
            return
        body = self._key.encrypt(message.content)
        properties = pika.BasicProperties(
            content_type="application/jose",
            delivery_mode=2,
            message_id=message.id,
            headers={f"cloudEvents:{name}": value for name, value in message.attributes().items()},
        )
        if (unanswered := self._unanswered.get(message.id)) is not None:
            unanswered.bodies.add(hashlib.sha256(body).hexdigest())
        channel.basic_publish(f"intake.{self._system}", "in", body, properties, mandatory=True)
        self._tag += 1
        self._unconfirmed[self._tag] = message
        self.counts["sent"] += 1
        await asyncio.sleep(0)  # encrypting takes a while: let confirms and receipts in

    def _return(self, channel: Any, method: Any, properties: Any, body: bytes) -> None:
        self._returned.add(properties.message_id)
        self.counts["returned"] += 1

    def _confirm(self, frame: Any) -> None:
        method = frame.method
        tags = [tag for tag in self._unconfirmed if tag <= method.delivery_tag] if method.multiple else [method.delivery_tag]
        acknowledged = method.NAME == "Basic.Ack"
        for tag in tags:
            message = self._unconfirmed.pop(tag, None)
            if message is None:
                continue
            if acknowledged and message.id not in self._returned:
                self._lanes.confirmed(message)
                continue
            self._returned.discard(message.id)
            self.counts["nacked"] += not acknowledged
            self._again[message.id] = time.monotonic() + 0.5
        self._wake.set()

    async def _look_for_unanswered(self) -> None:
        while True:
            await asyncio.sleep(0.25)
            now = time.monotonic()
            under_way = {message.id for message in self._unconfirmed.values()}
            for name, unanswered in self._unanswered.items():
                if now - unanswered.sent_at >= unanswered.patience_s and name not in self._again and name not in under_way:
                    self._again[name] = now
                    unanswered.patience_s = min(unanswered.patience_s * 2, self._resend_after_s * 8)
            self._wake.set()

    # Receipts

    def _consuming(self, channel: Any) -> None:
        channel.basic_qos(prefetch_count=500)
        channel.basic_consume(f"receipts.{self._system}", self._receipt)

    def _receipt(self, channel: Any, method: Any, properties: Any, body: bytes) -> None:
        if not self._inbox:
            asyncio.get_running_loop().call_soon(self._take_receipts)
        self._inbox.append((channel, method.delivery_tag, body))

    def _take_receipts(self) -> None:
        """All that came in one turn of the loop: one write, then one acknowledgement."""
        inbox, self._inbox = self._inbox, []
        receipts: list[dict[str, Any]] = []
        for _, _, body in inbox:
            receipt = self._parsed(body)
            if receipt is None:
                self.counts["strange_receipts"] += 1
            elif receipt["status"] == "refused" and receipt.get("code") in RESEND_CODES:
                self._key.stale()
                self._again[receipt["id"]] = time.monotonic()
            else:
                receipts.append(receipt)
        self._record.receipts(receipts)
        self.counts["receipts"] += len(receipts)
        for receipt in receipts:
            unanswered = self._unanswered.pop(receipt["id"], None)
            if unanswered is not None:
                self._lanes.answered(unanswered.message)
        for channel, tag in {id(channel): (channel, tag) for channel, tag, _ in inbox}.values():
            if channel.is_open:
                channel.basic_ack(tag, multiple=True)
        self._wake.set()

    def _parsed(self, body: bytes) -> dict[str, Any] | None:
        try:
            receipt = json.loads(body)
        except ValueError:
            return None
        if not isinstance(receipt, dict) or receipt.get("status") not in ("accepted", "refused"):
            return None
        if receipt["status"] == "accepted" and not isinstance(receipt.get("accepted_at"), str):
            return None
        if receipt.get("id") is None and receipt["status"] == "refused":
            # an id that the gateway does not repeat: known by what was published
            digest = receipt.get("body_sha256")
            receipt["id"] = next((name for name, each in self._unanswered.items() if digest in each.bodies), None)
        return receipt if isinstance(receipt.get("id"), str) else None
