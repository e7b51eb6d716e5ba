"""The handlers of the desk: requests and their second person, kept refusals, bulk output, a look into a payload, operators."""

from __future__ import annotations

from aiohttp import web

from gateway.admin import bodies
from gateway.admin.desk import Desk, Revealed
from gateway.admin.identity import Operators, require_party, require_role
from gateway.admin.service import AdminService, RequestView
from gateway.admin.wire import ACTOR, Handler, page_limit, party_of, require_delivery, visible
from gateway.approvals.kinds import RULES, Kind
from gateway.errors import PeerRefused

_PRIVATE = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Content-Disposition": "attachment"}
_OF_ALL = frozenset({Kind.OPERATOR_RIGHTS, Kind.POLICY_CHANGE})
"""Kinds that are about no party in particular: everybody sees them."""


class DeskApi:
    """The handlers, by the names of the operations."""

    def __init__(self, service: AdminService, desk: Desk, operators: Operators) -> None:
        self._service = service
        self._desk = desk
        self._accounts = operators.accounts

    def handlers(self) -> dict[str, Handler]:
        names = (
            *("requests", "request", "content", "approve", "refuse", "withdraw", "ask_reveal", "reveal", "quarantine", "quarantined"),
            *("ask_release", "ask_discard", "bulk", "ask_bulk_output", "operators", "review_operator", "release_operator", "ask_rights"),
        )
        return {name: getattr(self, name) for name in names}

    # ---- requests ------------------------------------------------------------------------------------------------------------------

    async def requests(self, request: web.Request) -> web.StreamResponse:
        found = await self._desk.requests(waiting_only=request.query.get("status") == "waiting")
        return bodies.answer({"items": [bodies.request_record(view) for view in found if _concerns(request, view)]})

    async def request(self, request: web.Request) -> web.StreamResponse:
        return bodies.answer(bodies.request_record(await self._asked(request)))

    async def content(self, request: web.Request) -> web.StreamResponse:
        asked = await self._asked(request)
        return _shown(await self._desk.content(request[ACTOR].name, asked.request_id))

    async def approve(self, request: web.Request) -> web.StreamResponse:
        body = await bodies.read_body(request, bodies.ApproveBody)
        asked = await self._to_decide(request)
        return bodies.recorded(await self._desk.approve(request[ACTOR].name, asked.request_id, bytes.fromhex(body.seen_digest)))

    async def refuse(self, request: web.Request) -> web.StreamResponse:
        body = await bodies.read_body(request, bodies.ReasonBody)
        asked = await self._to_decide(request)
        return bodies.recorded(await self._desk.refuse(request[ACTOR].name, asked.request_id, body.reason))

    async def withdraw(self, request: web.Request) -> web.StreamResponse:
        asked = await self._asked(request)
        if asked.requested_by != request[ACTOR].name:
            raise PeerRefused("not-the-requester", "only the person who asked takes a request back; another refuses it")
        return bodies.recorded(await self._desk.withdraw(request[ACTOR].name, asked.request_id))

    # ---- a look into a payload -----------------------------------------------------------------------------------------------------

    async def ask_reveal(self, request: web.Request) -> web.StreamResponse:
        body = await bodies.read_body(request, bodies.RevealBody)
        reference = request.match_info["reference"]
        if request[ACTOR].parties is not None:
            require_delivery(request, await self._service.message(reference), reference)
        digest = bytes.fromhex(body.seen_digest)
        return bodies.recorded(await self._desk.ask_reveal(request[ACTOR].name, reference, digest, body.reason, clear=body.clear))

    async def reveal(self, request: web.Request) -> web.StreamResponse:
        asked = await self._asked(request)
        return _shown(await self._desk.reveal(request[ACTOR].name, asked.request_id))

    # ---- quarantine ----------------------------------------------------------------------------------------------------------------

    async def quarantine(self, request: web.Request) -> web.StreamResponse:
        require_party(request[ACTOR], None)
        kept_only = request.query.get("status") == "kept"
        limit = page_limit(request)
        found = await self._desk.quarantine(kept_only=kept_only, limit=limit, before=request.query.get("before"))
        more = found[-1].quarantine_id if len(found) == limit else None
        return bodies.answer({"items": bodies.plain(list(found)), "next_before": more})

    async def quarantined(self, request: web.Request) -> web.StreamResponse:
        require_party(request[ACTOR], None)
        return bodies.answer(bodies.plain(await self._desk.quarantined(request.match_info["quarantine_id"])))

    async def ask_release(self, request: web.Request) -> web.StreamResponse:
        require_party(request[ACTOR], None)
        body = await bodies.read_body(request, bodies.AskBody)
        name, digest = request[ACTOR].name, bytes.fromhex(body.seen_digest)
        return bodies.recorded(await self._desk.ask_release(name, request.match_info["quarantine_id"], digest, body.reason))

    async def ask_discard(self, request: web.Request) -> web.StreamResponse:
        require_party(request[ACTOR], None)
        body = await bodies.read_body(request, bodies.AskBody)
        name, digest = request[ACTOR].name, bytes.fromhex(body.seen_digest)
        return bodies.recorded(await self._desk.ask_discard(name, request.match_info["quarantine_id"], digest, body.reason))

    # ---- bulk output ---------------------------------------------------------------------------------------------------------------

    async def bulk(self, request: web.Request) -> web.StreamResponse:
        return bodies.answer({"items": bodies.plain(visible(request, await self._desk.bulk()))})

    async def ask_bulk_output(self, request: web.Request) -> web.StreamResponse:
        party = party_of(request, request.match_info["party"])
        body = await bodies.read_body(request, bodies.AskBody)
        name, digest = request[ACTOR].name, bytes.fromhex(body.seen_digest)
        return bodies.recorded(await self._desk.ask_bulk_output(name, party, request.match_info["type"], digest, body.reason))

    # ---- operators -----------------------------------------------------------------------------------------------------------------

    async def operators(self, _request: web.Request) -> web.StreamResponse:
        return bodies.answer({"items": bodies.plain(list(await self._accounts.operators()))})

    async def review_operator(self, request: web.Request) -> web.StreamResponse:
        body = await bodies.read_body(request, bodies.ReasonBody)
        return bodies.answer(bodies.plain(await self._accounts.review(request[ACTOR].name, request.match_info["name"], body.reason)))

    async def release_operator(self, request: web.Request) -> web.StreamResponse:
        body = await bodies.read_body(request, bodies.ReleaseBody)
        name = request.match_info["name"]
        return bodies.answer(bodies.plain(await self._accounts.release(request[ACTOR].name, name, body.hours, body.reason)))

    async def ask_rights(self, request: web.Request) -> web.StreamResponse:
        body = await bodies.read_body(request, bodies.AskBody)
        name, digest = request.match_info["name"], bytes.fromhex(body.seen_digest)
        return bodies.recorded(await self._accounts.ask_rights(request[ACTOR].name, name, digest, body.reason))

    # ---- shared --------------------------------------------------------------------------------------------------------------------

    async def _asked(self, request: web.Request) -> RequestView:
        asked = await self._desk.request(request.match_info["request_id"])
        if not _concerns(request, asked):
            require_party(request[ACTOR], asked.party)
        return asked

    async def _to_decide(self, request: web.Request) -> RequestView:
        asked = await self._asked(request)
        require_role(request[ACTOR], RULES[asked.command].decides)
        if asked.command in _OF_ALL:
            require_party(request[ACTOR], None)  # it concerns all parties: whoever acts for some does not decide
        return asked


def _shown(shown: Revealed) -> web.Response:
    headers = {**_PRIVATE, "X-Renkei-Masked": "yes" if shown.masked else "no"}
    return web.Response(body=shown.content, content_type=shown.content_type, headers=headers)


def _concerns(request: web.Request, view: RequestView) -> bool:
    actor = request[ACTOR]
    return view.requested_by == actor.name or view.command in _OF_ALL or actor.may_see(view.party)
