"""TLS and TCP servers that do exactly what a script says, to see what a client makes of it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field

Script = Callable[["Conversation"], Awaitable[None]]

OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 2\r\n\r\nok"


@dataclass
class Conversation:
    """One accepted connection."""

    server: RawServer
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    number: int

    async def request(self) -> bytes:
        """Read one whole request; returns its body."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
        body = await self.reader.readexactly(length)
        self.server.requests.append(body)
        self.server.heads.append(head)
        return body

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """End the connection with a TCP reset, without TLS closure."""
        raw: socket.socket = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


@dataclass
class RawServer:
    """What a server has seen, and where it listens."""

    port: int = 0
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)
    heads: list[bytes] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"


@contextlib.asynccontextmanager
async def raw_server(script: Script, context: ssl.SSLContext | None = None, *, port: int = 0) -> AsyncIterator[RawServer]:
    """A server on the loopback; with ``context`` over TLS, else plain TCP."""
    seen = RawServer()
    tasks: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        seen.connections += 1
        # a client that hangs up in the middle is what many of these scripts provoke
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            try:
                await script(Conversation(seen, reader, writer, seen.connections))
            finally:
                writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", port, ssl=context)
    seen.port = server.sockets[0].getsockname()[1]
    try:
        yield seen
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.contextmanager
def blocking_server(context: ssl.SSLContext) -> Iterator[RawServer]:
    """A server that ends a refused handshake with an alert, as servers do whose TLS writes to the socket itself.

    asyncio's throws the alert away. Nothing is ever answered; what was received over TLS counts as a request.
    """
    seen = RawServer()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        seen.port = listener.getsockname()[1]

        def serve() -> None:
            while True:
                try:
                    raw, _ = listener.accept()
                except OSError:
                    return
                seen.connections += 1
                tls = context.wrap_socket(raw, server_side=True, do_handshake_on_connect=False)
                try:
                    tls.do_handshake()
                    seen.requests.append(tls.recv(65536))
                    tls.close()
                except ssl.SSLError:
                    # closing at once would send a reset after the alert, and the reset may overtake it
                    with socket.socket(fileno=tls.detach()) as refused, contextlib.suppress(OSError):
                        refused.shutdown(socket.SHUT_WR)
                        while refused.recv(65536):
                            continue

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield seen
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def free_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
