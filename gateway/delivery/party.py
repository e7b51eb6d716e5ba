"""The loop around the state machine for one party in one process: bells in, claims, calls, outcomes, on to the next number.

Theory of operation: a *bell* (or the look-up) names a key row. Keys wait here, live before bulk, until a lane is free; then the heads of as
many as fit into one call are claimed together and sent, the outcomes are written, and in the same transaction the next numbers of those
keys are claimed, until none follows, one backs off or is held, or the share is used. Bells are acked when their key is let go (R15).
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from gateway.contract import Outcome, QueryAnswer
from gateway.delivery.calls import Called, Caller
from gateway.delivery.liveness import Liveness
from gateway.delivery.rows import PartyTraits
from gateway.errors import LedgerUnavailable
from gateway.ledger.claims import Claimed
from gateway.ledger.ledger import Ledger
from gateway.ledger.outcomes import Learned, OutcomeResult
from gateway.ledger.unit import StaleKey
from gateway.pacing import BulkPace
from gateway.policy.rights import StalePolicy

_log = logging.getLogger(__name__)
T = TypeVar("T")


class Meter(Protocol):
    """What is counted (``gateway/operations/metrics.py``)."""

    def outcome(self, party: str, answer: Outcome | QueryAnswer, seconds: float) -> None:
        """One record's outcome; how long its call took, in seconds."""

    def unsent(self, party: str, count: int) -> None:
        """Claims that were taken back because it was too late to start (R5)."""

    def late(self, party: str, count: int) -> None:
        """Outcomes whose claim was lost (R7)."""


@dataclass(slots=True)
class _Ring:
    """A key that somebody should look at, and what to do when it was let go."""

    key: str
    bulk: bool
    probe: bool
    done: Callable[[], object] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How a party is worked by this process."""

    calls: int
    records_per_call: int
    share: int
    """Messages of one resident in a row before others have their turn."""
    records_of: Mapping[str, int] = field(default_factory=dict)
    """The most records of these message types in a call, where that is fewer."""
    bulk_records: int = 25
    """The most records in a claim and a call of the bulk lane: what a live one may find before it (I4)."""


_AHEAD = 8
_WAIT_S = 0.5


class Pace:
    """How many lanes a party needs, so that its calls never wait for the ledger's commits, nor claims long for a call.

    A lane spends its time on two commits and one call. For ``calls`` of them to be in a call at any time, more lanes are needed the longer
    the commits take against the call; but what is claimed must start within two seconds (R5), so a slow party gets few.
    """

    def __init__(self, calls: int) -> None:
        self._calls = calls
        self._call_s = 0.05
        self._commits_s = 0.02

    def called(self, seconds: float) -> None:
        """A call took so long, once it had its turn."""
        self._call_s += 0.05 * (seconds - self._call_s)

    def committed(self, seconds: float) -> None:
        """Both commits of a lane's turn took so long."""
        self._commits_s += 0.05 * (seconds - self._commits_s)

    @property
    def lanes(self) -> int:
        """Claims under way at once."""
        call_s = max(self._call_s, 0.001)
        wanted = 1.5 + self._commits_s / call_s
        return max(2, int(self._calls * max(1.25, min(wanted, 1 + _WAIT_S / call_s, _AHEAD))))


@dataclass(slots=True)
class _Rings:
    live: deque[_Ring] = field(default_factory=deque)
    bulk: deque[_Ring] = field(default_factory=deque)

    def __len__(self) -> int:
        return len(self.live) + len(self.bulk)


