"""Order per resident: which message may be handed over next. Pure but for the waiting.

Everything of one resident goes through one door (architecture section 3), one behind the other. The next one may go when the one before it
has its receipt (``receipt``), or already when the broker has confirmed it (``confirm``, AMQP only: then several of one resident may wait in
the gateway's intake queue, in order).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Literal

from simulators.register.messages import Door, Outgoing

Order = Literal["receipt", "confirm"]


def door_of(resident: str, https_share: float) -> Door:
    """The door of a resident: a fixed share of all residents, chosen by their reference, uses HTTPS."""
    return "https" if int(resident[:8], 16) < https_share * 2**32 else "amqp"


class Lanes:
    """What is to be sent, in an order that is allowed. Belongs to the event loop."""

    def __init__(self, *, https_share: float, order: Order = "receipt") -> None:
        self._https_share = https_share
        self._order = order
        self._waiting: dict[str, deque[Outgoing]] = {}
        """Lanes with a message under way, and what waits behind it."""
        self._ahead: dict[str, str] = {}
        """Lane → id of the message that the next one waits for."""
        self._ready: dict[Door, deque[Outgoing]] = {"amqp": deque(), "https": deque()}
        self._wake: dict[Door, asyncio.Event] = {"amqp": asyncio.Event(), "https": asyncio.Event()}
        self._size = 0
        self._room = asyncio.Event()

    @property
    def size(self) -> int:
        """Messages that no door has taken yet."""
        return self._size

    def put(self, message: Outgoing, *, first: bool = False) -> None:
        """Add a message behind all of its resident; ``first``: before those that no door has taken yet."""
        self._size += 1
        behind = self._waiting.get(message.lane)
        if behind is None:
            self._waiting[message.lane] = deque()
            self._make_ready(message)
        elif first:
            behind.appendleft(message)
        else:
            behind.append(message)

    def put_all(self, messages: Iterable[Outgoing]) -> None:
        """Add several, in order."""
        for message in messages:
            self.put(message)

    def _make_ready(self, message: Outgoing) -> None:
        door = message.door or door_of(message.resident, self._https_share)
        self._ahead[message.lane] = message.id
        self._ready[door].append(message)
        self._wake[door].set()

    def ready(self, door: Door) -> asyncio.Event:
        """Set whenever something becomes ready for a door; the door clears it before it looks."""
        return self._wake[door]

    def next(self, door: Door) -> Outgoing | None:
        """The next message that this door may send, if there is one."""
        if not self._ready[door]:
            return None
        self._size -= 1
        self._room.set()
        return self._ready[door].popleft()

    async def take(self, door: Door) -> Outgoing:
        """The next message that this door may send; waits for it."""
        while (message := self.next(door)) is None:
            self._wake[door].clear()
            await self._wake[door].wait()
        return message

    async def room(self, most: int) -> None:
        """Wait until fewer than ``most`` messages are in here."""
        while self._size >= most:
            self._room.clear()
            await self._room.wait()

    def confirmed(self, message: Outgoing) -> None:
        """The broker has it for good."""
        if self._order == "confirm":
            self._release(message)

    def answered(self, message: Outgoing) -> None:
        """Its receipt (or its refusal) is in the record."""
        self._release(message)

    def _release(self, message: Outgoing) -> None:
        if self._ahead.get(message.lane) != message.id:
            return  # the next one is on its way already
        behind = self._waiting[message.lane]
        if behind:
            self._make_ready(behind.popleft())
        else:
            del self._waiting[message.lane]
            del self._ahead[message.lane]
