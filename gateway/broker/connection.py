"""One connection that is made again whenever it is lost.

A :class:`Link` owns at most one pika connection at a time. States::

    stopped --start--> connecting --ok--> open --lost--> waiting --back-off--> connecting
                           |                                ^
                           +------------- failed -----------+        (any) --close--> stopped

``blocked`` is a flag beside ``open``: the broker has an alarm and reads nothing from this connection. ``generation`` grows by one with
every connection, so that whoever holds something of an older one can see it. A lost connection is never repaired: a new pika object is
made (engineering-facts section 1). Publishing and consuming use two links, since an alarm blocks the one and must not stop the other.
"""

from __future__ import annotations

import asyncio
import enum
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from pika import exceptions
from pika.adapters.asyncio_connection import AsyncioConnection

from gateway.broker import wire
from gateway.broker.channel import Channel, close_connection, open_connection
from gateway.broker.endpoint import BrokerEndpoint
from gateway.broker.errors import ChannelClosed, ConnectFailed
from gateway.errors import BrokerUnavailable


class LinkState(enum.Enum):
    STOPPED = "stopped"
    CONNECTING = "connecting"
    OPEN = "open"
    WAITING = "waiting"


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Exponential, with jitter: attempt n waits between half and all of ``first_s * 2**n``, at most ``longest_s``."""

    first_s: float = 0.1
    longest_s: float = 2.0

    def wait_s(self, attempt: int) -> float:
        return float(min(self.longest_s, self.first_s * 2 ** min(attempt, 16)) * random.uniform(0.5, 1.0))  # noqa: S311 not a secret


class LinkUser(Protocol):
    """Who is told what happens to the link. Called on the loop; must not raise and must not block."""

    def link_up(self, connection: AsyncioConnection, generation: int) -> None: ...

    def link_down(self, error: BrokerUnavailable) -> None: ...

    def link_blocked(self, blocked: bool) -> None: ...


class Link:
    """Keeps one connection to ``endpoint`` up. Belongs to the loop that calls :meth:`start`."""

    def __init__(self, endpoint: BrokerEndpoint, *, name: str, user: LinkUser | None = None, backoff: Backoff | None = None) -> None:
        self.endpoint = endpoint
        self.name = name
        self.state = LinkState.STOPPED
        self.blocked = False
        self.generation = 0
        self.reconnects = 0
        self.last_error: BrokerUnavailable | None = None
        self.connection: AsyncioConnection | None = None
        self._user = user
        self._backoff = backoff or Backoff()
        self._task: asyncio.Task[None] | None = None
        self._lost: asyncio.Future[BaseException] | None = None
        self._changed = asyncio.Event()
        self._closing = False

    @property
    def connected(self) -> bool:
        return self.state is LinkState.OPEN

    async def start(self, *, wait_s: float = 10.0) -> bool:
        """Start to connect; return whether the connection was up within ``wait_s`` seconds. It is tried further in any case."""
        if self._task is None:
            self._closing = False
            self._task = asyncio.create_task(self._run(), name=f"broker link {self.name}")
        return await self.wait_connected(wait_s)

    async def wait_connected(self, timeout_s: float) -> bool:
        """Wait until the connection is up, at most ``timeout_s`` seconds."""
        try:
            async with asyncio.timeout(timeout_s):
                while not self.connected:
                    await self.wait_change()
        except TimeoutError:
            return False
        return True

    async def wait_change(self) -> None:
        """Wait for the next change of state or of ``blocked``."""
        event = self._changed
        await event.wait()

    def reset(self, why: str) -> None:
        """Drop the connection at once; it is made again (with several hosts: to the next one)."""
        if self.connection is not None and self._lost is not None and not self._lost.done():
            connection, lost = self.connection, self._lost
            # pika reports the end only after a turn of the loop, and a frozen broker must not hold up the next connection.
            lost.set_result(exceptions.StreamLostError(why))
            if not connection.is_closed:
                wire.abort(connection, exceptions.StreamLostError(why))

    async def close(self) -> None:
        """Close the connection and stop. What is to be flushed must have been flushed before."""
        self._closing = True
        task, self._task = self._task, None
        if self.connection is not None and self._lost is not None:
            await close_connection(self.connection, self._lost)
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
        self._down(ConnectFailed("broker-not-connected", "the connection was closed"))
        self._to(LinkState.STOPPED)

    def _to(self, state: LinkState) -> None:
        self.state = state
        self._signal()

    def _signal(self) -> None:
        event, self._changed = self._changed, asyncio.Event()
        event.set()

    async def _run(self) -> None:
        attempt = 0
        index = 0
        while not self._closing:
            self._to(LinkState.CONNECTING)
            lost: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
            try:
                connection = await open_connection(self.endpoint, name=self.name, index=index, on_close=_once(lost))
            except ConnectFailed as error:
                self.last_error = error
            else:
                self._up(connection, lost)
                started = asyncio.get_running_loop().time()
                await asyncio.wait({lost})
                if asyncio.get_running_loop().time() - started > self._backoff.longest_s:
                    attempt = 0
                self.last_error = ConnectFailed("broker-connection-lost", "the connection to the broker was lost")
                self._down(self.last_error)
            if self._closing:
                break
            index += 1
            self._to(LinkState.WAITING)
            await asyncio.sleep(self._backoff.wait_s(attempt // len(self.endpoint.hosts)))
            attempt += 1

    def _up(self, connection: AsyncioConnection, lost: asyncio.Future[BaseException]) -> None:
        self.generation += 1
        self.reconnects = self.generation - 1
        self.connection, self._lost = connection, lost
        connection.add_on_connection_blocked_callback(lambda *_: self._set_blocked(lost, True))
        connection.add_on_connection_unblocked_callback(lambda *_: self._set_blocked(lost, False))
        self.last_error = None
        self._to(LinkState.OPEN)
        if self._user is not None:
            self._user.link_up(connection, self.generation)

    def _set_blocked(self, lost: asyncio.Future[BaseException], blocked: bool) -> None:
        if lost is self._lost and not lost.done() and self.blocked != blocked:
            self.blocked = blocked
            self._signal()
            if self._user is not None:
                self._user.link_blocked(blocked)

    def _down(self, error: BrokerUnavailable) -> None:
        if self.connection is None:
            return
        self.connection, self._lost, self.blocked = None, None, False
        self.state = LinkState.WAITING
        if self._user is not None:
            self._user.link_down(error)


def _once(future: asyncio.Future[BaseException]) -> Callable[[BaseException], None]:
    def on_close(error: BaseException) -> None:
        if not future.done():
            future.set_result(error)

    return on_close


@asynccontextmanager
async def session(endpoint: BrokerEndpoint, *, name: str) -> AsyncIterator[Session]:
    """A connection for a few calls, closed at the end; no reconnect. Tries each host once.

    :raises ConnectFailed: none of the hosts could be used.
    """
    closed: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
    for index in range(len(endpoint.hosts)):
        try:
            connection = await open_connection(endpoint, name=name, index=index, on_close=_once(closed))
            break
        except ConnectFailed:
            if index == len(endpoint.hosts) - 1:
                raise
    one = Session(connection)
    try:
        yield one
    finally:
        if one.unanswered:  # the closing handshake would wait behind the unanswered call
            wire.abort(connection, exceptions.ConnectionClosedByClient(320, "a call was not answered"))
        await close_connection(connection, closed)


class Session:
    """A short-lived connection and its channel, which is opened again after the broker closed it."""

    def __init__(self, connection: AsyncioConnection) -> None:
        self.connection = connection
        self.unanswered = False
        """A call was not answered in time."""
        self._channel: Channel | None = None

    async def channel(self) -> Channel:
        if self._channel is None or not self._channel.is_open:
            self._channel = await Channel.open(self.connection)
        return self._channel

    async def call(self, method: str, *, timeout_s: float = 10.0, **arguments: Any) -> Any:
        """Call a method of pika's channel by name and await its answer.

        :raises ChannelClosed: the broker refused.
        """
        channel = await self.channel()
        return await self.ask(getattr(channel.raw, method), timeout_s=timeout_s, **arguments)

    async def ask(self, method: Callable[..., Any], /, *, timeout_s: float, **arguments: Any) -> Any:
        """As :meth:`call`, with a callable that takes ``callback``."""
        channel = await self.channel()
        try:
            return await channel.call(method, timeout_s=timeout_s, **arguments)
        except ChannelClosed as error:
            self._channel = None
            self.unanswered = self.unanswered or error.code == "broker-no-answer"
            raise
