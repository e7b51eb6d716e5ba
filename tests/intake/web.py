"""The HTTPS door on a port of its own, and a client with a certificate."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp

from certs.authority import TestAuthority
from certs.peer import Authority
from certs.tls import client_context, server_context
from gateway.intake.https import HttpsDoor, open_door
from gateway.intake.peers import PeerDirectory
from gateway.security.jwe import JweKeys
from tests.intake.kit import REGISTER, House, headers, senders, xml


@dataclass
class Answer:
    status: int
    headers: Any
    body: bytes
    json: Any


@dataclass
class Web:
    url: str
    house: House
    people: TestAuthority
    door: HttpsDoor

    def tls(self, name: str = REGISTER) -> ssl.SSLContext:
        files = self.people.files(name)
        return client_context(files.certificate, files.key, self.people.ca)

    @contextlib.asynccontextmanager
    async def client(self, name: str = REGISTER) -> AsyncIterator[aiohttp.ClientSession]:
        connector = aiohttp.TCPConnector(ssl=self.tls(name))
        async with aiohttp.ClientSession(self.url, connector=connector, skip_auto_headers=("Content-Type",), trust_env=False) as session:
            yield session

    async def send(
        self, method: str = "POST", path: str = "/v1/messages", *, by: str = REGISTER, body: Any = None, head: dict[str, str] | None = None
    ) -> Answer:
        async with self.client(by) as session, session.request(method, path, data=body, headers=head or {}) as response:
            raw = await response.read()
            return Answer(response.status, response.headers, raw, await _json(response))

    async def post(self, body: Any = None, head: dict[str, str] | None = None, *, by: str = REGISTER) -> Answer:
        return await self.send(by=by, body=xml() if body is None else body, head=headers() if head is None else head)


async def _json(response: aiohttp.ClientResponse) -> Any:
    return await response.json(content_type=None) if "json" in response.content_type else None


@contextlib.asynccontextmanager
async def serve(home: House, people: TestAuthority, **changes: Any) -> AsyncIterator[Web]:
    authority = Authority(people.ca, people.crl)
    authority.RECHECK_FILES_S = 0.0
    door = HttpsDoor(
        intake=home.intake,
        peers=PeerDirectory(senders().values(), authority),
        pressure=home.pressure,
        status=home.ledger.status,
        jwks=JweKeys(home.keys).public_jwks,
        **changes,
    )
    files = people.files("gateway")
    runner = await open_door(door, host="127.0.0.1", port=0, tls=server_context(files.certificate, files.key, people.ca))
    try:
        yield Web(f"https://localhost:{runner.addresses[0][1]}", home, people, door)
    finally:
        await runner.cleanup()
