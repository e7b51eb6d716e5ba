"""Bring a ledger back from a backup (R24), into a database that has none.

What must be there besides the backup: the key directory, the list of erasures and the checkpoints from outside the ledger, both at least
as new as the backup, and the list not shorter than the last checkpoint says. Then, in one transaction: the rows, without what was erased
since; everything unfinished unknown; every party stopped; a new incarnation; a signed checkpoint that says from which block the chain goes
on, and the entry ``restored``, which names the last checkpoint outside. The broker is not restored: bells are rung from the ledger.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert, inspect, select

from gateway.audit import queries as audit
from gateway.audit.checkpoint import Checkpoint, Signed, Signer, fingerprint, utc_second
from gateway.audit.errors import AuditError
from gateway.audit.outside import OutsideFile, read_file
from gateway.audit.verify import RESTORED
from gateway.backup.manifest import Manifest
from gateway.backup.reading import checked, fill, lines, tables
from gateway.errors import ConfigurationError
from gateway.ids import new_id
from gateway.ledger import restoring
from gateway.ledger import tables as t
from gateway.ledger.engine import LedgerEngine, open_engine
from gateway.ledger.migrate import migrate
from gateway.retention.erasures import ErasureList, Head, ended_of, keys_of
from gateway.security.keys import KeyStore, Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class RestorePlace:
    """Where a ledger is restored to, and what it is held against."""

    url: str
    instance: str
    parties: Collection[str]
    keys: KeyStore
    erasures: ErasureList
    checkpoints: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What a restore did."""

    manifest: Manifest
    incarnation: str
    erased: int
    """Data keys of the backup that were erased since, and were not brought back."""
    ended: int
    """Deliveries that the list of erasures knows to be over."""
    unknown: dict[str, int]
    """By party: deliveries whose outcome is unknown now."""
    requests: int
    """That waited for a second person; to be asked for again."""
    purges: tuple[str, ...]
    """Parties whose purge was ordered since and did not end: to be asked for again."""
    lost_blocks: int
    """Of the audit chain, as far as checkpoints outside name them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Since:
    """What the world outside says of the time since the backup."""

    lines: Sequence[Any]
    checkpoints: Sequence[Signed]


def trusted_keys(keys: KeyStore) -> list[str]:
    """Fingerprints of the audit keys of a key directory."""
    return [fingerprint(Signer(key_id, keys.get(Kind.AUDIT, key_id).secret).public) for key_id in keys.ids(Kind.AUDIT)]


def restore(file: Path, place: RestorePlace, actor: str) -> Restored:
    """Restore. Nothing is changed unless everything holds. Blocks.

    :raises BackupBroken: it is not what was written.
    :raises ConfigurationError: ``keys-lost``; ``erasure-list-missing``, ``-broken`` or ``-old``; ``checkpoints-missing`` or ``-old``;
        ``ledger-not-empty``.
    """
    manifest = checked(file, trusted_keys(place.keys))
    _require_keys(manifest, place.keys)
    since = _since(manifest, place)
    engine = open_engine(place.url, readers=1)
    try:
        _require_empty(engine)
        migrate(engine, profile="test" if manifest.profile == "test" else "production")
        session = engine.session()
        try:
            now = session.begin()
            conn = session.connection
            if conn.dialect.name == "postgresql":
                conn.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = '600s'")
                conn.exec_driver_sql("SET LOCAL statement_timeout = '600s'")
            done = _write(conn, file, manifest, place, since, actor, now)
            place.erasures.append(
                "restored", backup=manifest.backup, incarnation=done.incarnation, erased=done.erased, ended=[], at=round(now, 3)
            )
            session.commit()
        finally:
            session.close()
        OutsideFile(place.checkpoints).catch_up(lambda last: _newer(engine, last))
    finally:
        engine.close_here()
    return done


def _newer(engine: LedgerEngine, last: int) -> list[Signed]:
    return [Signed(text=each.text, signature=each.signature) for each in engine.read_here(lambda conn: audit.checkpoints(conn, after=last))]


def _require_keys(manifest: Manifest, keys: KeyStore) -> None:
    for kind, ids in manifest.keys.items():
        for key_id in ids:
            try:
                keys.require(Kind(kind), key_id)
            except ConfigurationError as error:
                raise ConfigurationError(
                    "keys-lost",
                    f"the backup needs the {kind} key {key_id}, which is not in {keys.directory.name}/: bring back the key directory "
                    "that belongs to it, or take a later backup",
                ) from error


def _since(manifest: Manifest, place: RestorePlace) -> _Since:
    """:raises ConfigurationError: list or checkpoints are missing, broken, or older than the backup."""
    listed = list(place.erasures.since(manifest.erasures_head))
    if not place.checkpoints.exists():
        raise ConfigurationError(
            "checkpoints-missing", f"{place.checkpoints.name} is not there: without the checkpoints outside nobody sees what was lost (R24)"
        )
    try:
        found = read_file(place.checkpoints)
        said = {each.verify().number: each for each in found}
    except AuditError as error:
        raise ConfigurationError("checkpoints-broken", f"{place.checkpoints.name}: {error.safe_detail}") from error
    known = said.get(manifest.checkpoint)
    if manifest.checkpoint and (known is None or known.digest.hex() != manifest.checkpoint_digest):
        raise ConfigurationError(
            "checkpoints-old",
            f"{place.checkpoints.name} does not have checkpoint {manifest.checkpoint} as the backup knows it: it is older than the backup, "
            "or of another ledger; bring the newest (R24)",
        )
    ordered = [said[number] for number in sorted(said)]
    ends = [each for each in (signed.read().erasures for signed in ordered) if each is not None]
    if ends:
        try:
            list(place.erasures.since(Head.parse(ends[-1])))
        except ConfigurationError as error:
            raise ConfigurationError(
                "erasure-list-old",
                f"the list of erasures {place.erasures.path.name} does not have line {Head.parse(ends[-1]).number}, which the last "
                "checkpoint outside names: bring the newest, or a restore would undo erasures (I9)",
            ) from error
    return _Since(lines=listed, checkpoints=ordered)


def _require_empty(engine: LedgerEngine) -> None:
    def empty(conn: Connection) -> bool:
        there = inspect(conn)
        wanted = [each for each in (t.message, t.audit_entry, t.audit_block) if there.has_table(each.name)]
        return all(conn.execute(select(next(iter(each.primary_key.columns))).limit(1)).first() is None for each in wanted)

    if not engine.read_here(empty):
        raise ConfigurationError(
            "ledger-not-empty", "there is a ledger at ledger.url: a backup is restored beside it, never over it; move it away first"
        )


def _write(conn: Connection, file: Path, manifest: Manifest, place: RestorePlace, since: _Since, actor: str, now: float) -> Restored:
    erased, ended = keys_of(since.lines), ended_of(since.lines)
    conn.execute(t.meta.delete())
    with file.open("rb") as stream:
        counted = fill(conn, tables(lines(stream, place.keys)), without=erased)
    over = restoring.end_listed(conn, ended, now)
    unknown = restoring.make_unknown(conn, manifest.since, now)
    restoring.stop_parties(conn, place.parties, now)
    requests = restoring.close_requests(conn, now)
    last, lost = _checkpoints(conn, manifest, place, since.checkpoints, now)
    incarnation = str(uuid.uuid4())
    kept = manifest.rows["data_key"] - counted["data_key"]
    finished = {str(each["instruction"]) for each in since.lines if each["kind"] == "done" and "instruction" in each}
    ordered = [each for each in since.lines if each["kind"] == "ordered"]
    purges = tuple(sorted({str(each["party"]) for each in ordered if str(each["instruction"]) not in finished}))
    detail = {
        "backup": manifest.backup, "backup_at": manifest.created_at, "since": manifest.since, "backup_by": manifest.created_by,
        "block": manifest.block,
        "checkpoint": None if last is None else last.read().number, "checkpoint_digest": None if last is None else last.digest.hex(),
        "lost_blocks": lost, "incarnation": incarnation, "incarnation_before": manifest.incarnation, "erased_again": kept,
        "ended": over, "unknown": unknown, "requests_closed": requests, "policy": manifest.policy,
    }  # fmt: skip
    restoring.begin_incarnation(conn, incarnation, {**detail, "at": now, "by": actor})
    conn.execute(
        insert(t.audit_entry).values(
            id=new_id(), at=now, kind="restored", actor=actor, message_id=None, delivery_id=None, party=None, block=None,
            detail=json.dumps(detail, ensure_ascii=False, sort_keys=True, separators=(",", ":")),
        )
    )  # fmt: skip
    return Restored(
        manifest=manifest, incarnation=incarnation, erased=kept, ended=over, unknown=unknown, requests=requests, purges=purges,
        lost_blocks=lost,
    )  # fmt: skip


def _checkpoints(
    conn: Connection, manifest: Manifest, place: RestorePlace, outside: Sequence[Signed], now: float
) -> tuple[Signed | None, int]:
    """Take over what was signed since, so that no number is used twice, and sign from where the chain goes on."""
    known = {each.number for each in audit.checkpoints(conn)}
    for each in outside:
        said = each.read()
        if said.number not in known:
            values = {"number": said.number, "block": said.block, "text": each.text, "signature": each.signature}
            conn.execute(insert(t.audit_checkpoint).values(values))
    head, last = audit.head(conn), outside[-1] if outside else None
    before = audit.last_checkpoint(conn)
    if head is None or before is None:
        return last, 0
    key = place.keys.current(Kind.AUDIT)
    signer = Signer(key.id, key.secret)
    said_to = max((each.read().block for each in outside), default=head.number)
    signed = signer.sign(
        Checkpoint(
            number=before.number + 1, chain=manifest.chain, instance=place.instance, reason=RESTORED, block=head.number, digest=head.digest,
            total=head.total, at=utc_second(now), previous=Signed(text=before.text, signature=before.signature).digest, key=signer.public,
            erasures=place.erasures.end(),
        )
    )  # fmt: skip
    values = {"number": before.number + 1, "block": head.number, "text": signed.text, "signature": signed.signature}
    conn.execute(insert(t.audit_checkpoint).values(values))
    return last, max(0, said_to - head.number)
