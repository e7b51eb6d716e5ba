"""Publishing with confirms: :meth:`Publisher.publish` for what must arrive, :meth:`Publisher.ring` for bells.

One connection, two channels, so that a flood of bells never uses up the window of receipts, and a bell for an exchange that is not there
(the broker closes the channel) takes no receipt with it. Everything written within one turn of the loop leaves in one buffer.

A confirm that does not come fails its message after ``confirm_timeout_s`` and frees its place in the window; the connection is dropped
only if the broker has said nothing at all, heartbeats included: one queue without a leader must not cut off the others (I4).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Mapping
from typing import Any

from pika import spec
from pika.adapters.asyncio_connection import AsyncioConnection

from gateway.broker import wire
from gateway.broker.channel import Channel
from gateway.broker.connection import Link
from gateway.broker.endpoint import BrokerEndpoint
from gateway.broker.errors import Blocked, ConfirmTimeout, ConnectionLost, Nacked, NotConnected, PublishFailed, Unroutable, WindowFull
from gateway.broker.lines import Line, PublishCounters, Waiting, mark_returned
from gateway.errors import BrokerUnavailable

_log = logging.getLogger(__name__)
_PERSISTENT = 2
_BELL_PROPERTIES = spec.BasicProperties(delivery_mode=_PERSISTENT)
_REOPEN_S = 0.2


class Publisher:
    """See the module. All methods belong to the loop on which :meth:`start` was awaited.

    :param window: unconfirmed messages of :meth:`publish` at a time; further calls wait.
    :param bell_window: unconfirmed bells at a time; further bells are dropped and counted.
    :param confirm_timeout_s: how long a confirm is awaited (and, before that, a place in the window, or the end of an alarm).
    """

    def __init__(
        self, endpoint: BrokerEndpoint, *, name: str, window: int = 500, bell_window: int = 2000, confirm_timeout_s: float = 10.0
    ) -> None:
        self.counters = PublishCounters()
        self.link = Link(endpoint, name=name, user=self)
        self._window = window
        self._bell_window = bell_window
        self._timeout_s = confirm_timeout_s
        self._slots = asyncio.Semaphore(window)
        self._line: Line | None = None
        self._bells: Line | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._ready = asyncio.Event()
        self._bell_room: asyncio.Future[None] | None = None
        self._quiet: asyncio.Future[None] | None = None
        self._heard: tuple[int, float] = (0, 0.0)
        self._suspect = False

    @property
    def connected(self) -> bool:
        """Messages and bells can be published now."""
        return self._ready.is_set()

    @property
    def blocked(self) -> bool:
        """The broker has an alarm and takes nothing."""
        return self.link.blocked

    @property
    def bells_free(self) -> int:
        """How many bells can be rung now without being dropped."""
        return 0 if self._bells is None or self.link.blocked else max(0, self._bell_window - self._bells.window.outstanding)

    async def start(self, *, wait_s: float = 10.0) -> bool:
        """Connect; return whether that was done within ``wait_s`` seconds. It is tried further in any case."""
        if not self._tasks:
            loop = asyncio.get_running_loop()
            self._tasks = [
                loop.create_task(self._keep_line(bells=False), name=f"{self.link.name}: messages"),
                loop.create_task(self._keep_line(bells=True), name=f"{self.link.name}: bells"),
                loop.create_task(self._watch(), name=f"{self.link.name}: confirms"),
            ]
        await self.link.start(wait_s=0)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._ready.wait()
        return self.connected

    async def close(self, *, drain_s: float = 5.0) -> None:
        """Wait for the confirms of what was published (at most ``drain_s`` seconds), then disconnect."""
        for line in (self._line, self._bells):
            if line is not None:
                line.flush()
        if not self.blocked and not self._is_quiet():
            self._quiet = asyncio.get_running_loop().create_future()
            await asyncio.wait({self._quiet}, timeout=drain_s)
            self._quiet = None
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._tasks = []
        self._drop_lines()
        await self.link.close()

    async def publish(
        self,
        exchange: str,
        routing_key: str,
        body: bytes,
        *,
        content_type: str | None = None,
        headers: Mapping[str, Any] | None = None,
        message_id: str | None = None,
        correlation_id: str | None = None,
        reply_to: str | None = None,
        message_type: str | None = None,
        expiration_ms: int | None = None,
    ) -> None:
        """Publish one persistent, mandatory message; return when the broker has confirmed it.

        :raises NotConnected, Blocked, WindowFull: nothing was sent (``Blocked.maybe_taken`` tells).
        :raises Unroutable, Nacked: the broker did not take it.
        :raises ConfirmTimeout, ConnectionLost: the broker may have taken it; publish it again, the receiver drops the duplicate.
        """
        if self.link.blocked or self._slots.locked():
            await self._wait_for_slot()
        else:
            await self._slots.acquire()
        line = self._line
        if line is None:
            self._slots.release()
            raise NotConnected("there is no connection to the broker")
        message_id = message_id or secrets.token_hex(16)
        properties = spec.BasicProperties(
            content_type=content_type,
            headers=dict(headers) if headers else None,
            delivery_mode=_PERSISTENT,
            correlation_id=correlation_id,
            reply_to=reply_to,
            expiration=None if expiration_ms is None else str(expiration_ms),
            message_id=message_id,
            type=message_type,
        )
        try:
            key = (exchange, routing_key)
            method = line.templates.get(key) or line.template(key, wire.publish_method(line.number, exchange, routing_key))
            pieces = [method, wire.header(line.number, len(body), properties), *wire.body_frames(line.number, body, line.frame_max)]
        except BaseException:
            self._slots.release()  # a property that AMQP cannot carry; the caller's fault
            raise
        waiting = Waiting(asyncio.get_running_loop().create_future(), exchange, routing_key, message_id)
        line.window.sent += 1
        line.waiting[line.window.sent] = waiting
        if not line.out:
            line.schedule()
        line.out += pieces
        self.counters.published += 1
        await waiting.future

    def ring(self, exchange: str, routing_key: str, body: bytes) -> None:
        """Publish a bell and forget it (R15): what goes wrong is counted and nothing else. ``body`` is short and not empty."""
        counters = self.counters
        line = self._bells
        if line is None:
            counters.bells_not_connected += 1
            return
        window = line.window
        if window.sent - window.low - len(window.ahead) >= self._bell_window:
            counters.bells_window_full += 1
            return
        if self.link.blocked:
            counters.bells_blocked += 1
            return
        size = len(body)
        key = (exchange, routing_key, size)
        prefix = line.templates.get(key)
        if prefix is None:
            if not 0 < size < 1024:
                raise ValueError("a bell is a key id: 1 to 1023 bytes")
            prefix = line.template(key, wire.bell_prefix(line.number, exchange, routing_key, size, _BELL_PROPERTIES))
        window.sent += 1
        out = line.out
        if not out:
            line.schedule()
        out += (prefix, body, wire.FRAME_END)
        counters.bells += 1

    async def wait_bell_room(self) -> None:
        """Wait until a bell would not be dropped for want of room (or of a connection); for those who ring many."""
        while self.bells_free == 0:
            if self._bell_room is None or self._bell_room.done():
                self._bell_room = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._bell_room)

    async def _wait_for_slot(self) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                while self.link.blocked:
                    await self.link.wait_change()
                await self._slots.acquire()
        except TimeoutError:
            if self.link.blocked:
                raise Blocked("the broker has an alarm and takes no messages", maybe_taken=False) from None
            raise WindowFull(f"{self._window} messages wait for the broker's confirm") from None

    # --- LinkUser

    def link_up(self, connection: AsyncioConnection, generation: int) -> None:
        self._heard, self._suspect = (0, asyncio.get_running_loop().time()), False

    def link_down(self, error: BrokerUnavailable) -> None:
        self._drop_lines()

    def link_blocked(self, blocked: bool) -> None:
        _log.warning("broker alarm: publishing is %s", "blocked" if blocked else "free again")
        self._wake_bells()

    # --- the channels

    async def _keep_line(self, *, bells: bool) -> None:
        while True:
            connection = self.link.connection
            if connection is None or not connection.is_open:  # closed: the link is about to notice
                await self.link.wait_change()
                continue
            try:
                line = await self._open_line(connection, bells=bells)
            except BrokerUnavailable as error:
                _log.warning("broker: no channel for %s: %s", "bells" if bells else "messages", error)
                await asyncio.sleep(_REOPEN_S)
                continue
            if connection is self.link.connection and line.channel.is_open:
                if bells:
                    self._bells = line
                    self._wake_bells()
                else:
                    self._line = line
                self._note_ready()
            await asyncio.wait({line.channel.closed})
            self._drop_line(line, bells=bells)
            failure = line.channel.failure()
            if failure.reply_code:  # only this channel: an exchange that is not there, or may not be written to
                _log.error("broker closed the channel for %s: %s", "bells" if bells else "messages", failure)
                await asyncio.sleep(_REOPEN_S)

    async def _open_line(self, connection: AsyncioConnection, *, bells: bool) -> Line:
        channel = await Channel.open(connection)
        line = Line(channel, asyncio.get_running_loop())
        if bells:
            channel.raw.add_on_return_callback(self._on_bell_return)
            on_confirm = self._bell_confirmer(line)
        else:
            channel.raw.add_on_return_callback(lambda _c, method, properties, _b: mark_returned(line, method, properties))
            on_confirm = self._message_confirmer(line)
        await channel.call(channel.raw.confirm_delivery, ack_nack_callback=on_confirm)
        return line

    def _note_ready(self) -> None:
        if self._line is not None and self._bells is not None:
            self._ready.set()
        else:
            self._ready.clear()

    def _drop_lines(self) -> None:
        for line, bells in ((self._line, False), (self._bells, True)):
            if line is not None:
                self._drop_line(line, bells=bells)

    def _drop_line(self, line: Line, *, bells: bool) -> None:
        if line is (self._bells if bells else self._line):
            if bells:
                self._bells = None
            else:
                self._line = None
            self._note_ready()
        lost = line.window.forgive(line.window.sent)
        line.out.clear()
        if bells:
            self.counters.bells_lost += lost
        for tag in list(line.waiting):
            self.counters.lost += 1
            self._finish(line, tag, ConnectionLost("the connection to the broker was lost before its confirm"))
        self._note_quiet()

    # --- confirms

    def _bell_confirmer(self, line: Line) -> Any:
        counters, window = self.counters, line.window

        def on_confirm(method_frame: Any) -> None:
            method = method_frame.method
            count = window.settle(method.delivery_tag, method.multiple)
            if type(method) is spec.Basic.Ack:
                counters.bells_acked += count
            else:
                counters.bells_nacked += count
            if self._bell_room is not None:
                self._wake_bells()
            if self._quiet is not None:
                self._note_quiet()

        return on_confirm

    def _wake_bells(self) -> None:
        room, self._bell_room = self._bell_room, None
        if room is not None and not room.done():
            room.set_result(None)

    def _is_quiet(self) -> bool:
        return all(line is None or line.window.outstanding == 0 for line in (self._line, self._bells))

    def _note_quiet(self) -> None:
        if self._quiet is not None and not self._quiet.done() and self._is_quiet():
            self._quiet.set_result(None)

    def _on_bell_return(self, *_: Any) -> None:
        self.counters.bells_returned += 1

    def _message_confirmer(self, line: Line) -> Any:
        waiting, window = line.waiting, line.window

        def on_confirm(method_frame: Any) -> None:
            method = method_frame.method
            tag, nacked = method.delivery_tag, type(method) is not spec.Basic.Ack
            window.settle(tag, method.multiple)
            if method.multiple:
                while waiting and (first := next(iter(waiting))) <= tag:
                    self._confirmed(line, first, nacked)
            elif tag in waiting:
                self._confirmed(line, tag, nacked)
            if self._quiet is not None:
                self._note_quiet()

        return on_confirm

    def _confirmed(self, line: Line, tag: int, nacked: bool) -> None:
        one = line.waiting[tag]
        error: PublishFailed | None = None
        if one.returned:
            self.counters.returned += 1
            error = Unroutable(f"no queue is bound to exchange {one.exchange!r} for key {one.routing_key!r}")
        elif nacked:
            self.counters.nacked += 1
            error = Nacked(f"the queue behind exchange {one.exchange!r}, key {one.routing_key!r}, did not take the message")
        else:
            self.counters.confirmed += 1
        self._finish(line, tag, error)

    def _finish(self, line: Line, tag: int, error: PublishFailed | None) -> None:
        future = line.waiting.pop(tag).future
        self._slots.release()
        if future.done():  # its caller was cancelled
            return
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)

    async def _watch(self) -> None:
        """The watchdog: fails what has waited too long, and drops a connection on which the broker is silent."""
        loop = asyncio.get_running_loop()
        interval = min(1.0, self._timeout_s / 4)
        while True:
            await asyncio.sleep(interval)
            now = loop.time()
            overdue = False
            for line, bells in ((self._line, False), (self._bells, True)):
                if line is None:
                    continue
                tag = line.window.overdue(now, self._timeout_s)
                if tag:
                    overdue = True
                    self._time_out(line, tag, bells=bells)
            self._check_silence(now, overdue)

    def _time_out(self, line: Line, tag: int, *, bells: bool) -> None:
        blocked = self.link.blocked
        count = line.window.forgive(tag)
        if bells:
            self.counters.bells_timed_out += count
            self._wake_bells()
            return
        while line.waiting and (first := next(iter(line.waiting))) <= tag:
            self.counters.timed_out += 1
            if blocked:
                self._finish(line, first, Blocked("the broker has an alarm; the message waits unread in the connection", maybe_taken=True))
            else:
                self._finish(line, first, ConfirmTimeout(f"the broker did not confirm within {self._timeout_s:g} s"))

    def _check_silence(self, now: float, overdue: bool) -> None:
        connection = self.link.connection
        if connection is None:
            return
        received: int = connection.bytes_received
        if received != self._heard[0]:
            self._heard, self._suspect = (received, now), False
            return
        self._suspect = self._suspect or overdue
        if self._suspect and not self.link.blocked and now - self._heard[1] >= self.link.endpoint.heartbeat_s:
            self.link.reset("the broker is silent")
