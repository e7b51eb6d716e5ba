"""Questions while a person waits, to one of our systems or to the workers that can call a party: over the broker, with a deadline, each
answer to its own question or to none.

Theory of operation. In 2023 systems of other vendors handed residents the certificates of others, because time-outs and races of one second
paired questions and answers wrongly. Here a question gets a *correlation* of 192 random bits that is used once and lives in the memory of
this process until its deadline. An answer is released only if it comes through the queue of the system that was asked, to this process,
under a correlation that is still open; the entry is taken out when it is found, so there is no second one. Whether it is about the same
request and the same person is looked at afterwards, in the content (:mod:`gateway.inbound.responder`). An answer without an open question
is late, or somebody's invention: it is dropped unopened and put on record.

Before it answers, the system may ask back: a message under the same open correlation that names its type and an id of its own is a question
of that system, within this dialogue and its deadline (a certificate of the family register, F5-2). Its answer goes to ``replies.<system>``.
Whoever has no open question cannot ask.

Questions are not stored: a broker or process that dies takes them with it, and whoever asked is told that there was no answer. A question
that nobody took before its deadline is dropped by the broker.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

import structlog

from gateway.broker import BrokerEndpoint, Consumer, Delivery, Publisher, Subscription, topology
from gateway.errors import BrokerUnavailable, GatewayError, LedgerUnavailable, Unavailable
from gateway.security.jwe import MEDIA_TYPE

log = structlog.get_logger("gateway.inbound")

MOST_OPEN: Final = 200
"""Questions to one system at once, unless the configuration says otherwise; above it whoever asks is told to come again."""
MOST_BACK: Final = 4
"""What a system may ask back within one question."""
BUSY, ASKED_S = 20, 0.25
"""With so many questions open, who consumes is asked no more often than this."""
_TYPE, _ID = re.compile(r"[a-z0-9-]{1,64}"), re.compile(r"[A-Za-z0-9._-]{1,64}")
REMEMBERED: Final = 10_000
"""Correlations of questions that had no answer in time, so that a late answer can be named."""
LATE_AT_ONCE: Final = 100


class NoAnswer(Unavailable):
    """The system gave no answer in time, or cannot be asked now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RawAnswer:
    """What came back, not looked at yet."""

    content_type: str
    body: bytes = field(repr=False)


Back = Callable[[str, str, RawAnswer, float], Awaitable[bytes]]
"""Answers what a system asks back: type, its id, content, seconds that are left; the content of the answer out."""


@dataclass(slots=True, kw_only=True)
class _Open:
    """One question that waits for its answer."""

    future: asyncio.Future[RawAnswer]
    ends: float
    """On the monotonic clock."""
    back: Back | None
    asked_back: int = 0


class Encrypts(Protocol):
    """For whoever answers."""

    def encrypt(self, content: bytes) -> bytes: ...


class Records(Protocol):
    """What is needed of the ledger."""

    async def record_late_answer(self, system: str, dialogue_id: str | None, size_bytes: int) -> None: ...


