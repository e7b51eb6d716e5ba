"""Destination information vanishes everywhere one business day after it was sent (C-3-7-1), in every place that holds data, and a restore
from the evening before does not bring it back. All data are fictitious."""

from __future__ import annotations

import asyncio
import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from gateway.audit import export
from gateway.audit.sources import LedgerSource
from gateway.backup.looking import keys_in
from gateway.errors import InputRefused
from gateway.ledger import retention as lr
from gateway.ledger import tables as t
from gateway.ledger.queries import own_expired
from gateway.retention.calendar import JST, BusinessCalendar
from gateway.retention.erasures import NO_HEAD, keys_of
from gateway.retention.proof import Finding, Places, prove
from gateway.security.sealing import SealBroken
from tests.backup.conftest import town
from tests.backup.kit import OTHER, Town
from tests.retention.test_keeper import DAYS, TYPE, admit, deliver_all, shift

__all__ = ["town"]
pytestmark = [pytest.mark.invariant("I9"), pytest.mark.rule("R23"), pytest.mark.rule("R24"), pytest.mark.thorough]

ORDINARY = (dt.datetime(2026, 6, 3, 10, 0, tzinfo=JST), dt.date(2026, 6, 4))
NEW_YEAR = (dt.datetime(2025, 12, 26, 10, 0, tzinfo=JST), dt.date(2026, 1, 5))
"""A Friday: 29 December to 3 January are no business days, nor is the Sunday after."""
GOLDEN_WEEK = (dt.datetime(2026, 5, 1, 17, 0, tzinfo=JST), dt.date(2026, 5, 7))
"""A Friday: 3 to 6 May 2026 are holidays."""


async def clock(town: Town, moment: dt.datetime) -> None:
    """Business time is ``moment`` now."""
    now = (await town.safe.ledger.read(lr.clocks)).ledger
    await shift(town.safe.ledger, moment.timestamp() - now)


def places(town: Town, now: dt.datetime | None = None) -> Places:
    """As the configuration of a gateway would give them."""
    folders = {name: [town.folder / name] for name in ("broker", "export", "submit", "log")}
    return Places(
        engine=town.safe.ledger.engine,
        erasures=town.place.erasures,
        folders=folders,
        backups=lambda: keys_in(town.place, town.place.keys, 30),
        day_keys=town.safe.day_keys.ids,
        calendar=BusinessCalendar(),
        now=(now or dt.datetime.now(JST)).timestamp(),
    )


async def proof(town: Town) -> dict[str, Finding]:
    return {each.place: each for each in await asyncio.to_thread(prove, places(town))}


@pytest.mark.control("C-3-7-1")
@pytest.mark.control("C-3-7-2")
@pytest.mark.control("C-3-7-3")
@pytest.mark.control("C-1-7-15")
@pytest.mark.control("C-1-7-16")
@pytest.mark.parametrize("when", [ORDINARY, NEW_YEAR, GOLDEN_WEEK], ids=["ordinary", "new-year", "golden-week"])
@pytest.mark.parametrize("count", [pytest.param(350, marks=pytest.mark.thorough)])
async def test_one_business_day_after_it_was_sent_nothing_of_it_opens(town: Town, when: tuple[dt.datetime, dt.date], count: int) -> None:
    await vanish(town, when, count)


@pytest.mark.long
@pytest.mark.timeout(3000)
@pytest.mark.control("C-3-7-1")
async def test_the_same_for_a_hundred_thousand(town: Town) -> None:
    await vanish(town, NEW_YEAR, 100_000)


async def vanish(town: Town, when: tuple[dt.datetime, dt.date], count: int) -> None:
    sent, last_day = when
    await admit(town.safe, count)
    await deliver_all(town.safe)
    town.tamper(f"UPDATE delivery SET final_at = {sent.timestamp()!r}")  # sent on that day
    file, manifest = await town.backup()  # in the evening
    assert manifest.left_out["data_key"] == 2 * count
    kept = await town.safe.rows(t.data_key)
    bodies = {row.id: bytes(row.sealed) for row in await town.safe.rows(t.payload)}
    provided = len(await town.safe.entries("provided"))

    await clock(town, dt.datetime.combine(last_day, dt.time(23, 59, 50), JST))
    assert (await town.keeper.run("test")).erased == 0, "the day is not over"
    await clock(town, dt.datetime.combine(last_day + dt.timedelta(days=1), dt.time(0, 0, 1), JST))
    assert (await town.keeper.run("test")).erased == 2 * count
    await town.chain()

    folder = town.folder / "export"
    source = LedgerSource(town.safe.ledger.engine.read_here)
    export.write(folder, (export.block_text(block, rows) for block, rows in source.blocks()), [])
    found = await proof(town)
    assert {name: each.verdict for name, each in found.items() if each.verdict != "nothing-left"} == (
        {} if town.safe.ledger.engine.dialect == "sqlite" else {"ledger-files": "not-searched"}
    )
    assert found["ledger-rows"].searched == 2 * count
    assert found["backup"].searched == 1
    assert len(await town.safe.entries("provided")) == provided == count, "the records of the provision stay"
    assert sum(row.count for row in await town.safe.rows(t.disposal)) == 2 * count, "the disposal history lists them"

    # whoever has kept a copy of the bodies and of the wrapped keys has nothing either, when the day is over
    town.safe.day_keys._now = lambda: 4e9
    await shift(town.safe.ledger, DAYS)  # the key is that of the day on which the test runs
    await town.safe.custodian.step()
    for row in kept:
        if "/" in row.kek_id:
            with pytest.raises(SealBroken, match="day-key-destroyed"):
                town.safe.sealer.unseal(
                    bodies[row.id], wrapped=bytes(row.wrapped), kek_id=row.kek_id, message_id=row.message_id, message_type=TYPE,
                    party=row.party,
                )  # fmt: skip

    done, again = await town.restore(file)
    assert (done.erased, done.unknown) == (0, {}), "nothing of it was in the backup"
    assert await again.safe.rows(t.data_key) == []
    assert await again.safe.rows(t.payload) == []
    assert len(await again.safe.rows(t.message)) == count
    after = await proof(again)
    assert after["ledger-rows"].verdict == "nothing-left"
    report = again.verify_chain()
    assert report.findings == []


