"""What one of our systems says of a message that it had from its queue: the end of the delivery, not the broker's confirm (R18).

A JSON object: ``delivery`` and ``correlation`` as they came with the message, ``status``, and ``code`` where there is one.

=============  ====================================================================================================================
``accepted``   it has the message, durably; or had it before (the same delivery id)
``not-yet``    it cannot have it yet (the resident whom it is about is not committed there): it comes again later, for a while (F1-2)
``refused``    it will not have it: held for an operator
=============  ====================================================================================================================

The queue says whose it is. Acknowledged to the broker when the ledger has it; what makes no sense is logged and dropped: the message that
it was meant for is put into the queue again when its time is over.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import structlog

from gateway.broker import Consumer, Delivery, Subscription, topology
from gateway.errors import LedgerUnavailable

log = structlog.get_logger("gateway.inbound")

KINDS = {"accepted": "delivered", "not-yet": "retry-later", "refused": "rejected"}
_CODE = re.compile(r"[a-z0-9-]{1,40}")
_CORRELATION = re.compile(r"([0-9a-f-]{36})\.[0-9]{1,9}")
PAUSE_S = 0.2


class RecordsReplies(Protocol):
    """What is needed of :class:`gateway.ledger.ledger.Ledger`."""

    async def record_reply(
        self, party: str, correlation: str, kind: str, code: str | None, actor: str, *, digest: str | None = None
    ) -> None: ...


class Acknowledgements:
    """Consumes the acknowledgements of one system. For one event loop."""

    def __init__(
        self, system: str, ledger: RecordsReplies, consumer: Consumer, *, strange: Callable[[str], None] = lambda code: None
    ) -> None:
        """``strange`` counts what makes no sense."""
        self._system = system
        self._ledger = ledger
        self._consumer = consumer
        self._strange = strange
        self._subscription: Subscription | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Consume from now on."""
        self._subscription = await self._consumer.subscribe(
            topology.acks_queue(self._system), prefetch=200, on_delivery=self._on_delivery, wait_s=1.0
        )

    async def stop(self) -> None:
        """Take nothing more; what is under way is written, or comes again."""
        if self._subscription is not None:
            await self._subscription.close(drain_s=2.0)
        for task in self._tasks:
            task.cancel()
        for task in (*self._tasks,):
            with contextlib.suppress(asyncio.CancelledError):  # our own cancellation
                await task

    def _on_delivery(self, delivery: Delivery) -> None:
        found = read(delivery.body)
        if found is None:
            log.warning("acknowledgement-malformed", system=self._system, size_bytes=len(delivery.body))
            self._consumer.ack(delivery)
            return
        task = asyncio.get_running_loop().create_task(self._write(delivery, *found))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _write(self, delivery: Delivery, correlation: str, kind: str, code: str) -> None:
        digest = hashlib.sha256(delivery.body).hexdigest()
        await _until_done(lambda: self._ledger.record_reply(self._system, correlation, kind, code, self._system, digest=digest))
        self._consumer.ack(delivery)


async def _until_done(write: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            return await write()
        except LedgerUnavailable as error:
            if error.code == "ledger-closed":
                raise
            log.warning("acknowledgement-not-written-yet", code=error.code)
            await asyncio.sleep(PAUSE_S)


def read(body: bytes) -> tuple[str, str, str] | None:
    """Correlation, kind of reply and code; None: it makes no sense."""
    try:
        said: Any = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict) or not isinstance(said.get("correlation"), str):
        return None
    found = _CORRELATION.fullmatch(said["correlation"])
    status, code = said.get("status"), said.get("code")
    if found is None or said.get("delivery") != found[1] or not isinstance(status, str) or status not in KINDS:
        return None
    if code is not None and not (isinstance(code, str) and _CODE.fullmatch(code)):
        return None
    return said["correlation"], KINDS[status], code or status
