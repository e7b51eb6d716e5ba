"""What a publisher keeps of one confirming channel, and what it counts."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from pika import spec

from gateway.broker import wire
from gateway.broker.channel import Channel
from gateway.broker.confirms import ConfirmWindow

TEMPLATES = 4096
"""Marshalled prefixes kept for each channel; more kinds than parties, lanes and key lengths can make."""


@dataclass(slots=True, kw_only=True)
class PublishCounters:
    """Since the publisher was made; each message is counted once at its end."""

    published: int = 0
    confirmed: int = 0
    returned: int = 0
    nacked: int = 0
    timed_out: int = 0
    lost: int = 0
    bells: int = 0
    """Bells written to the connection."""
    bells_acked: int = 0
    """Includes the returned ones: the broker confirms what it could not route."""
    bells_returned: int = 0
    bells_nacked: int = 0
    bells_timed_out: int = 0
    bells_lost: int = 0
    """Unconfirmed when the connection or channel went down."""
    bells_not_connected: int = 0
    bells_blocked: int = 0
    bells_window_full: int = 0

    @property
    def bells_confirmed(self) -> int:
        return self.bells_acked - self.bells_returned

    @property
    def bells_failed(self) -> int:
        """Bells that will not ring; the look-up for due keys finds what they meant (R15)."""
        return (
            self.bells_returned
            + self.bells_nacked
            + self.bells_timed_out
            + self.bells_lost
            + self.bells_not_connected
            + self.bells_blocked
            + self.bells_window_full
        )


class Waiting:
    """A published message whose confirm is awaited."""

    __slots__ = ("exchange", "future", "message_id", "returned", "routing_key")

    def __init__(self, future: asyncio.Future[None], exchange: str, routing_key: str, message_id: str) -> None:
        self.future = future
        self.exchange = exchange
        self.routing_key = routing_key
        self.message_id = message_id
        self.returned = False


class Line:
    """One confirming channel: its window, its output of this turn of the loop, its marshalled prefixes."""

    def __init__(self, channel: Channel, loop: asyncio.AbstractEventLoop) -> None:
        self.channel = channel
        self.number = channel.number
        self.window = ConfirmWindow()
        self.out: list[bytes] = []
        self.templates: dict[Any, bytes] = {}
        self.waiting: dict[int, Waiting] = {}
        parameters: Any = channel.connection.params
        self.frame_max: int = parameters.frame_max
        self._loop = loop

    def schedule(self) -> None:
        self._loop.call_soon(self.flush)

    def flush(self) -> None:
        out, self.out = self.out, []
        if out and self.channel.is_open:  # on a closed channel a frame would cost the whole connection
            wire.emit(self.channel.connection, out)

    def template(self, key: Any, value: bytes) -> bytes:
        if len(self.templates) >= TEMPLATES:
            self.templates.clear()
        self.templates[key] = value
        return value


def mark_returned(line: Line, method: Any, properties: spec.BasicProperties) -> None:
    """A return names no tag. Returns come in the order of publishing, before their confirm: it is the oldest with the same marks."""
    for one in line.waiting.values():
        if (
            not one.returned
            and one.message_id == properties.message_id
            and one.exchange == method.exchange
            and one.routing_key == method.routing_key
        ):
            one.returned = True
            return
