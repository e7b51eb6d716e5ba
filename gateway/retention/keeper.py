"""The keeper of the retention table: a job of every gateway process, of which one at a time works (a lease in the ledger).

A run goes through the table. What must not be sent any more expires; what is past its time is erased in small steps, as bulk operations
between which it pauses, so that live work never waits for it. Each step is written to the list outside the ledger first
(``erasures.py``), then carried out. At the end the ledger's files are searched for every data key that was destroyed: 40 random bytes are
found or they are not there. On PostgreSQL dead rows stay until VACUUM, and its log until that is recycled: there nothing is searched, and
what is left of a wrapped key in them opens no more when its key-encryption key is rotated, or its day key destroyed.

For one event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from gateway.errors import GatewayError, Unavailable
from gateway.ids import new_id
from gateway.ledger import retention as lr
from gateway.ledger.leases import TakeLease
from gateway.ledger.ledger import Ledger
from gateway.retention import files
from gateway.retention.calendar import BusinessCalendar
from gateway.retention.erasures import ErasureList, print_of
from gateway.retention.policy import Place, RetentionPolicy, Rule
from gateway.retention.search import found_in

ACTOR: Final = "retention"
KINDS: Final = {"content": ("delivery", "command"), "receipt": ("receipt",)}
ALL_KINDS: Final = ("delivery", "command", "receipt")
NEEDLES: Final = 200_000
"""Destroyed keys that are looked for in one search."""
NEVER: Final = float("inf")
LOOK: Final = 2000
"""Finished deliveries that one look passes."""
SETTLE_S: Final = 5.0
"""PostgreSQL: no transaction that began longer ago is still open (R21)."""
PROOFS: Final = ("nothing-left", "remains", "not-searched")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLine:
    """What a run erased by one rule, of one type for one party."""

    rule: str
    place: str
    type: str | None
    party: str | None
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """What a run did."""

    run: str
    lines: tuple[RunLine, ...]
    expired: int
    refused: int
    """Too late, but being sent or of unknown outcome (R23): a person must settle them."""
    proof: str

    @property
    def erased(self) -> int:
        return sum(each.count for each in self.lines)


@dataclass(slots=True)
class _Run:
    """A run under way."""

    actor: str
    began_at: float
    instruction: str | None = None
    id: str = field(default_factory=new_id)
    lines: dict[tuple[str, str | None, str | None], lr.Line] = field(default_factory=dict)
    counts: Counter[tuple[str, str | None, str | None]] = field(default_factory=Counter)
    expired: int = 0
    refused: int = 0

    @property
    def ordered(self) -> dict[str, str]:
        return {} if self.instruction is None else {"instruction": self.instruction}

    def line(self, rule: str, place: str, message_type: str | None, party: str | None) -> lr.Line:
        key = (rule, message_type, party)
        if key not in self.lines:
            self.lines[key] = lr.Line(
                id=new_id(), run=self.id, rule=rule, place=place, type=message_type, party=party, began_at=self.began_at, actor=self.actor,
                instruction=self.instruction,
            )  # fmt: skip
        return self.lines[key]


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """What the keeper works with."""

    policy: RetentionPolicy
    calendar: BusinessCalendar
    erasures: ErasureList
    folders: files.Folders = field(default_factory=dict)
    every_s: float = 600.0
    rows: int = 100
    """Data keys that one step destroys."""
    pause_s: float = 0.05
    disposed: Callable[[Path], None] | None = None
    """Told of every file that was disposed of: a backup has a key."""


class Keeper:
    """See the module's text."""

    def __init__(self, ledger: Ledger, keeping: Keeping, registration: Callable[[], str] | None = None) -> None:
        """:param registration: of this process (R6), for the lease."""
        self._ledger = ledger
        self._keeping = keeping
        self._registration = registration
        self._settle_s = 0.0 if ledger.engine.dialect == "sqlite" else SETTLE_S
        self._running = asyncio.Lock()
        self._needles: list[bytes] = []
        self._task: asyncio.Task[None] | None = None
        self.erased: Counter[str] = Counter()
        """By rule, since the start of this process."""
        self.expired = 0
        self.overdue = 0
        """Late deliveries that must not expire, as of the last run."""
        self.failed: GatewayError | None = None
        """Why the last run did not get through."""

    # ---- life ----------------------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Look every ``every_s`` seconds, and when a day begins in Japan."""
        self._task = asyncio.create_task(self._keep(), name="retention")

    async def stop(self) -> None:
        """End; what is left is done by the next run."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def check(self) -> None:
        """For ``/readyz``. Raises Unavailable where what is due cannot be erased."""
        if self.failed is not None:
            raise Unavailable("retention-stands", f"what is past its time is not erased ({self.failed.code})")

    async def _keep(self) -> None:
        while True:
            try:
                await asyncio.sleep(await self._wait_s())
                if await self._leads():
                    await self.run(ACTOR)
                self.failed = None
            except GatewayError as error:
                _log.error("retention-stands", extra={"code": error.code})
                self.failed = error
                await asyncio.sleep(min(self._keeping.every_s, 5.0))
            except Exception as error:  # a bug must not end it for good: what is due would stay unseen
                _log.critical("retention-failed", exc_info=True)
                self.failed = GatewayError("retention-failed", f"the retention job failed: {type(error).__name__}")
                await asyncio.sleep(min(self._keeping.every_s, 5.0))

    async def _leads(self) -> bool:
        if self._registration is None:
            return True
        return await self._ledger.submit(TakeLease(name=lr.LEASE, worker=self._registration(), keep=True)) is not None

    async def _wait_s(self) -> float:
        now = (await self._ledger.read(lr.clocks)).business
        return min(self._keeping.every_s, BusinessCalendar.next_midnight(now) + 1.0 - now)

    # ---- looking -------------------------------------------------------------------------------------------------------------------

    async def before(self, rule: Rule) -> float:
        """What ended before this moment is due by ``rule`` (ledger time)."""
        now = await self._ledger.read(lr.clocks)
        return min(rule.after.due_before(now.business, self._keeping.calendar), now.ledger - self._settle_s)

    async def due(self, rule: Rule) -> int:
        """How much of it is past its time now."""
        before = await self.before(rule)
        if rule.place in KINDS:
            count = 0
            for party in await self._ledger.read(lr.parties):
                mark = await self._ledger.read(partial(lr.Mark.read, name=self._mark(rule, party)))
                more = True
                while more:
                    page = await self._page(rule, party, mark, before)
                    count, mark, more = count + len(page.due), page.mark, page.more
            return count
        if rule.place == "quarantine":
            return len(await self._refused(rule, before, 1_000_000))
        if rule.place in lr.PLACES:
            return len(await self._ledger.read(partial(lr.rows_due, place=rule.place, before=before, limit=LOOK)))
        return len(await asyncio.to_thread(files.due, self._keeping.folders.get(rule.place, ()), before))

    async def late(self, rule: Rule) -> tuple[int, int]:
        """Deliveries that are too late by ``rule``: those that can expire, and those that must not (R23)."""
        can, cannot = 0, 0
        async for _, some in self._late(rule):
            can += sum(each.may_expire for each in some)
            cannot += sum(not each.may_expire for each in some)
        return can, cannot

    async def _late(self, rule: Rule | None, party: str | None = None) -> Any:
        before: float | None = None
        types: Collection[str] | None = None
        if rule is not None and rule.expires is not None:
            now = await self._ledger.read(lr.clocks)
            before, types = rule.expires.due_before(now.business, self._keeping.calendar), self._keeping.policy.types(rule)
        for each in [party] if party is not None else await self._ledger.read(lr.parties):
            after = ""
            while some := await self._ledger.read(partial(lr.expiry_due, party=each, before=before, types=types, after=after, limit=200)):
                yield each, some
                after = some[-1].id

    def _mark(self, rule: Rule, party: str) -> str:
        # a rule that was changed begins anew
        return f"{rule.rule} {'+'.join(sorted(self._keeping.policy.types(rule)))} {party}"

    async def _page(self, rule: Rule, party: str, mark: lr.Mark, before: float) -> lr.Page:
        policy = self._keeping.policy
        return await self._ledger.read(
            lambda conn: lr.content_due(
                conn, party, mark, before, KINDS[rule.place], policy.types(rule), policy.others(rule), LOOK
            )
        )  # fmt: skip

    async def _refused(self, rule: Rule, before: float, limit: int) -> list[lr.Due]:
        policy = self._keeping.policy
        return await self._ledger.read(lambda conn: lr.quarantine_due(conn, before, policy.types(rule), policy.others(rule), limit))

    # ---- running -------------------------------------------------------------------------------------------------------------------

    async def run(self, actor: str) -> RunResult:
        """Go through the whole table once.

        :raises Unavailable: the ledger or the list of erasures cannot be written; what was done so far is done.
        """
        async with self._running:
            run = await self._begin(actor)
            for rule in self._keeping.policy.rules:
                if rule.expires is not None:
                    await self._expire(run, rule)
                await self._apply(run, rule)
            return await self._end(run)

    async def purge(self, party: str, actor: str, instruction: str) -> RunResult:
        """Erase every body and receipt of a party, finished or not; what is being sent or unknown stays, and is counted (R23, C-1-7-18)."""
        async with self._running:
            await asyncio.to_thread(partial(self._keeping.erasures.append, "ordered", instruction=instruction, party=party))
            run = await self._begin(actor, instruction)
            await self._expire(run, None, party)
            mark, more = lr.Mark(), True
            while more:
                page = await self._ledger.read(
                    partial(lr.content_due, party=party, mark=mark, before=NEVER, kinds=ALL_KINDS, types=(), others=(), limit=LOOK)
                )
                await self._erase(run, "purge", "content", party, page.due)
                mark, more = page.mark, page.more
            return await self._end(run)

    async def _begin(self, actor: str, instruction: str | None = None) -> _Run:
        now = await self._ledger.read(lr.clocks)
        return _Run(actor, now.ledger, instruction)

    async def _apply(self, run: _Run, rule: Rule) -> None:
        before = await self.before(rule)
        if rule.place in KINDS:
            for party in await self._ledger.read(lr.parties):
                name, more = self._mark(rule, party), True
                mark = await self._ledger.read(partial(lr.Mark.read, name=name))
                while more:
                    page = await self._page(rule, party, mark, before)
                    await self._erase(run, rule.rule, rule.place, party, page.due)
                    if page.mark != mark:
                        await self._ledger.submit(lr.SetMark(name=name, mark=page.mark))
                    mark, more = page.mark, page.more
        elif rule.place == "quarantine":
            while some := await self._refused(rule, before, self._keeping.rows):
                if not await self._erase(run, rule.rule, rule.place, None, some):
                    break
        elif rule.place in lr.PLACES:
            await self._rows(run, rule, before)
        else:
            await self._dispose(run, rule, rule.place, before)

    async def _rows(self, run: _Run, rule: Rule, before: float) -> None:
        """Rows without bodies; what is sealed and hangs on them loses its data key first, like every body."""
        place, limit = rule.place, self._keeping.rows
        while old := await self._ledger.read(partial(lr.rows_due, place=place, before=before, limit=limit)):
            ids = [each for each, _ in old]
            await self._erase(run, rule.rule, place, None, await self._ledger.read(partial(lr.keys_on, place=place, ids=ids)))
            aliases = await self._ledger.read(partial(lr.aliases_on, place=place, ids=ids))
            line = run.line(rule.rule, rule.place, None, None)
            erased: int = await self._ledger.submit(lr.EraseRows(line=line, rows=old, before=before, aliases=aliases, size=len(old)))
            run.counts[rule.rule, None, None] += erased
            if not erased:
                break
            await asyncio.sleep(self._keeping.pause_s)

    async def _expire(self, run: _Run, rule: Rule | None, party: str | None = None) -> None:
        name, place = ("purge", "content") if rule is None else (rule.rule, rule.place)
        async for of, some in self._late(rule, party):
            for start in range(0, len(some), self._keeping.rows):
                step = some[start : start + self._keeping.rows]
                found: lr.Expired = await self._ledger.submit(lr.ExpireStep(late=step, rule=name, actor=run.actor, size=len(step)))
                self._ledger.ring_all(found.bells)
                run.expired += len(found.expired)
                run.refused += len(found.refused)
                # what was never delivered has no reason to stay another day
                gone = {each.message_id: each.type for each in step if each.id in set(found.expired)}
                due = (
                    await self._ledger.read(partial(lr.keys_of_messages, party=of, messages=gone, before=NEVER, kinds=ALL_KINDS))
                    if gone
                    else ()
                )
                await self._erase(run, name, place, of, tuple(due))
                await asyncio.sleep(self._keeping.pause_s)

    async def _erase(self, run: _Run, rule: str, place: str, party: str | None, due: Collection[lr.Due]) -> int:
        """In steps; what each is about to destroy is on the list outside first."""
        done = 0
        for message_type in sorted({each.type or "" for each in due}):
            of_type = [each for each in due if (each.type or "") == message_type]
            line = run.line(rule, place, message_type or None, party)
            for start in range(0, len(of_type), self._keeping.rows):
                step = of_type[start : start + self._keeping.rows]
                ended = await self._ledger.read(partial(lr.ended, due=step))
                listed = partial(
                    self._keeping.erasures.append, "due", run=run.id, rule=rule, type=message_type or None, party=party,
                    at=round(run.began_at, 3), keys=[each.key for each in step], ended=ended,
                    prints=print_of([each.wrapped for each in step]),
                )  # fmt: skip
                await asyncio.to_thread(listed)
                erased: int = await self._ledger.submit(lr.EraseStep(line=line, due=step, size=len(step)))
                run.counts[rule, message_type or None, party] += erased
                done += erased
                self._needles += [each.wrapped for each in step]
                if len(self._needles) >= NEEDLES:
                    await self._search()
                await asyncio.sleep(self._keeping.pause_s)
        return done

    async def _dispose(self, run: _Run, rule: Rule, place: Place, before: float) -> None:
        old = await asyncio.to_thread(files.due, self._keeping.folders.get(place, ()), before)
        if not old:
            return
        names = [each.path.name for each in old]
        await asyncio.to_thread(partial(self._keeping.erasures.append, "due", run=run.id, rule=rule.rule, place=place, files=names))
        gone = [each for each in old if await asyncio.to_thread(files.dispose, each)]
        for each in gone:
            if self._keeping.disposed is not None:
                await asyncio.to_thread(self._keeping.disposed, each.path)
        if gone:
            line = run.line(rule.rule, place, None, None)
            run.counts[rule.rule, None, None] += len(gone)
            detail = {"files": [each.path.name for each in gone]}
            await self._ledger.submit(
                lr.RecordDisposal(line=line, count=len(gone), oldest=gone[0].changed_at, newest=gone[-1].changed_at, detail=detail)
            )

    async def _end(self, run: _Run) -> RunResult:
        proof = "not-searched"
        lines = tuple(
            RunLine(rule=rule, place=run.lines[rule, of_type, party].place, type=of_type, party=party, count=count)
            for (rule, of_type, party), count in sorted(run.counts.items(), key=str)
            if count
        )
        if lines:
            proof = await self._search()
            line = next(iter(run.lines.values()))
            await self._ledger.submit(lr.RecordDisposal(line=line, proof=proof))
            counts = [[each.rule, each.type, each.party, each.count] for each in lines]
            await asyncio.to_thread(partial(self._keeping.erasures.append, "done", run=run.id, erased=counts, proof=proof, **run.ordered))
        elif run.instruction is not None:
            await asyncio.to_thread(partial(self._keeping.erasures.append, "done", run=run.id, erased=[], **run.ordered))
        for each in lines:
            self.erased[each.rule] += each.count
        self.expired += run.expired
        if run.instruction is None:
            self.overdue = run.refused
        return RunResult(run=run.id, lines=lines, expired=run.expired, refused=run.refused, proof=proof)

    async def _search(self) -> str:
        """Truncate the log, and look for every key that was destroyed; what was found is looked for again the next time."""
        searched = await self._searched()
        if searched is None:
            self._needles.clear()
            return "not-searched"
        if searched:
            _log.error("erasure-remains", extra={"where": ", ".join(searched), "count": len(self._needles)})
            return "remains"
        self._needles.clear()
        return "nothing-left"

    async def _searched(self) -> tuple[str, ...] | None:
        engine = self._ledger.engine
        if not engine.files():
            return None
        for _ in range(100):
            if await asyncio.to_thread(engine.checkpoint):
                break
            await asyncio.sleep(0.1)  # a reader, or another process that checkpoints, is in the way
        _, remains = await asyncio.to_thread(found_in, engine.files(), list(self._needles))
        return remains

    @property
    def keeping(self) -> Keeping:
        return self._keeping
