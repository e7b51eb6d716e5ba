"""JWE on queues: exactly one pair of algorithms, held against joserfc and RFC 7518, every other header refused before a key is used."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jwe
from joserfc.jwk import ECKey

from gateway.errors import ConfigurationError, InputRefused
from gateway.security.jwe import ALGORITHM, ENCRYPTION, JweKeys, derive_key
from gateway.security.keys import KeyStore

TEXT = "架空 花子".encode()


@pytest.fixture
def ours(keys: KeyStore) -> JweKeys:
    return JweKeys(keys)


def encrypted(ours: JweKeys, text: bytes = TEXT, **header: object) -> str:
    jwk = ours.public_jwks()["keys"][0]
    protected = {"alg": ALGORITHM, "enc": ENCRYPTION, "kid": jwk["kid"], **header}
    return jwe.encrypt_compact(protected, text, ECKey.import_key(jwk), algorithms=[str(protected["alg"]), str(protected["enc"])])


def with_header(token: str, **changed: object) -> str:
    head, rest = token.split(".", 1)
    header = json.loads(base64.urlsafe_b64decode(head + "=="))
    header.update(changed)
    header = {name: value for name, value in header.items() if value is not None}
    return base64.urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=").decode() + "." + rest


def refused(ours: JweKeys, token: str | bytes) -> str:
    with pytest.raises(InputRefused) as caught:
        ours.decrypt(token)
    assert TEXT.decode() not in str(caught.value)
    return caught.value.code


def test_opens_what_another_implementation_made(ours: JweKeys) -> None:
    for size in (0, 1, 15, 16, 17, 4096):
        assert ours.decrypt(encrypted(ours, bytes(size)).encode()) == (bytes(size), ours.kids()[-1])
    assert ours.decrypt(encrypted(ours, apu="QWxpY2U", apv="Qm9i", typ="JOSE", cty="xml"))[0] == TEXT


def test_key_derivation_example_of_rfc_7518_appendix_c() -> None:
    secret = bytes.fromhex("9e56d91d817135d372834283bf84269cfb316ea3da806a48f6daa7798cfe90c4")
    derived = derive_key(secret, b"Alice", b"Bob", b"A128GCM", 128)
    assert base64.urlsafe_b64encode(derived) == b"VqqN6vgjbSBcIijNcacQGg=="


@pytest.mark.invariant("I10")
def test_every_other_header_is_refused_before_a_key_is_used(ours: JweKeys) -> None:
    token = encrypted(ours)
    other_curve = ECKey.generate_key("P-384").as_dict(private=False)
    assert refused(ours, with_header(token, alg="dir")) == "jwe-algorithm"
    assert refused(ours, with_header(token, alg="RSA1_5")) == "jwe-algorithm"
    assert refused(ours, with_header(token, alg=["ECDH-ES+A256KW"])) == "jwe-algorithm"
    assert refused(ours, with_header(token, enc="A128CBC-HS256")) == "jwe-algorithm"
    assert refused(ours, encrypted(ours, enc="A128GCM")) == "jwe-algorithm"
    for changed in ({"zip": "DEF"}, {"crit": ["exp"]}, {"jku": "https://evil.example"}, {"kid": 7}, {"kid": None}, {"epk": None}):
        assert refused(ours, with_header(token, **changed)) == "jwe-malformed"
    for epk in ("text", other_curve, {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}, {"kty": "oct", "k": "AA"}):
        assert refused(ours, with_header(token, epk=epk)) == "jwe-malformed"


@pytest.mark.invariant("I10")
def test_point_off_the_curve_is_refused(ours: JweKeys) -> None:
    coordinate = base64.urlsafe_b64encode(bytes(31) + b"\x05").rstrip(b"=").decode()
    token = with_header(encrypted(ours), epk={"kty": "EC", "crv": "P-256", "x": coordinate, "y": coordinate})
    assert refused(ours, token) == "jwe-malformed"


@pytest.mark.invariant("I10")
def test_malformed_and_altered(ours: JweKeys) -> None:
    token = encrypted(ours)
    head, key, iv, text, tag = token.split(".")
    plain = base64.urlsafe_b64decode(head + "==")
    duplicate = base64.urlsafe_b64encode(b'{"alg":"dir",' + plain[1:]).rstrip(b"=").decode()
    assert json.loads(b'{"alg":"dir",' + plain[1:]) == json.loads(plain), "a lax reader would see a good header"
    for broken in ("", "a.b.c", token + ".", f"{duplicate}.{key}.{iv}.{text}.{tag}", f"{head}.{key}.{iv}.{text}+.{tag}",
                   f"{head}.{key}.{iv}.{text}.{tag}=", f"{head}..{iv}.{text}.{tag}", f"{head}.{key}.AA.{text}.{tag}",
                   "A" * 5000 + f".{key}.{iv}.{text}.{tag}", f"{head}.{key}.{iv}.{text}\n.{tag}", "é" + token):  # fmt: skip
        assert refused(ours, broken) == "jwe-malformed"
    assert refused(ours, with_header(token, typ="added")) == "jwe-not-authentic"
    assert refused(ours, ".".join([head, key, iv, text, "A" * 22])) == "jwe-not-authentic"
    other = encrypted(ours).split(".")
    assert refused(ours, ".".join([head, other[1], iv, text, tag])) == "jwe-not-authentic"


def test_rotation_keeps_old_messages_readable_and_destruction_ends_it(ours: JweKeys) -> None:
    old = encrypted(ours)
    first = ours.kids()[-1]
    second = ours.rotate()
    assert [key["kid"] for key in ours.public_jwks()["keys"]] == [second, first], "the current one first"
    assert ours.decrypt(old) == (TEXT, first)
    assert ours.decrypt(encrypted(ours)) == (TEXT, second)
    ours.destroy(first)
    assert refused(ours, old) == "jwe-key-unknown"
    with pytest.raises(ConfigurationError, match="key-current"):
        ours.destroy(second)


def test_key_destroyed_by_another_process_opens_nothing_any_more(keys: KeyStore, ours: JweKeys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.security.keys.FOLLOW_S", 0.0)
    old = encrypted(ours)
    ours.decrypt(old)
    elsewhere = JweKeys(KeyStore(keys.directory))
    first = elsewhere.kids()[-1]
    elsewhere.rotate()
    elsewhere.destroy(first)
    assert refused(ours, old) == "jwe-key-unknown"


@pytest.mark.invariant("I5")
def test_public_set_holds_no_private_part(ours: JweKeys) -> None:
    assert set(ours.public_jwks()["keys"][0]) == {"kty", "crv", "use", "alg", "kid", "x", "y"}


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_any_bytes_are_refused_cleanly(data: bytes) -> None:
    with pytest.raises(InputRefused):
        JweKeys.decrypt(JweKeys.__new__(JweKeys), data)
