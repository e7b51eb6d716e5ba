"""Encrypted Bodies: XML Encryption 1.1 with AES-256-GCM under a fresh key, which goes by RSA-OAEP with SHA-256 (and MGF1 with SHA-256).

For legs whose profile asks for encryption within TLS. What is signed is encrypted afterwards, so that the signature stays evidence of the
content; the other side decrypts first and then verifies. The shape is checked before any key is used, so that no algorithm is ever the
sender's choice: CBC (padding oracles; Jager and Somorovsky 2011) and RSA PKCS #1 v1.5 (Bleichenbacher) are refused, not tried. Whatever
fails after that fails with one code. The cryptography is python-xmlsec's, whose build must match lxml's libxml2: wheels only, pinned.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from pathlib import Path

import xmlsec
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat, load_pem_private_key
from lxml import etree

from certs.errors import CertificateError, PathInvalid
from certs.files import read_private
from certs.path import Purpose, load_certificates
from certs.peer import Authority
from gateway.errors import ConfigurationError
from gateway.security.soap import names as n
from gateway.security.soap.errors import MessageRefused
from gateway.security.soap.keys import Followed

RSA_BITS = 3072
MOST_FORMER = 2
"""So many keys that were in use before still open messages."""
_SERIAL = re.compile("[0-9a-f]+")
CONTENT = f"{n.XENC}Content"
AES_256_GCM, RSA_OAEP, MGF1_SHA256 = (f"{n.XENC11}{name}" for name in ("aes256-gcm", "rsa-oaep", "mgf1sha256"))

_DATA, _KEY, _METHOD, _CIPHER, _VALUE = (
    f"{{{n.XENC}}}{name}" for name in ("EncryptedData", "EncryptedKey", "EncryptionMethod", "CipherData", "CipherValue")
)
_MGF = f"{{{n.XENC11}}}MGF"
_TEMPLATE = (
    f'<xenc:EncryptedData xmlns:xenc="{n.XENC}" Type="{CONTENT}"><xenc:EncryptionMethod Algorithm="{AES_256_GCM}"/>'
    f'<ds:KeyInfo xmlns:ds="{n.DS}"><xenc:EncryptedKey><xenc:EncryptionMethod Algorithm="{RSA_OAEP}">'
    f'<ds:DigestMethod Algorithm="{n.SHA256}"/><xenc11:MGF xmlns:xenc11="{n.XENC11}" Algorithm="{MGF1_SHA256}"/></xenc:EncryptionMethod>'
    "<xenc:CipherData><xenc:CipherValue/></xenc:CipherData></xenc:EncryptedKey></ds:KeyInfo>"
    "<xenc:CipherData><xenc:CipherValue/></xenc:CipherData></xenc:EncryptedData>"
)


@dataclass(frozen=True, slots=True)
class _Known:
    certificate: bytes
    """DER."""
    keys: xmlsec.KeysManager = field(repr=False)


class Recipient:
    """Whom a Body is encrypted for; follows the file of the certificate."""

    def __init__(self, certificate: Path, authority: Authority) -> None:
        """:raises ConfigurationError: unreadable, or no RSA key of at least 3072 bits."""
        self._authority = authority
        self._followed = Followed((certificate,), lambda: _load_recipient(certificate))

    @property
    def problem(self) -> str | None:
        """Why a changed file could not be taken over."""
        return self._followed.problem

    def check(self) -> xmlsec.KeysManager:
        """The key to encrypt for, now.

        :raises ConfigurationError: the recipient's certificate cannot be used now.
        """
        known = self._followed.current()
        try:
            self._authority.require(known.certificate, Purpose.ENCRYPTION)
        except PathInvalid as error:
            raise ConfigurationError("recipient-certificate", f"the recipient's certificate cannot be used: {error.code}") from error
        return known.keys

    def encrypt(self, envelope: etree._Element) -> bytes:
        """The message with its Body encrypted; changes ``envelope``. About 0.2 ms.

        :raises ConfigurationError: the recipient's certificate cannot be used now.
        :raises ValueError: the message has no Body with one element.
        """
        context = xmlsec.EncryptionContext(self.check())
        body = envelope.find(n.BODY)
        if body is None or len(body) != 1:
            raise ValueError("not a SOAP message that can be encrypted")
        context.key = xmlsec.Key.generate(xmlsec.constants.KeyDataAes, 256, xmlsec.constants.KeyDataTypeSession)
        context.encrypt_xml(etree.fromstring(_TEMPLATE), body)
        return etree.tostring(envelope, xml_declaration=True, encoding="UTF-8")


class DecryptionKey:
    """Our keys for messages that are encrypted for us: the one in use, its successor, and what was in use before.

    They follow the files of the certificate store: NAME.key, NAME.next.key, archive/NAME-*.key. A party that learned of our new certificate
    early, or late, is understood all the same.
    """

    def __init__(self, key: Path) -> None:
        """:raises ConfigurationError: unreadable, readable by others, or no RSA key of at least 3072 bits."""
        files = (key, key.with_name(f"{key.stem}.next.key"), key.parent / "archive")
        self._turn = threading.Lock()  # large messages are opened in threads, and xmlsec promises nothing of a manager that two use
        self._followed = Followed(files, lambda: _load_keys(key))

    @property
    def problem(self) -> str | None:
        """Why a changed file could not be taken over."""
        return self._followed.problem

    def decrypt(self, envelope: etree._Element) -> bytes:
        """The message as it was before it was encrypted; changes ``envelope``. It still has to be verified. About 1 ms.

        :raises MessageRefused: ``not-encrypted``, ``encryption-malformed``, ``encryption-forbidden`` or ``decryption-failed``.
        """
        body = envelope.find(n.BODY)
        if body is None or [each.tag for each in body] != [_DATA]:
            raise MessageRefused("not-encrypted")
        if len(list(envelope.iter(_DATA, _KEY))) != 2:
            raise MessageRefused("encryption-malformed", "more than one encrypted part")
        require_shape(body[0])
        with self._turn:
            known = self._followed.current()
            opened = self._opened(body[0], known) or ((now := self._followed.look()) is not known and self._opened(body[0], now))
        if opened:
            return etree.tostring(envelope, xml_declaration=True, encoding="UTF-8")
        raise MessageRefused("decryption-failed")

    @staticmethod
    def _opened(data: etree._Element, known: list[xmlsec.KeysManager]) -> bool:
        for keys in known:
            try:
                xmlsec.EncryptionContext(keys).decrypt(data)
            except (xmlsec.Error, ValueError, TypeError):
                continue  # which step failed is nobody's business
            return True
        return False


def require_shape(data: etree._Element) -> None:
    """EncryptedData is exactly of the profile's shape, algorithms and all.

    :raises MessageRefused: ``encryption-malformed`` or ``encryption-forbidden``.
    """
    names = [_METHOD, f"{{{n.DS}}}KeyInfo", _CIPHER]
    if [each.tag for each in data] != names or data.get("Type") != CONTENT or set(data.attrib) - {"Type", "Id"}:
        raise MessageRefused("encryption-malformed")
    method, key_info, cipher = data
    if method.get("Algorithm") != AES_256_GCM or len(method):
        raise MessageRefused("encryption-forbidden", "content encryption")
    if [each.tag for each in key_info] != [_KEY]:
        raise MessageRefused("encryption-malformed")
    key = key_info[0]
    if [each.tag for each in key] not in ([_METHOD, _CIPHER], [_METHOD, f"{{{n.DS}}}KeyInfo", _CIPHER]):
        raise MessageRefused("encryption-malformed")
    transport = {str(each.tag): each.get("Algorithm") for each in key[0]}
    if key[0].get("Algorithm") != RSA_OAEP or transport != {n.DIGEST_METHOD: n.SHA256, _MGF: MGF1_SHA256} or len(key[0]) != 2:
        raise MessageRefused("encryption-forbidden", "key transport")
    for each in (cipher, key[-1]):
        if [part.tag for part in each] != [_VALUE] or len(each[0]):
            raise MessageRefused("encryption-malformed", "the ciphertext must be in the message")


def _load_recipient(certificate: Path) -> _Known:
    try:
        leaf = load_certificates(certificate)[0]
    except CertificateError as error:
        raise ConfigurationError(error.code, error.safe_detail) from error
    key = leaf.public_key()
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size < RSA_BITS:
        raise ConfigurationError("encryption-key-unfit", f"messages are encrypted for RSA keys of at least {RSA_BITS} bits")
    keys = _manager(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return _Known(leaf.public_bytes(Encoding.DER), keys)


def _load_keys(key: Path) -> list[xmlsec.KeysManager]:
    following = key.with_name(f"{key.stem}.next.key")
    former = sorted((key.parent / "archive").glob(f"{key.stem}-*.key"), key=lambda each: each.stat().st_mtime_ns, reverse=True)
    serials = [each for each in former if _SERIAL.fullmatch(each.stem.removeprefix(f"{key.stem}-"))]
    return [_private(each) for each in (key, *([following] if following.exists() else []), *serials[:MOST_FORMER])]


def _private(key: Path) -> xmlsec.KeysManager:
    try:
        private = load_pem_private_key(read_private(key), None)
    except CertificateError as error:
        raise ConfigurationError(error.code, error.safe_detail) from error
    except (ValueError, TypeError) as error:
        raise ConfigurationError(
            "encryption-key-malformed", f"private key file {key.name} cannot be read as an unencrypted PEM key"
        ) from error
    if not isinstance(private, rsa.RSAPrivateKey) or private.key_size < RSA_BITS:
        raise ConfigurationError("encryption-key-unfit", f"messages are decrypted with RSA of at least {RSA_BITS} bits")
    return _manager(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def _manager(pem: bytes) -> xmlsec.KeysManager:
    # made once: taking a key over costs 10 ms
    manager = xmlsec.KeysManager()
    manager.add_key(xmlsec.Key.from_memory(pem, xmlsec.constants.KeyDataFormatPem))
    return manager
