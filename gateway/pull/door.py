"""The listener at which systems of the city fetch what is for them: mutual TLS on every request, then a token, then its scope.

=======  =============================================  ==========================================================================
POST     ``/oauth/token``                               client credentials with ``client_secret_jwt`` (RFC 6749 4.4, RFC 7523)
POST     ``/oauth/introspect``                          RFC 7662; a client asks about its own tokens only
GET      ``/.well-known/oauth-authorization-server``    RFC 8414
GET      ``/v1/{message type}?limit=100``               what waits, oldest first; scope ``業務ID:{message type}:read``
POST     ``/v1/{message type}/acknowledgements``        up to 1,000; scope ``業務ID:{message type}:acknowledge``
=======  =============================================  ==========================================================================

Fetching ends nothing: the same is there again until it is acknowledged (R18), and the delivery id is the same.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog
from aiohttp import web

from certs.errors import PeerMismatch
from certs.path import Purpose
from certs.peer import Authority, require_peer
from gateway.errors import Unavailable
from gateway.inbound.acknowledgements import read as read_acknowledgement
from gateway.pull.shop import Shop
from gateway.pull.tokens import ALGORITHM, Client, ClientRefused, Token, Tokens, scope
from gateway.security.door import TlsSite
from gateway.security.refusals import Witness, note_request

log = structlog.get_logger("gateway.pull")

PLACE: Final = "pull"
BODY_BYTES: Final = 1 << 20
MOST: Final = 1000
USUAL: Final = 100
_PRIVATE: Final = {"Cache-Control": "no-store", "Pragma": "no-cache"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Who may show an account's certificate."""

    name: str
    pins: frozenset[str]


class _Refused(Exception):
    """``code`` goes to the client."""

    def __init__(self, status: int, code: str, **headers: str) -> None:
        self.status, self.code, self.headers = status, code, headers
        super().__init__(code)


