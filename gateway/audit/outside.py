"""The file outside the ledger to which every checkpoint is appended (R22): one line of defence against whoever can write the ledger.

It belongs on another disk, better on another machine's append-only share; ``docs/audit.md`` says how. Written with ``O_APPEND`` and fsync;
never rewritten. What the file lacks (it could not be reached for a while) is caught up from the ledger.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from gateway.audit.checkpoint import Signed, parse
from gateway.audit.errors import AuditError
from gateway.errors import Unavailable

TAIL_BYTES: Final = 8192
"""The end of the file that holds its last checkpoint for certain."""
CUT_OFF: Final = b"\ncut off\n\n"
MANY: Final = 10_000


def read_file(path: Path) -> list[Signed]:
    """The checkpoints of such a file; none where there is no file.

    :raises AuditError: it cannot be read, or holds something else.
    """
    try:
        return parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise AuditError("checkpoint-file", f"the checkpoint file {path.name} cannot be read") from error


class OutsideFile:
    """Appends to one file. Blocks on the disk: call it in a thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stamp: tuple[int, int] | None = None
        self._last = 0

    def last(self) -> int:
        """The number of its last checkpoint, 0 without one; read again only when the file has changed."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            self._stamp, self._last = None, 0
            return 0
        stamp = (status.st_size, status.st_mtime_ns)
        if stamp != self._stamp:
            with self.path.open("rb") as stream:
                stream.seek(max(0, status.st_size - TAIL_BYTES))
                found = parse(stream.read().decode("utf-8", "replace"))
            self._last = found[-1].read().number if found else 0
            self._stamp = stamp
        return self._last

    def catch_up(self, newer: Callable[[int], Sequence[Signed]]) -> bool:
        """Append what ``newer(last number)`` gives, at most :data:`MANY` at once; False if that was nothing.

        :raises Unavailable: ``audit-checkpoint-file``; it is tried again with the next checkpoint.
        """
        try:
            missing = newer(self.last())
            if not missing:
                return False
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
            try:
                size = os.fstat(descriptor).st_size
                # what a write left that was cut short is marked as such; readers pass it over
                broken = size > 0 and os.pread(descriptor, 2, max(0, size - 2)) != b"\n\n"
                os.write(descriptor, (CUT_OFF if broken else b"") + "".join(each.stanza() for each in missing).encode())
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise Unavailable("audit-checkpoint-file", f"checkpoints cannot be written to {self.path.name}: {error.strerror}") from error
        return True