class Dialogues:
    """Questions of this process to one system. For one event loop."""

    def __init__(
        self,
        system: str,
        endpoint: BrokerEndpoint,
        publisher: Publisher,
        consumer: Consumer,
        key: Encrypts,
        ledger: Records,
        *,
        answer_s: float,
        most_open: int = MOST_OPEN,
    ) -> None:
        """``answer_s``: how long an answer is waited for; ``most_open``: questions at once."""
        self._system = system
        self._endpoint, self._publisher, self._consumer = endpoint, publisher, consumer
        self._key = key
        self._ledger = ledger
        self._answer_s, self._most_open = answer_s, most_open
        self._consumed_until = 0.0
        self._place = secrets.token_hex(8)
        self._open: dict[str, _Open] = {}
        self._given_up: OrderedDict[str, str] = OrderedDict()
        self._subscription: Subscription | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Declare this process's own queue for answers, and consume it."""
        await self._declare()
        queue = topology.answers_queue(self._system, self._place)
        self._subscription = await self._consumer.subscribe(
            queue, prefetch=50, on_delivery=self._on_answer, on_unusable=self._unusable, wait_s=1.0
        )

    async def stop(self) -> None:
        """Answer nobody any more."""
        for each in self._open.values():
            each.future.cancel()
        if self._subscription is not None:
            await self._subscription.close(drain_s=0.5)
        for task in (*self._tasks,):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):  # our own cancellation
                await task

    async def _declare(self) -> None:
        await topology.declare(self._endpoint, topology.answers_topology(self._system, self._place))

    def _unusable(self, queue: str) -> None:
        """A broker that lost the queue (a new node, say) gets it declared again; what was asked meanwhile has no answer."""

        async def again() -> None:
            with contextlib.suppress(BrokerUnavailable):  # comes again as long as it is unusable
                await self._declare()

        self._keep(again())

    async def ask(
        self,
        dialogue_id: str,
        message_type: str,
        content: bytes,
        *,
        answer_s: float | None = None,
        within_s: float | None = None,
        headers: Mapping[str, str] | None = None,
        back: Back | None = None,
    ) -> RawAnswer:
        """Ask, and wait for the answer: ``answer_s`` seconds, or as long as this system is always waited for, and no longer than
        ``within_s``. ``headers``: beside ours; ``back``: answers what the system asks back.

        :raises NoAnswer: ``no-answer-in-time``, ``no-responder`` (nobody consumes the queue), ``too-many-questions``, or the broker's code.
        """
        if len(self._open) >= self._most_open:
            raise NoAnswer("too-many-questions", f"{self._system} is being asked too much at once")
        answer_s = min(answer_s or self._answer_s, float("inf") if within_s is None else within_s)
        correlation = secrets.token_urlsafe(24)
        deadline = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=answer_s)
        future: asyncio.Future[RawAnswer] = asyncio.get_running_loop().create_future()
        self._open[correlation] = _Open(future=future, ends=time.monotonic() + answer_s, back=back)
        try:
            async with asyncio.timeout(answer_s):
                await self._put(correlation, dialogue_id, message_type, content, deadline, answer_s, headers or {})
                return await future
        except TimeoutError as error:
            self._given_up[correlation] = dialogue_id
            if len(self._given_up) > REMEMBERED:
                self._given_up.popitem(last=False)
            raise NoAnswer("no-answer-in-time", f"{self._system} gave no answer within {answer_s:g} s") from error
        finally:
            self._open.pop(correlation, None)

    async def _put(
        self,
        correlation: str,
        dialogue_id: str,
        message_type: str,
        content: bytes,
        deadline: dt.datetime,
        answer_s: float,
        headers: Mapping[str, str],
    ) -> None:
        try:
            await self._require_responder()
            await self._publisher.publish(
                topology.DIALOGUES_EXCHANGE,
                self._system,
                self._key.encrypt(content),
                content_type=MEDIA_TYPE,
                headers={
                    "cloudEvents:specversion": "1.0",
                    "cloudEvents:id": dialogue_id,
                    "cloudEvents:source": "/integration-gateway",
                    "cloudEvents:type": message_type,
                    "cloudEvents:deadline": deadline.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                    **headers,
                },
                message_id=dialogue_id,
                correlation_id=correlation,
                reply_to=self._place,
                expiration_ms=max(int(answer_s * 1000), 1),
            )
        except BrokerUnavailable as error:
            raise NoAnswer(error.code, f"{self._system} cannot be asked now") from error

    async def _require_responder(self) -> None:
        if len(self._open) > BUSY and time.monotonic() < self._consumed_until:
            return
        if not (await self._consumer.depth(topology.dialogues_queue(self._system))).consumers:
            raise NoAnswer("no-responder", f"nobody answers for {self._system} now")
        self._consumed_until = time.monotonic() + ASKED_S

    def _on_answer(self, delivery: Delivery) -> None:
        correlation = delivery.properties.correlation_id or ""
        self._consumer.ack(delivery)  # an answer is for now or for nobody: it must not come again
        raw = RawAnswer(content_type=delivery.properties.content_type or "", body=delivery.body)
        kind = (delivery.properties.headers or {}).get("cloudEvents:type")
        found = self._open.get(correlation)
        if found is not None and found.back is not None and isinstance(kind, str) and _TYPE.fullmatch(kind):
            self._asked_back(found, found.back, kind, delivery.properties.message_id or "", raw)
            return
        self._open.pop(correlation, None)
        if found is not None and not found.future.done():
            found.future.set_result(raw)
            return
        dialogue_id = self._given_up.pop(correlation, None)
        log.warning("late-answer", system=self._system, request_id=dialogue_id)
        if len(self._tasks) < LATE_AT_ONCE:  # a system that answers what nobody asked must not fill the memory
            self._keep(self._record(dialogue_id, len(delivery.body)))

    def _asked_back(self, found: _Open, back: Back, kind: str, own_id: str, raw: RawAnswer) -> None:
        if found.asked_back >= MOST_BACK or not _ID.fullmatch(own_id):
            log.warning("question-refused", system=self._system, code="too-many-questions" if _ID.fullmatch(own_id) else "no-message-id")
            return
        found.asked_back += 1
        self._keep(self._answer_back(back, kind, own_id, raw, found.ends - time.monotonic()))

    async def _answer_back(self, back: Back, kind: str, own_id: str, raw: RawAnswer, left_s: float) -> None:
        """Answer the system; a refusal is a JSON object with its code, so that it can refuse at once in its turn."""
        media = MEDIA_TYPE
        try:
            body = self._key.encrypt(await back(kind, own_id, raw, left_s))
        except GatewayError as error:
            body, media = json.dumps({"status": "refused", "code": error.code}).encode(), "application/json"
        with contextlib.suppress(BrokerUnavailable):  # the question that it belongs to has no answer then
            await self._publisher.publish(
                topology.DIALOGUES_EXCHANGE,
                topology.replies_key(self._system),
                body,
                content_type=media,
                message_id=own_id,
                correlation_id=own_id,
                expiration_ms=max(int(left_s * 1000), 1),
            )

    async def _record(self, dialogue_id: str | None, size_bytes: int) -> None:
        with contextlib.suppress(LedgerUnavailable):  # the log has it
            await self._ledger.record_late_answer(self._system, dialogue_id, size_bytes)

    def _keep(self, work: Awaitable[None]) -> None:
        async def run() -> None:
            await work

        task = asyncio.get_running_loop().create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class Ask(Protocol):
    """How one system is asked: :meth:`Dialogues.ask`."""

    async def __call__(
        self, dialogue_id: str, message_type: str, content: bytes, *, within_s: float | None = None, back: Back | None = None
    ) -> RawAnswer: ...
