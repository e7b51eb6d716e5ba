"""Signing keys: ours, ready to sign, and the certificates of a party that count as its own.

Loading an RSA key costs tens of milliseconds, so keys are loaded once and kept; files are looked at once a second, and a change takes
effect without a restart. A file that became unreadable changes nothing: what was loaded stays in force until its own end.
"""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from certs.errors import CertificateError, PathInvalid
from certs.files import read_private
from certs.path import Purpose, load_certificates
from certs.peer import Authority
from gateway.errors import ConfigurationError, GatewayError
from gateway.security.signing import TokenSigner
from gateway.security.soap.errors import MessageRefused
from gateway.security.soap.names import ECDSA_SHA256, RSA_SHA256
from gateway.security.token import Token

RSA_BITS = 3072
"""Least length of an RSA key for signatures."""
FOLLOW_S = 1.0
_COORDINATE = 32
_ECDSA, _PKCS1 = ec.ECDSA(hashes.SHA256()), padding.PKCS1v15()

T = TypeVar("T")


class Followed(Generic[T]):
    """What was made of files, made anew when they change."""

    def __init__(self, files: tuple[Path, ...], load: Callable[[], T]) -> None:
        self._files, self._load = files, load
        self.value = load()  # says in our words that a file is missing, so it comes before the stamp
        self._stamp, self._looked_at = self._stamps(), time.monotonic()
        self.problem: str | None = None

    def current(self) -> T:
        now = time.monotonic()
        if now - self._looked_at >= FOLLOW_S:
            self._looked_at = now
            try:
                stamp = self._stamps()
                if stamp != self._stamp:
                    self.value = self._load()
                    self._stamp = stamp
                self.problem = None
            except (GatewayError, OSError) as error:
                self.problem = error.safe_detail if isinstance(error, GatewayError) else error.strerror or "unreadable"
        return self.value

    def look(self) -> T:
        """What the files hold at this moment, for who found that what was loaded does not do."""
        self._looked_at = float("-inf")
        return self.current()

    def _stamps(self) -> tuple[tuple[int, int, int], ...]:
        return tuple(_stamp(each) for each in self._files)


def _stamp(file: Path) -> tuple[int, int, int]:
    try:
        status = os.stat(file)
    except FileNotFoundError:  # whether it must be there is for the loading to say
        return (0, 0, 0)
    return status.st_mtime_ns, status.st_size, status.st_ino


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """A private key, or a token that holds it, with its certificate. ``sign`` takes the bytes of SignedInfo."""

    certificate: x509.Certificate
    token: bytes
    """The certificate, DER in Base64: the BinarySecurityToken."""
    method: str
    sign: Callable[[bytes], bytes] = field(repr=False)
    """The signature value as XML Signature has it: r and s, 32 bytes each, or the RSA signature."""


def load_signing_key(certificate: Path, key: Path) -> SigningKey:
    """From PEM files; the key's must be readable by its owner only.

    :raises ConfigurationError: unreadable, not fit for signing (P-256 or RSA of at least 3072 bits), or they do not belong together.
    """
    try:
        leaf = load_certificates(certificate)[0]
        private = load_pem_private_key(read_private(key), None)
    except CertificateError as error:
        raise ConfigurationError(error.code, error.safe_detail) from error
    except (ValueError, TypeError) as error:
        raise ConfigurationError(
            "signing-key-malformed", f"private key file {key.name} cannot be read as an unencrypted PEM key"
        ) from error
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if private.public_key().public_bytes(*form) != leaf.public_key().public_bytes(*form):
        raise ConfigurationError("signing-key-mismatch", f"private key {key.name} does not belong to certificate {certificate.name}")
    return signing_key(leaf, private)


def signing_key(certificate: x509.Certificate, private: object) -> SigningKey:
    """From objects of ``cryptography``.

    :raises ConfigurationError: ``signing-key-unfit``.
    """
    token = base64.b64encode(certificate.public_bytes(Encoding.DER))
    if isinstance(private, ec.EllipticCurvePrivateKey) and isinstance(private.curve, ec.SECP256R1):
        curve_key = private

        def by_curve(data: bytes) -> bytes:
            r, s = utils.decode_dss_signature(curve_key.sign(data, _ECDSA))
            return r.to_bytes(_COORDINATE) + s.to_bytes(_COORDINATE)

        return SigningKey(certificate=certificate, token=token, method=ECDSA_SHA256, sign=by_curve)
    if isinstance(private, rsa.RSAPrivateKey) and private.key_size >= RSA_BITS:
        rsa_key = private
        return SigningKey(
            certificate=certificate, token=token, method=RSA_SHA256, sign=lambda data: rsa_key.sign(data, _PKCS1, hashes.SHA256())
        )
    raise ConfigurationError("signing-key-unfit", f"messages are signed with P-256 or with RSA of at least {RSA_BITS} bits, nothing else")


class Signer(Protocol):
    """Our signing key, wherever it is, following its files."""

    waits: bool
    """Signing waits for something outside this process (a token): not for an event loop."""

    def current(self) -> SigningKey:
        """The key to sign with now."""
        ...

    @property
    def problem(self) -> str | None:
        """Why a changed file could not be taken over; None: there is no such."""
        ...


