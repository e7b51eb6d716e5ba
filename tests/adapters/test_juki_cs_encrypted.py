"""The adapter where the party asks for encryption within TLS: what leaves is closed, what comes in clear or weakly is unknown (I5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from lxml import etree

from adapters.juki_cs import JukiCsAdapter
from certs.authority import Profile, TestAuthority
from certs.path import load_certificates
from certs.peer import Authority
from certs.setup import ensure
from certs.store import CertificateStore
from gateway.contract import AdapterHost, CallNotPrepared, Delivered, HttpAnswer, Unknown
from gateway.security.soap import keys as keys_module
from gateway.security.soap.messages import MessageSecurity, open_security
from gateway.security.soap.replay import RecentAnswers
from gateway.security.soap.verifier import verify
from gateway.security.token import TokenUnavailable
from simulators.encryption import Encryption
from simulators.signatures import Signatures
from tests.adapters.conftest import ADDRESS, answer, envelope, response, result
from tests.adapters.test_juki_cs_signed import tree

pytestmark = [pytest.mark.invariant("I5"), pytest.mark.invariant("I6"), pytest.mark.control("C-1-2-20"), pytest.mark.thorough]
CBC, RSA_15 = b"http://www.w3.org/2001/04/xmlenc#aes256-cbc", b"http://www.w3.org/2001/04/xmlenc#rsa-1_5"


class Leg:
    """Both ends of a signed and encrypted leg; ``change`` alters the party's answer on its way."""

    def __init__(self, folder: Path) -> None:
        self.authority: TestAuthority = ensure(folder / "certs")
        for name in ("gateway-encryption", "city-cs-encryption"):
            self.authority.issue(name, Profile.ENCRYPTION)
        own, caller = (self.authority.files(name) for name in ("city-cs-signing", "gateway-signing"))
        self.party = Signatures(
            certificate=own.certificate, key=own.key, caller=caller.certificate, seen=folder / "seen",
            authority=Authority(self.authority.ca, self.authority.crl),
        )  # fmt: skip
        self.encryption = self.of_party()
        self.sent: list[bytes] = []
        self.signed: list[bytes] = []
        self.closed = b""
        self.change: Callable[[bytes], bytes] = lambda closed: closed

    def of_party(self) -> Encryption:
        files = self.authority.files
        return Encryption(key=files("city-cs-encryption").key, caller=files("gateway-encryption").certificate)

    def security(self) -> MessageSecurity:
        files = self.authority.files
        own = files("gateway-signing")
        return open_security(
            "city-cs", own=(own.certificate, own.key), partner=files("city-cs-signing").certificate,
            authority=Authority(self.authority.ca, self.authority.crl), replays=RecentAnswers(),
            encryption=(files("city-cs-encryption").certificate, files("gateway-encryption").key),
        )  # fmt: skip

    def adapter(self) -> JukiCsAdapter:
        return JukiCsAdapter(AdapterHost(settings={"address": ADDRESS}, http=self, signatures=self.security()))

    async def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> HttpAnswer:
        self.sent.append(body)
        call = etree.fromstring(body)
        self.encryption.open(call)
        self.party.verify(call)
        to = call.findtext("{*}Header/{*}MessageID")
        assert to is not None
        self.signed.append(self.party.sign(tree(response(result(1)), to)))
        return answer(self.change(self.encryption.close_up(self.signed[-1])))

    async def probe(self) -> None:
        """Always there."""


@pytest.fixture(scope="module")
def leg(tmp_path_factory: pytest.TempPathFactory) -> Leg:
    return Leg(tmp_path_factory.mktemp("leg"))


@pytest.fixture(autouse=True)
def unchanged(leg: Leg) -> None:
    leg.change = lambda closed: closed


