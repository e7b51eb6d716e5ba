"""Fetching from a party whose messages wait to be fetched: by its calendar, by one process at a time, with nothing lost and nothing twice.

    due? ──▶ lease ──▶ run ──▶ waiting ──▶ each batch: fetch ──▶ records: checks, policy, sealed ──▶ admission (inbox) ──▶ import report
                                                     ──▶ acknowledge to the party ──▶ run ended

Theory of operation. Each moment of the calendar has one run in the ledger, which ends when everything that waited is committed and
acknowledged; a run that failed is taken up again, and a moment that passed while nobody ran is made up for by the next run, which counts
it as missed (C-1-2-25, C-1-7-13). A batch is acknowledged after the commit only. If the process dies in between, the party has the batch
still and shows it again: its records are there already, under the party's own ids, and have no second effect (I2); what was refused and
kept is not kept twice. The import report says what became of each record, and the party is told from it. A run that found nothing is a
run all the same.

For one event loop. Business time decides what is due (R21).
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from gateway.contract import Adapter, CallNotPrepared, CallNotSent, CallUnanswered, FetchedBatch, FetchedRecord, FetchFailed, RecordResult
from gateway.errors import GatewayError, Unavailable
from gateway.feeds.schedule import Schedule
from gateway.inbound.fetched import Worked, Works
from gateway.intake.admit import Answer, Intake
from gateway.ledger import fetching
from gateway.ledger.admitting import NOT_BOUND
from gateway.ledger.fetching import ACCEPTED, REFUSED, SET_ASIDE, BeginRun, EndRun, Imported, NoteAcknowledged, RecordBatch
from gateway.ledger.leases import Held, TakeLease
from gateway.ledger.ledger import Ledger

LEASE: Final = "fetch"
LOOK_S: Final = 1.0
CHUNK: Final = 50
"""Records in one commit."""
MOST_BATCHES: Final = 1000
"""Of one run: a party that shows more than this has gone wrong; the next run goes on."""
SET_ASIDE_CODES: Final = frozenset({NOT_BOUND, "number-suspected", "serial-unknown"})
"""What a person of the city has to look at; everything else that is refused is the party's mistake."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Running:
    held: Held
    run: str


