"""The handlers that need the key directory: the gateway's own keys, and look-up by an identifier."""

from __future__ import annotations

from aiohttp import web

from gateway.admin import bodies
from gateway.admin.key_service import KeyService
from gateway.admin.service import NotFound
from gateway.admin.wire import ACTOR, Handler


class KeyApi:
    """The handlers, by the names of the operations."""

    def __init__(self, service: KeyService | None) -> None:
        self._given = service

    @property
    def _service(self) -> KeyService:
        if self._given is None:
            raise NotFound("no-such-path", "this gateway has no keys to show")
        return self._given

    def handlers(self) -> dict[str, Handler]:
        return {"keys": self.keys, "rotate_key": self.rotate, "search": self.search}

    async def keys(self, _request: web.Request) -> web.StreamResponse:
        return bodies.answer({"items": bodies.plain(list(await self._service.keys()))})

    async def rotate(self, request: web.Request) -> web.StreamResponse:
        body = await bodies.read_body(request, bodies.ReasonBody)
        return bodies.answer(bodies.plain(await self._service.rotate(request[ACTOR].name, request.match_info["kind"], body.reason)))

    async def search(self, request: web.Request) -> web.StreamResponse:
        """Messages about a resident, as far as they go to parties of this person."""
        body = await bodies.read_body(request, bodies.SearchBody)
        actor = request[ACTOR]
        found = await self._service.find(actor.name, body.by, body.value.get_secret_value(), body.reason)
        if actor.parties is not None:
            found = [each for each in found if actor.parties & set(each.parties)]
        return bodies.answer({"items": bodies.plain(list(found))})
