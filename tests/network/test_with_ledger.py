"""Code acquisition at the real doors and the real ledger, two processes of a gateway at once, without sockets: many residents.

The world around it is played: the server and the network give processing numbers, the atena system and the register react to them,
the city CS hands the pair to J-LIS. Requests and answers are lost, doubled, late and crossed; the ledger alone decides.
"""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gateway.acquisition.steps import Matching
from gateway.inbound.prepare import InboundPreparer
from gateway.intake.admit import Answer, Intake
from gateway.intake.cloudevents import of_party
from gateway.intake.prepare import Preparer
from gateway.intake.submission import Sender, Submission
from gateway.ledger import acquisition_state
from gateway.ledger import tables as t
from gateway.ledger.ledger import Ledger
from gateway.policy.routes import tables
from gateway.security.blind import BlindIndex, ContentMac
from gateway.security.keys import KeyStore
from gateway.security.sealing import Sealer
from message_formats import samples, writing
from simulators.intermediate.network import OURS, Network
from simulators.intermediate.replica import PROCESSING, Holdings
from tests.intake.kit import submission
from tests.network.kit import ATENA, LINK, SERVER, linkage, number, pair, registration, replica, request
from tests.support.policy import rights_for

REGISTER, CITY_CS = "resident-record-system", "city-cs"
PAIR = "code-acquisition-number-pair"
PARTIES = frozenset({SERVER, ATENA, REGISTER, CITY_CS})
SENDS = {
    LINK: {"atena-linkage-update", "provision-replica-update"},
    ATENA: {"atena-number-registration", "code-acquisition-request", PAIR},
    REGISTER: {PAIR, "provision-replica-update"},
}


@dataclass
class Process:
    """The doors of one gateway process."""

    ledger: Ledger
    doors: Intake
    listener: Intake

    @classmethod
    async def open(cls, url: str, keys: KeyStore, matching: Matching) -> Process:
        ledger = await asyncio.to_thread(Ledger.open, url, profile="test")
        made_of: dict[str, Any] = {
            "parties": PARTIES, "policy": tables(), "sealer": Sealer(keys), "blind": BlindIndex.following(keys),
            "mac": ContentMac.following(keys), "rights": rights_for(tables()), "matching": matching,
        }  # fmt: skip
        senders = {system: Sender(system=system, peer=system, types=frozenset(types)) for system, types in SENDS.items()}
        ours, theirs = Preparer(senders=senders, **made_of), InboundPreparer(**made_of)
        return cls(ledger, Intake(preparer=ours, ledger=ledger), Intake(preparer=theirs, ledger=ledger))

    async def hand_in(self, *messages: tuple[str, str, bytes]) -> list[Answer]:
        """(system, type, content) of our own systems."""
        found = [submission(content, system=system, source="/x", type=kind, id=str(uuid.uuid4())) for system, kind, content in messages]
        return await self.doors.admit(found)

    async def arrive(self, *contents: bytes) -> list[Answer]:
        """Processing numbers of the server."""
        kind = "processing-number-response"
        return await self.listener.admit(
            [
                Submission(system=SERVER, door="soap", attributes=of_party(id=str(uuid.uuid4()), party=SERVER, type=kind), data=content)
                for content in contents
            ]
        )


def code(answer: Answer) -> str:
    return "accepted" if answer.refusal is None else answer.refusal.code


def resident(serial: int) -> str:
    return samples.resident_record_code(serial)


def answer(serial: int, processing: str) -> bytes:
    items = {"integrated_atena_number": number(serial), "processing_number": processing}
    return writing.write("processing-number-response", items).to_bytes()


