"""A certificate authority for tests, demonstrations and development: root, issuing authority, leaf profiles, revocation lists.

It has the shape of a real one (two levels, path lengths, key usages, key identifiers, extended key usages, subject alternative names),
so that what passes here passes :data:`ssl.VERIFY_X509_STRICT`. Its keys lie on disk beside what it issues: never use it for real peers.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import enum
import fcntl
import ipaddress
import json
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from certs.errors import CertificateError
from certs.files import PRIVATE, PUBLIC, read_private, write_file

ORGANISATION = "Fictitious City Test Authority"
CA_LIFE = dt.timedelta(days=3650)
LEAF_LIFE = dt.timedelta(days=397)
CRL_LIFE = dt.timedelta(days=30)
SKEW = dt.timedelta(hours=1)
"""Certificates start this much before now, since test machines disagree about the time."""


class Profile(enum.Enum):
    """What a leaf certificate may be used for (its key usage and extended key usage)."""

    SERVER = "server"
    CLIENT = "client"
    PEER = "peer"
    """Server and client."""
    SIGNING = "signing"
    """Signs messages; not for TLS."""
    ENCRYPTION = "encryption"
    """Content keys are encrypted for it (RSA, since XML Encryption has no other key transport here); not for TLS."""


_USAGES = {
    Profile.SERVER: [ExtendedKeyUsageOID.SERVER_AUTH],
    Profile.CLIENT: [ExtendedKeyUsageOID.CLIENT_AUTH],
    Profile.PEER: [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedFiles:
    """Where one name's certificate chain and private key lie."""

    certificate: Path
    key: Path


