"""The AMQP door: one queue for each sending system, admitted in order of arrival (R16).

Theory of operation. The queue says who sends: only that system's broker user may write to it. It has one active consumer, so that order of
arrival is order of admission. Two tasks make a pipeline: one opens and checks message after message, the other commits what is ready, up to
``batch`` in one operation, while the first goes on::

    queue ──▶ inbox ──open JWE, check, seal──▶ ready ──ledger commit──▶ receipts confirmed by the broker ──▶ ack

- **Nothing is acked before its receipt is confirmed**, and no receipt is sent before the commit. A crash anywhere delivers the message
  again; the ledger knows it and gives the same receipt, byte for byte (R17).
- **A passing failure stops the queue where it is**: ledger, broker, disk or backlog. Nothing is nacked; what is in hand is tried again,
  with growing pauses, in the same order.
- **Epoch**: the first delivery of a channel means that this consumer became the active one; it then claims the system's next intake epoch
  in the ledger. A consumer that was frozen and replaced meanwhile still holds messages, but the ledger admits nothing for an older epoch:
  it drops what it holds, closes its channel and starts anew.
- **A message that kills its consumer** comes back with a higher delivery count. From 2 on, messages are taken one by one, each settled
  before the next is opened, so that what was in hand at a crash is the *first* delivery of the next channel. If that one has come back 5
  times it is quarantined unopened and the sender is told; those behind it, returned by the same crashes, are not.
- **Bulk messages** are committed apart from live ones, in smaller batches and at their pace (I4). The order of arrival holds all the same:
  what is live and behind them in the same queue waits for them, so a sender hands in much bulk work by HTTPS.
- **Ephemeral types** must not come by queue, since a broker keeps what it carried: such a message is refused and the key that it was
  encrypted for is destroyed (C-3-7-1), whatever else is still encrypted for it; the senders encrypt that anew.

For one event loop; made for one system.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from gateway.broker.subscription import Delivery
from gateway.errors import GatewayError, InputRefused, Unavailable
from gateway.intake.admit import Answer, Intake, Ready, Refused
from gateway.intake.cloudevents import from_amqp, safe_attributes
from gateway.intake.measures import UNCOUNTED, IntakeMeter, result_of
from gateway.intake.pressure import Pressure
from gateway.intake.refusals import ephemeral_by_queue, too_large
from gateway.intake.submission import Submission
from gateway.ledger.prepared import IntakeEpochLost
from gateway.ledger.receipts import body_digest, refused
from gateway.pacing import BELL_S, BulkPace

log = structlog.get_logger("gateway.intake")

SINGLY_FROM = 2
"""Delivery count from which messages are taken one by one."""
QUARANTINE_FROM = 5
"""Delivery count at which the first message of a channel is quarantined."""
GIVE_UP_KNOWN = 10
"""Delivery count at which even a message that the ledger knows is not opened again."""
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
JWE_OVERHEAD = 2048
"""Bytes that a JWE may be longer than four thirds of its content: header, key, tags."""


class Subscription(Protocol):
    """What is needed of :class:`gateway.broker.subscription.Subscription`."""

    generation: int

    def pause(self) -> None: ...

    def resume(self, *, wait_s: float = 5.0) -> Coroutine[Any, Any, bool]: ...

    async def close(self, *, drain_s: float = 5.0) -> None: ...


class Consumer(Protocol):
    """What is needed of :class:`gateway.broker.consumer.Consumer`."""

    async def subscribe(
        self, queue: str, *, prefetch: int, on_delivery: Callable[[Delivery], None], single_active: bool = False, wait_s: float = 5.0
    ) -> Any: ...

    def ack_up_to(self, delivery: Delivery) -> bool: ...


class Publisher(Protocol):
    """What is needed of :class:`gateway.broker.publisher.Publisher`: returns when the broker has confirmed."""

    async def publish(
        self, exchange: str, routing_key: str, body: bytes, *, content_type: str | None = None, correlation_id: str | None = None
    ) -> None: ...


class Opener(Protocol):
    """What is needed of :class:`gateway.security.jwe.JweKeys`."""

    def decrypt(self, token: bytes) -> tuple[bytes, str]: ...
    def kids(self) -> tuple[str, ...]: ...
    def rotate(self) -> str: ...
    def destroy(self, kid: str) -> None: ...


class IntakeLedger(Protocol):
    """What is needed of the ledger besides :class:`gateway.intake.admit.LedgerPort`."""

    async def claim_intake(self, system: str, worker: str) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Item:
    """One delivery with what the checks made of it."""

    delivery: Delivery
    outcome: Ready | Refused
    since: float
    """When it was opened (:func:`time.perf_counter`)."""

    @property
    def bulk(self) -> bool:
        """All its deliveries go by the bulk lane."""
        return isinstance(self.outcome, Ready) and self.outcome.bulk


class _Stale(Exception):
    """The channel of what is in hand is gone: it comes again on the next one."""


class AmqpDoor:
    """Consumes the intake queue of one system."""

    def __init__(
        self,
        *,
        system: str,
        intake: Intake,
        ledger: IntakeLedger,
        known: Callable[[str, str], Awaitable[Mapping[str, Any] | None]],
        worker: Callable[[], str],
        consumer: Consumer,
        publisher: Publisher,
        opener: Opener,
        pressure: Pressure,
        meter: IntakeMeter = UNCOUNTED,
        prefetch: int = 200,
        batch: int = 100,
        pace: BulkPace | None = None,
        bulk_batch: int = 25,
    ) -> None:
        self.system = system
        self._intake = intake
        self._ledger = ledger
        self._known = known
        self._worker = worker
        self._consumer = consumer
        self._publisher = publisher
        self._opener = opener
        self._pressure = pressure
        self._meter = meter
        self._prefetch = prefetch
        self._batch = batch
        self._pace = pace
        self._bulk_batch = bulk_batch
        self._subscription: Subscription | None = None
        self._inbox: deque[Delivery] = deque()
        self._ready: deque[_Item] = deque()
        self._changed = asyncio.Event()
        self._open = 0
        """Items between being opened and being settled."""
        self._epoch: tuple[str, str, int] | None = None
        self._epoch_generation = 0
        self._head: tuple[int, int] = (0, 0)
        """Generation and tag of the first delivery of the channel in use."""
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Consume from now on."""
        self._subscription = await self._consumer.subscribe(
            f"intake.{self.system}", prefetch=self._prefetch, on_delivery=self._on_delivery, single_active=True
        )
        # not before: without the subscription, what has come already could not be told from what is of an older channel
        self._tasks = [
            asyncio.create_task(self._open_all(), name=f"intake {self.system}: open"),
            asyncio.create_task(self._commit_all(), name=f"intake {self.system}: commit"),
        ]

    async def stop(self, *, drain_s: float = 5.0) -> None:
        """Settle what is in hand, for at most ``drain_s`` seconds, and stop consuming."""
        if self._subscription is not None:
            await self._subscription.close(drain_s=drain_s)
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):  # our own cancellation, just above
                await task
        self._tasks = []

    @property
    def failed(self) -> BaseException | None:
        """Why the door stopped working, if it did: a bug. For readiness."""
        for task in self._tasks:
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                return error
        return None

    # --- from the queue

    def _on_delivery(self, delivery: Delivery) -> None:
        self._inbox.append(delivery)
        self._changed.set()

    async def _wait_change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def _is_current(self, delivery: Delivery) -> bool:
        return self._subscription is not None and delivery.generation == self._subscription.generation

    # --- opening and checking

    async def _open_all(self) -> None:
        while True:
            while not self._inbox or self._open >= 2 * self._batch or self._must_wait(self._inbox[0]):
                await self._wait_change()
            delivery = self._inbox.popleft()
            if not self._is_current(delivery):
                continue
            self._open += 1
            try:
                item = await self._open_in_place(delivery)
            except _Stale:
                self._open -= 1
                continue
            self._ready.append(item)
            self._changed.set()
            await asyncio.sleep(0)  # one message at a time: opening and checking takes about 0.3 ms of the loop

    def _must_wait(self, delivery: Delivery) -> bool:
        return delivery.delivery_count >= SINGLY_FROM and self._open > 0

    async def _open_in_place(self, delivery: Delivery) -> _Item:
        """Open and check, again and again if it fails for a reason that is not the message's.

        :raises _Stale: the channel is gone.
        """
        pause, since = FIRST_PAUSE_S, time.perf_counter()
        while True:
            try:
                return _Item(delivery=delivery, outcome=await self._open_one(delivery), since=since)
            except GatewayError as e:
                await self._pause(delivery, e, pause)
                pause = min(LONGEST_PAUSE_S, pause * 2)

    async def _open_one(self, delivery: Delivery) -> Ready | Refused:
        if delivery.generation != self._head[0]:
            self._head = (delivery.generation, delivery.tag)
        is_head = self._head == (delivery.generation, delivery.tag)
        if is_head and delivery.delivery_count >= QUARANTINE_FROM and not await self._accepted_before(delivery):
            return self._refuse(delivery, _quarantined(), delivery.body)
        body = delivery.body
        try:
            if delivery.properties.content_type != "application/jose":
                raise InputRefused("wrong-content-type", "the body must be a JWE", place="content-type", rule="application/jose")
            if len(body) > self._intake.message_bytes * 4 // 3 + JWE_OVERHEAD:
                return self._refuse(delivery, too_large(self._intake.message_bytes), b"")
            attributes = from_amqp(delivery.headers)
            body, kid = self._opener.decrypt(body)
            if self._intake.is_ephemeral(attributes, body):
                self._destroy(kid)
                return self._refuse(delivery, ephemeral_by_queue(), b"")
            return await self._intake.check(Submission(system=self.system, door="amqp", attributes=attributes, data=body))
        except InputRefused as e:
            return self._refuse(delivery, e, body)
        except GatewayError:
            raise
        except Exception as e:  # a bug that this message brings out must not stop those behind it
            log.error("intake-failed", door="amqp", system=self.system, error=type(e).__name__)
            return self._refuse(delivery, _quarantined(), body)

    async def _accepted_before(self, delivery: Delivery) -> bool:
        """The ledger knows the id: then it is not this message that kills consumers, and its sender must get its receipt."""
        source_id, _ = safe_attributes(delivery.headers)
        if source_id is None or delivery.delivery_count >= GIVE_UP_KNOWN:
            return False
        return await self._known(self.system, source_id) is not None

    def _refuse(self, delivery: Delivery, error: InputRefused, body: bytes) -> Refused:
        source_id, kind = safe_attributes(delivery.headers)
        return Refused(system=self.system, door="amqp", error=error, source_id=source_id, type=kind, body=body)

    def _destroy(self, kid: str) -> None:
        if self._opener.kids()[-1] == kid:
            self._opener.rotate()
        self._opener.destroy(kid)
        log.error("intake-key-destroyed", system=self.system, kid=kid, code="ephemeral-by-queue")

    # --- committing

    async def _commit_all(self) -> None:
        while True:
            while not self._ready:
                await self._wait_change()
            batch = self._next_batch()
            try:
                await self._settle(batch)
            except _Stale:
                log.info("intake-channel-changed", system=self.system, dropped=len(batch))
            except IntakeEpochLost:
                log.warning("intake-epoch-lost", system=self.system)
                await self._start_anew()
            except Exception as e:  # a bug: give the messages back, so that the counts find out whose it is
                log.error("intake-failed", door="amqp", system=self.system, error=type(e).__name__)
                await asyncio.sleep(FIRST_PAUSE_S)
                await self._start_anew()
            finally:
                self._open -= len(batch)
                self._changed.set()

    def _next_batch(self) -> list[_Item]:
        generation = self._ready[0].delivery.generation
        batch: list[_Item] = []
        bulk = self._ready[0].bulk
        most = min(self._batch, self._bulk_batch) if bulk else self._batch
        while self._ready and len(batch) < most and self._ready[0].delivery.generation == generation and self._ready[0].bulk is bulk:
            batch.append(self._ready.popleft())
        return batch

    async def _settle(self, batch: list[_Item]) -> None:
        """Commit, tell, ack.

        :raises _Stale: the channel is gone: all of it comes again.
        :raises IntakeEpochLost: another consumer is the active one.
        """
        if not self._is_current(batch[0].delivery):
            raise _Stale  # also because an epoch must not be claimed for a channel that is gone
        await self._wait_for_room(batch[0].delivery)
        if self._pace is not None and batch[0].bulk:
            await self._pace.turn(len(batch))
        with self._pace.live_work(BELL_S) if self._pace is not None and not batch[0].bulk else contextlib.nullcontext():
            answers = await self._in_place(batch[0].delivery, lambda: self._commit(batch))
        pending = list(zip(batch, answers, strict=True))
        while pending:
            outcomes = await asyncio.gather(*(self._tell(item, answer) for item, answer in pending), return_exceptions=True)
            failed = [(pair, e) for pair, e in zip(pending, outcomes, strict=True) if e is not None]
            for _, error in failed:
                if not isinstance(error, Unavailable):
                    raise error
            pending = [pair for pair, _ in failed]
            if failed:
                error = failed[0][1]
                if isinstance(error, Unavailable):
                    await self._pause(batch[0].delivery, error, max(FIRST_PAUSE_S, min(error.retry_after_s, LONGEST_PAUSE_S)))
        self._consumer.ack_up_to(batch[-1].delivery)
        now = time.perf_counter()
        for item, answer in zip(batch, answers, strict=True):
            result = answer.refusal.code if answer.refusal is not None else result_of(answer.duplicate)
            self._meter.intake(self.system, "amqp", result, now - item.since)

    async def _commit(self, batch: list[_Item]) -> list[Answer]:
        generation = batch[0].delivery.generation
        if self._epoch is None or self._epoch_generation != generation:
            worker = self._worker()
            self._epoch = (self.system, worker, await self._ledger.claim_intake(self.system, worker))
            self._epoch_generation = generation
            self._meter.intake_active(self.system)
        return await self._intake.commit([item.outcome for item in batch], epoch=self._epoch)

    async def _tell(self, item: _Item, answer: Answer) -> None:
        source_id, _ = safe_attributes(item.delivery.headers)
        body = answer.receipt
        if (error := answer.refusal) is not None:
            body = refused(
                source_id=source_id, system=self.system, code=error.code, rule=error.rule, place=error.place,
                body_sha256=body_digest(item.delivery.body),
            )  # fmt: skip
        await self._publisher.publish("receipts", self.system, body, content_type="application/json", correlation_id=source_id)

    async def _start_anew(self) -> None:
        """Give up what is in hand and the channel, and queue up again."""
        self._epoch = None
        if self._subscription is not None:
            self._subscription.pause()
            await self._subscription.resume()

    # --- waiting in place

    async def _in_place(self, delivery: Delivery, call: Callable[[], Awaitable[list[Answer]]]) -> list[Answer]:
        pause = FIRST_PAUSE_S
        while True:
            try:
                return await call()
            except IntakeEpochLost:
                raise
            except Unavailable as e:
                await self._pause(delivery, e, pause)
                pause = min(LONGEST_PAUSE_S, pause * 2)

    async def _pause(self, delivery: Delivery, error: GatewayError, pause_s: float) -> None:
        """Wait before the next try of what is in hand.

        :raises _Stale: its channel is gone; it comes again by itself.
        """
        self._meter.intake_waits(self.system, error.code)
        log.warning("intake-waits", system=self.system, code=error.code, seconds=round(pause_s, 3))
        await asyncio.sleep(pause_s)
        if not self._is_current(delivery):
            raise _Stale

    async def _wait_for_room(self, delivery: Delivery) -> None:
        """Stop while pressure closes the door (R19)."""
        while (closed := self._pressure.closed) is not None:
            self._meter.intake_waits(self.system, closed.code)
            with contextlib.suppress(TimeoutError):  # looks again whether the channel is still there
                await asyncio.wait_for(self._pressure.wait_open(), LONGEST_PAUSE_S)
            if not self._is_current(delivery):
                raise _Stale


def _quarantined() -> InputRefused:
    return InputRefused("quarantined", "the message could not be worked on and was put aside for an operator", rule="R16")
