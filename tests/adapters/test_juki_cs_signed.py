"""The adapter with signed messages: an answer counts only if it is proven to be the party's, and what proves it is kept (I2, I6, I8)."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from lxml import etree

from adapters.juki_cs import JukiCsAdapter
from adapters.soap.outcomes import EVIDENCE
from certs.authority import TestAuthority
from certs.peer import Authority
from certs.setup import ensure
from gateway.contract import AdapterHost, Delivered, HttpAnswer, PartyDown, RejectedCall, Unknown
from gateway.security.soap.messages import MessageSecurity, open_security
from gateway.security.soap.replay import RecentAnswers
from gateway.security.soap.verifier import verify
from simulators.signatures import Signatures
from tests.adapters.conftest import ADDRESS, answer, envelope, fault, response, result, soap

pytestmark = [pytest.mark.invariant("I6"), pytest.mark.invariant("I2"), pytest.mark.control("C-2-2-8")]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> TestAuthority:
    return ensure(tmp_path_factory.mktemp("certs"))


@pytest.fixture(scope="module")
def party(authority: TestAuthority, tmp_path_factory: pytest.TempPathFactory) -> Signatures:
    own, caller, tls = (authority.files(name) for name in ("city-cs-signing", "gateway-signing", "city-cs"))
    return Signatures(
        certificate=own.certificate,
        key=own.key,
        caller=caller.certificate,
        authority=Authority(authority.ca, authority.crl),
        seen=tmp_path_factory.mktemp("party") / "seen",
        other=(tls.certificate, tls.key),
    )


class Http:
    """The transport's place: verifies what was posted like the party, and answers as it is told."""

    def __init__(self, party: Signatures, make: Callable[[str], HttpAnswer]) -> None:
        self._party, self._make = party, make

    async def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> HttpAnswer:
        call = etree.fromstring(body)
        self._party.verify(call)
        found = re.search(rb"MessageID [^>]*>([^<]+)<", body)
        assert found is not None
        return self._make(found[1].decode())

    async def probe(self) -> None:
        """Always there."""


def security_of(authority: TestAuthority) -> MessageSecurity:
    own, partner = authority.files("gateway-signing"), authority.files("city-cs-signing")
    return open_security(
        "city-cs",
        own=(own.certificate, own.key),
        partner=partner.certificate,
        authority=Authority(authority.ca, authority.crl),
        replays=RecentAnswers(),
    )


Make = Callable[[Callable[[str], HttpAnswer]], JukiCsAdapter]


@pytest.fixture
def adapter(authority: TestAuthority, party: Signatures) -> Make:
    security = security_of(authority)
    return lambda make: JukiCsAdapter(AdapterHost(settings={"address": ADDRESS}, http=Http(party, make), signatures=security))


def tree(content: str, to: str) -> etree._Element:
    return etree.fromstring(soap(content, to).replace(b"urn:uuid:0<", f"urn:uuid:{uuid.uuid4()}<".encode()))


@pytest.mark.invariant("I8")
async def test_the_signed_answer_is_kept_as_it_came(adapter: Make, party: Signatures, authority: TestAuthority) -> None:
    sent: list[bytes] = []

    def make(to: str) -> HttpAnswer:
        sent.append(party.sign(tree(response(result(1)), to)))
        return answer(sent[-1])

    [delivered] = await adapter(make).deliver([envelope(1)])
    assert isinstance(delivered, Delivered)
    assert delivered.receipt.body == sent[0]
    verify(delivered.receipt.body, security_of(authority).signer)


