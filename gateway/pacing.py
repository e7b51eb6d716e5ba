"""How fast bulk work goes beside live work (I4): one pace in each place where bulk takes from what live needs.

**Theory of operation.** Live work is let past bulk wherever the two queue for the same thing: the ledger's writer, a party's lanes and
calls, the turnstile of SQLite. That does not do where they share something without a queue of ours: the event loop, the interpreter, the
processors. There bulk work must leave room, whether anybody uses it right now or not. So who does bulk work asks here before each chunk:

- While nothing live was seen for :data:`QUIET_S`, nothing is held back.
- Otherwise chunks are spaced so that no more than :attr:`BulkPace.rate` records a second begin. The rate is between ``per_s`` (the
  configuration) and a tenth of it: it is halved while live operations take much longer than they do beside no bulk work, and grows again
  by a twentieth of ``per_s`` a look. What "much longer" is, this learns itself, from live operations while bulk is quiet; a machine
  that is slow without bulk work is not made quicker by stopping it, hence the floor.

Pure but for :meth:`BulkPace.turn`, which sleeps. For one event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

from gateway.presence import LivePresence

QUIET_S: Final = 2.0
"""So long after the last live operation nobody live is there; so long after the last bulk chunk it is quiet. Seconds."""
LOOK_S: Final = 0.25
BELL_S: Final = 0.005
"""So long after an acceptance its bell is on the way to a worker."""
FLOOR: Final = 0.1
"""Of ``per_s``: bulk work never stops (a deadline may depend on it)."""
MUCH_LONGER: Final = 3.0
"""Times the usual duration of a live operation."""
NOT_WORTH_S: Final = 0.02
"""Differences below this are no reason to slow down, seconds."""
_KEEP: Final = 200


class BulkPace:
    """See the module's text. One for each process, or for each kind of bulk work in it."""

    def __init__(
        self,
        per_s: float,
        *,
        live_elsewhere: bool = False,
        presence: LivePresence | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """:param per_s: the most records a second that begin beside live work.
        :param live_elsewhere: live work is done by other processes, and taken to be there at any time.
        :param presence: what all processes of this gateway tell of live work under way; None: nothing is known of them."""
        self._presence = presence
        self._live_elsewhere = live_elsewhere
        self._per_s = per_s
        self._clock = clock
        self._sleep = sleep
        self.rate = per_s
        """Records a second beside live work, as of now."""
        self._live_at = -QUIET_S
        self._bulk_at = -QUIET_S
        self._next_at = 0.0
        self._looked_at = 0.0
        self._usual: deque[float] = deque(maxlen=_KEEP)
        self._beside: list[float] = []

    def under_way(self, then_s: float = 0.0) -> contextlib.AbstractContextManager[None]:
        """Something live is done inside; ``then_s``: :meth:`LivePresence.live`."""
        return self._presence.live(then_s) if self._presence is not None else contextlib.nullcontext()

    @contextlib.contextmanager
    def live_work(self, then_s: float = 0.0) -> Iterator[None]:
        """A live operation is done inside; ``then_s``: :meth:`LivePresence.live`. One that fails says nothing about how long they take."""
        began = self._clock()
        with self.under_way(then_s):
            yield
        self.live(self._clock() - began)

    def live(self, seconds: float) -> None:
        """A live operation has just ended; it took so long."""
        now = self._live_at = self._clock()
        if now - self._bulk_at > QUIET_S:
            self._usual.append(seconds)
        else:
            self._beside.append(seconds)

    async def turn(self, records: int) -> None:
        """Wait until ``records`` more may begin; what is live right now goes first."""
        now = self._clock()
        self._look(now)
        begin = max(now, self._next_at) if self._live_elsewhere or now - self._live_at <= QUIET_S else now
        self._next_at = begin + records / self.rate  # before waiting: several may ask at once
        if begin > now:
            await self._sleep(begin - now)
        await self.let_pass()
        self._bulk_at = self._clock()

    async def let_pass(self) -> None:
        """Between two steps of a chunk: see :mod:`gateway.presence`."""
        if self._presence is not None:
            await self._presence.let_pass()

    def _look(self, now: float) -> None:
        if now - self._looked_at < LOOK_S:
            return
        self._looked_at = now
        beside, self._beside = self._beside, []
        if beside and len(self._usual) >= 20 and _median(beside) > max(MUCH_LONGER * (usual := _median(self._usual)), usual + NOT_WORTH_S):
            self.rate = max(self._per_s * FLOOR, self.rate / 2)
        else:
            self.rate = min(self._per_s, self.rate + self._per_s / 20)


def _median(values: deque[float] | list[float]) -> float:
    return sorted(values)[len(values) // 2]
