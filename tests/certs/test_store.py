"""Certificates of real authorities: request, answer in whatever form, chain repair, the window with two, lists and roots."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, load_pem_private_key, pkcs7, pkcs12

from certs.authority import LGWAN, Profile, TestAuthority
from certs.errors import CertificateError
from certs.path import PathCheck, load_certificates, load_crls
from certs.store import CertificateStore, chain_of, take_authorities, take_list

pytestmark = pytest.mark.invariant("I6")


@pytest.fixture
def far(tmp_path: Path) -> TestAuthority:
    """The authority of another network, somewhere else, with two levels between leaf and root."""
    made = TestAuthority(tmp_path / "far", LGWAN)
    made.create()
    return made


@pytest.fixture
def store(tmp_path: Path) -> CertificateStore:
    return CertificateStore(tmp_path / "here")


def trust(far: TestAuthority) -> PathCheck:
    return PathCheck(far.ca, far.crl)


def answer(store: CertificateStore, far: TestAuthority, name: str = "gateway-lgwan") -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(far.issue_for((store.directory / f"{name}.csr").read_bytes(), Profile.CLIENT))


@pytest.mark.parametrize("form", ["pem", "pem, leaf only", "der", "shuffled", "pkcs7 pem", "pkcs7 der"])
def test_an_answer_is_taken_in_whatever_form_it_comes(form: str, store: CertificateStore, far: TestAuthority) -> None:
    request = store.request("gateway-lgwan", organisation="Fictitious City", dns=["gw.city.example"], ips=["192.0.2.1"], uri="urn:x:gw")
    assert (store.directory / "gateway-lgwan.new.key").stat().st_mode & 0o777 == 0o600
    assert b"PRIVATE" not in request.read_bytes()
    chain = answer(store, far)
    pem = [each.public_bytes(Encoding.PEM) for each in chain]
    root = load_certificates(far.ca)[-1].public_bytes(Encoding.PEM)
    given = {
        "pem": [b"".join(pem)],
        "pem, leaf only": [pem[0]],
        "der": [each.public_bytes(Encoding.DER) for each in chain[:1]],
        "shuffled": [root, pem[2], pem[0]],
        "pkcs7 pem": [pkcs7.serialize_certificates(chain, Encoding.PEM)],
        "pkcs7 der": [pkcs7.serialize_certificates(chain, Encoding.DER)],
    }[form]
    entry = store.take("gateway-lgwan", given, trust(far), load_certificates(far.ca))
    assert (entry.state, entry.identity.sans) == ("in-use", ("gw.city.example", "urn:x:gw"))
    assert load_certificates(store.directory / "gateway-lgwan.pem") == chain, "leaf first, then its issuers, without the root"
    assert (store.directory / "gateway-lgwan.key").stat().st_mode & 0o777 == 0o600
    assert store.pending() == []
    assert [each.name for each in store.entries()] == ["gateway-lgwan"]


def test_pkcs12_brings_its_own_key(store: CertificateStore, far: TestAuthority, tmp_path: Path) -> None:
    store.directory.mkdir()
    files = far.issue("someone", Profile.CLIENT)
    chain = load_certificates(files.certificate)
    key = load_pem_private_key(files.key.read_bytes(), None)
    secret = b"fictitious-pass"
    packed = pkcs12.serialize_key_and_certificates(b"someone", key, chain[0], chain[1:], BestAvailableEncryption(secret))  # type: ignore[arg-type]
    with pytest.raises(CertificateError, match="answer-unreadable") as caught:
        store.take("someone", [packed], trust(far), password=b"wrong")
    assert "wrong" not in str(caught.value)
    store.take("someone", [packed], trust(far), password=secret)
    assert load_certificates(store.directory / "someone.pem") == chain


def test_what_does_not_fit_changes_nothing(store: CertificateStore, far: TestAuthority, tmp_path: Path) -> None:
    store.request("gateway-lgwan")
    strange = load_certificates(far.issue("other", Profile.CLIENT).certificate)[0].public_bytes(Encoding.PEM)
    with pytest.raises(CertificateError, match="no-certificate-for-key"):
        store.take("gateway-lgwan", [strange], trust(far))
    elsewhere = TestAuthority(tmp_path / "elsewhere")
    elsewhere.create()
    with pytest.raises(CertificateError, match="issuer-unknown"):
        store.take("gateway-lgwan", [elsewhere.issue_for((store.directory / "gateway-lgwan.csr").read_bytes(), "client")], trust(far))
    with pytest.raises(CertificateError, match="request-pending"):
        store.request("gateway-lgwan")
    assert not (store.directory / "gateway-lgwan.pem").exists()
    assert store.pending() == ["gateway-lgwan"]


def test_a_renewal_asks_for_the_same_names_and_the_window_keeps_both(store: CertificateStore, far: TestAuthority) -> None:
    store.request("gateway-lgwan", organisation="Fictitious City", dns=["gw.city.example"])
    first = store.take("gateway-lgwan", [answer(store, far)[0].public_bytes(Encoding.PEM)], trust(far), load_certificates(far.ca))
    asked = x509.load_pem_x509_csr(store.request("gateway-lgwan").read_bytes())
    assert asked.subject == load_certificates(store.directory / "gateway-lgwan.pem")[0].subject
    assert asked.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName) == [
        "gw.city.example"
    ]
    store.take("gateway-lgwan", [answer(store, far)[0].public_bytes(Encoding.PEM)], trust(far), load_certificates(far.ca), later=True)
    assert [(each.name, each.state) for each in store.entries()] == [("gateway-lgwan", "next"), ("gateway-lgwan", "in-use")]
    store.switch("gateway-lgwan")
    (now,) = store.entries()
    assert now.identity.fingerprint_sha256 != first.identity.fingerprint_sha256
    (old,) = (store.directory / "archive").glob("*.key")
    assert old.name == f"gateway-lgwan-{first.identity.serial}.key"
    assert old.stat().st_mode & 0o777 == 0o600
    with pytest.raises(CertificateError, match="nothing-next"):
        store.switch("gateway-lgwan")


def test_kinds_of_key(store: CertificateStore) -> None:
    asked = x509.load_pem_x509_csr(store.request("one", key_type="rsa-3072").read_bytes())
    key = asked.public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    assert key.key_size == 3072
    with pytest.raises(CertificateError, match="key-type"):
        store.request("two", key_type="rsa-1024")


def test_lists_are_taken_if_a_trusted_authority_signed_them_and_they_are_newer(far: TestAuthority, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.crl"
    old = far.crl.read_bytes()
    assert take_list(bundle, far.ca, old) == 3
    far.issue("someone", Profile.CLIENT)
    far.renew_crl(next_update=dt.datetime.now(dt.UTC) + dt.timedelta(days=90))
    assert take_list(bundle, far.ca, old) == 0
    stranger = TestAuthority(tmp_path / "stranger", LGWAN)
    stranger.create()
    before = bundle.read_bytes()
    for wrong, code in ((stranger.crl.read_bytes(), "crl-signature-invalid"), (b"nothing", "crl-file-malformed")):
        with pytest.raises(CertificateError, match=code):
            take_list(bundle, far.ca, wrong)
    assert bundle.read_bytes() == before
    assert len(load_crls(bundle)) == 3


def test_roots_are_added_for_a_window(far: TestAuthority, tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    assert take_authorities(bundle, far.ca.read_bytes()) == 3
    assert take_authorities(bundle, far.ca.read_bytes()) == 0
    with pytest.raises(CertificateError, match="not-an-authority"):
        take_authorities(bundle, far.issue("leaf", Profile.CLIENT).certificate.read_bytes())


def test_a_chain_ends_where_an_issuer_is_missing(far: TestAuthority) -> None:
    chain = load_certificates(far.issue("someone", Profile.CLIENT).certificate)
    assert chain_of(chain[0], [chain[2]]) == chain[:1]
    assert chain_of(chain[0], [*load_certificates(far.ca)]) == chain
