"""What the keeper of retention needs, from the configuration."""

from __future__ import annotations

import functools
import logging
import time
from pathlib import Path

from gateway.backup.manifest import MANIFEST
from gateway.backup.manifest import SUFFIX as BACKUP
from gateway.config import Config
from gateway.keyring import key_store
from gateway.policy.routes import tables
from gateway.retention.calendar import BusinessCalendar
from gateway.retention.erasures import ErasureList
from gateway.retention.files import Folder
from gateway.retention.keeper import Keeping
from gateway.retention.policy import load as load_retention
from gateway.security.keys import Kind

_log = logging.getLogger(__name__)


def retention_of(config: Config) -> Keeping:
    """The retention table, the calendar, and where on this disk data lie.

    :raises ConfigurationError: the table or the file of holidays does not hold.
    """
    data = config.data_dir
    return Keeping(
        policy=load_retention(config.retention.policy, tables().ephemeral),
        calendar=BusinessCalendar.of_file(config.retention.holidays),
        erasures=ErasureList(config.erasures_file),
        folders={
            "submit": [Folder(path=data / "submit", patterns=("*",), secret=True)],
            "backup": [Folder(path=config.backup_directory, patterns=(f"*{BACKUP}", f"*{MANIFEST}", f".*{BACKUP}.partial"), secret=True)],
            "export": [Folder(path=each, patterns=("*",), secret=True, deep=True) for each in config.export_directories],
            "log": [
                Folder(path=each, patterns=("*.log", "*.log.*"), secret=False) for each in (data / "log", config.broker_directory / "log")
            ],
        },
        every_s=config.retention.every_s,
        disposed=functools.partial(_end_backup_keys, config),
    )


def _end_backup_keys(config: Config, _file: Path) -> None:
    """A backup was disposed of: former backup keys whose every backup is past its time go too, and copies elsewhere with them. Blocks."""
    keys = key_store(config)
    [rule] = load_retention(config.retention.policy, tables().ephemeral).of("backup")
    before = rule.after.due_before(time.time(), BusinessCalendar.of_file(config.retention.holidays))
    for key_id in keys.ids(Kind.BACKUP)[:-1]:
        superseded = keys.superseded_at(Kind.BACKUP, key_id)
        if superseded is not None and superseded < before:
            keys.destroy(Kind.BACKUP, key_id)
            _log.info("key-destroyed", extra={"code": f"backup-{key_id}"})
