"""Encrypted Bodies: opened by whom they are for and by nobody else, and nothing weaker is even tried (I5, C-M-6-8)."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import pytest
import xmlsec
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat, load_pem_private_key
from lxml import etree

from certs.authority import Profile
from certs.peer import Authority
from certs.setup import ensure
from gateway.errors import ConfigurationError
from gateway.security.keys import KeyStore
from gateway.security.soap.encryption import Recipient
from gateway.security.soap.keys import PartyCertificates
from gateway.security.soap.verifier import verify
from message_formats import samples
from simulators.intermediate.encryption import InquirerKey
from tests.security.soap.attacks import XENC
from tests.security.soap.kit import Leg, answer, encrypted_leg, parse

pytestmark = [pytest.mark.invariant("I5"), pytest.mark.control("C-M-6-8"), pytest.mark.thorough]


@pytest.fixture(scope="module")
def leg(tmp_path_factory: pytest.TempPathFactory) -> Leg:
    return encrypted_leg(ensure(tmp_path_factory.mktemp("leg") / "certs"))


def test_signed_then_encrypted_comes_out_as_it_was_signed(leg: Leg) -> None:
    data = leg.encrypted()
    assert b"SAMPLE" not in data
    signer = PartyCertificates(leg.authority.files("city-cs-signing").certificate, Authority(leg.authority.ca, leg.authority.crl))
    verified = verify(leg.key.decrypt(parse(data)), signer)
    assert b"SAMPLE" in etree.tostring(verified.envelope)
    assert leg.encrypted() != leg.encrypted(), "each message has a key of its own"


def test_in_clear_or_for_somebody_else(leg: Leg) -> None:
    assert leg.code(answer()) == "not-encrypted"
    other = leg.authority.issue("other-encryption", Profile.ENCRYPTION)
    recipient = Recipient(other.certificate, Authority(leg.authority.ca, leg.authority.crl))
    assert leg.code(recipient.encrypt(parse(answer()))) == "decryption-failed"


def test_nothing_is_encrypted_for_a_certificate_that_cannot_be_used(leg: Leg, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Authority, "RECHECK_FILES_S", 0.0)
    authority = Authority(leg.authority.ca, leg.authority.crl)
    short = leg.authority.issue("short", Profile.ENCRYPTION, rsa_bits=2048)
    for certificate in (short.certificate, leg.authority.files("gateway-signing").certificate):
        with pytest.raises(ConfigurationError, match="encryption-key-unfit"):
            Recipient(certificate, authority)
    for_signing = leg.authority.issue("rsa-signing", Profile.SIGNING, rsa_bits=3072)
    with pytest.raises(ConfigurationError, match="wrong-purpose"):
        Recipient(for_signing.certificate, authority).encrypt(parse(answer()))
    recipient = Recipient(leg.authority.issue("soon-revoked", Profile.ENCRYPTION).certificate, authority)
    recipient.encrypt(parse(answer()))
    leg.authority.revoke("soon-revoked")
    with pytest.raises(ConfigurationError, match="revoked"):
        recipient.encrypt(parse(answer()))


# ---- a provision passes by --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def inquirer() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 3072)


def provision_for(inquirer: rsa.RSAPrivateKey) -> bytes:
    public = inquirer.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return InquirerKey(public).encrypt(etree.tostring(parse(samples.message("provision-response").to_bytes())))


def _pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def opened(data: bytes, pem: bytes) -> bytes:
    """:raises xmlsec.Error: the key does not open it."""
    manager = xmlsec.KeysManager()
    manager.add_key(xmlsec.Key.from_memory(pem, xmlsec.constants.KeyDataFormatPem))
    return etree.tostring(xmlsec.EncryptionContext(manager).decrypt(parse(data)))


def test_the_gateway_cannot_open_a_captured_provision_with_any_key_that_it_holds(
    leg: Leg, inquirer: rsa.RSAPrivateKey, tmp_path: Path
) -> None:
    captured = provision_for(inquirer)
    clear = opened(captured, _pem(inquirer))
    assert b"ProvisionResponse" in clear
    assert b"ProvisionResponse" not in captured

    KeyStore(tmp_path / "keys").ensure()
    held = [*leg.authority.directory.rglob("*.key"), *(tmp_path / "keys").rglob("*.key")]
    tried = 0
    for file in held:
        secret = file.read_bytes()
        assert _pem(inquirer) != secret
        try:
            private = load_pem_private_key(secret, None)
        except ValueError:
            continue  # a symmetric key: nothing is wrapped by one
        tried += 1
        pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        with pytest.raises(xmlsec.Error):
            opened(captured, pem)
    assert tried >= 5
    assert any(file.name == "gateway-encryption.key" for file in held), "also the one that legs with encryption use"


def test_the_gateway_has_no_place_for_an_inquirer_s_key() -> None:
    """Neither a kind of key in its store nor a name in its certificates."""
    from certs.setup import NAMES as issued
    from gateway.security.keys import Kind

    assert not [each for each in (*issued, *(kind.value for kind in Kind)) if "inquir" in each]


@pytest.mark.slow
def test_the_program_openssl_gets_the_content_key_out_of_what_either_side_encrypts(
    leg: Leg, inquirer: rsa.RSAPrivateKey, tmp_path: Path
) -> None:
    """(Debian's xmlsec1 1.2 does not know RSA-OAEP of XML Encryption 1.1.)"""
    ours = leg.authority.files("gateway-encryption").key.read_bytes()
    for name, data, pem in (("theirs", provision_for(inquirer), _pem(inquirer)), ("ours", leg.encrypted(), ours)):
        key, wrapped = tmp_path / f"{name}.pem", tmp_path / f"{name}.bin"
        key.write_bytes(pem)
        values = [base64.b64decode(each.text or "") for each in parse(data).iter(f"{{{XENC}}}CipherValue")]
        wrapped.write_bytes(values[0])
        options = ("rsa_padding_mode:oaep", "rsa_oaep_md:sha256", "rsa_mgf1_md:sha256")
        command = ["openssl", "pkeyutl", "-decrypt", "-inkey", str(key), "-in", str(wrapped)]
        found = subprocess.run([*command, *(a for o in options for a in ("-pkeyopt", o))], capture_output=True, timeout=30, check=True)
        assert len(found.stdout) == 32
        assert AESGCM(found.stdout).decrypt(values[1][:12], values[1][12:], None).startswith((b"<ProvisionResponse", b"<j:Update"))
