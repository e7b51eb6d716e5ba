"""Day keys: what is sealed for a class that must vanish is wrapped under the key of its day as well (architecture section 8, C-3-7-1).

A wrapped data key lies in the ledger, and the ledger lies in backups. For destination information that is not good enough: it must never
be in a backup (C-3-7-3). So its data keys are wrapped twice, first under a *day key*, which lies in a directory of its own, outside the
ledger and outside every backup, and then under the key-encryption key. When the last message of a day is due, the day key is destroyed;
whatever copy of the ledger there is, nothing of that day opens any more.

The directory bears ``CACHEDIR.TAG``, which the usual programs for backups respect (tar --exclude-caches, restic, borg); the operations
page says which folder to leave out otherwise. It is on a disk, not in memory: a restart of the machine must lose nothing that was accepted.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from certs.errors import KeyFileUnsafe
from certs.files import PRIVATE, read_private, write_file
from gateway.errors import ConfigurationError
from gateway.security.kek import WrappingBroken
from gateway.security.keys import overwrite

JST = dt.timezone(dt.timedelta(hours=9), "JST")
_ID = re.compile(r"[0-9]{8}-[0-9a-f]{8}")
_TAG = "Signature: 8a477f597d28d172789f06886806bc55\n# Day keys of Renkei Gateway: never back them up (see docs/keys.md).\n"


class DayKeyGone(WrappingBroken):
    """The day key has been destroyed: what was wrapped under it is gone for good, as it should be."""


class DayKeys:
    """The directory of day keys of an instance. Any thread."""

    def __init__(self, directory: Path, *, now: Callable[[], float] = time.time) -> None:
        self.directory = directory
        self._now = now
        self._keys: dict[str, bytes] = {}

    def ensure(self) -> DayKeys:
        """Make the directory; check the permissions of all that is there.

        :raises ConfigurationError: permissions looser than 0700 (directory) or 0600 (file), or a damaged key.
        """
        self.directory.mkdir(parents=True, mode=0o700, exist_ok=True)
        if self.directory.stat().st_mode & 0o077:
            raise ConfigurationError("key-directory-permissions", "others may enter the directory of the day keys; chmod 700 it")
        tag = self.directory / "CACHEDIR.TAG"
        if not tag.exists():
            write_file(tag, _TAG.encode(), PRIVATE)
        for key_id in self.ids():
            self._read(key_id)
        return self

    def ids(self) -> tuple[str, ...]:
        """Ids of the day keys that exist, oldest first. They begin with the day, as in Japan: ``20261123-…``."""
        found = (path.name.removeprefix("day-").removesuffix(".key") for path in self.directory.glob("day-*.key"))
        return tuple(sorted(key_id for key_id in found if _ID.fullmatch(key_id)))

    def wrap(self, secret: bytes) -> tuple[str, bytes]:
        """``secret`` under the key of today, which is made when it is first needed: its id, and the wrapped bytes."""
        key_id = self._today()
        return key_id, aes_key_wrap(self._read(key_id), secret)

    def unwrap(self, key_id: str, wrapped: bytes) -> bytes:
        """:raises DayKeyGone: the key was destroyed.
        :raises WrappingBroken: it is not what was wrapped under this key.
        """
        if not _ID.fullmatch(key_id) or not self._path(key_id).exists():  # asked each time: another process may have destroyed it
            self._keys.pop(key_id, None)
            raise DayKeyGone(key_id)
        try:
            return aes_key_unwrap(self._read(key_id), wrapped)
        except (InvalidUnwrap, ValueError) as error:
            raise WrappingBroken(key_id) from error

    def destroy(self, key_id: str) -> None:
        """Overwrite and remove a key; nothing happens if it is gone already. Never that of today, which may be needed yet.

        :raises ConfigurationError: it is that of today.
        """
        if key_id.startswith(self._day()):
            raise ConfigurationError("key-current", "the day key of today is still in use")
        with self._locked(), contextlib.suppress(FileNotFoundError):
            overwrite(self._path(key_id))
            self._path(key_id).unlink()
        self._keys.pop(key_id, None)

    def _today(self) -> str:
        day = self._day()
        for key_id in self._keys:
            if key_id.startswith(day):
                return key_id
        with self._locked():
            for key_id in self.ids():
                if key_id.startswith(day):
                    self._read(key_id)
                    return key_id
            key_id = f"{day}-{secrets.token_hex(4)}"
            write_file(self._path(key_id), os.urandom(32).hex().encode() + b"\n", PRIVATE)
            self._read(key_id)
            return key_id

    def _day(self) -> str:
        return dt.datetime.fromtimestamp(self._now(), JST).strftime("%Y%m%d")

    def _read(self, key_id: str) -> bytes:
        key = self._keys.get(key_id)
        if key is None:
            path = self._path(key_id)
            try:
                key = bytes.fromhex(read_private(path).decode("ascii").strip())
            except KeyFileUnsafe as error:
                raise ConfigurationError(error.code, error.safe_detail) from error
            except ValueError:
                key = b""
            if len(key) != 32:
                raise ConfigurationError("key-malformed", f"key file {path.name} does not hold a 256-bit key") from None
            self._keys[key_id] = key
        return key

    def _path(self, key_id: str) -> Path:
        return self.directory / f"day-{key_id}.key"

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        descriptor = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)
