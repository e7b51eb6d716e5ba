"""The certificates of one gateway in one directory: what is there, requests to real authorities, and what they answer.

::

    NAME.pem NAME.key          in use: certificate with its chain (leaf first, root left out), private key (0600)
    NAME.new.key NAME.csr      asked for, not answered yet
    NAME.next.pem .next.key    answered, not in use yet: the window in which a party learns the new certificate while the old one works
    archive/NAME-SERIAL.pem    what was in use before, with its key: what it received may still have to be opened

Programs that run follow these files (:mod:`certs.tls`): putting a new pair in place is all that a rotation is.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, pkcs7, pkcs12
from cryptography.x509.oid import NameOID

from certs.errors import CertificateError
from certs.files import PRIVATE, PUBLIC, read_private, write_file
from certs.path import PathCheck, load_certificates, load_crls
from certs.peer import PeerIdentity, identity_of

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
KEY_TYPES = ("p256", "p384", "rsa-3072", "rsa-4096")
LONGEST_CHAIN = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One certificate of the directory."""

    name: str
    identity: PeerIdentity
    not_before: dt.datetime
    state: str
    """``in-use``, ``next``; ``no-key`` where its private key is not there."""


class CertificateStore:
    """Everything in ``directory``. No method gives out a private key."""

    def __init__(self, directory: Path | str) -> None:
        self.directory = Path(directory)

    def entries(self) -> list[Entry]:
        """What is in use and what comes next, by name. Bundles of authorities are not among them.

        :raises CertificateError: a file cannot be read.
        """
        found = []
        for file in sorted(self.directory.glob("*.pem")):
            leaf = load_certificates(file)[0]
            if _is_authority(leaf):
                continue
            name, coming = file.stem.removesuffix(".next"), file.stem.endswith(".next")
            state = ("next" if coming else "in-use") if file.with_suffix(".key").exists() else "no-key"
            identity = identity_of(leaf.public_bytes(Encoding.DER))
            found.append(Entry(name=name, identity=identity, not_before=leaf.not_valid_before_utc, state=state))
        return found

    def pending(self) -> list[str]:
        """Names for which a request was made that is not answered yet."""
        return sorted(file.name.removesuffix(".new.key") for file in self.directory.glob("*.new.key"))

    # ---- asking ------------------------------------------------------------------------------------------------------------------

    def request(
        self,
        name: str,
        *,
        organisation: str | None = None,
        dns: Sequence[str] = (),
        ips: Sequence[str] = (),
        uri: str | None = None,
        key_type: str = "p256",
    ) -> Path:
        """Make a new key and a certification request (PKCS#10) for a real authority; returns the request's file.

        Without names of its own it asks for the subject and the alternative names of the certificate in use: a renewal.

        :raises CertificateError: a request waits for its answer already, or the kind of key is not known.
        """
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        key_file, file = self.directory / f"{name}.new.key", self.directory / f"{name}.csr"
        if key_file.exists():
            raise CertificateError(
                "request-pending", f"{file.name} waits for its answer; import that, or remove {key_file.name} to begin anew"
            )
        subject, alternative = self._wanted(name, organisation, dns, ips, uri)
        key = new_key(key_type)
        builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
        if alternative:
            builder = builder.add_extension(x509.SubjectAlternativeName(alternative), critical=False)
        asked = builder.sign(key, hashes.SHA256())
        write_file(key_file, key_pem(key), PRIVATE)
        write_file(file, asked.public_bytes(Encoding.PEM), PUBLIC)
        return file

    def _wanted(
        self, name: str, organisation: str | None, dns: Sequence[str], ips: Sequence[str], uri: str | None
    ) -> tuple[x509.Name, list[x509.GeneralName]]:
        current = self.directory / f"{name}.pem"
        if current.exists() and not (organisation or dns or ips or uri):
            leaf = load_certificates(current)[0]
            try:
                return leaf.subject, list(leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
            except x509.ExtensionNotFound:
                return leaf.subject, []
        parts = [x509.NameAttribute(NameOID.COUNTRY_NAME, "JP")]
        if organisation:
            parts.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation))
        parts.append(x509.NameAttribute(NameOID.COMMON_NAME, name))
        alternative: list[x509.GeneralName] = [x509.DNSName(each) for each in dns]
        alternative += [x509.IPAddress(ipaddress.ip_address(each)) for each in ips]
        if uri:
            alternative.append(x509.UniformResourceIdentifier(uri))
        return x509.Name(parts), alternative

    # ---- being answered ----------------------------------------------------------------------------------------------------------

    def take(
        self, name: str, answers: Iterable[bytes], trust: PathCheck, pool: Iterable[x509.Certificate] = (), *, later: bool = False,
        password: bytes | None = None,
    ) -> Entry:  # fmt: skip
        """Put an authority's answer in use (``later``: beside what is in use, until :meth:`switch`).

        ``answers``: PEM, DER, PKCS#7 or PKCS#12, in any order, with or without intermediates; what is missing in the chain is taken from
        ``pool``. The private key is that of the request, of PKCS#12, or the one in use.

        :raises CertificateError: no certificate fits a key, or no path leads to the trusted authority; nothing was changed.
        """
        given, keys = _read_all(answers, password)
        keys += [key for key in map(self._key, (f"{name}.new.key", f"{name}.key")) if key is not None]
        for leaf in given:
            key = next((each for each in keys if public_digest(each.public_key()) == public_digest(leaf.public_key())), None)
            if key is not None and not _is_authority(leaf):
                break
        else:
            raise CertificateError("no-certificate-for-key", f"none of the certificates belongs to a private key of {name}")
        chain = chain_of(leaf, [*given, *pool])
        trust.verify_path(leaf, chain[1:])
        stem = f"{name}.next" if later else name
        if not later:
            self._put_aside(name)
        write_file(self.directory / f"{stem}.key", key_pem(key), PRIVATE)
        write_file(self.directory / f"{stem}.pem", b"".join(each.public_bytes(Encoding.PEM) for each in chain), PUBLIC)
        for used in (f"{name}.new.key", f"{name}.csr"):
            (self.directory / used).unlink(missing_ok=True)
        identity = identity_of(leaf.public_bytes(Encoding.DER))
        return Entry(name=name, identity=identity, not_before=leaf.not_valid_before_utc, state="next" if later else "in-use")

    def switch(self, name: str) -> None:
        """Put what came ``later`` in use.

        :raises CertificateError: nothing waits, or it is not valid yet.
        """
        certificate, key = self.directory / f"{name}.next.pem", self.directory / f"{name}.next.key"
        if not certificate.exists():
            raise CertificateError("nothing-next", f"no certificate of {name} waits to be put in use")
        begins = load_certificates(certificate)[0].not_valid_before_utc
        if begins > dt.datetime.now(dt.UTC):
            raise CertificateError("not-yet-valid", f"the next certificate of {name} begins only on {begins:%Y-%m-%d %H:%M} UTC")
        material, chain = read_private(key), certificate.read_bytes()
        self._put_aside(name)
        write_file(self.directory / f"{name}.key", material, PRIVATE)
        write_file(self.directory / f"{name}.pem", chain, PUBLIC)
        certificate.unlink()
        key.unlink()

    def _put_aside(self, name: str) -> None:
        certificate, key = self.directory / f"{name}.pem", self.directory / f"{name}.key"
        if not certificate.exists() or not key.exists():
            return
        archive = self.directory / "archive"
        archive.mkdir(mode=0o700, exist_ok=True)
        stem = f"{name}-{load_certificates(certificate)[0].serial_number:x}"
        write_file(archive / f"{stem}.key", read_private(key), PRIVATE)
        write_file(archive / f"{stem}.pem", certificate.read_bytes(), PUBLIC)

    def _key(self, file: str) -> PrivateKey | None:
        path = self.directory / file
        return _private(serialization.load_pem_private_key(read_private(path), None)) if path.exists() else None


