"""The operators' API of the gateway, asked with an operator's certificate as the ``renkei`` command does it; and an operator on duty."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Self

import aiohttp

from certs.tls import client_context
from simulators.harness.town import Town


class Admin:
    """A client. A context manager; for one event loop."""

    def __init__(self, town: Town, operator: str = "operator-a") -> None:
        folder = town.certificates
        self._context = client_context(folder / f"{operator}.pem", folder / f"{operator}.key", folder / "ca.pem", folder / "ca.crl")
        self._url = f"https://127.0.0.1:{town.ports.admin}/admin/v1"
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._context),
            timeout=aiohttp.ClientTimeout(total=5),
            headers={"Accept": "application/json"},
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def get(self, path: str) -> Any:
        """The JSON at a path.

        :raises aiohttp.ClientError, TimeoutError: it cannot be asked now.
        """
        async with self._session.get(f"{self._url}/{path}", server_hostname="gateway") as answer:
            answer.raise_for_status()
            return await answer.json()

    async def post(self, path: str, body: Any) -> Any:
        """As :meth:`get`."""
        async with self._session.post(f"{self._url}/{path}", json=body, server_hostname="gateway") as answer:
            answer.raise_for_status()
            return await answer.json()


class OnDuty(Admin):
    """Does what a person has to do after three crashes with the same delivery in hand (R8): looks, and has it sent again."""

    def __init__(self, town: Town) -> None:
        super().__init__(town)
        self.released: set[str] = set()

    async def look(self) -> None:
        """Once. What cannot be asked now waits for the next look."""
        with suppress(aiohttp.ClientError, TimeoutError):
            for held in (await self.get("held"))["items"]:
                if held["hold"] == "crashes":
                    seen = {
                        "seen_state": held["state"],
                        "seen_digest": held["digest"],
                        "reason": "the processes were killed from outside",
                    }
                    await self.post(f"deliveries/{held['delivery_id']}/retry", seen)
                    self.released.add(held["delivery_id"])