class TestAuthority:
    """A root and an issuing authority in ``directory``; several processes may use it at once.

    ``ca.pem`` holds the issuing authority and the root, ``ca.crl`` the revocation lists of both, ``<name>.pem`` leaf and issuing
    authority, ``<name>.key`` the leaf's key (0600). The authorities' own keys lie under ``authority/`` (0700).
    """

    __test__ = False  # pytest must not take it for a test class

    def __init__(self, directory: Path | str) -> None:
        self.directory = Path(directory)
        self._inner = self.directory / "authority"
        self.ca = self.directory / "ca.pem"
        self.crl = self.directory / "ca.crl"

    def create(self) -> None:
        """Make root and issuing authority with empty revocation lists, unless they are there."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self._inner.mkdir(mode=0o700, exist_ok=True)
        with self._locked():
            if (self._inner / "state.json").exists():
                return
            # a stray set of leaves of an earlier authority would be a riddle to whoever meets it
            now = dt.datetime.now(dt.UTC)
            root_key, issuing_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
            label = secrets.token_hex(3)
            root = _authority_certificate(f"Root {label}", root_key.public_key(), None, root_key, now, path_length=1)
            issuing = _authority_certificate(f"Issuing {label}", issuing_key.public_key(), root, root_key, now, path_length=0)
            for name, key, certificate in (("root", root_key, root), ("issuing", issuing_key, issuing)):
                write_file(self._inner / f"{name}.key", _key_pem(key), PRIVATE)
                write_file(self._inner / f"{name}.pem", certificate.public_bytes(serialization.Encoding.PEM), PUBLIC)
            pem = serialization.Encoding.PEM
            write_file(self.ca, issuing.public_bytes(pem) + root.public_bytes(pem), PUBLIC)
            self._write_state({"crl_number": 0, "issued": {}, "revoked": []})
            self._write_crls()

    def files(self, name: str) -> IssuedFiles:
        """Where the files of ``name`` are, or would be."""
        return IssuedFiles(certificate=self.directory / f"{name}.pem", key=self.directory / f"{name}.key")

    def issue(
        self,
        name: str,
        profile: Profile | str = Profile.PEER,
        dns: Sequence[str] = (),
        ips: Sequence[str] = (),
        uri: str | None = None,
        *,
        not_before: dt.datetime | None = None,
        not_after: dt.datetime | None = None,
        rsa_bits: int | None = None,
    ) -> IssuedFiles:
        """Issue a certificate with CN ``name`` and ``name`` as first DNS name; an older one of that name is replaced on disk.

        The key is P-256, or RSA of ``rsa_bits`` (encryption: RSA-3072 unless told otherwise). ``not_before`` and ``not_after`` are for
        tests of certificates that are out of date.
        """
        with self._locked():
            issuing_key, issuing = self._authority("issuing")
            now = dt.datetime.now(dt.UTC)
            profile = Profile(profile)
            bits = rsa_bits or (3072 if profile is Profile.ENCRYPTION else None)
            key = rsa.generate_private_key(65537, bits) if bits else ec.generate_private_key(ec.SECP256R1())
            alternative: list[x509.GeneralName] = [x509.DNSName(each) for each in dict.fromkeys([name, *dns])]
            alternative += [x509.IPAddress(ipaddress.ip_address(each)) for each in ips]
            if uri is not None:
                alternative.append(x509.UniformResourceIdentifier(uri))
            builder = (
                x509.CertificateBuilder()
                .subject_name(_name(name))
                .issuer_name(issuing.subject)
                .public_key(key.public_key())
                .serial_number(x509.random_serial_number())
                .not_valid_before(not_before or now - SKEW)
                .not_valid_after(not_after or now + LEAF_LIFE)
                .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
                .add_extension(_key_usage(authority=False, encryption=profile is Profile.ENCRYPTION), critical=True)
                .add_extension(x509.SubjectAlternativeName(alternative), critical=False)
                .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
                .add_extension(_authority_key_identifier(issuing), critical=False)
            )
            if profile in _USAGES:
                builder = builder.add_extension(x509.ExtendedKeyUsage(_USAGES[profile]), critical=False)
            certificate = builder.sign(issuing_key, hashes.SHA256())
            files, pem = self.files(name), serialization.Encoding.PEM
            write_file(files.key, _key_pem(key), PRIVATE)
            write_file(files.certificate, certificate.public_bytes(pem) + issuing.public_bytes(pem), PUBLIC)
            state = self._read_state()
            state["issued"][name] = f"{certificate.serial_number:x}"
            self._write_state(state)
            return files

    def revoke(self, name: str) -> None:
        """Revoke the certificate last issued for ``name`` and publish a new revocation list.

        :raises CertificateError: none was issued for it.
        """
        with self._locked():
            state = self._read_state()
            if name not in state["issued"]:
                raise CertificateError("not-issued", f"no certificate was issued for {name}")
            state["revoked"].append({"serial": state["issued"][name], "at": dt.datetime.now(dt.UTC).isoformat()})
            self._write_state(state)
            self._write_crls()

    def renew_crl(self, *, next_update: dt.datetime | None = None) -> None:
        """Publish the revocation lists anew; ``next_update`` is for tests of stale ones."""
        with self._locked():
            self._write_crls(next_update)

    def _write_crls(self, next_update: dt.datetime | None = None) -> None:
        state = self._read_state()
        state["crl_number"] += 1
        now = dt.datetime.now(dt.UTC)
        # a list whose end lies in the past must still begin before that end
        start = min(now - SKEW, next_update - SKEW) if next_update else now - SKEW
        pem = b""
        for name, revoked in (("issuing", state["revoked"]), ("root", [])):
            key, certificate = self._authority(name)
            builder = (
                x509.CertificateRevocationListBuilder()
                .issuer_name(certificate.subject)
                .last_update(start)
                .next_update(next_update or now + CRL_LIFE)
                .add_extension(_authority_key_identifier(certificate), critical=False)
                .add_extension(x509.CRLNumber(state["crl_number"]), critical=False)
            )
            for each in revoked:
                at = dt.datetime.fromisoformat(each["at"])
                entry = x509.RevokedCertificateBuilder().serial_number(int(each["serial"], 16)).revocation_date(at)
                builder = builder.add_revoked_certificate(entry.build())
            pem += builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        self._write_state(state)
        write_file(self.crl, pem, PUBLIC)

    def _authority(self, name: str) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
        key = serialization.load_pem_private_key(read_private(self._inner / f"{name}.key"), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise CertificateError("authority-key", f"the key of the test authority ({name}) is not an elliptic-curve key")
        return key, x509.load_pem_x509_certificate((self._inner / f"{name}.pem").read_bytes())

    def _read_state(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads((self._inner / "state.json").read_text())
        return state

    def _write_state(self, state: dict[str, Any]) -> None:
        write_file(self._inner / "state.json", json.dumps(state, indent=1).encode(), PRIVATE)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with (self._inner / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _authority_certificate(
    name: str,
    public_key: ec.EllipticCurvePublicKey,
    issuer: x509.Certificate | None,
    issuer_key: ec.EllipticCurvePrivateKey,
    now: dt.datetime,
    *,
    path_length: int,
) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(issuer.subject if issuer else _name(name))
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + CA_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(_key_usage(authority=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )
    if issuer is not None:
        builder = builder.add_extension(_authority_key_identifier(issuer), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "JP"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANISATION),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _key_usage(*, authority: bool, encryption: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority and not encryption,
        content_commitment=False,
        key_encipherment=encryption,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _authority_key_identifier(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def _key_pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
