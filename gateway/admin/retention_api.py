"""Retention, the purge of a party and what a restore has stopped: the port behind the API, its values, and the handlers."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from aiohttp import web

from gateway.admin import bodies
from gateway.admin.service import NotFound, RequestView
from gateway.admin.wire import ACTOR, Handler, party_of, visible


@dataclass(frozen=True, slots=True, kw_only=True)
class RulePlan:
    """What one rule of the retention table would erase now."""

    rule: str
    place: str
    types: tuple[str, ...]
    """Of which it is; none: all others of the place."""
    after: str
    basis: tuple[str, ...]
    before: dt.datetime
    """What ended, arrived or was written before this is due."""
    due: int
    expires: int
    """Deliveries that are too late and expire with the next run."""
    must_not: int
    """Too late, but being sent or of unknown outcome: they must be settled first (R23)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DisposalView:
    """One line of the disposal history (C-1-7-16)."""

    disposal_id: str
    run: str
    rule: str
    place: str
    type: str | None
    party: str | None
    count: int
    oldest: dt.datetime
    newest: dt.datetime
    at: dt.datetime
    actor: str
    instruction: str | None
    proof: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """What a run did."""

    run: str
    erased: int
    expired: int
    must_not: int
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PurgeView:
    """What a purge of a party would erase."""

    party: str
    contents: int
    unfinished: int
    must_not: int
    digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class StoppedParty:
    """A party after a restore (R24)."""

    party: str
    stopped: bool
    unknown: int
    without_content: int
    """Of those: nobody can send them again (C-3-7-3)."""
    digest: bytes | None
    """What a request for its release names."""


class RetentionService(Protocol):
    """What erases, and what two persons release. All methods may raise Unavailable and CommandRefused."""

    async def plan(self) -> Sequence[RulePlan]:
        """The table, with what is due now."""
        ...

    async def run(self, actor: str, reason: str) -> RunView:
        """Erase now what is due; on record with the person's name."""
        ...

    async def history(self) -> Sequence[DisposalView]:
        """The disposal history, newest first."""
        ...

    async def purgeable(self, party: str) -> PurgeView:
        """What is there of a party."""
        ...

    async def ask_purge(self, actor: str, party: str, seen_digest: bytes, reason: str) -> RequestView:
        """Ask for all contents of a party to be erased (C-1-7-18)."""
        ...

    async def restored(self) -> tuple[dict[str, Any] | None, Sequence[StoppedParty]]:
        """The last restore, and the parties that it has stopped."""
        ...

    async def ask_restore_release(self, actor: str, party: str, seen_digest: bytes, reason: str) -> RequestView:
        """Ask for deliveries to a party to go on after a restore; ``reason``: with what it was reconciled."""
        ...


class RetentionApi:
    """The handlers, by the names of the operations."""

    def __init__(self, service: RetentionService | None) -> None:
        self._given = service

    @property
    def _service(self) -> RetentionService:
        if self._given is None:
            raise NotFound("no-such-path", "this gateway keeps no retention table")
        return self._given

    def handlers(self) -> dict[str, Handler]:
        names = ("retention", "run_retention", "disposals", "purgeable", "ask_purge", "restored", "ask_restore_release")
        return {name: getattr(self, name) for name in names}

    async def retention(self, _request: web.Request) -> web.StreamResponse:
        return bodies.answer({"items": bodies.plain(list(await self._service.plan()))})

    async def run_retention(self, request: web.Request) -> web.StreamResponse:
        body = await bodies.read_body(request, bodies.ReasonBody)
        return bodies.answer(bodies.plain(await self._service.run(request[ACTOR].name, body.reason)))

    async def disposals(self, request: web.Request) -> web.StreamResponse:
        return bodies.answer({"items": bodies.plain(visible(request, await self._service.history()))})

    async def purgeable(self, request: web.Request) -> web.StreamResponse:
        return bodies.answer(bodies.plain(await self._service.purgeable(party_of(request, request.match_info["party"]))))

    async def ask_purge(self, request: web.Request) -> web.StreamResponse:
        party = party_of(request, request.match_info["party"])
        body = await bodies.read_body(request, bodies.AskBody)
        asked = await self._service.ask_purge(request[ACTOR].name, party, bytes.fromhex(body.seen_digest), body.reason)
        return bodies.recorded(asked)

    async def restored(self, request: web.Request) -> web.StreamResponse:
        last, parties = await self._service.restored()
        return bodies.answer({"restore": last, "items": bodies.plain(visible(request, parties))})

    async def ask_restore_release(self, request: web.Request) -> web.StreamResponse:
        party = party_of(request, request.match_info["party"])
        body = await bodies.read_body(request, bodies.AskBody)
        asked = await self._service.ask_restore_release(request[ACTOR].name, party, bytes.fromhex(body.seen_digest), body.reason)
        return bodies.recorded(asked)
