"""Our systems as a process: control API on loopback, ready file, until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
from pathlib import Path
from typing import Any

from aiohttp import web

from simulators.control import LOOPBACK
from simulators.errors import BadFault
from simulators.in_house.office import Office, OfficeSettings
from simulators.party import until_told_to_stop


class OfficeControl:
    """``/_sim/…`` on 127.0.0.1, with the bearer token that stands in a file of this user only."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._token = secrets.token_urlsafe(32)
        self._runner: web.AppRunner | None = None
        self.port = office.settings.control_port

    async def start(self) -> None:
        """Write the token and listen."""
        file = self._office.settings.token_file
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink(missing_ok=True)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as out:
            out.write(self._token + "\n")
        app = web.Application(middlewares=[self._guard])
        app.router.add_get("/_sim/state", self._state)
        app.router.add_get("/_sim/received", self._received)
        app.router.add_post("/_sim/emit", self._emit)
        app.router.add_post("/_sim/faults", self._put_fault)
        app.router.add_delete("/_sim/faults", self._clear_faults)
        app.router.add_post("/_sim/reset", self._reset)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Stop listening and remove the token."""
        if self._runner is not None:
            await self._runner.cleanup()
        self._office.settings.token_file.unlink(missing_ok=True)

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if request.host.rpartition(":")[0] not in LOOPBACK and request.host not in LOOPBACK:
            return web.json_response({"code": "host-refused"}, status=403)
        given = request.headers.get("Authorization", "")
        if not secrets.compare_digest(given.encode(), f"Bearer {self._token}".encode()):
            return web.json_response({"code": "token-required"}, status=401)
        try:
            answer: web.StreamResponse = await handler(request)
        except BadFault as error:
            return web.json_response({"code": error.code, "detail": error.detail}, status=400)
        return answer

    async def _state(self, _: web.Request) -> web.Response:
        return web.json_response(self._office.state())

    async def _received(self, request: web.Request) -> web.Response:
        given = request.query.get("limit", "100")
        if not (given.isascii() and given.isdigit()):
            raise BadFault("parameter-invalid", "limit must be a number")
        return web.json_response({"received": self._office.received(int(given))})

    async def _emit(self, request: web.Request) -> web.Response:
        return web.json_response(await self._office.emit(await _body(request)))

    async def _put_fault(self, request: web.Request) -> web.Response:
        return web.json_response(await self._office.put_fault(await _body(request)), status=201)

    async def _clear_faults(self, _: web.Request) -> web.Response:
        return web.json_response({"cleared": self._office.clear_faults()})

    async def _reset(self, _: web.Request) -> web.Response:
        await self._office.reset()
        return web.json_response({"reset": True})


async def _body(request: web.Request) -> dict[str, Any]:
    try:
        found = json.loads(await request.read())
    except ValueError as error:
        raise BadFault("body-invalid", "the body must be JSON") from error
    if not isinstance(found, dict):
        raise BadFault("body-invalid", "the body must be a JSON object")
    return found


async def serve_office(settings: OfficeSettings) -> None:
    """Play these systems until told to stop."""
    office = Office(settings)
    control = OfficeControl(office)
    office.start()
    await control.start()
    try:
        while not all(desk.ready for desk in office.desks.values()):  # noqa: ASYNC110 each connects by itself, and says so by its state
            await asyncio.sleep(0.05)
        _ready(settings.ready_file, control.port)
        await until_told_to_stop()
    finally:
        if settings.ready_file is not None:
            settings.ready_file.unlink(missing_ok=True)
        await control.stop()
        await office.stop()


def _ready(file: Path | None, port: int) -> None:
    if file is not None:
        half = file.with_name(f"{file.name}.new")
        half.write_text(json.dumps({"pid": os.getpid(), "control_port": port}) + "\n", encoding="utf-8")
        half.rename(file)
