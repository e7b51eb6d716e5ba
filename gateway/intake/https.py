"""The HTTPS door: ``POST /v1/messages`` and what a sender needs around it, over mutual TLS.

Theory of operation. The peer's certificate says who sends, on every request. The cheap refusals come before the body is read (who,
pressure, content type, announced size), the size is enforced again while reading, and only a complete body is looked at. 202 is said when
the ledger has committed, with the bytes of the receipt as the ledger keeps them, so that the same message gets the same answer for ever
(I1, I2, R17). Everything else is a problem document of RFC 9457 made from codes, rules and places (I5, I10). This is the hot path of the
gateway: one handler without middleware, one pass over the headers, three awaits.

``docs/openapi.yaml`` describes the door; the examples in it are run against this module by a test.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.resources
import json
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol
from urllib.parse import quote

import structlog
from aiohttp import web

from certs.peer import Authority
from gateway.errors import GatewayError, InputRefused, PeerRefused
from gateway.intake.admit import Answer, Intake, Refused
from gateway.intake.bulk import BulkAdmission
from gateway.intake.bulk_line import TakeBatch
from gateway.intake.cloudevents import BATCH_CONTENT_TYPE, STRUCTURED_CONTENT_TYPE, EventAttributes, from_http, from_json
from gateway.intake.measures import UNCOUNTED, IntakeMeter, result_of
from gateway.intake.peers import PeerDirectory
from gateway.intake.pressure import Pressure
from gateway.intake.problems import body_of, headers_of, status_of
from gateway.intake.refusals import too_large
from gateway.intake.submission import Submission
from gateway.pacing import BELL_S, BulkPace
from gateway.security.door import TlsSite
from gateway.security.refusals import Witness, note_request

log = structlog.get_logger("gateway.intake")

BODY_TIMEOUT_S = 30.0
"""A body that has not arrived by then is given up: a slow sender must not hold a place for ever."""
MOST_EXPIRED = 1000
"""Entries of one answer of ``GET /v1/expired``."""
DIALOGUES = "dialogues"
"""Name of what comes by ``POST /v1/dialogues`` in the metrics."""
PLACE = "intake"
"""Name of this listener in evidence."""
KEEP_ALIVE_S = 75.0
"""An idle connection stays open this long, and a request's headers must have arrived by then."""
LINGER_S = 2.0
"""After a refusal the rest of the body is read away for at most this long, so that the sender gets to see the answer."""

_XML_TYPES = frozenset({"application/xml", "text/xml"})
_JSON = "application/json; charset=utf-8"
_RECEIPT_HEADERS = {"Content-Type": _JSON, "Cache-Control": "no-store"}


class StatusQuery(Protocol):
    """Looks up what became of a system's own message; None where that system has sent no such id."""

    def __call__(self, system: str, source_id: str) -> Awaitable[Mapping[str, Any] | None]: ...


class ExpiredQuery(Protocol):
    """What of a system's own messages was not delivered in time; :raises InputRefused: ``after`` is nothing that was given."""

    def __call__(self, system: str, after: str | None, limit: int) -> Awaitable[Mapping[str, Any]]: ...


