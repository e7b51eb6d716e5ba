"""The listener at which one party calls us: HTTPS with mutual TLS, SOAP in, a signed receipt for every record out.

    peer of the connection ──▶ size ──▶ signature, time, replay ──▶ operation, schema ──▶ each record: checks, policy, sealed
    ──▶ inbox (unique on party and delivery id), deliveries to our system, audit: one commit ──▶ signed receipts

Theory of operation. Who calls is asked on every request; then whether the message is that party's, whole, fresh and here for the first
time; only then is anything in it looked at, and nothing but what was signed. A call is refused as a whole (a SOAP fault with a code of the
profile) or answered record by record. *accepted* is said after the commit (I1); the same record again gets its first answer again, marked
as duplicate. A refused record is kept sealed for the operator before the party is told (I10). A fault *busy* means: nothing was taken, come
again. Everything is bounded: size, time of a body, handshakes.

A call that is repeated as the same bytes is a replay. A party that has no answer makes a new message (new ``wsa:MessageID``) with the same
delivery ids.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import structlog
from aiohttp import web

from certs.errors import PeerMismatch
from certs.path import Purpose
from certs.peer import Authority, require_peer
from gateway.errors import GatewayError, InputRefused, LedgerUnavailable, Unavailable
from gateway.inbound.prepare import DOOR
from gateway.inbound.soap import CONTENT_TYPE, Call, CallRefused, Reader, Record, Result, Whose, Writer, own_address
from gateway.intake.admit import Answer, Intake, Ready, Refused
from gateway.intake.cloudevents import of_party
from gateway.intake.measures import UNCOUNTED, IntakeMeter, result_of
from gateway.intake.submission import Submission
from gateway.ledger.operating import RUNNING
from gateway.pacing import BELL_S, BulkPace
from gateway.security.door import TlsSite
from gateway.security.refusals import Witness, note_request
from gateway.security.soap.errors import MessageRefused
from gateway.security.soap.messages import LARGE_BYTES, MessageSecurity
from gateway.security.soap.verifier import VerifiedMessage
from gateway.security.token import TokenUnavailable
from message_formats import profiles, reading
from message_formats.profiles import Profile

log = structlog.get_logger("gateway.inbound")

BODY_TIMEOUT_S: Final = 30.0
KEEP_ALIVE_S: Final = 75.0


class Pressure(Protocol):
    """What is needed of :class:`gateway.intake.pressure.Pressure`."""

    @property
    def closed(self) -> Unavailable | None: ...


Responder = Callable[[str, Call], Awaitable[bytes]]
"""Answers a dialogue: the party and its call in, the content of the answer out."""


class InboundDoor:
    """The handlers of one party's listener. For one event loop."""

    def __init__(
        self,
        *,
        party: str,
        peer: str,
        authority: Authority,
        security: MessageSecurity,
        intake: Intake,
        pressure: Pressure,
        profile: Profile,
        pins: frozenset[str] = frozenset(),
        address: str | None = None,
        body_bytes: int = 4 << 20,
        respond: Responder | None = None,
        meter: IntakeMeter = UNCOUNTED,
        witness: Witness | None = None,
        pace: BulkPace | None = None,
    ) -> None:
        """``respond``: by whom dialogues are answered; None: there are none here. ``pace``: of bulk work in this process, which leaves
        room for whoever calls here."""
        self.party = party
        self.place = f"inbound {party}"
        self.path = f"/soap/{profile.profile}"
        self._peer, self._authority, self._pins = peer, authority, pins
        self._security, self._intake, self._pressure = security, intake, pressure
        self._reader = Reader(profile, address or own_address(profile))
        self._writer = Writer(profile, security.answer)
        self._limits = reading.Limits(size_bytes=body_bytes)
        self._respond = respond
        self._meter, self._witness, self._pace = meter, witness, pace

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One request."""
        began, result = time.perf_counter(), "internal"
        try:
            try:
                answer, result = await self._take(request)
            except TokenUnavailable:
                raise
            except Exception as error:  # the edge: nobody above may turn this into a page or a log line with content in it
                log.error("inbound-failed", party=self.party, error=type(error).__name__)
                answer = await self._fault("Server", "internal")
        except TokenUnavailable as error:
            # nothing can be signed, so nothing is said: what was accepted is known by its delivery id when the party sends it again
            log.warning("inbound-waits", party=self.party, code=error.code)
            answer, result = web.Response(status=503), error.code
            answer.force_close()
        self._meter.intake(self.party, DOOR, result, time.perf_counter() - began)
        return answer

    async def _take(self, request: web.Request) -> tuple[web.Response, str]:
        """The answer, and in a word what became of the call."""
        transport = request.transport
        try:
            tls = transport.get_extra_info("ssl_object") if transport is not None else None
            require_peer(tls, self._peer, self._authority, Purpose.CLIENT, pins=self._pins)
        except PeerMismatch as error:
            note_request(self._witness, self.place, transport, error.code)
            answer = web.Response(status=403, text=error.code)
            answer.force_close()
            return answer, error.code
        if request.path != self.path:
            return web.Response(status=404, text="unknown-path"), "unknown-path"
        if request.method != "POST":
            return web.Response(status=405, text="method-not-allowed", headers={"Allow": "POST"}), "method-not-allowed"
        if (closed := self._pressure.closed) is not None:
            return await self._fault("Server", "busy"), closed.code
        try:
            body = await self._read(request)
        except CallRefused as error:
            return await self._refuse(error, "", b""), error.code
        with self._pace.under_way(BELL_S) if self._pace is not None else contextlib.nullcontext():
            return await self._called(request, body)

    async def _called(self, request: web.Request, body: bytes) -> tuple[web.Response, str]:
        relates_to = ""
        try:
            body = await self._security.open(body, limits=self._limits)
            began = time.monotonic()
            message = await self._security.verify(body, limits=self._limits)
            if self._pace is not None:
                self._pace.live(time.monotonic() - began)  # with a commit of the ledger in it, as an admission
            relates_to = message.message_id
            call = await self._parsed(message, request.headers.get("SOAPAction", ""), len(body))
            if call.operation.answer is not None:
                return await self._dialogue(call)
            answers = await self._admit(call)
        except MessageRefused as error:
            # not proven to be the party's: counted and put on record with who was connected, but nothing of it is kept
            note_request(self._witness, self.place, request.transport, error.code, self.party)
            return await self._fault("Client", error.code), error.code
        except CallRefused as error:
            return await self._refuse(error, relates_to, body), error.code
        except Unavailable as error:
            log.warning("inbound-waits", party=self.party, code=error.code)
            return await self._fault("Server", "busy", relates_to), error.code
        results = [_result(record, answer) for record, answer in zip(call.records, answers, strict=True)]
        first = answers[0]
        word = first.refusal.code if first.refusal is not None else result_of(first.duplicate)
        return self._soap(200, await self._security.made(lambda: self._writer.receipts(call, results))), word

    async def _read(self, request: web.Request) -> bytes:
        """The whole body.

        :raises CallRefused: it is no SOAP by its type, too long, or does not come.
        """
        media = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if media != "text/xml" or "Content-Encoding" in request.headers:
            raise CallRefused("wrong-content-type", "a call is text/xml, not compressed", place="Content-Type", rule="SOAP 1.1")
        limit, parts, size = self._limits.size_bytes, [], 0
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                async for part in request.content.iter_any():
                    size += len(part)
                    if size > limit:
                        raise CallRefused("too-large", f"the call is longer than {limit} bytes", place="body", rule="inbound.body_bytes")
                    parts.append(part)
        except (TimeoutError, OSError, web.RequestPayloadError) as error:
            raise CallRefused("body-incomplete", "the body did not come to its end in time", place="body") from error
        return b"".join(parts)

    async def _parsed(self, message: VerifiedMessage, soap_action: str, size: int) -> Call:
        if size > LARGE_BYTES:
            return await asyncio.to_thread(self._reader.read, message, soap_action)
        return self._reader.read(message, soap_action)

    async def _admit(self, call: Call) -> list[Answer]:
        """Every record by itself, what passes in one commit.

        :raises Unavailable: nothing was taken, or nobody knows: the same records may be handed in again.
        """
        items: list[Ready | Refused] = []
        for place, record in enumerate(call.records):
            if place and place % 10 == 0:
                await asyncio.sleep(0)
            items.append(await self._check(call, record))
        answers = await self._intake.commit(items)
        for item, answer in zip(items, answers, strict=True):
            if isinstance(item, Ready) and not answer.duplicate and item.prepared.status not in (None, RUNNING):
                log.warning("link-anomaly", party=self.party, status=item.prepared.status)
        return answers

    async def _check(self, call: Call, record: Record) -> Ready | Refused:
        try:
            attributes = of_party(id=record.delivery_id, party=self.party, type=call.operation.type, municipality=record.municipality)
        except InputRefused as error:
            # an id that may not be kept: what is refused stays without one
            return Refused(system=self.party, door=DOOR, error=error, type=call.operation.type, body=record.content)
        return await self._intake.check(Submission(system=self.party, door=DOOR, attributes=attributes, data=record.content))

    async def _dialogue(self, call: Call) -> tuple[web.Response, str]:
        if self._respond is None:
            raise CallRefused("operation-not-offered", "nobody here answers this", place="wsa:Action", rule="profile")
        try:
            content = await self._respond(self.party, call)
        except LedgerUnavailable:
            raise
        except GatewayError as error:
            # on record already; nothing of a dialogue is kept
            whose: Whose = "Server" if isinstance(error, Unavailable) else "Client"
            return await self._fault(whose, error.code, call.message_id), error.code
        return self._soap(200, await self._security.made(lambda: self._writer.answer(call, content))), "answered"

    async def _refuse(self, error: CallRefused, relates_to: str, body: bytes) -> web.Response:
        """The party made the call (or could not bring it to its end): what of it is proven to be the party's is kept."""
        if relates_to:
            refused = Refused(system=self.party, door=DOOR, error=error, body=body)
            try:
                await self._intake.keep([refused])
            except Unavailable as unavailable:
                log.warning("inbound-waits", party=self.party, code=unavailable.code)
                return await self._fault("Server", "busy", relates_to)
        return await self._fault("Client", error.code, relates_to)

    async def _fault(self, whose: Whose, code: str, relates_to: str = "") -> web.Response:
        answer = self._soap(500, await self._security.made(lambda: self._writer.fault(whose, code, relates_to)))
        if not relates_to:
            answer.force_close()  # what is left of a body that nobody read must not be taken for the next request
        return answer

    def _soap(self, status: int, body: bytes) -> web.Response:
        return web.Response(status=status, body=body, headers={"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store"})


def _result(record: Record, answer: Answer) -> Result:
    code = answer.refusal.code if answer.refusal is not None else None
    return Result(delivery_id=record.delivery_id, duplicate=answer.duplicate, code=code)


def profile_of(party: str) -> Profile | None:
    """The profile that a party speaks; None: it speaks no SOAP."""
    return next((found for name in profiles.names() if (found := profiles.get(name)).party == party), None)


async def open_inbound(
    door: InboundDoor, *, host: str, port: int, tls: ssl.SSLContext, authority: Authority, witness: Witness | None
) -> web.AppRunner:
    """Listen. ``cleanup()`` of what is returned closes the listener and waits for the calls under way.

    :raises OSError: the address or port is not to be had.
    """
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", door.handle)
    runner = web.AppRunner(app, access_log=None, keepalive_timeout=KEEP_ALIVE_S, lingering_time=2.0, shutdown_timeout=10)
    await runner.setup()
    try:
        await TlsSite(runner, host, port, tls=tls, place=door.place, witness=witness, authority=authority).start()
    except OSError:
        await runner.cleanup()
        raise
    return runner
