"""Pressure acts at the door (R19): on disk space and on the total backlog, never because of one party.

A slow or dead party fills its own keys and nobody else's; only what would stop the gateway as a whole closes the door: a disk on which
soon nothing could be committed, or a backlog larger than the operator allows. The disk keeps a *reserve*: the door closes while there is
still room for the outcomes of calls under way and for operators' commands, which are never refused for pressure.

:class:`Pressure` is read on every message, so reading it costs an attribute; a task measures once a second. The door opens again only when
there is a tenth more room than where it closed, or it would flutter. For one event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.errors import GatewayError, Unavailable


class TooMuch(Unavailable):
    """The backlog is full: 429 rather than 503, since it is the amount of messages that has to fall."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PressureLimits:
    """Where the door closes."""

    backlog: int
    """Deliveries that are not final, over all parties."""
    disk_reserve_bytes: int
    """Bytes that must stay free on the ledger's disk."""
    open_again: float = 1.1
    """Room needed to open, relative to the limit at which it closed."""
    interval_s: float = 1.0


def free_bytes(path: Path) -> int:
    """Bytes on the disk of ``path`` that this process may still use."""
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize


class Pressure:
    """Whether the door is open.

    :param disks: folders whose disks matter: the ledger's, and the broker's where it is embedded.
    :param backlog: number of deliveries that are not final; may fail with a :class:`GatewayError`, which closes the door too.
    """

    def __init__(
        self,
        limits: PressureLimits,
        *,
        disks: Sequence[Path],
        backlog: Callable[[], Awaitable[int]],
        free: Callable[[Path], int] = free_bytes,
    ) -> None:
        self._limits = limits
        self._disks = tuple(disks)
        self._backlog = backlog
        self._free = free
        self._task: asyncio.Task[None] | None = None
        self._open = asyncio.Event()
        self._open.set()
        self._closed: Unavailable | None = None

    @property
    def closed(self) -> Unavailable | None:
        """Why the door is closed (:class:`TooMuch` ``backlog-full``, ``disk-full``, ``ledger-unavailable``), or None: let it in."""
        return self._closed

    async def wait_open(self) -> None:
        """Return when the door is open; for a consumer, which has nobody to refuse and just stops."""
        await self._open.wait()

    async def measure(self) -> None:
        """Look at disk and backlog now."""
        found = self._disk_problem() or await self._backlog_problem()
        self._closed = found
        if found is None:
            self._open.set()
        else:
            self._open.clear()

    async def start(self) -> None:
        """Measure, and go on measuring until :meth:`stop`."""
        await self.measure()
        self._task = asyncio.create_task(self._run(), name="intake-pressure")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):  # our own cancellation, just above
                await self._task
            self._task = None

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._limits.interval_s)
            await self.measure()

    def _disk_problem(self) -> Unavailable | None:
        needed: float = self._limits.disk_reserve_bytes
        if self._closed is not None and self._closed.code == "disk-full":
            needed *= self._limits.open_again
        for disk in self._disks:
            try:
                free = self._free(disk)
            except OSError:
                return Unavailable("disk-full", "the free space of the data disk cannot be read", retry_after_s=30)
            if free < needed:
                return Unavailable("disk-full", "the data disk has only its reserve left", retry_after_s=30)
        return None

    async def _backlog_problem(self) -> Unavailable | None:
        limit: float = self._limits.backlog
        if self._closed is not None and self._closed.code == "backlog-full":
            limit /= self._limits.open_again
        try:
            waiting = await self._backlog()
        except GatewayError as e:
            return Unavailable("ledger-unavailable", f"the ledger does not answer ({e.code})", retry_after_s=2)
        if waiting >= limit:
            return TooMuch("backlog-full", "too many messages wait for delivery", retry_after_s=10)
        return None
