"""Encrypted Bodies as the parties see them: XML Encryption 1.1, AES-256-GCM and RSA-OAEP with SHA-256, by hand on ``cryptography``.

Written without a look at the gateway's, which leaves it to python-xmlsec. Calls are decrypted before their signature is verified, answers
are signed before they are encrypted.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import secrets
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from lxml import etree

from certs.files import read_private
from certs.path import load_certificates
from simulators.errors import BadSettings
from simulators.signatures import SignatureRefused

XENC = "http://www.w3.org/2001/04/xmlenc#"
XENC11 = "http://www.w3.org/2009/xmlenc11#"
DS = "http://www.w3.org/2000/09/xmldsig#"
RSA_BITS = 3072
_OAEP = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
_PARSER = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
_SHAPE = (f"{{{XENC}}}EncryptionMethod", f"{{{DS}}}KeyInfo", f"{{{XENC}}}CipherData")


class EncryptionRefused(SignatureRefused):
    """A call is not encrypted as agreed; ``code`` says why and holds nothing of it."""


def encrypted_data(element: bytes, key: rsa.RSAPublicKey, kind: str) -> bytes:
    """EncryptedData for the holder of ``key``; ``kind``: ``Element`` or ``Content``."""
    content_key, nonce = AESGCM.generate_key(256), secrets.token_bytes(12)
    sealed = nonce + AESGCM(content_key).encrypt(nonce, element, None)
    return (
        f'<xenc:EncryptedData xmlns:xenc="{XENC}" Type="{XENC}{kind}"><xenc:EncryptionMethod Algorithm="{XENC11}aes256-gcm"/>'
        f'<ds:KeyInfo xmlns:ds="{DS}"><xenc:EncryptedKey><xenc:EncryptionMethod Algorithm="{XENC11}rsa-oaep">'
        f'<ds:DigestMethod Algorithm="{XENC}sha256"/><xenc11:MGF xmlns:xenc11="{XENC11}" Algorithm="{XENC11}mgf1sha256"/>'
        f"</xenc:EncryptionMethod>{_cipher(key.encrypt(content_key, _OAEP))}</xenc:EncryptedKey></ds:KeyInfo>{_cipher(sealed)}"
        "</xenc:EncryptedData>"
    ).encode()


def _cipher(data: bytes) -> str:
    return f"<xenc:CipherData><xenc:CipherValue>{base64.b64encode(data).decode()}</xenc:CipherValue></xenc:CipherData>"


def _in_place_of(body: etree._Element, content: bytes) -> etree._Element:
    """The content may use namespaces that are declared around it."""
    around = etree.tostring(etree.Element("around", nsmap={name: uri for name, uri in body.nsmap.items() if name}))
    return etree.fromstring(around.replace(b"/>", b">" + content + b"</around>"), _PARSER)


class Encryption:
    """Of one party and its one caller. ``key``: ours, to open calls; ``caller``: whose certificate answers are encrypted for.

    Files that change are taken over with the next message; the key that was ours before still opens what was under way.
    """

    def __init__(self, *, key: Path, caller: Path) -> None:
        """:raises BadSettings: a file cannot be used."""
        self._files = (key, caller)
        self._stamp = self._stamped()
        self._keys = [_private(key)]
        self._caller = _public(caller)

    def _stamped(self) -> tuple[int, ...]:
        return tuple(each.stat().st_mtime_ns if each.exists() else 0 for each in self._files)

    def _follow(self) -> None:
        if (stamp := self._stamped()) != self._stamp and 0 not in stamp:
            key, caller = self._files
            self._keys = [_private(key), self._keys[0]]
            self._caller, self._stamp = _public(caller), stamp

    def open(self, envelope: etree._Element) -> bytes:
        """Puts what was encrypted in its place in the Body, and returns it as the bytes that it was.

        :raises EncryptionRefused: it is not encrypted as agreed, or not for us.
        """
        self._follow()
        body = envelope[-1]
        data: Any = body[0] if len(body) == 1 else None
        if data is None or data.tag != f"{{{XENC}}}EncryptedData":
            raise EncryptionRefused("body-in-clear")
        if tuple(each.tag for each in data) != _SHAPE or data[0].get("Algorithm") != f"{XENC11}aes256-gcm":
            raise EncryptionRefused("encryption-not-agreed")
        methods = data[1].findall(f"{{{XENC}}}EncryptedKey/{{{XENC}}}EncryptionMethod")
        if [(each.get("Algorithm"), [part.get("Algorithm") for part in each]) for each in methods] != [
            (f"{XENC11}rsa-oaep", [f"{XENC}sha256", f"{XENC11}mgf1sha256"])
        ]:
            raise EncryptionRefused("encryption-not-agreed")
        try:
            wrapped, sealed = (base64.b64decode(each.text or "") for each in data.iter(f"{{{XENC}}}CipherValue"))
            content = AESGCM(self._unwrapped(wrapped)).decrypt(sealed[:12], sealed[12:], None)
            [clear] = _in_place_of(body, content)
        except (ValueError, binascii.Error, InvalidTag, etree.XMLSyntaxError) as error:
            raise EncryptionRefused("does-not-open") from error
        body.replace(data, clear)
        return content

    def _unwrapped(self, wrapped: bytes) -> bytes:
        for key in self._keys[:-1]:
            with contextlib.suppress(ValueError):
                return key.decrypt(wrapped, _OAEP)
        return self._keys[-1].decrypt(wrapped, _OAEP)

    def close_up(self, message: bytes) -> bytes:
        """A message with what is in its Body encrypted for the caller."""
        self._follow()
        envelope = etree.fromstring(message, _PARSER)
        body = envelope[-1]
        # in the form that stands alone, whatever namespaces are declared around it
        content = etree.tostring(body[0], method="c14n", exclusive=True)
        body.replace(body[0], etree.fromstring(encrypted_data(content, self._caller, "Content"), _PARSER))
        return etree.tostring(envelope, xml_declaration=True, encoding="UTF-8")


def _private(file: Path) -> rsa.RSAPrivateKey:
    try:
        private = load_pem_private_key(read_private(file), None)
    except (ValueError, TypeError) as error:
        raise BadSettings("encryption-key-unusable", f"{file.name} cannot be read") from error
    if not isinstance(private, rsa.RSAPrivateKey) or private.key_size < RSA_BITS:
        raise BadSettings("encryption-key-unusable", f"messages are encrypted with RSA keys of at least {RSA_BITS} bits")
    return private


def _public(file: Path) -> rsa.RSAPublicKey:
    public = load_certificates(file)[0].public_key()
    if not isinstance(public, rsa.RSAPublicKey) or public.key_size < RSA_BITS:
        raise BadSettings("encryption-key-unusable", f"messages are encrypted with RSA keys of at least {RSA_BITS} bits")
    return public
