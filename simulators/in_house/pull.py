"""A system that fetches: a token for its assertion (``client_secret_jwt``), what waits as JSON, an acknowledgement for each."""

from __future__ import annotations

import secrets
import ssl
import time
from collections.abc import Mapping
from typing import Any

import aiohttp
from joserfc import jwt
from joserfc.jwk import OctKey

from simulators.in_house.books import Books

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class PullClient:
    """One account at the gateway's listener. For one event loop."""

    def __init__(
        self, url: str, context: ssl.SSLContext, *, client_id: str, secret: str, business_id: str, issuer: str, server_name: str = "gateway"
    ) -> None:
        self._url, self._context, self._server_name = url.rstrip("/"), context, server_name
        self.client_id, self.secret, self.business_id, self.issuer = client_id, secret, business_id, issuer
        self.token = ""

    def assertion(self, **claims: Any) -> str:
        """A new one; ``claims`` replace its own (to be wrong on purpose)."""
        now = int(time.time())
        own = {
            "iss": self.client_id, "sub": self.client_id, "aud": f"{self.issuer}/oauth/token", "iat": now, "exp": now + 60,
            "jti": secrets.token_urlsafe(24),
        }  # fmt: skip
        return jwt.encode({"alg": "HS256"}, {**own, **claims}, OctKey.import_key(self.secret), algorithms=["HS256"])

    async def call(
        self, method: str, path: str, *, token: str | None = None, form: Mapping[str, str] | None = None, json: Any = None
    ) -> tuple[int, Any]:
        """Status and JSON of one request."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        connector = aiohttp.TCPConnector(ssl=self._context)
        async with (
            aiohttp.ClientSession(connector=connector, trust_env=False) as session,
            session.request(method, self._url + path, data=form, json=json, headers=headers, server_hostname=self._server_name) as answer,
        ):
            return answer.status, await answer.json()

    async def authorise(self, scope: str = "", **claims: Any) -> tuple[int, Any]:
        """Ask for a token and keep it."""
        form = {
            "grant_type": "client_credentials", "client_assertion_type": ASSERTION_TYPE, "client_assertion": self.assertion(**claims),
            "scope": scope,
        }  # fmt: skip
        status, said = await self.call("POST", "/oauth/token", form=form)
        if status == 200:
            self.token = said["access_token"]
        return status, said

    async def fetch(self, kind: str, limit: int = 100) -> tuple[int, Any]:
        """What waits."""
        return await self.call("GET", f"/v1/{kind}?limit={limit}", token=self.token)

    async def acknowledge(self, kind: str, said: list[dict[str, Any]]) -> tuple[int, Any]:
        """Say what became of it."""
        return await self.call("POST", f"/v1/{kind}/acknowledgements", token=self.token, json=said)

    async def round(self, books: Books, kind: str, limit: int = 100) -> int:
        """Fetch, write down, acknowledge; how many there were. A token that is no longer good is replaced."""
        status, found = await self.fetch(kind, limit)
        if status == 401:
            await self.authorise()
            status, found = await self.fetch(kind, limit)
        if status != 200 or not found["items"]:
            return 0
        said = []
        for each in found["items"]:
            outcome, code = books.take_items(each["delivery"], each["type"], each["data"], each["work"])
            one = {"delivery": each["delivery"], "correlation": each["correlation"], "status": outcome}
            said.append(one | ({"code": code} if code else {}))
        await self.acknowledge(kind, said)
        return len(said)
