"""Output to media behind the API: the port, the bodies, the handlers."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Annotated, Protocol

from aiohttp import web
from pydantic import Field, StringConstraints

from gateway.admin import bodies
from gateway.admin.identity import require_party
from gateway.admin.service import NotFound, RequestView
from gateway.admin.wire import ACTOR, Handler


@dataclass(frozen=True, slots=True, kw_only=True)
class MediumTarget:
    """A place where media are written."""

    name: str
    directory: str
    types: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MediumOutput:
    """One line of the work record (作業記録簿)."""

    request_id: str
    target: str
    directory: str | None
    """None: the configuration has the place no more."""
    medium: str
    type: str
    count: int
    size_bytes: int
    digest: str
    operator: str
    approved_by: str
    began_at: dt.datetime
    ended_at: dt.datetime | None
    """When it was read back and was the same; None: nobody knows whether all of it was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """Places and records."""

    targets: tuple[MediumTarget, ...]
    outputs: tuple[MediumOutput, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedOutput:
    """What somebody wants to write."""

    target: str
    medium: str
    type: str
    count: int
    size_bytes: int
    digest: str


class MediaService(Protocol):
    """Output to media. ``actor`` is the person on record."""

    async def media(self) -> Media:
        """Places, and outputs, newest first."""
        ...

    async def ask(self, actor: str, wanted: WantedOutput, reason: str) -> RequestView:
        """:raises CommandRefused: ``target-unknown``, ``type-not-for-target`` (C-1-3-27); on record."""
        ...

    async def begin(self, actor: str, request_id: str, digest: str) -> MediumOutput:
        """Use the approval, once; the record is there before the first byte.

        :raises CommandRefused: not approved, of somebody else, another content, or the place is configured no more.
        """
        ...

    async def end(self, actor: str, request_id: str, digest: str) -> MediumOutput:
        """It was written and read back.

        :raises CommandRefused: that is not what was begun.
        """
        ...


class MediumOutputBody(bodies.Body):
    medium: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    type: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,63}$")]
    count: Annotated[int, Field(ge=1)]
    size_bytes: Annotated[int, Field(ge=1)]
    digest: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    reason: bodies.Reason


class MediumBeginBody(bodies.Body):
    digest: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class MediaApi:
    """The handlers, by the names of the operations. Not for whoever acts for some parties only."""

    def __init__(self, service: MediaService | None) -> None:
        self._given = service

    @property
    def _service(self) -> MediaService:
        if self._given is None:
            raise NotFound("no-such-path", "this gateway writes no media")
        return self._given

    def handlers(self) -> dict[str, Handler]:
        return {
            "media": self.media,
            "ask_medium_output": self.ask,
            "begin_medium_output": self.begin,
            "end_medium_output": self.end,
        }

    async def media(self, request: web.Request) -> web.StreamResponse:
        require_party(request[ACTOR], None)
        return bodies.answer(bodies.plain(await self._service.media()))

    async def ask(self, request: web.Request) -> web.StreamResponse:
        require_party(request[ACTOR], None)
        body = await bodies.read_body(request, MediumOutputBody)
        wanted = WantedOutput(
            target=request.match_info["target"], medium=body.medium, type=body.type, count=body.count, size_bytes=body.size_bytes,
            digest=body.digest,
        )  # fmt: skip
        return bodies.recorded(await self._service.ask(request[ACTOR].name, wanted, body.reason))

    async def begin(self, request: web.Request) -> web.StreamResponse:
        require_party(request[ACTOR], None)
        body = await bodies.read_body(request, MediumBeginBody)
        return bodies.answer(bodies.plain(await self._service.begin(request[ACTOR].name, _request(request), body.digest)))

    async def end(self, request: web.Request) -> web.StreamResponse:
        require_party(request[ACTOR], None)
        body = await bodies.read_body(request, MediumBeginBody)
        return bodies.answer(bodies.plain(await self._service.end(request[ACTOR].name, _request(request), body.digest)))


def _request(request: web.Request) -> str:
    return request.match_info["request_id"]
