"""The admin API: one aiohttp application below ``/admin/v1``, behind mutual TLS.

It translates: HTTP in, :class:`~gateway.admin.service.AdminService` out. Who may do what is decided here by role; whether a command fits
the state is decided by the service, in the ledger's transaction.
"""

from __future__ import annotations

import importlib.resources
import ssl
from collections.abc import Awaitable, Callable

import structlog
from aiohttp import web
from aiohttp.typedefs import Middleware

from gateway.admin import bodies
from gateway.admin.identity import Actor, Operators, require
from gateway.admin.problems import problem
from gateway.admin.service import AdminService, KeyService, NotFound, RequestStatus, RequestView, Role, Seen
from gateway.admin.words import Language
from gateway.errors import GatewayError, InputRefused

log = structlog.get_logger(__name__)

BASE = "/admin/v1"
_ACTOR = web.RequestKey("actor", Actor)
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def create_app(service: AdminService, operators: Operators, keys: KeyService | None = None) -> web.Application:
    """The application; serve it with a context from :func:`certs.tls.server_context` only (see :func:`serve`)."""
    api = _Api(service)
    key_api = _KeyApi(keys)
    viewer, operator, approver = Role.VIEWER, Role.OPERATOR, Role.APPROVER
    app = web.Application(middlewares=[_edge(operators)], client_max_size=bodies.MAX_BODY_BYTES)
    app.add_routes(
        [
            web.get(f"{BASE}/openapi.yaml", api.openapi),
            web.get(f"{BASE}/whoami", api.whoami),
            web.get(f"{BASE}/status", _for(viewer, api.status)),
            web.get(f"{BASE}/parties", _for(viewer, api.parties)),
            web.get(f"{BASE}/queues", _for(viewer, api.queues)),
            web.get(f"{BASE}/held", _for(viewer, api.held)),
            web.get(f"{BASE}/messages/{{reference}}", _for(viewer, api.message)),
            web.post(f"{BASE}/search", _for(viewer, key_api.search)),
            web.get(f"{BASE}/keys", _for(viewer, key_api.keys)),
            web.post(f"{BASE}/keys/{{kind}}/rotate", _for(operator, key_api.rotate)),
            web.get(f"{BASE}/requests", _for(viewer, api.requests)),
            web.get(f"{BASE}/requests/{{request_id}}", _for(viewer, api.request)),
            web.get(f"{BASE}/requests/{{request_id}}/content", _for(approver, api.request_content)),
            web.post(f"{BASE}/deliveries/{{delivery_id}}/retry", _for(operator, api.retry)),
            web.post(f"{BASE}/deliveries/{{delivery_id}}/correct", _for(operator, api.correct)),
            web.post(f"{BASE}/deliveries/{{delivery_id}}/skip", _for(operator, api.skip)),
            web.post(f"{BASE}/deliveries/{{delivery_id}}/settle", _for(operator, api.settle)),
            web.post(f"{BASE}/requests/{{request_id}}/approve", _for(approver, api.approve)),
            web.post(f"{BASE}/requests/{{request_id}}/withdraw", api.withdraw),
            web.post(f"{BASE}/parties/{{party}}/pause", _for(operator, api.pause)),
            web.post(f"{BASE}/parties/{{party}}/resume", _for(operator, api.resume)),
        ]
    )
    return app


async def serve(app: web.Application, *, host: str, port: int, tls: ssl.SSLContext) -> web.AppRunner:
    """Listen; the caller ends it with ``cleanup()``.

    :raises OSError: the port is taken.
    """
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=5.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, ssl_context=tls).start()
    except OSError:
        await runner.cleanup()
        raise
    return runner


def _for(role: Role, handler: _Handler) -> _Handler:
    async def checked(request: web.Request) -> web.StreamResponse:
        require(request[_ACTOR], role)
        return await handler(request)

    return checked


def _edge(operators: Operators) -> Middleware:
    @web.middleware
    async def edge(request: web.Request, handler: _Handler) -> web.StreamResponse:
        """Every request: the person first, then the handler, and every error as a problem document."""
        try:
            request[_ACTOR] = operators.actor(request)
            return await handler(request)
        except GatewayError as error:
            return problem(error)
        except web.HTTPNotFound:
            return problem(InputRefused("no-such-path", f"nothing is at this path; see {BASE}/openapi.yaml"))
        except web.HTTPMethodNotAllowed as error:
            answer = problem(InputRefused("method-not-allowed", f"{error.method} is not possible here"))
            answer.headers["Allow"] = ", ".join(sorted(error.allowed_methods))
            return answer
        except Exception as error:
            # The edge: nobody above may turn this into a page with content in it. The type alone is safe to log.
            log.error("admin-failed", error=type(error).__name__, route=getattr(request.match_info.route.resource, "canonical", ""))
            return problem(GatewayError("internal", "the gateway failed at this; its log has the place"))

    return edge