@pytest.mark.invariant("I8")
async def test_of_several_records_one_keeps_the_answer_and_the_others_name_it(
    adapter: Make, party: Signatures, authority: TestAuthority
) -> None:
    three = (envelope(1), envelope(2), envelope(3))
    outcomes = await adapter(
        lambda to: answer(party.sign(tree(response(result(3), result(1, key="SAMPLE0000000009"), result(2)), to)))
    ).deliver(three)
    assert [type(each) for each in outcomes] == [Unknown, Delivered, Delivered]
    keeper, other = outcomes[1], outcomes[2]
    assert isinstance(keeper, Delivered)
    assert isinstance(other, Delivered)
    verify(keeper.receipt.body, security_of(authority).signer)
    part = etree.fromstring(other.receipt.body)
    assert part.tag == f"{{{EVIDENCE}}}PartOfAnswer"
    assert part.get("keptBy") == "delivery-2"
    assert part.get("sha256") == hashlib.sha256(keeper.receipt.body).hexdigest()
    assert part[0].get("deliveryId") == "delivery-3"


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (lambda party, content: etree.tostring(content), "answer-unsigned"),
        (lambda party, content: party.sign(content, by="other"), "answer-signer-unknown"),
        (lambda party, content: party.sign(content).replace(b"accepted", b"rejected"), "answer-digest-mismatch"),
        (lambda party, content: party.sign(content, at=datetime.now(UTC) - timedelta(hours=1)), "answer-timestamp-expired"),
        (lambda party, content: party.sign(content)[:-9], "answer-message-malformed"),
        (lambda party, content: b"", "answer-message-malformed"),
    ],
)
async def test_what_is_not_proven_is_unknown_and_never_success(
    adapter: Make, party: Signatures, bad: Callable[[Signatures, etree._Element], bytes], code: str
) -> None:
    for status in (200, 500):
        found = await adapter(lambda to: answer(bad(party, tree(response(result(1)), to)), status)).deliver([envelope(1)])  # noqa: B023
        assert found == [Unknown(code=code)]


async def test_an_answer_replayed_to_a_later_call_is_refused_also_after_a_restart(
    adapter: Make, party: Signatures, authority: TestAuthority
) -> None:
    old: list[bytes] = []

    def make(to: str) -> HttpAnswer:
        old.append(party.sign(tree(response(result(1)), to)))
        return answer(old[0])

    ours = adapter(make)
    assert isinstance((await ours.deliver([envelope(1)]))[0], Delivered)
    assert await ours.deliver([envelope(1)]) == [Unknown(code="answer-replayed")]
    restarted = JukiCsAdapter(AdapterHost(settings={"address": ADDRESS}, http=Http(party, make), signatures=security_of(authority)))
    assert await restarted.deliver([envelope(1)]) == [Unknown(code="answer-unrelated")], "signed, but not for this call"


async def test_a_fault_counts_only_if_it_is_signed(adapter: Make, party: Signatures) -> None:
    def says(whose: str, code: str, *, signed: bool) -> Callable[[str], HttpAnswer]:
        def make(to: str) -> HttpAnswer:
            content = tree(fault(whose, code), to)
            return answer(party.sign(content) if signed else etree.tostring(content), 500)

        return make

    one = [envelope(1)]
    assert await adapter(says("Client", "schema-invalid", signed=True)).deliver(one) == [RejectedCall(code="schema-invalid")]
    assert await adapter(says("Client", "schema-invalid", signed=False)).deliver(one) == [Unknown(code="answer-unsigned")]
    assert await adapter(says("Client", "other-signer", signed=True)).deliver(one) == [PartyDown(code="other-signer")]


async def test_check_looks_at_the_keys_of_both_sides(authority: TestAuthority, party: Signatures, tmp_path: Path) -> None:
    ours = JukiCsAdapter(
        AdapterHost(settings={"address": ADDRESS}, http=Http(party, lambda to: answer(b"")), signatures=security_of(authority))
    )
    assert [(each.name, each.ok) for each in await ours.check()] == [("city-cs", True), ("signatures", True)]
    other = ensure(tmp_path / "other")
    foreign = open_security(
        "city-cs",
        own=(authority.files("gateway-signing").certificate, authority.files("gateway-signing").key),
        partner=other.files("city-cs-signing").certificate,
        authority=Authority(authority.ca, authority.crl),
        replays=RecentAnswers(),
    )
    [finding] = foreign.check()
    assert (finding.ok, bool(finding.remedy)) == (False, True)
    assert "issuer-unknown" in finding.detail
