"""The host's HTTP client for one party: mutual TLS, the peer checked on every request, and one question answered exactly.

The question is: *did the party possibly get the request?* Everything that fails before the connection is handed to the request is
:class:`~gateway.contract.CallNotSent`; from that moment on every failure is :class:`~gateway.contract.CallUnanswered`, whether or not the
bytes really left. There is one exception. In TLS 1.3 a client's handshake ends before the server has judged its certificate, so that a
refusal arrives as an alert after the request was written. An alert that can only stem from the handshake, as the first thing on a fresh
connection, proves that no application data was read (RFC 8446 section 4.4.2.4 and 6.2): not sent (R10). Any other alert, and a bare end
of stream, proves nothing: unanswered.

aiohttp repeats a request silently when a kept connection dies, but only for idempotent methods; we only POST. Redirects, cookies,
proxies and settings from the environment, and compression are off. An answer that arrives on an idle connection poisons it: it would be
taken for the answer to the next request, so such a connection is closed instead of used.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import errno
import functools
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import tenacity
from aiohttp.client_proto import ResponseHandler
from yarl import URL

from certs.errors import CertificateError, PeerMismatch
from certs.path import Purpose
from certs.peer import Authority, TlsObject, require_peer, shown_fingerprint, why_refused
from certs.tls import FollowingContext, client_context
from gateway.contract import CallNotSent, CallUnanswered, HttpAnswer
from gateway.delivery.causes import alert, causes, code_after, code_before, tls_cause
from gateway.errors import ConfigurationError
from gateway.security.outgoing import LOOPBACK_ONLY, NotOnTheList, OutgoingList
from gateway.security.refusals import Witness, address_of

if TYPE_CHECKING:
    from aiohttp.client_reqrep import ClientRequest
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

LONGEST_CALL_S = 120.0
"""R5: a call ends within this time, whatever is configured."""
ATTEMPTS = 3
"""In-call attempts for what fails before the first byte (R10)."""
_AFTER_HANDSHAKE_S = 0.3
_TURNS = 5
"""Turns of the event loop within which a connection that has ended says why."""

_RETRIED = frozenset({"connection-refused", "name-not-resolved", "connect-timeout", "handshake-cut", "unreachable"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a party is and what is allowed with it. Times in seconds."""

    url: str
    """``https://host:port`` with an optional path prefix."""
    peer: str
    """The exact name in the party's certificate: a DNS name or URI of its alternative names, or ``CN=…``."""
    connect_s: float = 5.0
    """For one attempt to connect, with the TLS handshake."""
    call_s: float = 30.0
    """For the whole call with all in-call attempts; at most 120 (R5)."""
    keep_alive_s: float = 4.0
    """How long an idle connection is kept: less than the party keeps it (Apache's default is 5), or requests race its end."""
    connections: int = 16
    answer_bytes: int = 4 * 1024 * 1024
    """Longest answer body taken."""
    party: str = ""
    """The party's id, for evidence."""
    pins: frozenset[str] = frozenset()
    """SHA-256 of the certificates or public keys that it may show; empty: any that bears its name."""
    address: str | None = None
    """Source address of connections to it; None: as the routes say."""
    interface: str | None = None
    """Network interface that they must leave by."""


class _Protocol(ResponseHandler):
    """Remembers what ended the connection.

    When an alert comes in before the request is written, aiohttp reports that it could not write, and the alert is lost to its caller.
    """

    used = False
    generation = 0
    """Of the files that it was made with (:meth:`certs.tls.FollowingContext.generation`)."""
    lost_by: BaseException | None = None

    def connection_lost(self, exc: BaseException | None) -> None:
        self.lost_by = exc
        super().connection_lost(exc)


@dataclass(slots=True)
class _Call:
    """What has become of one call; lives in the context of its task."""

    handed_over: bool = False
    """The request has a connection: from here on its bytes may have left."""
    fresh: bool = False
    """That connection carried no request before."""
    protocol: _Protocol | None = None


_NoteRefused = Callable[[str, str | None, str | None], None]
"""Code, fingerprint, address."""
_current: contextvars.ContextVar[_Call] = contextvars.ContextVar("renkei_call")


