"""A listener with mutual TLS that sees the handshakes which it refuses.

asyncio's own servers drop a connection whose handshake fails without telling anybody who it was and why. This one accepts connections
itself and gives each to :meth:`asyncio.loop.connect_accepted_socket`, which does tell. It also bounds what can be had without a
certificate: how long a handshake takes, how many of one address and how many in all are under way. And what is not HTTP it answers with a
code alone: the parser's own text would repeat what came in (I10).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import logging
import socket
import ssl
from collections import Counter
from http import HTTPStatus
from typing import Any, Final, cast

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from certs.path import Purpose
from certs.peer import Authority, why_refused
from certs.reasons import handshake_code
from gateway.security.refusals import Witness, note_request

HANDSHAKE_S: Final = 10.0
MOST_HANDSHAKES: Final = 512
MOST_OF_ONE: Final = 64
"""Handshakes under way of one address. A register that opens more at once waits in the backlog of the kernel for none of them: what is
above is cut, and counted, so set it well above the connections of any one system."""
_PAUSE_S: Final = 0.1
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

_log = logging.getLogger(__name__)


class TlsSite(web.BaseSite):
    """Like :class:`aiohttp.web.TCPSite`, for connections with client certificates. The runner's ``cleanup()`` ends it."""

    __slots__ = ("_authority", "_busy", "_handshake_s", "_host", "_place", "_port", "_tasks", "_tls", "_witness")

    def __init__(
        self,
        runner: web.AppRunner,
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext,
        place: str,
        witness: Witness | None = None,
        authority: Authority | None = None,
        backlog: int = 1024,
        handshake_s: float = HANDSHAKE_S,
    ) -> None:
        """``place`` names the listener in the record, ``witness`` takes note, ``authority`` finds the exact fault of a certificate."""
        super().__init__(runner, ssl_context=tls, backlog=backlog)
        self._host, self._port, self._place = host, port, place
        self._tls, self._witness, self._authority, self._handshake_s = tls, witness, authority, handshake_s
        self._busy: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def name(self) -> str:
        return f"https://{self._host}:{self._port}"

    async def start(self) -> None:
        """Listen.

        :raises OSError: the address or port is not to be had.
        """
        await super().start()
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        sockets: list[socket.socket] = []
        try:
            for family, *_, address in dict.fromkeys(found):
                # a free port that was chosen for the first address is the port of all
                port = sockets[0].getsockname()[1] if sockets and not self._port else self._port
                sockets.append(_listen(family, (address[0], port, *address[2:]), self._backlog))
        except OSError:
            for each in sockets:
                each.close()
            raise
        acceptors = [asyncio.create_task(self._accept(each), name=f"{self._place} door") for each in sockets]
        self._server = cast(asyncio.AbstractServer, _Sockets(sockets, acceptors))

    async def stop(self) -> None:
        await super().stop()
        for task in (*self._tasks,):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _protocol(self) -> RequestHandler:
        server = self._runner.server
        if server is None:
            raise ConnectionAbortedError(errno.ECONNABORTED, "the listener is closing")
        return _Guarded(server, self._place, self._witness)

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, address = await loop.sock_accept(listener)
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    _log.error("listener-exhausted", extra={"place": self._place, "code": errno.errorcode.get(error.errno or 0, "")})
                    await asyncio.sleep(_PAUSE_S)
                continue  # otherwise the connection was gone before it was accepted
            host = str(address[0])
            if self._busy.total() >= MOST_HANDSHAKES or self._busy[host] >= MOST_OF_ONE:
                connection.close()
                self._note(host, "too-many-handshakes")
                continue
            self._busy[host] += 1
            task = loop.create_task(self._shake_hands(connection, host))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _shake_hands(self, connection: socket.socket, host: str) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            await loop.connect_accepted_socket(
                self._protocol, connection, ssl=self._tls, ssl_handshake_timeout=self._handshake_s, ssl_shutdown_timeout=self._handshake_s
            )
        except (OSError, TimeoutError) as error:  # ssl.SSLError is an OSError
            connection.close()
            if isinstance(error, ConnectionAbortedError) and loop.time() - began >= self._handshake_s * 0.9:
                self._note(host, "handshake-timeout")  # as which asyncio raises it
            elif self._authority is None:
                self._note(host, handshake_code(error))
            else:
                refused = why_refused(error, self._authority, Purpose.CLIENT)
                self._note(host, refused.code, refused.fingerprint_sha256)
        finally:
            self._busy[host] -= 1
            if not self._busy[host]:
                del self._busy[host]

    def _note(self, host: str, code: str, fingerprint: str | None = None) -> None:
        if self._witness is not None:
            self._witness.note(direction="in", place=self._place, address=host, code=code, fingerprint=fingerprint)


class _Guarded(RequestHandler):
    """aiohttp's own handler of a connection, which takes note of what is not HTTP and of headers that do not come to an end."""

    def __init__(self, server: web.Server, place: str, witness: Witness | None) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), **server._kwargs)
        self._place, self._witness = place, witness
        self._unfinished = False

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._unfinished = not self._messages and self._current_request is None

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        code = "internal" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "malformed-request"
        if code == "internal":
            _log.error("request-failed", extra={"place": self._place, "error": exc})
        else:
            note_request(self._witness, self._place, self.transport, code)
        if request.writer.output_size > 0:
            raise ConnectionAbortedError(errno.ECONNABORTED, "part of an answer was sent already")
        body = json.dumps({"type": f"urn:renkei:problem:{code}", "title": HTTPStatus(status).phrase, "status": status, "code": code})
        answer = web.Response(status=status, text=body, content_type="application/problem+json")
        answer.force_close()
        return answer

    def _process_keepalive(self) -> None:
        super()._process_keepalive()
        if self._force_close and self._unfinished and self._witness is not None:
            self._witness.note(direction="in", place=self._place, address=str((self.peername or ("unknown",))[0]), code="headers-timeout")


class _Sockets:
    """What aiohttp's runners and sites want of a listening server."""

    def __init__(self, sockets: list[socket.socket], acceptors: list[asyncio.Task[None]]) -> None:
        self.sockets = sockets
        self._acceptors = acceptors

    def close(self) -> None:
        for task in self._acceptors:
            task.cancel()
        loop = asyncio.get_running_loop()
        for each in self.sockets:
            with contextlib.suppress(ValueError, OSError):  # not watched, or closed already
                loop.remove_reader(each)
            each.close()


def _listen(family: int, address: tuple[Any, ...], backlog: int) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setblocking(False)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address)
        listener.listen(backlog)
    except OSError:
        listener.close()
        raise
    return listener
