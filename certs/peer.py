"""Who is at the other end of a TLS connection, and is it the party that it must be?

Asked again for every request, not only at the handshake: a resumed session or a long-lived connection must not carry a peer that was
revoked meanwhile (I6). The answer for one certificate is remembered until something in it can change, so that asking costs a few
microseconds.
"""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
import os
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, overload

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from certs.errors import CertificateError, PathInvalid, PeerMismatch
from certs.handshake import shown_certificates
from certs.path import PathCheck, Purpose, Revocation, WhenUnknown
from certs.reasons import HOSTNAME_MISMATCH, handshake_code


class TlsObject(Protocol):
    """What is needed of :class:`ssl.SSLObject` and :class:`ssl.SSLSocket`."""

    @overload
    def getpeercert(self, binary_form: Literal[True]) -> bytes | None: ...
    @overload
    def getpeercert(self, binary_form: bool = False) -> object: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerIdentity:
    """What a peer's certificate says of it."""

    common_name: str
    sans: tuple[str, ...]
    """DNS names and URIs of the subject alternative name, as they stand there."""
    fingerprint_sha256: str
    issuer: str
    """Subject of the issuing authority (RFC 4514)."""
    serial: str
    """Hexadecimal."""
    not_after: dt.datetime
    key_sha256: str
    """Of the SubjectPublicKeyInfo: stays the same where a certificate is renewed for the same key."""

    def is_named(self, expected: str) -> bool:
        """Whether this is ``expected``: exactly one of its alternative names, or exactly its common name if ``expected`` is
        ``CN=…``. Wildcards match nothing but themselves, and a bare common name is not a name (RFC 9525 section 2)."""
        if expected.startswith("CN="):
            return self.common_name == expected[3:]
        return "*" not in expected and expected in self.sans


@functools.lru_cache(maxsize=1024)
def _certificate(der: bytes) -> x509.Certificate:
    return x509.load_der_x509_certificate(der)


@functools.lru_cache(maxsize=1024)
def identity_of(der: bytes) -> PeerIdentity:
    """The identity in a certificate (DER).

    :raises PeerMismatch: it cannot be read.
    """
    try:
        return _identity(_certificate(der))
    except ValueError as error:
        raise PeerMismatch("certificate-malformed", "the peer's certificate cannot be read") from error


