"""``renkei check``: is there a backup, and is it young enough?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from gateway.backup.daily import newest
from gateway.config import Config
from gateway.contract import Finding
from gateway.keyring import key_store
from gateway.security.keys import Kind


async def look_at_backups(config: Config) -> Sequence[Finding]:
    """The age of the newest backup, where one is made daily or was ever made."""
    remedy = "renkei backup create; look for backup-failed in the log"
    last = await asyncio.to_thread(newest, config.backup_directory)
    if last is None:
        if config.backup.daily_at is None:
            return [Finding(name="backup", ok=True, detail="none is made daily (backup.daily_at), and there is none yet")]
        late = time.time() - await asyncio.to_thread(_first_start, config) > config.backup.warn_hours * 3600
        return [Finding(name="backup", ok=not late, detail="there is none yet", remedy=remedy if late else "")]
    hours = (time.time() - last.created_at) / 3600
    late = hours > config.backup.warn_hours
    return [Finding(name="backup", ok=not late, detail=f"the newest is {hours:.0f} h old", remedy=remedy if late else "")]


def _first_start(config: Config) -> float:
    """When the oldest key of the backups was made: with the first start, unless it was rotated since."""
    if not config.keys_directory.exists():
        return time.time()
    store = key_store(config)
    return store.since(store.ids(Kind.BACKUP)[0])
