"""Key and certificate files: atomic writes, and a private key that others can read is refused."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from certs.errors import CertificateError, KeyFileUnsafe

PRIVATE = 0o600
PUBLIC = 0o644


def write_file(path: Path, data: bytes, mode: int) -> None:
    """Write ``data`` to ``path`` so that a reader sees the old file or the new one, and never with a looser mode than ``mode``."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            os.fchmod(stream.fileno(), mode)
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def require_private(path: Path) -> None:
    """Refuse a private key file that group or others may touch.

    :raises KeyFileUnsafe: not there, not a regular file, or its mode is looser than 0600.
    """
    try:
        status = os.stat(path)
    except OSError as error:
        raise KeyFileUnsafe("key-file-missing", f"private key file {path.name} cannot be read ({error.strerror})") from error
    if not stat.S_ISREG(status.st_mode):
        raise KeyFileUnsafe("key-file-not-regular", f"private key file {path.name} is not a regular file")
    if status.st_mode & 0o077:
        raise KeyFileUnsafe(
            "key-file-permissions",
            f"private key file {path.name} has mode {stat.S_IMODE(status.st_mode):04o}; others may touch it: chmod 600 {path.name}",
        )


def read_private(path: Path) -> bytes:
    """The bytes of a private key file, after :func:`require_private`."""
    require_private(path)
    return path.read_bytes()


def read_public(path: Path, what: str) -> bytes:
    """The bytes of a certificate or revocation list file.

    :raises CertificateError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise CertificateError("certificate-file-missing", f"{what} file {path.name} cannot be read ({error.strerror})") from error
