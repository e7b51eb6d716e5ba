"""``/livez``, ``/readyz`` and ``/metrics``: a small aiohttp application for monitoring, with mutual TLS where configured.

*Live*: the event loop answers and the ledger's writer thread runs; a supervisor restarts what is not. *Ready*: every dependency answers
now; nothing is restarted for it. Both say what is wrong in stable codes.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from certs.errors import CertificateError
from certs.path import Purpose
from certs.peer import Authority, peer_name, require_peer
from gateway.errors import GatewayError
from gateway.operations.metrics import FactsReader, Metrics
from gateway.security.door import TlsSite
from gateway.security.refusals import Witness, note_request

PLACE: Final = "metrics"
"""Name of this listener in evidence."""
KEEP_ALIVE_S: Final = 75.0
CHECK_S: Final = 2.0
"""A dependency that does not answer within so many seconds is not ready."""

Check = Callable[[], Awaitable[None]]
"""Returns if the dependency can be used now; raises a GatewayError whose code and safe detail are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitors:
    """Who may look, by the names in their client certificates."""

    names: tuple[str, ...]
    authority: Authority

    def require(self, request: web.Request) -> None:
        """Raise CertificateError unless the request's peer is one of them, and is valid now."""
        tls = request.transport.get_extra_info("ssl_object") if request.transport is not None else None
        identity = peer_name(tls)
        expected = next((name for name in self.names if identity.is_named(name)), self.names[0])
        require_peer(tls, expected, self.authority, Purpose.CLIENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What the pages show of one process."""

    instance: str
    role: str
    metrics: Metrics
    checks: Mapping[str, Check]
    """Every dependency by name: ``ledger``, ``broker``, …"""
    facts: FactsReader | None = None
    alive: Callable[[], bool] = lambda: True


def create_app(health: Health, monitors: Monitors | None = None, witness: Witness | None = None) -> web.Application:
    """The application. ``monitors`` goes with a server context that requires client certificates (see :func:`serve`)."""
    pages = _Pages(health)
    app = web.Application(middlewares=[_edge(monitors, witness)])
    app.add_routes([web.get("/livez", pages.livez), web.get("/readyz", pages.readyz), web.get("/metrics", pages.metrics)])
    return app


async def serve(
    app: web.Application,
    *,
    host: str,
    port: int,
    tls: ssl.SSLContext | None = None,
    witness: Witness | None = None,
    authority: Authority | None = None,
) -> web.AppRunner:
    """Listen; the caller ends it with ``cleanup()``. Raises OSError where the port is taken."""
    runner = web.AppRunner(app, access_log=None, keepalive_timeout=KEEP_ALIVE_S, shutdown_timeout=1.0)
    await runner.setup()
    try:
        if tls is None:
            await web.TCPSite(runner, host, port).start()
        else:
            await TlsSite(runner, host, port, tls=tls, place=PLACE, witness=witness, authority=authority).start()
    except OSError:
        await runner.cleanup()
        raise
    return runner


async def readiness(health: Health) -> tuple[bool, dict[str, Any]]:
    """Ask every dependency at once. True if all can be used; and what is shown."""
    names = list(health.checks)
    results = await asyncio.gather(*(_ask(health.checks[name]) for name in names))
    body: dict[str, Any] = {"instance": health.instance, "role": health.role, "dependencies": dict(zip(names, results, strict=True))}
    ready = all(result["ok"] for result in results)
    if health.facts is not None:
        try:
            clock = (await asyncio.wait_for(health.facts.facts(), CHECK_S)).clock
        except (GatewayError, TimeoutError):
            ready, body["business_clock"] = False, None
        else:
            body["business_clock"] = {"offset_s": clock.offset_s, "profile": clock.profile, "now": clock.at(time.time())}
    return ready, {"ready": ready, **body}


async def _ask(check: Check) -> dict[str, Any]:
    try:
        await asyncio.wait_for(check(), CHECK_S)
    except GatewayError as error:
        return {"ok": False, "code": error.code, "detail": error.safe_detail}
    except TimeoutError:
        return {"ok": False, "code": "no-answer", "detail": f"no answer within {CHECK_S:g} s"}
    except Exception as error:  # shown as not ready; its text may hold anything
        return {"ok": False, "code": "internal", "detail": type(error).__name__}
    return {"ok": True}


class _Pages:
    def __init__(self, health: Health) -> None:
        self._health = health

    async def livez(self, request: web.Request) -> web.Response:
        alive = self._health.alive()
        return web.json_response({"alive": alive, "role": self._health.role}, status=200 if alive else 503)

    async def readyz(self, request: web.Request) -> web.Response:
        ready, body = await readiness(self._health)
        return web.json_response(body, status=200 if ready else 503, headers={"Cache-Control": "no-store"})

    async def metrics(self, request: web.Request) -> web.Response:
        body = await self._health.metrics.render()
        return web.Response(body=body, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8", "Cache-Control": "no-store"})


def _edge(monitors: Monitors | None, witness: Witness | None) -> Middleware:
    @web.middleware
    async def edge(request: web.Request, handler: Handler) -> web.StreamResponse:
        if monitors is not None:
            try:
                monitors.require(request)
            except CertificateError as error:
                note_request(witness, PLACE, request.transport, error.code)
                refused = web.json_response({"code": error.code, "detail": error.safe_detail}, status=403)
                refused.force_close()
                return refused
        return await handler(request)

    return edge
