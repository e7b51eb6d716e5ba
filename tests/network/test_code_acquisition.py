"""Codes are acquired over two ways (F6-1): gateway, broker, TLS, both parties; answers lost, doubled, late and crossed."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import time
from pathlib import Path

import pytest

from simulators.intermediate.network import OURS
from tests.network.kit import ATENA, LINK, Line, linkage, pair, registration, request, running
from tests.network.saga import Hands, people
from tests.support.broker import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(280)]
PAIR = "code-acquisition-number-pair"
MISCHIEF = {"do": "answers", "lost": 0.2, "twice": 0.3, "late": 0.4, "late_s": 1.5}


async def acquire(line: Line, count: int, *, rounds: int = 12, quiet_s: float = 4.0) -> Hands:
    """Everybody is linked and registered, and a code is requested until each has one; what is lost is asked for again once nothing came
    for ``quiet_s``."""
    who = people(line, count)
    await line.server.do("answers", MISCHIEF)
    gate = asyncio.Semaphore(8)

    def missing() -> list[str]:
        held = line.server.holdings.people
        return [name for name in who if name not in held or held[name].code is None]

    async def settled() -> None:
        last, since = count + 1, time.monotonic()
        while (left := len(missing())) and (left < last or time.monotonic() - since < quiet_s):
            if left < last:
                last, since = left, time.monotonic()
            await asyncio.sleep(0.2)

    async with Hands(line, {name: individual for name, (_, individual) in who.items()}, crossed=0.2) as hands:

        async def one(system: str, kind: str, content: bytes) -> None:
            async with gate:
                found = await hands.hand_in(system, kind, content)
                assert found["status"] == "accepted", found

        serials = {name: int(name[2:]) for name in who}
        await asyncio.gather(*[one(LINK, "atena-linkage-update", linkage(serials[name], individual_number=who[name][1])) for name in who])
        await asyncio.gather(*[one(ATENA, "atena-number-registration", registration(serials[name])) for name in who])
        await until(lambda: all(name in line.server.holdings.people for name in who), 60 + count / 20)
        for _ in range(rounds):
            if not (open_ := missing()):
                break
            await asyncio.gather(*[one(ATENA, "code-acquisition-request", request(serials[name])) for name in open_])
            await settled()
        for name, (code, _) in who.items():
            assert line.server.holdings.people[name].code == line.server.network.code(OURS, code), name
        assert line.server.holdings.conflicts == line.server.holdings.unclaimed == 0
        assert hands.said[PAIR, "numbers-mismatch"] > 0, "crossed pairs are refused"
        assert set(hands.said) <= {(kind, "accepted") for kind, _ in hands.said} | {(PAIR, "numbers-mismatch")}, hands.said
    await line.server.do("answers", {"do": "answers"})
    return hands


@pytest.mark.edge("F6-1", "code-never-arrives")
@pytest.mark.flow("F6-1")
@pytest.mark.control("C-M-6-17")
async def test_each_code_is_at_the_right_person_and_none_is_lost(line: Line) -> None:
    hands = await acquire(line, 24)
    rows = line.house.rows("SELECT state, count(*) AS n FROM code_acquisition GROUP BY state")
    states = {row["state"]: row["n"] for row in rows}
    assert states["handed-on"] >= 24, states
    assert hands.said["code-acquisition-number-pair", "accepted"] >= 48
    assert not [row for row in line.house.rows("SELECT bound, person FROM code_acquisition") if row["bound"] and row["bound"] == ""]


@pytest.mark.flow("F6-1")
@pytest.mark.control("C-M-6-13")
async def test_a_pair_for_nobody_or_with_another_ones_number_is_refused(line: Line) -> None:
    refused = await line.send(ATENA, "code-acquisition-number-pair", pair("PNOBODY", "999900000011"))
    assert (refused["http"], refused["code"]) == (409, "processing-number-unknown")
    kept = line.house.rows("SELECT code FROM quarantine WHERE code = 'processing-number-unknown'")
    assert kept


@pytest.mark.edge("F6-1", "no-number-yet")
@pytest.mark.flow("F6-1")
async def test_a_code_is_requested_only_for_who_is_linked(line: Line) -> None:
    refused = await line.send(ATENA, "code-acquisition-request", request(777_777))
    assert refused["code"] == "not-linked"


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.flow("F6-1")
@pytest.mark.invariant("I1")
@pytest.mark.parametrize("count", [1_000, 10_000])
async def test_ten_thousand_residents(tmp_path: Path, count: int) -> None:
    """While processes of the gateway die: one after the other, as long as it lasts."""
    async with running(tmp_path, population=count) as line:
        killed: list[str] = []

        async def kill() -> None:
            for victim in itertools.cycle(("gateway", "worker-1", "broker")):
                await asyncio.sleep(30.0)
                if (pid := line.house.town.supervised().get(victim)) is not None:
                    os.kill(pid, signal.SIGKILL)
                    killed.append(victim)

        killing, began = asyncio.create_task(kill()), time.monotonic()
        try:
            hands = await acquire(line, count, rounds=40, quiet_s=15.0)
        finally:
            killing.cancel()
        states = {row["state"]: row["n"] for row in line.house.rows("SELECT state, count(*) AS n FROM code_acquisition GROUP BY state")}
        print(f"{count} codes in {time.monotonic() - began:.0f} s, {dict(hands.said)}, {states}, killed {killed}")
        assert states["handed-on"] >= count
        assert line.server.state()["codes"] == count
