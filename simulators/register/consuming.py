"""A system at its queue: takes a message, does what it does with it, publishes its acknowledgement. In this order, so that it may die
anywhere: the broker's message is acked when the broker has confirmed the acknowledgement, and comes again otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pika

from simulators.register.amqp_door import Broker, _Link

Moment = Callable[[str], None]
"""Called between every two steps, with the name of the moment: whoever makes the system die does it here."""


class Consuming:
    """Consumes the queue of one system or account, and acknowledges. Belongs to the event loop."""

    def __init__(self, broker: Broker, account: str, name: str, moment: Moment = lambda name: None) -> None:
        self._account = account
        self._moment = moment
        self._tag = 0
        self._waiting: dict[int, int] = {}
        """Acknowledgement published (its tag) → the message of the broker that it is about."""
        self.consuming = False
        self._link = _Link(broker, f"{account} {name}", self._consume, self._lost)

    def carry_out(self, properties: Any, body: bytes) -> tuple[str, str | None]:
        """What becomes of a message: its status, and why where that is needed. What is ``accepted`` is on disk."""
        raise NotImplementedError

    def start(self) -> None:
        """Consume from now on."""
        self._link.start()

    async def stop(self) -> None:
        """Stop; what is not acknowledged comes again."""
        await self._link.stop()

    def cut(self) -> None:
        """Cut the connection, as the death of the process would: nothing more is said to the broker."""
        self._link.cut()

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
        channel.basic_consume(f"in-house.{self._account}", self._taken, callback=self._ready)

    def _taken(self, channel: Any, method: Any, properties: Any, body: bytes) -> None:
        self._moment("taken")
        status, code = self.carry_out(properties, body)
        self._moment("written")
        said = {"delivery": properties.message_id, "correlation": properties.correlation_id, "status": status}
        text = json.dumps(said | ({"code": code} if code else {})).encode()
        durable = pika.BasicProperties(content_type="application/json", delivery_mode=2)
        channel.basic_publish(f"acks.{self._account}", "in", text, durable)
        self._tag += 1
        self._waiting[self._tag] = method.delivery_tag
        self._moment("acknowledged")

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