def take_partner(file: Path, answers: Iterable[bytes], trust: PathCheck, *, only: bool = False) -> int:
    """Put a party's certificate for messages into ``file``, before those that are there, so that both count while the party changes;
    ``only``: instead of them. Returns how many count then. What has run out is left out.

    :raises CertificateError: none was given, or no path leads to the trusted authority; nothing was changed.
    """
    given, _ = _read_all(answers, None)
    leaves = [each for each in given if not _is_authority(each)]
    if not leaves:
        raise CertificateError("no-certificate", "there is no certificate of a party in it")
    for leaf in leaves:
        trust.verify_path(leaf, chain_of(leaf, given)[1:])
    there = [] if only or not file.exists() else load_certificates(file)
    now = dt.datetime.now(dt.UTC)
    former = [each for each in there if each not in leaves and not _is_authority(each) and each.not_valid_after_utc > now]
    write_file(file, b"".join(each.public_bytes(Encoding.PEM) for each in (*leaves, *former)), PUBLIC)
    return len(leaves) + len(former)


def take_list(bundle: Path, authorities: Path, data: bytes) -> int:
    """Put newer revocation lists (PEM or DER) into ``bundle``, each signed by one of ``authorities``; returns how many were newer.

    :raises CertificateError: one of them is signed by nobody whom we trust; nothing was changed.
    """
    try:
        offered = [x509.load_pem_x509_crl(each) for each in _pem_blocks(data, b"X509 CRL")] or [x509.load_der_x509_crl(data)]
    except ValueError as error:
        raise CertificateError("crl-file-malformed", "this is no revocation list in PEM or DER") from error
    issuers = load_certificates(authorities)
    known = {crl.issuer: crl for crl in (load_crls(bundle) if bundle.exists() else ())}
    newer = 0
    for crl in offered:
        if not any(each.subject == crl.issuer and _signed(crl, each) for each in issuers):
            raise CertificateError("crl-signature-invalid", "the revocation list is signed by none of the trusted authorities")
        if crl.issuer not in known or known[crl.issuer].last_update_utc < crl.last_update_utc:
            known[crl.issuer] = crl
            newer += 1
    if newer:
        write_file(bundle, b"".join(each.public_bytes(Encoding.PEM) for each in known.values()), PUBLIC)
    return newer


