"""A backup a day: a job of every gateway process, of which one at a time works (a lease in the ledger).

It is due at the configured time of day in Japan. Whether one has been made since is seen in the folder, so a gateway that was down at that
time makes it when it is back, and one that was made by hand since then counts. One that could not be made is tried again; what nobody
looks at shows in ``renkei check`` and in the log.

For one event loop; the backup itself is made in a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from gateway.backup.create import BackupPlace, create
from gateway.backup.manifest import Manifest, found, read
from gateway.errors import GatewayError
from gateway.ledger.leases import TakeLease
from gateway.ledger.ledger import Ledger
from gateway.ledger.operators import RecordAccess

ACTOR: Final = "backup"
LEASE: Final = "backup"
AGAIN_S: Final = 60.0
JAPAN: Final = ZoneInfo("Asia/Tokyo")

_log = logging.getLogger(__name__)


def due_since(at: dt.time, now: dt.datetime) -> dt.datetime:
    """The last moment at which the daily backup was due; ``at``: in Japan."""
    here = now.astimezone(JAPAN)
    today = here.replace(hour=at.hour, minute=at.minute, second=0, microsecond=0)
    return today if today <= here else today - dt.timedelta(days=1)


def newest(directory: Path) -> Manifest | None:
    """What the manifest of the newest backup says. Reads files.

    :raises BackupBroken: it cannot be read, or was altered.
    """
    files = found(directory)
    return read(files[-1]) if files else None


async def record(ledger: Ledger, made: Manifest) -> None:
    """Put on record that a backup was made."""
    detail = {"backup": made.backup, "block": made.block, "file_sha256": made.file_sha256, "rows": sum(made.rows.values())}
    await ledger.submit(RecordAccess(kind="backup-created", actor=made.created_by, detail=detail))


class DailyBackups:
    """See the module's text."""

    def __init__(
        self,
        ledger: Ledger,
        place: BackupPlace,
        at: dt.time,
        registration: Callable[[], str],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """:param registration: of this process (R6), for the lease; ``clock``: seconds since 1970 UTC."""
        self._ledger, self._place, self._at, self._registration, self._clock = ledger, place, at, registration, clock
        # a gateway that has no backup at all may be a minute old: its first one is made at the next time of day
        self._began = clock()
        self._task: asyncio.Task[None] | None = None
        self._making: asyncio.Task[Manifest] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._keep(), name="daily-backups")

    async def stop(self) -> None:
        """End. A backup under way cannot be broken off, since it is made in a thread: it is waited for, and recorded like any other."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._making is not None:
            with contextlib.suppress(GatewayError):
                await self._making

    async def look(self) -> Manifest | None:
        """Make the backup if it is due and no other process is at it; None: it was not.

        :raises BackupBroken: the newest one cannot be read, so it cannot be said whether one is due.
        :raises ConfigurationError, Unavailable: see :func:`gateway.backup.create.create`.
        """
        last = await asyncio.to_thread(newest, self._place.directory)
        since = self._began if last is None else last.created_at
        if since >= due_since(self._at, dt.datetime.fromtimestamp(self._clock(), dt.UTC)).timestamp():
            return None
        if await self._ledger.submit(TakeLease(name=LEASE, worker=self._registration(), keep=True)) is None:
            return None
        self._making = asyncio.create_task(self._make(), name="backup")
        return await asyncio.shield(self._making)

    async def _make(self) -> Manifest:
        engine = self._ledger.engine
        made = await asyncio.to_thread(create, engine.read_here, engine.dialect, self._place, ACTOR)
        await record(self._ledger, made)
        return made

    async def _keep(self) -> None:
        while True:
            try:
                await self.look()
            except GatewayError as error:
                _log.error("backup-failed", extra={"code": error.code})
            except Exception as error:  # a bug must not end it for good
                _log.critical("backup-failed", extra={"error": type(error).__name__})
            await asyncio.sleep(AGAIN_S)
