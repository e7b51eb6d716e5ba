"""The tracker of flows: a job of every gateway process, of which one at a time works (a lease in the ledger).

It follows the blocks of the record, a second or so behind what is committed, and writes the cases as bulk work: live traffic never waits
for it, and the way of a message does nothing for it. Once a second it looks for what is overdue. Nothing that it finds holds any delivery.

For one event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from gateway.errors import GatewayError, Unavailable
from gateway.flows.machine import Instance, Machine
from gateway.ledger import flow_writing
from gateway.ledger import flows as lf
from gateway.ledger.leases import Held, TakeLease
from gateway.ledger.ledger import Ledger

LOOK_S: Final = 0.8
COUNT_S: Final = 10.0
"""Between two counts of the open cases, for the metrics."""
BLOCKS: Final = 8
"""Blocks of the record in one step: at most 3,200 entries."""
AT_A_TIME: Final = 20
"""Entries that are derived before the loop has its turn: what passes through must not wait for a whole step."""
DUE: Final = 200
BEHIND: Final = 2000
"""So many blocks behind, the cases are no longer what people think they are."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracking:
    """What the configuration says of it."""

    settle_s: float = 86_400.0
    keep_s: float = 400 * 86_400.0
    every_s: float = LOOK_S
    count_s: float = COUNT_S


