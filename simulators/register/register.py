"""The register at work: feeds the lanes from its source, runs both doors, watches for what is held, and replaces it.

It goes on from its record: what has a receipt is not sent again, what has none is sent again with the same id.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from simulators.references import References
from simulators.register.amqp_door import AmqpDoor
from simulators.register.https_door import HttpsDoor
from simulators.register.lanes import Lanes
from simulators.register.messages import Outgoing, replacement
from simulators.register.record import RegisterRecord
from simulators.register.source import Source

FINAL = frozenset({"delivered", "rejected", "skipped", "expired", "not-found", "without-delivery"})
ASKING_AT_ONCE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast the register works, and how much it may have in hand."""

    per_s: float | None = None
    """Messages a second; ``None``: as fast as the doors take them."""
    in_hand: int = 4000
    watch_every_s: float | None = None
    """Ask after every accepted message that is not final, this often, and replace what is held; ``None``: do not."""


class Register:
    """One register. Belongs to the event loop."""

    def __init__(
        self,
        *,
        source: Source,
        references: References,
        record: RegisterRecord,
        lanes: Lanes,
        https: HttpsDoor,
        amqp: AmqpDoor | None,
        pace: Pace | None = None,
    ) -> None:
        self._source = source
        self._references = references
        self.record = record
        self._lanes = lanes
        self._https = https
        self._amqp = amqp
        self._pace = pace or Pace()
        self._open: dict[str, Outgoing] = {}
        """What may still have to be replaced: every message that is not known to be final, while we watch."""
        self._states: dict[str, str] = {}
        self._failure: asyncio.Future[None] | None = None
        self.fed = 0
        self.all_fed = False
        self._feeding = True
        self.replacing = True
        """Replace what is held as soon as it is seen, if we watch. Who wants to show how it is held switches it off for a while."""

    async def run(self) -> None:
        """Hand everything in; returns when every message has its receipt (and, if we watch, is final).

        :raises DoorRefused: the gateway cannot be used as configured.
        """
        self._failure = asyncio.get_running_loop().create_future()
        for door in (self._https, self._amqp):
            if door is not None:
                door.on_failure = self._failed
        await self._https.start()
        if self._amqp is not None:
            await self._amqp.start()
        work = asyncio.get_running_loop().create_task(self._work())
        try:
            await asyncio.wait((work, self._failure), return_when=asyncio.FIRST_COMPLETED)
            if self._failure.done():
                self._failure.result()
            await work
        finally:
            work.cancel()
            with contextlib.suppress(asyncio.CancelledError):  # our own
                await work
            await self._https.stop()
            if self._amqp is not None:
                await self._amqp.stop()

    def end_feed(self) -> None:
        """Take nothing more from the source; :meth:`run` returns when what was fed has its receipt."""
        self._feeding = False

    def _failed(self, error: BaseException) -> None:
        if self._failure is not None and not self._failure.done():
            self._failure.set_exception(error)

    async def _work(self) -> None:
        watching = asyncio.get_running_loop().create_task(self._watch()) if self._pace.watch_every_s is not None else None
        try:
            await self._feed()
            while self.unanswered > 0 or (watching is not None and self._open):
                await asyncio.sleep(0.05)
                if watching is not None and watching.done():
                    watching.result()
        finally:
            if watching is not None:
                watching.cancel()
                with contextlib.suppress(asyncio.CancelledError):  # our own
                    await watching

    @property
    def unanswered(self) -> int:
        """Messages that were fed and have no receipt yet."""
        counts = self.record.counts
        return self._lanes.size + counts["submitted"] - counts["accepted"] - counts["refused"]

    async def _feed(self) -> None:
        for message in list(self.record.unanswered_replacements()):
            self._put(message, first=True)
        began = asyncio.get_running_loop().time()
        for message in self._source.messages():
            if not self._feeding:
                break
            if self.record.answer(message.id) is not None:
                if self._pace.watch_every_s is not None and not self.record.was_corrected(message.id):
                    self._open[message.id] = message
                continue
            await self._lanes.room(self._pace.in_hand)
            if self._pace.per_s is not None:
                ahead_s = began + self.fed / self._pace.per_s - asyncio.get_running_loop().time()
                if ahead_s > 0:
                    await asyncio.sleep(ahead_s)
            self._put(message)
            self.fed += 1
            if self.fed % 50 == 0:
                await asyncio.sleep(0)  # making a message takes a while: let the doors work
        self.all_fed = True

    def _put(self, message: Outgoing, *, first: bool = False) -> None:
        if self._pace.watch_every_s is not None:
            self._open[message.id] = message
        self._lanes.put(message, first=first)

    async def _watch(self) -> None:
        assert self._pace.watch_every_s is not None
        while True:
            await self._watch_once()
            await asyncio.sleep(self._pace.watch_every_s)

    async def _watch_once(self) -> None:
        """Of each resident the first message that is not final is asked after: nothing behind it can be held."""
        behind: dict[str, list[Outgoing]] = {}
        for message in self._open.values():
            behind.setdefault(message.resident, []).append(message)
        while behind:
            first = {resident: waiting[0].id for resident, waiting in behind.items() if self.record.answer(waiting[0].id) is not None}
            await self.ask(list(first.values()))
            going_on = {}
            for resident, name in first.items():
                state = self._states.get(name)
                if state in FINAL or self.record.answer(name) == "refused":
                    self._open.pop(name, None)
                    if rest := behind[resident][1:]:
                        going_on[resident] = rest
                elif state == "held" and self.replacing:
                    self._replace(self._open.pop(name))
            behind = going_on

    def _replace(self, held: Outgoing) -> None:
        if self.record.was_corrected(held.id):
            return
        content = self._source.corrected(held.id, held.content)
        abnormal = self.record.next_abnormal(held.resident)
        corrected = replacement(held.id, content, time=held.time, abnormal=abnormal, references=self._references)
        self._put(corrected.handled_by(held.operator, held.terminal), first=True)
        self._open = {corrected.id: self._open.pop(corrected.id), **self._open}  # it has the place of what it replaces

    async def ask(self, ids: Collection[str]) -> Mapping[str, str]:
        """Ask the gateway after messages and put what it says into the record, where that is new."""
        gate = asyncio.Semaphore(ASKING_AT_ONCE)

        async def one(name: str) -> None:
            async with gate:
                said = await self._https.ask(name)
            if said is None:
                return
            state, reason = state_of(said)
            if self._states.get(name) != state:
                self._states[name] = state
                self.record.told(name, state, reason)

        await asyncio.gather(*[one(name) for name in ids])
        return {name: self._states[name] for name in ids if name in self._states}

    def progress(self) -> dict[str, Any]:
        """Counts, for a progress display."""
        doors = {"https": self._https.counts, "amqp": self._amqp.counts if self._amqp is not None else {}}
        return {
            "fed": self.fed,
            "all_fed": self.all_fed,
            "unanswered": self.unanswered,
            "open": len(self._open),
            **self.record.counts,
            **doors,
        }


def state_of(said: Mapping[str, Any]) -> tuple[str, str]:
    """State and reason in what the gateway says of a message: those of the delivery that is furthest from being through.

    ``without-delivery``: an operator corrected all of it, and the corrected message goes on under another name.
    """
    deliveries = said.get("deliveries")
    if not isinstance(deliveries, list) or not deliveries:
        return str(said.get("state") or "without-delivery"), str(said.get("reason") or "")
    weight = (
        "held",
        "unknown",
        "backing-off",
        "waiting-behind",
        "waiting-for",
        "sending",
        "awaiting-reply",
        "queued",
        "received",
        "skipped",
    )
    worst = min(deliveries, key=lambda delivery: weight.index(delivery["state"]) if delivery["state"] in weight else len(weight))
    return str(worst["state"]), str(worst.get("reason") or "")