class Answered(Protocol):
    """An answer that goes back to who asked."""

    @property
    def dialogue_id(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def content(self) -> bytes: ...


class Ask(Protocol):
    """Puts a question of a system; :raises GatewayError: there is no answer, and why."""

    def __call__(self, system: str, door: str, attributes: EventAttributes, data: bytes) -> Awaitable[Answered]: ...


class HttpsDoor:
    """The handlers. For one event loop."""

    def __init__(
        self,
        *,
        intake: Intake,
        peers: PeerDirectory,
        pressure: Pressure,
        status: StatusQuery,
        jwks: Callable[[], Mapping[str, Any]],
        expired: ExpiredQuery | None = None,
        ask: Ask | None = None,
        meter: IntakeMeter = UNCOUNTED,
        body_timeout_s: float = BODY_TIMEOUT_S,
        witness: Witness | None = None,
        bulk: BulkAdmission | None = None,
        batches: TakeBatch | None = None,
        pace: BulkPace | None = None,
    ) -> None:
        """:param bulk: takes what comes for the bulk lane, and :param pace: is told how long live admissions take (I4)."""
        self._intake = intake
        self._bulk, self._batches = bulk, batches
        self._pace = pace
        self._peers = peers
        self._pressure = pressure
        self._status = status
        self._jwks = jwks
        self._expired = expired
        self._ask = ask
        self._meter = meter
        self._limit = intake.message_bytes
        self._body_timeout_s = body_timeout_s
        self._witness = witness
        self._openapi = importlib.resources.files("gateway.intake").joinpath("documents", "openapi.yaml").read_bytes()

    async def post_message(self, request: web.Request) -> web.StreamResponse:
        """``POST /v1/messages``."""
        began = time.perf_counter()
        system = "unknown"
        try:
            system, supplier = self._sender(request)
            answer, *results = await self._take(request, system, supplier)
        except GatewayError as e:
            answer, results = self._problem(request, self._noted(request, system, e)), [e.code]
        except Exception as e:  # the edge: nobody above may turn this into a page or a log line with content in it
            answer, results = self._failure(request, system, e), ["internal"]
        for result in results:
            self._meter.intake(system, "https", result, time.perf_counter() - began)
        return answer

    async def _take(self, request: web.Request, system: str, supplier: str | None) -> tuple[web.StreamResponse, *tuple[str, ...]]:
        """The answer to what ``system`` hands in, and of each message of it in a word what became of it."""
        if (closed := self._pressure.closed) is not None:
            return self._problem(request, closed), closed.code
        kind = self._content_kind(request)
        structured = kind is not None
        length = request.content_length
        if length is not None and length > self._body_limit(structured):
            raise too_large(self._limit)
        attributes = None if structured else _attributes(request)
        data = await self._read(request, self._body_limit(structured))
        if kind == BATCH_CONTENT_TYPE and self._batches is not None:
            said, words = await self._batches(data, system=system, supplier=supplier)
            return web.Response(body=said, headers=_RECEIPT_HEADERS), *words
        if attributes is None:
            attributes, data = _structured(data)
        if isinstance(attributes, InputRefused):
            await self._intake.keep([Refused(system=system, door="https", error=attributes, body=data)])
            return self._problem(request, attributes), attributes.code
        submission = Submission(system=system, door="https", attributes=attributes, data=data, supplier=supplier)
        answer = await self._admitted(submission)
        if answer.refusal is not None:
            # what the ledger refuses is in conflict with what it holds; what the checks refuse has a status of its own or is invalid
            return self._problem(request, answer.refusal, default=409 if answer.by_ledger else 422), answer.refusal.code
        return web.Response(body=answer.receipt, status=202, headers=_RECEIPT_HEADERS), result_of(answer.duplicate)

    async def _admitted(self, submission: Submission) -> Answer:
        if self._bulk is not None and self._intake.is_bulk(submission):
            return await self._bulk.admit(submission)
        with self._pace.live_work(BELL_S) if self._pace is not None else contextlib.nullcontext():
            return await self._intake.admit_one(submission)

    async def post_dialogue(self, request: web.Request) -> web.StreamResponse:
        """``POST /v1/dialogues``: a question, while somebody waits; its answer comes back on the same request, and neither is kept."""
        began = time.perf_counter()
        system = "unknown"
        try:
            system = self._system(request)
            with self._pace.under_way() if self._pace is not None else contextlib.nullcontext():
                answer, result = await self._asked(request, system), "answered"
        except GatewayError as e:
            answer, result = self._problem(request, self._noted(request, system, e)), e.code
        except Exception as e:  # see post_message
            answer, result = self._failure(request, system, e), "internal"
        self._meter.intake(system, DIALOGUES, result, time.perf_counter() - began)
        return answer

    async def _asked(self, request: web.Request, system: str) -> web.StreamResponse:
        if self._ask is None:
            raise InputRefused("unknown-path", "there is nothing at this path", rule="GET /v1/openapi.yaml")
        if self._content_kind(request) is not None:
            raise InputRefused("wrong-content-type", "a question is sent in the binary mode", place="Content-Type", rule="application/xml")
        attributes = from_http(request.raw_headers)
        answer = await self._ask(system, "https", attributes, await self._read(request, self._limit))
        headers = {
            "Content-Type": "application/xml; charset=utf-8", "Cache-Control": "no-store", "ce-specversion": "1.0",
            "ce-id": answer.dialogue_id, "ce-source": "/integration-gateway", "ce-type": answer.type,
        }  # fmt: skip
        return web.Response(body=answer.content, headers=headers)

    async def get_message(self, request: web.Request) -> web.StreamResponse:
        """``GET /v1/messages/{id}``: the caller's own messages; another system's are as unknown as one that never was."""
        system = "unknown"
        try:
            system = self._system(request)
            found = await self._status(system, request.match_info["id"])
            if found is None:
                raise InputRefused(
                    "unknown-message", "this system has handed in no message of that id", place="path", rule="own messages only"
                )
            return _json(found, {"Cache-Control": "no-store"})
        except GatewayError as e:
            return self._problem(request, e)
        except Exception as e:  # see post_message
            return self._failure(request, system, e)

    async def get_expired(self, request: web.Request) -> web.StreamResponse:
        """``GET /v1/expired``: the caller's own messages that were not delivered in time and are not sent any more (C-3-7-4)."""
        system = "unknown"
        try:
            system = self._system(request)
            limit = request.query.get("limit", "100")
            if not (limit.isascii() and limit.isdigit() and 1 <= int(limit) <= MOST_EXPIRED):
                raise InputRefused("query-malformed", f"limit is a number from 1 to {MOST_EXPIRED}", place="limit")
            if self._expired is None:
                raise InputRefused("unknown-path", "there is nothing at this path", rule="GET /v1/openapi.yaml")
            return _json(await self._expired(system, request.query.get("after"), int(limit)), {"Cache-Control": "no-store"})
        except GatewayError as e:
            return self._problem(request, e)
        except Exception as e:  # see post_message
            return self._failure(request, system, e)

    async def get_keys(self, request: web.Request) -> web.StreamResponse:
        """``GET /v1/keys``: the public key for messages by AMQP, as a JWK set."""
        try:
            self._system(request)
            return _json(self._jwks(), {"Cache-Control": "max-age=300", "Content-Type": "application/jwk-set+json"})
        except GatewayError as e:
            return self._problem(request, e)

    async def get_openapi(self, request: web.Request) -> web.StreamResponse:
        """``GET /v1/openapi.yaml``: this door's description."""
        try:
            self._system(request)
        except GatewayError as e:
            return self._problem(request, e)
        return web.Response(body=self._openapi, headers={"Content-Type": "application/yaml"})

    async def other_path(self, request: web.Request) -> web.StreamResponse:
        """Everything else; the path is not repeated, it may hold anything."""
        try:
            system = self._system(request)
        except GatewayError as e:
            return self._problem(request, e)
        known = {"/v1/messages": "POST", "/v1/dialogues": "POST", "/v1/expired": "GET", "/v1/keys": "GET", "/v1/openapi.yaml": "GET"}
        allowed = known.get(request.path)
        if allowed is None and request.path.startswith("/v1/messages/") and request.method != "GET":
            allowed = "GET"
        if allowed is None:
            nowhere = InputRefused("unknown-path", "there is nothing at this path", rule="GET /v1/openapi.yaml")
            return self._problem(request, self._noted(request, system, nowhere))
        answer = self._problem(
            request, self._noted(request, system, InputRefused("method-not-allowed", f"only {allowed} is possible here"))
        )
        answer.headers["Allow"] = allowed
        return answer

    def _system(self, request: web.Request) -> str:
        return self._sender(request)[0]

    def _sender(self, request: web.Request) -> tuple[str, str | None]:
        transport = request.transport
        if transport is None:
            raise PeerRefused("connection-lost", "the connection is gone")
        try:
            return self._peers.sender_of(transport.get_extra_info("ssl_object"))
        except PeerRefused as e:
            note_request(self._witness, PLACE, transport, e.code, e.who)
            raise

    def _noted(self, request: web.Request, system: str, error: GatewayError) -> GatewayError:
        """What is refused before there is a message to keep is on record as its sender's doing, by minute."""
        if isinstance(error, InputRefused):
            note_request(self._witness, PLACE, request.transport, error.code, system)
        return error

    def _content_kind(self, request: web.Request) -> str | None:
        """The content type of a form in JSON; None: XML.

        :raises InputRefused: ``wrong-content-type`` or ``content-encoding``.
        """
        headers = request.headers
        if "Content-Encoding" in headers:
            raise InputRefused("content-encoding", "a compressed body is not accepted", place="Content-Encoding", rule="identity")
        media, _, parameters = headers.get("Content-Type", "").partition(";")
        media, parameters = media.strip().lower(), parameters.strip().lower().replace('"', "")
        if parameters and parameters != "charset=utf-8":
            raise InputRefused("wrong-content-type", "the text must be UTF-8", place="Content-Type", rule="charset=utf-8, or none")
        if media in _XML_TYPES:
            return None
        if media == STRUCTURED_CONTENT_TYPE or (media == BATCH_CONTENT_TYPE and self._batches is not None):
            return media
        raise InputRefused("wrong-content-type", "the data must be XML", place="Content-Type", rule="application/xml")

    def _body_limit(self, structured: bool) -> int:
        # base64 and JSON escapes make the structured form longer than the XML in it, which is measured again by itself
        return self._limit * 2 + 4096 if structured else self._limit

    async def _read(self, request: web.Request, limit: int) -> bytes:
        """The whole body.

        :raises InputRefused: ``too-large`` as soon as it is, ``body-timeout``, ``body-incomplete``.
        """
        content = request.content
        try:
            async with asyncio.timeout(self._body_timeout_s):
                first = await content.readany()
                if content.at_eof() and len(first) <= limit:
                    return first
                parts, size = [first], len(first)
                while size <= limit:
                    part = await content.readany()
                    if not part:
                        return b"".join(parts)
                    parts.append(part)
                    size += len(part)
        except TimeoutError as e:
            raise InputRefused("body-timeout", f"the body did not arrive within {self._body_timeout_s:g} s", place="body") from e
        except (OSError, web.RequestPayloadError) as e:
            raise InputRefused("body-incomplete", "the body ended early or is not framed well", place="body") from e
        raise too_large(self._limit)

    def _problem(self, request: web.Request, error: GatewayError, *, default: int = 422) -> web.Response:
        status = status_of(error, default)
        answer = web.Response(body=body_of(error, status), status=status, headers=headers_of(error))
        if isinstance(error, PeerRefused) or not request.content.at_eof():
            # who was refused has nothing more to say here; the rest of a body that nobody reads must not be taken for the next request
            answer.force_close()
        return answer

    def _failure(self, request: web.Request, system: str, error: Exception) -> web.Response:
        log.error("intake-failed", door="https", system=system, error=type(error).__name__)
        return self._problem(request, GatewayError("internal", "the gateway failed; it is not known whether the message was accepted"))


def _attributes(request: web.Request) -> EventAttributes | InputRefused:
    """The attributes, or what is wrong with them: the body is read and kept all the same (I10)."""
    try:
        return from_http(request.raw_headers)
    except InputRefused as e:
        return e


def _structured(body: bytes) -> tuple[EventAttributes | InputRefused, bytes]:
    try:
        return from_json(body)
    except InputRefused as e:
        return e, body


def _json(document: Mapping[str, Any], headers: Mapping[str, str]) -> web.Response:
    body = json.dumps(document, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()
    return web.Response(body=body, headers={"Content-Type": _JSON, **headers})


async def open_door(
    door: HttpsDoor, *, host: str, port: int, tls: ssl.SSLContext, witness: Witness | None = None, authority: Authority | None = None
) -> web.AppRunner:
    """Listen on ``host`` and ``port`` (0: any free one) with a context of :func:`certs.tls.server_context`. ``cleanup()`` of what is
    returned closes the door: it waits for the requests under way.

    Without an access log: its lines would be written on the hot path and say nothing that the metrics do not.
    """
    runner = web.AppRunner(create_app(door), access_log=None, keepalive_timeout=KEEP_ALIVE_S, lingering_time=LINGER_S, shutdown_timeout=10)
    await runner.setup()
    try:
        await TlsSite(runner, host, port, tls=tls, place=PLACE, witness=witness, authority=authority).start()
    except OSError:
        await runner.cleanup()
        raise
    return runner


def create_app(door: HttpsDoor) -> web.Application:
    """The aiohttp application of the door."""
    app = web.Application()
    app.router.add_post("/v1/messages", door.post_message)
    app.router.add_post("/v1/dialogues", door.post_dialogue)
    app.router.add_get("/v1/keys", door.get_keys, allow_head=False)
    app.router.add_get("/v1/expired", door.get_expired, allow_head=False)
    app.router.add_get("/v1/openapi.yaml", door.get_openapi, allow_head=False)
    app.router.add_get("/v1/messages/{id}", door.get_message, allow_head=False)
    app.router.add_route("*", "/{tail:.*}", door.other_path)
    return app


def status_path(source_id: str) -> str:
    """The path of a message's status."""
    return "/v1/messages/" + quote(source_id, safe="")
