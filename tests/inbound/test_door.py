"""The listener of one party by itself, with real TLS and signatures: who may call, what may come in there, and what is said of the rest."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from certs.authority import Profile as Use
from certs.authority import TestAuthority
from certs.peer import Authority
from certs.setup import ensure
from certs.tls import client_context, server_context
from gateway.errors import LedgerUnavailable, Unavailable
from gateway.inbound.door import InboundDoor, open_inbound, profile_of
from gateway.inbound.prepare import InboundPreparer
from gateway.intake.admit import Intake
from gateway.intake.pressure import Pressure
from gateway.policy.routes import tables
from gateway.security.blind import BlindIndex, ContentMac
from gateway.security.keys import KeyStore
from gateway.security.sealing import Sealer
from gateway.security.soap.keys import Signer
from gateway.security.soap.messages import LARGE_BYTES, open_security
from gateway.security.soap.replay import RecentAnswers
from message_formats import profiles
from simulators.encryption import Encryption
from simulators.signatures import Signatures
from simulators.soap.notices import Notice, Notices, Said
from tests.inbound.kit import notice
from tests.intake.kit import MemoryLedger
from tests.support.policy import rights_for

PARTIES = ("city-cs", "prefecture-server")
RECORDS = 50
"""Of one call that is longer than 64 KiB and shorter than ``body_bytes``."""


@dataclass
class Noted:
    """Takes note of refusals."""

    seen: list[tuple[str, str, str]] = field(default_factory=list)

    def note(self, *, direction: str, place: str, address: str, code: str, fingerprint: str | None = None, who: str = "") -> None:
        self.seen.append((place, code, who))


@dataclass
class Lock:
    """Pressure that a test opens and closes."""

    closed: Unavailable | None = None


@dataclass
class House:
    """Listeners of two parties in front of a ledger in memory."""

    folder: Path
    authority: TestAuthority
    ledger: MemoryLedger
    pressure: Lock
    noted: Noted
    ports: dict[str, int] = field(default_factory=dict)
    intake: Intake | None = None

    def notices(self, at: str, *, by: str = "city-cs", signed: str | None = None, encryption: Encryption | None = None) -> Notices:
        """Somebody (``by``: whose certificate) calls at the listener of ``at``, with messages signed by ``signed``."""
        tls, signer = self.authority.files(by), self.authority.files(f"{signed or by}-signing")
        mutual = Authority(self.authority.ca, self.authority.crl)
        signatures = Signatures(
            certificate=signer.certificate,
            key=signer.key,
            caller=self.authority.files("gateway-signing").certificate,
            authority=mutual,
            seen=self.folder / f"{uuid.uuid4()}.seen",
        )
        context = client_context(tls.certificate, tls.key, self.authority.ca, self.authority.crl)
        made = Notices(
            profile=profiles.get("juki_cs"),
            url=f"https://127.0.0.1:{self.ports[at]}",
            server_name="localhost",
            context=context,
            signatures=signatures,
            encryption=encryption,
        )
        if at == "prefecture-server":
            made._url = made._url.replace("juki_cs", "prefecture_server")
        return made

    async def send(self, notices: Notices, *xml: str, operation: str = "SendMoveInNotice", **more: Any) -> Said:
        return await notices.send(operation, [Notice(delivery_id=str(uuid.uuid4()), xml=each) for each in xml], **more)


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[House]:
    authority = ensure(tmp_path / "certs")
    authority.issue("prefecture-server", Use.PEER, dns=("localhost",), ips=("127.0.0.1",))
    authority.issue("prefecture-server-signing", Use.SIGNING)
    keys = KeyStore(tmp_path / "keys").ensure()
    found = House(tmp_path, authority, MemoryLedger(), Lock(), Noted())
    preparer = InboundPreparer(
        parties=frozenset({*PARTIES, "resident-record-system"}),
        policy=tables(),
        sealer=Sealer(keys),
        rights=rights_for(tables()),
        blind=BlindIndex.following(keys),
        mac=ContentMac.following(keys),
    )
    found.intake = Intake(preparer=preparer, ledger=found.ledger)
    runners = [await listen(found, party, found.intake) for party in PARTIES]
    yield found
    await asyncio.gather(*(runner.cleanup() for runner in runners))


async def listen(
    home: House, party: str, intake: Intake, *, encryption: tuple[Path, Path] | None = None, own: Signer | None = None
) -> aiohttp.web.AppRunner:
    files, mutual = home.authority.files("gateway"), Authority(home.authority.ca, home.authority.crl)
    ours, profile = home.authority.files("gateway-signing"), profile_of(party)
    assert profile is not None
    security = open_security(
        party,
        own=own or (ours.certificate, ours.key),
        partner=home.authority.files(f"{party}-signing").certificate,
        authority=mutual,
        replays=RecentAnswers(),
        encryption=encryption,
    )
    pressure: Any = home.pressure
    assert isinstance(Pressure.closed, property)  # the stand-in has what the door asks for
    door = InboundDoor(
        party=party, peer=party, authority=mutual, security=security, intake=intake, pressure=pressure, profile=profile,
        body_bytes=200_000, witness=home.noted,
    )  # fmt: skip
    tls = server_context(files.certificate, files.key, home.authority.ca, home.authority.crl)
    runner = await open_inbound(door, host="127.0.0.1", port=0, tls=tls, authority=mutual, witness=home.noted)
    home.ports[party] = runner.addresses[0][1]
    return runner


@pytest.mark.invariant("I5")
@pytest.mark.control("C-1-2-20")
@pytest.mark.control("C-1-5-6")
@pytest.mark.thorough
async def test_where_the_profile_asks_for_encryption_nothing_comes_or_goes_in_clear(home: House) -> None:
    """Calls and receipts are encrypted within TLS; a call in clear is refused before anything in it is looked at."""
    files = home.authority.files
    for name in ("gateway-encryption", "city-cs-encryption"):
        home.authority.issue(name, Use.ENCRYPTION)
    intake = home.intake
    assert intake is not None
    runner = await listen(home, "city-cs", intake, encryption=(files("city-cs-encryption").certificate, files("gateway-encryption").key))
    theirs = Encryption(key=files("city-cs-encryption").key, caller=files("gateway-encryption").certificate)
    said = await home.send(home.notices("city-cs", encryption=theirs), notice())
    assert ([each["outcome"] for each in said.results], said.signed) == (["accepted"], True)
    in_clear = await home.send(home.notices("city-cs"), notice())
    assert (in_clear.results, in_clear.fault) == ((), None)  # the fault too is for the party's key only
    assert home.noted.seen[-1][1] == "not-encrypted"
    await runner.cleanup()


@pytest.mark.invariant("I4")
@pytest.mark.invariant("I5")
@pytest.mark.parametrize("wrong", [None, "altered"])
@pytest.mark.thorough
async def test_a_large_encrypted_call_is_opened_verified_and_read_beside_the_loop(
    home: House, monkeypatch: pytest.MonkeyPatch, wrong: str | None
) -> None:
    """From 64 KiB on in threads, with the same outcome: every record has its receipt, and one that was altered is refused."""
    files, threads, plain = home.authority.files, [], asyncio.to_thread
    for name in ("gateway-encryption", "city-cs-encryption"):
        home.authority.issue(name, Use.ENCRYPTION)
    intake = home.intake
    assert intake is not None

    async def to_thread(function: Any, *given: Any, **more: Any) -> Any:
        threads.append(getattr(function, "__name__", ""))
        return await plain(function, *given, **more)

    runner = await listen(home, "city-cs", intake, encryption=(files("city-cs-encryption").certificate, files("gateway-encryption").key))
    theirs = Encryption(key=files("city-cs-encryption").key, caller=files("gateway-encryption").certificate)
    monkeypatch.setattr(asyncio, "to_thread", to_thread)
    space = " " * 1500
    records = [notice(serial=serial).replace("><name>", f">{space}<name>") for serial in range(100, 100 + RECORDS)]
    assert sum(map(len, records)) > LARGE_BYTES
    said = await home.send(home.notices("city-cs", encryption=theirs), *records, **({"wrong": wrong} if wrong else {}))
    monkeypatch.undo()
    if wrong is None:
        assert [each["outcome"] for each in said.results] == ["accepted"] * RECORDS
        assert len(home.ledger.accepted) == RECORDS
        assert [name for name in threads if name in ("opened", "verify", "read")] == ["opened", "verify", "read"]
    else:
        assert (said.results, said.fault, home.ledger.accepted) == ((), "digest-mismatch", {})
        assert [name for name in threads if name in ("opened", "verify", "read")] == ["opened", "verify"]
    await runner.cleanup()


@pytest.mark.invariant("I6")
async def test_each_party_has_its_own_listener(home: House) -> None:
    """The certificate of one party at the listener of another: refused before anything is read, and on record by place."""
    said = await home.send(home.notices("city-cs"), notice())
    assert [each["outcome"] for each in said.results] == ["accepted"]
    for by, at in (("prefecture-server", "city-cs"), ("city-cs", "prefecture-server"), ("resident-record-system", "city-cs")):
        notices = home.notices(at, by=by, signed="city-cs")
        said = await home.send(notices, notice())
        assert (said.status, said.results, said.fault) == (403, (), None)
        assert home.noted.seen[-1] == (f"inbound {at}", "wrong-peer", "")
    assert len(home.ledger.messages) == 1


@pytest.mark.invariant("I6")
async def test_a_message_of_one_party_handed_in_by_another_is_refused(home: House) -> None:
    """Also where both are known to us: who signed is asked beside who is connected."""
    said = await home.send(home.notices("city-cs", by="city-cs", signed="prefecture-server"), notice())
    assert (said.status, said.fault) == (500, "signer-unknown")
    assert home.noted.seen[-1] == ("inbound city-cs", "signer-unknown", "city-cs")
    assert (home.ledger.messages, home.ledger.kept) == ([], [])


@pytest.mark.invariant("I7")
async def test_a_type_of_another_party_is_refused_where_it_does_not_belong(home: House) -> None:
    """A move-in notice, properly signed by the prefecture server at its own listener: that party has no such message."""
    notices = home.notices("prefecture-server", by="prefecture-server")
    said = await home.send(notices, notice())
    assert (said.status, said.results, said.signed) == (500, (), True)  # the code stands in the words of the other profile
    [kept] = home.ledger.kept
    assert (kept.system, kept.door, kept.code) == ("prefecture-server", "soap", "operation-not-offered")


@pytest.mark.invariant("I1")
async def test_what_cannot_be_committed_is_not_accepted_and_may_come_again(home: House) -> None:
    notices = home.notices("city-cs")
    home.pressure.closed = Unavailable("backlog", "too much is waiting")
    assert (await home.send(notices, notice())).fault == "busy"
    home.pressure.closed = None

    def away() -> None:
        raise LedgerUnavailable("ledger-locked", "it is locked")

    home.ledger.before = away
    assert (await home.send(notices, notice())).fault == "busy"
    assert home.ledger.messages == []
    home.ledger.before = None
    assert (await home.send(notices, notice())).results[0]["outcome"] == "accepted"


@pytest.mark.invariant("I10")
async def test_what_is_no_call_is_refused_with_a_code(home: House) -> None:
    tls = home.authority.files("city-cs")
    context = client_context(tls.certificate, tls.key, home.authority.ca, home.authority.crl)
    url = f"https://localhost:{home.ports['city-cs']}"
    xml = {"Content-Type": "text/xml", "SOAPAction": '"x"'}
    cases: list[tuple[str, str, bytes, dict[str, str], int, str]] = [
        ("GET", "/soap/juki_cs", b"", {}, 405, "method-not-allowed"),
        ("POST", "/", b"", xml, 404, "unknown-path"),
        ("POST", "/soap/juki_cs", b"{}", {"Content-Type": "application/json"}, 500, "wrong-content-type"),
        ("POST", "/soap/juki_cs", b"x" * 300_000, xml, 500, "too-large"),
        ("POST", "/soap/juki_cs", b"not xml", xml, 500, "message-malformed"),
        ("POST", "/soap/juki_cs", b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', xml, 500, "message-malformed"),
    ]
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context, force_close=True), trust_env=False) as session:
        for method, path, body, headers, status, code in cases:
            async with session.request(method, url + path, data=body or None, headers=headers) as answer:
                text = await answer.text()
                assert (answer.status, code in text) == (status, True), (path, text)
    assert (home.ledger.messages, home.ledger.kept) == ([], [])


@pytest.mark.invariant("I6")
@pytest.mark.flow("FS2-11")
@pytest.mark.edge("FS2-11", "peer-not-authenticated")
@pytest.mark.parametrize(
    ("signed", "wrong", "code"),
    [("prefecture-server", None, "signer-unknown"), (None, "unsigned", "unsigned"), (None, "expired", "timestamp-expired")],
)
async def test_who_is_not_proven_to_ask_gets_no_copy_and_is_on_record(
    home: House, signed: str | None, wrong: str | None, code: str
) -> None:
    question = notice("wide-area-certificate-request", serial=41)
    said = await home.send(home.notices("city-cs", signed=signed), question, operation="RequestWideAreaCertificate", wrong=wrong)
    assert (said.status, said.fault, said.results, said.content) == (500, code, (), b"")
    assert home.noted.seen[-1][1] == code
    assert home.ledger.messages == home.ledger.kept == []
