"""The link with the intermediate server for operators: what it says of itself, and which codes are still to come. Port and handler."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Protocol

from aiohttp import web

from gateway.admin import bodies
from gateway.admin.identity import require_party
from gateway.admin.service import NotFound
from gateway.admin.wire import ACTOR, Handler

SERVER = "intermediate-server"


@dataclass(frozen=True, slots=True, kw_only=True)
class OverdueAcquisition:
    """A request for a code of which the next step is overdue. No personal data: the message says whom it is about, to who may look."""

    acquisition_id: str
    state: str
    asked_at: dt.datetime
    due_at: dt.datetime
    message_id: str
    """Of the request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkView:
    """The link with the information provision network."""

    operating_status: str | None
    """What the intermediate server said last; None: nothing yet."""
    operating_since: dt.datetime | None
    registered: int
    """Integrated atena numbers that were registered."""
    linked: int
    acquisitions: dict[str, int]
    """Acquisitions of codes, by state."""
    overdue: int
    oldest_overdue: tuple[OverdueAcquisition, ...]
    """At most a hundred."""


class NetworkService(Protocol):
    """Behind the API."""

    async def network(self) -> NetworkView: ...


class NetworkApi:
    """The handler, by the name of its operation."""

    def __init__(self, service: NetworkService | None) -> None:
        self._given = service

    def handlers(self) -> dict[str, Handler]:
        return {"network": self.network}

    async def network(self, request: web.Request) -> web.StreamResponse:
        require_party(request[ACTOR], SERVER)
        if self._given is None:
            raise NotFound("no-such-path", "this gateway is not linked with the information provision network")
        return bodies.answer(bodies.plain(await self._given.network()))
