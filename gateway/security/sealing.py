"""Sealing: a payload is encrypted under a data key of its own (AES-256-GCM), which is wrapped under a key-encryption key (RFC 3394).

One data key per (message, party). The ciphertext is bound to message id, type and party (AAD), so that a row swapped into another
message does not open. The wrapped data key is kept apart from the ciphertext, in the ledger's key table only: destroying that row makes
every copy of the ciphertext unreadable. Rotation of the key-encryption key re-wraps data keys and touches no ciphertext.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from gateway.errors import GatewayError
from gateway.ids import new_id
from gateway.security.keys import KeyStore, Kind

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
    """Seals and unseals with the keys of a :class:`~gateway.security.keys.KeyStore`. About 10 µs for 4 KB; any thread."""

    def __init__(self, keys: KeyStore) -> None:
        self._keys = keys

    def seal(self, plaintext: bytes, *, message_id: str, message_type: str, party: str) -> Sealed:
        """Seal ``plaintext`` for one party of one message."""
        kek = self._keys.current(Kind.KEK)
        data_key, nonce = os.urandom(32), os.urandom(_NONCE)
        ciphertext = AESGCM(data_key).encrypt(nonce, plaintext, _binding(message_id, message_type, party))
        return Sealed(
            key_id=new_id(),
            kek_id=kek.id,
            wrapped=aes_key_wrap(kek.secret, data_key),
            sealed=_VERSION + nonce + ciphertext,
        )

    def unseal(self, sealed: bytes, *, wrapped: bytes, kek_id: str, message_id: str, message_type: str, party: str) -> bytes:
        """The plaintext.

        :raises SealBroken: it is not what was sealed for this party of this message.
        :raises ConfigurationError: the key-encryption key is unknown.
        """
        if sealed[:1] != _VERSION or len(sealed) < _OVERHEAD:
            raise SealBroken("seal-malformed", f"sealed payload of message {message_id} has an unknown form")
        data_key = self._unwrap(wrapped, kek_id, message_id)
        try:
            return AESGCM(data_key).decrypt(sealed[1 : 1 + _NONCE], sealed[1 + _NONCE :], _binding(message_id, message_type, party))
        except InvalidTag as error:
            raise SealBroken("seal-broken", f"sealed payload of message {message_id} for {party} was altered or moved") from error

    def rewrap(self, wrapped: bytes, *, kek_id: str, message_id: str) -> tuple[str, bytes]:
        """The data key under the current key-encryption key: its id and the new wrapping.

        :raises SealBroken: the wrapped key is damaged.
        """
        kek = self._keys.current(Kind.KEK)
        return kek.id, aes_key_wrap(kek.secret, self._unwrap(wrapped, kek_id, message_id))

    def _unwrap(self, wrapped: bytes, kek_id: str, message_id: str) -> bytes:
        try:
            return aes_key_unwrap(self._keys.get(Kind.KEK, kek_id).secret, wrapped)
        except (InvalidUnwrap, ValueError) as error:
            raise SealBroken("data-key-broken", f"data key of message {message_id} does not unwrap under key {kek_id}") from error


def _binding(*parts: str) -> bytes:
    # each part with its length, so that no two different triples make the same bytes
    return _VERSION + b"".join(len(part).to_bytes(4) + part for part in (each.encode() for each in parts))
