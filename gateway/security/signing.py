"""Signing for a party: with a private key in a file, or with one that never leaves a PKCS#11 token (C-2-2-9).

What signs a message (signed SOAP, receipts, checkpoints) takes a :class:`Signer` and need not know where the key is. Signatures have the
form that XML Signature and JOSE use: ECDSA as r and s of 32 bytes each (not DER), RSA as PKCS #1 v1.5. Only SHA-256, P-256 and RSA of at
least 2,048 bits; P-256 is the default (architecture section 8).
"""

from __future__ import annotations

import contextlib
import enum
import hashlib
from pathlib import Path
from typing import Any, Protocol

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from certs.errors import CertificateError, KeyFileUnsafe
from certs.files import read_private, read_public
from gateway.errors import ConfigurationError, GatewayError
from gateway.security.token import Token

RSA_BITS = 2048
_COORDINATE = 32
_SHA256 = hashes.SHA256()
_PROBE = b"renkei: does this key belong to its certificate?"


class Algorithm(enum.Enum):
    """How a signer signs; the value is the identifier in XML Signature."""

    ECDSA_P256_SHA256 = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256"
    RSA_SHA256 = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"


class SignatureWrong(GatewayError):
    """A signature does not belong to this text and certificate."""


class Signer(Protocol):
    """Somebody's signing key with its certificate. Any thread; may wait for a token (about a millisecond, an HSM on the network longer)."""

    @property
    def certificate(self) -> x509.Certificate:
        """What recipients verify with."""
        ...

    @property
    def algorithm(self) -> Algorithm:
        """How :meth:`sign` signs."""
        ...

    def sign(self, data: bytes) -> bytes:
        """The signature over ``data`` (not over a digest of it).

        :raises TokenUnavailable: the token does not answer now.
        """
        ...


