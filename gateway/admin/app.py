"""The admin API: one aiohttp application below ``/admin/v1``, behind mutual TLS.

It translates: HTTP in, :class:`~gateway.admin.service.AdminService` and :class:`~gateway.admin.desk.Desk` out. Who may do what stands in
one table (:mod:`gateway.admin.access`), and a refusal is put on record; whether a command fits the state is decided by the service, in
the ledger's transaction.
"""

from __future__ import annotations

import importlib.resources
import ssl
from collections.abc import Awaitable, Callable, Mapping

import structlog
from aiohttp import web
from aiohttp.typedefs import Middleware

from certs.peer import Authority
from gateway.admin import bodies
from gateway.admin.access import BASE, OPERATIONS, Operation
from gateway.admin.audit import AuditRecord, AuditRoutes
from gateway.admin.books_api import BooksApi, BooksService
from gateway.admin.desk import Desk
from gateway.admin.desk_api import DeskApi
from gateway.admin.feeds_api import FeedApi, FeedService
from gateway.admin.flows_api import FlowApi, FlowService
from gateway.admin.identity import Operators, require
from gateway.admin.key_api import KeyApi
from gateway.admin.key_service import KeyService
from gateway.admin.media_api import MediaApi, MediaService
from gateway.admin.network_api import NetworkApi, NetworkService
from gateway.admin.policy_api import PolicyApi, PolicyService
from gateway.admin.problems import problem
from gateway.admin.reconciliation_api import ReconciliationApi, ReconciliationService
from gateway.admin.reports_api import ReportApi, ReportService
from gateway.admin.retention_api import RetentionApi, RetentionService
from gateway.admin.service import AdminService, MessageView, PartyView, RequestView, Seen
from gateway.admin.wire import ACTOR, Handler, address_of, page_limit, party_of, require_delivery, visible
from gateway.admin.words import Language
from gateway.errors import GatewayError, InputRefused, LedgerUnavailable, PeerRefused
from gateway.security.door import TlsSite
from gateway.security.refusals import Witness, note_request

log = structlog.get_logger(__name__)

PLACE = "admin"
"""Name of this listener in evidence."""
KEEP_ALIVE_S = 75.0


def create_app(
    service: AdminService,
    desk: Desk,
    operators: Operators,
    *,
    keys: KeyService | None = None,
    policy: PolicyService | None = None,
    audit: AuditRecord | None = None,
    reports: ReportService | None = None,
    network: NetworkService | None = None,
    retention: RetentionService | None = None,
    reconciliations: ReconciliationService | None = None,
    media: MediaService | None = None,
    feeds: FeedService | None = None,
    flows: FlowService | None = None,
    books: BooksService | None = None,
    witness: Witness | None = None,
) -> web.Application:
    """The application; serve it with a context from :func:`certs.tls.server_context` only (see :func:`serve`)."""
    handlers: Mapping[str, Handler] = {
        **_Api(service, operators).handlers(),
        **DeskApi(service, desk, operators).handlers(),
        **KeyApi(keys).handlers(),
        **PolicyApi(policy, desk).handlers(),
        **AuditRoutes(audit).handlers(),
        **ReportApi(reports).handlers(),
        **NetworkApi(network).handlers(),
        **RetentionApi(retention).handlers(),
        **ReconciliationApi(reconciliations).handlers(),
        **MediaApi(media).handlers(),
        **FeedApi(feeds).handlers(),
        **FlowApi(flows).handlers(),
        **BooksApi(books).handlers(),
    }
    app = web.Application(middlewares=[_edge(operators, witness)], client_max_size=bodies.MAX_BODY_BYTES)
    app.add_routes([web.route(each.method, each.path, _for(each, handlers[each.name], operators, witness)) for each in OPERATIONS])
    return app


async def serve(
    app: web.Application, *, host: str, port: int, tls: ssl.SSLContext, witness: Witness | None = None, authority: Authority | None = None
) -> web.AppRunner:
    """Listen; the caller ends it with ``cleanup()``.

    :raises OSError: the port is taken.
    """
    runner = web.AppRunner(app, access_log=None, keepalive_timeout=KEEP_ALIVE_S, shutdown_timeout=5.0)
    await runner.setup()
    try:
        await TlsSite(runner, host, port, tls=tls, place=PLACE, witness=witness, authority=authority).start()
    except OSError:
        await runner.cleanup()
        raise
    return runner


def _for(operation: Operation, handler: Handler, operators: Operators, witness: Witness | None) -> Handler:
    """The handler behind everything that must hold before: who it is, what is in force, and the role."""

    async def checked(request: web.Request) -> web.StreamResponse:
        name, address = _person(request, operators, witness), address_of(request)
        try:
            request[ACTOR] = actor = await operators.actor(name, address)
            require(actor, operation)
            return await handler(request)
        except PeerRefused as refused:
            try:
                await operators.accounts.refused(name, refused.code, operation.name, address)
            except LedgerUnavailable as error:
                log.warning("refusal-not-recorded", code=error.code)  # refused it is all the same
            raise

    return checked


class _Stranger(PeerRefused):
    """Nobody who may use this; is not told more, and has to connect anew."""


def _person(request: web.Request, operators: Operators, witness: Witness | None) -> str:
    """The person behind the certificate; refusals of others are counted by address and minute."""
    try:
        return operators.name_of(request)
    except PeerRefused as refused:
        note_request(witness, PLACE, request.transport, refused.code, refused.who)
        raise _Stranger(refused.code, refused.safe_detail, rule=refused.rule, who=refused.who) from refused


