"""Day-of-effect sending: looks for what waited for a day in Japan that has come. For one event loop; any number of processes may."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from functools import partial
from typing import Final

from gateway.errors import GatewayError, Unavailable
from gateway.ledger import days
from gateway.ledger.ledger import Ledger

LOOK_S: Final = 2.0
STEP: Final = 200
_log = logging.getLogger(__name__)


class DayKeeper:
    """Releases on the day of effect."""

    def __init__(self, ledger: Ledger, every_s: float = LOOK_S) -> None:
        self._ledger = ledger
        self._every_s = every_s
        self._task: asyncio.Task[None] | None = None
        self.failed: GatewayError | None = None

    async def start(self) -> None:
        """Look, and go on."""
        self._task = asyncio.create_task(self._keep(), name="days")

    async def stop(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def check(self) -> None:
        """For ``/readyz``. Raises Unavailable where nothing is released."""
        if self.failed is not None:
            raise Unavailable("days-stand", f"what waits for its day is not released ({self.failed.code})")

    async def once(self) -> int:
        """Release what is due; returns how many."""
        done = 0
        while found := await self._ledger.read(partial(days.due, limit=STEP)):
            self._ledger.ring_all(await self._ledger.submit(days.ReleaseDay(deliveries=found, size=len(found))))
            done += len(found)
        return done

    async def _keep(self) -> None:
        while True:
            try:
                await self.once()
                self.failed = None
            except GatewayError as error:
                _log.warning("days-stand", extra={"code": error.code})
                self.failed = error
            except Exception as error:  # a bug must not end it for good: what is due would stay unseen
                _log.critical("days-failed", exc_info=True)
                self.failed = GatewayError("days-failed", f"the release of days failed: {type(error).__name__}")
            await asyncio.sleep(self._every_s)
