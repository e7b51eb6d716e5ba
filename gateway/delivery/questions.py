"""Questions of our systems to one party, asked by this worker while a person waits.

Theory of operation. A process at a door puts the question into the party's queue of dialogues, encrypted for ourselves
(:mod:`gateway.inbound.dialogues`); one worker takes it and asks the party, on connections of their own, so that no delivery, live or bulk,
is ever before it (I4). A question is asked once: nobody asks again behind the operator's back. It is acknowledged to the broker when it was
answered, so that one whose worker died comes to another, which says at once that there will be no answer. Past its deadline nothing is
asked. What the party answers later goes back all the same: where nobody waits for it any more it is not opened, and that it came is put on
record (F1-8). Nothing of question or answer is kept here or put into a log (I5).

What goes back is the answer as JWE, or a JSON object with ``status`` (``refused``: the party does not answer it; ``not-asked``: it was not
reached; ``unanswered``: nobody can say) and ``code``.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import logging
from typing import Final, Protocol

from gateway.broker import Consumer, Delivery, Publisher, Subscription, topology
from gateway.contract import Adapter, CallNotPrepared, CallNotSent, CallUnanswered, Question, QuestionRefused
from gateway.delivery.calls import escaped
from gateway.errors import BrokerUnavailable, GatewayError
from gateway.security.jwe import MEDIA_TYPE

_log = logging.getLogger(__name__)
LATE_S: Final = 10.0
"""How much longer than whoever asked the worker waits, to know of a late answer."""
LATE_AT_ONCE: Final = 50
_STATUS: Final = {QuestionRefused: "refused", CallNotSent: "not-asked", CallNotPrepared: "not-asked", CallUnanswered: "unanswered"}


class Keys(Protocol):
    """What is needed of :class:`gateway.security.jwe.JweKeys`."""

    def decrypt(self, token: bytes) -> tuple[bytes, str]: ...


class Encrypts(Protocol):
    """What is needed of :class:`gateway.security.jwe_out.Own`."""

    def encrypt(self, content: bytes) -> bytes: ...


class Questions:
    """Takes the questions to one party. For one event loop."""

    def __init__(
        self, party: str, adapter: Adapter, consumer: Consumer, publisher: Publisher, keys: Keys, own: Encrypts, *, at_once: int
    ) -> None:
        """``at_once``: questions that this process asks at the same time."""
        self._party, self._adapter = party, adapter
        self._consumer, self._publisher = consumer, publisher
        self._keys, self._own = keys, own
        self._at_once = at_once
        self._late = 0
        self._subscription: Subscription | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Take questions from now on."""
        queue = topology.dialogues_queue(self._party)
        self._subscription = await self._consumer.subscribe(queue, prefetch=self._at_once, on_delivery=self._taken, wait_s=1.0)

    async def stop(self) -> None:
        """Take none any more; who waits for one under way is told that there is no answer, by another worker or at the deadline."""
        if self._subscription is not None:
            await self._subscription.close(drain_s=0.5)
        for task in (*self._tasks,):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):  # our own cancellation
                await task
        await self._adapter.close()

    def _taken(self, delivery: Delivery) -> None:
        task = asyncio.get_running_loop().create_task(self._work(delivery))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self, delivery: Delivery) -> None:
        left_s = _left_s(delivery)
        if left_s <= 0:
            self._consumer.ack(delivery)
            return
        asked = asyncio.ensure_future(self._answer(delivery, left_s + LATE_S))
        try:
            await asyncio.wait((asked,), timeout=left_s)
            self._consumer.ack(delivery)
            if asked.done() or self._late < LATE_AT_ONCE:
                self._late += 1
                try:
                    await self._reply(delivery, *await asked)
                finally:
                    self._late -= 1
        finally:
            asked.cancel()

    async def _answer(self, delivery: Delivery, timeout_s: float) -> tuple[bytes, str]:
        """What goes back."""
        if delivery.redelivered:
            return _said("unanswered", "worker-lost")
        try:
            question = self._question(delivery)
            async with asyncio.timeout(timeout_s):
                reply = await self._adapter.ask(question, timeout_s=timeout_s)
        except TimeoutError:
            return _said("unanswered", "no-answer-in-time")
        except (QuestionRefused, CallNotSent, CallNotPrepared, CallUnanswered) as error:
            return _said(_STATUS[type(error)], error.code)
        except GatewayError as error:
            _log.error("question-failed", extra={"code": error.code, "party": self._party})
            return _said("not-asked", error.code)
        except Exception as error:
            escaped("ask", error)
            return _said("unanswered", "call-failed")
        return self._own.encrypt(reply.content), MEDIA_TYPE

    def _question(self, delivery: Delivery) -> Question:
        content, _ = self._keys.decrypt(delivery.body)
        municipality = delivery.headers.get("cloudEvents:municipality")
        return Question(
            dialogue_id=delivery.properties.message_id or "",
            message_type=str(delivery.headers.get("cloudEvents:type", "")),
            content=content,
            municipality=None if municipality is None else str(municipality),
        )

    async def _reply(self, delivery: Delivery, body: bytes, content_type: str) -> None:
        try:
            await self._publisher.publish(
                topology.answers_exchange(self._party),
                delivery.properties.reply_to or "",
                body,
                content_type=content_type,
                correlation_id=delivery.properties.correlation_id,
                expiration_ms=topology.LONGEST_DIALOGUE_MS,
            )
        except BrokerUnavailable as error:
            # who asked is gone, or the broker is: at the deadline there was no answer
            _log.warning("answer-not-handed-on", extra={"code": error.code, "party": self._party})


def _left_s(delivery: Delivery) -> float:
    """Until the deadline; by the clocks of two machines, which signed messages keep together."""
    try:
        deadline = dt.datetime.fromisoformat(str(delivery.headers.get("cloudEvents:deadline")))
        return (deadline - dt.datetime.now(dt.UTC)).total_seconds()
    except (ValueError, TypeError):
        return 0.0


def _said(status: str, code: str) -> tuple[bytes, str]:
    return json.dumps({"status": status, "code": code}).encode(), "application/json"