class PartyRunner:
    """Works the keys of one party. Belongs to the event loop."""

    def __init__(
        self,
        traits: PartyTraits,
        shape: Shape,
        caller: Caller,
        ledger: Ledger,
        liveness: Liveness,
        meter: Meter | None,
        bulk_pace: BulkPace | None = None,
    ) -> None:
        """:param bulk_pace: of this process, for all its parties; None: bulk work goes as fast as it can."""
        self.traits = traits
        self.shape = shape
        self._caller = caller
        self._ledger = ledger
        self._liveness = liveness
        self._meter = meter
        self._rings = _Rings()
        self._working: set[str] = set()
        self._again: dict[str, bool] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._bulk_tasks = 0
        self._bulk_pace = bulk_pace
        self._bulk_calls = max(1, shape.calls // 2)
        self._pace = Pace(shape.calls)
        self._stopping = False
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def party(self) -> str:
        """Its spec id."""
        return self.traits.party

    def free(self, *, bulk: bool) -> int:
        """How many more keys could be worked at once. What waits for the bulk lane takes no room from what is live."""
        if self._stopping:
            return 0
        lanes = self._pace.lanes - len(self._tasks)
        if bulk:
            return max(0, min(lanes, self._bulk_lanes - self._bulk_tasks) * self._most(bulk=True) - len(self._rings))
        return max(0, lanes * self._most(bulk=False) - len(self._rings.live))

    def busy(self, *, bulk: bool) -> bool:
        """Keys wait here for a lane: the work queue is not short (R15)."""
        if bulk and (self._rings.bulk or self._bulk_tasks >= self._bulk_lanes):
            return True
        return len(self._rings.live) > 0 or len(self._tasks) >= self._pace.lanes

    def _most(self, *, bulk: bool) -> int:
        """Records of a call."""
        return min(self.shape.records_per_call, self.shape.bulk_records) if bulk else self.shape.records_per_call

    def ring(self, key: str, *, bulk: bool = False, probe: bool = False, done: Callable[[], object] | None = None) -> None:
        """Look at this key when a lane is free; ``done`` is called when it was let go."""
        self.ring_together([key], bulk=bulk, probe=probe, done=done)

    def ring_together(
        self, keys: Iterable[str], *, bulk: bool = False, probe: bool = False, done: Callable[[], object] | None = None
    ) -> None:
        """:meth:`ring` for several, before any of them is begun with: so that they share a call. ``done`` is called for each."""
        for key in keys:
            self._put(key, bulk, probe, done)
        self._start()

    def _put(self, key: str, bulk: bool, probe: bool, done: Callable[[], object] | None) -> None:
        if self._stopping or key in self._working:
            # worked on right now: its outcome's transaction says what is next, unless that has just committed and this bell is newer
            if not self._stopping:
                self._again[key] = bulk
            if done is not None:
                done()
            return
        (self._rings.bulk if bulk else self._rings.live).append(_Ring(key, bulk, probe, done))

    def drop_rings(self) -> None:
        """The breaker opened or the party was paused: what waits here is in the ledger and will be found again."""
        for ring in itertools.chain(self._rings.live, self._rings.bulk):
            if ring.done is not None:
                ring.done()
        self._rings.live.clear()
        self._rings.bulk.clear()
        self._again.clear()

    async def stop(self) -> None:
        """Start nothing more; wait until what is under way has ended and is written."""
        self._stopping = True
        self.drop_rings()
        await self._idle.wait()
        await self._caller.adapter.close()

    # ---- lanes -----------------------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        """Fill the free lanes: live first; bulk leaves some free, so that something live need not wait for it (I4)."""
        while len(self._tasks) < self._pace.lanes:
            bulk_may = self._bulk_tasks < self._bulk_lanes
            source = self._rings.live or (self._rings.bulk if bulk_may else None)
            if not source:
                return
            rings = self._take(source)
            if not rings:
                continue
            if rings[0].bulk:
                self._bulk_tasks += 1
            task = asyncio.create_task(self._work(rings))
            self._tasks.add(task)
            self._idle.clear()
            task.add_done_callback(self._ended)

    @property
    def _bulk_lanes(self) -> int:
        """Half of the calls of the party, and few lanes beyond those: a lane that waits for a call stands before something live."""
        return min(self._bulk_calls + 1, max(1, self._pace.lanes * 3 // 4))

    def _take(self, source: deque[_Ring]) -> list[_Ring]:
        rings: list[_Ring] = []
        most = self._most(bulk=source is self._rings.bulk)
        while source and len(rings) < most:
            ring = source.popleft()
            if ring.key in self._working:
                if ring.done is not None:
                    ring.done()
                continue
            self._working.add(ring.key)
            rings.append(ring)
            if ring.probe:
                break
        return rings

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("lane-failed", extra={"code": type(error).__name__, "party": self.party}, exc_info=error)
        self._start()
        if not self._tasks:
            self._idle.set()

    async def _work(self, rings: Sequence[_Ring]) -> None:
        try:
            with self._bulk_pace.under_way() if self._bulk_pace is not None and not rings[0].bulk else contextlib.nullcontext():
                await self._carry(rings)
        except LedgerUnavailable as error:
            # the claim was not made, or nobody knows: then the registration is given up and everything under it is void (R20)
            _log.warning("claim-failed", extra={"code": error.code, "party": self.party})
        finally:
            for ring in rings:
                self._working.discard(ring.key)
                if ring.key in self._again:
                    self.ring(ring.key, bulk=self._again.pop(ring.key))
                if ring.done is not None:
                    ring.done()
            if rings[0].bulk:
                self._bulk_tasks -= 1

    async def _carry(self, rings: Sequence[_Ring]) -> None:
        registration = self._liveness.id
        if not self._liveness.alive(registration):
            return
        probe, bulk = any(ring.probe for ring in rings), rings[0].bulk
        pace = self._bulk_pace
        if bulk and pace is not None:
            await pace.turn(len(rings))
            if not self._liveness.alive(registration):
                return
        clock = asyncio.get_running_loop().time
        asked = clock()
        try:
            result = await self._ledger.claim(registration, self.party, [ring.key for ring in rings], self.traits, probe=probe, bulk=bulk)
        except LedgerUnavailable as error:
            if error.code == "commit-unknown":
                self._liveness.give_up(registration)
            raise
        claims: tuple[Claimed, ...] = result.claimed
        if claims and not bulk and pace is not None:
            pace.live(clock() - asked)
        for turn in range(self.shape.share):
            if not claims:
                return
            last = turn + 1 == self.shape.share or self._stopping
            groups = self._groups(claims)
            if bulk and pace is not None:
                await pace.let_pass()
            claimed = clock()
            called = [await self._call(registration, groups[0])] if len(groups) == 1 else await self._call_all(registration, groups)
            answered = clock()
            settled = [await self._settle(registration, one, go_on=not last, bulk=bulk) for one in called]
            self._pace.committed((claimed - asked) + (clock() - answered))
            asked = clock()
            claims = tuple(itertools.chain.from_iterable(settled))

    async def _call_all(self, registration: str, groups: Sequence[Sequence[Claimed]]) -> Sequence[Called]:
        return await asyncio.gather(*(self._call(registration, group) for group in groups))

    def _groups(self, claims: Iterable[Claimed]) -> list[list[Claimed]]:
        """Calls: a query alone; each message type by itself, and no more of it than the party takes; what must go alone, alone (R8); the
        members of a refused call in smaller ones (R11)."""
        groups: list[list[Claimed]] = []
        by_kind: dict[tuple[int, str], list[Claimed]] = {}
        for claim in claims:
            if claim.query:
                groups.append([claim])
                continue
            most = min(self.shape.records_per_call, self.shape.records_of.get(claim.message_type, self.shape.records_per_call))
            by_kind.setdefault((min(claim.call_cap or most, most), claim.message_type), []).append(claim)
        for (cap, _), members in by_kind.items():
            groups += [members[i : i + cap] for i in range(0, len(members), cap)]
        return groups

    async def _call(self, registration: str, group: Sequence[Claimed]) -> Called:
        called = await (self._caller.ask(registration, group[0]) if group[0].query else self._caller.send(registration, group))
        if called.seconds is not None:
            self._pace.called(called.seconds)
        if self._meter is not None:
            for item in called.learned:
                self._meter.outcome(self.party, item.answer, called.seconds or 0.0)
            if called.unsent:
                self._meter.unsent(self.party, len(called.unsent))
        return called

    async def _settle(self, registration: str, called: Called, *, go_on: bool, bulk: bool) -> tuple[Claimed, ...]:
        if called.unsent:
            self._pace.called(_WAIT_S)  # the claims waited too long for a call: fewer lanes
            await self._until_written(registration, lambda: self._ledger.take_back(registration, called.unsent))
        if called.refused:
            await self._until_written(registration, lambda: self._ledger.refuse(registration, called.refused))
        if not called.learned:
            return ()
        return await self._write(registration, called.learned, go_on, bulk)

    async def _write(self, registration: str, learned: tuple[Learned, ...], go_on: bool, bulk: bool) -> tuple[Claimed, ...]:
        """The outcome must not be lost: it is written as soon as the ledger can, under a claim that may have run out by then (R7)."""

        async def write() -> OutcomeResult:
            nonlocal learned
            try:
                return await self._ledger.write_outcomes(registration, self.party, learned, self.traits, go_on=go_on, bulk=bulk)
            except StaleKey:
                learned = self._caller.seal_again(learned)
                raise
            except StalePolicy:
                await self._caller.decide_again()
                learned = self._caller.seal_again(learned)
                raise

        result = await self._until_written(registration, write)
        if result.lost and self._meter is not None:
            self._meter.late(self.party, result.lost)
        return result.next

    async def _until_written(self, registration: str, write: Callable[[], Awaitable[T]]) -> T:
        wait = 0.05
        while True:
            try:
                return await write()
            except LedgerUnavailable as error:
                if error.code == "ledger-closed":
                    raise
                if error.code == "commit-unknown":
                    self._liveness.give_up(registration)
                _log.warning("outcome-not-written-yet", extra={"code": error.code, "party": self.party})
                await asyncio.sleep(wait)
                wait = min(wait * 2, 2.0)