@pytest.mark.invariant("I8")
async def test_what_leaves_is_closed_and_the_signed_answer_is_kept_open(leg: Leg) -> None:
    [delivered] = await leg.adapter().deliver([envelope(1)])
    assert isinstance(delivered, Delivered)
    assert b"SAMPLE" not in leg.sent[-1], "nothing of the record is in the request"
    assert b"IdentityInformationUpdate" not in leg.sent[-1].split(b"Body", 1)[1]
    verify(delivered.receipt.body, leg.security().signer)
    assert b"delivery-1" in delivered.receipt.body, "evidence that needs no key of encryption"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda leg: leg.signed[-1], "answer-not-encrypted"),
        (lambda leg: leg.closed.replace(b"http://www.w3.org/2009/xmlenc11#aes256-gcm", CBC), "answer-encryption-forbidden"),
        (lambda leg: leg.closed.replace(b"http://www.w3.org/2009/xmlenc11#rsa-oaep", RSA_15), "answer-encryption-forbidden"),
        (lambda leg: leg.closed.replace(b"xmlenc11#mgf1sha256", b"xmlenc11#mgf1sha1"), "answer-encryption-forbidden"),
        (lambda leg: leg.closed.replace(b"</xenc:CipherValue>", b"AAAA</xenc:CipherValue>", 2), "answer-decryption-failed"),
        (lambda leg: leg.closed[:-9], "answer-message-malformed"),
    ],
    ids=["in clear", "CBC", "RSA 1.5", "MGF1 with SHA-1", "altered", "cut off"],
)
async def test_what_does_not_come_as_agreed_is_unknown(leg: Leg, change: Callable[[Leg], bytes], code: str) -> None:
    def spoil(closed: bytes) -> bytes:
        leg.closed = closed
        return change(leg)

    leg.change = spoil
    assert await leg.adapter().deliver([envelope(1)]) == [Unknown(code=code)]


async def test_the_party_does_not_take_what_is_in_clear(leg: Leg) -> None:
    from simulators.encryption import EncryptionRefused

    security = leg.security()
    plain = open_security(
        "city-cs", own=security.own, partner=leg.authority.files("city-cs-signing").certificate,
        authority=Authority(leg.authority.ca, leg.authority.crl), replays=RecentAnswers(),
    )  # fmt: skip
    with pytest.raises(EncryptionRefused, match="body-in-clear"):
        await JukiCsAdapter(AdapterHost(settings={"address": ADDRESS}, http=leg, signatures=plain)).deliver([envelope(1)])


async def test_our_key_changes_and_what_was_encrypted_for_the_old_one_still_opens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys_module, "FOLLOW_S", 0.0)
    leg = Leg(tmp_path)
    adapter, former = leg.adapter(), leg.encryption
    store = CertificateStore(leg.authority.directory)
    request = store.request("gateway-encryption", key_type="rsa-3072").read_bytes()
    from certs.path import PathCheck

    trust = PathCheck(leg.authority.ca, leg.authority.crl)
    given = leg.authority.issue_for(request, Profile.ENCRYPTION)
    store.take("gateway-encryption", [given], trust, load_certificates(leg.authority.ca), later=True)
    early = leg.authority.directory / "gateway-encryption.next.pem"
    coming = Encryption(key=leg.authority.files("city-cs-encryption").key, caller=early)
    for switched in (False, True):
        if switched:
            store.switch("gateway-encryption")
        for leg.encryption in (former, coming):
            assert isinstance((await adapter.deliver([envelope(1)]))[0], Delivered), switched


async def test_a_recipient_that_is_revoked_gets_nothing_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Authority, "RECHECK_FILES_S", 0.0)
    leg = Leg(tmp_path)
    adapter = leg.adapter()
    leg.authority.revoke("city-cs-encryption")
    with pytest.raises(CallNotPrepared) as refused:
        await adapter.deliver([envelope(1)])
    assert (refused.value.code, refused.value.passing, leg.sent) == ("recipient-certificate", False, [])
    assert [each.ok for each in await adapter.check()] == [True, False]


@pytest.mark.rule("R12")
async def test_a_token_that_is_away_sends_nothing_and_passes(leg: Leg) -> None:
    class Away:
        waits = True
        problem = None

        def current(self) -> None:
            raise TokenUnavailable("token-unreachable", "away")

    plain = leg.security()
    files = leg.authority.files
    security = open_security(
        "city-cs", own=Away(), partner=files("city-cs-signing").certificate,  # type: ignore[arg-type]
        authority=Authority(leg.authority.ca, leg.authority.crl), replays=plain.replays,
    )  # fmt: skip
    before = len(leg.sent)
    with pytest.raises(CallNotPrepared) as refused:
        await JukiCsAdapter(AdapterHost(settings={"address": ADDRESS}, http=leg, signatures=security)).deliver([envelope(1)])
    assert (refused.value.code, refused.value.passing, len(leg.sent)) == ("token-unreachable", True, before)
    [finding] = security.check()
    assert not finding.ok
