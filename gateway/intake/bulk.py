"""Bulk admission: what comes through the HTTPS door for the bulk lane, singly or in batches, is checked and committed in chunks (I4).

Theory of operation. A request for the bulk lane waits here, in order of arrival, until its chunk's turn comes (:mod:`gateway.pacing`). Then
the bulk process, or where there is none this one, checks message after message and commits the chunk as one bulk operation of the ledger,
which goes behind everything live (:mod:`gateway.intake.bulk_line`). A chunk takes the ledger's lock for a few milliseconds. Nobody waits
for a bulk receipt but the sender's own loop, so that its requests under way, 64 of `renkei submit` say, become an orderly queue instead of
64 requests in the way of a live one.

What is said to the sender is what :meth:`gateway.intake.admit.Intake.admit_one` would say.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence

import structlog

from gateway.errors import GatewayError, Unavailable
from gateway.intake.admit import Answer
from gateway.intake.bulk_line import Take
from gateway.intake.submission import Submission
from gateway.pacing import BulkPace

log = structlog.get_logger("gateway.intake")

_Lot = list[tuple[Submission, asyncio.Future[Answer]]]
"""What stays together and in its order, to be admitted in one chunk."""


class BulkAdmission:
    """For one event loop. Start it before, and stop it after, the door that uses it."""

    def __init__(self, takes: Sequence[Take], pace: BulkPace, *, chunk: int) -> None:
        """:param takes: each admits a chunk at a time: with two, one is checked while the other waits for its commit.
        :param chunk: the most messages of one commit."""
        self._takes = tuple(takes)
        self._pace = pace
        self._chunk = chunk
        self._waiting: deque[_Lot] = deque()
        self._came = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to admit."""
        self._tasks = [asyncio.create_task(self._keep(take), name="bulk admission") for take in self._takes]

    async def stop(self) -> None:
        """End; whoever still waits is told to come again."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        while self._waiting:
            for _, future in self._waiting.popleft():
                _fail(future, Unavailable("shutting-down", "the gateway is stopping"))

    async def admit(self, submission: Submission) -> Answer:
        """As :meth:`Intake.admit_one`, in its turn.

        :raises Unavailable: nothing was accepted, or it is not known; handing in the same message again is safe.
        """
        (said,) = await self._lot([submission])
        if isinstance(said, BaseException):
            raise said
        return said

    async def admit_in_order(self, batch: Sequence[Submission]) -> list[Answer | Exception]:
        """What came together, in its order and in as many chunks as it takes, one after the other: each message's answer, or why there is
        none. What comes after one whose answer is not known is not tried: it may be about the same resident (I3)."""
        found: list[Answer | Exception] = []
        for begin in range(0, len(batch), self._chunk):
            found += await self._lot(batch[begin : begin + self._chunk])
            stopped = next((said for said in found if isinstance(said, Unavailable)), None)
            if stopped is not None:
                return found + [stopped] * (len(batch) - len(found))
        return found

    async def _lot(self, lot: Sequence[Submission]) -> list[Answer | Exception]:
        """Not more than a chunk: it is not divided."""
        loop = asyncio.get_running_loop()
        futures: list[asyncio.Future[Answer]] = [loop.create_future() for _ in lot]
        self._waiting.append(list(zip(lot, futures, strict=True)))
        self._came.set()
        found = await asyncio.gather(*futures, return_exceptions=True)
        return [said if isinstance(said, Answer | Exception) else Unavailable("shutting-down", "the gateway is stopping") for said in found]

    async def _keep(self, take: Take) -> None:
        while True:
            while not self._waiting:
                self._came.clear()
                await self._came.wait()
            await self._pace.turn(min(self._chunk, sum(len(lot) for lot in self._waiting)))
            chunk: _Lot = []
            while self._waiting and len(chunk) + len(self._waiting[0]) <= self._chunk:
                chunk += self._waiting.popleft()
            if chunk:  # else the other one has taken it
                await self._take(take, chunk)

    async def _take(self, take: Take, chunk: Sequence[tuple[Submission, asyncio.Future[Answer]]]) -> None:
        chunk = [each for each in chunk if not each[1].done()]  # its sender has gone away: it hands the message in again
        try:
            answers = await take([submission for submission, _ in chunk])
        except asyncio.CancelledError:
            for _, future in chunk:
                _fail(future, Unavailable("shutting-down", "the gateway is stopping; it is not known whether the message was accepted"))
            raise
        except Exception as error:
            await self._apart(take, chunk, error)
            return
        for (_, future), answer in zip(chunk, answers, strict=True):
            if not future.done():
                future.set_result(answer)
            await asyncio.sleep(0)  # what the sender does next comes apart too

    async def _apart(self, take: Take, chunk: Sequence[tuple[Submission, asyncio.Future[Answer]]], error: Exception) -> None:
        """What failed together is tried singly, so that one bad message fails alone; but not where the ledger is not to be had."""
        if len(chunk) == 1 or isinstance(error, Unavailable):
            for _, future in chunk:
                _fail(future, error)
            return
        if not isinstance(error, GatewayError):
            log.error("intake-failed", door="https", system="bulk", error=type(error).__name__)
        for each in chunk:
            await self._take(take, [each])


def _fail(future: asyncio.Future[Answer], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
