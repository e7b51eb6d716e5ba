"""Cases of the business flows for operators: the port behind the API, its values, and the handlers."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from aiohttp import web

from gateway.admin import bodies
from gateway.admin.identity import require_party
from gateway.admin.service import NotFound
from gateway.admin.wire import ACTOR, Handler, page_limit
from gateway.errors import InputRefused

STATES = ("open", "overdue", "refused", "done", "completed")


@dataclass(frozen=True, slots=True, kw_only=True)
class StepView:
    """One step of a case."""

    step: str
    type: str
    sender: str
    receiver: str
    state: str
    """``done``, ``waiting``, ``overdue``, ``refused`` or ``not-needed``."""
    since: dt.datetime | None
    due_at: dt.datetime | None
    code: str | None
    messages: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseView:
    """One case of a business flow. Times are business time."""

    case_id: str
    flow: str
    title_en: str
    title_ja: str
    state: str
    """``open``, ``overdue``, ``refused``, ``done`` or ``completed`` (by a person)."""
    begun_at: dt.datetime
    changed_at: dt.datetime
    closed_at: dt.datetime | None
    completed_by: str | None
    reason: str | None
    part_of: str | None
    """The case that this one turned out to be part of."""
    steps: tuple[StepView, ...]


class FlowService(Protocol):
    """Flows behind the API. ``actor`` is the person on record."""

    async def cases(self, *, flow: str | None, states: Sequence[str], open_only: bool, limit: int, after: str | None) -> Sequence[CaseView]:
        """Newest first; ``after``: the last of the page before."""
        ...

    async def case(self, reference: str) -> Sequence[CaseView]:
        """The case of this id, or all that a message is in.

        :raises NotFound: there is none.
        """
        ...

    async def complete(self, actor: str, case_id: str, seen_state: str, reason: str) -> CaseView:
        """What is left of a case was done by other means, or will not come.

        :raises CommandRefused: ``no-such-case``, ``case-over``, ``changed-meanwhile``.
        """
        ...

    async def rebuild(self, actor: str, reason: str) -> None:
        """Derive all cases anew from the record; what persons completed stays."""
        ...


class CompleteBody(bodies.Body):
    seen_state: str
    reason: bodies.Reason


class FlowApi:
    """The handlers, by the names of the operations. A case concerns several parties: who acts for some only does not see them."""

    def __init__(self, service: FlowService | None) -> None:
        self._given = service

    @property
    def _service(self) -> FlowService:
        if self._given is None:
            raise NotFound("no-such-path", "this gateway follows no flows")
        return self._given

    def handlers(self) -> dict[str, Handler]:
        return {"flow_cases": self.cases, "flow_case": self.case, "complete_flow": self.complete, "rebuild_flows": self.rebuild}

    async def cases(self, request: web.Request) -> web.StreamResponse:
        require_party(request[ACTOR], None)
        states = [each for each in request.query.get("state", "").split(",") if each]
        if not set(states) <= set(STATES):
            raise InputRefused("query-malformed", f"must be of {', '.join(STATES)}", place="state")
        limit = page_limit(request)
        found = await self._service.cases(
            flow=request.query.get("flow"), states=states, open_only=request.query.get("open") == "true", limit=limit,
            after=request.query.get("after"),
        )  # fmt: skip
        more = found[-1].case_id if len(found) == limit else None
        return bodies.answer({"items": bodies.plain(list(found)), "next_after": more})

    async def case(self, request: web.Request) -> web.StreamResponse:
        require_party(request[ACTOR], None)
        return bodies.answer({"items": bodies.plain(list(await self._service.case(request.match_info["reference"])))})

    async def complete(self, request: web.Request) -> web.StreamResponse:
        require_party(request[ACTOR], None)
        body = await bodies.read_body(request, CompleteBody)
        if body.seen_state not in STATES:
            raise InputRefused("body-malformed", "not a state of a case", place="seen_state")
        name, case = request[ACTOR].name, request.match_info["reference"]
        return bodies.answer(bodies.plain(await self._service.complete(name, case, body.seen_state, body.reason)))

    async def rebuild(self, request: web.Request) -> web.StreamResponse:
        require_party(request[ACTOR], None)
        body = await bodies.read_body(request, bodies.ReasonBody)
        await self._service.rebuild(request[ACTOR].name, body.reason)
        return bodies.answer({"rebuilding": True})
