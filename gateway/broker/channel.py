"""pika's callbacks as awaitables: opening a connection, opening a channel, calling a method on it.

Everything runs on one event loop. pika does not answer a call whose channel dies, so every call also watches the channel.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import ssl
from collections.abc import Callable
from typing import Any

import pika.channel
from pika import exceptions
from pika.adapters.asyncio_connection import AsyncioConnection

from gateway.broker import wire
from gateway.broker.endpoint import BrokerEndpoint
from gateway.broker.errors import ChannelClosed, ConnectFailed

# pika logs every failure that it also reports to its callbacks, with tracebacks and representations of frames. The failures reach the
# gateway as exceptions and are logged there once, in words that hold no content (I5).
logging.getLogger("pika").setLevel(logging.CRITICAL)

CALL_TIMEOUT_S = 10.0
_ALERT = re.compile(r"\b[A-Z0-9_]*ALERT_[A-Z_]+")


def _causes(error: BaseException | None) -> list[BaseException]:
    """The error and all that it wraps: pika packs the reason into lists and attributes."""
    found: list[BaseException] = []
    queue = [error] if error is not None else []
    while queue and len(found) < 20:
        one = queue.pop()
        found.append(one)
        inner = [*getattr(one, "exceptions", ()), getattr(one, "exception", None), one.__cause__, *one.args]
        queue.extend(e for e in inner if isinstance(e, BaseException) and e not in found)
    return found


def connect_failure(error: BaseException | None, place: str, *, tls: bool) -> ConnectFailed:
    """pika's error as one of ours. ``place`` is host and port."""
    causes = _causes(error)
    for cause in causes:
        if isinstance(cause, ssl.SSLError):
            return ConnectFailed("broker-tls-failed", f"TLS with the broker at {place} failed: {cause.reason or type(cause).__name__}")
        if isinstance(cause, exceptions.ProbableAuthenticationError | exceptions.AuthenticationError):
            return ConnectFailed("broker-login-refused", f"the broker at {place} refused the login")
        if isinstance(cause, exceptions.ConnectionClosedByBroker) and cause.reply_code == 403:
            return ConnectFailed("broker-login-refused", f"the broker at {place} refused the login")
        if isinstance(cause, exceptions.ProbableAccessDeniedError) or (
            isinstance(cause, exceptions.ConnectionClosedByBroker) and cause.reply_code in {402, 530}
        ):
            return ConnectFailed("broker-vhost-refused", f"the broker at {place} refused the virtual host")
    for cause in causes:
        if isinstance(cause, exceptions.IncompatibleProtocolError | exceptions.StreamLostError):
            if tls:
                # With TLS 1.3 the client's handshake succeeds although the server refuses its certificate: the refusal, an alert or
                # just the end, comes with the first read. pika hands it on as text only.
                alert = _ALERT.search(str(cause))
                return ConnectFailed(
                    "broker-tls-failed",
                    f"the broker at {place} ended the connection right after the TLS handshake, probably because it does not accept our "
                    f"client certificate ({alert[0] if alert else 'no alert'})",
                )
            return ConnectFailed("broker-unreachable", f"the broker at {place} ended the connection before the login")
    return ConnectFailed("broker-unreachable", f"no connection to the broker at {place}: {type(causes[-1]).__name__ if causes else 'lost'}")


async def open_connection(
    endpoint: BrokerEndpoint, *, name: str, index: int = 0, on_close: Callable[[BaseException], None] | None = None
) -> AsyncioConnection:
    """Connect and log in.

    :param on_close: called once when the open connection goes down.
    :raises ConnectFailed: with a code that names the cause.
    """
    loop = asyncio.get_running_loop()
    opened: asyncio.Future[None] = loop.create_future()

    def on_open(_connection: Any) -> None:
        if not opened.done():
            opened.set_result(None)

    def on_error(_connection: Any, error: Any) -> None:
        if not opened.done():
            opened.set_exception(connect_failure(error, place, tls=endpoint.tls is not None))

    def on_closed(_connection: Any, error: BaseException) -> None:
        if not opened.done():
            opened.set_exception(connect_failure(error, place, tls=endpoint.tls is not None))
        elif on_close is not None:
            on_close(error)

    host, port = endpoint.hosts[index % len(endpoint.hosts)]
    place = f"{host}:{port}"
    connection = AsyncioConnection(
        endpoint.parameters(index, name=name),
        on_open_callback=on_open,
        on_open_error_callback=on_error,
        on_close_callback=on_closed,
        custom_ioloop=loop,
    )
    try:
        async with asyncio.timeout(endpoint.connect_timeout_s * 2 + 1):
            await opened
    except TimeoutError as error:
        _give_up(connection)
        raise ConnectFailed("broker-handshake-timeout", f"the broker at {place} accepted the connection but does not answer") from error
    except asyncio.CancelledError:
        _give_up(connection)
        raise
    return connection


