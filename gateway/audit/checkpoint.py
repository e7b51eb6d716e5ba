"""Signed heads of the chain: the text that is signed, its signature, and the file outside the ledger (docs/audit.md).

A checkpoint says: at this time the chain ended with this block, of this digest. Without them whoever can write the ledger could cut the
chain short, or rewrite it to its end. Each names the digest of the checkpoint before, and its own public key; a new key is announced by
the old one. Signatures are ECDSA on P-256 with SHA-256 over the bytes of the text, so that ``openssl dgst`` checks them.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import hashlib
import re
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key, load_pem_private_key

from gateway.audit.errors import AuditError

TITLE: Final = "renkei audit checkpoint"
NONE: Final = "-"
_FIELDS: Final = ("chain", "instance", "reason", "block", "digest", "total", "at", "previous", "key", "next-key", "erasures")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What a checkpoint says."""

    number: int
    chain: str
    instance: str
    reason: str
    """``interval``, ``shutdown``, ``key-rotated``, or ``restored``: the chain goes on from this block, and what older checkpoints say of
    later blocks is lost with the ledger that was restored (R24)."""
    block: int
    digest: bytes
    total: int
    at: str
    """UTC, ISO 8601 to the second, by the ledger's clock."""
    previous: bytes | None
    """Digest of the text of the checkpoint before."""
    key: str
    """Public key, SubjectPublicKeyInfo in DER, Base64."""
    next_key: str | None = None
    """The key that signs the following ones, announced by the old one."""
    erasures: str | None = None
    """Where the list of erasures outside the ledger ended: ``<number>:<digest>``. One that ends before was cut short (R24)."""

    def text(self) -> str:
        """Exactly what is signed."""
        values = (
            self.chain, self.instance, self.reason, str(self.block), self.digest.hex(), str(self.total), self.at,
            NONE if self.previous is None else self.previous.hex(), self.key, self.next_key or NONE, self.erasures or NONE,
        )  # fmt: skip
        lines = [f"{TITLE} {self.number}", *(f"{name} {value}" for name, value in zip(_FIELDS, values, strict=True))]
        return "\n".join(lines) + "\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A checkpoint with its signature, as it was found."""

    text: str
    signature: bytes

    @property
    def digest(self) -> bytes:
        """SHA-256 of the text."""
        return hashlib.sha256(self.text.encode()).digest()

    def read(self) -> Checkpoint:
        """What it says, signed or not.

        :raises AuditError: ``checkpoint-malformed``.
        """
        lines = self.text.split("\n")
        title, _, number = lines[0].rpartition(" ")
        found = dict(line.split(" ", 1) for line in lines[1:-1] if " " in line)
        try:
            if title != TITLE or lines[-1] != "" or tuple(found) != _FIELDS:
                raise ValueError
            return Checkpoint(
                number=int(number), chain=found["chain"], instance=found["instance"], reason=found["reason"], block=int(found["block"]),
                digest=bytes.fromhex(found["digest"]), total=int(found["total"]), at=found["at"],
                previous=None if found["previous"] == NONE else bytes.fromhex(found["previous"]), key=found["key"],
                next_key=None if found["next-key"] == NONE else found["next-key"],
                erasures=None if found["erasures"] == NONE else found["erasures"],
            )  # fmt: skip
        except ValueError as error:
            raise AuditError("checkpoint-malformed", "this is not the text of a checkpoint") from error

    def verify(self) -> Checkpoint:
        """What it says, if the key that it names has signed it; whether that key is to be trusted is another question.

        :raises AuditError: ``checkpoint-malformed`` or ``checkpoint-signature``.
        """
        found = self.read()
        try:
            public = load_der_public_key(base64.b64decode(found.key, validate=True))
            if not isinstance(public, ec.EllipticCurvePublicKey) or not isinstance(public.curve, ec.SECP256R1):
                raise ValueError
            public.verify(self.signature, self.text.encode(), ec.ECDSA(hashes.SHA256()))
        except (InvalidSignature, ValueError) as error:
            raise AuditError("checkpoint-signature", f"checkpoint {found.number} is not signed by the key that it names") from error
        return found

    def stanza(self) -> str:
        """As it stands in the file outside the ledger, and in exports."""
        return f"{self.text}signature {base64.b64encode(self.signature).decode()}\n\n"


class Signer:
    """The private key of the audit chain."""

    def __init__(self, key_id: str, secret: bytes) -> None:
        """``secret``: PKCS #8 PEM of a P-256 key."""
        self.key_id = key_id
        private = load_pem_private_key(secret, password=None)
        if not isinstance(private, ec.EllipticCurvePrivateKey):
            raise AuditError("audit-key", "the audit key is no P-256 key")
        self._private = private
        self.public = public_text(private.public_key())

    def sign(self, checkpoint: Checkpoint) -> Signed:
        """Sign. About 30 µs."""
        text = checkpoint.text()
        return Signed(text=text, signature=self._private.sign(text.encode(), ec.ECDSA(hashes.SHA256())))


def public_text(key: ec.EllipticCurvePublicKey) -> str:
    """SubjectPublicKeyInfo, DER, Base64."""
    return base64.b64encode(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


def public_pem(public: str) -> str:
    """A public key (as checkpoints name it) as ``openssl`` reads it."""
    return load_der_public_key(base64.b64decode(public)).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def fingerprint(public: str) -> str:
    """SHA-256 of a public key's DER: what an auditor notes down at the beginning, and compares.

    :raises AuditError: ``audit-key``.
    """
    try:
        return hashlib.sha256(base64.b64decode(public, validate=True)).hexdigest()
    except (binascii.Error, ValueError) as error:
        raise AuditError("audit-key", "this is not a public key in Base64") from error


_STANZA = re.compile(rf"(?:\A|(?<=\n))({TITLE} [0-9]+\n(?:[a-z-]+ [^\n]*\n)+?)signature ([A-Za-z0-9+/=]+)\n\n")


def parse(text: str) -> list[Signed]:
    """The checkpoints in a file. One that a write left incomplete is passed over: what it would have said is then missing, which the
    numbers show.

    :raises AuditError: ``checkpoint-malformed``: there is something in it, but no checkpoint.
    """
    found = [Signed(text=match[1], signature=_signature(match[2])) for match in _STANZA.finditer(text)]
    if not found and text.strip() and not text.startswith(TITLE[: len(text)]):
        raise AuditError("checkpoint-malformed", "this file holds no checkpoints")
    return found


def _signature(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return b""  # verifies with no key


def utc_second(seconds: float) -> str:
    """Ledger time as checkpoints write it."""
    return dt.datetime.fromtimestamp(int(seconds), dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
