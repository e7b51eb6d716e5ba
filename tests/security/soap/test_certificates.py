"""The signer's certificate: the configured one, valid now, fit for signing, not revoked; a change takes effect without a restart (I6)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pytest

from certs.authority import Profile, TestAuthority
from certs.peer import Authority
from gateway.errors import ConfigurationError
from gateway.security.soap import keys as keys_module
from gateway.security.soap.errors import MessageRefused
from gateway.security.soap.keys import OwnKey, PartyCertificates, load_signing_key
from gateway.security.soap.verifier import verify
from simulators.signatures import SignatureRefused, Signatures
from tests.security.soap.kit import answer, parse, request, signed, signer_of

pytestmark = [pytest.mark.invariant("I6"), pytest.mark.thorough]
NAME = "city-cs-signing"


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TestAuthority:
    monkeypatch.setattr(keys_module, "FOLLOW_S", 0.0)
    monkeypatch.setattr(Authority, "RECHECK_FILES_S", 0.0)
    made = TestAuthority(tmp_path / "certs")
    made.create()
    return made


def both(authority: TestAuthority, folder: Path) -> tuple[Callable[[], str | None], Callable[[], str | None]]:
    """What gateway and party say of a message signed with the certificate NAME as it is now."""
    file, authorities = authority.files(NAME).certificate, Authority(authority.ca, authority.crl)
    certificates = PartyCertificates(file, authorities)
    own = authority.issue("own-signing", Profile.SIGNING)
    party = Signatures(certificate=own.certificate, key=own.key, caller=file, authority=authorities, seen=folder / "seen")

    def gateway_says() -> str | None:
        try:
            verify(signed(answer(), signer_of(authority, NAME)), certificates)
        except MessageRefused as refused:
            return refused.safe_detail.rpartition(": ")[2] if refused.code == "signer-certificate" else refused.code
        return None

    def party_says() -> str | None:
        try:
            party.verify(parse(signed(request(), signer_of(authority, NAME))))
        except SignatureRefused as refused:
            return refused.code
        return None

    return gateway_says, party_says


def test_revoked_from_one_message_to_the_next(authority: TestAuthority, tmp_path: Path) -> None:
    authority.issue(NAME, Profile.SIGNING)
    gateway_says, party_says = both(authority, tmp_path)
    assert (gateway_says(), party_says()) == (None, None)
    authority.revoke(NAME)
    assert (gateway_says(), party_says()) == ("revoked", "signer-certificate")


@pytest.mark.parametrize(("begins", "ends", "code"), [(-10, -1, "expired"), (1, 10, "not-yet-valid")], ids=["expired", "not yet valid"])
def test_out_of_date(authority: TestAuthority, tmp_path: Path, begins: int, ends: int, code: str) -> None:
    now = dt.datetime.now(dt.UTC)
    authority.issue(NAME, Profile.SIGNING, not_before=now + dt.timedelta(days=begins), not_after=now + dt.timedelta(days=ends))
    gateway_says, party_says = both(authority, tmp_path)
    assert (gateway_says(), party_says()) == (code, "signer-certificate")


@pytest.mark.parametrize("profile", [Profile.PEER, Profile.CLIENT, Profile.SERVER])
def test_a_certificate_for_tls_signs_no_message(authority: TestAuthority, tmp_path: Path, profile: Profile) -> None:
    authority.issue(NAME, profile)
    gateway_says, party_says = both(authority, tmp_path)
    assert (gateway_says(), party_says()) == ("wrong-purpose", "signer-certificate")


def test_of_another_authority(authority: TestAuthority, tmp_path: Path) -> None:
    other = TestAuthority(tmp_path / "other")
    other.create()
    foreign = other.issue(NAME, Profile.SIGNING)
    own = authority.issue(NAME, Profile.SIGNING)
    own.certificate.write_bytes(foreign.certificate.read_bytes())
    own.key.write_bytes(foreign.key.read_bytes())
    gateway_says, party_says = both(authority, tmp_path)
    assert (gateway_says(), party_says()) == ("issuer-unknown", "signer-certificate")


def test_rsa_of_3072_bits_where_a_party_needs_it(authority: TestAuthority, tmp_path: Path) -> None:
    authority.issue(NAME, Profile.SIGNING, rsa_bits=3072)
    gateway_says, party_says = both(authority, tmp_path)
    assert (gateway_says(), party_says()) == (None, None)


def test_weaker_keys_are_refused_where_they_are_configured(authority: TestAuthority) -> None:
    files = authority.issue(NAME, Profile.SIGNING, rsa_bits=2048)
    with pytest.raises(ConfigurationError, match="signing-key-unfit"):
        PartyCertificates(files.certificate, Authority(authority.ca, authority.crl))
    with pytest.raises(ConfigurationError, match="signing-key-unfit"):
        load_signing_key(files.certificate, files.key)


def test_two_certificates_for_the_time_of_a_change(authority: TestAuthority) -> None:
    old = authority.issue(NAME, Profile.SIGNING)
    signer, pem = signer_of(authority, NAME), old.certificate.read_bytes()
    certificates = PartyCertificates(old.certificate, Authority(authority.ca, authority.crl))
    new = authority.issue(NAME, Profile.SIGNING)
    successor = signer_of(authority, NAME)
    with pytest.raises(MessageRefused, match="signer-unknown"):
        verify(signed(answer(), signer), certificates)
    new.certificate.write_bytes(new.certificate.read_bytes() + pem)
    for each in (signer, successor):
        verify(signed(answer(), each), certificates)
    new.certificate.write_bytes(b"half a fi")
    verify(signed(answer(), signer), certificates)
    assert certificates.problem is not None


def test_our_own_key_changes_without_a_restart_and_only_with_its_certificate(authority: TestAuthority) -> None:
    files = authority.issue("gateway-signing", Profile.SIGNING)
    own = OwnKey(files.certificate, files.key)
    first = own.current().token
    authority.issue("gateway-signing", Profile.SIGNING)
    second = own.current().token
    assert second != first
    files.key.write_bytes(authority.issue("another", Profile.SIGNING).key.read_bytes())
    assert own.current().token == second
    assert own.problem is not None
    assert "does not belong" in own.problem
    files.key.chmod(0o644)
    with pytest.raises(ConfigurationError, match="key-file-permissions"):
        OwnKey(files.certificate, files.key)