class Fetcher:
    """See the module's text."""

    def __init__(
        self,
        *,
        party: str,
        adapter: Adapter,
        works: Works,
        intake: Intake,
        ledger: Ledger,
        registration: Callable[[], str],
        schedule: Schedule,
        again_s: float,
        closed: Callable[[], Unavailable | None] = lambda: None,
        look_s: float = LOOK_S,
    ) -> None:
        """:param registration: of this process (R6), for the lease; ``closed``: why nothing may be taken in at the moment (R19)."""
        self.party = party
        self._adapter, self._works, self._intake, self._ledger = adapter, works, intake, ledger
        self._registration, self._schedule, self._again_s, self._closed, self._look_s = registration, schedule, again_s, closed, look_s
        self._not_before = 0.0
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Look from now on."""
        self._task = asyncio.create_task(self._keep(), name=f"fetch {self.party}")

    async def stop(self) -> None:
        """End; a batch under way is fetched again by whoever is next."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):  # our own
                await self._task

    async def look(self) -> bool:
        """Fetch if that is due, and no other process is at it. True: a run was brought to its end.

        :raises FetchFailed: the party's answer cannot be believed; :raises CallNotSent: or it cannot be reached; :raises CallUnanswered:
            or did not answer; :raises Unavailable: the ledger, or the doors are closed.
        """
        now = await self._ledger.read(fetching.business_now)
        due = self._schedule.latest(now)
        last = await self._ledger.read(lambda conn: fetching.last_run(conn, self.party))
        if last is not None and last.due_at >= due and last.ended_at is not None:
            return False
        if (closed := self._closed()) is not None:
            raise closed
        held = await self._ledger.submit(TakeLease(name=LEASE, worker=self._registration(), keep=True))
        if held is None:
            return False
        ended = await self._ledger.read(lambda conn: fetching.last_run(conn, self.party, ended=True))
        missed = self._schedule.missed(ended.due_at, now) if ended is not None else 0
        run = await self._ledger.submit(BeginRun(held=held, party=self.party, due_at=due, now=now, missed=missed))
        if run is None:
            return False
        since = datetime.fromtimestamp(ended.began_at if ended is not None else 0.0, UTC)
        code: str | None = "interrupted"
        try:
            await self._run(_Running(held=held, run=run), since)
            code = None
        except (FetchFailed, CallNotSent, CallUnanswered, CallNotPrepared, GatewayError) as error:
            code = error.code
            raise
        finally:
            if code != "interrupted":
                await self._ledger.submit(EndRun(id=run, party=self.party, now=now, code=code))
        return True

    async def _run(self, running: _Running, since: datetime) -> None:
        seen: set[str] = set()
        for _ in range(MOST_BATCHES):
            waiting = [each for each in await self._adapter.waiting(since=since) if each not in seen]
            if not waiting:
                return
            for batch in waiting:
                seen.add(batch)
                for further in await self._take(running, batch):
                    if further not in seen:
                        seen.add(further)
                        await self._take(running, further)

    async def _take(self, running: _Running, batch: str) -> Sequence[str]:
        """One batch, to the end; returns what is to be fetched besides."""
        also: list[str] = []
        known = await self._ledger.read(lambda conn: fetching.batch_of(conn, self.party, batch))
        if known is None:
            fetched = await self._adapter.fetch(batch)
            if fetched.batch_id != batch:
                raise FetchFailed("other-batch")
            records: Sequence[Imported] = await self._import(fetched, also)
            now = await self._ledger.read(fetching.business_now)
            report = RecordBatch(held=running.held, party=self.party, batch=batch, run=running.run, now=now, records=records)
            if not await self._ledger.submit(report):
                return ()  # another process has taken over: it tells the party
        else:
            records = known[1]
        results = [RecordResult(record_id=each.record, outcome=each.outcome, code=each.code) for each in records]
        await self._adapter.acknowledge(batch, results)
        now = await self._ledger.read(fetching.business_now)
        await self._ledger.submit(NoteAcknowledged(party=self.party, batch=batch, now=now))
        return also

    async def _import(self, batch: FetchedBatch, also: list[str]) -> list[Imported]:
        """Every record by itself, in order; what passes in commits of :data:`CHUNK`."""
        ids = [each.record_id for each in batch.records]
        if len(set(ids)) != len(ids):
            raise FetchFailed("record-twice")
        found: list[Imported] = []
        for start in range(0, len(batch.records), CHUNK):
            chunk = list(enumerate(batch.records[start : start + CHUNK], start + 1))
            before = await self._ledger.read(
                functools.partial(fetching.kept_before, system=self.party, records=[e.record_id for _, e in chunk])
            )
            found += [
                Imported(number=number, record=each.record_id, outcome=_outcome(code), code=code)
                for number, each in chunk
                if (code := before.get(each.record_id)) is not None
            ]
            found += await self._admit([(number, each) for number, each in chunk if each.record_id not in before], also)
        return sorted(found, key=lambda each: each.number)

    async def _admit(self, chunk: Sequence[tuple[int, FetchedRecord]], also: list[str]) -> list[Imported]:
        worked: list[Worked] = []
        for place, (_, record) in enumerate(chunk):
            if place and place % 10 == 0:
                await asyncio.sleep(0)
            worked.append(await self._works.work(record))
            also += worked[-1].also
        answers = iter(await self._intake.commit([each.item for each in worked if each.item is not None]))
        return [
            _imported(number, record, Answer() if each.item is None else next(answers), each.items_dropped)
            for (number, record), each in zip(chunk, worked, strict=True)
        ]

    async def _keep(self) -> None:
        while True:
            if time.monotonic() >= self._not_before:
                try:
                    await self.look()
                except (FetchFailed, CallNotSent, CallUnanswered, CallNotPrepared, GatewayError) as error:
                    _log.error("fetch-failed", extra={"party": self.party, "code": error.code})
                    self._not_before = time.monotonic() + self._again_s
                except Exception as error:  # a bug must not end it for good
                    _log.critical("fetch-failed", extra={"party": self.party, "error": type(error).__name__})
                    self._not_before = time.monotonic() + self._again_s
            await asyncio.sleep(self._look_s)


def _outcome(code: str | None) -> str:
    return ACCEPTED if code is None else SET_ASIDE if code in SET_ASIDE_CODES else REFUSED


def _imported(number: int, record: FetchedRecord, answer: Answer, dropped: int) -> Imported:
    code = answer.refusal.code if answer.refusal is not None else None
    return Imported(
        number=number, record=record.record_id, outcome=_outcome(code), code=code, message_id=answer.message_id, duplicate=answer.duplicate,
        items_dropped=dropped,
    )  # fmt: skip
