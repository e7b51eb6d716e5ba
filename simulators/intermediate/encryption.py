"""Provisions, encrypted with the key that was received from the inquirer (C-M-6-8): who only passes them on cannot read them.

XML Encryption 1.1, AES-256-GCM and RSA-OAEP with SHA-256, written by hand on ``cryptography``.
"""

from __future__ import annotations

import base64
import secrets

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from simulators.errors import BadSettings

XENC = "http://www.w3.org/2001/04/xmlenc#"
XENC11 = "http://www.w3.org/2009/xmlenc11#"
DS = "http://www.w3.org/2000/09/xmldsig#"
RSA_BITS = 3072


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
        content_key, nonce = AESGCM.generate_key(256), secrets.token_bytes(12)
        transported = self._key.encrypt(content_key, padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None))
        sealed = nonce + AESGCM(content_key).encrypt(nonce, provision, None)
        return (
            f'<xenc:EncryptedData xmlns:xenc="{XENC}" Type="{XENC}Element"><xenc:EncryptionMethod Algorithm="{XENC11}aes256-gcm"/>'
            f'<ds:KeyInfo xmlns:ds="{DS}"><xenc:EncryptedKey><xenc:EncryptionMethod Algorithm="{XENC11}rsa-oaep">'
            f'<ds:DigestMethod Algorithm="{XENC}sha256"/><xenc11:MGF xmlns:xenc11="{XENC11}" Algorithm="{XENC11}mgf1sha256"/>'
            f"</xenc:EncryptionMethod>{_cipher(transported)}</xenc:EncryptedKey></ds:KeyInfo>{_cipher(sealed)}</xenc:EncryptedData>"
        ).encode()


def _cipher(data: bytes) -> str:
    return f"<xenc:CipherData><xenc:CipherValue>{base64.b64encode(data).decode()}</xenc:CipherValue></xenc:CipherData>"
