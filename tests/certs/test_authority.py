"""The test authority makes what a strict verifier of somebody else accepts, and keeps its keys to itself."""

from __future__ import annotations

import datetime as dt
import stat
import subprocess
from pathlib import Path

import pytest
from cryptography import x509

from certs.__main__ import main
from certs.authority import Profile, TestAuthority
from certs.errors import CertificateError
from certs.path import load_certificates
from certs.setup import NAMES, ensure


def openssl_verify(authority: TestAuthority, name: str, purpose: str) -> subprocess.CompletedProcess[str]:
    files = authority.files(name)
    command = ["openssl", "verify", "-x509_strict", "-crl_check_all", "-CRLfile", str(authority.crl), "-CAfile", str(authority.ca)]
    return subprocess.run([*command, "-purpose", purpose, str(files.certificate)], capture_output=True, text=True, check=False)


@pytest.mark.invariant("I6")
def test_openssl_accepts_each_profile_for_its_purpose_only(authority: TestAuthority) -> None:
    for profile in Profile:
        authority.issue(profile.value, profile)
    accepted = {(name, purpose) for name in ("server", "client", "peer") for purpose in ("sslserver", "sslclient")}
    accepted = {each for each in accepted if openssl_verify(authority, *each).returncode == 0}
    assert accepted == {("server", "sslserver"), ("client", "sslclient"), ("peer", "sslserver"), ("peer", "sslclient")}


@pytest.mark.invariant("I6")
def test_openssl_refuses_what_was_revoked(authority: TestAuthority) -> None:
    authority.issue("city-cs", Profile.SERVER)
    assert openssl_verify(authority, "city-cs", "sslserver").returncode == 0
    authority.revoke("city-cs")
    assert "certificate revoked" in openssl_verify(authority, "city-cs", "sslserver").stderr


def test_a_name_never_issued_cannot_be_revoked(authority: TestAuthority) -> None:
    with pytest.raises(CertificateError, match="not-issued"):
        authority.revoke("nobody")


@pytest.mark.invariant("I5")
def test_every_private_key_is_for_its_owner_alone(tmp_path: Path) -> None:
    ensure(tmp_path / "certs")
    keys = list((tmp_path / "certs").rglob("*.key"))
    assert len(keys) == len(NAMES) + 2
    assert {stat.S_IMODE(key.stat().st_mode) for key in keys} == {0o600}
    assert stat.S_IMODE((tmp_path / "certs" / "authority").stat().st_mode) == 0o700


def test_ensure_makes_every_name_once_and_renews_what_is_about_to_expire(tmp_path: Path) -> None:
    authority = ensure(tmp_path)
    first = {name: authority.files(name).certificate.read_bytes() for name in NAMES}
    authority.issue("gateway", Profile.PEER, not_after=dt.datetime.now(dt.UTC) + dt.timedelta(days=3))
    ensure(tmp_path)
    second = {name: authority.files(name).certificate.read_bytes() for name in NAMES}
    assert {name for name in NAMES if first[name] != second[name]} == {"gateway"}
    certificate = load_certificates(authority.files("gateway").certificate)[0]
    assert certificate.not_valid_after_utc - dt.datetime.now(dt.UTC) > dt.timedelta(days=300)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["gateway", "localhost"]


def test_ensure_publishes_a_fresh_revocation_list_before_the_old_one_ends(tmp_path: Path) -> None:
    authority = ensure(tmp_path)
    authority.renew_crl(next_update=dt.datetime.now(dt.UTC) + dt.timedelta(days=1))
    stale = authority.crl.read_bytes()
    ensure(tmp_path)
    assert authority.crl.read_bytes() != stale


def test_command_makes_and_lists(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", str(tmp_path / "new")]) == 0
    assert main(["list", str(tmp_path / "new")]) == 0
    assert capsys.readouterr().out.count("city-cs ") == 2
