"""A system at its queue: opened with its own key, written down, acknowledged. In this order, so that it may die anywhere.

The broker's message is acked when the broker has confirmed the acknowledgement.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pika
from joserfc.errors import JoseError

from simulators.in_house.books import Books
from simulators.register.amqp_door import Broker, _Link
from simulators.register.keys import OwnKeys


class Mailbox:
    """Consumes the queue of one account. Belongs to the event loop."""

    def __init__(self, books: Books, broker: Broker, *keys: Path) -> None:
        """``keys``: private JWKs that open; each has a ``kid``."""
        self.books = books
        self._keys = OwnKeys(*keys)
        self._tag = 0
        self._waiting: dict[int, int] = {}
        self.consuming = False
        self._link = _Link(broker, f"{books.account} mailbox", self._consume, self._lost)

    def start(self) -> None:
        """Consume from now on."""
        self._link.start()

    async def stop(self) -> None:
        """Stop; what is not acknowledged comes again."""
        await self._link.stop()

    def _lost(self) -> None:
        self.consuming = False
        self._waiting.clear()

    def _ready(self, _: Any) -> None:
        self.consuming = True

    def _consume(self, channel: Any) -> None:
        self._tag = 0
        self._waiting.clear()
        channel.confirm_delivery(lambda frame: self._confirmed(channel, frame))
        channel.basic_qos(prefetch_count=50)
        channel.basic_consume(f"in-house.{self.books.account}", self._taken, callback=self._ready)

    def _taken(self, channel: Any, method: Any, properties: Any, body: bytes) -> None:
        headers = properties.headers or {}
        status: str
        code: str | None
        try:
            content = self._keys.open(body)
        except (JoseError, KeyError, ValueError):
            status, code = "refused", "cannot-be-opened"
        else:
            kind, work = str(headers.get("cloudEvents:type", "")), headers.get("cloudEvents:work")
            status, code = self.books.take(properties.message_id, kind, content, work)
        said = {"delivery": properties.message_id, "correlation": properties.correlation_id, "status": status}
        text = json.dumps(said | ({"code": code} if code else {})).encode()
        durable = pika.BasicProperties(content_type="application/json", delivery_mode=2)
        channel.basic_publish(f"acks.{self.books.account}", "in", text, durable)
        self._tag += 1
        self._waiting[self._tag] = method.delivery_tag

    def _confirmed(self, channel: Any, frame: Any) -> None:
        method = frame.method
        tags = [tag for tag in self._waiting if tag <= method.delivery_tag] if method.multiple else [method.delivery_tag]
        for tag in tags:
            about = self._waiting.pop(tag, None)
            if about is None or not channel.is_open:
                continue
            if method.NAME == "Basic.Ack":
                channel.basic_ack(about)
            else:
                channel.basic_nack(about, requeue=True)
