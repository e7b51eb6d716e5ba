"""The HTTPS door: CloudEvents in binary mode over mutual TLS, kept-alive connections, several messages under way.

Whoever gets no answer sends the same message with the same id again; *try later* (429, 503) is honoured; a refusal is final.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

import aiohttp

from simulators.errors import DoorRefused
from simulators.register.lanes import Lanes
from simulators.register.messages import Outgoing
from simulators.register.record import RegisterRecord

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 2.0
LATER = frozenset({429, 503})
REFUSED = frozenset({400, 403, 404, 405, 409, 411, 413, 415, 422, 431})


class HttpsDoor:
    """Hands messages in by HTTPS, and asks the gateway what became of them."""

    def __init__(
        self,
        *,
        url: str,
        context: ssl.SSLContext,
        lanes: Lanes,
        record: RegisterRecord,
        server_name: str | None = "gateway",
        in_flight: int = 16,
        timeout_s: float = 30.0,
    ) -> None:
        """``server_name``: the DNS name that the gateway's certificate must carry, whatever the address in ``url`` is."""
        self._url = url.rstrip("/")
        self._context = context
        self._lanes = lanes
        self._record = record
        self._server_name = server_name
        self._in_flight = in_flight
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._session: aiohttp.ClientSession | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.counts = {"sent": 0, "resent": 0, "later": 0}
        self.on_failure: Callable[[BaseException], None] = lambda error: None

    async def start(self, *, sending: bool = True) -> None:
        """Open the session; with ``sending``, begin to take messages."""
        connector = aiohttp.TCPConnector(ssl=self._context, limit=self._in_flight + 8, keepalive_timeout=20)
        self._session = aiohttp.ClientSession(
            connector=connector, timeout=self._timeout, skip_auto_headers=("User-Agent", "Accept-Encoding")
        )
        if sending:
            self._tasks = [asyncio.get_running_loop().create_task(self._work()) for _ in range(self._in_flight)]
            for task in self._tasks:
                task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.on_failure(error)

    async def stop(self) -> None:
        """Stop; what is under way is given up (and sent again by whoever goes on from the record)."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def _work(self) -> None:
        while True:
            message = await self._lanes.take("https")
            await self.hand_in(message)
            self._lanes.answered(message)

    async def hand_in(self, message: Outgoing) -> bool:
        """Send one until it has its receipt, both in the record; whether it was accepted. The door must be open."""
        if self._record.answer(message.id) is None:
            self._record.sending(message, "https")
            self._record.receipts([await self._receipt(message)])
        return self._record.answer(message.id) == "accepted"

    async def _receipt(self, message: Outgoing) -> Mapping[str, Any]:
        """Send until there is a receipt."""
        headers = {f"ce-{name}": value for name, value in message.attributes().items()} | {"Content-Type": "application/xml"}
        pause_s = FIRST_PAUSE_S
        while True:
            self.counts["sent"] += 1
            try:
                status, retry_after, body = await self._call("POST", "/v1/messages", headers, message.content)
            except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, TimeoutError) as error:
                _stop_if_hopeless(error)
                status, retry_after, body = 0, None, b""
            if status == 202:
                return {"accepted_at": "", **json.loads(body), "id": message.id}
            if status in REFUSED:
                return _refusal(message.id, status, body)
            if status in LATER:
                self.counts["later"] += 1
            await asyncio.sleep(retry_after if retry_after is not None else pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
            self.counts["resent"] += 1

    async def _call(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> tuple[int, float | None, bytes]:
        if self._session is None:
            raise DoorRefused("door-closed", "the door was not opened")
        async with self._session.request(
            method, self._url + path, data=body, headers=headers, server_hostname=self._server_name
        ) as response:
            answer = await response.read()
            after = response.headers.get("Retry-After", "")
            return response.status, float(after) if after.isdigit() else None, answer

    async def keys(self) -> Any:
        """The gateway's keys; asks until it answers."""
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                status, retry_after, body = await self._call("GET", "/v1/keys", {}, None)
            except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, TimeoutError) as error:
                _stop_if_hopeless(error)
                status, retry_after, body = 0, None, b""
            if status == 200:
                return json.loads(body)
            if status in REFUSED:
                raise DoorRefused("keys-refused", f"the gateway refuses its keys with HTTP {status}")
            await asyncio.sleep(retry_after if retry_after is not None else pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    async def ask(self, message_id: str) -> Mapping[str, Any] | None:
        """What the gateway says of a message; ``None``: it cannot be asked now. Not known there: state ``not-found``."""
        try:
            status, _, body = await self._call("GET", f"/v1/messages/{quote(message_id, safe='')}", {}, None)
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, TimeoutError) as error:
            _stop_if_hopeless(error)
            return None
        if status == 404:
            return {"state": "not-found"}
        if status != 200:
            return None
        answer: Mapping[str, Any] = json.loads(body)
        return answer


def _stop_if_hopeless(error: BaseException) -> None:
    """A gateway that is not the gateway is no passing trouble.

    :raises DoorRefused: its certificate is wrong.
    """
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        raise DoorRefused("gateway-certificate", "the gateway's certificate is not the one expected") from error


def _refusal(message_id: str, status: int, body: bytes) -> Mapping[str, Any]:
    try:
        problem = json.loads(body)
    except ValueError:
        problem = {}
    if not isinstance(problem, dict):
        problem = {}
    return {"id": message_id, "status": "refused", "code": problem.get("code") or f"http-{status}", "rule": problem.get("rule")}
