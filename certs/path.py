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
from certs.reasons import verify_code


class Purpose(enum.Enum):
    """As what the peer presents its certificate."""

    SERVER = "server"
    CLIENT = "client"
    SIGNING = "signing"
    """Of messages and receipts."""
    ENCRYPTION = "encryption"
    """Of content keys for its owner (RSA key transport)."""


class Revocation(enum.Enum):
    """What is known of a certificate: the three answers of RFC 6960 section 2.2, from revocation lists."""

    GOOD = "good"
    REVOKED = "revoked"
    UNKNOWN = "unknown"
    """No list, or none that is in force now."""


class WhenUnknown(enum.Enum):
    """What to do where nobody knows whether a certificate was revoked."""

    REFUSE = "refuse"
    ACCEPT = "accept"
    """For an authority whose lists cannot be had in time. What an outdated list revokes stays revoked."""


_USAGE = {Purpose.SERVER: ExtendedKeyUsageOID.SERVER_AUTH, Purpose.CLIENT: ExtendedKeyUsageOID.CLIENT_AUTH}
_UNKNOWN = frozenset({"crl-missing", "crl-expired", "crl-not-yet-valid"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """A path that holds. ``until``: nothing here changes before then (first end of a certificate or a revocation list in it)."""

    issuer_sha256: str
    until: dt.datetime
    revocation: Revocation
    """``UNKNOWN`` only where that is accepted, or where there are no lists to ask."""


class PathCheck:
    """Trusted authorities and their revocation lists, ready to check certificates. Immutable; load a new one for new files.

    With ``crl`` every certificate of the path must be covered by a current list; where none is, ``unknown`` decides: refused like *revoked*
    unless told otherwise.
    """

    def __init__(self, ca: Path | str, crl: Path | str | None = None, *, unknown: WhenUnknown = WhenUnknown.REFUSE) -> None:
        authorities = load_certificates(Path(ca))
        self._roots = [each for each in authorities if each.subject == each.issuer]
        self._intermediates = [each for each in authorities if each.subject != each.issuer]
        if not self._roots:
            raise CertificateError("no-root", f"authority file {Path(ca).name} holds no self-signed root certificate")
        self.crls = load_crls(Path(crl)) if crl is not None else ()
        self._checks_lists = crl is not None
        self._unknown = unknown

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
        check_purpose(certificate, purpose)
        return self.verify_path(certificate, chain, now=now)

    def verify_path(
        self, certificate: x509.Certificate, chain: Sequence[x509.Certificate] = (), *, now: dt.datetime | None = None
    ) -> Verified:
        """The same for a certificate of ours, whatever it is for.

        :raises PathInvalid: with a code that says why.
        """
        check_strength(certificate)
        revocation = Revocation.GOOD if self._checks_lists else Revocation.UNKNOWN
        try:
            path = self._path(certificate, chain, now, with_lists=self._checks_lists)
        except PathInvalid as error:
            if self._unknown is WhenUnknown.REFUSE or error.code not in _UNKNOWN:
                raise
            path, revocation = self._path(certificate, chain, now, with_lists=False), Revocation.UNKNOWN
            self._require_unlisted(path)
        for each in path[1:]:
            check_strength(each)
        ends = [each.not_valid_after_utc for each in path]
        if revocation is Revocation.GOOD:
            issuers = {each.issuer for each in path}
            ends += [each.next_update_utc for each in self.crls if each.issuer in issuers and each.next_update_utc is not None]
        issuer = path[min(1, len(path) - 1)].fingerprint(hashes.SHA256()).hex()
        return Verified(issuer_sha256=issuer, until=min(ends), revocation=revocation)

    def _path(
        self, certificate: x509.Certificate, chain: Sequence[x509.Certificate], now: dt.datetime | None, *, with_lists: bool
    ) -> list[x509.Certificate]:
        store = crypto.X509Store()
        for root in self._roots:
            store.add_cert(crypto.X509.from_cryptography(root))
        flags = crypto.X509StoreFlags.X509_STRICT
        if with_lists:
            flags |= crypto.X509StoreFlags.CRL_CHECK | crypto.X509StoreFlags.CRL_CHECK_ALL
            for crl in self.crls:
                store.add_crl(crl)
        store.set_flags(flags)
        if now is not None:
            store.set_time(now)
        untrusted = [crypto.X509.from_cryptography(each) for each in (*self._intermediates, *chain)]
        context = crypto.X509StoreContext(store, crypto.X509.from_cryptography(certificate), untrusted)
        try:
            return [each.to_cryptography() for each in context.get_verified_chain()]
        except crypto.X509StoreContextError as error:
            number, depth, text = error.args[0] if isinstance(error.args[0], list) else (*error.errors[:2], str(error))
            raise PathInvalid(verify_code(number), f"certificate path refused: {text} (OpenSSL {number}, depth {depth})") from error

    def _require_unlisted(self, path: Sequence[x509.Certificate]) -> None:
        for each in path:
            for crl in self.crls:
                if crl.issuer == each.issuer and crl.get_revoked_certificate_by_serial_number(each.serial_number) is not None:
                    raise PathInvalid("revoked", "certificate is revoked in a list that is no longer in force, and stays so")


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
