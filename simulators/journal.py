"""The journal: what a party did, line by line, written before anybody hears of it.

JSON Lines, append only. Each entry has ``seq`` (1, 2, 3 …), ``at`` (wall clock, UTC, microseconds), ``mono_ns`` (monotonic clock of this
machine, in nanoseconds) and ``kind``. One :meth:`Journal.append` is one ``write`` to the operating system, so that the death of the process
(SIGKILL) loses nothing that was answered; with ``sync="disk"`` :meth:`Journal.settled` waits until the line is also on disk, one
``fdatasync`` for all who wait meanwhile.

A line that was torn by the death of the machine can only be the last one: it was answered to nobody, and is cut off at the next start.
Anything else that cannot be read makes the journal worthless as evidence and is refused.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from simulators.errors import JournalBusy, JournalDamaged

Entry = dict[str, Any]
Sync = Literal["os", "disk"]
_encode = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":")).encode


def read_entries(path: Path) -> Iterator[Entry]:
    """Read a journal that another process may be writing: complete lines only, in order.

    :raises JournalDamaged: a complete line cannot be read, or the numbering has a hole.
    """
    expected = 1
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                return
            yield _decoded(line, expected, path)
            expected += 1


def _decoded(line: bytes, expected: int, path: Path) -> Entry:
    try:
        entry = json.loads(line)
    except ValueError as error:
        raise JournalDamaged("journal-unreadable", f"line {expected} of {path.name} is not JSON") from error
    if not isinstance(entry, dict) or entry.get("seq") != expected:
        raise JournalDamaged("journal-numbering", f"line {expected} of {path.name} does not carry seq {expected}")
    return entry


class Journal:
    """One writer's append-only journal. All methods belong to one thread (the event loop's)."""

    def __init__(self, path: Path, *, sync: Sync = "os", on_entry: Callable[[Entry], None] | None = None) -> None:
        """Open or create the journal and read it through.

        :param on_entry: called for every entry that is there already, in order: rebuilds the state.
        :raises JournalBusy: another process holds it.
        :raises JournalDamaged: see the module.
        """
        self.path = path
        self.sync = sync
        self.torn_bytes = 0
        self._offsets = array("Q")
        self._end = 0
        self._waiting: list[asyncio.Future[None]] = []
        self._syncer: asyncio.Task[None] | None = None
        self._file = self._opened()
        self._read_through(on_entry)

    def _opened(self) -> int:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(file)
            raise JournalBusy("journal-busy", f"{self.path.name} is held by another process; stop that one first") from error
        return file

    def _read_through(self, on_entry: Callable[[Entry], None] | None) -> None:
        with self.path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    self.torn_bytes = len(line)
                    os.ftruncate(self._file, self._end)
                    break
                entry = _decoded(line, len(self._offsets) + 1, self.path)
                self._offsets.append(self._end)
                self._end += len(line)
                if on_entry is not None:
                    on_entry(entry)

    @property
    def count(self) -> int:
        """Number of entries; also the ``seq`` of the last one."""
        return len(self._offsets)

    def append(self, entries: Iterable[Mapping[str, Any]]) -> int:
        """Write entries with one call of the operating system; returns the last ``seq``.

        :raises OSError: nothing of it is in the journal (what had been written of it was cut off again).
        """
        at = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        mono = time.monotonic_ns()
        seq = len(self._offsets)
        end = self._end
        offsets: list[int] = []
        lines: list[bytes] = []
        for entry in entries:
            seq += 1
            line = _encode({"seq": seq, "at": at, "mono_ns": mono, **entry}).encode() + b"\n"
            offsets.append(end)
            end += len(line)
            lines.append(line)
        self._write(b"".join(lines))
        self._offsets.extend(offsets)
        self._end = end
        return seq

    def _write(self, data: bytes) -> None:
        done = 0
        try:
            while done < len(data):
                done += os.write(self._file, data[done:] if done else data)
        except OSError:
            os.ftruncate(self._file, self._end)
            raise

    async def settled(self) -> None:
        """Return when all that was appended so far is as durable as the journal promises (see ``sync``)."""
        if self.sync == "os":
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        if self._syncer is None or self._syncer.done():
            self._syncer = asyncio.get_running_loop().create_task(self._synced())
        await waiter

    async def _synced(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting, []
            try:
                await asyncio.get_running_loop().run_in_executor(None, os.fdatasync, self._file)
            except OSError as error:
                for waiter in group:
                    if not waiter.done():
                        waiter.set_exception(error)
                continue
            for waiter in group:
                if not waiter.done():
                    waiter.set_result(None)

    def entries(self, after: int = 0, limit: int | None = None) -> list[Entry]:
        """The entries behind ``after``, at most ``limit``, read from the file."""
        if after < 0 or after >= self.count:
            return []
        last = self.count if limit is None else min(self.count, after + limit)
        start = self._offsets[after]
        end = self._end if last == self.count else self._offsets[last]
        data = os.pread(self._file, end - start, start)
        while len(data) < end - start:
            more = os.pread(self._file, end - start - len(data), start + len(data))
            if not more:
                raise JournalDamaged("journal-short", f"{self.path.name} is shorter than what was written to it")
            data += more
        return [json.loads(line) for line in data.splitlines()]

    def put_aside(self) -> Path:
        """Rename the journal (``journal.1.jsonl``, ``.2`` …) and begin an empty one: for a reset."""
        number = 1
        while (aside := self.path.with_name(f"{self.path.stem}.{number}{self.path.suffix}")).exists():
            number += 1
        self.path.rename(aside)
        fresh = self._opened()
        os.close(self._file)
        self._file = fresh
        self._offsets = array("Q")
        self._end = 0
        return aside

    def close(self) -> None:
        """Close the file and let go of the lock."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
