"""Make a backup beside a running gateway (SQLite and PostgreSQL alike).

Everything is read in one reading transaction: of one moment, without stopping the writer (WAL snapshot; REPEATABLE READ). It is read row
by row and not copied as a file, since a file has what no backup may have, also in its free pages. Rows go through the seal straight to
the disk. The order matters: the line on the list of erasures comes *before* the snapshot, so that whatever is listed behind it is erased
again by a restore; what is erased meanwhile is in the snapshot or not, and erased either way.
"""

from __future__ import annotations

import datetime as dt
import os
import secrets
import zlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, func, select

from gateway.audit import queries as audit
from gateway.audit.checkpoint import Signed
from gateway.audit.outside import OutsideFile
from gateway.backup import contents
from gateway.backup.manifest import SUFFIX, VERSION, Manifest, digest_of, store
from gateway.backup.sealed_file import SealedWriter
from gateway.errors import ConfigurationError, Unavailable
from gateway.ledger import keys as ledger_keys
from gateway.ledger import policies
from gateway.ledger import tables as t
from gateway.ledger.clock import ledger_time
from gateway.ledger.migrate import HEAD, INCARNATION
from gateway.retention.erasures import ErasureList, Head
from gateway.security.keys import KeyStore, Kind
from gateway.security.sealing import kek_of

MARGIN_S: Final = 60.0
"""A message bears the time at which its transaction began, which may have been so long before it could be read."""
Read = Callable[[Callable[[Connection], Any]], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupPlace:
    """Where backups of an instance lie, and what they are made with."""

    instance: str
    directory: Path
    keys: KeyStore
    erasures: ErasureList
    checkpoints: Path
    ephemeral: Collection[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Snapshot:
    """What was read of the moment."""

    at: float
    facts: dict[str, str]
    chain: str
    block: int
    block_digest: str
    checkpoint: int
    checkpoint_digest: str
    policy: int
    unfinished: dict[str, int]
    keys: dict[str, tuple[str, ...]]
    counted: dict[str, contents.Counted]


def create(read: Read, dialect: str, place: BackupPlace, actor: str) -> Manifest:
    """Make a backup of the ledger that ``read`` reads; its file and manifest are complete and on the disk, or are not there. Blocks.

    :raises ConfigurationError: ``audit-not-chained``: nothing of the record has been chained yet: start the gateway first.
    :raises Unavailable: the list of erasures, or the folder, cannot be written.
    """
    backup = f"{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
    listed = place.erasures.append("backup", backup=backup)
    key = place.keys.current(Kind.BACKUP)
    file = place.directory / f"{backup}{SUFFIX}"
    partial = file.with_name(f".{file.name}.partial")
    try:
        place.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                writer = SealedWriter(stream, backup=backup, key_id=key.id, secret=key.secret)
                packed = zlib.compressobj(level=1)
                tries: list[int] = []

                def once(conn: Connection) -> _Snapshot:
                    if tries:
                        raise Unavailable("backup-interrupted", "the connection to the ledger was lost during the backup: make it again")
                    tries.append(1)
                    return _snapshot(conn, place, lambda data: writer.write(packed.compress(data)))

                snapshot = read(once)
                writer.write(packed.flush())
                writer.end()
                stream.flush()
                os.fsync(stream.fileno())
            size, digest = digest_of(partial)
            manifest = _manifest(backup, snapshot, place, actor, dialect, listed, key.id, size, digest)
            partial.rename(file)
            store(file, manifest, place.keys.current(Kind.AUDIT).secret)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise Unavailable("backup-directory", f"the backup cannot be written to {place.directory.name}: {error.strerror}") from error
    return manifest


def _snapshot(conn: Connection, place: BackupPlace, write: Callable[[bytes], None]) -> _Snapshot:
    if conn.dialect.name == "postgresql":
        # of this transaction only: what is written meanwhile may take longer than the pause that a writer is allowed (R21)
        conn.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = '600s'")
        conn.exec_driver_sql("SET LOCAL statement_timeout = '600s'")
    at = ledger_time(conn)
    d, c = t.delivery.c, t.audit_checkpoint.c
    facts = {row.name: row.value for row in conn.execute(select(t.meta.c.name, t.meta.c.value))}
    head = audit.head(conn)
    if head is None:
        raise ConfigurationError("audit-not-chained", "nothing of the record is chained yet: start the gateway before you back it up")
    last = OutsideFile(place.checkpoints).last()
    row = conn.execute(select(c.number, c.text, c.signature).where(c.number <= last).order_by(c.number.desc()).limit(1)).first()
    signed = None if row is None else Signed(text=row.text, signature=bytes(row.signature))
    unfinished = conn.execute(select(d.party, func.count()).where(d.final_at.is_(None)).group_by(d.party)).all()
    return _Snapshot(
        at=at,
        facts=facts,
        chain=facts[audit.CHAIN],
        block=head.number,
        block_digest=head.digest.hex(),
        checkpoint=0 if row is None else row.number,
        checkpoint_digest="" if signed is None else signed.digest.hex(),
        policy=policies.active(conn).version,
        unfinished={row[0]: row[1] for row in unfinished},
        keys={
            Kind.KEK.value: tuple(sorted({kek_of(path) for path in ledger_keys.key_paths(conn)})),
            Kind.BLIND.value: tuple(sorted(ledger_keys.generations(conn))),
            Kind.CONTENT.value: place.keys.ids(Kind.CONTENT),
        },
        counted=contents.write(conn, write, place.ephemeral),
    )  # fmt: skip


def _manifest(
    backup: str, found: _Snapshot, place: BackupPlace, actor: str, dialect: str, listed: Head, key_id: str, size: int, digest: str
) -> Manifest:
    return Manifest(
        version=VERSION,
        backup=backup,
        instance=place.instance,
        created_at=found.at,
        since=found.at - MARGIN_S,
        created_by=actor,
        dialect=dialect,
        schema=HEAD,
        incarnation=found.facts[INCARNATION],
        profile=found.facts["profile"],
        chain=found.chain,
        block=found.block,
        block_digest=found.block_digest,
        checkpoint=found.checkpoint,
        checkpoint_digest=found.checkpoint_digest,
        erasures=listed.text(),
        policy=found.policy,
        rows={name: each.rows for name, each in found.counted.items()},
        left_out={name: each.left_out for name, each in found.counted.items() if each.left_out},
        ephemeral=tuple(sorted(place.ephemeral)),
        unfinished=found.unfinished,
        keys=found.keys,
        backup_key=key_id,
        file_bytes=size,
        file_sha256=digest,
    )
