"""The party's door: a TLS listener that can be shut, can show a wrong certificate, or can fall silent, and comes back on the same port."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import cast

from aiohttp import StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import RawRequestMessage
from aiohttp.web_protocol import RequestHandler

from simulators.errors import BadFault

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class _Silent(asyncio.Protocol):
    """Takes a connection and never says a word."""

    def __init__(self, taken: set[asyncio.Transport]) -> None:
        self._taken = taken

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._taken.add(cast(asyncio.Transport, transport))


class Listener:
    """One listening socket in one of the modes ``up``, ``down``, ``wrong-certificate``, ``silent``."""

    def __init__(
        self,
        handler: Handler,
        host: str,
        port: int,
        context: ssl.SSLContext,
        wrong_context: ssl.SSLContext | None = None,
        *,
        keepalive_s: float = 75.0,
        body_bytes: int = 16 * 1024 * 1024,
    ) -> None:
        self._host = host
        self.port = port
        self._context = context
        self._wrong_context = wrong_context
        self._handler = handler
        self._keepalive_s = keepalive_s
        self._body_bytes = body_bytes
        self._web: web.Server | None = None
        self._server: asyncio.Server | None = None
        self._silenced: set[asyncio.Transport] = set()
        self.mode = "closed"

    def _request(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: RequestHandler,
        writer: AbstractStreamWriter,
        task: asyncio.Task[None],
    ) -> web.BaseRequest:
        loop = asyncio.get_running_loop()
        return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=self._body_bytes)

    async def start(self) -> None:
        """Listen. With port 0 the system chooses; :attr:`port` says which."""
        self._web = web.Server(
            self._handler, request_factory=self._request, access_log=None, keepalive_timeout=self._keepalive_s, tcp_keepalive=True
        )
        await self.switch("up")

    async def switch(self, mode: str) -> None:
        """Change the mode. A change cuts all connections: what follows is seen by everyone at once.

        :raises BadFault: there is no wrong certificate to show.
        """
        if mode == self.mode:
            return
        if mode == "wrong-certificate" and self._wrong_context is None:
            raise BadFault("no-wrong-certificate", "start the simulator with --wrong-certificate and --wrong-key to use this fault")
        self._close()
        self.mode = mode
        if mode == "down":
            return
        loop = asyncio.get_running_loop()
        if mode == "silent":
            self._server = await loop.create_server(lambda: _Silent(self._silenced), self._host, self.port, reuse_address=True)
        else:
            assert self._web is not None
            context = self._wrong_context if mode == "wrong-certificate" else self._context
            self._server = await loop.create_server(self._web, self._host, self.port, ssl=context, reuse_address=True, backlog=512)
        self.port = self._server.sockets[0].getsockname()[1]

    def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for transport in (*self._silenced, *self._connections()):
            transport.abort()
        self._silenced.clear()

    def _connections(self) -> list[asyncio.Transport]:
        if self._web is None:
            return []
        # uvloop's TLS transports are transports by behaviour, not by class: nothing here may ask for the class.
        return [connection.transport for connection in self._web.connections if connection.transport is not None]

    @property
    def connections(self) -> int:
        """Open connections."""
        return len(self._connections())

    async def stop(self) -> None:
        """Stop listening and cut all connections."""
        self._close()
        self.mode = "closed"
        if self._web is not None:
            await self._web.shutdown(timeout=1.0)
            self._web = None
