"""Certificates that must not pass, each wrong in one thing only. All of them are fictitious."""

from __future__ import annotations

import datetime as dt
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from certs.authority import Profile, TestAuthority

PEM = serialization.Encoding.PEM
CLIENT, SERVER = "resident-record-system", "city-cs"
"""Whom the attackers at our doors, and those who pose as a party, pretend to be."""
DAY = dt.timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Material:
    """What an attacker shows."""

    certificate: Path | None = None
    key: Path | None = None
    peer: str = SERVER
    """Whom we expect at the other end, where a party is attacked."""

    def context(self, purpose: int, ciphers: str = "ALL:@SECLEVEL=0") -> ssl.SSLContext:
        """As careless as OpenSSL can be made."""
        context = ssl.SSLContext(purpose)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_ciphers(ciphers)
        if self.certificate is not None and self.key is not None:
            context.load_cert_chain(self.certificate, self.key)
        return context

    @property
    def fingerprint(self) -> str | None:
        if self.certificate is None:
            return None
        return x509.load_pem_x509_certificates(self.certificate.read_bytes())[0].fingerprint(hashes.SHA256()).hex()


class Forger:
    """Has got hold of the keys of a test authority."""

    def __init__(self, authority: TestAuthority, folder: Path) -> None:
        self.authority, self.folder = authority, folder
        folder.mkdir(parents=True, exist_ok=True)
        self.root_key, self.root = authority._authority("root")
        self.issuing_key, self.issuing = authority._authority("issuing")
        self.ca, self.crl = folder / "ca.pem", folder / "all.crl"
        self._lists: list[bytes] = []
        self.sibling = self._below_root("sibling")
        self.constrained = self._below_root("constrained", constraint="city.example")
        self.unlisted = self._below_root("unlisted", listed=False)
        self.withdrawn = self._below_root("withdrawn")
        self._lists.append(revocation_list(self.root_key, self.root, [self.withdrawn[1].serial_number]))
        self._lists.append(revocation_list(self.issuing_key, self.issuing))
        self.ca.write_bytes(authority.ca.read_bytes())
        self.write_lists()

    def write_lists(self, revoked: tuple[int, ...] = ()) -> None:
        """The lists that the gateway has, with ``revoked`` leaves of the issuing authority."""
        self._lists[-1] = revocation_list(self.issuing_key, self.issuing, list(revoked))
        self.crl.write_bytes(b"".join(self._lists))

    def material(self, kind: str, direction: str) -> Material:
        """The certificate for one line of the table, as a client (``in``) or as a server (``out``)."""
        name = CLIENT if direction == "in" else SERVER
        usage = ExtendedKeyUsageOID.CLIENT_AUTH if direction == "in" else ExtendedKeyUsageOID.SERVER_AUTH
        other = ExtendedKeyUsageOID.SERVER_AUTH if direction == "in" else ExtendedKeyUsageOID.CLIENT_AUTH
        now = dt.datetime.now(dt.UTC)
        good: dict[str, Any] = {"name": name, "usages": [usage]}
        match kind:
            case "none":
                return Material()
            case "good":
                return self.leaf(**good)
            case "foreign":
                foreign = TestAuthority(self.folder / "foreign")
                foreign.create()
                files = foreign.issue(name, Profile.CLIENT if direction == "in" else Profile.SERVER)
                return Material(certificate=files.certificate, key=files.key)
            case "other-party":
                return self.leaf(name="prefecture-server", usages=[usage])
            case "expired":
                return self.leaf(**good, window=(now - 30 * DAY, now - DAY))
            case "not-yet-valid":
                return self.leaf(**good, window=(now + DAY, now + 30 * DAY))
            case "revoked":
                made = self.leaf(**good)
                self.write_lists((self.serial(made),))
                return made
            case "wrong-usage":
                return self.leaf(name=name, usages=[other])
            case "no-usage":
                return self.leaf(name=name, usages=[])
            case "any-usage":
                return self.leaf(name=name, usages=[ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE, usage][:1])
            case "weak-key":
                return self.leaf(**good, key=rsa.generate_private_key(65537, 1024))
            case "sha1":
                return self._with_sha1(self.leaf(**good), other=other)
            case "common-name-only":
                return self.leaf(**good, names=[])
            case "wildcard":
                made = self.leaf(name="wild", usages=[usage], names=["*.city.example"])
                return Material(certificate=made.certificate, key=made.key, peer="cs.city.example")
            case "self-signed":
                key = ec.generate_private_key(ec.SECP256R1())
                return self.leaf(**good, key=key, issuer=(key, None))
            case "path-too-long":
                below = self._authority_below("below", self.issuing_key, self.issuing)
                return self.leaf(**good, issuer=below, between=[below[1], self.issuing])
            case "name-constraint":
                return self.leaf(**good, issuer=self.constrained, between=[self.constrained[1]])
            case "leaf-as-authority":
                leaf = self.leaf(name="someone", usages=[usage])
                key = serialization.load_pem_private_key(leaf.key.read_bytes(), None)  # type: ignore[union-attr]
                certificate = x509.load_pem_x509_certificates(leaf.certificate.read_bytes())[0]  # type: ignore[union-attr]
                return self.leaf(**good, issuer=(key, certificate), between=[certificate, self.issuing])
            case "sibling":
                return self.leaf(**good, issuer=self.sibling, between=[self.sibling[1]])
            case "other-key":
                return self.leaf(**good)
            case "unknown-extension":
                unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.999.99"), b"\x05\x00")
                return self.leaf(**good, extension=(unknown, True))
            case "zero-byte":
                return self.leaf(**good, names=[f"{name}\x00.evil.example"])
            case "two-names":
                return self.leaf(**good, names=[name, "atena-system"])
            case "no-authority-key":
                return self.leaf(**good, identifier=False)
            case "signing":
                files = self.authority.issue(name, Profile.SIGNING)
                return Material(certificate=files.certificate, key=files.key)
            case "revoked-authority":
                return self.leaf(**good, issuer=self.withdrawn, between=[self.withdrawn[1]])
            case "no-list":
                return self.leaf(**good, issuer=self.unlisted, between=[self.unlisted[1]])
        raise KeyError(kind)

    @staticmethod
    def serial(material: Material) -> int:
        assert material.certificate is not None
        return x509.load_pem_x509_certificates(material.certificate.read_bytes())[0].serial_number

    def leaf(
        self,
        *,
        name: str,
        usages: list[x509.ObjectIdentifier],
        names: list[str] | None = None,
        window: tuple[dt.datetime, dt.datetime] | None = None,
        key: Any = None,
        algorithm: hashes.HashAlgorithm | None = None,
        issuer: tuple[Any, x509.Certificate | None] | None = None,
        between: list[x509.Certificate] | None = None,
        extension: tuple[x509.ExtensionType, bool] | None = None,
        identifier: bool = True,
    ) -> Material:
        """A leaf for ``name``, by default like those that the test authority issues."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        issuer_key, issuing = (self.issuing_key, self.issuing) if issuer is None else issuer
        now = dt.datetime.now(dt.UTC)
        begins, ends = window or (now - DAY, now + 30 * DAY)
        builder = (
            x509.CertificateBuilder()
            .subject_name(called(name))
            .issuer_name(issuing.subject if issuing is not None else called(name))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(ends)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(key_usage(authority=False), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )
        if identifier:
            above = issuing.public_key() if issuing is not None else key.public_key()
            builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(above), critical=False)  # type: ignore[arg-type]
        if usages:
            builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        if names is None or names:
            alternative = [x509.DNSName(each) for each in names or [name]]
            builder = builder.add_extension(x509.SubjectAlternativeName(alternative), critical=False)
        if extension is not None:
            builder = builder.add_extension(*extension)
        certificate = builder.sign(issuer_key, algorithm or hashes.SHA256())
        chain = between if between is not None else [] if issuing is None else [issuing]
        return self._written(certificate, key, chain)

    def _written(self, certificate: x509.Certificate, key: Any, chain: list[x509.Certificate]) -> Material:
        stem = f"{certificate.serial_number:x}"[:16]
        material = Material(certificate=self.folder / f"{stem}.pem", key=self.folder / f"{stem}.key")
        assert material.certificate is not None
        assert material.key is not None
        material.certificate.write_bytes(b"".join(each.public_bytes(PEM) for each in (certificate, *chain)))
        material.key.touch(mode=0o600)
        material.key.write_bytes(key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        return material

    def _with_sha1(self, good: Material, *, other: x509.ObjectIdentifier) -> Material:
        """The same leaf signed with SHA-1, which our own library no longer does."""
        assert good.certificate is not None
        place, inner = good.certificate.with_suffix(".sha1.pem"), self.authority._inner
        issuer = ["-CA", str(inner / "issuing.pem"), "-CAkey", str(inner / "issuing.key"), "-CAcreateserial"]
        extensions = self.folder / "sha1.cnf"
        usage = "clientAuth" if other == ExtendedKeyUsageOID.SERVER_AUTH else "serverAuth"
        name = CLIENT if other == ExtendedKeyUsageOID.SERVER_AUTH else SERVER
        extensions.write_text(
            f"basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage={usage}\n"
            f"subjectAltName=DNS:{name}\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
        )
        request = self.folder / "sha1.csr"
        subprocess.run(["openssl", "req", "-new", "-key", str(good.key), "-subj", f"/CN={name}", "-out", str(request)], check=True)
        made = ["openssl", "x509", "-req", "-sha1", "-in", str(request), *issuer, "-days", "30", "-extfile", str(extensions)]
        subprocess.run([*made, "-out", str(place)], check=True, capture_output=True)
        place.write_bytes(place.read_bytes() + self.issuing.public_bytes(PEM))
        return Material(certificate=place, key=good.key)

    def _below_root(self, name: str, *, constraint: str | None = None, listed: bool = True) -> tuple[Any, x509.Certificate]:
        made = self._authority_below(name, self.root_key, self.root, constraint)
        if listed:
            self._lists.append(revocation_list(*made))
        return made

    def _authority_below(
        self, name: str, issuer_key: Any, issuer: x509.Certificate, constraint: str | None = None
    ) -> tuple[Any, x509.Certificate]:
        key, now = ec.generate_private_key(ec.SECP256R1()), dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(called(f"{name} authority"))
            .issuer_name(issuer.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - DAY)
            .not_valid_after(now + 300 * DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(key_usage(authority=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key()), critical=False)  # type: ignore[arg-type]
        )
        if constraint is not None:
            permitted = x509.NameConstraints(permitted_subtrees=[x509.DNSName(constraint)], excluded_subtrees=None)
            builder = builder.add_extension(permitted, critical=True)
        return key, builder.sign(issuer_key, hashes.SHA256())


def revocation_list(
    key: Any,
    issuer: x509.Certificate,
    serials: list[int] | None = None,
    *,
    window: tuple[dt.datetime, dt.datetime] | None = None,
) -> bytes:
    """A list (PEM) in force from yesterday on for 30 days, or in ``window``."""
    now = dt.datetime.now(dt.UTC)
    begins, ends = window or (now - DAY, now + 30 * DAY)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.subject)
        .last_update(begins)
        .next_update(ends)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key()), critical=False)  # type: ignore[arg-type]
        .add_extension(x509.CRLNumber(int(now.timestamp() * 1000)), critical=False)
    )
    for serial in serials or []:
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(begins)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(key, hashes.SHA256()).public_bytes(PEM)


def called(name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "JP"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Fictitious Forgery"),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )


def key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )
