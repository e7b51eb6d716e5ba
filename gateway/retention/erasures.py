"""The list of erasures outside the ledger: what was ordered, what was due, what was done, one JSON line each (I9).

A backup remembers what has been erased since. So whatever is erased is written here *first*, beside the checkpoints of the audit chain and
not in the ledger, and a restore erases it again; without this list a restore is refused. A line names ids only, its number, and the digest
of the line before, so that a list from which lines were taken is no list. Appended with fsync, under a lock; never rewritten.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gateway.errors import ConfigurationError, Unavailable

NOTHING: Final = "0" * 64
TAIL_BYTES: Final = 4_000_000
"""No line is longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Where the list ends."""

    number: int
    digest: str

    def text(self) -> str:
        """As checkpoints name it."""
        return f"{self.number}:{self.digest}"

    @classmethod
    def parse(cls, text: str) -> Head:
        """:raises ValueError: it is none."""
        number, _, digest = text.partition(":")
        return cls(number=int(number), digest=digest)


class ErasureList:
    """One file. Blocks on the disk: call it in a thread."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, kind: str, **what: Any) -> Head:
        """Write one line and wait until it is on the disk.

        :param kind: ``ordered``, ``due`` (about to be erased), ``done``, ``backup``, ``restored``.
        :raises Unavailable: ``erasure-list``: it cannot be written; then nothing may be erased.
        """
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                size = os.fstat(descriptor).st_size
                last = _last_line(os.pread(descriptor, TAIL_BYTES, max(0, size - TAIL_BYTES)))
                head = NO_HEAD if last is None else _head_of(last)
                line = json.dumps(
                    {"number": head.number + 1, "previous": head.digest, "kind": kind, **what}, separators=(",", ":")
                ).encode()
                broken = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"  # a write was cut short: what it said was not done
                os.write(descriptor, (b"\n" if broken else b"") + line + b"\n")
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise Unavailable("erasure-list", f"the list of erasures {self.path.name} cannot be written: {error.strerror}") from error
        return _head_of(line)

    def head(self) -> Head:
        """Where it ends now."""
        try:
            with self.path.open("rb") as stream:
                stream.seek(max(0, self.path.stat().st_size - TAIL_BYTES))
                last = _last_line(stream.read())
        except FileNotFoundError:
            return NO_HEAD
        return NO_HEAD if last is None else _head_of(last)

    def end(self) -> str | None:
        """Where it ends now, as checkpoints name it; None: nothing is on it, or it cannot be read by this process."""
        try:
            head = self.head()
        except OSError:
            return None
        return None if head == NO_HEAD else head.text()

    def since(self, head: Head) -> Iterator[Mapping[str, Any]]:
        """All lines after ``head``, the whole list being checked on the way.

        :raises ConfigurationError: ``erasure-list-missing``: there is none; ``erasure-list-broken``: lines are missing or were changed, or
            it is the list of another ledger.
        """
        try:
            text = self.path.read_bytes()
        except OSError as error:
            raise ConfigurationError(
                "erasure-list-missing", f"the list of erasures {self.path.name} is not there: without it a restore would undo erasures (I9)"
            ) from error
        known, later = NO_HEAD, []
        met = head == NO_HEAD
        for line in text.split(b"\n"):
            try:
                entry = json.loads(line)
                fits = (entry["number"], entry["previous"]) == (known.number + 1, known.digest)
            except (ValueError, KeyError, TypeError):
                continue  # cut short by a crash, and followed by a line that goes on from the one before; or the end
            if not fits:
                raise _broken(f"after line {known.number}")
            known = _head_of(line)
            if met:
                later.append(entry)
            met = met or known == head
        if not met:
            raise _broken(f"it does not have line {head.number} as the backup knows it")
        yield from later


NO_HEAD: Final = Head(number=0, digest=NOTHING)


def keys_of(entries: Sequence[Mapping[str, Any]]) -> set[str]:
    """The ids of all data keys that these lines say were to be erased."""
    return {key for entry in entries for key in entry.get("keys", ())}


def ended_of(entries: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """What became of deliveries whose contents were to be erased: id → final state."""
    return {delivery: state for entry in entries for delivery, state in entry.get("ended", ())}


PRINT_BYTES: Final = 16


def print_of(wrapped: Sequence[bytes]) -> str:
    """The beginnings of wrapped keys, by which they are known again wherever they lie. 16 of 40 bytes unwrap nothing."""
    return base64.b64encode(b"".join(each[:PRINT_BYTES] for each in wrapped)).decode()


def prints_of(entry: Mapping[str, Any]) -> list[bytes]:
    """What :func:`print_of` was given, of one line."""
    text = base64.b64decode(entry.get("prints", ""))
    return [text[at : at + PRINT_BYTES] for at in range(0, len(text), PRINT_BYTES)]


def _last_line(tail: bytes) -> bytes | None:
    for line in reversed(tail.split(b"\n")):
        try:
            if "number" in json.loads(line):
                return line
        except (ValueError, TypeError):
            continue
    return None


def _head_of(line: bytes) -> Head:
    return Head(number=int(json.loads(line)["number"]), digest=hashlib.sha256(line).hexdigest())


def _broken(where: str) -> ConfigurationError:
    return ConfigurationError("erasure-list-broken", f"the list of erasures is not whole: {where}; bring back the one of this ledger")
