"""Keyed digests: blind indexes of identifiers, and digests of contents that show only equality to the holder of the key.

An Individual Number has 12 digits: a plain hash of it is reversed in seconds, a keyed one is not (I5).

**Rotation of the blind indexes.** An index cannot be computed anew from itself, and the identifier behind it is nowhere in clear. So the
keys form a chain: with keys k1, k2, … the index of generation n is ``HMAC(kn, … HMAC(k2, HMAC(k1, identifier)))``. An index of one
generation becomes one of the next without the identifier, row by row, and nobody's subject changes (architecture section 5). Once that is
done, whoever has an older key alone can do nothing with the ledger; all keys of the chain are kept, as each is needed to compute an
index.

**Rotation of the content key.** New messages get the new one; whether a message is the same as one that was accepted before is asked
under the older ones as well (:meth:`ContentMac.earlier`).
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import TypeVar

from gateway.security.keys import KeyStore, Kind

T = TypeVar("T")


class BlindIndex:
    """Chained HMAC-SHA-256 of an identifier, in the generation of the key ``key_id``. Immutable."""

    def __init__(self, key: bytes, key_id: str, *, earlier: tuple[bytes, ...] = (), former_id: str | None = None) -> None:
        """:param earlier: the keys before it, oldest first; :param former_id: id of the last of them."""
        self._keys = (*earlier, key)
        self.key_id = key_id
        self.former_id = former_id

    @classmethod
    def current(cls, keys: KeyStore) -> BlindIndex:
        """With the keys that the store has now."""
        return cls._with(keys, keys.ids(Kind.BLIND))

    @classmethod
    def following(cls, keys: KeyStore) -> Callable[[], BlindIndex]:
        """Gives the index with the keys that the store has at that moment; cheap while they stay the same."""
        return _following(keys, Kind.BLIND, lambda ids: cls._with(keys, ids))

    @classmethod
    def every(cls, keys: KeyStore, kind: str, value: str) -> list[bytes]:
        """The index of an identifier in every generation, the current one last: for looking somebody up."""
        return [cls.until(keys, key_id).of(kind, value) for key_id in keys.ids(Kind.BLIND)]

    @classmethod
    def until(cls, keys: KeyStore, key_id: str) -> BlindIndex:
        """In the generation of ``key_id``, which need not be the last."""
        ids = keys.ids(Kind.BLIND)
        return cls._with(keys, ids[: ids.index(key_id) + 1])

    @classmethod
    def _with(cls, keys: KeyStore, ids: tuple[str, ...]) -> BlindIndex:
        *earlier, last = (keys.get(Kind.BLIND, key_id).secret for key_id in ids)
        return cls(last, ids[-1], earlier=tuple(earlier), former_id=ids[-2] if len(ids) > 1 else None)

    def of(self, kind: str, value: str) -> bytes:
        """The index of ``value`` of identifier kind ``kind`` (32 bytes). The same value of two kinds has two unrelated indexes."""
        return self.both(kind, value)[0]

    def both(self, kind: str, value: str) -> tuple[bytes, bytes | None]:
        """The index in this generation and in the one before, where there is one: while rows are being renewed, either may be found."""
        former, found = None, _joined((kind, value))
        for number, key in enumerate(self._keys):
            former, found = found if number else None, hmac.digest(key, found, "sha256")
        return found, former

    def renewed(self, blind: bytes) -> bytes:
        """An index of the generation before, in this one."""
        return hmac.digest(self._keys[-1], blind, "sha256")


class ContentMac:
    """HMAC-SHA-256 of several parts under one key; different divisions into parts give different digests (R17). Immutable."""

    def __init__(self, key: bytes, *, earlier: tuple[bytes, ...] = ()) -> None:
        self._key = key
        self._earlier = earlier

    @classmethod
    def current(cls, keys: KeyStore) -> ContentMac:
        """With the keys that the store has now."""
        return cls._with(keys, keys.ids(Kind.CONTENT))

    @classmethod
    def following(cls, keys: KeyStore) -> Callable[[], ContentMac]:
        """Gives the digest with the keys that the store has at that moment; cheap while they stay the same."""
        return _following(keys, Kind.CONTENT, lambda ids: cls._with(keys, ids))

    @classmethod
    def _with(cls, keys: KeyStore, ids: tuple[str, ...]) -> ContentMac:
        *earlier, last = (keys.get(Kind.CONTENT, key_id).secret for key_id in ids)
        return cls(last, earlier=tuple(earlier))

    def of(self, *parts: str | bytes) -> bytes:
        """The digest (32 bytes)."""
        return hmac.digest(self._key, _joined(parts), "sha256")

    def earlier(self, *parts: str | bytes) -> tuple[bytes, ...]:
        """The digests under the keys before, newest first."""
        joined = _joined(parts) if self._earlier else b""
        return tuple(hmac.digest(key, joined, "sha256") for key in reversed(self._earlier))


def _following(keys: KeyStore, kind: Kind, make: Callable[[tuple[str, ...]], T]) -> Callable[[], T]:
    made: tuple[tuple[str, ...], T] | None = None

    def now() -> T:
        nonlocal made
        ids = keys.ids(kind)
        if made is None or made[0] != ids:
            made = ids, make(ids)
        return made[1]

    return now


def _joined(parts: tuple[str | bytes, ...]) -> bytes:
    encoded = [part.encode() if isinstance(part, str) else part for part in parts]
    return b"".join(len(part).to_bytes(4) + part for part in encoded)
