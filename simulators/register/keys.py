"""The gateway's public key for messages on queues, and JWE with it (RFC 7516, ECDH-ES+A256KW and A256GCM on P-256), by joserfc.

One complete JWE for each message, with an ephemeral key of its own: nothing is shared between messages.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from simulators.errors import DoorRefused

ALGORITHM = "ECDH-ES+A256KW"
ENCRYPTION = "A256GCM"
KEEP_S = 300.0
"""A key is asked for again after this time, so that a rotation is followed."""

Fetch = Callable[[], Awaitable[Any]]


def from_file(path: Path) -> Fetch:
    """Reads a JWKS file."""

    async def fetch() -> Any:
        return json.loads(_text(path))

    return fetch


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


class _Registry(jwe.JWERegistry):
    """joserfc takes 64 KB unless told otherwise; ten thousand resident record codes are half a megabyte."""

    max_ciphertext_length = 4 << 20


class OwnKeys:
    """The register's own private keys: what comes to it by queue opens with them."""

    def __init__(self, *files: Path) -> None:
        """``files``: private JWKs; each has a ``kid``."""
        self._keys = {raw["kid"]: ECKey.import_key(raw) for raw in (json.loads(_text(each)) for each in files)}

    def open(self, token: bytes) -> bytes:
        """The content.

        :raises JoseError, KeyError, ValueError: it does not open.
        """
        encoded = token.partition(b".")[0]
        header = json.loads(base64.urlsafe_b64decode(encoded + b"=" * (-len(encoded) % 4)))
        algorithms = [ALGORITHM, ENCRYPTION]
        return jwe.decrypt_compact(token, self._keys[header["kid"]], registry=_Registry(algorithms=algorithms)).plaintext or b""


class GatewayKey:
    """The key to encrypt for now."""

    def __init__(self, fetch: Fetch, *, keep_s: float = KEEP_S) -> None:
        self._fetch = fetch
        self._keep_s = keep_s
        self._key: ECKey | None = None
        self._kid = ""
        self._until = 0.0

    async def ensure(self) -> None:
        """Have a key that is fresh enough; ask for it if not.

        :raises DoorRefused: the gateway offers no key that can be used.
        """
        if self._key is None or time.monotonic() >= self._until:
            self._take(await self._fetch())
            self._until = time.monotonic() + self._keep_s

    def stale(self) -> None:
        """The gateway did not know the key: ask for the current one before the next message."""
        self._until = 0.0

    def _take(self, jwks: Any) -> None:
        keys = jwks.get("keys", []) if isinstance(jwks, dict) else []
        for raw in keys:
            if raw.get("kty") == "EC" and raw.get("crv") == "P-256" and raw.get("use", "enc") == "enc" and raw.get("kid"):
                try:
                    self._key = ECKey.import_key(raw)
                except (JoseError, ValueError) as error:
                    raise DoorRefused("gateway-key-invalid", "the gateway's key cannot be read") from error
                self._kid = raw["kid"]
                return
        raise DoorRefused("gateway-key-missing", "the gateway offers no P-256 key for encryption")

    def encrypt(self, content: bytes) -> bytes:
        """JWE in compact serialisation; about 0.2 ms for 3 KB."""
        if self._key is None:
            raise DoorRefused("gateway-key-missing", "no key was fetched yet")
        header = {"alg": ALGORITHM, "enc": ENCRYPTION, "kid": self._kid}
        return jwe.encrypt_compact(header, content, self._key, algorithms=[ALGORITHM, ENCRYPTION]).encode()