def _give_up(connection: AsyncioConnection) -> None:
    with contextlib.suppress(exceptions.AMQPError):  # it may have gone down by itself in the meantime
        connection.close()


async def close_connection(connection: AsyncioConnection, closed: asyncio.Future[Any], *, timeout_s: float = 2.0) -> None:
    """Close with AMQP's handshake; a broker that does not answer it within ``timeout_s`` is dropped."""
    if not closed.done() and connection.is_open:
        connection.close()
    _, pending = await asyncio.wait({closed}, timeout=timeout_s)
    if pending and not connection.is_closed:
        wire.abort(connection, exceptions.ConnectionClosedByClient(320, "close timed out"))
        await asyncio.wait({closed}, timeout=1.0)


class Channel:
    """One open channel. ``closed`` is done, with the reason, when it is no longer."""

    def __init__(self, connection: AsyncioConnection, raw: pika.channel.Channel) -> None:
        self.connection = connection
        self.raw = raw
        self.number: int = raw.channel_number
        self.closed: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        raw.add_on_close_callback(self._on_close)

    def _on_close(self, _channel: Any, reason: BaseException) -> None:
        if not self.closed.done():
            self.closed.set_result(reason)

    @property
    def is_open(self) -> bool:
        return not self.closed.done() and bool(self.raw.is_open)

    @classmethod
    async def open(cls, connection: AsyncioConnection, *, timeout_s: float = CALL_TIMEOUT_S) -> Channel:
        """Open a channel.

        :raises ChannelClosed: the connection is down, or the broker did not answer.
        """
        opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def on_open(_raw: Any) -> None:
            if not opened.done():
                opened.set_result(None)

        try:
            raw = connection.channel(on_open_callback=on_open)
        except (exceptions.AMQPError, RuntimeError) as error:
            raise ChannelClosed("broker-not-connected", "no channel: the connection is not open") from error
        channel = cls(connection, raw)
        await channel._answer(opened, timeout_s, "channel.open")
        return channel

    async def call(self, method: Callable[..., Any], /, *, timeout_s: float = CALL_TIMEOUT_S, **arguments: Any) -> Any:
        """Call one of the raw channel's methods that take ``callback`` and await the broker's answer (a method frame).

        :raises ChannelClosed: the broker refused, the channel went down, or no answer came in time (the channel is then dropped).
        """
        answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def on_answer(method_frame: Any) -> None:
            if not answered.done():
                answered.set_result(method_frame)

        try:
            method(callback=on_answer, **arguments)
        except exceptions.AMQPError as error:
            raise self.failure() from error
        return await self._answer(answered, timeout_s, method.__name__)

    async def _answer(self, answered: asyncio.Future[Any], timeout_s: float, what: str) -> Any:
        await asyncio.wait({answered, self.closed}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        if answered.done():
            return answered.result()
        if self.closed.done():
            raise self.failure()
        self.abandon()
        raise ChannelClosed("broker-no-answer", f"the broker did not answer {what} within {timeout_s:g} s")

    def failure(self) -> ChannelClosed:
        """Why the channel is closed, as our error."""
        reason = self.closed.result() if self.closed.done() else None
        if isinstance(reason, exceptions.ChannelClosedByBroker):
            codes = {
                403: "broker-access-refused",
                404: "broker-not-found",
                405: "broker-resource-locked",
                406: "broker-precondition-failed",
            }
            # The broker's text names queues and arguments, never content.
            return ChannelClosed(
                codes.get(reason.reply_code, "broker-channel-closed"), reason.reply_text[:300], reply_code=int(reason.reply_code)
            )
        return ChannelClosed("broker-connection-lost", "the connection to the broker was lost")

    def abandon(self) -> None:
        """Close without waiting."""
        with contextlib.suppress(exceptions.AMQPError):  # closed in the meantime: what was wanted
            if self.raw.is_open:
                self.raw.close()

    async def close(self, *, timeout_s: float = 3.0) -> None:
        """Close and wait until it is; a broker that does not answer is not waited for."""
        self.abandon()
        await asyncio.wait({self.closed}, timeout=timeout_s)
