"""A stand-in for the gateway, as far as a register sees it: receipts, refusals, silence. For tests of the register alone."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pika
from aiohttp import web
from joserfc import jwe
from joserfc.jwk import ECKey
from pika.adapters.asyncio_connection import AsyncioConnection

from certs.authority import TestAuthority
from certs.tls import server_context
from simulators.register.messages import read_items

Reaction = Callable[["FakeGateway", dict[str, str], bytes], web.Response | str | None]
"""What to do with a message instead of accepting it: a response, ``"drop"`` (accept, and cut the connection), ``None``: accept."""


class FakeGateway:
    """Accepts messages by HTTPS and, with :meth:`consume`, from RabbitMQ."""

    def __init__(self) -> None:
        self.received: list[str] = []
        self.accepted: dict[str, bytes] = {}
        self.attributes: dict[str, dict[str, str]] = {}
        self.content: dict[str, bytes] = {}
        self.states: dict[str, str] = {}
        self.reactions: list[Reaction] = []
        self.under_way: Counter[str] = Counter()
        self.most_under_way = 0
        self.overlaps = 0
        self.delay_s = 0.0
        self.silent_for: set[str] = set()
        self.not_repeated: set[str] = set()
        """Ids that a refusal does not repeat."""
        self.key = ECKey.generate_key("P-256", {"kid": "k1", "use": "enc"})
        self.keys_asked = 0
        self.ephemeral_keys: set[str] = set()

    def jwks(self) -> dict[str, Any]:
        return {"keys": [{**self.key.as_dict(private=False), "kid": self.key.kid}]}

    def accept(self, attributes: dict[str, str], content: bytes) -> bytes:
        """The receipt; the same for the same message, byte for byte."""
        name = attributes["id"]
        if name not in self.accepted:
            receipt = {
                "accepted_at": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
                "id": name,
                "message": f"m{len(self.accepted)}",
                "receipt": 1,
                "status": "accepted",
            }
            self.accepted[name] = json.dumps(receipt).encode()
            self.attributes[name] = attributes
            self.content[name] = content
        else:
            assert self.content[name] == content, "the same id came with other content"
        return self.accepted[name]

    def order_of(self, resident: str) -> list[str]:
        """The accepted messages of a resident (code), in order."""
        return [name for name, content in self.content.items() if read_items(content)["resident_record_code"] == resident]

    async def post(self, request: web.Request) -> web.StreamResponse:
        attributes = {name[3:].lower(): value for name, value in request.headers.items() if name.lower().startswith("ce-")}
        content = await request.read()
        assert request.content_type == "application/xml"
        self.received.append(attributes["id"])
        resident = read_items(content)["resident_record_code"]
        self.overlaps += self.under_way[resident] > 0
        self.under_way[resident] += 1
        self.most_under_way = max(self.most_under_way, self.under_way.total())
        try:
            await asyncio.sleep(self.delay_s)
            reaction = self.reactions.pop(0) if self.reactions else None
            reacted = reaction(self, attributes, content) if reaction is not None else None
            if isinstance(reacted, web.Response):
                return reacted
            receipt = self.accept(attributes, content)
            if reacted == "drop" and request.transport is not None:
                request.transport.abort()
            return web.Response(status=202, body=receipt, content_type="application/json")
        finally:
            self.under_way[resident] -= 1

    async def get(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["id"]
        if name not in self.accepted:
            return web.json_response({"code": "unknown-message"}, status=404)
        return web.json_response({"id": name, "state": self.states.get(name, "delivered"), "reason": "of the test"})

    async def keys(self, request: web.Request) -> web.StreamResponse:
        self.keys_asked += 1
        return web.json_response(self.jwks())

    @asynccontextmanager
    async def serving(self, authority: TestAuthority, name: str = "gateway") -> AsyncIterator[str]:
        """Serve over mutual TLS; gives the URL."""
        files = authority.files(name)
        context: ssl.SSLContext = server_context(files.certificate, files.key, authority.ca, authority.crl)
        app = web.Application()
        app.router.add_post("/v1/messages", self.post)
        app.router.add_get("/v1/messages/{id}", self.get)
        app.router.add_get("/v1/keys", self.keys)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
            yield f"https://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()

    # AMQP

    def open(self, body: bytes) -> bytes | None:
        """The content of a JWE; ``None``: not for the current key."""
        head = body.split(b".", 1)[0]
        header = json.loads(base64.urlsafe_b64decode(head + b"=" * (-len(head) % 4)))
        assert (header["alg"], header["enc"]) == ("ECDH-ES+A256KW", "A256GCM")
        if header["kid"] != self.key.kid:
            return None
        self.ephemeral_keys.add(json.dumps(header["epk"], sort_keys=True))
        return jwe.decrypt_compact(body, self.key, algorithms=["ECDH-ES+A256KW", "A256GCM"]).plaintext

    @asynccontextmanager
    async def consume(self, parameters: pika.ConnectionParameters, system: str) -> AsyncIterator[None]:
        """Take messages from ``intake.<system>`` and publish receipts, one after the other."""
        opened: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        ended = asyncio.Event()
        connection = AsyncioConnection(
            parameters,
            on_open_callback=lambda connection: connection.channel(on_open_callback=opened.set_result),
            on_open_error_callback=lambda _, error: opened.set_exception(error),
            on_close_callback=lambda *_: ended.set(),
        )
        channel = await opened

        def on_message(channel: Any, method: Any, properties: Any, body: bytes) -> None:
            attributes = {name.split(":", 1)[1]: value for name, value in properties.headers.items() if name.startswith("cloudEvents:")}
            name = attributes["id"]
            self.received.append(name)
            assert properties.content_type == "application/jose"
            content = self.open(body)
            receipt: bytes | None
            if content is None:
                receipt = json.dumps({"receipt": 1, "id": name, "status": "refused", "code": "jwe-key-unknown"}).encode()
            elif name in self.not_repeated:
                told = {"receipt": 1, "id": None, "status": "refused", "code": "personal-data-in-attribute"}
                receipt = json.dumps({**told, "body_sha256": hashlib.sha256(body).hexdigest()}).encode()
            elif name in self.silent_for:
                self.silent_for.discard(name)
                receipt = None
            else:
                receipt = self.accept(attributes, content)
            if receipt is not None:
                channel.basic_publish("receipts", system, receipt, pika.BasicProperties(content_type="application/json", delivery_mode=2))
            channel.basic_ack(method.delivery_tag)

        channel.basic_qos(prefetch_count=100)
        channel.basic_consume(f"intake.{system}", on_message)
        try:
            yield
        finally:
            if connection.is_open:
                connection.close()
                await ended.wait()
