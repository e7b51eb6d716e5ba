"""TLS contexts and the identity of the peer: that party, from that authority, now; asked again for every request (I6)."""

from __future__ import annotations

import datetime as dt
import ssl
from pathlib import Path

import pytest

from certs.authority import Profile, TestAuthority
from certs.errors import CertificateError, KeyFileUnsafe, PeerMismatch
from certs.path import Purpose
from certs.peer import Authority, identity_of, peer_name, require_peer
from certs.tls import client_context, server_context
from tests.certs.conftest import Handshake

pytestmark = pytest.mark.invariant("I6")


def contexts(
    authority: TestAuthority, client: str = "gateway", server: str = "city-cs", **options: object
) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    for name in {client, server}:
        if not authority.files(name).certificate.exists():
            authority.issue(name, Profile.PEER)
    ours, theirs = authority.files(client), authority.files(server)
    return (
        client_context(ours.certificate, ours.key, authority.ca, authority.crl, **options),  # type: ignore[arg-type]
        server_context(theirs.certificate, theirs.key, authority.ca, authority.crl, **options),  # type: ignore[arg-type]
    )


def test_both_ends_know_each_other(authority: TestAuthority, handshake: Handshake) -> None:
    client, server = handshake(*contexts(authority))
    assert client.version() == "TLSv1.3"
    identity = peer_name(client)
    assert (identity.common_name, identity.sans) == ("city-cs", ("city-cs",))
    assert peer_name(server).is_named("gateway")
    trusted = Authority(authority.ca, authority.crl)
    assert require_peer(client, "city-cs", trusted).fingerprint_sha256 == identity.fingerprint_sha256
    assert require_peer(server, "gateway", trusted, Purpose.CLIENT).common_name == "gateway"


def test_right_authority_but_another_party_is_refused(authority: TestAuthority, handshake: Handshake) -> None:
    client, server = handshake(*contexts(authority, client="operator-a"))
    with pytest.raises(PeerMismatch, match="wrong-peer"):
        require_peer(server, "resident-record-system", Authority(authority.ca, authority.crl), Purpose.CLIENT)
    with pytest.raises(PeerMismatch, match="wrong-peer"):
        require_peer(client, "city-c", Authority(authority.ca, authority.crl))


@pytest.mark.parametrize("alias", ["*", "*.city-cs", "city-cs.evil.example", "CITY-CS ", ""])
def test_nothing_but_the_exact_name_is_the_name(authority: TestAuthority, alias: str) -> None:
    authority.issue("wild", Profile.SERVER, dns=["*.city.example"])
    der = ssl.PEM_cert_to_DER_cert(
        authority.files("wild").certificate.read_text().split("-----END CERTIFICATE-----")[0] + "-----END CERTIFICATE-----"
    )
    identity = identity_of(der)
    assert not identity.is_named(alias)
    assert not identity.is_named("cs.city.example")
    assert not identity.is_named("*.city.example")
    assert identity.is_named("wild")
    assert identity.is_named("CN=wild")
    assert not identity.is_named("CN=*.city.example")


def test_client_refuses_server_by_name_in_the_handshake(authority: TestAuthority, handshake: Handshake) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        handshake(*contexts(authority), "prefecture")


