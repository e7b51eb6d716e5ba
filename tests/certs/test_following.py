"""Files that change under a running program: new connections see them, old ones stay, and what is half written changes nothing."""

from __future__ import annotations

import datetime as dt
import ssl
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.x509 import load_pem_x509_certificates

from certs.authority import JUKI_NET, LGWAN, Profile, TestAuthority
from certs.errors import CertificateError, PathInvalid, PeerMismatch
from certs.path import PathCheck, Purpose, Revocation, WhenUnknown
from certs.peer import Authority, identity_of, require_peer
from certs.setup import ensure_networks
from certs.tls import FollowingContext, client_context, server_context
from tests.certs.conftest import Handshake

pytestmark = pytest.mark.invariant("I6")


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FollowingContext, "RECHECK_FILES_S", 0.0)
    monkeypatch.setattr(Authority, "RECHECK_FILES_S", 0.0)


def pair(authority: TestAuthority) -> tuple[FollowingContext, FollowingContext]:
    ours, theirs = authority.issue("gateway"), authority.issue("city-cs")
    return (
        client_context(ours.certificate, ours.key, authority.ca, authority.crl),
        server_context(theirs.certificate, theirs.key, authority.ca, authority.crl),
    )


def shown(end: ssl.SSLObject) -> str:
    der = end.getpeercert(True)
    assert der is not None
    return identity_of(der).fingerprint_sha256


def test_new_certificates_show_on_new_connections_of_both_ends(authority: TestAuthority, handshake: Handshake) -> None:
    client, server = pair(authority)
    first = handshake(client, server)
    before = [shown(end) for end in first]
    authority.issue("gateway")
    authority.issue("city-cs")
    second = handshake(client, server)
    after = [shown(end) for end in second]
    assert not set(before) & set(after)
    assert [shown(end) for end in first] == before, "a connection that is open stays what it is"
    assert (client.reloads, server.reloads) == (1, 1)
    handshake(client, server)
    assert (client.reloads, server.reloads) == (1, 1)


def test_a_revocation_counts_from_the_next_handshake_on(authority: TestAuthority, handshake: Handshake) -> None:
    client, server = pair(authority)
    handshake(client, server)
    authority.revoke("gateway")
    with pytest.raises(ssl.SSLCertVerificationError, match="revoked"):
        handshake(client, server)


def test_trusted_authorities_come_and_go(authority: TestAuthority, tmp_path: Path, handshake: Handshake) -> None:
    """The window in which two authorities are trusted, and its end: none of it needs a restart."""
    client, server = pair(authority)
    successor = TestAuthority(tmp_path / "successor")
    successor.create()
    files = successor.issue("city-cs")
    theirs = server_context(files.certificate, files.key, authority.ca, authority.crl)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(client, theirs)
    old_ca, old_crl = authority.ca.read_bytes(), authority.crl.read_bytes()
    authority.ca.write_bytes(old_ca + successor.ca.read_bytes())
    authority.crl.write_bytes(old_crl + successor.crl.read_bytes())
    handshake(client, theirs)
    handshake(client, server)
    authority.ca.write_bytes(successor.ca.read_bytes())
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(client, server)


def test_half_a_pair_changes_nothing_and_is_said(authority: TestAuthority, tmp_path: Path, handshake: Handshake) -> None:
    client, server = pair(authority)
    files, before = authority.files("city-cs"), shown(handshake(client, server)[0])
    new = TestAuthority(tmp_path / "x")
    new.create()
    key, certificate = files.key.read_bytes(), files.certificate.read_bytes()
    files.key.write_bytes(new.issue("other").key.read_bytes())
    assert shown(handshake(client, server)[0]) == before
    assert server.problem is not None
    assert "KEY_VALUES_MISMATCH" in server.problem
    assert "PRIVATE" not in server.problem
    files.key.write_bytes(key)
    files.certificate.write_bytes(b"")
    assert shown(handshake(client, server)[0]) == before
    files.certificate.unlink()
    assert shown(handshake(client, server)[0]) == before
    assert server.problem == "certificate file cannot be read (No such file or directory)"
    files.certificate.write_bytes(certificate)
    handshake(client, server)
    assert server.problem is None


