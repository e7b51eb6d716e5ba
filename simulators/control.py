"""The control API and the page of a simulated party: plain HTTP on loopback.

``/_sim/…`` needs the bearer token that the simulator writes into a file which only its own user can read (0600). The page at ``/`` and
``/_sim/ready`` need none: they show counts, keyed references and fault names, never an item of a resident. Requests whose ``Host`` is not a
loopback name are refused, so that no web page elsewhere can reach it through somebody's browser.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from simulators.errors import BadFault
from simulators.faults import KINDS, fault_spec
from simulators.page import render
from simulators.party import PartyServer

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
OPEN_PATHS = ("/", "/_sim/ready")
JOURNAL_LIMIT = 10000

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def _problem(status: int, code: str, detail: str) -> web.Response:
    return web.json_response({"code": code, "detail": detail}, status=status)


class Control:
    """The control server of one party."""

    def __init__(self, server: PartyServer, port: int, token_file: Path) -> None:
        self._server = server
        self._party = server.party
        self._port = port
        self._token_file = token_file
        self._token = secrets.token_urlsafe(32)
        self._runner: web.AppRunner | None = None
        self._started = time.time()

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._port

    async def start(self) -> None:
        """Write the token and listen on 127.0.0.1."""
        self._write_token()
        app = web.Application(middlewares=[self._guard])
        app.router.add_get("/", self._page)
        app.router.add_get("/_sim/ready", self._ready)
        app.router.add_get("/_sim/state", self._state)
        app.router.add_get("/_sim/received", self._received)
        app.router.add_get("/_sim/journal", self._journal)
        app.router.add_post("/_sim/emit", self._emit)
        app.router.add_get("/_sim/faults", self._faults)
        app.router.add_post("/_sim/faults", self._put_fault)
        app.router.add_delete("/_sim/faults", self._clear_faults)
        app.router.add_delete("/_sim/faults/{id}", self._take_fault_away)
        app.router.add_post("/_sim/reset", self._reset)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Stop listening and remove the token."""
        if self._runner is not None:
            await self._runner.cleanup()
        self._token_file.unlink(missing_ok=True)

    def _write_token(self) -> None:
        self._token_file.parent.mkdir(parents=True, exist_ok=True)
        self._token_file.unlink(missing_ok=True)
        file = os.open(self._token_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(file, "w", encoding="ascii") as out:
            out.write(self._token + "\n")

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.host.rpartition(":")[0] not in LOOPBACK and request.host not in LOOPBACK:
            return _problem(403, "host-refused", "use a loopback address")
        given = request.headers.get("Authorization", "")
        if request.path not in OPEN_PATHS and not secrets.compare_digest(given.encode(), f"Bearer {self._token}".encode()):
            return _problem(401, "token-required", "send Authorization: Bearer with the token of the simulator's token file")
        try:
            return await handler(request)
        except BadFault as error:
            return _problem(400, error.code, error.detail)

    def snapshot(self) -> dict[str, Any]:
        """The state as the API and the page show it."""
        party = self._party
        usage = os.times()
        return {
            "party": party.name,
            "mode": self._server.listener.mode,
            "port": self._server.listener.port,
            "connections": self._server.listener.connections,
            "up_s": round(time.time() - self._started, 3),
            "cpu_s": round(usage.user + usage.system, 3),
            "counts": dict(party.counters),
            "journal_entries": party.journal.count,
            "journal_torn_bytes": party.journal.torn_bytes,
            "faults_met": dict(party.faults.met_total),
            "faults_active": len(party.faults.active()),
            "script_over": self._server.script_over,
            **party.state(),
        }

    async def _page(self, request: web.Request) -> web.StreamResponse:
        party = self._party
        last = party.journal.entries(max(0, party.journal.count - 20))
        language = request.query.get("lang") or ("ja" if request.headers.get("Accept-Language", "").startswith("ja") else "en")
        text = render(
            title={"en": party.title_en, "ja": party.title_ja},
            state=self.snapshot(),
            faults=[fault.shown() for fault in party.faults.active()],
            entries=last[::-1],
            language="ja" if language == "ja" else "en",
        )
        headers = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'", "Cache-Control": "no-store"}
        return web.Response(text=text, content_type="text/html", headers=headers)

    async def _ready(self, request: web.Request) -> web.StreamResponse:
        return web.json_response({"party": self._party.name, "mode": self._server.listener.mode})

    async def _state(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(self.snapshot())

    async def _received(self, request: web.Request) -> web.StreamResponse:
        limit = _number(request, "limit", 100)
        calls = list(self._party.received)[-limit:] if limit else []
        return web.json_response({"received": [call.shown() for call in calls]})

    async def _journal(self, request: web.Request) -> web.StreamResponse:
        after, limit = _number(request, "after", 0), min(_number(request, "limit", 1000), JOURNAL_LIMIT)
        entries = self._party.journal.entries(after, limit)
        for entry in entries:
            entry.pop("sealed", None)
        return web.json_response({"count": self._party.journal.count, "entries": entries})

    async def _emit(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(await self._party.emit(await _json(request)))

    async def _faults(self, request: web.Request) -> web.StreamResponse:
        kinds = [
            {"kind": kind.name, "level": kind.level, "meaning": kind.meaning, "parameters": list(kind.parameters)}
            for kind in KINDS.values()
        ]
        return web.json_response({"active": [fault.shown() for fault in self._party.faults.active()], "kinds": kinds})

    async def _put_fault(self, request: web.Request) -> web.StreamResponse:
        fault = self._party.faults.put(fault_spec(await _json(request)))
        try:
            await self._server.apply_listener_mode()
        except BadFault:
            self._party.faults.take_away(fault.id)
            raise
        return web.json_response(fault.shown(), status=201)

    async def _clear_faults(self, request: web.Request) -> web.StreamResponse:
        cleared = self._party.faults.clear()
        await self._server.apply_listener_mode()
        return web.json_response({"cleared": cleared})

    async def _take_fault_away(self, request: web.Request) -> web.StreamResponse:
        if not self._party.faults.take_away(request.match_info["id"]):
            return _problem(404, "no-such-fault", "that fault is not on the board")
        await self._server.apply_listener_mode()
        return web.json_response({"cleared": 1})

    async def _reset(self, request: web.Request) -> web.StreamResponse:
        self._party.reset()
        await self._server.apply_listener_mode()
        return web.json_response({"reset": True})


def _number(request: web.Request, name: str, default: int) -> int:
    text = request.query.get(name, "")
    if text and not (text.isascii() and text.isdigit()):
        raise BadFault("parameter-invalid", f"{name} must be a number, 0 or more")
    return int(text) if text else default


async def _json(request: web.Request) -> Any:
    try:
        return json.loads(await request.read())
    except ValueError as error:
        raise BadFault("body-invalid", "the body must be JSON") from error