class _Api:
    """The handlers, in the order of the routes."""

    def __init__(self, service: AdminService) -> None:
        self._service = service
        self._openapi = importlib.resources.files("gateway.admin").joinpath("openapi.yaml").read_bytes()

    async def openapi(self, _request: web.Request) -> web.StreamResponse:
        return web.Response(body=self._openapi, content_type="application/yaml")

    async def whoami(self, request: web.Request) -> web.StreamResponse:
        actor = request[_ACTOR]
        return bodies.answer({"name": actor.name, "roles": sorted(role.value for role in actor.roles)})

    async def status(self, _request: web.Request) -> web.StreamResponse:
        return bodies.answer(bodies.plain(await self._service.status()))

    async def parties(self, _request: web.Request) -> web.StreamResponse:
        return bodies.answer({"items": bodies.plain(list(await self._service.parties()))})

    async def queues(self, _request: web.Request) -> web.StreamResponse:
        return bodies.answer({"items": bodies.plain(list(await self._service.queues()))})

    async def held(self, request: web.Request) -> web.StreamResponse:
        query = request.query
        try:
            limit = int(query.get("limit", "100"))
        except ValueError as error:
            raise InputRefused("query-malformed", "must be a whole number", place="limit") from error
        if not 1 <= limit <= 1000:
            raise InputRefused("query-malformed", "must be 1 to 1000", place="limit")
        page = await self._service.held(party=query.get("party"), limit=limit, after=query.get("after"))
        return bodies.answer(bodies.held_page(page, _language(request)))

    async def message(self, request: web.Request) -> web.StreamResponse:
        return bodies.answer(bodies.message(await self._service.message(request.match_info["reference"]), _language(request)))

    async def requests(self, request: web.Request) -> web.StreamResponse:
        found = await self._service.requests(waiting_only=request.query.get("status") == "waiting")
        return bodies.answer({"items": [bodies.request_record(view) for view in found]})

    async def request(self, request: web.Request) -> web.StreamResponse:
        return bodies.answer(bodies.request_record(await self._service.request(request.match_info["request_id"])))

    async def request_content(self, request: web.Request) -> web.StreamResponse:
        content = await self._service.request_content(request[_ACTOR].name, request.match_info["request_id"])
        headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Content-Disposition": "attachment"}
        return web.Response(body=content, content_type="application/xml", headers=headers)

    async def retry(self, request: web.Request) -> web.StreamResponse:
        body = await bodies.read_body(request, bodies.CommandBody)
        return _recorded(await self._service.retry(*_order(request, body), body.reason))

    async def correct(self, request: web.Request) -> web.StreamResponse:
        body = await bodies.read_body(request, bodies.CorrectBody)
        return _recorded(await self._service.correct(*_order(request, body), body.reason, body.content()))

    async def skip(self, request: web.Request) -> web.StreamResponse:
        body = await bodies.read_body(request, bodies.CommandBody)
        return _recorded(await self._service.skip(*_order(request, body), body.reason))

    async def settle(self, request: web.Request) -> web.StreamResponse:
        body = await bodies.read_body(request, bodies.SettleBody)
        return _recorded(await self._service.settle(*_order(request, body), body.reason, body.took_effect))

    async def approve(self, request: web.Request) -> web.StreamResponse:
        body = await bodies.read_body(request, bodies.ApproveBody)
        digest = bytes.fromhex(body.seen_digest)
        return _recorded(await self._service.approve(request[_ACTOR].name, request.match_info["request_id"], digest))

    async def withdraw(self, request: web.Request) -> web.StreamResponse:
        actor, request_id = request[_ACTOR], request.match_info["request_id"]
        asked = await self._service.request(request_id)
        # Its author takes it back as operator; anybody else refuses it as approver.
        require(actor, Role.OPERATOR if asked.requested_by == actor.name else Role.APPROVER)
        return _recorded(await self._service.withdraw(actor.name, request_id))

    async def pause(self, request: web.Request) -> web.StreamResponse:
        body = await bodies.read_body(request, bodies.ReasonBody)
        return bodies.answer(bodies.plain(await self._service.pause(request[_ACTOR].name, request.match_info["party"], body.reason)))

    async def resume(self, request: web.Request) -> web.StreamResponse:
        body = await bodies.read_body(request, bodies.ReasonBody)
        return bodies.answer(bodies.plain(await self._service.resume(request[_ACTOR].name, request.match_info["party"], body.reason)))


class _KeyApi:
    """The handlers that need the key directory."""

    def __init__(self, service: KeyService | None) -> None:
        self._given = service

    @property
    def _service(self) -> KeyService:
        if self._given is None:
            raise NotFound("no-such-path", "this gateway has no keys to show")
        return self._given

    async def keys(self, _request: web.Request) -> web.StreamResponse:
        return bodies.answer({"items": bodies.plain(list(await self._service.keys()))})

    async def rotate(self, request: web.Request) -> web.StreamResponse:
        body = await bodies.read_body(request, bodies.ReasonBody)
        return bodies.answer(bodies.plain(await self._service.rotate(request[_ACTOR].name, request.match_info["kind"], body.reason)))

    async def search(self, request: web.Request) -> web.StreamResponse:
        body = await bodies.read_body(request, bodies.SearchBody)
        found = await self._service.find(request[_ACTOR].name, body.by, body.value.get_secret_value())
        return bodies.answer({"items": bodies.plain(list(found))})


def _order(request: web.Request, body: bodies.CommandBody) -> tuple[str, str, Seen]:
    return request[_ACTOR].name, request.match_info["delivery_id"], body.seen()


def _recorded(view: RequestView) -> web.Response:
    """200 when it took effect, 202 while a second person is needed; the place where it is on record."""
    status = 202 if view.status is RequestStatus.WAITING else 200
    return bodies.answer(bodies.request_record(view), status=status, headers={"Location": f"{BASE}/requests/{view.request_id}"})


def _language(request: web.Request) -> Language:
    return "ja" if request.headers.get("Accept-Language", "").lower().startswith("ja") else "en"
