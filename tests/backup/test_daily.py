"""A backup each day, once, by one of the processes; and somebody says so when there is none. All data are fictitious."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.backup.daily import DailyBackups, due_since
from gateway.backup.manifest import found
from gateway.checks.backup import look_at_backups
from gateway.config import load
from gateway.keyring import key_store
from tests.backup.kit import Town

AT = dt.time(2, 30)


@pytest.fixture
async def town(tmp_path: Path, ledger_url: str) -> AsyncIterator[Town]:
    made = await Town.open(tmp_path, ledger_url)
    yield made
    await made.close()


def utc(day: int, hour: int, minute: int = 0) -> dt.datetime:
    return dt.datetime(2027, 1, day, hour, minute, tzinfo=dt.UTC)


def test_the_time_of_day_is_of_japan() -> None:
    assert due_since(AT, utc(5, 17, 29)) == utc(4, 17, 30)
    assert due_since(AT, utc(5, 17, 30)) == utc(5, 17, 30)


async def test_one_is_made_when_it_is_due_and_by_one_process_only(town: Town) -> None:
    await town.safe.submit(1)
    await town.chain()
    now = [time.time()]
    one, other = (
        DailyBackups(town.safe.ledger, town.place, AT, lambda: town.liveness.id, clock=lambda: now[0]) for _ in range(2)
    )  # fmt: skip
    assert await one.look() is None, "a new gateway waits for its first time of day"
    now[0] += 86_400
    made = await one.look()
    assert made is not None
    assert made.created_by == "backup"
    [entry] = await town.safe.entries("backup-created")
    assert made.backup in entry.detail
    now[0] = made.created_at + 1
    assert await one.look() is None
    assert await other.look() is None, "it sees in the folder that there is one"
    assert len(found(town.place.directory)) == 1
    now[0] += 2 * 86_400
    assert await other.look() is not None, "a day that was missed is made up for once"


async def test_one_that_is_under_way_at_the_stop_is_ended_and_recorded(town: Town) -> None:
    await town.chain()
    daily = DailyBackups(town.safe.ledger, town.place, AT, lambda: town.liveness.id, clock=lambda: time.time() + 86_400)
    daily._began = 0.0
    await daily.start()
    async with asyncio.timeout(10):
        while daily._making is None:
            await asyncio.sleep(0)
    await daily.stop()
    assert len(found(town.place.directory)) == len(await town.safe.entries("backup-created")) == 1


async def test_check_says_when_the_newest_is_too_old(town: Town, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(f"instance: test\nbackup: {{directory: {town.place.directory}, daily_at: '02:30'}}\n", encoding="utf-8")
    config = load(file, environment={})
    key_store(config).ensure()
    [finding] = await look_at_backups(config)
    assert finding.ok, "its first start was a moment ago"
    now = time.time()
    monkeypatch.setattr("gateway.checks.backup.time.time", lambda: now + 27 * 3600)
    [finding] = await look_at_backups(config)
    assert not finding.ok, "a day has passed without any"
    monkeypatch.undo()
    await town.backup()
    [finding] = await look_at_backups(config)
    assert finding.ok
    monkeypatch.setattr("gateway.checks.backup.time.time", lambda: now + 27 * 3600)
    [finding] = await look_at_backups(config)
    assert (finding.ok, finding.detail) == (False, "the newest is 27 h old")
    assert finding.remedy
