"""The folder of a demo: nobody else's files are touched, one run at a time, and what was left running can be found and stopped."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Self

from simulators.errors import BadSettings, ProcessFailed
from simulators.harness.processes import MARK, Processes

MARKER = "renkei-demo.lock"
KEPT = "running.json"
STOP_S = 40.0


class Folder:
    """The folder of one demo, locked while it is used."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self._lock: IO[str] | None = None

    def __enter__(self) -> Self:
        """:raises BadSettings: the folder is not ours, or another demo runs in it."""
        try:
            if self.path.is_dir() and any(self.path.iterdir()) and not (self.path / MARKER).exists():
                raise BadSettings("folder-not-ours", f"{self.path} holds something else than a demo: name another folder with --folder")
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = (self.path / MARKER).open("w", encoding="ascii")
        except OSError as error:
            raise BadSettings("folder-not-usable", f"{self.path}: {error.strerror}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._lock.close()
            raise BadSettings(
                "folder-in-use", f"a demo runs in {self.path} now: wait for it, or name another folder with --folder"
            ) from error
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            self._lock.close()

    def clear(self) -> None:
        """Take away what an earlier demo left."""
        for each in self.path.iterdir():
            if each.name == MARKER:
                continue
            if each.is_dir() and not each.is_symlink():
                shutil.rmtree(each)
            else:
                each.unlink()

    def note(self, processes: Processes, pids: dict[str, int]) -> None:
        """Write down what runs, for :meth:`stop_kept`."""
        (self.path / KEPT).write_text(json.dumps({"mark": processes.mark, "pids": pids}, indent=2) + "\n", encoding="ascii")

    def kept(self) -> dict[str, Any] | None:
        """What an earlier demo left running, if it still does."""
        try:
            found: dict[str, Any] = json.loads((self.path / KEPT).read_text(encoding="ascii"))
        except (FileNotFoundError, ValueError):
            return None
        left = Processes(logs=self.path, mark=found["mark"]).leftovers()
        return {**found, "left": left} if left else None

    def stop_kept(self) -> bool:
        """Stop what an earlier demo left running, the gateway first and in order; returns whether there was anything.

        :raises ProcessFailed: something cannot be ended.
        """
        found = self.kept()
        if found is not None:
            for pid in found["pids"].values():
                _terminate(pid, found["mark"])
            Processes(logs=self.path, mark=found["mark"]).end_at_once()
        (self.path / KEPT).unlink(missing_ok=True)
        return found is not None


def _terminate(pid: int | None, mark: str) -> None:
    """SIGTERM to a process of that run, and wait for its end."""
    if pid is None or not _is_of(pid, mark):
        return
    with suppress(ProcessLookupError):  # ended in between
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_S
    while _is_of(pid, mark):
        if time.monotonic() > deadline:
            return  # what is left is killed
        time.sleep(0.05)


def _is_of(pid: int, mark: str) -> bool:
    """Whether the process lives and belongs to that run; another may have its number by now."""
    try:
        return f"{MARK}={mark}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False


__all__ = ["KEPT", "MARKER", "Folder", "ProcessFailed"]
