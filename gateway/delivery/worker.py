"""A worker process: consumes the bells of every party, looks for due keys twice a second, runs a :class:`PartyRunner` for each party."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection

from gateway.broker import Consumer, Delivery, Publisher, Subscription, topology
from gateway.delivery import breaker
from gateway.delivery.breaker import PartyRow
from gateway.delivery.liveness import Liveness
from gateway.delivery.party import PartyRunner
from gateway.delivery.rows import PartyTraits
from gateway.errors import BrokerUnavailable, LedgerUnavailable
from gateway.ledger.bells import Bell
from gateway.ledger.clock import ledger_time
from gateway.ledger.ledger import Ledger
from gateway.ledger.lookup import DueKey, due_keys, party_row, process_lives, void_keys

LOOK_S = 0.5
"""The look-up for due keys, seconds (section 5)."""
_STALE_FIRST_S, _STALE_LONGEST_S = 1.5, 60.0
"""A key that was rung and is still due after this is taken by who finds it; doubled for each bell (R15)."""
_LIMIT = 200
TOGETHER = 25
"""Keys in one bell of the bulk lane: what one call takes at most, and as many ids as fit into the body of a bell."""
BULK_BELLS = 40
"""Bells of the bulk lane that wait here at most, of one party: enough to fill calls, few enough that other processes have their share."""

_log = logging.getLogger(__name__)


def ringer(publisher: Publisher) -> Callable[[Iterable[Bell]], None]:
    """How the ledger rings: a bell on the party's work queue, not waited for; a failed one is counted, not repeated (R15).

    Bells of the bulk lane that come of one transaction go together, up to :data:`TOGETHER` keys in one message: a message for each would
    cost the broker and both ends more than all else that is done for a bulk record, at the expense of live work.
    """

    def ring(bells: Iterable[Bell]) -> None:
        together: dict[str, list[str]] = {}
        for bell in bells:
            if bell.lane == "bulk":
                together.setdefault(bell.party, []).append(bell.key_id)
            else:
                publisher.ring(topology.WORK_EXCHANGE, f"{bell.party}.{bell.lane}", bell.key_id.encode())
        for party, keys in together.items():
            for first in range(0, len(keys), TOGETHER):
                publisher.ring(topology.WORK_EXCHANGE, f"{party}.bulk", " ".join(keys[first : first + TOGETHER]).encode())

    return ring


class _Found(NamedTuple):
    now: float
    party: PartyRow
    prober_lives: bool
    void: Sequence[DueKey]
    due: Sequence[DueKey]


def _look(conn: Connection, traits: PartyTraits) -> _Found:
    now = ledger_time(conn)
    row = party_row(conn, traits.party)
    lives = row.probe_worker is not None and process_lives(conn, row.probe_worker, now)
    return _Found(now, row, lives, void_keys(conn, traits.party, now, _LIMIT), due_keys(conn, traits.party, now, traits.horizon_s, _LIMIT))


@dataclass(slots=True)
class _Party:
    runner: PartyRunner
    subscriptions: list[Subscription]
    paused: bool = False


class Worker:
    """Belongs to the event loop of its process."""

    def __init__(
        self,
        ledger: Ledger,
        liveness: Liveness,
        consumer: Consumer,
        publisher: Publisher,
        runners: Sequence[PartyRunner],
        *,
        recreate: Callable[[str], Awaitable[None]],
        lanes: Sequence[topology.Lane] = topology.LANES,
    ) -> None:
        """``recreate`` deletes and declares a work queue that has stayed unusable (R15a); ``lanes``: whose work this process does."""
        self._lanes = tuple(lanes)
        self._ledger = ledger
        self._liveness = liveness
        self._consumer = consumer
        self._publisher = publisher
        self._parties = [_Party(runner, []) for runner in runners]
        self._recreate = recreate
        self._tasks: list[asyncio.Task[None]] = []
        self._mending: dict[str, asyncio.Task[None]] = {}

    async def start(self) -> None:
        """Consume and look."""
        for party in self._parties:
            for lane in self._lanes:
                party.subscriptions.append(await self._subscribe(party.runner, lane))
            self._tasks.append(asyncio.create_task(self._keep_looking(party), name=f"look-up {party.runner.party}"))

    async def stop(self) -> None:
        """Take nothing more; end and write what is under way."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):  # our own cancellation
                await task
        await asyncio.gather(*(party.runner.stop() for party in self._parties))

    async def _subscribe(self, runner: PartyRunner, lane: topology.Lane) -> Subscription:
        bulk = lane == "bulk"

        def on_bell(delivery: Delivery) -> None:
            # an ack that comes too late (another channel by now) does nothing: the bell then rings once more
            keys = delivery.body.decode("ascii", "replace").split(" ")
            left = len(keys)

            def let_go() -> None:
                nonlocal left
                left -= 1
                if not left:
                    self._consumer.ack(delivery)

            runner.ring_together(keys, bulk=bulk, done=let_go)

        shape = runner.shape
        prefetch = BULK_BELLS if bulk else min(1000, max(32, shape.calls * shape.records_per_call * 16))
        return await self._consumer.subscribe(
            topology.work_queue(runner.party, lane), prefetch=prefetch, on_delivery=on_bell, on_unusable=self._unusable
        )

    def _unusable(self, queue: str) -> None:
        if queue in self._mending:
            return  # a second one would delete what the first has just declared
        task = asyncio.create_task(self._mend(queue), name=f"recreate {queue}")
        self._mending[queue] = task
        task.add_done_callback(lambda _: self._mending.pop(queue, None))

    async def _mend(self, queue: str) -> None:
        """R15a. The bells that were in it are not missed: the look-up finds their keys."""
        _log.warning("work-queue-unusable", extra={"queue": queue})
        try:
            await self._recreate(queue)
        except BrokerUnavailable as error:
            _log.warning("work-queue-not-recreated", extra={"queue": queue, "code": error.code})

    # ---- the look-up ---------------------------------------------------------------------------------------------------------------

    async def _keep_looking(self, party: _Party) -> None:
        while True:
            try:
                if self._liveness.alive():
                    found = await self._ledger.read(functools.partial(_look, traits=party.runner.traits))
                    await self._act(party, found)
            except (LedgerUnavailable, BrokerUnavailable) as error:
                _log.warning("look-up-failed", extra={"code": error.code, "party": party.runner.party})
            await asyncio.sleep(LOOK_S)

    async def _act(self, party: _Party, found: _Found) -> None:
        runner = party.runner
        if not breaker.may_claim(found.party, found.now):
            self._pause(party)
            if breaker.may_probe(found.party, found.now, prober_alive=found.prober_lives, traits=runner.traits):
                for key in [*found.void, *found.due][:1]:
                    runner.ring(key.id, probe=True)
            return
        await self._resume(party)
        for key in found.void[: max(1, runner.free(bulk=False))]:
            runner.ring(key.id, bulk=key.lane == "bulk")
        away = not self._publisher.connected
        rest: list[str] = []
        for lane in self._lanes:
            bulk = lane == "bulk"
            # where keys wait already, the work queue is not short: ring once for what has become due since, so that it takes its turn
            room = 0 if runner.busy(bulk=bulk) else runner.free(bulk=bulk)
            taken: list[str] = []
            for key in found.due:
                if key.lane != lane:
                    continue
                if len(taken) < room and (away or _unrung(key) or _stale(key, found.now)):
                    taken.append(key.id)
                elif _unrung(key):
                    rest.append(key.id)
            runner.ring_together(taken, bulk=bulk)
        await self._ring(rest)

    async def _ring(self, keys: list[str]) -> None:
        if keys and self._publisher.connected:
            await self._ledger.mark_rung(keys)

    def _pause(self, party: _Party) -> None:
        if not party.paused:
            party.paused = True
            for subscription in party.subscriptions:
                subscription.pause()
            party.runner.drop_rings()

    async def _resume(self, party: _Party) -> None:
        if party.paused:
            party.paused = False
            await asyncio.gather(*(subscription.resume(wait_s=1.0) for subscription in party.subscriptions))


def _unrung(key: DueKey) -> bool:
    return key.rung_at is None or key.rung_at < key.due_at


def _stale(key: DueKey, now: float) -> bool:
    rung = key.rung_at or 0.0
    wait = min(_STALE_LONGEST_S, _STALE_FIRST_S * 2.0 ** min(max(key.rings - 1, 0), 10))
    return now - rung > wait or rung > now  # rung in the future: the clock was set back
