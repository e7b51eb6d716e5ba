"""The registration of this process: renewed every half second, given up when it was not renewed in time (R6).

A process judges itself by the boot-time clock, which a freeze does not stop, from the moment before a renewal was asked for: so it
considers itself dead before anybody else does. Dead in its own eyes it starts no call, and registers anew under a fresh id; what it has
under way is still brought to its end, as late outcomes (R7).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from gateway.delivery.rows import LIVENESS_S
from gateway.errors import LedgerUnavailable
from gateway.ledger.clock import boot_time
from gateway.ledger.ledger import Ledger

RENEW_S = 0.5
_MARGIN_S = 0.3
"""The ledger stamps a renewal later than it was asked for, and clocks of two machines differ a little."""

_log = logging.getLogger(__name__)


class Liveness:
    """One registration at a time. Belongs to the event loop."""

    def __init__(self, ledger: Ledger, role: str) -> None:
        self._ledger = ledger
        self._role = role
        self._id: str | None = None
        self._renewed = 0.0
        self._task: asyncio.Task[None] | None = None
        self._given_up: set[str] = set()

    @property
    def id(self) -> str:
        """The present registration."""
        if self._id is None:
            raise LedgerUnavailable("not-registered", "this process is not registered in the ledger")
        return self._id

    def alive(self, registration: str | None = None) -> bool:
        """In its own eyes; with ``registration``: and still under that one."""
        if self._id is None or boot_time() - self._renewed >= LIVENESS_S - _MARGIN_S:
            return False
        return registration is None or registration == self._id

    async def start(self) -> None:
        """Register and go on renewing."""
        await self._register()
        self._task = asyncio.create_task(self._keep(), name="liveness")

    def give_up(self, registration: str) -> None:
        """What the ledger holds under this registration is not known (a commit without an answer): end it, register anew (R20)."""
        if registration == self._id:
            self._id = None
            self._given_up.add(registration)

    async def stop(self) -> None:
        """End the registration: its claims, if any, are void at once."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._id is not None:
            with contextlib.suppress(LedgerUnavailable):  # it runs out by itself within three seconds
                await self._ledger.end(self._id)
            self._id = None

    async def _register(self) -> None:
        asked = boot_time()
        registration = await self._ledger.register(self._role)
        self._id, self._renewed = registration, asked

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(RENEW_S)
            try:
                await self._once()
            except LedgerUnavailable as error:
                _log.warning("registration-not-renewed", extra={"code": error.code})

    async def _once(self) -> None:
        for old in tuple(self._given_up):
            await self._ledger.end(old)
            self._given_up.discard(old)
        if self._id is not None and not self.alive():
            _log.warning("registration-ran-out", extra={"code": "frozen"})
            self._given_up.add(self._id)
            self._id = None
        if self._id is None:
            await self._register()
            return
        asked, registration = boot_time(), self._id
        if await self._ledger.renew(registration):
            if registration == self._id:
                self._renewed = asked
        elif registration == self._id:
            self._id = None
