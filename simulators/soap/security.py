"""Signature and encryption of one party's messages in one place: opened and proven on the way in, signed and closed up on the way out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial

from lxml import etree

from simulators.encryption import Encryption
from simulators.misbehaviour import Answer
from simulators.signatures import LONGEST_S, SKEW_S, Signatures
from simulators.soap.envelope import Signer


@dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    """``encryption``: of the Bodies of signed messages; None: they are in clear."""

    signatures: Signatures
    encryption: Encryption | None = None

    def taken(self, call: etree._Element) -> bytes | None:
        """What was encrypted is put in its place, and the call is the caller's; returns the bytes that were encrypted.

        :raises SignatureRefused: it is not.
        """
        content = self.encryption.open(call) if self.encryption is not None else None
        self.signatures.verify(call)
        return content

    def closed(self, answer: etree._Element) -> bytes:
        """Signed, and encrypted if that was agreed."""
        signed = self.signatures.sign(answer)
        return signed if self.encryption is None else self.encryption.close_up(signed)

    def wrong_signer(self, variant: str) -> Signer | None:
        """How an answer of that variant of the fault ``signature`` is signed; None: not at all."""
        match variant:
            case "unsigned":
                return None
            case "wrong-signer":
                return partial(self.signatures.sign, by="other")
            case "expired":
                return partial(self.signatures.sign, at=datetime.now(UTC) - timedelta(seconds=LONGEST_S + SKEW_S + 1))
        return self.signatures.sign

    def altered(self, answer: Answer) -> Answer:
        """Says another thing than was signed."""
        changes = ((b' duplicate="false"', b' duplicate="true"'), (b"E1", b"E2"))
        body = answer.body
        for before, after in changes:
            body = body.replace(before, after)
        return self.sealed(replace(answer, body=body))

    def sealed(self, answer: Answer) -> Answer:
        """Encrypted, if that was agreed; the signature is what it is."""
        return answer if self.encryption is None else replace(answer, body=self.encryption.close_up(answer.body))
