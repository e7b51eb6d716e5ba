"""Batches of ``renkei submit --bulk``: messages that are ready at the same moment go in one request, each with an answer of its own.

Which messages may be under way together, and what an answer means, is :mod:`gateway.cli.submission`'s matter: it never has two messages of
one resident here at a time. Where the door refuses a batch as such, its messages go singly.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.contract import HttpAnswer, HttpCaller

CONTENT_TYPE: Final = "application/cloudevents-batch+json"
MOST: Final = 25
"""Messages of one request: what the gateway commits at once by default (``bulk.records``), and less than half of the default window, so
that one batch is on its way while another is committed."""
MOST_BYTES: Final = 512 * 1024
"""Of XML in one request; a larger message goes alone. Well below the door's limit."""
REQUESTS: Final = 2
LINGER_S: Final = 0.002
"""So long is waited for companions."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    attributes: Mapping[str, str]
    data: bytes
    future: asyncio.Future[HttpAnswer | None]


class Batches:
    """For one event loop."""

    def __init__(self, http: HttpCaller) -> None:
        self._http = http
        self._waiting: list[_Waiting] = []
        self._requests: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def post(self, attributes: Mapping[str, str], data: bytes) -> HttpAnswer | None:
        """The answer to this message; None: it has to go alone.

        :raises CallNotSent: as of the request that it was in. :raises CallUnanswered: likewise.
        """
        if len(data) > MOST_BYTES:
            return None
        future: asyncio.Future[HttpAnswer | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(attributes, data, future))
        self._soon()
        return await future

    def _soon(self) -> None:
        if self._timer is None and self._waiting and len(self._requests) < REQUESTS:
            self._timer = asyncio.get_running_loop().call_later(LINGER_S, self._send)

    def _send(self) -> None:
        self._timer = None
        self._waiting = [each for each in self._waiting if not each.future.done()]
        count = size = 0
        for each in self._waiting[:MOST]:
            size += len(each.data)
            if count and size > MOST_BYTES:
                break
            count += 1
        batch, self._waiting = self._waiting[:count], self._waiting[count:]
        if batch:
            task = asyncio.get_running_loop().create_task(self._request(batch))
            self._requests.add(task)
            task.add_done_callback(self._ended)
        self._soon()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._requests.discard(task)
        self._soon()

    async def _request(self, batch: list[_Waiting]) -> None:
        try:
            answers = await self._answers(batch)
        except BaseException as error:
            for each in batch:
                if not each.future.done():
                    if isinstance(error, Exception):
                        each.future.set_exception(error)
                    else:
                        each.future.cancel()
            if not isinstance(error, Exception):
                raise
            return
        for each, answer in zip(batch, answers, strict=True):
            if not each.future.done():
                each.future.set_result(answer)

    async def _answers(self, batch: list[_Waiting]) -> list[HttpAnswer | None]:
        body = json.dumps([_event(each) for each in batch], ensure_ascii=False, separators=(",", ":")).encode()
        answer = await self._http.post("/v1/messages", body, {"Content-Type": CONTENT_TYPE})
        if answer.status in (429, 500, 503):  # concerns every message of it alike
            return [answer for _ in batch]
        if answer.status != 200:
            return [None for _ in batch]
        said: list[dict[str, Any]] = json.loads(answer.body)
        if [each["id"] for each in said] != [each.attributes["id"] for each in batch]:
            return [None for _ in batch]
        return [_of_one(each) for each in said]


def _event(item: _Waiting) -> dict[str, str]:
    event = {**item.attributes, "datacontenttype": "application/xml"}
    try:
        event["data"] = item.data.decode()
    except UnicodeDecodeError:  # the door shall say what is wrong with it
        event["data_base64"] = base64.b64encode(item.data).decode()
    return event


def _of_one(said: Mapping[str, Any]) -> HttpAnswer:
    content = said.get("receipt", said.get("problem"))
    headers = {"Retry-After": "1"} if said["status"] in (429, 503) else {}
    return HttpAnswer(status=said["status"], content_type="application/json", headers=headers, body=json.dumps(content).encode())
