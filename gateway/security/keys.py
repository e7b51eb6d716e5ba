"""The gateway's own secret keys in a directory: key-encryption keys, HMAC keys and JWE keys, each with an id.

Layout: ``<kind>-<id>.key`` (mode 0600) and ``index.json``, which says which key of each kind is current. Older ones stay until they are
destroyed. Several processes share the directory; each follows changes of the index within a second, and looks for an id that it does not
know yet on disk before it calls it unknown. A key never appears in an error, a log line or a ``repr`` (I5).
"""

from __future__ import annotations

import contextlib
import datetime as dt
import enum
import fcntl
import json
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from certs.errors import KeyFileUnsafe
from certs.files import PRIVATE, read_private, write_file
from gateway.errors import ConfigurationError

SECRET_BYTES = 32
FOLLOW_S = 1.0
_ID = re.compile(r"[0-9A-Za-z-]{1,64}")


class Kind(enum.Enum):
    """What a key is for. One key never serves two purposes."""

    KEK = "kek"
    """Wraps the data keys of sealed payloads."""
    BLIND = "blind"
    """HMAC of identifiers: blind indexes."""
    CONTENT = "content"
    """HMAC of contents: the identity of a message (R17) and what a command has seen (R13)."""
    JWE = "jwe"
    """P-256 pair: messages on queues are encrypted for it. The secret is PKCS #8 PEM."""
    AUDIT = "audit"
    """P-256 pair: signs the checkpoints of the audit chain (R22). The secret is PKCS #8 PEM."""


PAIRS = frozenset({Kind.JWE, Kind.AUDIT})
"""Kinds whose secret is a P-256 private key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One secret key."""

    id: str
    secret: bytes = field(repr=False)