class _PartyConnector(aiohttp.TCPConnector):
    """Gives out connections to the one right peer only, and notes when it does."""

    def __init__(
        self, endpoint: Endpoint, context: ssl.SSLContext, authority: Authority, outgoing: OutgoingList, refused: _NoteRefused
    ) -> None:
        host = URL(endpoint.url).host or ""
        departure = outgoing.departure(host, address=endpoint.address, interface=endpoint.interface)
        super().__init__(ssl=context, limit=endpoint.connections, keepalive_timeout=endpoint.keep_alive_s, socket_factory=departure)
        self._endpoint, self._context, self._authority, self._refused = endpoint, context, authority, refused
        self._factory = functools.partial(_Protocol, loop=asyncio.get_running_loop())  # type: ignore[assignment]  # a subclass will do

    async def connect(self, req: ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout) -> Connection:
        while True:
            connection = await super().connect(req, traces, timeout)
            protocol, transport = connection.protocol, connection.transport
            if not isinstance(protocol, _Protocol):
                connection.close()
                raise TypeError("this aiohttp does not use the protocol it was given: the transport must be adapted to it")
            fresh = not protocol.used
            generation = self._context.generation() if isinstance(self._context, FollowingContext) else 0
            if fresh:
                protocol.generation = generation
            # our certificate, or whom we trust, has changed: a connection from before would soon be refused in the midst of a call
            if transport is None or (not fresh and (protocol.should_close or protocol.generation != generation)):
                connection.close()
                if fresh:
                    raise aiohttp.ServerDisconnectedError  # ended right after the handshake, with nothing sent
                continue
            try:
                tls: TlsObject | None = transport.get_extra_info("ssl_object")
                require_peer(tls, self._endpoint.peer, self._authority, pins=self._endpoint.pins)
            except CertificateError as error:
                if fresh:
                    self._refused(error.code, shown_fingerprint(tls), address_of(transport))
                connection.close()
                if fresh:
                    raise
                continue  # the party may have a new certificate by now: a fresh connection decides
            protocol.used = True
            call = _current.get()
            call.handed_over, call.fresh, call.protocol = True, fresh, protocol
            return connection