class Tracker:
    """See the module's text."""

    def __init__(self, ledger: Ledger, machine: Machine, tracking: Tracking, registration: Callable[[], str]) -> None:
        """:param registration: of this process (R6), for the lease."""
        self._ledger = ledger
        self._machine = machine
        self._tracking = tracking
        self._registration = registration
        self._task: asyncio.Task[None] | None = None
        self.behind = 0
        self.counts: dict[tuple[str, str], int] = {}
        """Open cases by flow and state, as of the last look."""
        self.failed: GatewayError | None = None
        self._count_at = 0.0

    @property
    def machine(self) -> Machine:
        """The declared flows at work."""
        return self._machine

    @property
    def flows(self) -> tuple[str, ...]:
        """The flows of which something is tracked here."""
        return self._machine.tracked

    def overdue(self, flow: str) -> int:
        """Open cases of a flow with an overdue step, as of the last look."""
        return self.counts.get((flow, "overdue"), 0)

    async def start(self) -> None:
        """Look, and go on."""
        self._task = asyncio.create_task(self._keep(), name="flows")

    async def stop(self) -> None:
        """End; what is left is derived by whoever comes next."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def check(self) -> None:
        """For ``/readyz``. Raises Unavailable where flows are not followed."""
        if self.failed is not None:
            raise Unavailable("flows-stand", f"the flows are not followed ({self.failed.code})")
        if self.behind > BEHIND:
            raise Unavailable("flows-behind", "the flows are far behind the record")

    async def _keep(self) -> None:
        while True:
            try:
                began = time.monotonic()
                more = await self.once()
                self.failed = None
                # it catches up in half of the time at most: what passes through comes first
                await asyncio.sleep(max(0.05, time.monotonic() - began) if more else self._tracking.every_s)
            except GatewayError as error:
                _log.warning("flows-stand", extra={"code": error.code})
                self.failed = error
                await asyncio.sleep(2.0)
            except Exception as error:  # a bug must not end it for good: what is overdue would stay unseen
                _log.critical("flows-failed", exc_info=True)
                self.failed = GatewayError("flows-failed", f"the tracker of flows failed: {type(error).__name__}")
                await asyncio.sleep(5.0)

    async def once(self) -> bool:
        """One look, if this process is the one that does it. Returns whether there is more to follow at once."""
        held: Held | None = await self._ledger.submit(TakeLease(name=lf.LEASE, worker=self._registration(), keep=True))
        if held is not None:
            more = await self._follow(held)
            if not more:
                await self._tick(held)
        else:
            more = False
        if time.monotonic() >= self._count_at:
            self.counts = await self._ledger.read(lf.counts)
            self._count_at = time.monotonic() + self._tracking.count_s
        return more

    async def _follow(self, held: Held) -> bool:
        found = await self._ledger.read(partial(lf.events, blocks=BLOCKS))
        self.behind = found.behind
        if found.last == found.first:
            return False
        changed = await self._derive(found)
        for each in range(0, max(1, len(changed)), 200):
            last = each + 200 >= len(changed)
            # the place in the record moves with the last part: what was written before is written again, the same, after a crash
            part = flow_writing.WriteFlows(
                held=held, instances=changed[each : each + 200], first=found.first, last=found.last if last else found.first,
                size=max(1, len(changed[each : each + 200])),
            )  # fmt: skip
            if not await self._ledger.submit(part):
                return False
        return found.behind > 0

    async def _derive(self, found: lf.Events) -> list[Instance]:
        came = [each for each in found.came if self._machine.correlates(each)]
        subjects = {each.subject for each in came if each.subject is not None}
        messages = {each.message_id for each in found.fates} | {each.after for each in came if each.after is not None}
        messages |= {each.message_id for each in came}
        since = found.now - self._tracking.settle_s
        read = partial(lf.known, subjects=subjects, messages=messages, shared=self._machine.shared() if came else (), since=since)
        known = await self._ledger.read(read)
        by_subject: dict[str | None, list[Instance]] = {}
        in_case: dict[str, set[str]] = {}
        by_id: dict[str, Instance] = {}

        def remember(instance: Instance) -> None:
            if instance.id not in by_id:
                by_id[instance.id] = instance
                by_subject.setdefault(instance.subject, []).append(instance)
            for step in instance.steps.values():
                for message in step.messages:
                    in_case.setdefault(message, set()).add(instance.id)

        for instance in known:
            remember(instance)
        taken = {(message, by_id[case].flow) for message, cases in in_case.items() for case in cases}
        changed: dict[str, Instance] = {}
        for number, each in enumerate(came, start=1):
            if number % AT_A_TIME == 0:
                await asyncio.sleep(0)
            if any((each.message_id, flow) in taken for flow in self._machine.flows_of(each)):
                continue  # written before a crash
            near = [*by_subject.get(each.subject, ()), *(by_subject.get(None, ()) if each.subject is not None else ())]
            if each.after is not None:
                near += [by_id[case] for case in in_case.get(each.after, ()) if by_id[case] not in near]
            before = {other.id: other.part_of for other in near}
            taken_by = self._machine.take(each, near)
            if taken_by is None:
                continue
            remember(taken_by)
            changed[taken_by.id] = taken_by
            changed.update((other.id, other) for other in near if other.part_of != before[other.id])
        for question, state, code in found.dialogues:
            if question.message_id not in in_case:
                made = self._machine.exchanged(question.type, question.party, question, state, code)
                if made is not None:
                    remember(made)
                    changed[made.id] = made
        for number, fate in enumerate(found.fates, start=1):
            if number % AT_A_TIME == 0:
                await asyncio.sleep(0)
            for case in sorted(in_case.get(fate.message_id, ())):
                if self._machine.note(by_id[case], fate):
                    changed[case] = by_id[case]
        return list(changed.values())

    async def _tick(self, held: Held) -> None:
        """What is due by now is looked at once more, and what is late is told."""
        clock = await self._ledger.read(lf.clock)
        found = await self._ledger.read(partial(lf.due, now=clock.now, limit=DUE))
        if found:
            messages = {message for each in found for step in each.steps.values() for message in step.messages}
            for fate in await self._ledger.read(lambda conn: list(lf.fates(conn, messages, clock.offset_s))):
                for each in found:
                    self._machine.note(each, fate)
            late = [(each, no) for each in found for no in self._machine.tick(each, clock.now)]
            first = await self._ledger.read(lf.cursor)
            write = flow_writing.WriteFlows(held=held, instances=found, first=first, last=first, overdue=late, size=len(found))
            if await self._ledger.submit(write):
                for each, no in late:
                    _log.warning("flow-overdue", extra={"flow": each.flow, "case": each.id, "step": no})
        if await self._ledger.read(partial(lf.old, before=clock.now - self._tracking.keep_s)):
            await self._ledger.submit(flow_writing.ForgetFlows(held=held, before=clock.now - self._tracking.keep_s))