@pytest.mark.control("C-3-7-4")
@pytest.mark.edge("F2-7", "dead-letter")
async def test_what_was_never_sent_expires_after_one_business_day(town: Town) -> None:
    sent, last_day = GOLDEN_WEEK
    await admit(town.safe, 5)
    town.tamper(f"UPDATE delivery SET accepted_at = {sent.timestamp()!r}")
    await clock(town, dt.datetime.combine(last_day, dt.time(23, 59, 50), JST))
    assert (await town.keeper.run("test")).expired == 0
    await clock(town, dt.datetime.combine(last_day + dt.timedelta(days=1), dt.time(0, 0, 1), JST))
    assert (await town.keeper.run("test")).expired == 5
    assert town.keeper.expired == 5, "counted: renkei_retention_expired"
    assert await town.safe.rows(t.data_key) == []

    def told(system: str, after: str | None, limit: int) -> Any:
        return town.safe.ledger.read(lambda conn: own_expired(conn, system, after, limit))

    first = await told("resident-record-system", None, 3)
    rest = await told("resident-record-system", first["next_after"], 3)
    assert (first["more"], rest["more"], len(first["items"]), len(rest["items"])) == (True, False, 3, 2)
    assert {each["id"] for each in first["items"] + rest["items"]} == {row.source_id for row in await town.safe.rows(t.message)}
    assert first["items"][0]["reason"] == "destination-information"
    again = await told("resident-record-system", rest["next_after"], 3)
    assert again == {"items": [], "next_after": rest["next_after"], "more": False}
    assert (await told("another-system", None, 3))["items"] == [], "each its own only"
    with pytest.raises(InputRefused, match="query-malformed"):
        await told("resident-record-system", "yesterday", 3)


async def test_whatever_is_left_somewhere_is_found(town: Town) -> None:
    """The proof itself proves something: a wrapped key that lies in any of the places is seen."""
    await admit(town.safe, 3)
    await deliver_all(town.safe)
    kept = await town.safe.rows(t.data_key)
    await shift(town.safe.ledger, DAYS)
    await town.keeper.run("test")
    erased = keys_of(list(town.place.erasures.since(NO_HEAD)))
    assert erased == {row.id for row in kept}
    wrapped = bytes(kept[0].wrapped)
    for place, content in (("broker", b"x" * 13 + wrapped), ("log", wrapped.hex().encode()), ("export", wrapped), ("submit", wrapped)):
        planted = town.folder / place / "deep" / "file"
        planted.parent.mkdir(parents=True)
        planted.write_bytes(content)
        found = await proof(town)
        assert (found[place].verdict, found[place].detail) == ("remains", "file")
        planted.unlink()
    assert {each.verdict for each in (await proof(town)).values()} <= {"nothing-left", "not-searched"}
    row = kept[0]._mapping
    values = f"'{row['id']}', '{row['message_id']}', 'city-cs', 'k', 1.0"
    binary = f"'\\x{wrapped.hex()}'" if town.safe.ledger.engine.dialect == "postgresql" else f"x'{wrapped.hex()}'"
    town.tamper(f"INSERT INTO data_key (id, message_id, party, kek_id, created_at, wrapped) VALUES ({values}, {binary})")
    found = await proof(town)
    assert found["ledger-rows"].verdict == "remains"
    if town.safe.ledger.engine.dialect == "sqlite":
        assert found["ledger-files"].verdict == "remains"


@pytest.mark.control("C-1-7-17")
async def test_a_backup_from_before_is_named_until_it_is_disposed_of(town: Town) -> None:
    await admit(town.safe, 2, OTHER)
    file, _ = await town.backup()
    await deliver_all(town.safe)
    await town.keeper.run("test")
    found = await proof(town)
    assert (found["backup"].verdict, "2 erased since" in found["backup"].detail) == ("until-disposed", True)
    late = await asyncio.to_thread(prove, places(town, dt.datetime.now(JST) + dt.timedelta(days=30)))
    assert next(each for each in late if each.place == "day-keys").searched == 0
    assert file.exists()


def test_a_day_key_that_outlived_its_day_is_found(tmp_path: Path) -> None:
    from gateway.retention.proof import _day_keys

    made = Places(
        engine=None, erasures=None, calendar=BusinessCalendar(), day_keys=lambda: ["20261228-00000000", "20270106-00000000"],  # type: ignore[arg-type]
        now=dt.datetime(2027, 1, 6, 12, 0, tzinfo=JST).timestamp(),
    )  # fmt: skip
    assert (_day_keys(made).verdict, _day_keys(made).detail) == ("remains", "20261228-00000000")
