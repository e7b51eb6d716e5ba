"""Errors of this package. Each has a stable ``code``; none carries key material."""

from __future__ import annotations


class CertificateError(Exception):
    """Base: a certificate, key or revocation list cannot be used. ``safe_detail`` says what to do, in one line."""

    def __init__(self, code: str, safe_detail: str) -> None:
        self.code = code
        self.safe_detail = safe_detail
        super().__init__(f"{code}: {safe_detail}")


class KeyFileUnsafe(CertificateError):
    """A private key can be read by others than its owner, or is not a regular file."""


class PathInvalid(CertificateError):
    """No valid path from the certificate to a trusted authority, or the certificate is not fit for its purpose."""


class PeerMismatch(CertificateError):
    """The peer of a connection is not the party that it must be (I6)."""