class FileSigner:
    """With a private key of a PEM file (0600)."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> None:
        self.certificate = certificate
        self.algorithm = algorithm_of(certificate)
        self._key = key
        if key.public_key() != certificate.public_key():
            raise ConfigurationError("signing-key-mismatch", "the signing key does not belong to its certificate")

    @classmethod
    def load(cls, certificate: Path, key: Path) -> FileSigner:
        """From NAME.pem and NAME.key.

        :raises ConfigurationError: a file is missing, unsafe or damaged, or the two do not belong together.
        """
        try:
            private: Any = load_pem_private_key(read_private(key), None)
        except KeyFileUnsafe as error:
            raise ConfigurationError(error.code, error.safe_detail) from error
        except (ValueError, TypeError):
            # no cause attached: its text may quote the content of the file
            raise ConfigurationError("signing-key-malformed", f"{key.name} holds no unencrypted private key in PEM") from None
        return cls(load_certificate(certificate), private)

    def sign(self, data: bytes) -> bytes:
        """See :class:`Signer`."""
        if isinstance(self._key, ec.EllipticCurvePrivateKey):
            return _joined(self._key.sign(data, ec.ECDSA(_SHA256)))
        return self._key.sign(data, padding.PKCS1v15(), _SHA256)


class TokenSigner:
    """With a private key that is found in the token by its label and stays there."""

    def __init__(self, token: Token, label: str, certificate: x509.Certificate | None = None) -> None:
        """:param certificate: None: it lies in the token beside the key, under the same label.
        :raises ConfigurationError: no such key or certificate, or they do not belong together.
        :raises TokenUnavailable: the token does not answer.
        """
        self._token = token
        self._label = label
        self._key: Any = None
        self._key_session = 0
        self.certificate = certificate or self._certificate_in_token()
        self.algorithm = algorithm_of(self.certificate)
        self.sign(_PROBE)  # finds the key, so that what is wrong is said at once

    def sign(self, data: bytes) -> bytes:
        """See :class:`Signer`. What is signed is hashed here, or in the token for RSA; the key never leaves it."""
        return self._token.run(lambda session: self._sign(self._found(session), data))

    def _found(self, session: Any) -> Any:
        if self._key is None or self._key_session != self._token.opened:
            self._key = self._of_certificate(session)
            self._key_session = self._token.opened
        return self._key

    def _of_certificate(self, session: Any) -> Any:
        """Of the keys with this label the one that the certificate is of: for the time of a change there are two."""
        from pkcs11 import Attribute, ObjectClass

        keys = list(session.get_objects({Attribute.CLASS: ObjectClass.PRIVATE_KEY, Attribute.LABEL: self._label}))
        if not keys:
            raise ConfigurationError("signing-key-missing", f"the token has no private key {self._label}")
        for key in keys:
            with contextlib.suppress(SignatureWrong):
                verify(self.certificate, _PROBE, self._sign(key, _PROBE))
                return key
        raise ConfigurationError("signing-key-mismatch", f"no key {self._label} of the token belongs to its certificate")

    def _sign(self, key: Any, data: bytes) -> bytes:
        from pkcs11 import KeyType, Mechanism

        rsa_key = self.algorithm is Algorithm.RSA_SHA256
        if key.key_type is not (KeyType.RSA if rsa_key else KeyType.EC):
            raise SignatureWrong("signature-wrong", "the key is of another kind than its certificate")
        if rsa_key:
            return bytes(key.sign(data, mechanism=Mechanism.SHA256_RSA_PKCS))
        return bytes(key.sign(hashlib.sha256(data).digest(), mechanism=Mechanism.ECDSA))

    def _certificate_in_token(self) -> x509.Certificate:
        from pkcs11 import Attribute, ObjectClass

        def find(session: Any) -> list[bytes]:
            found = session.get_objects({Attribute.CLASS: ObjectClass.CERTIFICATE, Attribute.LABEL: self._label})
            return [bytes(each[Attribute.VALUE]) for each in found]

        found = self._token.run(find)
        if len(found) != 1:
            raise ConfigurationError("signing-certificate-missing", f"the token has {len(found)} certificates {self._label}; one is needed")
        try:
            return x509.load_der_x509_certificate(found[0])
        except ValueError as error:
            raise ConfigurationError("signing-certificate-malformed", f"the certificate {self._label} of the token is damaged") from error


def load_certificate(path: Path) -> x509.Certificate:
    """The first certificate of a PEM file.

    :raises ConfigurationError: it cannot be read.
    """
    try:
        return x509.load_pem_x509_certificate(read_public(path, "certificate"))
    except CertificateError as error:
        raise ConfigurationError(error.code, error.safe_detail) from error
    except ValueError as error:
        raise ConfigurationError("certificate-malformed", f"{path.name} holds no certificate in PEM") from error


def algorithm_of(certificate: x509.Certificate) -> Algorithm:
    """How its key signs.

    :raises ConfigurationError: ``signing-key-weak``: neither P-256 nor RSA of at least 2,048 bits.
    """
    public = certificate.public_key()
    if isinstance(public, ec.EllipticCurvePublicKey) and isinstance(public.curve, ec.SECP256R1):
        return Algorithm.ECDSA_P256_SHA256
    if isinstance(public, rsa.RSAPublicKey) and public.key_size >= RSA_BITS:
        return Algorithm.RSA_SHA256
    raise ConfigurationError("signing-key-weak", f"a signing key must be P-256, or RSA of at least {RSA_BITS} bits")


def verify(certificate: x509.Certificate, data: bytes, signature: bytes) -> None:
    """That ``signature`` was made over ``data`` with the key of ``certificate``. Says nothing about whose certificate it is.

    :raises SignatureWrong: it was not.
    """
    public = certificate.public_key()
    try:
        if isinstance(public, ec.EllipticCurvePublicKey):
            if len(signature) != 2 * _COORDINATE:
                raise InvalidSignature
            r, s = int.from_bytes(signature[:_COORDINATE]), int.from_bytes(signature[_COORDINATE:])
            public.verify(encode_dss_signature(r, s), data, ec.ECDSA(_SHA256))
        elif isinstance(public, rsa.RSAPublicKey):
            public.verify(signature, data, padding.PKCS1v15(), _SHA256)
        else:
            raise InvalidSignature
    except InvalidSignature as error:
        raise SignatureWrong("signature-wrong", "the signature does not belong to this text and certificate") from error


def _joined(der: bytes) -> bytes:
    r, s = decode_dss_signature(der)
    return r.to_bytes(_COORDINATE) + s.to_bytes(_COORDINATE)
