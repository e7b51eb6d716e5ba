"""The ledger's book in numbers, and the business clock of a test ledger: the port behind the API, its values, and the handlers."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Annotated, Protocol

from aiohttp import web
from pydantic import Field

from gateway.admin import bodies
from gateway.admin.identity import require_party
from gateway.admin.service import NotFound
from gateway.admin.wire import ACTOR, Handler


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageTally:
    """Messages that one system or party handed in."""

    system: str
    type: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryTally:
    """Deliveries to one party, of the type that it has, by the ledger's word of state; ``replaced``: by another one."""

    party: str
    type: str
    state: str
    replaced: bool
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TallyView:
    """The whole book at one moment."""

    messages: tuple[MessageTally, ...]
    deliveries: tuple[DeliveryTally, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockView:
    """Business time (R21)."""

    offset_s: float
    now: dt.datetime


class BooksService(Protocol):
    """Behind the API. ``actor`` is the person on record."""

    async def tally(self) -> TallyView:
        """The book."""
        ...

    async def shift_clock(self, actor: str, offset_s: float) -> ClockView:
        """Business time goes on by so many seconds from real time.

        :raises CommandRefused: ``business-clock-real``: this is no test ledger.
        """
        ...


class ClockBody(bodies.Body):
    offset_s: Annotated[float, Field(ge=-3_200_000_000, le=3_200_000_000, allow_inf_nan=False)]


class BooksApi:
    """The handlers, by the names of the operations. Both are about all parties."""

    def __init__(self, service: BooksService | None) -> None:
        self._given = service

    @property
    def _service(self) -> BooksService:
        if self._given is None:
            raise NotFound("no-such-path", "this gateway has no such book")
        return self._given

    def handlers(self) -> dict[str, Handler]:
        return {"tally": self.tally, "shift_clock": self.shift_clock}

    async def tally(self, request: web.Request) -> web.StreamResponse:
        require_party(request[ACTOR], None)
        return bodies.answer(bodies.plain(await self._service.tally()))

    async def shift_clock(self, request: web.Request) -> web.StreamResponse:
        require_party(request[ACTOR], None)
        body = await bodies.read_body(request, ClockBody)
        return bodies.answer(bodies.plain(await self._service.shift_clock(request[ACTOR].name, body.offset_s)))
