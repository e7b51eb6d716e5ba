"""Sealing: a payload is encrypted under a data key of its own (AES-256-GCM), which is wrapped under a key-encryption key (RFC 3394).

The data key of a class that must vanish is wrapped under the key of its day first (``gateway/security/day_keys.py``). What wraps a data key
is its *key path*: ``<key-encryption key>`` or ``<key-encryption key>/<day key>``; it stands in ``data_key.kek_id``.

One data key per (message, party). The ciphertext is bound to message id, type and party (AAD), so that a row swapped into another
message does not open. The wrapped data key is kept apart from the ciphertext, in the ledger's key table only: destroying that row makes
every copy of the ciphertext unreadable. Rotation of the key-encryption key re-wraps data keys and touches no ciphertext.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.errors import ConfigurationError, GatewayError
from gateway.ids import new_id
from gateway.security.day_keys import DayKeyGone, DayKeys
from gateway.security.kek import WrappingBroken
from gateway.security.keys import KeyStore

_VERSION = b"\x01"
_NONCE = 12
_OVERHEAD = len(_VERSION) + _NONCE + 16


class SealBroken(GatewayError):
    """A sealed payload does not open: altered, cut, of another message, or its key is not the right one. Nothing was decrypted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """A sealed payload: ``sealed`` goes to the payload table, ``wrapped`` to the key table, ``key_id`` ties them."""

    key_id: str
    kek_id: str
    wrapped: bytes = field(repr=False)
    sealed: bytes = field(repr=False)
    """Version (1 byte), nonce (12), ciphertext and tag."""


class Sealer:
    """Seals and unseals with the keys of a :class:`~gateway.security.keys.KeyStore`. About 10 µs for 4 KB with keys in files; any thread.

    :param ephemeral: message types whose data keys are wrapped under the key of their day as well; they need ``day_keys``.
    """

    def __init__(self, keys: KeyStore, *, day_keys: DayKeys | None = None, ephemeral: frozenset[str] = frozenset()) -> None:
        self._keys = keys
        self._day_keys = day_keys
        self._ephemeral = ephemeral

    def seal(self, plaintext: bytes, *, message_id: str, message_type: str, party: str) -> Sealed:
        """Seal ``plaintext`` for one party of one message.

        :raises TokenUnavailable: the key-encryption key is in a token that does not answer.
        """
        data_key, nonce = os.urandom(32), os.urandom(_NONCE)
        ciphertext = AESGCM(data_key).encrypt(nonce, plaintext, _binding(message_id, message_type, party))
        day, inner = "", data_key
        if message_type in self._ephemeral:
            day, inner = self._days().wrap(data_key)
        kek_id, wrapped = self._keys.wrap(inner)
        return Sealed(
            key_id=new_id(), kek_id=f"{kek_id}/{day}" if day else kek_id, wrapped=wrapped, sealed=_VERSION + nonce + ciphertext
        )  # fmt: skip

    def unseal(self, sealed: bytes, *, wrapped: bytes, kek_id: str, message_id: str, message_type: str, party: str) -> bytes:
        """The plaintext.

        :raises SealBroken: it is not what was sealed for this party of this message, or its day key was destroyed.
        :raises ConfigurationError: the key-encryption key is unknown.
        :raises TokenUnavailable: it is in a token that does not answer.
        """
        if sealed[:1] != _VERSION or len(sealed) < _OVERHEAD:
            raise SealBroken("seal-malformed", f"sealed payload of message {message_id} has an unknown form")
        data_key = self._data_key(wrapped, kek_id, message_id)
        try:
            return AESGCM(data_key).decrypt(sealed[1 : 1 + _NONCE], sealed[1 + _NONCE :], _binding(message_id, message_type, party))
        except InvalidTag as error:
            raise SealBroken("seal-broken", f"sealed payload of message {message_id} for {party} was altered or moved") from error

    def rewrap(self, wrapped: bytes, *, kek_id: str, message_id: str) -> tuple[str, bytes]:
        """The data key under the current key-encryption key: its key path and the new wrapping. A day key is not needed for it.

        :raises SealBroken: the wrapped key is damaged.
        :raises ConfigurationError: the key-encryption key is unknown.
        :raises TokenUnavailable: one of the two is in a token that does not answer.
        """
        old, _, day = kek_id.partition("/")
        new, rewrapped = self._keys.wrap(self._unwrap(old, wrapped, message_id))
        return f"{new}/{day}" if day else new, rewrapped

    def _data_key(self, wrapped: bytes, kek_id: str, message_id: str) -> bytes:
        kek, _, day = kek_id.partition("/")
        inner = self._unwrap(kek, wrapped, message_id)
        if not day:
            return inner
        try:
            return self._days().unwrap(day, inner)
        except DayKeyGone as error:
            raise SealBroken("day-key-destroyed", f"the day key of message {message_id} was destroyed: its content is gone") from error
        except WrappingBroken as error:
            raise SealBroken("data-key-broken", f"data key of message {message_id} does not unwrap under its day key") from error

    def _unwrap(self, kek: str, wrapped: bytes, message_id: str) -> bytes:
        try:
            return self._keys.unwrap(kek, wrapped)
        except WrappingBroken as error:
            raise SealBroken("data-key-broken", f"data key of message {message_id} does not unwrap under key {kek}") from error

    def _days(self) -> DayKeys:
        if self._day_keys is None:
            raise ConfigurationError("day-keys-missing", "a message type that must vanish needs the directory of day keys")
        return self._day_keys


def kek_of(path: str) -> str:
    """The key-encryption key of a key path."""
    return path.partition("/")[0]


def day_of(path: str) -> str | None:
    """The day key of a key path, if it has one."""
    return path.partition("/")[2] or None


def _binding(*parts: str) -> bytes:
    # each part with its length, so that no two different triples make the same bytes
    return _VERSION + b"".join(len(part).to_bytes(4) + part for part in (each.encode() for each in parts))
