"""Does a certificate chain to an authority that we trust, now, unrevoked, and fit for its purpose?

One check for both sides of the house (gateway and simulators). pyOpenSSL's store is used because it checks revocation lists;
``cryptography.x509.verification`` does not. OpenSSL's store checks no purpose unless told, so the extended key usage is checked here.
The checks are RFC 5280 section 6 (path) and section 4.2.1.12 (extended key usage).
"""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from OpenSSL import crypto

from certs.errors import CertificateError, PathInvalid
from certs.files import read_public


class Purpose(enum.Enum):
    """As what the peer presents its certificate."""

    SERVER = "server"
    CLIENT = "client"
    SIGNING = "signing"
    """Of messages and receipts."""
    ENCRYPTION = "encryption"
    """Of content keys for its owner (RSA key transport)."""


_USAGE = {Purpose.SERVER: ExtendedKeyUsageOID.SERVER_AUTH, Purpose.CLIENT: ExtendedKeyUsageOID.CLIENT_AUTH}

# X509_V_ERR_* of OpenSSL's x509_vfy.h to our stable codes; every other number is "path-invalid"
_CODES = {
    2: "issuer-unknown",
    3: "crl-missing",
    7: "signature-invalid",
    9: "not-yet-valid",
    10: "expired",
    11: "crl-not-yet-valid",
    12: "crl-expired",
    18: "self-signed",
    19: "issuer-unknown",
    20: "issuer-unknown",
    21: "issuer-unknown",
    23: "revoked",
    25: "path-too-long",
    47: "name-not-permitted",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """A path that holds. ``until``: nothing here changes before then (first end of a certificate or a revocation list in it)."""

    issuer_sha256: str
    until: dt.datetime


class PathCheck:
    """Trusted authorities and their revocation lists, ready to check certificates. Immutable; load a new one for new files.

    With ``crl`` every certificate of the path must be covered by a current list: *unknown* is refused like *revoked*.
    """

    def __init__(self, ca: Path | str, crl: Path | str | None = None) -> None:
        authorities = load_certificates(Path(ca))
        self._roots = [each for each in authorities if each.subject == each.issuer]
        self._intermediates = [each for each in authorities if each.subject != each.issuer]
        if not self._roots:
            raise CertificateError("no-root", f"authority file {Path(ca).name} holds no self-signed root certificate")
        self.crls = load_crls(Path(crl)) if crl is not None else ()
        flags = crypto.X509StoreFlags.X509_STRICT
        if crl is not None:
            flags |= crypto.X509StoreFlags.CRL_CHECK | crypto.X509StoreFlags.CRL_CHECK_ALL
        self._flags = flags

    def verify(
        self,
        certificate: x509.Certificate,
        purpose: Purpose,
        *,
        chain: Sequence[x509.Certificate] = (),
        now: dt.datetime | None = None,
    ) -> Verified:
        """Check ``certificate``; ``chain`` are untrusted intermediates that the peer sent. About 0.1 ms.

        :raises PathInvalid: with a code that says why.
        """
        check_strength(certificate)
        check_purpose(certificate, purpose)
        store = crypto.X509Store()
        for root in self._roots:
            store.add_cert(crypto.X509.from_cryptography(root))
        for crl in self.crls:
            store.add_crl(crl)
        store.set_flags(self._flags)
        if now is not None:
            store.set_time(now)
        untrusted = [crypto.X509.from_cryptography(each) for each in (*self._intermediates, *chain)]
        context = crypto.X509StoreContext(store, crypto.X509.from_cryptography(certificate), untrusted)
        try:
            path = [each.to_cryptography() for each in context.get_verified_chain()]
        except crypto.X509StoreContextError as error:
            number, depth, text = error.args[0] if isinstance(error.args[0], list) else (*error.errors[:2], str(error))
            code = _CODES.get(number, "path-invalid")
            raise PathInvalid(code, f"certificate path refused: {text} (OpenSSL {number}, depth {depth})") from error
        for each in path[1:]:
            check_strength(each)
        ends = [each.not_valid_after_utc for each in path]
        ends += [each.next_update_utc for each in self.crls if each.next_update_utc is not None]
        return Verified(issuer_sha256=path[min(1, len(path) - 1)].fingerprint(hashes.SHA256()).hex(), until=min(ends))


def check_purpose(certificate: x509.Certificate, purpose: Purpose) -> None:
    """For TLS the extended key usage must be there and name ``purpose``; *any* does not count. For signing and encryption the key usage
    must name it, and the certificate must not be one for TLS.

    :raises PathInvalid: ``wrong-purpose``.
    """
    extensions = certificate.extensions
    try:
        usages = list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        usages = []
    if purpose in _USAGE:
        if not usages:
            raise PathInvalid("wrong-purpose", "certificate has no extended key usage")
        if _USAGE[purpose] not in usages:
            raise PathInvalid("wrong-purpose", f"certificate is not for use as {purpose.value}")
        return
    try:
        key_usage = extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound as error:
        raise PathInvalid("wrong-purpose", "certificate has no key usage") from error
    fit = key_usage.digital_signature if purpose is Purpose.SIGNING else key_usage.key_encipherment
    if not fit or any(each in usages for each in _USAGE.values()):
        raise PathInvalid("wrong-purpose", f"certificate is not for {purpose.value}")


def check_strength(certificate: x509.Certificate) -> None:
    """At least P-256 or RSA-2048, signed with SHA-256 or stronger (CRYPTREC's list for e-government has nothing weaker left).

    :raises PathInvalid: ``weak-key`` or ``weak-signature``.
    """
    key = certificate.public_key()
    strong = (isinstance(key, ec.EllipticCurvePublicKey) and key.curve.key_size >= 256) or (
        isinstance(key, rsa.RSAPublicKey) and key.key_size >= 2048
    )
    if not strong:
        raise PathInvalid("weak-key", "certificate key is neither P-256 or larger nor RSA-2048 or larger")
    algorithm = certificate.signature_hash_algorithm
    if algorithm is None or algorithm.digest_size < 32:
        raise PathInvalid("weak-signature", "certificate is signed with a hash weaker than SHA-256")


def load_certificates(path: Path) -> list[x509.Certificate]:
    """All certificates of a PEM file.

    :raises CertificateError: unreadable, or none in it.
    """
    data = read_public(path, "certificate")
    try:
        return x509.load_pem_x509_certificates(data)
    except ValueError as error:
        raise CertificateError("certificate-file-malformed", f"file {path.name} holds no readable certificate") from error


def load_crls(path: Path) -> tuple[x509.CertificateRevocationList, ...]:
    """All revocation lists of a PEM file.

    :raises CertificateError: unreadable, or none in it.
    """
    data = read_public(path, "revocation list")
    end = b"-----END X509 CRL-----"
    try:
        lists = tuple(x509.load_pem_x509_crl(part[part.index(b"-----BEGIN") :] + end) for part in data.split(end)[:-1])
    except ValueError as error:
        raise CertificateError("crl-file-malformed", f"file {path.name} holds an unreadable revocation list") from error
    if not lists:
        raise CertificateError("crl-file-malformed", f"file {path.name} holds no revocation list")
    return lists