@dataclass
class World:
    """Everybody around the gateway."""

    processes: list[Process]
    seed: int
    holdings: Holdings = field(default_factory=Holdings)
    network: Network = field(default_factory=lambda: Network("a test"))
    asked: int = 0
    said: Counter[str] = field(default_factory=Counter)
    late: list[tuple[int, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)

    async def in_parts(self, work: list[Any], carry_out: Any, size: int = 100) -> list[tuple[Any, Answer]]:
        """Parts of the work at both processes at once."""
        parts = [work[start : start + size] for start in range(0, len(work), size)]
        found: list[tuple[Any, Answer]] = []
        width = len(self.processes)
        for start in range(0, len(parts), width):
            some = parts[start : start + width]
            answers = await asyncio.gather(*[carry_out(process, part) for process, part in zip(self.processes, some, strict=False)])
            for part, given in zip(some, answers, strict=True):
                found += zip(part, given, strict=True)
        return found

    async def ask(self, serials: list[int]) -> None:
        """Codes are requested; what the server makes of it is lost, doubled, late or crossed."""
        made = await self.in_parts(
            serials, lambda at, part: at.hand_in(*[(ATENA, "code-acquisition-request", request(each)) for each in part])
        )
        answers, self.late = self.late, []
        for serial, given in made:
            assert code(given) == "accepted"
            self.asked += 1
            processing = self.network.processing_number(str(self.asked))
            self.holdings.register(number(serial))
            self.holdings.request({PROCESSING: processing, "integrated_atena_number": number(serial)})
            roll = self.chance.random()
            if roll < 0.15:
                continue
            answers += [(serial, processing)] * (2 if roll < 0.35 else 1)
        self.chance.shuffle(answers)
        cut = len(answers) // 5
        self.late, answers = answers[:cut], answers[cut:]
        await self.answers(answers)

    async def answers(self, answers: list[tuple[int, str]]) -> None:
        took = await self.in_parts(answers, lambda at, part: at.arrive(*[answer(*each) for each in part]))
        pairs = []
        for (serial, processing), given in took:
            self.said[f"answer {code(given)}"] += 1
            assert code(given) == "accepted", "also one that came twice, at both processes at once"
            pairs.append((serial, processing, serial))
            if self.chance.random() < 0.1:
                pairs.append((serial, processing, serial + 1))  # the number of somebody else
        self.chance.shuffle(pairs)
        await self.pairs(ATENA, pairs)

    async def pairs(self, system: str, pairs: list[tuple[int, str, int]]) -> None:
        """By the atena system, then by the register."""
        took = await self.in_parts(
            pairs,
            lambda at, part: at.hand_in(*[(system, PAIR, pair(each[1], samples.individual_number(each[2]))) for each in part]),
        )
        on = []
        for each, given in took:
            self.said[f"{system} {code(given)}"] += 1
            if each[0] != each[2]:
                assert code(given) == "numbers-mismatch", each
            elif code(given) == "accepted":
                on += [each] * (2 if self.chance.random() < 0.1 else 1)
        if system == ATENA:
            await self.pairs(REGISTER, on)
            return
        for serial, processing, _ in on:  # J-LIS and the core system
            assert self.holdings.bind(processing, self.network.code(OURS, resident(serial))) in ("bound", "known")


async def run(url: str, folder: Path, count: int, seed: int) -> World:
    keys = KeyStore(folder / "keys").ensure()
    processes = [await Process.open(url, keys, Matching()) for _ in range(2)]
    world = World(processes, seed)
    everybody = list(range(1, count + 1))
    try:
        for system, kind, make in (
            (LINK, "atena-linkage-update", linkage),
            (ATENA, "atena-number-registration", registration),
            (LINK, "provision-replica-update", replica),
        ):
            done = await world.in_parts(everybody, lambda at, part: at.hand_in(*[(system, kind, make(each)) for each in part]))  # noqa: B023
            assert {code(given) for _, given in done} == {"accepted"}
        for _ in range(60):
            missing = [
                each for each in everybody if number(each) not in world.holdings.people or not world.holdings.people[number(each)].code
            ]
            if not missing:
                break
            await world.ask(missing)
        await world.answers(world.late)
        for each in everybody:
            assert world.holdings.people[number(each)].code == world.network.code(OURS, resident(each))
        assert world.holdings.conflicts == world.holdings.unclaimed == 0
        state = await processes[0].ledger.read(acquisition_state.read)
        assert (state.linked, state.registered) == (count, count)
        assert state.states["handed-on"] >= count
        assert sum(state.states.values()) == world.asked
        assert state.states["asked"] == state.states["numbered"] == state.states["paired"] == state.overdue == 0, state.states
    finally:
        for process in processes:
            await process.ledger.close()
    return world


@pytest.mark.slow
@pytest.mark.flow("F6-1")
@pytest.mark.control("C-M-6-13")
@pytest.mark.rule("R20")
async def test_three_hundred_residents_at_two_processes(ledger_url: str, tmp_path: Path) -> None:
    world = await run(ledger_url, tmp_path, 300, seed=5)
    assert world.said[f"{ATENA} numbers-mismatch"] > 10


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.flow("F6-1")
async def test_ten_thousand_residents(ledger_url: str, tmp_path: Path) -> None:
    began = time.process_time()
    world = await run(ledger_url, tmp_path, 10_000, seed=11)
    print(f"10,000 codes, {world.asked} requests, {dict(world.said)}, {time.process_time() - began:.0f} s of CPU")


@pytest.mark.edge("F6-1", "code-beside-number")
@pytest.mark.slow
@pytest.mark.invariant("I5")
@pytest.mark.flow("F6-1")
async def test_the_tables_hold_no_number_and_a_processing_number_stands_beside_no_individual_number(
    ledger_url: str, tmp_path: Path
) -> None:
    keys = KeyStore(tmp_path / "keys").ensure()
    here = await Process.open(ledger_url, keys, Matching())
    try:
        for message in ((LINK, "atena-linkage-update", linkage(1)), (ATENA, "code-acquisition-request", request(1))):
            [given] = await here.hand_in(message)
            assert code(given) == "accepted"
        [given] = await here.arrive(answer(1, "P0000001"))
        assert code(given) == "accepted"
        [given] = await here.hand_in((ATENA, PAIR, pair("P0000001", samples.individual_number(1))))
        assert code(given) == "accepted"
        text = ""
        for table in t.metadata.sorted_tables:
            rows = await here.ledger.read(lambda conn, table=table: [tuple(row) for row in conn.execute(table.select())])
            text += repr(rows)
        for secret in (samples.individual_number(1), "P0000001", number(1), samples.atena_number(1)):
            assert secret not in text
        by_kind = await here.ledger.read(lambda conn: {row.kind: row.subject for row in conn.execute(t.subject_alias.select())})
        assert by_kind["processing-number"] != by_kind["individual-number"], "they are aliases of different things"
    finally:
        await here.ledger.close()


@pytest.mark.slow
@pytest.mark.flow("F6-1")
@pytest.mark.control("C-M-6-13")
async def test_without_linkage_what_was_seen_is_held_against_each_other(ledger_url: str, tmp_path: Path) -> None:
    keys = KeyStore(tmp_path / "keys").ensure()
    here = await Process.open(ledger_url, keys, Matching(linkage=False, limit_s=0.0))
    try:

        async def said(*message: tuple[str, str, bytes]) -> list[str]:
            return [code(each) for each in await here.hand_in(*message)]

        assert await said((LINK, "provision-replica-update", replica(1))) == ["atena-number-not-registered"]
        assert await said((ATENA, "atena-number-registration", registration(1)), (LINK, "provision-replica-update", replica(1))) == [
            "accepted", "accepted",
        ]  # fmt: skip
        assert await said(*[(ATENA, "code-acquisition-request", request(1))] * 2) == ["accepted", "accepted"]
        assert [code(each) for each in await here.arrive(answer(1, "PA"), answer(1, "PB"), answer(1, "PC"), answer(2, "PA"))] == [
            "accepted", "accepted", "no-open-request", "processing-number-of-another",
        ]  # fmt: skip
        state = await here.ledger.read(acquisition_state.read)
        assert (state.overdue, len(state.oldest)) == (2, 2)
        mine, other = samples.individual_number(1), samples.individual_number(2)
        assert await said((REGISTER, PAIR, pair("PA", mine))) == ["pair-not-received"]
        assert await said((ATENA, PAIR, pair("PA", mine))) == ["accepted"]
        assert await said((ATENA, PAIR, pair("PB", other))) == ["numbers-mismatch"]
        assert await said((REGISTER, PAIR, pair("PA", other))) == ["numbers-mismatch"]
        assert await said((REGISTER, PAIR, pair("PA", mine))) == ["accepted"]
        assert (await here.ledger.read(acquisition_state.read)).states["overtaken"] == 1
        assert await said((ATENA, PAIR, pair("PB", mine)), (REGISTER, PAIR, pair("PA", mine))) == ["accepted", "accepted"], "and ignored"
    finally:
        await here.ledger.close()


@pytest.mark.control("C-M-6-17")
@pytest.mark.flow("FS6-4")
@pytest.mark.edge("FS6-4", "individual-number")
@pytest.mark.parametrize("linked", [True, False])
async def test_an_individual_number_does_not_pass_as_integrated_atena_number(tmp_path: Path, linked: bool) -> None:
    """Neither by a linkage that calls it one, in zeros or not, nor where there are no linkages."""
    keys, individual = KeyStore(tmp_path / "keys").ensure(), samples.individual_number(1)
    here = await Process.open(f"sqlite:///{tmp_path}/ledger.db", keys, Matching(linkage=linked))
    try:
        for disguise in (individual, f"0{individual}", f"99{individual}00"):
            lie = linkage(1, **{"business_identifier[1]/number": disguise})
            [given] = await here.hand_in((LINK, "atena-linkage-update", lie))
            assert code(given) == "number-suspected", disguise
        for kind in ("atena-number-registration", "code-acquisition-request"):
            content = writing.write(kind, {"integrated_atena_number": individual}).to_bytes()
            [given] = await here.hand_in((ATENA, kind, content))
            assert code(given) == ("not-linked" if linked else "number-suspected")
            assert given.refusal is not None
            assert individual not in str(given.refusal)
    finally:
        await here.ledger.close()
