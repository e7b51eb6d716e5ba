"""Open a backup: every chunk, every row; and a trial of it, which shows that it can be restored.

``verify`` fills a ledger of its own from it, in a private folder that it removes: bodies lie in it sealed, as in the ledger. What is held
against what: the file's digest against the signed manifest, each chunk against the key, the rows against their numbers, the audit chain
against itself and the checkpoints outside, each data key against its key-encryption key, each body against its data key.
"""

from __future__ import annotations

import json
import tempfile
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from sqlalchemy import Connection, insert, select

from gateway.audit import queries as audit
from gateway.audit.checkpoint import Signed
from gateway.audit.sources import LedgerSource
from gateway.audit.verify import Given, Report
from gateway.audit.verify import verify as verify_chain
from gateway.backup import contents
from gateway.backup.manifest import Manifest, digest_of, read
from gateway.backup.sealed_file import BackupBroken, SealedReader, read_head
from gateway.errors import GatewayError
from gateway.ledger import tables as t
from gateway.ledger.contents import way_of_key
from gateway.ledger.engine import open_engine
from gateway.ledger.migrate import migrate
from gateway.policy.ways import way_of
from gateway.security.keys import KeyStore, Kind
from gateway.security.sealing import Sealer, kek_of

BATCH = 500
_CHUNK = 4 << 20


def lines(stream: IO[bytes], keys: KeyStore) -> Iterator[bytes]:
    """The lines of a backup, in clear. Blocks.

    :raises BackupBroken: not a backup, altered, cut short.
    :raises ConfigurationError: ``key-unknown``: its backup key is not there.
    """
    head = read_head(stream)
    stream.seek(0)
    reader = SealedReader(stream, keys.get(Kind.BACKUP, str(head["key"])).secret)
    unpacked = zlib.decompressobj()
    rest = b""
    while (chunk := reader.read()) is not None:
        try:
            text = unpacked.decompress(chunk, _CHUNK)
            while True:
                *whole, rest = (rest + text).split(b"\n")
                yield from whole
                if not unpacked.unconsumed_tail:
                    break
                text = unpacked.decompress(unpacked.unconsumed_tail, _CHUNK)
        except zlib.error as error:
            raise BackupBroken("backup-broken", "the content of the backup cannot be unpacked") from error
    if rest or not unpacked.eof:
        raise BackupBroken("backup-broken", "the content of the backup ends too early")


def tables(found: Iterable[bytes]) -> Iterator[tuple[str, list[str], list[Any] | None]]:
    """Rows, each with its table and columns; a table begins with a row of None.

    :raises BackupBroken: not what :mod:`gateway.backup.contents` writes, or tables are missing.
    """
    name, columns = "", []
    known = {each.name: each for each in contents.TABLES}
    met = []
    try:
        for line in found:
            if not name:
                said = json.loads(line)
                name, columns = str(said["table"]), [str(each) for each in said["columns"]]
                if columns != [each.name for each in known[name].columns]:
                    raise BackupBroken("backup-schema", f"the backup has another table {name} than this version of renkei")
                met.append(name)
                yield name, columns, None
            elif not line:
                name = ""
            else:
                yield name, columns, contents.row_of(name, line)
    except (ValueError, KeyError, TypeError) as error:
        raise BackupBroken("backup-broken", "the content of the backup is not what was written") from error
    if met != list(known):
        raise BackupBroken("backup-broken", "tables are missing in the backup")


