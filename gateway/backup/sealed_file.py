"""The file of a backup: a first line in clear, then chunks, each sealed with AES-256-GCM (the STREAM construction).

The key of a file is derived (HKDF, SHA-256) from a backup key of the key directory and a random salt, so it serves this file alone. A
chunk's nonce is its number and whether it is the last; the first line is bound to all chunks. So no chunk can be changed, moved, repeated
or left out, nor the file cut short, without the next :meth:`SealedReader.read` saying so. No plain text ever lies on the disk.
"""

from __future__ import annotations

import base64
import json
import os
from typing import IO, Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.errors import ConfigurationError

FORMAT: Final = "renkei-backup"
VERSION: Final = 1
CHUNK: Final = 1 << 20
_TAG: Final = 16
_LONGEST_HEAD: Final = 4096


class BackupBroken(ConfigurationError):
    """The file is not, or no longer, what was written."""


def _key_of(secret: bytes, salt: bytes) -> AESGCM:
    return AESGCM(HKDF(algorithm=SHA256(), length=32, salt=salt, info=b"renkei backup 1").derive(secret))


def _nonce(number: int, last: bool) -> bytes:
    return number.to_bytes(11) + bytes([last])


class SealedWriter:
    """Writes one file. Blocks."""

    def __init__(self, stream: IO[bytes], *, backup: str, key_id: str, secret: bytes) -> None:
        salt = os.urandom(32)
        head = {"format": FORMAT, "version": VERSION, "backup": backup, "key": key_id, "salt": base64.b64encode(salt).decode()}
        self._head = json.dumps(head, separators=(",", ":")).encode() + b"\n"
        self._key = _key_of(secret, salt)
        self._stream = stream
        self._stream.write(self._head)
        self._kept = bytearray()
        self._number = 0

    def write(self, data: bytes) -> None:
        """Append; what does not fill a chunk waits."""
        self._kept += data
        while len(self._kept) > CHUNK:
            self._seal(bytes(self._kept[:CHUNK]), last=False)
            del self._kept[:CHUNK]

    def end(self) -> None:
        """Seal the last chunk; without it the file is cut short."""
        self._seal(bytes(self._kept), last=True)
        self._kept.clear()

    def _seal(self, chunk: bytes, *, last: bool) -> None:
        self._stream.write(self._key.encrypt(_nonce(self._number, last), chunk, self._head))
        self._number += 1


def read_head(stream: IO[bytes]) -> dict[str, Any]:
    """The first line; the stream stands behind it.

    :raises BackupBroken: ``backup-malformed``.
    """
    try:
        head: dict[str, Any] = json.loads(stream.readline(_LONGEST_HEAD))
        if (head["format"], head["version"]) != (FORMAT, VERSION):
            raise ValueError
        base64.b64decode(head["salt"], validate=True)
        str(head["key"]), str(head["backup"])
    except (ValueError, KeyError, TypeError) as error:
        raise BackupBroken("backup-malformed", "this file is no backup of this version of renkei") from error
    return head


class SealedReader:
    """Reads one file, chunk by chunk. Blocks."""

    def __init__(self, stream: IO[bytes], secret: bytes) -> None:
        """:param stream: at its beginning."""
        head = read_head(stream)
        place = stream.tell()
        stream.seek(0)
        self._head = stream.read(place)
        self._key = _key_of(secret, base64.b64decode(head["salt"]))
        self._stream = stream
        self._number = 0
        self._next = stream.read(CHUNK + _TAG)

    def read(self) -> bytes | None:
        """The next chunk; None behind the last.

        :raises BackupBroken: ``backup-broken``: changed, cut short, or of another key. Nothing of what follows is given.
        """
        if not self._next and self._number:
            return None
        sealed, self._next = self._next, self._stream.read(CHUNK + _TAG)
        try:
            chunk = self._key.decrypt(_nonce(self._number, last=not self._next), sealed, self._head)
        except (InvalidTag, ValueError) as error:
            raise BackupBroken("backup-broken", f"part {self._number + 1} of the backup was altered, or the file is cut short") from error
        self._number += 1
        return chunk