def test_no_certificate_foreign_authority_and_revoked_client_are_refused_in_the_handshake(
    authority: TestAuthority, tmp_path: Path, handshake: Handshake
) -> None:
    foreign = TestAuthority(tmp_path / "foreign")
    foreign.create()
    _, server = contexts(authority)
    bare = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    bare.load_verify_locations(authority.ca)
    with pytest.raises(ssl.SSLError, match="PEER_DID_NOT_RETURN_A_CERTIFICATE"):
        handshake(bare, server)
    stranger = foreign.issue("gateway", Profile.CLIENT)
    with pytest.raises(ssl.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        handshake(client_context(stranger.certificate, stranger.key, authority.ca), server)
    client, _ = contexts(authority)
    authority.revoke("gateway")
    theirs = authority.files("city-cs")
    fresh = server_context(theirs.certificate, theirs.key, authority.ca, authority.crl)
    with pytest.raises(ssl.SSLError, match="revoked"):
        handshake(client, fresh)


def test_a_certificate_for_servers_does_not_pass_as_client(authority: TestAuthority, handshake: Handshake) -> None:
    authority.issue("gateway", Profile.SERVER)
    with pytest.raises(ssl.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        handshake(*contexts(authority))


def test_revoked_on_a_living_connection_is_refused_at_the_next_request(
    authority: TestAuthority, handshake: Handshake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Authority, "RECHECK_FILES_S", 0.0)
    _, server = handshake(*contexts(authority))
    trusted = Authority(authority.ca, authority.crl)
    require_peer(server, "gateway", trusted, Purpose.CLIENT)
    authority.revoke("gateway")
    with pytest.raises(PeerMismatch, match="revoked"):
        require_peer(server, "gateway", trusted, Purpose.CLIENT)


def test_expiry_on_a_living_connection_is_refused(authority: TestAuthority, handshake: Handshake, monkeypatch: pytest.MonkeyPatch) -> None:
    _, server = handshake(*contexts(authority))
    trusted = Authority(authority.ca, authority.crl)
    require_peer(server, "gateway", trusted, Purpose.CLIENT)
    later = dt.datetime.now(dt.UTC) + dt.timedelta(days=400)
    monkeypatch.setattr("certs.peer.time.time", later.timestamp)
    verify = trusted._path.verify
    monkeypatch.setattr(trusted._path, "verify", lambda certificate, purpose, chain: verify(certificate, purpose, now=later))
    with pytest.raises(PeerMismatch, match="expired"):
        require_peer(server, "gateway", trusted, Purpose.CLIENT)


def test_a_broken_list_on_disk_keeps_the_old_one_in_force_and_says_so(
    authority: TestAuthority, handshake: Handshake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Authority, "RECHECK_FILES_S", 0.0)
    _, server = handshake(*contexts(authority))
    trusted = Authority(authority.ca, authority.crl)
    good = authority.crl.read_bytes()
    authority.crl.write_bytes(b"half-writ")
    require_peer(server, "gateway", trusted, Purpose.CLIENT)
    assert trusted.problem is not None
    assert "ca.crl" in trusted.problem
    authority.crl.write_bytes(good)
    require_peer(server, "gateway", trusted, Purpose.CLIENT)
    assert trusted.problem is None


def test_other_issuer_under_the_same_root_is_refused(authority: TestAuthority, handshake: Handshake) -> None:
    client, _ = handshake(*contexts(authority))
    with pytest.raises(PeerMismatch, match="wrong-issuer"):
        require_peer(client, "city-cs", Authority(authority.ca, authority.crl, issuer_sha256="00" * 32))


def test_no_session_is_resumed(authority: TestAuthority, handshake: Handshake) -> None:
    ours, theirs = contexts(authority)
    client, _ = handshake(ours, theirs)
    assert client.session is None or not client.session.has_ticket
    again, _ = handshake(ours, theirs, session=client.session)
    assert not again.session_reused


def test_tls_12_only_where_asked_and_only_with_ecdhe_and_gcm(authority: TestAuthority, handshake: Handshake) -> None:
    ours, theirs = contexts(authority, minimum=ssl.TLSVersion.TLSv1_2)
    ours.maximum_version = ssl.TLSVersion.TLSv1_2
    client, _ = handshake(ours, theirs)
    assert client.version() == "TLSv1.2"
    suites = [suite["name"] for suite in ours.get_ciphers() if suite["protocol"] == "TLSv1.2"]
    assert suites
    assert all(suite.startswith("ECDHE-") and "GCM" in suite for suite in suites)
    _, strict = contexts(authority)
    with pytest.raises(ssl.SSLError, match=r"UNSUPPORTED_PROTOCOL|PROTOCOL_VERSION"):
        handshake(ours, strict)
    with pytest.raises(CertificateError, match="tls-version"):
        contexts(authority, minimum=ssl.TLSVersion.TLSv1_1)


def test_key_that_others_may_read_is_refused_without_showing_it(authority: TestAuthority) -> None:
    files = authority.issue("gateway")
    files.key.chmod(0o640)
    with pytest.raises(KeyFileUnsafe, match=r"mode 0640.*chmod 600 gateway\.key"):
        client_context(files.certificate, files.key, authority.ca)
    with pytest.raises(KeyFileUnsafe, match="key-file-missing"):
        client_context(files.certificate, files.key.with_name("absent.key"), authority.ca)


def test_certificate_and_key_that_do_not_belong_together(authority: TestAuthority) -> None:
    one, two = authority.issue("one"), authority.issue("two")
    with pytest.raises(CertificateError, match="KEY_VALUES_MISMATCH"):
        client_context(one.certificate, two.key, authority.ca)


def test_no_tls_is_no_peer() -> None:
    with pytest.raises(PeerMismatch, match="no-peer-certificate"):
        peer_name(None)
