"""Whether something live is under way, in any process of this gateway: bulk work stops at its next step while there is (I4).

**Theory of operation.** A live message goes through several processes, and on a machine with few processors each of its steps waits behind
whatever bulk work has just begun there. Priorities of the operating system do not help: half of the steps are in processes that do both, or
behind the ledger's one lock. So who begins something live says so in memory that all processes of a gateway share, and who does bulk work
looks there between two steps of a few milliseconds: messages of a chunk, groups of the ledger, calls.

The memory holds a moment for each process, on the clock that all of them share: until then something live is under way there. It is
:data:`LONGEST_S` after the begin, so that a party that does not answer holds nobody up, and is taken back at the end. A process that dies
leaves a moment that passes. Whoever waits does so for :data:`PATIENCE_S` at a time at most, and for :data:`SHARE` of all time: bulk work
never stops (a deadline may depend on it). What is told here decides about time only, never about what is done: a torn or stale moment
costs milliseconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import mmap
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Final

SLOTS: Final = 64
"""Processes that can tell; a further one does not, and is not waited for."""
LONGEST_S: Final = 0.1
PATIENCE_S: Final = 0.05
SHARE: Final = 0.5
LOOK_S: Final = 0.001
_SIZE: Final = 8


class LivePresence:
    """What this process tells, and what all of them have told. Telling belongs to the event loop; looking may be done in any thread."""

    def __init__(
        self, path: Path, *, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        """:param path: the same for all processes of a gateway; made if missing. :param clock: the same for all of them."""
        self._clock, self._sleep = clock, sleep
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.ftruncate(self._descriptor, SLOTS * _SIZE)
        self._memory = mmap.mmap(self._descriptor, SLOTS * _SIZE)
        self._until = memoryview(self._memory).cast("d")
        self._slot = self._own_slot()
        self._under_way = 0
        self._credit_s = PATIENCE_S
        self._credited_at = self._clock()
        self._passing: asyncio.Future[None] | None = None

    def _own_slot(self) -> int | None:
        """Held by a lock for as long as this process lives."""
        for slot in range(SLOTS):
            with contextlib.suppress(BlockingIOError):
                fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, _SIZE, slot * _SIZE)
                return slot
        return None

    def close(self) -> None:
        """Tell nothing more."""
        self._tell(0.0)
        self._until.release()
        self._memory.close()
        os.close(self._descriptor)

    @contextlib.contextmanager
    def live(self, then_s: float = 0.0) -> Iterator[None]:
        """Something live is done inside; for ``then_s`` seconds after it the next process is about to go on with it."""
        self._under_way += 1
        self._tell(self._clock() + LONGEST_S)
        try:
            yield
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._tell(self._clock() + then_s)

    def _tell(self, until: float) -> None:
        if self._slot is not None:
            self._until[self._slot] = until

    def busy(self) -> bool:
        """Something live is under way."""
        now = self._clock()
        return any(now < until <= now + LONGEST_S for until in self._until)

    async def let_pass(self) -> None:
        """Wait until nothing live is under way, as long as that may take. Who comes while others wait, waits with them."""
        if self._passing is None:
            began = self._clock()
            self._credit_s = min(PATIENCE_S, self._credit_s + (began - self._credited_at) * SHARE)
            self._credited_at = began
            if self._credit_s <= 0 or not self.busy():
                return
            self._passing = asyncio.ensure_future(self._pass(began))
        await asyncio.shield(self._passing)

    async def _pass(self, began: float) -> None:
        try:
            while self._clock() - began < self._credit_s and self.busy():
                await self._sleep(LOOK_S)
        finally:
            self._credit_s -= self._clock() - began
            self._passing = None