def take_authorities(bundle: Path, data: bytes, *, only: bool = False) -> int:
    """Add authorities (PEM or DER) to those of ``bundle``; returns how many were new. Whoever calls this trusts them.
    ``only``: instead of them, the end of the window in which both count; returns how many count then.

    :raises CertificateError: one of them is no authority, or none was given.
    """
    offered, _ = _read_all([data], None)
    known = load_certificates(bundle) if bundle.exists() and not only else []
    new = [each for each in offered if each not in known]
    if not offered or not all(_is_authority(each) for each in offered):
        raise CertificateError("not-an-authority", "one of the certificates is not one of an authority")
    if new:
        write_file(bundle, b"".join(each.public_bytes(Encoding.PEM) for each in (*known, *new)), PUBLIC)
    return len(new)


def chain_of(leaf: x509.Certificate, pool: Sequence[x509.Certificate]) -> list[x509.Certificate]:
    """Leaf, then each issuer, without the root, whatever the order and the rest of ``pool``. Ends where an issuer is missing."""
    chain = [leaf]
    while len(chain) < LONGEST_CHAIN:
        last = chain[-1]
        issuer = next((each for each in pool if each.subject == last.issuer and _issued(last, each)), None)
        if issuer is None or issuer.subject == issuer.issuer or issuer in chain:
            return chain
        chain.append(issuer)
    return chain


def new_key(key_type: str) -> PrivateKey:
    """:raises CertificateError: not one of :data:`KEY_TYPES`."""
    match key_type:
        case "p256":
            return ec.generate_private_key(ec.SECP256R1())
        case "p384":
            return ec.generate_private_key(ec.SECP384R1())
        case "rsa-3072" | "rsa-4096":
            return rsa.generate_private_key(65537, int(key_type.removeprefix("rsa-")))
    raise CertificateError("key-type", f"the kinds of key are {', '.join(KEY_TYPES)}")


def key_pem(key: PrivateKey) -> bytes:
    """PKCS#8 without a password: the file's mode protects it."""
    return key.private_bytes(Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def public_digest(key: object) -> bytes:
    """Of the SubjectPublicKeyInfo."""
    digest = hashes.Hash(hashes.SHA256())
    digest.update(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))  # type: ignore[attr-defined]
    return digest.finalize()


def _read_all(answers: Iterable[bytes], password: bytes | None) -> tuple[list[x509.Certificate], list[PrivateKey]]:
    certificates: list[x509.Certificate] = []
    keys: list[PrivateKey] = []
    for data in answers:
        found = _read(data)
        if found is None:
            try:
                key, leaf, others = pkcs12.load_key_and_certificates(data, password)
            except ValueError as error:
                detail = "the file is not PEM, DER, PKCS#7 or PKCS#12, or its password is another"
                raise CertificateError("answer-unreadable", detail) from error
            certificates += [each for each in (leaf, *others) if each is not None]
            keys += [_private(key)] if key is not None else []
        else:
            certificates += found
    return certificates, keys


def _read(data: bytes) -> list[x509.Certificate] | None:
    readers = (x509.load_pem_x509_certificates, lambda raw: [x509.load_der_x509_certificate(raw)])
    for reader in (*readers, pkcs7.load_pem_pkcs7_certificates, pkcs7.load_der_pkcs7_certificates):
        try:
            return list(reader(data))
        except ValueError:
            continue
    return None


def _pem_blocks(data: bytes, label: bytes) -> list[bytes]:
    begin, end = b"-----BEGIN " + label + b"-----", b"-----END " + label + b"-----"
    return [begin + part.split(end)[0] + end for part in data.split(begin)[1:]]


def _private(key: object) -> PrivateKey:
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise CertificateError("key-type", "a private key is neither RSA nor elliptic-curve")
    return key


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _signed(crl: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    key = issuer.public_key()
    return isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey) and crl.is_signature_valid(key)
