"""An export of the record: plain text that a third person verifies with ``sha256sum`` and ``openssl`` alone (docs/audit.md).

A folder with ``chain.txt`` (the blocks, one after the other), ``checkpoints.txt``, for each key that signed ``key-<fingerprint>.pem``, and
for time stamps ``timestamps/<number>.tsr``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gateway.audit.canonical import Block, line
from gateway.audit.checkpoint import Signed, fingerprint, parse, public_pem
from gateway.audit.errors import AuditError
from gateway.audit.queries import Checkpointed

CHAIN: Final = "chain.txt"
CHECKPOINTS: Final = "checkpoints.txt"
STAMPS: Final = "timestamps"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamped:
    """A checkpoint and its time stamp, if it has one."""

    signed: Signed
    token: bytes | None


def block_text(block: Block, rows: Sequence[Sequence[Any]]) -> bytes:
    """A block as it stands in an export: the bytes that its digest is over, if nothing was touched."""
    return block.head() + b"".join(line(row) + b"\n" for row in rows)


def stamped(found: Iterable[Checkpointed]) -> list[Stamped]:
    """Checkpoints of the ledger."""
    return [Stamped(signed=Signed(text=each.text, signature=each.signature), token=each.token) for each in found]


def write(folder: Path, chain: Iterator[bytes], checkpoints: Sequence[Stamped]) -> int:
    """Write an export into a new or empty folder; the size of the chain's text in bytes.

    :raises AuditError: ``export-folder``: there is something in it, or it cannot be written.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise AuditError("export-folder", f"{folder.name} is not empty: name a new folder")
        size = 0
        with (folder / CHAIN).open("wb") as stream:
            for part in chain:
                size += stream.write(part)
        (folder / CHECKPOINTS).write_text("".join(each.signed.stanza() for each in checkpoints), encoding="utf-8")
        for each in checkpoints:
            public = each.signed.read().key
            name = folder / f"key-{fingerprint(public)}.pem"
            if not name.exists():
                name.write_text(public_pem(public), encoding="ascii")
            if each.token is not None:
                (folder / STAMPS).mkdir(exist_ok=True)
                (folder / STAMPS / f"{each.signed.read().number}.tsr").write_bytes(each.token)
    except OSError as error:
        raise AuditError("export-folder", f"the export cannot be written: {error.strerror}") from error
    return size


def read_checkpoints(folder: Path) -> list[Stamped]:
    """The checkpoints of an export with their time stamps.

    :raises AuditError: it cannot be read.
    """
    try:
        found = parse((folder / CHECKPOINTS).read_text(encoding="utf-8"))
        tokens = {int(each.stem): each.read_bytes() for each in (folder / STAMPS).glob("*.tsr") if re.fullmatch(r"[0-9]+", each.stem)}
    except (OSError, UnicodeDecodeError) as error:
        raise AuditError("export-unreadable", f"{folder.name} is no export that can be read") from error
    return [Stamped(signed=each, token=tokens.get(_number(each))) for each in found]


def _number(signed: Signed) -> int:
    try:
        return signed.read().number
    except AuditError:
        return 0