def test_looking_is_cheap(authority: TestAuthority, handshake: Handshake, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check of a peer is on the way of every request: a peer seen before costs microseconds, not a path check."""
    _, end = handshake(*pair(authority))
    monkeypatch.setattr(Authority, "RECHECK_FILES_S", 1.0)
    trusted = Authority(authority.ca, authority.crl)
    require_peer(end, "gateway", trusted, Purpose.CLIENT)
    began = time.process_time()
    for _ in range(2000):
        require_peer(end, "gateway", trusted, Purpose.CLIENT)
    cached = (time.process_time() - began) / 2000
    der = end.getpeercert(True)
    assert der is not None
    began = time.process_time()
    for _ in range(20):
        trusted._good.clear()
        trusted.require(der, Purpose.CLIENT)
    assert cached * 10 < (time.process_time() - began) / 20
    assert cached < 50e-6


def test_unknown_is_refused_unless_the_policy_says_otherwise(authority: TestAuthority) -> None:
    now = dt.datetime.now(dt.UTC)
    leaf = load_pem_x509_certificates(authority.issue("gateway").certificate.read_bytes())[0]
    assert PathCheck(authority.ca, authority.crl).verify(leaf, Purpose.CLIENT).revocation is Revocation.GOOD
    authority.renew_crl(next_update=now - dt.timedelta(hours=1))
    with pytest.raises(PathInvalid, match="crl-expired"):
        PathCheck(authority.ca, authority.crl).verify(leaf, Purpose.CLIENT)
    lenient = PathCheck(authority.ca, authority.crl, unknown=WhenUnknown.ACCEPT)
    assert lenient.verify(leaf, Purpose.CLIENT).revocation is Revocation.UNKNOWN
    authority.revoke("gateway")
    authority.renew_crl(next_update=now - dt.timedelta(hours=1))
    with pytest.raises(PathInvalid, match="revoked"):
        PathCheck(authority.ca, authority.crl, unknown=WhenUnknown.ACCEPT).verify(leaf, Purpose.CLIENT)


def test_pins_hold_the_certificate_or_its_key(authority: TestAuthority, handshake: Handshake) -> None:
    client, _ = handshake(*pair(authority))
    trusted = Authority(authority.ca, authority.crl)
    identity = require_peer(client, "city-cs", trusted)
    for pin in (identity.fingerprint_sha256, identity.key_sha256):
        require_peer(client, "city-cs", trusted, pins=frozenset({pin, "0" * 64}))
    with pytest.raises(PeerMismatch, match="not-pinned"):
        require_peer(client, "city-cs", trusted, pins=frozenset({"0" * 64}))


def test_each_network_has_its_own_authority(tmp_path: Path, handshake: Handshake) -> None:
    """Juki-net, LGWAN and our own: what one issues is nothing in another; critical policies pass our check and OpenSSL's."""
    networks = ensure_networks(tmp_path)
    assert set(networks) == {"in-house", "juki-net", "lgwan", "applicants"}
    juki, lgwan = networks[JUKI_NET.name], networks[LGWAN.name]
    ours, theirs = juki.files("gateway-juki-net"), juki.files("city-cs")
    handshake(
        client_context(ours.certificate, ours.key, juki.ca, juki.crl), server_context(theirs.certificate, theirs.key, juki.ca, juki.crl)
    )
    chain = load_pem_x509_certificates(lgwan.files("intermediate-server").certificate.read_bytes())
    assert len(chain) == 3, "leaf, issuing, organisation: the root is not sent"
    verified = PathCheck(lgwan.ca, lgwan.crl).verify(chain[0], Purpose.SERVER)
    assert verified.issuer_sha256 == chain[1].fingerprint(hashes.SHA256()).hex()
    for other in (juki, networks["in-house"]):
        with pytest.raises(PathInvalid, match="issuer-unknown"):
            PathCheck(other.ca, other.crl).verify(chain[0], Purpose.SERVER)
    purposes = {
        "gateway-lgwan-signing": {Purpose.SIGNING},
        "gateway-lgwan-encryption": {Purpose.ENCRYPTION},
        "gateway-lgwan": {Purpose.CLIENT, Purpose.SERVER},
    }
    for name, fit in purposes.items():
        leaf = load_pem_x509_certificates(lgwan.files(name).certificate.read_bytes())[0]
        for purpose in Purpose:
            if purpose in fit:
                PathCheck(lgwan.ca, lgwan.crl).verify(leaf, purpose)
            else:
                with pytest.raises(PathInvalid, match="wrong-purpose"):
                    PathCheck(lgwan.ca, lgwan.crl).verify(leaf, purpose)


def test_a_request_is_answered_for_its_own_key_only(authority: TestAuthority) -> None:
    with pytest.raises(CertificateError, match="request-malformed"):
        authority.issue_for(b"nothing", Profile.CLIENT)