class PullDoor:
    """The handlers. For one event loop."""

    def __init__(
        self, *, issuer: str, tokens: Tokens, shop: Shop, peers: Mapping[str, Peer], authority: Authority, witness: Witness | None = None
    ) -> None:
        """``peers``: by account."""
        self._issuer, self._tokens, self._shop = issuer, tokens, shop
        self._peers, self._authority, self._witness = peers, authority, witness

    def app(self) -> web.Application:
        """The routes."""
        app = web.Application(client_max_size=BODY_BYTES, middlewares=[self._edge])
        app.router.add_get("/.well-known/oauth-authorization-server", self._metadata)
        app.router.add_post("/oauth/token", self._token)
        app.router.add_post("/oauth/introspect", self._introspect)
        app.router.add_get("/v1/{type}", self._fetch)
        app.router.add_post("/v1/{type}/acknowledgements", self._acknowledge)
        return app

    @web.middleware
    async def _edge(self, request: web.Request, handler: Any) -> web.StreamResponse:
        try:
            answer: web.StreamResponse = await handler(request)
        except ClientRefused as error:
            note_request(self._witness, PLACE, request.transport, error.code)
            status = 401 if error.error == "invalid_client" else 400
            return web.json_response({"error": error.error}, status=status, headers=_PRIVATE)
        except _Refused as error:
            if error.status in (401, 403):
                note_request(self._witness, PLACE, request.transport, error.code)
            return web.json_response({"code": error.code}, status=error.status, headers={**_PRIVATE, **error.headers})
        except web.HTTPException as error:
            return web.json_response({"code": "no-such-resource"}, status=error.status, headers=_PRIVATE)
        except Unavailable as error:
            log.warning("pull-waits", code=error.code)
            return web.json_response({"code": error.code}, status=503, headers={**_PRIVATE, "Retry-After": "1"})
        except Exception as error:  # the edge: nobody above may turn this into a page or a log line with content in it
            log.error("pull-failed", error=type(error).__name__)
            return web.json_response({"code": "internal"}, status=500, headers=_PRIVATE)
        return answer

    # ---- who it is

    def _require_peer(self, request: web.Request, account: str) -> None:
        peer = self._peers[account]
        transport = request.transport
        tls = transport.get_extra_info("ssl_object") if transport is not None else None
        try:
            require_peer(tls, peer.name, self._authority, Purpose.CLIENT, pins=peer.pins)
        except PeerMismatch as error:
            raise ClientRefused("invalid_client", error.code) from error

    async def _client(self, request: web.Request) -> tuple[Client, Mapping[str, str]]:
        if request.content_type != "application/x-www-form-urlencoded":
            raise ClientRefused("invalid_request", "wrong-content-type")
        try:
            form = {name: value for name, value in (await request.post()).items() if isinstance(value, str)}
        except (ValueError, web.HTTPException) as error:
            raise ClientRefused("invalid_request", "malformed") from error
        named = self._tokens.named(form.get("client_assertion", ""))
        if named is None:
            raise ClientRefused("invalid_client", "client-unknown")
        self._require_peer(request, named.account)
        return await self._tokens.authenticate(form), form

    def _bearer(self, request: web.Request, operation: str) -> tuple[Token, str]:
        kind, _, text = request.headers.get("Authorization", "").partition(" ")
        token = self._tokens.introspect(text) if kind.lower() == "bearer" else None
        if token is None:
            raise _Refused(401, "token-invalid", **{"WWW-Authenticate": 'Bearer error="invalid_token"'})
        self._require_peer(request, token.client.account)
        name = request.match_info["type"]
        if scope(token.client.business_id, name, operation) not in token.scopes:
            raise _Refused(403, "scope-insufficient", **{"WWW-Authenticate": 'Bearer error="insufficient_scope"'})
        return token, name

    # ---- OAuth

    async def _metadata(self, _request: web.Request) -> web.Response:
        return web.json_response(
            {
                "issuer": self._issuer,
                "token_endpoint": f"{self._issuer}/oauth/token",
                "introspection_endpoint": f"{self._issuer}/oauth/introspect",
                "grant_types_supported": ["client_credentials"],
                "token_endpoint_auth_methods_supported": ["client_secret_jwt"],
                "token_endpoint_auth_signing_alg_values_supported": [ALGORITHM],
                "response_types_supported": [],
            }
        )

    async def _token(self, request: web.Request) -> web.Response:
        client, form = await self._client(request)
        if form.get("grant_type") != "client_credentials":
            raise ClientRefused("unsupported_grant_type", "grant-type")
        text, token = self._tokens.issue(client, form.get("scope", ""))
        said = {"access_token": text, "token_type": "Bearer", "expires_in": int(token.until - token.issued_at)}
        return web.json_response({**said, "scope": " ".join(sorted(token.scopes))}, headers=_PRIVATE)

    async def _introspect(self, request: web.Request) -> web.Response:
        client, form = await self._client(request)
        token = self._tokens.introspect(form.get("token", ""))
        if token is None or token.client != client:
            return web.json_response({"active": False}, headers=_PRIVATE)
        said = {
            "active": True, "scope": " ".join(sorted(token.scopes)), "client_id": client.client_id, "token_type": "Bearer",
            "iat": int(token.issued_at), "exp": int(token.until), "iss": self._issuer,
        }  # fmt: skip
        return web.json_response(said, headers=_PRIVATE)

    # ---- resources

    async def _fetch(self, request: web.Request) -> web.Response:
        token, name = self._bearer(request, "read")
        given = request.query.get("limit", str(USUAL))
        if not (given.isascii() and given.isdigit() and 1 <= int(given) <= MOST):
            raise _Refused(400, "limit-invalid")
        items = await self._shop.fetch(token.client.account, name, int(given))
        return web.json_response(
            {"items": items}, headers=_PRIVATE, dumps=lambda value: json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        )

    async def _acknowledge(self, request: web.Request) -> web.Response:
        token, _ = self._bearer(request, "acknowledge")
        account = token.client.account
        said = await _read(request)
        read = [read_acknowledgement(json.dumps(each).encode()) for each in said]
        if not said or not all(read):
            raise _Refused(400, "acknowledgement-malformed")
        names = [each["delivery"] for each in said]
        if not await self._shop.owns(account, names) >= set(names):
            raise _Refused(404, "no-such-delivery")
        for each in read:
            assert each is not None
            correlation, kind, code = each
            await self._shop.ledger.record_reply(account, correlation, kind, code, account)
        return web.json_response({"recorded": len(read)}, headers=_PRIVATE)


async def _read(request: web.Request) -> Sequence[Mapping[str, Any]]:
    try:
        found = json.loads(await request.read())
    except (ValueError, RecursionError) as error:
        raise _Refused(400, "acknowledgement-malformed") from error
    if not isinstance(found, list) or len(found) > MOST or not all(isinstance(each, dict) for each in found):
        raise _Refused(400, "acknowledgement-malformed")
    return found


async def open_pull(
    door: PullDoor, *, host: str, port: int, tls: ssl.SSLContext, authority: Authority, witness: Witness | None
) -> web.AppRunner:
    """Listen. ``cleanup()`` of what is returned closes the listener.

    :raises OSError: the address or port is not to be had.
    """
    runner = web.AppRunner(door.app(), access_log=None, keepalive_timeout=75.0, lingering_time=2.0, shutdown_timeout=10)
    await runner.setup()
    try:
        await TlsSite(runner, host, port, tls=tls, place=PLACE, witness=witness, authority=authority).start()
    except OSError:
        await runner.cleanup()
        raise
    return runner