class OwnKey:
    """Our signing key from its files."""

    waits = False

    def __init__(self, certificate: Path, key: Path) -> None:
        self._followed = Followed((certificate, key), lambda: load_signing_key(certificate, key))

    def current(self) -> SigningKey:
        """See :class:`Signer`."""
        return self._followed.current()

    @property
    def problem(self) -> str | None:
        """See :class:`Signer`."""
        return self._followed.problem


class TokenKey:
    """Our signing key in a PKCS#11 token, where it stays (C-2-2-9); only its certificate is a file, and followed.

    Of several keys with that label the one that belongs to the certificate signs, so a successor is made beside the key in use.
    """

    waits = True

    def __init__(self, certificate: Path, token: Token, label: str) -> None:
        """:raises ConfigurationError: no such key, it does not belong to the certificate, or it is not fit.
        :raises TokenUnavailable: the token does not answer.
        """
        self._followed = Followed((certificate,), lambda: _in_token(certificate, token, label))

    def current(self) -> SigningKey:
        """See :class:`Signer`."""
        return self._followed.current()

    @property
    def problem(self) -> str | None:
        """See :class:`Signer`."""
        return self._followed.problem


def _in_token(certificate: Path, token: Token, label: str) -> SigningKey:
    leaf = _leaf(certificate)
    party_certificate(leaf)  # the same demands on kind and length
    signer = TokenSigner(token, label, leaf)
    encoded = base64.b64encode(leaf.public_bytes(Encoding.DER))
    return SigningKey(certificate=leaf, token=encoded, method=signer.algorithm.value, sign=signer.sign)


def _leaf(certificate: Path) -> x509.Certificate:
    try:
        return load_certificates(certificate)[0]
    except CertificateError as error:
        raise ConfigurationError(error.code, error.safe_detail) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class PartyCertificate:
    """One signing certificate that is configured for a party."""

    certificate: x509.Certificate
    der: bytes
    token: bytes
    method: str

    def verify(self, value: bytes, signed_info: bytes) -> None:
        """:raises MessageRefused: ``signature-invalid``."""
        key = self.certificate.public_key()
        try:
            if isinstance(key, ec.EllipticCurvePublicKey):
                if len(value) != 2 * _COORDINATE:
                    raise MessageRefused("signature-invalid")
                r, s = int.from_bytes(value[:_COORDINATE]), int.from_bytes(value[_COORDINATE:])
                key.verify(utils.encode_dss_signature(r, s), signed_info, _ECDSA)
            elif isinstance(key, rsa.RSAPublicKey):
                key.verify(value, signed_info, _PKCS1, hashes.SHA256())
        except InvalidSignature as error:
            raise MessageRefused("signature-invalid") from error


def party_certificate(certificate: x509.Certificate) -> PartyCertificate:
    """:raises ConfigurationError: its key is none to verify messages with."""
    key = certificate.public_key()
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        method = ECDSA_SHA256
    elif isinstance(key, rsa.RSAPublicKey) and key.key_size >= RSA_BITS:
        method = RSA_SHA256
    else:
        raise ConfigurationError("signing-key-unfit", f"a signing certificate of a party has neither P-256 nor RSA of {RSA_BITS} bits")
    der = certificate.public_bytes(Encoding.DER)
    return PartyCertificate(certificate=certificate, der=der, token=base64.b64encode(der), method=method)


class PartyCertificates:
    """The signing certificates of one party: those in its PEM file that are no authority's. Two of them for the time of a change."""

    def __init__(self, file: Path, authority: Authority) -> None:
        self._authority = authority
        self._followed = Followed((file,), lambda: _load_party(file))

    @property
    def problem(self) -> str | None:
        return self._followed.problem

    def candidates(self, token: bytes | None) -> list[PartyCertificate]:
        """Whose key may have made a signature: the configured certificate that came with the message, or, if none came, each of them.
        The path of each holds now.

        :raises MessageRefused: ``signer-unknown``, or ``signer-certificate`` where none that fits can be used.
        """
        known = self._followed.current()
        fitting = known if token is None else [each for each in known if each.token == token]
        if not fitting:
            raise MessageRefused("signer-unknown")
        usable = []
        for each in fitting:
            try:
                self._authority.require(each.der, Purpose.SIGNING)
            except PathInvalid as error:
                if len(fitting) == 1:
                    raise MessageRefused("signer-certificate", error.code) from error
                continue
            usable.append(each)
        if not usable:
            raise MessageRefused("signer-certificate", "none of the configured ones is valid now")
        return usable

    def check(self) -> None:
        """:raises MessageRefused: no certificate of the party can be used now."""
        self.candidates(None)


def _load_party(file: Path) -> list[PartyCertificate]:
    try:
        certificates = load_certificates(file)
    except CertificateError as error:
        raise ConfigurationError(error.code, error.safe_detail) from error
    leaves = [each for each in certificates if not _is_authority(each)]
    if not leaves:
        raise ConfigurationError("signing-certificate-missing", f"file {file.name} holds no certificate of a party")
    return [party_certificate(each) for each in leaves]


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False
