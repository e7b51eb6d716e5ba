"""Keeps SQLite's write-ahead log short.

Up to 3.51.2 SQLite has a race (its documentation calls it the WAL-reset bug): a checkpoint that starts when everything is already copied,
just while another connection starts the log anew, can later lose committed pages. Debian 12 has 3.40. We exclude it: automatic checkpoints
are off everywhere, one process at a time checkpoints (a lock file), and it first commits a write of its own, so that the log can never be
found completely copied. Checkpoints run in a thread beside the writer: first without blocking anybody, then, when the log has grown or at
intervals, truncating it (erasure must reach the log, too: section 8).
"""

from __future__ import annotations

import bisect
import logging
import os
import threading
import time
from pathlib import Path
from typing import Final

from sqlalchemy import Engine

from gateway.ledger.failures import classify
from gateway.ledger.sqlite_session import SqliteSession, beside, try_lock

_log = logging.getLogger(__name__)

CHECKPOINT_BYTES: Final = 8 * 1024 * 1024
"""So much of the log that is not in the database yet is copied into it."""
TRUNCATE_BYTES: Final = 32 * 1024 * 1024
TRUNCATE_S: Final = 60.0
"""The log is truncated at this size, or when so long has passed since the last time (seconds)."""


class Checkpointer:
    """Keeps the write-ahead log short, in a thread of its own. See the module's text for why it writes first."""

    def __init__(self, path: Path, writers: Engine, lock_wait_s: float) -> None:
        self._path = path
        self._lock_wait_s = lock_wait_s
        self._wal = Path(f"{path}-wal")
        self._copied = (b"", 0)
        self._writers = writers
        self._stop = threading.Event()
        self._guard = threading.Lock()
        self._thread: threading.Thread | None = None
        self._truncated_at = time.monotonic()

    def start(self) -> None:
        with self._guard:
            if self._thread is None and not self._stop.is_set():
                self._thread = threading.Thread(target=self._loop, name="ledger-checkpoint", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        with self._guard:
            thread = self._thread
        if thread is not None:
            thread.join()

    def _loop(self) -> None:
        while not self._stop.wait(0.25):
            try:
                self.look()
            except Exception as error:
                # The writer meets the same fault and reports it to its callers; the log merely stays long meanwhile.
                _log.warning("ledger-checkpoint-failed", extra={"code": classify(error).code})

    def look(self) -> bool:
        """Copy the log if enough has come into it, or truncate it if it is time; True if all of it was copied."""
        size, log = self._size(), self._log()
        truncate = size > TRUNCATE_BYTES or (size > 0 and time.monotonic() - self._truncated_at > TRUNCATE_S)
        if not truncate and self._fresh(log) <= CHECKPOINT_BYTES:
            return False
        done = self.run(truncate=truncate)
        if done:
            self._copied = log
        return done

    def _size(self) -> int:
        try:
            return self._wal.stat().st_size
        except FileNotFoundError:
            return 0

    def _log(self) -> tuple[bytes, int]:
        """The log's salt, which changes when it is begun anew, and the bytes in it since then: the frames that bear its salt.

        From SQLite's description of its files (fileformat2.html, section 4); nobody locks this file, so it may be opened and closed.
        """
        try:
            with self._wal.open("rb", buffering=0) as wal:
                header, size = wal.read(32), os.fstat(wal.fileno()).st_size
                salt, frame_bytes = header[16:24], int.from_bytes(header[8:12]) + 24

                def old(frame: int) -> bool:
                    wal.seek(32 + frame * frame_bytes + 8)
                    return wal.read(8) != salt

                return salt, bisect.bisect_left(range((size - 32) // frame_bytes), True, key=old) * frame_bytes
        except FileNotFoundError:
            return b"", 0

    def _fresh(self, log: tuple[bytes, int]) -> int:
        """What is in the log and was not when this process last copied it, in bytes.

        A log does not shrink when it was copied, it is begun anew: by its size it would be copied four times a second for nothing.
        """
        return log[1] - (self._copied[1] if log[0] == self._copied[0] else 0)

    def run(self, *, truncate: bool) -> bool:
        descriptor = os.open(beside(self._path, "checkpoint"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if not try_lock(descriptor):
                return False  # another process is at it
            if truncate:
                self._truncated_at = time.monotonic()
            session = SqliteSession(self._writers, beside(self._path, "turn"), self._lock_wait_s)
            try:
                # Not blocking anybody: most of the work, and both fsyncs, are done here.
                session.leave_a_frame()
                done = session.checkpoint("PASSIVE")
                if truncate:
                    # Blocks writers, but little is left to copy. Falls back to a passive one when it does not get the lock, hence:
                    session.leave_a_frame()
                    done = session.checkpoint("TRUNCATE")
                return done
            finally:
                session.close()
        finally:
            os.close(descriptor)
