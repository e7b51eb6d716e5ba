"""A certificate authority for tests, demonstrations and development: root, issuing authority, leaf profiles, revocation lists.

It has the shape of a real one (levels, path lengths, key usages, key identifiers, extended key usages, subject alternative names, and for
the networks of government critical certificate policies, as LGPKI and JPKI have them), so that what passes here passes
:data:`ssl.VERIFY_X509_STRICT`. Its keys lie on disk beside what it issues: never use it for real peers.
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
RSA_BITS = 3072
_Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """What the authority of one network looks like. All of them are fictitious and say so in their names."""

    name: str
    levels: tuple[str, ...]
    """Names of the authorities, root first, the issuing one last."""
    policy: str | None = None
    """Identifier of the certificate policy, marked critical in everything below the root. 2.999 is the arc for examples (X.660)."""


IN_HOUSE = Network(name="in-house", levels=("root", "issuing"))
JUKI_NET = Network(name="juki-net", levels=("root", "issuing"), policy="2.999.10.1")
LGWAN = Network(name="lgwan", levels=("root", "organisation", "issuing"), policy="2.999.20.1")
APPLICANTS = Network(name="applicants", levels=("root", "issuing"))
"""Of the certificates with which citizens sign (署名用電子証明書): no network, but an authority of its own."""
NETWORKS = {each.name: each for each in (IN_HOUSE, JUKI_NET, LGWAN, APPLICANTS)}

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
    """The authority of one network in ``directory``; several processes may use it at once.

    ``ca.pem`` holds the root and the authorities below it, ``ca.crl`` the revocation lists of all, ``<name>.pem`` a leaf and the
    authorities between it and the root, ``<name>.key`` the leaf's key (0600). The authorities' own keys lie under ``authority/`` (0700).
    Of networks other than in-house the first two are ``<network>-ca.pem`` and ``<network>-ca.crl``, and the keys a level deeper.
    """

    __test__ = False  # pytest must not take it for a test class

    def __init__(self, directory: Path | str, network: Network = IN_HOUSE) -> None:
        self.directory = Path(directory)
        self.network = network
        own = network is IN_HOUSE
        self._inner = self.directory / "authority" if own else self.directory / "authority" / network.name
        stem = "ca" if own else f"{network.name}-ca"
        self.ca = self.directory / f"{stem}.pem"
        self.crl = self.directory / f"{stem}.crl"

    @property
    def exists(self) -> bool:
        """Whether it was made here, so that it can issue."""
        return (self._inner / "state.json").exists()

    def create(self) -> None:
        """Make the authorities with empty revocation lists, unless they are there."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self._inner.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._locked():
            if self.exists:
                return
            now, label, pem = dt.datetime.now(dt.UTC), secrets.token_hex(3), serialization.Encoding.PEM
            above: tuple[ec.EllipticCurvePrivateKey, x509.Certificate] | None = None
            bundle = b""
            for depth, level in enumerate(self.network.levels):
                key = ec.generate_private_key(ec.SECP256R1())
                certificate = self._authority_certificate(
                    f"{self.network.name} {level} {label}", key, above, now, path_length=len(self.network.levels) - 1 - depth
                )
                write_file(self._inner / f"{level}.key", _key_pem(key), PRIVATE)
                write_file(self._inner / f"{level}.pem", certificate.public_bytes(pem), PUBLIC)
                bundle = certificate.public_bytes(pem) + bundle
                above = key, certificate
            write_file(self.ca, bundle, PUBLIC)
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
        bits = rsa_bits or (RSA_BITS if Profile(profile) is Profile.ENCRYPTION else None)
        key: _Key = rsa.generate_private_key(65537, bits) if bits else ec.generate_private_key(ec.SECP256R1())
        alternative: list[x509.GeneralName] = [x509.DNSName(each) for each in dict.fromkeys([name, *dns])]
        alternative += [x509.IPAddress(ipaddress.ip_address(each)) for each in ips]
        if uri is not None:
            alternative.append(x509.UniformResourceIdentifier(uri))
        with self._locked():
            chain = self._sign(name, Profile(profile), _name(name), key.public_key(), alternative, not_before, not_after)
            files = self.files(name)
            write_file(files.key, _key_pem(key), PRIVATE)
            write_file(files.certificate, chain, PUBLIC)
            return files

    def issue_for(self, request: bytes, profile: Profile | str) -> bytes:
        """The answer to a certification request (PKCS#10, PEM): its chain in PEM. What it asks for besides names is not given.

        :raises CertificateError: it cannot be read, is not signed by its own key, or has no common name.
        """
        try:
            asked = x509.load_pem_x509_csr(request)
        except ValueError as error:
            raise CertificateError("request-malformed", "this is no certification request in PEM") from error
        names = asked.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        key = asked.public_key()
        if not asked.is_signature_valid or len(names) != 1 or not isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
            raise CertificateError("request-refused", "the request is not signed by its own key, or names no one common name")
        try:
            alternative = list(asked.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
        except x509.ExtensionNotFound:
            alternative = []
        with self._locked():
            return self._sign(str(names[0].value), Profile(profile), asked.subject, key, alternative, None, None)

    def _sign(
        self,
        name: str,
        profile: Profile,
        subject: x509.Name,
        key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey,
        alternative: Sequence[x509.GeneralName],
        not_before: dt.datetime | None,
        not_after: dt.datetime | None,
    ) -> bytes:
        """The chain, put on the list of what was issued. Under the lock."""
        issuing_key, issuing = self._authority(self.network.levels[-1])
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuing.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(not_before or now - SKEW)
            .not_valid_after(not_after or now + LEAF_LIFE)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_leaf_usage(profile), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(_authority_key_identifier(issuing), critical=False)
        )
        if profile in _USAGES:
            builder = builder.add_extension(x509.ExtendedKeyUsage(_USAGES[profile]), critical=False)
        if alternative:
            builder = builder.add_extension(x509.SubjectAlternativeName(alternative), critical=False)
        certificate = self._with_policy(builder).sign(issuing_key, hashes.SHA256())
        state = self._read_state()
        state["issued"][name] = f"{certificate.serial_number:x}"
        self._write_state(state)
        pem = serialization.Encoding.PEM
        between = [self._authority(level)[1] for level in reversed(self.network.levels[1:])]
        return b"".join(each.public_bytes(pem) for each in (certificate, *between))

    def _with_policy(self, builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
        if self.network.policy is None:
            return builder
        information = x509.PolicyInformation(x509.ObjectIdentifier(self.network.policy), None)
        return builder.add_extension(x509.CertificatePolicies([information]), critical=True)

    def _authority_certificate(
        self,
        name: str,
        key: ec.EllipticCurvePrivateKey,
        above: tuple[ec.EllipticCurvePrivateKey, x509.Certificate] | None,
        now: dt.datetime,
        *,
        path_length: int,
    ) -> x509.Certificate:
        issuer_key, issuer = above or (key, None)
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(name))
            .issuer_name(issuer.subject if issuer else _name(name))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - SKEW)
            .not_valid_after(now + CA_LIFE)
            .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
            .add_extension(_key_usage(authority=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )
        if issuer is not None:
            builder = self._with_policy(builder.add_extension(_authority_key_identifier(issuer), critical=False))
        return builder.sign(issuer_key, hashes.SHA256())

    def revoke(self, name: str, serial: str | None = None) -> None:
        """Revoke the certificate last issued for ``name``, or an earlier one by its serial number (hexadecimal), and publish a new list.

        :raises CertificateError: none was issued for it.
        """
        with self._locked():
            state = self._read_state()
            if name not in state["issued"]:
                raise CertificateError("not-issued", f"no certificate was issued for {name}")
            state["revoked"].append({"serial": serial or state["issued"][name], "at": dt.datetime.now(dt.UTC).isoformat()})
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
        for name in reversed(self.network.levels):
            revoked = state["revoked"] if name == self.network.levels[-1] else []
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


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "JP"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANISATION),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _leaf_usage(profile: Profile) -> x509.KeyUsage:
    transport = profile is Profile.ENCRYPTION
    return _key_usage(signature=not transport, commitment=profile is Profile.SIGNING, transport=transport)


def _key_usage(*, authority: bool = False, signature: bool = False, commitment: bool = False, transport: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=signature,
        content_commitment=commitment,
        key_encipherment=transport,
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


def _key_pem(key: _Key) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
