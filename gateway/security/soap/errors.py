"""Why a message is not taken for what it says it is. The codes are stable: they are in records, metrics and the threat model."""

from __future__ import annotations

from typing import Final

from gateway.errors import PeerRefused

CODES: Final = {
    # the envelope
    "message-malformed": "not well-formed XML within the limits, or with a DTD, comments or processing instructions",
    "message-not-soap": "not a SOAP 1.1 envelope with one Header and one Body and nothing else",
    "header-unexpected": "a header that is neither of WS-Addressing nor WS-Security, or stands twice: it would not be signed",
    "addressing-missing": "wsa:Action or wsa:MessageID is missing or empty",
    "id-duplicate": "an identifier stands twice in the message, so that a reference could mean either",
    # the security header
    "unsigned": "no wsse:Security header, or no signature in it",
    "security-twice": "more than one wsse:Security header",
    "security-malformed": "the Security header holds anything but one Timestamp, one token and one signature",
    "signature-malformed": "the signature is not of the profile's shape (an Object in it, a prefix list, an attribute too many)",
    # what the signature covers, and how
    "canonicalization-forbidden": "another canonicalisation than the exclusive one, or one with a prefix list",
    "algorithm-forbidden": "another signature algorithm than ECDSA or RSA with SHA-256, or not that of the signer's key",
    "digest-forbidden": "another digest than SHA-256",
    "transform-forbidden": "another transform than exclusive canonicalisation (enveloped, XPath, XSLT …)",
    "reference-forbidden": "a reference to something else than an identifier in this message",
    "reference-missing": "Body, Timestamp or a WS-Addressing header is not covered",
    "reference-unexpected": "something is covered that is not at its place in the message, or twice",
    # by whom
    "signer-unknown": "the certificate that came with the message is none that is configured for this party",
    "signer-certificate": "the configured certificate of this party cannot be used now (its path check says why)",
    "signature-invalid": "the signature does not verify with the party's key",
    "digest-mismatch": "a part of the message is not what was signed",
    # when
    "timestamp-malformed": "the Timestamp does not hold one Created and one Expires in UTC, in order",
    "timestamp-too-long": "the Timestamp grants more time than the profile allows",
    "timestamp-expired": "the message was signed too long ago",
    "timestamp-future": "the message claims to be signed in the future",
    "replayed": "this message was here before",
    # encryption
    "not-encrypted": "the Body is not encrypted as the profile demands",
    "encryption-malformed": "the encrypted part is not of the profile's shape",
    "encryption-forbidden": "another content encryption than AES-256-GCM, or another key transport than RSA-OAEP with SHA-256",
    "decryption-failed": "it does not open with our key: altered, truncated, or made for somebody else",
}


class MessageRefused(PeerRefused):
    """A message is not proven to come, whole and now, from the party. ``code`` is one of :data:`CODES`; nothing of the message is told."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(code, CODES[code] + (f": {detail}" if detail else ""))
