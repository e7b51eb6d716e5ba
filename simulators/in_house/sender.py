"""A system hands in a message by HTTPS: CloudEvents in binary mode over mutual TLS. Without an answer the same message goes again."""

from __future__ import annotations

import asyncio
import json
import ssl
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import aiohttp

PAUSE_S = 0.2


class Sender:
    """One system at the gateway's HTTPS door."""

    def __init__(self, system: str, url: str, context: ssl.SSLContext, *, server_name: str = "gateway", attempts: int = 50) -> None:
        self._system, self._url, self._context = system, url.rstrip("/"), context
        self._server_name, self._attempts = server_name, attempts

    async def send(self, kind: str, content: bytes, *, id: str | None = None, **attributes: str) -> Mapping[str, Any]:
        """The receipt (``status: accepted``) or the problem (``status: refused``, ``code``). ``attributes``: ``work``, ``operator`` …

        :raises TimeoutError: the gateway does not answer.
        """
        given = {
            "specversion": "1.0", "id": id or str(uuid.uuid4()), "source": f"/{self._system}", "type": kind,
            "time": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"), **attributes,
        }  # fmt: skip
        headers = {f"ce-{name}": value for name, value in given.items()} | {"Content-Type": "application/xml"}
        connector = aiohttp.TCPConnector(ssl=self._context)
        async with aiohttp.ClientSession(connector=connector, trust_env=False) as session:
            for _ in range(self._attempts):
                try:
                    async with session.post(
                        f"{self._url}/v1/messages", data=content, headers=headers, server_hostname=self._server_name
                    ) as answer:
                        body = await answer.read()
                except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, TimeoutError):
                    await asyncio.sleep(PAUSE_S)
                    continue
                if answer.status not in (429, 503):
                    found = json.loads(body) if body else {}
                    return {"http": answer.status, "id": given["id"], **found}
                await asyncio.sleep(PAUSE_S)
        raise TimeoutError("the gateway does not answer")
