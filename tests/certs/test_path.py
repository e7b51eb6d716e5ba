"""The path check refuses each kind of bad certificate with its own code, and agrees with openssl on the good ones."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa

from certs.authority import Profile, TestAuthority
from certs.errors import CertificateError, PathInvalid
from certs.path import PathCheck, Purpose, load_certificates

NOW = dt.datetime.now(dt.UTC)
DAY = dt.timedelta(days=1)


def leaf(authority: TestAuthority, name: str) -> x509.Certificate:
    return load_certificates(authority.files(name).certificate)[0]


def refused(check: PathCheck, certificate: x509.Certificate, purpose: Purpose = Purpose.SERVER) -> str:
    with pytest.raises(PathInvalid) as caught:
        check.verify(certificate, purpose)
    return caught.value.code


@pytest.mark.invariant("I6")
def test_good_certificate_passes_and_says_until_when(authority: TestAuthority) -> None:
    authority.issue("city-cs", Profile.SERVER)
    verified = PathCheck(authority.ca, authority.crl).verify(leaf(authority, "city-cs"), Purpose.SERVER)
    assert NOW + 29 * DAY < verified.until < NOW + 31 * DAY, "the revocation list ends first"
    issuing = load_certificates(authority.ca)[0]
    assert verified.issuer_sha256 == issuing.fingerprint(hashes.SHA256()).hex()


@pytest.mark.invariant("I6")
def test_each_bad_certificate_has_its_own_code(authority: TestAuthority, tmp_path: Path) -> None:
    foreign = TestAuthority(tmp_path / "foreign")
    foreign.create()
    foreign.issue("city-cs", Profile.SERVER)
    authority.issue("expired", Profile.SERVER, not_before=NOW - 9 * DAY, not_after=NOW - DAY)
    authority.issue("early", Profile.SERVER, not_before=NOW + DAY)
    authority.issue("revoked", Profile.SERVER)
    authority.revoke("revoked")
    authority.issue("client-only", Profile.CLIENT)
    check = PathCheck(authority.ca, authority.crl)
    assert refused(check, leaf(foreign, "city-cs")) == "issuer-unknown"
    assert refused(check, leaf(authority, "expired")) == "expired"
    assert refused(check, leaf(authority, "early")) == "not-yet-valid"
    assert refused(check, leaf(authority, "revoked")) == "revoked"
    assert refused(check, leaf(authority, "client-only")) == "wrong-purpose"
    assert refused(check, load_certificates(authority.ca)[1]) == "wrong-purpose", "a root is nobody's server"


@pytest.mark.invariant("I6")
def test_stale_or_missing_revocation_list_is_not_good(authority: TestAuthority, tmp_path: Path) -> None:
    authority.issue("city-cs", Profile.SERVER)
    authority.renew_crl(next_update=NOW - DAY)
    assert refused(PathCheck(authority.ca, authority.crl), leaf(authority, "city-cs")) == "crl-expired"
    authority.renew_crl()
    end = b"-----END X509 CRL-----\n"
    for place in (0, 1):  # the issuing authority's list alone covers the leaf, but not the issuing authority itself
        one = tmp_path / f"{place}.crl"
        one.write_bytes(authority.crl.read_bytes().split(end)[place] + end)
        assert refused(PathCheck(authority.ca, one), leaf(authority, "city-cs")) == "crl-missing"


@pytest.mark.invariant("I6")
def test_weak_key_and_self_signed_are_refused(authority: TestAuthority) -> None:
    def self_signed(key: rsa.RSAPrivateKey) -> x509.Certificate:
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "city-cs")])
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        builder = builder.serial_number(1).not_valid_before(NOW - DAY).not_valid_after(NOW + DAY)
        usage = x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.SERVER_AUTH])
        return builder.add_extension(usage, critical=False).sign(key, hashes.SHA256())

    check = PathCheck(authority.ca, authority.crl)
    assert refused(check, self_signed(rsa.generate_private_key(65537, 1024))) == "weak-key"
    # strict checks may object to the missing key identifiers before they reach the trust question; either way it is refused
    assert refused(check, self_signed(rsa.generate_private_key(65537, 2048))) in {"self-signed", "path-invalid"}


def test_files_that_hold_nothing_usable_are_named(authority: TestAuthority, tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing")
    for build in (lambda: PathCheck(empty), lambda: PathCheck(authority.ca, empty), lambda: PathCheck(tmp_path / "absent.pem")):
        with pytest.raises(CertificateError, match=r"empty\.pem|absent\.pem"):
            build()
    authority.issue("x")
    only_leaf = tmp_path / "leaf.pem"
    only_leaf.write_bytes(authority.files("x").certificate.read_bytes())
    with pytest.raises(CertificateError, match="no-root"):
        PathCheck(only_leaf)