def fill(conn: Connection, rows: Iterable[tuple[str, list[str], list[Any] | None]], without: Collection[str] = ()) -> dict[str, int]:
    """Write the rows of a backup into an empty ledger, except data keys and bodies of these ids. How many each table got."""
    known = {each.name: each for each in contents.TABLES}
    counted = dict.fromkeys(known, 0)
    batch: list[dict[str, Any]] = []
    current = ""

    def flush() -> None:
        if batch:
            conn.execute(insert(known[current]), batch)
            batch.clear()

    for name, columns, row in rows:
        if name != current or len(batch) >= BATCH:
            flush()
        current = name
        if row is None or (name in ("data_key", "payload") and row[0] in without):
            continue
        counted[name] += 1
        batch.append(dict(zip(columns, row, strict=True)))
    flush()
    return counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What the trial of a backup showed."""

    manifest: Manifest
    rows: int
    opened: int
    """Data keys that their key-encryption key opened."""
    bodies: int
    """Bodies of deliveries that were unsealed."""
    chain: Report


def verify(file: Path, keys: KeyStore, outside: Iterable[Signed], trusted: Iterable[str], scratch: Path) -> Verified:
    """Open a backup and try it out. Blocks.

    :param outside: the checkpoints outside the ledger.
    :param scratch: a private folder on a local disk; what is written there is removed.
    :raises BackupBroken: what is wrong with it.
    :raises ConfigurationError: a key that it needs is not there.
    """
    trusted = tuple(trusted)
    manifest = checked(file, trusted)
    scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch, prefix="verify-") as folder:
        engine = open_engine(f"sqlite:///{folder}/ledger/trial.db", readers=1)
        try:
            migrate(engine, profile="test")
            counted = _trial(engine.session, file, keys)
            if counted != manifest.rows:
                raise BackupBroken("backup-rows", "the backup has other numbers of rows than its manifest says")
            if engine.read_here(lambda conn: contents.ephemeral_keys(conn, manifest.ephemeral)):
                raise BackupBroken("backup-ephemeral", "the backup holds what no backup may have (C-3-7-3): destroy it")
            opened, bodies = engine.read_here(lambda conn: _open_all(conn, keys))
            known = engine.read_here(audit.checkpoints)
            given = [Given(signed=Signed(text=each.text, signature=each.signature), origin="backup") for each in known]
            last = manifest.checkpoint
            given += [Given(signed=each, origin="outside") for each in outside if each.read().number <= last]
            report = verify_chain(LedgerSource(engine.read_here), given, trusted=trusted)
            if (report.last_block, report.last_digest) != (manifest.block, manifest.block_digest):
                raise BackupBroken("backup-chain", "the audit chain in the backup ends elsewhere than its manifest says")
        finally:
            engine.close_here()
    return Verified(manifest=manifest, rows=sum(counted.values()), opened=opened, bodies=bodies, chain=report)


def checked(file: Path, trusted: Iterable[str]) -> Manifest:
    """The manifest of a backup, if it is signed and the file is the one that it names. Blocks.

    :raises BackupBroken: see :func:`gateway.backup.manifest.read`; ``backup-digest``.
    """
    manifest = read(file, trusted)
    if digest_of(file) != (manifest.file_bytes, manifest.file_sha256):
        raise BackupBroken("backup-digest", f"{file.name} is not the file that its manifest names: altered, or cut short")
    return manifest


def _trial(session_of: Callable[[], Any], file: Path, keys: KeyStore) -> dict[str, int]:
    session = session_of()
    try:
        session.begin()
        session.connection.execute(t.meta.delete())
        with file.open("rb") as stream:
            counted = fill(session.connection, tables(lines(stream, keys)))
        session.commit()
    finally:
        session.close()
    return counted


def _open_all(conn: Connection, keys: KeyStore) -> tuple[int, int]:
    k, p, m = t.data_key.c, t.payload.c, t.message.c
    sealer = Sealer(keys)
    opened = bodies = 0
    query = (
        select(k.id, k.kek_id, k.wrapped, k.message_id, k.party, p.kind, p.sealed, m.type, way_of_key())
        .join(t.payload, p.id == k.id)
        .outerjoin(t.message, m.id == k.message_id)
        .order_by(k.id)
    )
    for row in conn.execute(query):
        try:
            keys.unwrap(kek_of(row.kek_id), bytes(row.wrapped))
            opened += 1
            if row.kind == "delivery":
                sealer.unseal(
                    bytes(row.sealed), wrapped=bytes(row.wrapped), kek_id=row.kek_id, message_id=row.message_id,
                    message_type=way_of(row.way, row.type, "", row.party).message_type, party=row.party,
                )  # fmt: skip
                bodies += 1
        except GatewayError as error:
            text = f"a content in the backup does not open ({error.code}): message {row.message_id}"
            raise BackupBroken("backup-sealed", text) from error
    return opened, bodies
