"""Destination information flows over a midnight of business time: the day key changes under traffic, and no delivery fails.

What was sealed before midnight and waits is opened after it; when its day has vanished it opens for nobody. All data are fictitious.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import itertools
import sqlite3
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.retention.calendar import JST, BusinessCalendar
from gateway.security.day_keys import DayKeys
from gateway.security.keys import KeyStore
from gateway.security.sealing import SealBroken, Sealer
from message_formats import samples
from simulators.harness.town import Plan, Town
from tests.keys.test_town import renkei
from tests.support.broker import until
from tests.support.business_time import begin_on_a_working_day
from tests.world.kit import Whole

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
TYPE, CS, CARDS = "destination-information", "city-cs", "card-management-system"
RESIDENTS = 900
BEFORE_S = 14.0
"""Traffic before midnight, with what the machine needs to begin."""


@pytest.fixture
async def whole(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Whole]:
    plan = Plan(
        workers=2, population=40, city_seed=3, profile="test", parties=(CS, CARDS), types=(TYPE,),
        retry={"first_s": 0.2, "longest_s": 1.0, "budget": 40},
    )  # fmt: skip
    async with Town(tmp_path_factory.mktemp("midnight"), plan) as town:
        begin_on_a_working_day(town)
        await town.start()
        yield Whole(town)


def items(number: int) -> dict[str, str | None]:
    """Of a fictitious card, each with a control number of its own."""
    return {**samples.items(TYPE, number % RESIDENTS), "destination_control_number": f"{number:023d}"}


async def to_business_time(town: Town, moment: dt.datetime) -> None:
    days = (moment.timestamp() - time.time()) / 86_400.0
    await renkei(town, "clock", "--days", repr(days), "--json")


def evening(seconds: float) -> tuple[dt.datetime, dt.date]:
    """So many seconds before the midnight after which a business day begins, and that day."""
    calendar, day = BusinessCalendar(), dt.datetime.now(JST).date() + dt.timedelta(days=2)
    while not (calendar.is_business_day(day) and calendar.is_business_day(day - dt.timedelta(days=1))):
        day += dt.timedelta(days=1)
    return dt.datetime.combine(day, dt.time(), JST) - dt.timedelta(seconds=seconds), day


@pytest.mark.invariant("I1")
@pytest.mark.invariant("I2")
@pytest.mark.invariant("I9")
@pytest.mark.control("C-3-7-1")
async def test_the_day_key_changes_under_traffic_and_no_delivery_fails(whole: Whole) -> None:
    town = whole.town
    start, day = evening(BEFORE_S)
    await to_business_time(town, start)
    began, handed_in, going = time.monotonic(), [], True

    async def traffic() -> None:
        numbers = itertools.count(1)
        while going:
            batch = [whole.hand_in(TYPE, items(next(numbers))) for _ in range(4)]
            handed_in.extend(await asyncio.gather(*batch))

    sending = asyncio.create_task(traffic())
    try:
        await until(lambda: len(handed_in) >= 40, 60.0)
        assert time.monotonic() - began < BEFORE_S - 2.0, "too slow a machine: the evening was over before anything was sent"
        # what waits at midnight was sealed under yesterday's key, and is opened today
        await renkei(town, "pause", CS, "--reason", "over midnight", "--json")
        await until(lambda: len(days_of(whole)) == 2, 60.0)
        held_back = whole.rows(
            "SELECT DISTINCT k.kek_id FROM delivery d JOIN data_key k ON k.id = d.payload_id WHERE d.party = ? AND d.state = 'queued'", CS
        )
        assert len({row["kek_id"].partition("/")[2] for row in held_back}) == 2, "of both days"
        await renkei(town, "resume", CS, "--reason", "a new day", "--json")
        there = len(handed_in)
        await until(lambda: len(handed_in) >= there + 40, 60.0)
    finally:
        going = False
        await sending
    # ---- 0 failed deliveries
    await until(lambda: not whole.rows("SELECT id FROM delivery WHERE state <> 'delivered'"), 90.0)
    ends = whole.rows("SELECT party, count(*) AS n, max(attempts) AS most FROM delivery GROUP BY party")
    assert {row["party"]: row["n"] for row in ends} == {CS: len(handed_in), CARDS: len(handed_in)}
    assert (await whole.state(CARDS))["destinations"] == min(len(handed_in), RESIDENTS), "one for each resident"
    logs = "".join(file.read_text(errors="replace") for file in (town.var / "log").glob("*.log"))
    for trouble in ("unseal-failed", "data-key-broken", "day-key-destroyed", "key-custodian-waits", "key-custodian-failed", "lane-failed"):
        assert trouble not in logs, trouble
    # ---- until they vanish, both days open
    yesterday, today = (f"{each:%Y%m%d}" for each in (day - dt.timedelta(days=1), day))
    assert {each[:8] for each in days_of(whole)} == {yesterday, today}
    copy = copied(whole)
    assert {each["day"] for each in copy} == {yesterday, today}
    assert {opens(whole, each) for each in copy} == {True}
    # ---- yesterday's vanishes when today is over, today's a business day later
    calendar = BusinessCalendar()
    await to_business_time(town, dt.datetime.fromtimestamp(calendar.vanishes_at(start.timestamp()) + 60.0, JST))
    await vanished(whole, yesterday)
    assert {each["day"] for each in copy if opens(whole, each)} == {today}
    await whole.hand_in(TYPE, items(100_000))  # the doors seal under the key of the new day
    await to_business_time(town, dt.datetime.fromtimestamp(calendar.vanishes_at(start.timestamp() + 86_400.0) + 60.0, JST))
    await vanished(whole, today)
    assert not any(opens(whole, each) for each in copy), "a copy of rows and bodies is worth nothing"
    proved = await renkei(town, "retention", "prove", "--json", fails=True)
    assert proved.returncode == 0, proved.stdout


def days_of(whole: Whole) -> set[str]:
    """The day keys under which something is sealed."""
    return {row["kek_id"].partition("/")[2] for row in whole.rows("SELECT DISTINCT kek_id FROM data_key WHERE kek_id LIKE '%/%'")}


def copied(whole: Whole) -> list[dict[str, Any]]:
    """A thief's copy: bodies with their wrapped data keys."""
    query = (
        "SELECT k.id, k.message_id, k.party, k.kek_id, k.wrapped, p.sealed FROM data_key k JOIN payload p ON p.id = k.id "
        "WHERE k.kek_id LIKE '%/%'"
    )
    with sqlite3.connect(whole.town.var / "ledger" / "renkei.db") as ledger:
        ledger.row_factory = sqlite3.Row
        return [{**row, "day": row["kek_id"].partition("/")[2][:8]} for row in ledger.execute(query)]


def opens(whole: Whole, row: dict[str, Any]) -> bool:
    """Whether it opens with all keys that are there."""
    var = whole.town.var
    sealer = Sealer(KeyStore(var / "keys").ensure(), day_keys=DayKeys(var / "day-keys"), ephemeral=frozenset({TYPE}))
    try:
        sealer.unseal(
            row["sealed"], wrapped=row["wrapped"], kek_id=row["kek_id"], message_id=row["message_id"], message_type=TYPE, party=row["party"]
        )
    except SealBroken as error:
        assert error.code == "day-key-destroyed"
        return False
    return True


async def vanished(whole: Whole, day: str) -> None:
    """Its bodies are erased and its key is destroyed."""
    await renkei(whole.town, "retention", "run", "--reason", "a test", "--json")
    await until(lambda: not list((whole.town.var / "day-keys").glob(f"day-{day}-*.key")), 60.0)
    assert not [each for each in days_of(whole) if each.startswith(day)]
