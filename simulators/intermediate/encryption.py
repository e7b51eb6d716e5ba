"""Provisions, encrypted with the key that was received from the inquirer (C-M-6-8): who only passes them on cannot read them.

As in :mod:`simulators.encryption`, but the whole element, for a key that came with the inquiry.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from simulators.encryption import RSA_BITS, encrypted_data
from simulators.errors import BadSettings


class InquirerKey:
    """The public key that came with an inquiry."""

    def __init__(self, pem: bytes) -> None:
        """:raises BadSettings: no RSA key of at least 3072 bits."""
        try:
            key = load_pem_public_key(pem)
        except ValueError as error:
            raise BadSettings("inquirer-key-unusable", "the inquirer's key cannot be read") from error
        if not isinstance(key, rsa.RSAPublicKey) or key.key_size < RSA_BITS:
            raise BadSettings("inquirer-key-unusable", f"the inquirer's key must be RSA of at least {RSA_BITS} bits")
        self._key = key

    def encrypt(self, provision: bytes) -> bytes:
        """A provision (an XML element without declaration) as EncryptedData."""
        return encrypted_data(provision, self._key, "Element")
