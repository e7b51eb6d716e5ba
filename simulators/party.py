"""What all simulated parties share: the TLS door, the journal, faults, the script, counters, what was received, start and stop.

A party implements :class:`Party`: it rebuilds its state from journal entries (:meth:`Party.recover`), and answers requests
(:meth:`Party.handle`). :class:`PartyServer` puts it on the network and gives it a control page (:mod:`simulators.control`).
"""

from __future__ import annotations

import abc
import asyncio
import contextlib
import signal
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from aiohttp import web

from simulators.errors import BadFault
from simulators.faults import FaultBoard, FaultSpec, Script, ScriptRun
from simulators.journal import Entry, Journal
from simulators.listener import Listener

RECEIVED_KEPT = 1000
TICK_S = 0.05


@dataclass(slots=True, kw_only=True)
class Received:
    """One call as it came in: what the control API shows of it. No personal data."""

    at: float
    peer: str
    call_id: str
    subjects: tuple[tuple[str, str, str], ...]
    """(resident reference, delivery id, request control number) of each record."""
    fault: str | None = None
    outcome: str = ""

    def shown(self) -> dict[str, Any]:
        """As JSON."""
        records = [{"resident": subject[0], "delivery": subject[1], "request": subject[2]} for subject in self.subjects]
        return {"at": self.at, "peer": self.peer, "call": self.call_id, "fault": self.fault, "outcome": self.outcome, "records": records}


class Party(abc.ABC):
    """One simulated outside party. Lives on one event loop."""

    name: ClassVar[str]
    """Spec id of the party."""
    title_en: ClassVar[str]
    title_ja: ClassVar[str]

    def __init__(self, *, seed: int = 0) -> None:
        self.faults = FaultBoard(seed)
        self.counters: Counter[str] = Counter()
        self.received: deque[Received] = deque(maxlen=RECEIVED_KEPT)
        self.journal: Journal

    def open_journal(self, path: Path, *, sync: str = "os") -> None:
        """Open the journal and rebuild the state from it."""
        self.journal = Journal(path, sync="disk" if sync == "disk" else "os", on_entry=self._recovered)

    def _recovered(self, entry: Entry) -> None:
        self.counters[entry["kind"]] += 1
        self.recover(entry)

    @abc.abstractmethod
    def recover(self, entry: Entry) -> None:
        """Take over one journal entry into the state."""

    @abc.abstractmethod
    def forget(self) -> None:
        """Give up the whole state: back to the beginning."""

    @abc.abstractmethod
    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request of the party's protocol."""

    @abc.abstractmethod
    def state(self) -> dict[str, Any]:
        """What the control API shows of the state; counts and settings, no personal data."""

    async def emit(self, what: dict[str, Any]) -> dict[str, Any]:
        """Send something of the party's own accord; most parties never do.

        :raises BadFault: this party emits nothing.
        """
        raise BadFault("emits-nothing", f"{self.name} sends nothing of its own accord")

    async def begin(self) -> None:
        """It serves now."""

    async def end(self) -> None:
        """It stops serving; the journal is still open."""

    def reset(self) -> None:
        """Forget everything; the old journal is put aside."""
        self.faults.clear()
        self.journal.put_aside()
        self.counters.clear()
        self.received.clear()
        self.forget()


@dataclass(slots=True, kw_only=True)
class PartyServer:
    """A party on the network."""

    party: Party
    listener: Listener
    script: Script | None = None
    _started: float = 0.0
    _ticker: asyncio.Task[None] | None = None
    _on_stop: list[Callable[[], None]] = field(default_factory=list)
    script_over: bool = True

    async def start(self) -> None:
        """Listen, and begin the script."""
        await self.listener.start()
        await self.party.begin()
        self._started = time.monotonic()
        self.script_over = self.script is None
        self._ticker = asyncio.get_running_loop().create_task(self._tick())

    async def _tick(self) -> None:
        run = ScriptRun(self.script) if self.script is not None else None
        while True:
            if run is not None and not run.over:
                self._take_steps(run)
                self.script_over = run.over
            await self.apply_listener_mode()
            await asyncio.sleep(TICK_S)

    def _take_steps(self, run: ScriptRun) -> None:
        counters = self.party.counters
        elapsed_s = time.monotonic() - self._started
        for step in run.due(elapsed_s=elapsed_s, calls=counters["calls"], effects=counters["effect"] + counters["taken"]):
            if step.clear:
                self.party.faults.clear()
            else:
                self.party.faults.put(FaultSpec.model_validate(step.put))

    async def apply_listener_mode(self) -> None:
        """Bring the listener into the mode that the faults ask for."""
        await self.listener.switch(self.party.faults.listener_mode())

    async def stop(self) -> None:
        """Stop listening, release what faults hold, close the journal."""
        if self._ticker is not None:
            self._ticker.cancel()
            with contextlib.suppress(asyncio.CancelledError):  # our own
                await self._ticker
        self.party.faults.clear()
        await self.party.end()
        await self.listener.stop()
        self.party.journal.close()


async def until_told_to_stop() -> None:
    """Return at SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    await told.wait()