def _edge(operators: Operators, witness: Witness | None) -> Middleware:
    @web.middleware
    async def edge(request: web.Request, handler: Handler) -> web.StreamResponse:
        """Every error as a problem document. Also where there is nothing, the person comes first."""
        try:
            try:
                return await handler(request)
            except (web.HTTPNotFound, web.HTTPMethodNotAllowed) as error:
                _person(request, operators, witness)
                return _nothing_there(error)
        except _Stranger as refused:
            answer = problem(refused)
            answer.force_close()
            return answer
        except GatewayError as error:
            return problem(error)
        except Exception as error:
            # The edge: nobody above may turn this into a page with content in it. The type alone is safe to log.
            log.error("admin-failed", error=type(error).__name__, route=getattr(request.match_info.route.resource, "canonical", ""))
            return problem(GatewayError("internal", "the gateway failed at this; its log has the place"))

    return edge


def _nothing_there(error: web.HTTPNotFound | web.HTTPMethodNotAllowed) -> web.Response:
    if isinstance(error, web.HTTPNotFound):
        return problem(InputRefused("no-such-path", f"nothing is at this path; see {BASE}/openapi.yaml"))
    answer = problem(InputRefused("method-not-allowed", f"{error.method} is not possible here"))
    answer.headers["Allow"] = ", ".join(sorted(error.allowed_methods))
    return answer


class _Api:
    """What concerns messages and parties, by the names of the operations."""

    def __init__(self, service: AdminService, operators: Operators) -> None:
        self._service = service
        self._accounts = operators.accounts
        self._openapi = importlib.resources.files("gateway.admin").joinpath("openapi.yaml").read_bytes()

    def handlers(self) -> dict[str, Handler]:
        return {
            "openapi": self.openapi,
            "whoami": self.whoami,
            "status": self.status,
            "parties": self.parties,
            "queues": self.queues,
            "held": self.held,
            "message": self.message,
            "retry": self._command(self._service.retry),
            "skip": self._command(self._service.skip),
            "release": self._command(self._service.release),
            "by_hand": self._command(self._service.by_hand),
            "correct": self.correct,
            "settle": self.settle,
            "pause": self._party(self._service.pause),
            "resume": self._party(self._service.resume),
            "manual": self._party(self._service.manual),
            "automatic": self._party(self._service.automatic),
        }

    async def openapi(self, _request: web.Request) -> web.StreamResponse:
        return web.Response(body=self._openapi, content_type="application/yaml")

    async def whoami(self, request: web.Request) -> web.StreamResponse:
        actor = request[ACTOR]
        parties = None if actor.parties is None else sorted(actor.parties)
        roles = sorted(role.value for role in actor.roles)
        return bodies.answer({"name": actor.name, "roles": roles, "parties": parties, "contractor": actor.contractor})

    async def status(self, _request: web.Request) -> web.StreamResponse:
        return bodies.answer(bodies.plain(await self._service.status()))

    async def parties(self, request: web.Request) -> web.StreamResponse:
        return bodies.answer({"items": bodies.plain(visible(request, await self._service.parties()))})

    async def queues(self, request: web.Request) -> web.StreamResponse:
        return bodies.answer({"items": bodies.plain(visible(request, await self._service.queues()))})

    async def held(self, request: web.Request) -> web.StreamResponse:
        wanted = request.query.get("party")
        parties = request[ACTOR].parties if wanted is None else {party_of(request, wanted)}
        page = await self._service.held(parties=parties, limit=page_limit(request), after=request.query.get("after"))
        return bodies.answer(bodies.held_page(page, _language(request)))

    async def message(self, request: web.Request) -> web.StreamResponse:
        found: MessageView = require_delivery(request, await self._service.message(request.match_info["reference"]))
        await self._accounts.looked(request[ACTOR].name, "message", message_id=found.message_id)
        return bodies.answer(bodies.message(found, _language(request)))

    def _command(self, command: Callable[[str, str, Seen, str], Awaitable[RequestView]]) -> Handler:
        async def handler(request: web.Request) -> web.StreamResponse:
            body = await bodies.read_body(request, bodies.CommandBody)
            return bodies.recorded(await command(*await self._order(request, body), body.reason))

        return handler

    async def correct(self, request: web.Request) -> web.StreamResponse:
        body = await bodies.read_body(request, bodies.CorrectBody)
        return bodies.recorded(await self._service.correct(*await self._order(request, body), body.reason, body.content()))

    async def settle(self, request: web.Request) -> web.StreamResponse:
        body = await bodies.read_body(request, bodies.SettleBody)
        return bodies.recorded(await self._service.settle(*await self._order(request, body), body.reason, body.took_effect))

    def _party(self, command: Callable[[str, str, str], Awaitable[PartyView]]) -> Handler:
        async def handler(request: web.Request) -> web.StreamResponse:
            party = party_of(request, request.match_info["party"])
            body = await bodies.read_body(request, bodies.ReasonBody)
            return bodies.answer(bodies.plain(await command(request[ACTOR].name, party, body.reason)))

        return handler

    async def _order(self, request: web.Request, body: bodies.CommandBody) -> tuple[str, str, Seen]:
        delivery_id = request.match_info["delivery_id"]
        if request[ACTOR].parties is not None:
            require_delivery(request, await self._service.message(delivery_id), delivery_id)
        return request[ACTOR].name, delivery_id, body.seen()


def _language(request: web.Request) -> Language:
    return "ja" if request.headers.get("Accept-Language", "").lower().startswith("ja") else "en"
