"""What an instance has of backups, and what a proof of erasure asks of them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from gateway.backup.create import BackupPlace
from gateway.backup.manifest import found, read
from gateway.backup.reading import lines, tables
from gateway.config import Config
from gateway.keyring import key_store
from gateway.policy.routes import tables as routes
from gateway.retention.calendar import JST
from gateway.retention.erasures import ErasureList
from gateway.retention.policy import RetentionPolicy
from gateway.retention.proof import BackupKeys
from gateway.security.keys import KeyStore


def ephemeral_types(policy: RetentionPolicy) -> frozenset[str]:
    """Types of which no backup may have anything: those of the specification, and whatever the retention table counts in business days."""
    named = [policy.types(rule) for rule in policy.of("content", "receipt", "quarantine") if rule.after.business_days is not None]
    return routes().ephemeral.union(*named)


def place_of(config: Config, policy: RetentionPolicy) -> BackupPlace:
    """Where the backups of this configuration are, and what they are made with."""
    return BackupPlace(
        instance=config.instance,
        directory=config.backup_directory,
        keys=key_store(config),
        erasures=ErasureList(config.erasures_file),
        checkpoints=config.checkpoints_file,
        ephemeral=ephemeral_types(policy),
    )


def keys_in(place: BackupPlace, keys: KeyStore, days: int) -> Iterator[BackupKeys]:
    """The data keys in each backup of the folder. Opens them all; blocks.

    :param days: how long the retention table keeps a backup.
    """
    for file in found(place.directory):
        manifest = read(file)
        of_message: dict[str, str] = {}
        vanishing: set[str] = set()
        by_day: set[str] = set()
        with file.open("rb") as stream:
            for name, columns, row in tables(lines(stream, keys)):
                if row is None:
                    continue
                if name == "message" and row[columns.index("type")] in place.ephemeral:
                    vanishing.add(row[0])
                elif name == "data_key":
                    of_message[row[0]] = row[columns.index("message_id")]
                    if "/" in row[columns.index("kek_id")]:
                        by_day.add(row[0])
        ephemeral = len(by_day | {key for key, message in of_message.items() if message in vanishing})
        until = dt.datetime.fromtimestamp(manifest.created_at, JST).date() + dt.timedelta(days=days)
        yield BackupKeys(
            name=manifest.backup, keys=frozenset(of_message), ephemeral=ephemeral, listed=manifest.erasures_head.number, until=until
        )  # fmt: skip
