"""Nobody gives a resident an Individual Number unasked: the notice of J-LIS answers a request of the register (C-1-3-3)."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path

import pytest

from gateway.inbound.prepare import DOOR, InboundPreparer
from gateway.intake.admit import Answer, Intake
from gateway.intake.cloudevents import of_party
from gateway.intake.submission import Sender, Submission
from gateway.ledger import policies
from gateway.ledger.ledger import Ledger
from gateway.policy.rights import Rights
from gateway.policy.routes import tables
from gateway.security.blind import BlindIndex, ContentMac
from gateway.security.keys import KeyStore
from gateway.security.sealing import Sealer
from message_formats import samples, writing
from tests.intake.kit import REGISTER, preparer, submission

GENERATION, CHANGE, NOTICE = "individual-number-generation-request", "individual-number-change-request", "individual-number-notice"
PARTIES = frozenset({"city-cs", REGISTER})


class Doors:
    """The register's door and the city CS's, on one ledger."""

    def __init__(self, ledger: Ledger, keys: KeyStore, asks: frozenset[str]) -> None:
        rights = Rights(load=lambda: ledger.read(policies.active))
        sender = Sender(system=REGISTER, peer=REGISTER, types=frozenset({GENERATION, CHANGE}))
        self.own = Intake(preparer=preparer(keys, senders={REGISTER: sender}, parties=PARTIES, rights=rights), ledger=ledger)
        inbound = InboundPreparer(
            parties=PARTIES, policy=tables(), sealer=Sealer(keys), rights=rights, blind=BlindIndex.following(keys),
            mac=ContentMac.following(keys), asks={REGISTER: asks},
        )  # fmt: skip
        self.theirs = Intake(preparer=inbound, ledger=ledger)

    async def ask(self, kind: str, serial: int) -> None:
        data = writing.write(kind, samples.items(kind, serial)).to_bytes()
        answer = await self.own.admit_one(submission(data, source="/x", type=kind))
        assert answer.refusal is None, answer.refusal

    async def notice(self, serial: int, **changes: str) -> Answer:
        data = writing.write(NOTICE, {**samples.items(NOTICE, serial), **changes}).to_bytes()
        attributes = of_party(id=str(uuid.uuid4()), party="city-cs", type=NOTICE, municipality=None)
        return await self.theirs.admit_one(Submission(system="city-cs", door=DOOR, attributes=attributes, data=data))


async def doors(folder: Path, asks: frozenset[str] = frozenset({GENERATION, CHANGE})) -> tuple[Ledger, Doors]:
    ledger = await asyncio.to_thread(Ledger.open, f"sqlite:///{folder}/ledger/renkei.db", profile="test")
    return ledger, Doors(ledger, KeyStore(folder / "keys").ensure(), asks)


@pytest.mark.control("C-1-3-3")
@pytest.mark.control("C-1-2-14")
@pytest.mark.invariant("I7")
@pytest.mark.flow("F3-1")
@pytest.mark.flow("F3-2")
@pytest.mark.parametrize("request_type", [GENERATION, CHANGE])
async def test_a_notice_of_a_number_comes_for_a_resident_for_whom_the_register_asked(tmp_path: Path, request_type: str) -> None:
    ledger, found = await doors(tmp_path)
    try:
        refused = await found.notice(5)
        assert refused.refusal is not None
        assert (refused.refusal.code, refused.refusal.rule) == ("answer-without-request", "answers-a-request")
        await found.ask(request_type, 5)
        assert (await found.notice(5)).refusal is None
        other = await found.notice(6)
        assert other.refusal is not None, "what was asked of one is no request for another"
        assert other.refusal.code == "answer-without-request"
    finally:
        await ledger.close()


async def test_where_a_terminal_asks_the_gateway_does_not_know_and_takes_it(tmp_path: Path) -> None:
    """The register sends one of the two requests elsewhere: that there was none is then not known here."""
    ledger, found = await doors(tmp_path, frozenset({GENERATION}))
    try:
        assert (await found.notice(5)).refusal is None
    finally:
        await ledger.close()