class KeyStore:
    """The key directory of an instance (``var/keys``)."""

    def __init__(self, directory: Path | str) -> None:
        self.directory = Path(directory)
        self._index_path = self.directory / "index.json"
        self._index: dict[str, list[str]] = {}
        self._stamp: tuple[int, int] | None = None
        self._looked_at = -FOLLOW_S
        self._keys: dict[tuple[Kind, str], Key] = {}

    def ensure(self) -> KeyStore:
        """Make the directory and one key of each kind, as far as missing; check the permissions of all that is there.

        :raises ConfigurationError: permissions looser than 0700 (directory) or 0600 (file), or a key of the index is missing.
        """
        if not self.directory.exists():
            self.directory.mkdir(parents=True, mode=0o700)
        self._require_private_directory()
        with self._locked():
            index = self._read_index() if self._index_path.exists() else {}
            for kind in Kind:
                if not index.get(kind.value):
                    index[kind.value] = [self._make(kind)]
            self._write_index(index)
        for kind in Kind:
            for key_id in self.ids(kind):
                self.get(kind, key_id)
        return self

    def current(self, kind: Kind) -> Key:
        """The key that new data gets."""
        return self.get(kind, self.ids(kind)[-1])

    def ids(self, kind: Kind) -> tuple[str, ...]:
        """Ids of the keys of this kind that exist, oldest first; the last is current."""
        self._follow()
        try:
            return tuple(self._index[kind.value])
        except KeyError as error:
            raise ConfigurationError("key-missing", f"key directory has no {kind.value} key: run `renkei check`") from error

    def get(self, kind: Kind, key_id: str) -> Key:
        """The key with this id.

        :raises ConfigurationError: ``key-unknown`` (never was, or was destroyed), or its file is unsafe or damaged.
        """
        key = self._keys.get((kind, key_id))
        if key is not None:
            self._follow()
            if (kind, key_id) in self._keys:
                return key
        if not _ID.fullmatch(key_id):
            raise ConfigurationError("key-unknown", f"there is no such {kind.value} key")
        if key_id not in self._index.get(kind.value, ()):
            # another process may have made it just now; a file without an entry is the remains of an interrupted destruction
            self._follow(at_once=True)
            if key_id not in self._index.get(kind.value, ()):
                raise ConfigurationError("key-unknown", f"there is no {kind.value} key {key_id}")
        path = self._path(kind, key_id)
        try:
            data = read_private(path)
        except KeyFileUnsafe as error:
            raise ConfigurationError(error.code, error.safe_detail) from error
        key = Key(id=key_id, secret=data if kind in PAIRS else _decode(data, path))
        self._keys[kind, key_id] = key
        return key

    def rotate(self, kind: Kind) -> Key:
        """Make a new current key; the older ones stay readable."""
        with self._locked():
            index = self._read_index()
            key_id = self._make(kind)
            index[kind.value].append(key_id)
            self._write_index(index)
        return self.get(kind, key_id)

    def destroy(self, kind: Kind, key_id: str) -> None:
        """Destroy a key that is not current: overwritten, then removed. What it encrypted is gone for good.

        Overwriting reaches the blocks of an ordinary file system; on copy-on-write file systems and flash use a token or encrypted disk.

        :raises ConfigurationError: it is current, or there is none.
        """
        with self._locked():
            index = self._read_index()
            if key_id not in index.get(kind.value, []):
                raise ConfigurationError("key-unknown", f"there is no such {kind.value} key")
            if index[kind.value][-1] == key_id:
                raise ConfigurationError("key-current", f"{kind.value} key {key_id} is current: rotate first, then destroy it")
            index[kind.value].remove(key_id)
            self._write_index(index)
            path = self._path(kind, key_id)
            with path.open("r+b") as stream:
                stream.write(bytes(path.stat().st_size))
                stream.flush()
                os.fsync(stream.fileno())
            path.unlink()

    def _make(self, kind: Kind) -> str:
        key_id = f"{dt.datetime.now(dt.UTC):%Y%m%d}-{secrets.token_hex(4)}"
        if kind in PAIRS:
            pair = ec.generate_private_key(ec.SECP256R1())
            data = pair.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        else:
            data = secrets.token_hex(SECRET_BYTES).encode() + b"\n"
        write_file(self._path(kind, key_id), data, PRIVATE)
        return key_id

    def _path(self, kind: Kind, key_id: str) -> Path:
        return self.directory / f"{kind.value}-{key_id}.key"

    def _follow(self, *, at_once: bool = False) -> None:
        now = time.monotonic()
        if now - self._looked_at < FOLLOW_S and not at_once:
            return
        self._looked_at = now
        try:
            status = self._index_path.stat()
        except OSError as error:
            raise ConfigurationError("key-index-missing", "key directory has no index: it was never set up, or was removed") from error
        stamp = (status.st_mtime_ns, status.st_ino)
        if stamp != self._stamp:
            self._take_over(self._read_index(), stamp)

    def _take_over(self, index: dict[str, list[str]], stamp: tuple[int, int]) -> None:
        self._index, self._stamp = index, stamp
        for kind, key_id in list(self._keys):
            if key_id not in index[kind.value]:
                del self._keys[kind, key_id]

    def _read_index(self) -> dict[str, list[str]]:
        try:
            index: dict[str, list[str]] = json.loads(read_private(self._index_path))
        except KeyFileUnsafe as error:
            raise ConfigurationError(error.code, error.safe_detail) from error
        except ValueError as error:
            raise ConfigurationError("key-index-malformed", "index.json of the key directory cannot be read") from error
        return index

    def _write_index(self, index: dict[str, list[str]]) -> None:
        write_file(self._index_path, json.dumps(index, indent=1).encode() + b"\n", PRIVATE)
        status = self._index_path.stat()
        self._take_over(index, (status.st_mtime_ns, status.st_ino))

    def _require_private_directory(self) -> None:
        mode = stat.S_IMODE(self.directory.stat().st_mode)
        if mode & 0o077:
            raise ConfigurationError("key-directory-permissions", f"key directory has mode {mode:04o}: others may enter it; chmod 700 it")

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.directory / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _decode(data: bytes, path: Path) -> bytes:
    try:
        secret = bytes.fromhex(data.decode("ascii").strip())
    except ValueError:
        secret = b""
    if len(secret) != SECRET_BYTES:
        # no cause attached: its text would quote the content of the file
        raise ConfigurationError("key-malformed", f"key file {path.name} does not hold a {8 * SECRET_BYTES}-bit key") from None
    return secret
