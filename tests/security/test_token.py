"""Keys in a PKCS#11 token (SoftHSM2): signing keys that never leave it, a session that is taken up again, a PIN that is tried once."""

from __future__ import annotations

import datetime as dt
import shutil
import traceback
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from gateway.errors import ConfigurationError
from gateway.security.signing import Algorithm, FileSigner, SignatureWrong, TokenSigner, algorithm_of, verify
from gateway.security.token import Token, TokenSettings, TokenUnavailable
from tests.support.token import PIN

TEXT = "<架空>signed by nobody real</架空>".encode()


def certificate(public: ec.EllipticCurvePublicKey | rsa.RSAPublicKey) -> x509.Certificate:
    """For a public key, signed by a throw-away authority: what counts here is the key in it."""
    authority = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fictitious signer")])
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(public).serial_number(1)
    return builder.not_valid_before(now).not_valid_after(now + dt.timedelta(days=1)).sign(authority, hashes.SHA256())


def key_in_token(token: Token, label: str, kind: str) -> x509.Certificate:
    from pkcs11 import Attribute, KeyType
    from pkcs11.util.ec import encode_ec_public_key, encode_named_curve_parameters
    from pkcs11.util.rsa import encode_rsa_public_key

    def make(session: object) -> bytes:
        if kind == "rsa":
            public, _ = session.generate_keypair(KeyType.RSA, 3072, label=label, store=True)  # type: ignore[attr-defined]
            return encode_rsa_public_key(public)
        curve = session.create_domain_parameters(  # type: ignore[attr-defined]
            KeyType.EC, {Attribute.EC_PARAMS: encode_named_curve_parameters("secp256r1")}, local=True
        )
        public, _ = curve.generate_keypair(label=label, store=True)
        return encode_ec_public_key(public)

    der = token.run(make)
    loaded = serialization.load_der_public_key(_spki(der) if kind == "rsa" else der)
    assert isinstance(loaded, ec.EllipticCurvePublicKey | rsa.RSAPublicKey)
    return certificate(loaded)


def _spki(pkcs1: bytes) -> bytes:
    from asn1crypto.keys import PublicKeyInfo, RSAPublicKey

    return bytes(PublicKeyInfo.wrap(RSAPublicKey.load(pkcs1), "rsa").dump())


@pytest.mark.thorough
@pytest.mark.control("C-2-2-9")
@pytest.mark.parametrize(("kind", "algorithm"), [("ec", Algorithm.ECDSA_P256_SHA256), ("rsa", Algorithm.RSA_SHA256)])
def test_signs_in_the_token(soft_token: Token, kind: str, algorithm: Algorithm) -> None:
    made = key_in_token(soft_token, f"signer-{kind}", kind)
    signer = TokenSigner(soft_token, f"signer-{kind}", made)
    assert signer.algorithm is algorithm
    signature = signer.sign(TEXT)
    verify(made, TEXT, signature)
    with pytest.raises(SignatureWrong):
        verify(made, TEXT + b" ", signature)


def test_token_and_file_sign_alike(soft_token: Token, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    made = certificate(key.public_key())
    pem, key_file = tmp_path / "a.pem", tmp_path / "a.key"
    pem.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.touch(mode=0o600)
    key_file.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    signer = FileSigner.load(pem, key_file)
    assert len(signer.sign(TEXT)) == 64
    verify(made, TEXT, signer.sign(TEXT))
    key_file.chmod(0o640)
    with pytest.raises(ConfigurationError, match="key-file-permissions"):
        FileSigner.load(pem, key_file)


def test_a_key_of_another_certificate_is_noticed_at_once(soft_token: Token) -> None:
    key_in_token(soft_token, "signer-other", "ec")
    foreign = ec.generate_private_key(ec.SECP256R1())
    with pytest.raises(ConfigurationError, match="signing-key-mismatch"):
        TokenSigner(soft_token, "signer-other", certificate(foreign.public_key()))
    with pytest.raises(ConfigurationError, match="signing-key-mismatch"):
        FileSigner(certificate(foreign.public_key()), ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(ConfigurationError, match="signing-key-missing"):
        TokenSigner(soft_token, "no-such-key", certificate(foreign.public_key()))


def test_weak_keys_do_not_sign() -> None:
    for key in (rsa.generate_private_key(65537, 1024), ec.generate_private_key(ec.SECP192R1())):
        with pytest.raises(ConfigurationError, match="signing-key-weak"):
            algorithm_of(certificate(key.public_key()))


def test_a_lost_session_is_taken_up_again(soft_token: Token, token_settings: TokenSettings) -> None:
    import pkcs11

    signer = TokenSigner(soft_token, "signer-lost", key_in_token(soft_token, "signer-lost", "ec"))
    opened = soft_token.opened
    pkcs11.lib(str(token_settings.library)).reinitialize()  # as after a restart of the HSM's service: every handle is void
    verify(signer.certificate, TEXT, signer.sign(TEXT))
    assert soft_token.opened > opened


def test_a_token_that_is_away_is_our_own_passing_fault_and_comes_back(
    soft_token: Token, token_settings: TokenSettings, tmp_path: Path
) -> None:
    import os

    import pkcs11

    signer = TokenSigner(soft_token, "signer-away", key_in_token(soft_token, "signer-away", "ec"))
    tokens = Path(os.environ["SOFTHSM2_CONF"]).parent / "tokens"
    shutil.move(tokens, tmp_path / "away")
    tokens.mkdir()
    library = pkcs11.lib(str(token_settings.library))
    library.reinitialize()
    with pytest.raises(TokenUnavailable) as caught:
        signer.sign(TEXT)
    assert caught.value.retry
    tokens.rmdir()
    shutil.move(tmp_path / "away", tokens)
    library.reinitialize()
    verify(signer.certificate, TEXT, signer.sign(TEXT))


def test_a_refused_pin_is_tried_once_and_never_shown(token_settings: TokenSettings) -> None:
    asked = []

    def wrong() -> str:
        asked.append(1)
        return "9999-wrong"

    token = Token(TokenSettings(library=token_settings.library, label=token_settings.label, pin=wrong))
    for _ in range(5):  # more often than a token allows
        with pytest.raises(ConfigurationError, match="token-pin") as caught:
            token.run(lambda session: None)
        assert "9999" not in "".join(traceback.format_exception(caught.value))
    right = Token(token_settings)
    assert right.run(lambda session: len(session.generate_random(64))) > 0
    right.close()
    assert PIN not in repr(token_settings)


def test_what_is_configured_wrongly_is_named(token_settings: TokenSettings, tmp_path: Path) -> None:
    with pytest.raises(TokenUnavailable, match="token-missing"):
        Token(TokenSettings(library=token_settings.library, label="no such token", pin=lambda: PIN)).run(lambda session: None)
    (tmp_path / "not-a-library.so").write_text("no")
    with pytest.raises(ConfigurationError, match="token-library"):
        Token(TokenSettings(library=tmp_path / "not-a-library.so", label="x", pin=lambda: PIN)).run(lambda session: None)
