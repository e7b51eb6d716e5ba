"""Messages for one of our own systems: JWE (RFC 7516) for that system's P-256 key, ``ECDH-ES+A256KW`` with ``A256GCM``.

The other direction of :mod:`gateway.security.jwe`, with the same pair of algorithms. The key is the system's own: we hold the public half,
in a JWK set that the configuration names, and never see the private one. A broker keeps what it carried in its log, so that what stands
there must be readable by nobody but the consumer.
"""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import aes_key_wrap

from gateway.errors import ConfigurationError
from gateway.security.jwe import ALGORITHM, ENCRYPTION, JweKeys, derive_key

_COORDINATE = 32


def encrypt_for(key: ec.EllipticCurvePublicKey, kid: str, content: bytes) -> bytes:
    """JWE in compact serialisation for that key, with an ephemeral key of its own; about 0.15 ms."""
    ephemeral = ec.generate_private_key(ec.SECP256R1())
    numbers = ephemeral.public_key().public_numbers()
    x, y = (_text(each.to_bytes(_COORDINATE)) for each in (numbers.x, numbers.y))
    header = {"alg": ALGORITHM, "enc": ENCRYPTION, "kid": kid, "epk": {"kty": "EC", "crv": "P-256", "x": x, "y": y}}
    encoded = _encoded(json.dumps(header, separators=(",", ":")).encode())
    secret, nonce = AESGCM.generate_key(256), os.urandom(12)
    wrapped = aes_key_wrap(derive_key(ephemeral.exchange(ec.ECDH(), key), b"", b""), secret)
    sealed = AESGCM(secret).encrypt(nonce, content, encoded)
    return b".".join((encoded, _encoded(wrapped), _encoded(nonce), _encoded(sealed[:-16]), _encoded(sealed[-16:])))


class Own:
    """Encrypts for the gateway itself: what one process of it sends another over the broker."""

    def __init__(self, keys: JweKeys) -> None:
        self._keys = keys

    def encrypt(self, content: bytes) -> bytes:
        """For the key that counts now."""
        kid = self._keys.kids()[-1]
        return encrypt_for(self._keys.public(kid), kid, content)


class ConsumerKey:
    """The key to encrypt for, from a file that is followed. For one event loop."""

    def __init__(self, file: Path) -> None:
        """:raises ConfigurationError: the file holds no key that can be used."""
        self._file = file
        self._stamp: tuple[int, int] | None = None
        self._key: ec.EllipticCurvePublicKey
        self._kid = ""
        self.problem: str | None = None
        """Why the file on disk could not be taken over, if so: for ``check``."""
        self._load()

    @property
    def kid(self) -> str:
        """Its id."""
        return self._kid

    def encrypt(self, content: bytes) -> bytes:
        """JWE in compact serialisation, with an ephemeral key of its own."""
        self._follow()
        return encrypt_for(self._key, self._kid, content)

    def _follow(self) -> None:
        try:
            if self._stat() != self._stamp:
                self._load()
            self.problem = None
        except (OSError, ConfigurationError) as error:
            # a half-written file must not stop what works: the key of before still is the consumer's
            self.problem = error.safe_detail if isinstance(error, ConfigurationError) else f"{self._file.name} cannot be read"

    def _stat(self) -> tuple[int, int]:
        found = self._file.stat()
        return found.st_mtime_ns, found.st_size

    def _load(self) -> None:
        try:
            stamp = self._stat()
            jwks = json.loads(self._file.read_bytes())
        except OSError as error:
            raise ConfigurationError("consumer-key-missing", f"the JWK set {self._file.name} cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise ConfigurationError("consumer-key-malformed", f"{self._file.name} is not JSON") from error
        self._key, self._kid = _first(jwks, self._file.name)
        self._stamp = stamp


def _first(jwks: Any, name: str) -> tuple[ec.EllipticCurvePublicKey, str]:
    for each in jwks.get("keys", []) if isinstance(jwks, dict) else []:
        if not isinstance(each, dict) or each.get("kty") != "EC" or each.get("crv") != "P-256" or each.get("use", "enc") != "enc":
            continue
        if "d" in each:
            raise ConfigurationError("consumer-key-private", f"{name} holds a private key, which belongs to the consumer alone")
        try:
            point = b"\x04" + _decoded(each["x"]) + _decoded(each["y"])
            return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point), str(each["kid"])
        except (KeyError, ValueError, AttributeError) as error:
            raise ConfigurationError("consumer-key-malformed", f"a key in {name} is no P-256 key with kid, x and y") from error
    raise ConfigurationError("consumer-key-missing", f"{name} holds no P-256 key for encryption")


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _encoded(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _text(data: bytes) -> str:
    return _encoded(data).decode()
