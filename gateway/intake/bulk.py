"""Bulk admission: what comes one by one through the HTTPS door for the bulk lane is gathered, checked and committed in chunks (I4).

Theory of operation. A request for the bulk lane waits here, in order of arrival, until its chunk's turn comes (:mod:`gateway.pacing`). One
task checks message after message, letting the loop run in between, and commits the chunk as one bulk operation of the ledger, which goes
behind everything live. A chunk takes the ledger's lock for a few milliseconds. Nobody waits for a bulk receipt but the sender's own loop,
so that its requests under way, 64 of `renkei submit` say, become an orderly queue instead of 64 requests in the way of a live one.

What is said to the sender is what :meth:`gateway.intake.admit.Intake.admit_one` would say.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence

import structlog

from gateway.errors import GatewayError, InputRefused, Unavailable
from gateway.intake.admit import Answer, Intake
from gateway.intake.submission import Submission
from gateway.pacing import BulkPace

log = structlog.get_logger("gateway.intake")


class BulkAdmission:
    """For one event loop. Start it before, and stop it after, the door that uses it."""

    def __init__(self, intake: Intake, pace: BulkPace, *, chunk: int) -> None:
        """:param chunk: the most messages of one commit."""
        self._intake = intake
        self._pace = pace
        self._chunk = chunk
        self._waiting: deque[tuple[Submission, asyncio.Future[Answer]]] = deque()
        self._came = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to admit."""
        self._task = asyncio.create_task(self._keep(), name="bulk admission")

    async def stop(self) -> None:
        """End; whoever still waits is told to come again."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        while self._waiting:
            _fail(self._waiting.popleft()[1], Unavailable("shutting-down", "the gateway is stopping"))

    async def admit(self, submission: Submission) -> Answer:
        """As :meth:`Intake.admit_one`, in its turn.

        :raises Unavailable: nothing was accepted, or it is not known; handing in the same message again is safe.
        """
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((submission, future))
        self._came.set()
        return await future

    async def _keep(self) -> None:
        while True:
            while not self._waiting:
                self._came.clear()
                await self._came.wait()
            await self._pace.turn(min(self._chunk, len(self._waiting)))
            await self._take([self._waiting.popleft() for _ in range(min(self._chunk, len(self._waiting)))])

    async def _take(self, chunk: Sequence[tuple[Submission, asyncio.Future[Answer]]]) -> None:
        chunk = [each for each in chunk if not each[1].done()]  # its sender has gone away: it hands the message in again
        try:
            items = []
            for submission, _ in chunk:
                items.append(await self._intake.check(submission))
                await asyncio.sleep(0)
            answers = await self._intake.commit(items)
        except asyncio.CancelledError:
            for _, future in chunk:
                _fail(future, Unavailable("shutting-down", "the gateway is stopping; it is not known whether the message was accepted"))
            raise
        except Exception as error:
            await self._apart(chunk, error)
            return
        for (_, future), answer in zip(chunk, answers, strict=True):
            if not future.done():
                future.set_result(answer)
            await asyncio.sleep(0)  # what the sender does next comes apart too

    async def _apart(self, chunk: Sequence[tuple[Submission, asyncio.Future[Answer]]], error: Exception) -> None:
        """What failed together is tried singly, so that one bad message fails alone; but not where the ledger is not to be had."""
        if len(chunk) == 1 or isinstance(error, Unavailable):
            for _, future in chunk:
                _fail(future, error)
            return
        if not isinstance(error, GatewayError):
            log.error("intake-failed", door="https", system="bulk", error=type(error).__name__)
        for each in chunk:
            await self._take([each])


def _fail(future: asyncio.Future[Answer], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


__all__ = ["BulkAdmission", "InputRefused"]
