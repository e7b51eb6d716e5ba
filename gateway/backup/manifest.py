"""What stands beside a backup in clear: what it is of, where the record ended, which keys it needs; signed by the audit key.

No personal data, no key. ``ID.renkei-backup`` is the backup, ``ID.manifest.json`` this. The signature is that of the checkpoints
(``docs/audit.md``): ECDSA on P-256 with SHA-256 over the bytes of ``manifest``.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_private_key

from certs.files import PRIVATE, write_file
from gateway.audit.checkpoint import fingerprint, public_text
from gateway.backup.sealed_file import BackupBroken
from gateway.errors import ConfigurationError
from gateway.retention.erasures import Head

SUFFIX: Final = ".renkei-backup"
MANIFEST: Final = ".manifest.json"
VERSION: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a backup says of itself."""

    version: int
    backup: str
    instance: str
    created_at: float
    """Ledger time of the snapshot; seconds since 1970 UTC."""
    since: float
    """Whatever was accepted or sent after this may be missing in it (R24): senders submit it again, and so far back a party may know it."""
    created_by: str
    dialect: str
    schema: str
    incarnation: str
    profile: str
    chain: str
    block: int
    """Where the audit chain ended in the snapshot."""
    block_digest: str
    checkpoint: int
    """The last signed checkpoint that was outside as well; 0: none yet."""
    checkpoint_digest: str
    erasures: str
    """Where the list of erasures ended before the snapshot: ``<number>:<digest>``."""
    policy: int
    """Version of the policy; 0: the packaged one."""
    rows: dict[str, int]
    left_out: dict[str, int]
    ephemeral: tuple[str, ...]
    """Types whose bodies and data keys are not in it (C-3-7-3)."""
    unfinished: dict[str, int]
    """By party: deliveries that a restore makes unknown (R24)."""
    keys: dict[str, tuple[str, ...]]
    """Which keys of the key directory it needs, by kind. None of them is in it."""
    backup_key: str
    file_bytes: int
    file_sha256: str

    def text(self) -> str:
        """Exactly what is signed."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True, separators=(",", ":"))

    @property
    def erasures_head(self) -> Head:
        return Head.parse(self.erasures)

    @classmethod
    def parse(cls, text: str) -> Self:
        """:raises BackupBroken: ``manifest-malformed``."""
        try:
            found: dict[str, Any] = json.loads(text)
            if found["version"] != VERSION:
                raise ValueError
            found["ephemeral"] = tuple(found["ephemeral"])
            found["keys"] = {kind: tuple(ids) for kind, ids in found["keys"].items()}
            made = cls(**found)
            Head.parse(made.erasures)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BackupBroken("manifest-malformed", "the manifest of the backup cannot be read") from error
        return made


def sign(manifest: Manifest, secret: bytes) -> str:
    """The text of the manifest's file. ``secret``: of the audit key, PKCS #8 PEM."""
    private = load_pem_private_key(secret, password=None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    signature = private.sign(manifest.text().encode(), ec.ECDSA(hashes.SHA256()))
    said = {
        "manifest": manifest.text(),
        "key": public_text(private.public_key()),
        "signature": base64.b64encode(signature).decode(),
    }
    return json.dumps(said, indent=1) + "\n"


def read(file: Path, trusted: Iterable[str] = ()) -> Manifest:
    """What the manifest beside a backup says.

    :param trusted: fingerprints of audit keys; without any, the key that it names is believed.
    :raises BackupBroken: ``manifest-missing``, ``manifest-malformed``, ``manifest-signature``, ``manifest-key``.
    """
    try:
        said = json.loads(manifest_of(file).read_text(encoding="utf-8"))
        text, key, signature = str(said["manifest"]), str(said["key"]), base64.b64decode(said["signature"], validate=True)
        public = load_der_public_key(base64.b64decode(key, validate=True))
        if not isinstance(public, ec.EllipticCurvePublicKey):
            raise ValueError
        public.verify(signature, text.encode(), ec.ECDSA(hashes.SHA256()))
    except OSError as error:
        raise BackupBroken("manifest-missing", f"beside {file.name} there is no {manifest_of(file).name}") from error
    except InvalidSignature as error:
        raise BackupBroken("manifest-signature", f"the manifest of {file.name} was altered") from error
    except (ValueError, KeyError, TypeError) as error:
        raise BackupBroken("manifest-malformed", f"the manifest of {file.name} cannot be read") from error
    known = set(trusted)
    if known and fingerprint(key) not in known:
        raise BackupBroken("manifest-key", f"the manifest of {file.name} is signed by a key that is none of this gateway's audit keys")
    return Manifest.parse(text)


def manifest_of(file: Path) -> Path:
    """Where the manifest of a backup stands."""
    return file.with_name(file.name.removesuffix(SUFFIX) + MANIFEST)


def store(file: Path, manifest: Manifest, secret: bytes) -> None:
    """Write the manifest beside the backup; only with it the backup counts."""
    write_file(manifest_of(file), sign(manifest, secret).encode(), PRIVATE)


def digest_of(file: Path) -> tuple[int, str]:
    """Size and SHA-256 of a file. Blocks."""
    with file.open("rb") as stream:
        made = hashlib.file_digest(stream, "sha256")
    return file.stat().st_size, made.hexdigest()


def found(directory: Path) -> list[Path]:
    """The backups of a folder, oldest first."""
    return sorted(directory.glob(f"*{SUFFIX}")) if directory.is_dir() else []


def find(directory: Path, name: str | None) -> Path:
    """A backup by its id, or the path of its file; without a name the newest.

    :raises ConfigurationError: ``backup-missing``.
    """
    if name is not None and Path(name).is_file():
        return Path(name)
    wanted = [each for each in found(directory) if name is None or each.name.removesuffix(SUFFIX) == name]
    if not wanted:
        raise ConfigurationError("backup-missing", "there is no such backup" if name else f"there is no backup in {directory}")
    return wanted[-1]
