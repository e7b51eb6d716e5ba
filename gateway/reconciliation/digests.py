"""Files of keyed digests: a register, or a party, says what it holds without saying it (docs/reconciliation.md has the format).

Both sides make such a file from their records with one secret for the run, which the gateway does not have. A record becomes a *reference*
(the resident record code, encrypted by AES-SIV: deterministic, so that it is the same on both sides, and whoever has the secret can open
it) and one keyed digest for each item. The digest of an item is bound to the reference: the same sex of two residents looks different.
References fall into :data:`BUCKETS` buckets. A bucket whose digest is the same on both sides needs no further look.

Memory: the lines of one file while it is being made (200 bytes for each record), one bucket while it is read.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.errors import InputRefused

FORMAT: Final = "renkei-reconciliation-digests/1"
BUCKETS: Final = 4096
CODE: Final = "resident_record_code"
ORDER: Final = "update_sequence_number"
ITEMS: Final = ("name", "birth_date", "sex", "address", "individual_number", "change_reason", "change_date")
"""What is compared, by item id; the number of the last update (更新順番号) besides, which tells a difference of order."""
DIGEST: Final = 8
"""Bytes of a digest of an item."""
_WIDTH = 16 + 11
_HEADER_BYTES = 4096


@dataclass(frozen=True, slots=True)
class RunKeys:
    """The keys of one run. References of two runs cannot be joined. Prints without its keys."""

    reference: AESSIV = field(repr=False)
    items: bytes = field(repr=False)
    check: str
    """Shows that two files were made with the same secret for the same run."""

    @classmethod
    def of(cls, secret: bytes, run: str) -> Self:
        """:raises InputRefused: the secret is too short."""
        if len(secret) < 32:
            raise InputRefused("secret-short", "the secret of a run has at least 32 bytes")
        made = HKDF(algorithm=hashes.SHA256(), length=144, salt=None, info=f"{FORMAT} {run}".encode()).derive(secret)
        return cls(reference=AESSIV(made[:64]), items=made[64:128], check=made[128:].hex())

    def reference_of(self, code: str) -> bytes:
        """The keyed reference of a resident."""
        return self.reference.encrypt(code.encode(), None)

    def code_of(self, reference: bytes) -> str:
        """The resident record code behind a reference.

        :raises InputRefused: it is of another run or secret.
        """
        try:
            return self.reference.decrypt(reference, None).decode()
        except InvalidTag as error:
            raise InputRefused("reference-foreign", "a reference that was not made with this secret for this run") from error

    def digest_of(self, reference: bytes, item: str, value: str) -> bytes:
        """Of one item of one resident."""
        return hashlib.blake2b(b"\0".join((reference, item.encode(), value.encode())), key=self.items, digest_size=DIGEST).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The first line of a file of digests."""

    run: str
    cut_off: datetime
    """Until when changes are in it; with its zone."""
    records: int
    check: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """What one side holds of one bucket: references with the digests of :data:`ORDER` and :data:`ITEMS`."""

    number: int
    digest: bytes
    lines: bytes = field(repr=False)

    def records(self) -> Mapping[bytes, bytes]:
        """Digests by reference."""
        step = _WIDTH + DIGEST * (1 + len(ITEMS))
        return {self.lines[at : at + _WIDTH]: self.lines[at + _WIDTH : at + step] for at in range(0, len(self.lines), step)}


def write(records: Iterable[Mapping[str, str]], keys: RunKeys, *, run: str, cut_off: datetime, file: Path) -> Header:
    """Make a file of digests, readable by its owner only; an existing one is not written over.

    :raises InputRefused: a record without a code, or two with the same.
    :raises OSError: it cannot be written.
    """
    buckets: list[list[bytes]] = [[] for _ in range(BUCKETS)]
    count = 0
    for record in records:
        line = _line(record, keys)
        buckets[bucket_of(line)].append(line)
        count += 1
    header = Header(run=run, cut_off=cut_off, records=count, check=keys.check)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        first = {"format": FORMAT, "run": run, "cut_off": cut_off.isoformat(), "records": count, "check": keys.check}
        out.write(json.dumps(first).encode() + b"\n")
        for lines in buckets:
            lines.sort()
            if any(one[:_WIDTH] == other[:_WIDTH] for one, other in itertools.pairwise(lines)):
                raise InputRefused("record-twice", "two records bear the same resident record code")
            content = b"".join(lines)
            out.write(len(content).to_bytes(4) + _content_digest(content) + content)
            lines.clear()
    return header


