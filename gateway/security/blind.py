"""Keyed digests: blind indexes of identifiers, and digests of contents that show only equality to the holder of the key.

An Individual Number has 12 digits: a plain hash of it is reversed in seconds, a keyed one is not (I5).
"""

from __future__ import annotations

import hmac

from gateway.security.keys import KeyStore, Kind


class BlindIndex:
    """HMAC-SHA-256 of an identifier under one key."""

    def __init__(self, key: bytes, key_id: str) -> None:
        self._key = key
        self.key_id = key_id

    @classmethod
    def current(cls, keys: KeyStore) -> BlindIndex:
        """With the current key of the store."""
        key = keys.current(Kind.BLIND)
        return cls(key.secret, key.id)

    def of(self, kind: str, value: str) -> bytes:
        """The index of ``value`` of identifier kind ``kind`` (32 bytes). The same value of two kinds has two unrelated indexes."""
        return hmac.digest(self._key, _joined((kind, value)), "sha256")


class ContentMac:
    """HMAC-SHA-256 of several parts under one key; different divisions into parts give different digests (R17)."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    def current(cls, keys: KeyStore) -> ContentMac:
        """With the current key of the store."""
        return cls(keys.current(Kind.CONTENT).secret)

    def of(self, *parts: str | bytes) -> bytes:
        """The digest (32 bytes)."""
        return hmac.digest(self._key, _joined(parts), "sha256")


def _joined(parts: tuple[str | bytes, ...]) -> bytes:
    encoded = [part.encode() if isinstance(part, str) else part for part in parts]
    return b"".join(len(part).to_bytes(4) + part for part in encoded)