def _identity(certificate: x509.Certificate) -> PeerIdentity:
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    try:
        alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        sans: tuple[str, ...] = ()
    else:
        sans = (*alternative.get_values_for_type(x509.DNSName), *alternative.get_values_for_type(x509.UniformResourceIdentifier))
    return PeerIdentity(
        common_name=str(names[0].value) if len(names) == 1 else "",
        sans=sans,
        fingerprint_sha256=certificate.fingerprint(hashes.SHA256()).hex(),
        issuer=certificate.issuer.rfc4514_string(),
        serial=f"{certificate.serial_number:x}",
        not_after=certificate.not_valid_after_utc,
        key_sha256=hashlib.sha256(certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest(),
    )


def peer_name(tls: TlsObject | None) -> PeerIdentity:
    """The identity of the peer of a connection whose handshake required a certificate.

    :raises PeerMismatch: no TLS, or no certificate.
    """
    return identity_of(_peer_der(tls))


def _peer_der(tls: TlsObject | None) -> bytes:
    der = tls.getpeercert(True) if tls is not None else None
    if not der:
        raise PeerMismatch("no-peer-certificate", "the peer showed no certificate")
    return der


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Why a peer was refused, and which certificate it showed (none: None)."""

    code: str
    fingerprint_sha256: str | None = None


class Authority:
    """The authority that must have issued a peer's certificate, with its revocation list; follows changes of the files.

    ``ca``: PEM file with the root and its intermediates. ``crl``: PEM file with the lists of all of them. ``issuer_sha256``: only this
    issuing authority's certificates, not those of a sibling under the same root. ``unknown``: what to do where no list in force tells
    whether a certificate is revoked. For one event loop or thread.

    What was found for a certificate is remembered until the files change or something in its path runs out: 2 µs for a peer seen before.
    """

    RECHECK_FILES_S = 1.0

    def __init__(
        self,
        ca: Path | str,
        crl: Path | str | None = None,
        *,
        issuer_sha256: str | None = None,
        unknown: WhenUnknown = WhenUnknown.REFUSE,
    ) -> None:
        self.ca = Path(ca)
        self.crl = Path(crl) if crl is not None else None
        self.unknown = unknown
        self.generation = 0
        """Counts the changes of the files that were taken over."""
        self.accepted_unknown = 0
        """Certificates accepted although nobody knows whether they are revoked: for metrics and ``check``."""
        self._issuer_sha256 = issuer_sha256
        self._good: dict[tuple[bytes, Purpose], float] = {}
        self._stamp = self._files_stamp()
        self._path = PathCheck(self.ca, self.crl, unknown=unknown)
        self._looked_at = time.monotonic()
        self.problem: str | None = None
        """Why the files on disk could not be taken over, if so: for ``check`` and alarms."""

    def require(self, der: bytes, purpose: Purpose, chain: Callable[[], Sequence[bytes]] = tuple) -> None:
        """The certificate is valid now, for ``purpose``, unrevoked, from this authority. ``chain`` gives the intermediates that came with
        it; it is asked only for a certificate that is not remembered.

        :raises PathInvalid: it is not.
        """
        self._follow_files()
        until = self._good.get((der, purpose))
        if until is not None and time.time() < until:
            return
        try:
            certificate, between = _certificate(der), [_certificate(each) for each in chain()]
        except ValueError as error:
            raise PathInvalid("certificate-malformed", "the certificate cannot be read") from error
        verified = self._path.verify(certificate, purpose, chain=between)
        if self._issuer_sha256 is not None and verified.issuer_sha256 != self._issuer_sha256:
            raise PathInvalid("wrong-issuer", "certificate was issued by another authority under the same root")
        if self.crl is not None and verified.revocation is Revocation.UNKNOWN:
            self.accepted_unknown += 1
        if len(self._good) > 1024:
            self._good.clear()
        self._good[der, purpose] = verified.until.timestamp()

    def _follow_files(self) -> None:
        now = time.monotonic()
        if now - self._looked_at < self.RECHECK_FILES_S:
            return
        self._looked_at = now
        try:
            stamp = self._files_stamp()
            if stamp != self._stamp:
                self._path = PathCheck(self.ca, self.crl, unknown=self.unknown)
                self._stamp = stamp
                self._good.clear()
                self.generation += 1
            self.problem = None
        except (CertificateError, OSError) as error:
            # a missing or half-written file must not cut a working connection; the old list stays in force until its own end
            self.problem = str(error) if isinstance(error, CertificateError) else f"certificate file cannot be read ({error.strerror})"

    def _files_stamp(self) -> tuple[tuple[int, int, int], ...]:
        files = [self.ca] if self.crl is None else [self.ca, self.crl]
        stats = [os.stat(each) for each in files]
        return tuple((each.st_mtime_ns, each.st_size, each.st_ino) for each in stats)


def require_peer(
    tls: TlsObject | None, expected: str, authority: Authority, purpose: Purpose = Purpose.SERVER, *, pins: frozenset[str] = frozenset()
) -> PeerIdentity:
    """The peer of this connection is ``expected`` and ``authority`` vouches for it, now.

    ``pins``: if there are any, the certificate or its public key is one of them (SHA-256, hexadecimal, of the certificate or of its
    SubjectPublicKeyInfo).

    :raises PeerMismatch: with the code of the reason; the text names the expected party and the fingerprint, nothing else.
    """
    der = _peer_der(tls)
    identity = identity_of(der)
    if not identity.is_named(expected):
        raise PeerMismatch("wrong-peer", f"the peer (certificate {identity.fingerprint_sha256[:16]}) is not {expected}")
    if pins and identity.fingerprint_sha256 not in pins and identity.key_sha256 not in pins:
        raise PeerMismatch("not-pinned", f"certificate {identity.fingerprint_sha256[:16]} is none of those pinned for {expected}")
    try:
        authority.require(der, purpose, lambda: shown_certificates(tls)[1:])
    except PathInvalid as error:
        raise PeerMismatch(
            error.code, f"the certificate of {expected} ({identity.fingerprint_sha256[:16]}): {error.safe_detail}"
        ) from error
    return identity


def why_refused(error: BaseException, authority: Authority, purpose: Purpose) -> Refused:
    """What is to be put on record of a handshake that ``error`` ended: its own reason, where it is the certificate's fault the path
    check's, which is more exact than OpenSSL's."""
    shown = shown_certificates(error)
    code = handshake_code(error)
    if not shown:
        return Refused(code=code)
    fingerprint = hashlib.sha256(shown[0]).hexdigest()
    if isinstance(error, ssl.SSLCertVerificationError) and error.verify_code != HOSTNAME_MISMATCH:
        try:
            authority.require(shown[0], purpose, lambda: shown[1:])
        except PathInvalid as invalid:
            code = invalid.code if invalid.code != "path-invalid" else code
    return Refused(code=code, fingerprint_sha256=fingerprint)


def shown_fingerprint(tls: TlsObject | None) -> str | None:
    """SHA-256 of the certificate that the peer of a connection showed, for evidence; None: it showed none."""
    der = tls.getpeercert(True) if tls is not None else None
    return hashlib.sha256(der).hexdigest() if der else None