def bucket_of(reference: bytes) -> int:
    """The bucket of a reference: its first twelve bits."""
    return int.from_bytes(reference[:2]) >> 4


def _line(record: Mapping[str, str], keys: RunKeys) -> bytes:
    code = record.get(CODE)
    if not code or len(code) != 11:
        raise InputRefused("record-nobody", "a record names no resident record code")
    reference = keys.reference_of(code)
    values = [record.get(ORDER, "")]
    for item in ITEMS:
        text = record.get(f"{item}@text")
        values.append(record.get(item, "") if text is None else f"{record.get(item, '')}\x1f{text}")
    return reference + b"".join(keys.digest_of(reference, item, value) for item, value in zip((ORDER, *ITEMS), values, strict=True))


class DigestFile:
    """A file of digests, read bucket by bucket. A context manager."""

    def __init__(self, file: Path) -> None:
        """:raises InputRefused: it is none; :raises OSError: it cannot be read."""
        self._in: BinaryIO = file.open("rb")
        self._end = file.stat().st_size
        self._next = 0
        try:
            document = json.loads(self._in.readline(_HEADER_BYTES))
            if document["format"] != FORMAT:
                raise ValueError
            cut_off = datetime.fromisoformat(document["cut_off"])
            if cut_off.tzinfo is None:
                raise ValueError
            self.header = Header(
                run=str(document["run"]), cut_off=cut_off, records=int(document["records"]), check=str(document["check"])
            )  # fmt: skip
        except (ValueError, KeyError, TypeError) as error:
            self._in.close()
            raise InputRefused("digests-malformed", f"{file.name} is no file of digests ({FORMAT})") from error
        self._start = self._in.tell()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._in.close()

    def skip(self, buckets: int) -> None:
        """Pass over the next ones."""
        for _ in range(buckets):
            length, _digest = self._head()
            self._in.seek(length, 1)
            self._next += 1

    def bucket(self) -> Bucket:
        """The next one.

        :raises InputRefused: it was cut or altered.
        """
        length, digest = self._head()
        content = self._in.read(length)
        if len(content) != length or not hmac.compare_digest(_content_digest(content), digest):
            raise InputRefused("digests-altered", f"bucket {self._next} is not what was written")
        number, self._next = self._next, self._next + 1
        return Bucket(number=number, digest=digest, lines=content)

    def find(self, references: Iterable[bytes]) -> dict[bytes, bytes]:
        """Digests of these residents, of those that are in the file."""
        wanted: dict[int, list[bytes]] = {}
        for reference in references:
            wanted.setdefault(bucket_of(reference), []).append(reference)
        self._in.seek(self._start)
        self._next = 0
        found: dict[bytes, bytes] = {}
        for number in sorted(wanted):
            self.skip(number - self._next)
            held = self.bucket().records()
            found |= {each: held[each] for each in wanted[number] if each in held}
        return found

    def _head(self) -> tuple[int, bytes]:
        head = self._in.read(4 + 16)
        length = int.from_bytes(head[:4])
        if len(head) != 20 or self._in.tell() + length > self._end:
            raise InputRefused("digests-altered", f"the file ends in bucket {self._next}")
        return length, head[4:]


def _content_digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).digest()


def digest_of_file(file: Path) -> str:
    """SHA-256, in hexadecimal: a run goes on with the files that it began with."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def records_of(file: Path) -> Iterator[Mapping[str, str]]:
    """Records of a file of JSON Lines, one object of items each.

    :raises InputRefused: ``record-malformed``, naming the line and nothing of it.
    """
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except ValueError as error:
                raise InputRefused("record-malformed", "not JSON", place=f"{file.name}:{number}") from error
            if not isinstance(record, dict) or not all(isinstance(value, str) for value in record.values()):
                raise InputRefused("record-malformed", "not an object of texts", place=f"{file.name}:{number}")
            yield record
