"""The gateway's own secret keys in a directory: key-encryption keys, HMAC keys and JWE keys, each with an id.

Layout: ``<kind>-<id>.key`` (mode 0600) and ``index.json``, which says which key of each kind is current and since when. Older ones stay
until they are destroyed. Key-encryption keys may live in a PKCS#11 token instead (``gateway/security/kek.py``); the index names them all
the same. Several processes share the directory; each follows changes of the index within a second, and looks for an id that it does not
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
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from certs.errors import KeyFileUnsafe
from certs.files import PRIVATE, read_private, write_file
from gateway.errors import ConfigurationError
from gateway.security.kek import FileKeks, KekProvider

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
    BACKUP = "backup"
    """Encrypts backups of the ledger: a key of each is derived from it."""


PAIRS = frozenset({Kind.JWE, Kind.AUDIT})
"""Kinds whose secret is a P-256 private key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One secret key."""

    id: str
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Index:
    """What ``index.json`` says: the ids of each kind, oldest first, and since when each has been current (seconds since 1970 UTC)."""

    ids: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    since: Mapping[str, float] = field(default_factory=dict)

    def of(self, kind: Kind) -> tuple[str, ...]:
        return self.ids.get(kind.value, ())

    def with_new(self, kind: Kind, key_id: str) -> _Index:
        ids = {**self.ids, kind.value: (*self.of(kind), key_id)}
        return _Index(ids=ids, since={**self.since, key_id: time.time()})

    def without(self, kind: Kind, key_id: str) -> _Index:
        ids = {**self.ids, kind.value: tuple(each for each in self.of(kind) if each != key_id)}
        return replace(self, ids=ids)  # ``since`` keeps the id: when a key was followed by another is not forgotten

    def text(self) -> bytes:
        return (
            json.dumps({"keys": {kind: list(ids) for kind, ids in self.ids.items()}, "since": dict(self.since)}, indent=1).encode() + b"\n"
        )

    @classmethod
    def read(cls, text: bytes) -> _Index:
        """:raises ValueError: it is not an index."""
        found = json.loads(text)
        try:
            ids = {str(kind): tuple(str(each) for each in some) for kind, some in found["keys"].items()}
            return cls(ids=ids, since={str(key_id): float(at) for key_id, at in found["since"].items()})
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError("not an index of keys") from error


class KeyStore:
    """The key directory of an instance (``var/keys``). Any thread.

    :param token: where key-encryption keys with its prefix are.
    :param kek_in_token: new key-encryption keys are made there.
    """

    def __init__(self, directory: Path | str, *, token: KekProvider | None = None, kek_in_token: bool = False) -> None:
        self.directory = Path(directory)
        self._token = token
        self._kek_in_token = kek_in_token and token is not None
        self._files = FileKeks(
            read=lambda key_id: self.get(Kind.KEK, key_id).secret,
            write=lambda key_id, secret: self._write_secret(Kind.KEK, key_id, secret.hex().encode() + b"\n"),
            destroy=lambda key_id: self._destroy_file(Kind.KEK, key_id),
        )
        self._index_path = self.directory / "index.json"
        self._index = _Index()
        self._stamp: tuple[int, int] | None = None
        self._looked_at = -FOLLOW_S
        self._keys: dict[tuple[Kind, str], Key] = {}

    def ensure(self) -> KeyStore:
        """Make the directory and one key of each kind, as far as missing; check permissions and use of all that is there.

        :raises ConfigurationError: permissions looser than 0700 (directory) or 0600 (file), or a key of the index is missing or damaged.
        :raises TokenUnavailable: the token does not answer.
        """
        if not self.directory.exists():
            self.directory.mkdir(parents=True, mode=0o700)
        self._require_private_directory()
        with self._locked():
            index = self._read_index() if self._index_path.exists() else _Index()
            missing = [kind for kind in Kind if not index.of(kind)]
            for kind in missing:
                index = index.with_new(kind, self._make(kind))
            if missing:
                self._write_index(index)
        self.check()
        return self

    def check(self) -> None:
        """Every key of the index can be used; nothing is changed.

        :raises ConfigurationError: as :meth:`ensure`.
        """
        self._require_private_directory()
        for kind in Kind:
            for key_id in self.ids(kind):
                if kind is Kind.KEK:
                    self._provider(key_id).check(key_id)
                else:
                    self.get(kind, key_id)

    def strays(self) -> list[str]:
        """Names of key files that the index does not name: remains of a destruction or a rotation that was interrupted."""
        named = {self._path(kind, key_id).name for kind in Kind for key_id in self.ids(kind)}
        return sorted(path.name for path in self.directory.glob("*.key") if path.name not in named)

    # ---- wrapping ------------------------------------------------------------------------------------------------------------------

    def wrap(self, secret: bytes) -> tuple[str, bytes]:
        """``secret`` under the current key-encryption key: its id, and the wrapped bytes.

        :raises TokenUnavailable: it is in a token that does not answer.
        """
        key_id = self.ids(Kind.KEK)[-1]
        return key_id, self._provider(key_id).wrap(key_id, secret)

    def unwrap(self, key_id: str, wrapped: bytes) -> bytes:
        """What was wrapped under the key-encryption key ``key_id``.

        :raises WrappingBroken: it is not what was wrapped under it.
        :raises ConfigurationError: ``key-unknown``.
        :raises TokenUnavailable: it is in a token that does not answer.
        """
        self.require(Kind.KEK, key_id)
        return self._provider(key_id).unwrap(key_id, wrapped)

    # ---- looking -------------------------------------------------------------------------------------------------------------------

    def current(self, kind: Kind) -> Key:
        """The key that new data gets."""
        return self.get(kind, self.ids(kind)[-1])

    def ids(self, kind: Kind) -> tuple[str, ...]:
        """Ids of the keys of this kind that exist, oldest first; the last is current."""
        self._follow()
        ids = self._index.of(kind)
        if not ids:
            raise ConfigurationError("key-missing", f"key directory has no {kind.value} key: run `renkei check`")
        return ids

    def since(self, key_id: str) -> float:
        """When this key became the current one of its kind (seconds since 1970 UTC)."""
        self._follow()
        return self._index.since.get(key_id, 0.0)

    def superseded_at(self, kind: Kind, key_id: str) -> float | None:
        """When another became current instead (seconds since 1970 UTC); None: it is current."""
        ids = self.ids(kind)
        return None if key_id not in ids or ids[-1] == key_id else self.since(ids[ids.index(key_id) + 1])

    def refresh(self) -> None:
        """Look at once whether another process has made or destroyed a key."""
        self._follow(at_once=True)

    def require(self, kind: Kind, key_id: str) -> None:
        """:raises ConfigurationError: ``key-unknown``: never was, or was destroyed."""
        self._follow()
        if key_id in self._index.of(kind):
            return
        if _ID.fullmatch(key_id):
            # another process may have made it just now; a file without an entry is the remains of an interrupted destruction
            self._follow(at_once=True)
            if key_id in self._index.of(kind):
                return
            raise ConfigurationError("key-unknown", f"there is no {kind.value} key {key_id}")
        raise ConfigurationError("key-unknown", f"there is no such {kind.value} key")

    def get(self, kind: Kind, key_id: str) -> Key:
        """The key with this id.

        :raises ConfigurationError: ``key-unknown`` (never was, or was destroyed), or its file is unsafe or damaged.
        """
        key = self._keys.get((kind, key_id))
        if key is not None:
            self._follow()
            if (kind, key_id) in self._keys:
                return key
        self.require(kind, key_id)
        path = self._path(kind, key_id)
        try:
            data = read_private(path)
        except KeyFileUnsafe as error:
            raise ConfigurationError(error.code, error.safe_detail) from error
        key = Key(id=key_id, secret=data if kind in PAIRS else _decode(data, path))
        self._keys[kind, key_id] = key
        return key

    def rotate(self, kind: Kind) -> str:
        """Make a new current key and return its id; the older ones stay readable."""
        with self._locked():
            index = self._read_index()
            key_id = self._make(kind)
            self._write_index(index.with_new(kind, key_id))
        return key_id

    def destroy(self, kind: Kind, key_id: str) -> None:
        """Destroy a key that is not current: overwritten, then removed. What it encrypted is gone for good.

        Overwriting reaches the blocks of an ordinary file system; on copy-on-write file systems and flash use a token or encrypted disk.

        :raises ConfigurationError: it is current, or there is none.
        """
        with self._locked():
            index = self._read_index()
            ids = index.of(kind)
            if key_id not in ids:
                raise ConfigurationError("key-unknown", f"there is no such {kind.value} key")
            if ids[-1] == key_id:
                raise ConfigurationError("key-current", f"{kind.value} key {key_id} is current: rotate first, then destroy it")
            self._write_index(index.without(kind, key_id))
            if kind is Kind.KEK:
                self._provider(key_id).destroy(key_id)
            else:
                self._destroy_file(kind, key_id)

    def _destroy_file(self, kind: Kind, key_id: str) -> None:
        path = self._path(kind, key_id)
        overwrite(path)
        path.unlink()

    def _provider(self, key_id: str) -> KekProvider:
        if self._token is not None and key_id.startswith(self._token.prefix):
            return self._token
        if key_id.startswith("hsm-"):
            raise ConfigurationError("token-not-configured", f"key-encryption key {key_id} is in a token, but the configuration names none")
        return self._files

    def _make(self, kind: Kind) -> str:
        key_id = f"{dt.datetime.now(dt.UTC):%Y%m%d}-{secrets.token_hex(4)}"
        if kind is Kind.KEK:
            provider = self._token if self._kek_in_token and self._token is not None else self._files
            key_id = provider.prefix + key_id
            provider.make(key_id)
        elif kind in PAIRS:
            pair = ec.generate_private_key(ec.SECP256R1())
            self._write_secret(kind, key_id, pair.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        else:
            self._write_secret(kind, key_id, secrets.token_hex(SECRET_BYTES).encode() + b"\n")
        return key_id

    def _write_secret(self, kind: Kind, key_id: str, data: bytes) -> None:
        write_file(self._path(kind, key_id), data, PRIVATE)

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

    def _take_over(self, index: _Index, stamp: tuple[int, int]) -> None:
        self._index, self._stamp = index, stamp
        for kind, key_id in list(self._keys):
            if key_id not in index.of(kind):
                del self._keys[kind, key_id]

    def _read_index(self) -> _Index:
        try:
            return _Index.read(read_private(self._index_path))
        except KeyFileUnsafe as error:
            raise ConfigurationError(error.code, error.safe_detail) from error
        except ValueError as error:
            raise ConfigurationError("key-index-malformed", "index.json of the key directory cannot be read") from error

    def _write_index(self, index: _Index) -> None:
        write_file(self._index_path, index.text(), PRIVATE)
        status = self._index_path.stat()
        self._take_over(index, (status.st_mtime_ns, status.st_ino))

    def _require_private_directory(self) -> None:
        mode = stat.S_IMODE(self.directory.stat().st_mode)
        if mode & 0o077:
            raise ConfigurationError("key-directory-permissions", f"key directory has mode {mode:04o}: others may enter it; chmod 700 it")

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        descriptor = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE)
        with os.fdopen(descriptor, "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def overwrite(path: Path) -> None:
    """Overwrite a file with zeros, on the disk."""
    with path.open("r+b") as stream:
        stream.write(bytes(path.stat().st_size))
        stream.flush()
        os.fsync(stream.fileno())


def _decode(data: bytes, path: Path) -> bytes:
    try:
        secret = bytes.fromhex(data.decode("ascii").strip())
    except ValueError:
        secret = b""
    if len(secret) != SECRET_BYTES:
        # no cause attached: its text would quote the content of the file
        raise ConfigurationError("key-malformed", f"key file {path.name} does not hold a {8 * SECRET_BYTES}-bit key") from None
    return secret
