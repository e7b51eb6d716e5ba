"""Proof of erasure: whether anything of what was erased can still be opened, in every place that holds data (I9).

What is sealed opens with its data key only, and wrapped data keys stand in the ledger's key table only. The list of erasures outside
names each key that was destroyed, with the beginning of its wrapping. So it is looked for each of them: as a row of the ledger; byte
by byte in the ledger's files and its log, in the files of the broker, in exports, notes and logs; and in every backup, which is opened for
it. Types that must vanish may not be in a backup at all; of other contents a backup from before the erasure holds a copy until it is
disposed of itself, which is said with its day. A day key may not outlive its day.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from sqlalchemy import Connection, select

from gateway.errors import GatewayError
from gateway.ledger import retention as lr
from gateway.ledger import tables as t
from gateway.ledger.engine import LedgerEngine
from gateway.retention.calendar import JST, BusinessCalendar
from gateway.retention.erasures import NO_HEAD, ErasureList, keys_of, prints_of
from gateway.retention.search import dirty_free_pages, found_in

Verdict = Literal["nothing-left", "remains", "until-disposed", "not-searched"]
MANY: Final = 50_000
STEP: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What was seen in one place."""

    place: str
    verdict: Verdict
    searched: int
    """Files, rows or backups that were looked at."""
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupKeys:
    """The data keys that one backup holds."""

    name: str
    keys: frozenset[str]
    ephemeral: int
    """Of types that no backup may have."""
    listed: int
    """Line of the list of erasures at which it was made."""
    until: dt.date
    """When the retention table disposes of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where it is looked."""

    engine: LedgerEngine
    erasures: ErasureList
    folders: Mapping[str, Sequence[Path]] = field(default_factory=dict)
    """Place → folders, with all that lies in and below them."""
    backups: Callable[[], Iterable[BackupKeys]] = lambda: ()
    day_keys: Callable[[], Collection[str]] = lambda: ()
    rows: Mapping[str, float] = field(default_factory=dict)
    """Place of rows without bodies → what ended before then (ledger time) should have been erased by now."""
    calendar: BusinessCalendar
    now: float
    """Business time."""


def prove(places: Places) -> list[Finding]:
    """Look everywhere. Blocks: about a second for 20 MiB and 50,000 erased keys.

    :raises ConfigurationError: the list of erasures is missing or not whole: without it nobody knows what was erased.
    """
    lines = list(places.erasures.since(NO_HEAD))
    keys = keys_of(lines)
    prints = [each for line in lines for each in prints_of(line)]
    findings = [_rows(places.engine, keys)]
    findings += [_overdue(places.engine, place, before) for place, before in places.rows.items()]
    findings.append(_ledger_files(places.engine, prints))
    findings += [_folder(name, folders, prints) for name, folders in places.folders.items()]
    findings += _backups(places, lines)
    findings.append(_day_keys(places))
    return findings


def _rows(engine: LedgerEngine, keys: Collection[str]) -> Finding:
    ordered = sorted(keys)

    def left(conn: Connection) -> int:
        count = 0
        for at in range(0, len(ordered), STEP):
            for table in (t.data_key, t.payload):
                count += len(conn.execute(select(table.c.id).where(table.c.id.in_(ordered[at : at + STEP]))).all())
        return count + lr.stray_links(conn)

    found = engine.read_here(left)
    detail = f"{found} rows of keys or bodies that were to be erased" if found else ""
    return Finding(place="ledger-rows", verdict="remains" if found else "nothing-left", searched=len(ordered), detail=detail)


def _overdue(engine: LedgerEngine, place: str, before: float) -> Finding:
    found = len(engine.read_here(lambda conn: lr.rows_due(conn, place, before, MANY)))
    detail = f"{found} rows past their time by more than a day" if found else ""
    return Finding(place=f"ledger-rows {place}", verdict="remains" if found else "nothing-left", searched=found, detail=detail)


def _ledger_files(engine: LedgerEngine, prints: Sequence[bytes]) -> Finding:
    files = [each for each in engine.files() if each.exists()]
    if not files:
        text = "PostgreSQL keeps dead rows until VACUUM, and its log: they end with their key-encryption key, or their day key"
        return Finding(place="ledger-files", verdict="not-searched", searched=0, detail=text)
    engine.checkpoint()
    remains = _search(files, prints)
    dirty = dirty_free_pages(files[0])
    if dirty:
        remains = (*remains, f"{dirty} free pages of {files[0].name}")
    return Finding(
        place="ledger-files", verdict="remains" if remains else "nothing-left", searched=len(files), detail=", ".join(remains)
    )  # fmt: skip


def _folder(name: str, folders: Sequence[Path], prints: Sequence[bytes]) -> Finding:
    there = [path for folder in folders if folder.is_dir() for path in sorted(folder.rglob("*"))]
    files = [path for path in there if path.is_file() and not path.is_symlink()]
    remains = _search(files, prints, text=True)
    return Finding(place=name, verdict="remains" if remains else "nothing-left", searched=len(files), detail=", ".join(remains))


def _search(files: Sequence[Path], prints: Sequence[bytes], *, text: bool = False) -> tuple[str, ...]:
    found: set[str] = set()
    for some in _batches(prints):
        found.update(found_in(files, some)[1])
        if text:
            found.update(found_in(files, [each.hex().encode() for each in some])[1])
    return tuple(sorted(found))


def _batches(prints: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    return (prints[at : at + MANY] for at in range(0, len(prints), MANY))


def _backups(places: Places, lines: Sequence[Mapping[str, Any]]) -> list[Finding]:
    looked, findings = 0, []
    try:
        for backup in places.backups():
            looked += 1
            if backup.ephemeral:
                text = f"{backup.name}: {backup.ephemeral} keys of types that no backup may have (C-3-7-3)"
                findings.append(Finding(place="backup", verdict="remains", searched=1, detail=text))
            before = keys_of([each for each in lines if each["number"] <= backup.listed]) & backup.keys
            if before:
                text = f"{backup.name}: {len(before)} keys that had been erased when it was made"
                findings.append(Finding(place="backup", verdict="remains", searched=1, detail=text))
            since = keys_of([each for each in lines if each["number"] > backup.listed]) & backup.keys
            if since:
                text = f"{backup.name}: {len(since)} erased since; a restore does not bring them back; disposed of on {backup.until}"
                findings.append(Finding(place="backup", verdict="until-disposed", searched=1, detail=text))
    except GatewayError as error:
        return [*findings, Finding(place="backup", verdict="not-searched", searched=looked, detail=f"{error.code}: {error.safe_detail}")]
    return findings or [Finding(place="backup", verdict="nothing-left", searched=looked)]


def _day_keys(places: Places) -> Finding:
    there = list(places.day_keys())
    late = []
    for each in there:
        day = dt.datetime.strptime(each[:8], "%Y%m%d").replace(tzinfo=JST)
        if places.calendar.vanishes_at(day.timestamp()) + 86_400.0 < places.now:
            late.append(each)
    return Finding(place="day-keys", verdict="remains" if late else "nothing-left", searched=len(there), detail=", ".join(late))