class PartyHttp:
    """The :class:`~gateway.contract.HttpCaller` of one party. For one event loop."""

    def __init__(
        self,
        endpoint: Endpoint,
        context: ssl.SSLContext,
        authority: Authority,
        *,
        outgoing: OutgoingList = LOOPBACK_ONLY,
        witness: Witness | None = None,
    ) -> None:
        url = URL(endpoint.url)
        if url.scheme != "https" or not url.host or url.query_string or url.user is not None:
            raise ConfigurationError("party-url", "the url of a party must be https://host:port with an optional path and nothing else")
        if not 0 < endpoint.call_s <= LONGEST_CALL_S:
            raise ConfigurationError("party-call-time", f"call_s must be above 0 and at most {LONGEST_CALL_S:.0f} seconds (R5)")
        self.endpoint = endpoint
        self._base = url
        self._urls: dict[str, URL] = {}
        self._context, self._authority = context, authority
        self._outgoing, self._witness = outgoing, witness
        self._server_hostname = endpoint.peer if _is_dns_name(endpoint.peer) else url.host
        self._session: aiohttp.ClientSession | None = None

    @classmethod
    def from_files(
        cls,
        endpoint: Endpoint,
        *,
        certificate: Path,
        key: Path,
        ca: Path,
        crl: Path | None = None,
        outgoing: OutgoingList = LOOPBACK_ONLY,
    ) -> PartyHttp:
        """With our certificate and key, and the authority (and revocation list) that the party's certificate must come from.

        :raises ConfigurationError: a file or the endpoint cannot be used.
        """
        try:
            context = client_context(certificate, key, ca, crl)
            # the name is checked by the handshake where it is a DNS name, and exactly by require_peer always
            context.check_hostname = _is_dns_name(endpoint.peer)
            return cls(endpoint, context, Authority(ca, crl), outgoing=outgoing)
        except CertificateError as error:
            raise ConfigurationError(error.code, error.safe_detail) from error

    async def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> HttpAnswer:
        """Send one request; see :meth:`gateway.contract.HttpCaller.post`.

        :raises CallNotSent: the party did nothing.
        :raises CallUnanswered: the outcome is unknown.
        """
        call = _Call()
        token = _current.set(call)
        try:
            async with asyncio.timeout(self.endpoint.call_s):
                try:
                    return await self._once(call, path, body, headers)
                except CallNotSent as error:
                    if error.code not in _RETRIED:
                        raise
                    first = error
                # tenacity costs more than the rest of this method, so it comes in only when the first attempt has failed
                async for attempt in _again():
                    with attempt:
                        if attempt.retry_state.attempt_number == 1:
                            raise first
                        return await self._once(call, path, body, headers)
                raise first
        except TimeoutError as error:
            raise (CallUnanswered if call.handed_over else CallNotSent)("deadline") from error
        finally:
            _current.reset(token)

    async def probe(self) -> None:
        """Connect, shake hands and check the peer, without a request.

        :raises CallNotSent: it cannot be reached or is not the right peer, or it refused our certificate.
        """
        try:
            async with asyncio.timeout(self.endpoint.connect_s):
                reader, writer = await self._connect()
        except (OSError, TimeoutError) as error:
            raise CallNotSent(self._before(error)) from error
        tls: TlsObject | None = writer.get_extra_info("ssl_object")
        try:
            require_peer(tls, self.endpoint.peer, self._authority, pins=self.endpoint.pins)
            # a TLS 1.3 server judges our certificate after our handshake has ended
            async with asyncio.timeout(_AFTER_HANDSHAKE_S):
                if not await reader.read(1):
                    raise CallNotSent("handshake-cut")
        except TimeoutError:
            return
        except PeerMismatch as error:
            self._refused(error.code, shown_fingerprint(tls), address_of(writer.transport))
            raise CallNotSent(error.code) from error
        except OSError as error:
            raise CallNotSent(alert(error) or "handshake-cut") from error
        finally:
            writer.close()
            with contextlib.suppress(OSError):  # nothing depends on how the probe's connection ends
                await writer.wait_closed()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection with its handshake done, to the first address of the party that takes one."""
        loop = asyncio.get_running_loop()
        host, port = self._base.host or "", self._base.port or 443
        departure = self._outgoing.departure(host, address=self.endpoint.address, interface=self.endpoint.interface)
        failed: OSError = OSError(errno.EHOSTUNREACH, "no address")
        for found in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            try:
                sock = departure(found)
            except OSError as error:
                failed = error
                continue
            try:
                await loop.sock_connect(sock, found[4])
            except OSError as error:
                sock.close()
                failed = error
                continue
            except BaseException:
                sock.close()
                raise
            return await asyncio.open_connection(sock=sock, ssl=self._context, server_hostname=self._server_hostname)
        raise failed

    async def close(self) -> None:
        """Close the kept connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _once(self, call: _Call, path: str, body: bytes, headers: Mapping[str, str]) -> HttpAnswer:
        if self._session is None:
            self._session = self._open()
        url = self._urls.get(path)
        if url is None:
            url = self._urls[path] = self._base.joinpath(path.lstrip("/"))
        try:
            response = await self._session.post(
                url, data=body, headers=headers, allow_redirects=False, server_hostname=self._server_hostname
            )
            try:
                return await self._read(response)
            except BaseException:
                response.close()
                raise
        except CertificateError as error:
            raise CallNotSent(error.code) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            if not call.handed_over:
                raise CallNotSent(self._before(error)) from error
            if call.fresh and (told := alert(error) or await _late_alert(call.protocol)) is not None:
                self._refused(told)
                raise CallNotSent(told) from error
            raise CallUnanswered(code_after(error)) from error

    async def _read(self, response: aiohttp.ClientResponse) -> HttpAnswer:
        limit = self.endpoint.answer_bytes
        if response.headers.get("Content-Encoding", "identity") != "identity":
            response.close()
            raise CallUnanswered("answer-encoded")
        declared = response.content_length
        if declared is not None and declared <= limit:
            body = await response.read()
        else:
            parts, size = [], 0
            while size <= limit and (part := await response.content.readany()):
                parts.append(part)
                size += len(part)
            if size > limit:
                response.close()
                raise CallUnanswered("answer-too-large")
            body = b"".join(parts)
        response.release()
        return HttpAnswer(status=response.status, content_type=response.content_type, headers=response.headers, body=body)

    def _open(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=_PartyConnector(self.endpoint, self._context, self._authority, self._outgoing, self._refused),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent"),
            # the deadline of the call is ours: aiohttp rounds times above five seconds up to whole ones
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self.endpoint.connect_s, ceil_threshold=float("inf")),
        )

    def _before(self, error: BaseException) -> str:
        """The code of a failure before anything was sent; if it is about who the peer is, it is put on record."""
        tls = tls_cause(error)
        if any(isinstance(cause, NotOnTheList) for cause in causes(error)):
            self._refused("outgoing-not-allowed")
            return "outgoing-not-allowed"
        if tls is None or isinstance(tls, ssl.SSLEOFError):
            return code_before(error)
        refused = why_refused(tls, self._authority, Purpose.SERVER)
        self._refused(refused.code, refused.fingerprint_sha256)
        return refused.code

    def _refused(self, code: str, fingerprint: str | None = None, address: str | None = None) -> None:
        if self._witness is not None:
            place, who = self.endpoint.party or self.endpoint.peer, self.endpoint.peer
            self._witness.note(
                direction="out", place=place, address=address or self._base.host or "", code=code, fingerprint=fingerprint, who=who
            )


def _again() -> tenacity.AsyncRetrying:
    return tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception(lambda error: isinstance(error, CallNotSent) and error.code in _RETRIED),
        wait=tenacity.wait_random_exponential(multiplier=0.1, max=1.0),
        stop=tenacity.stop_after_attempt(ATTEMPTS),
        reraise=True,
    )


def _is_dns_name(peer: str) -> bool:
    return not peer.startswith("CN=") and ":" not in peer


async def _late_alert(protocol: _Protocol | None) -> str | None:
    """The alert that ended the connection, if one did; the end of a connection is told to its protocol a turn of the loop later."""
    if protocol is None:
        return None
    for _ in range(_TURNS):
        if protocol.lost_by is not None:
            return alert(protocol.lost_by)
        await asyncio.sleep(0)
    return None
