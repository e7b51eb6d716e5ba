"""How a party misbehaves on the wire: the call faults that need no knowledge of its protocol.

``act`` carries the call out (effects, journal) and returns the right answer; a fault decides whether it is called, and what becomes of the
answer. Faults that need the protocol are handed to the party's own :class:`Spoiler`.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from aiohttp import web

from simulators.faults import Fault

OVERSIZE_PIECE = b" " * 65536


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A complete answer of a party."""

    status: int
    content_type: str
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)

    def response(self) -> web.Response:
        """For aiohttp."""
        return web.Response(status=self.status, body=self.body, headers={"Content-Type": self.content_type, **self.headers})


Act = Callable[[], Awaitable[Answer]]
Spoiler = Callable[[Fault, Act], Awaitable[Answer]]


class Nonsense(Protocol):
    """One wire fault."""

    async def __call__(self, request: web.BaseRequest, fault: Fault, act: Act) -> web.StreamResponse:
        """Answer wrongly, or not at all."""
        ...


async def misbehave(request: web.BaseRequest, fault: Fault, act: Act, spoil: Spoiler) -> web.StreamResponse:
    """Answer a call as ``fault`` says."""
    handler = _WIRE.get(fault.kind.name)
    if fault.kind.name == "garbage":
        handler = _GARBAGE.get(fault.spec.variant)
    if handler is None:
        return (await spoil(fault, act)).response()
    return await handler(request, fault, act)


def reset_connection(request: web.BaseRequest) -> None:
    """End the connection with RST: what is under way is thrown away on both sides."""
    transport = request.transport
    if transport is None:
        return
    raw = transport.get_extra_info("socket")
    if raw is not None:
        with suppress(OSError), socket.socket(fileno=os.dup(raw.fileno())) as twin:  # the peer may have gone first
            twin.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def _nothing() -> web.Response:
    """What a handler must return although the connection is gone."""
    return web.Response(status=500)


async def _hold(fault: Fault, longest_s: float | None) -> None:
    with suppress(TimeoutError):  # the usual end
        await asyncio.wait_for(fault.gone.wait(), longest_s)


async def _http_500(request: web.BaseRequest, fault: Fault, act: Act) -> web.StreamResponse:
    if fault.takes_effect:
        await act()
    return web.Response(status=500, text="Internal Server Error")


async def _http_503(request: web.BaseRequest, fault: Fault, act: Act) -> web.StreamResponse:
    return web.Response(status=503, text="Service Unavailable", headers={"Retry-After": str(fault.spec.retry_after_s)})


async def _time_out(request: web.BaseRequest, fault: Fault, act: Act) -> web.StreamResponse:
    if fault.takes_effect:
        await act()
    await _hold(fault, fault.spec.hold_s)
    if request.transport is not None:
        request.transport.abort()
    return _nothing()


async def _half_open(request: web.BaseRequest, fault: Fault, act: Act) -> web.StreamResponse:
    if fault.takes_effect:
        await act()
    transport = request.transport
    if transport is not None and not transport.is_closing():
        transport.pause_reading()  # not even the other side's end is noticed
    await _hold(fault, None)
    if request.transport is not None:
        request.transport.abort()
    return _nothing()


async def _late_effect(request: web.BaseRequest, fault: Fault, act: Act) -> web.StreamResponse:
    await _hold(fault, fault.spec.delay_s)
    return (await act()).response()


async def _reset(request: web.BaseRequest, fault: Fault, act: Act) -> web.StreamResponse:
    if fault.takes_effect:
        await act()
    reset_connection(request)
    return _nothing()


async def _slow_drip(request: web.BaseRequest, fault: Fault, act: Act) -> web.StreamResponse:
    answer = await act() if fault.takes_effect else Answer(status=200, content_type="text/xml; charset=utf-8", body=b"<" * 4096)
    response = web.StreamResponse(status=answer.status, headers={"Content-Type": answer.content_type})
    response.content_length = len(answer.body)
    with suppress(ConnectionError):  # the client gave up, as it should
        await response.prepare(request)
        for start in range(0, len(answer.body), fault.spec.chunk_bytes):
            if fault.gone.is_set():
                await response.write(answer.body[start:])
                break
            await response.write(answer.body[start : start + fault.spec.chunk_bytes])
            await _hold(fault, fault.spec.interval_s)
    return response


async def _oversize(request: web.BaseRequest, fault: Fault, act: Act) -> web.StreamResponse:
    answer = await act() if fault.takes_effect else Answer(status=200, content_type="text/xml; charset=utf-8", body=b"<a/>")
    response = web.StreamResponse(status=answer.status, headers={"Content-Type": answer.content_type})
    with suppress(ConnectionError):  # the client gave up, as it should
        await response.prepare(request)
        await response.write(answer.body)
        written = len(answer.body)
        while written < fault.spec.size_bytes:
            await response.write(OVERSIZE_PIECE)
            written += len(OVERSIZE_PIECE)
    return response


def _spoilt(change: Callable[[bytes], bytes], content_type: str | None = None) -> Nonsense:
    async def handler(request: web.BaseRequest, fault: Fault, act: Act) -> web.StreamResponse:
        kind, body = "text/xml; charset=utf-8", b""
        if fault.takes_effect:
            answer = await act()
            kind, body = answer.content_type, answer.body
        return web.Response(body=change(body), headers={"Content-Type": content_type or kind})

    return handler


_WIRE: Mapping[str, Nonsense] = {
    "http-500": _http_500,
    "http-503": _http_503,
    "time-out": _time_out,
    "half-open": _half_open,
    "late-effect": _late_effect,
    "reset": _reset,
    "slow-drip": _slow_drip,
    "oversize": _oversize,
}

_GARBAGE: Mapping[str, Nonsense] = {
    "not-xml": _spoilt(lambda _: b"\x00\xff this is no answer \xfe"),
    "empty": _spoilt(lambda _: b""),
    "truncated": _spoilt(lambda body: body[: len(body) // 2] or b"<soap:Enve"),
}
