"""Bulk admission: chunks in the order of arrival, the same answers as one by one, live messages not behind it (I4)."""

from __future__ import annotations

import asyncio
import functools
from pathlib import Path
from typing import Any

import pytest

from certs.authority import TestAuthority
from gateway.errors import LedgerUnavailable, Unavailable
from gateway.intake.bulk import BulkAdmission
from gateway.intake.bulk_line import BulkLine, BulkServer, admit_chunk
from gateway.pacing import BulkPace
from tests.intake.kit import House, headers, house, submission, xml
from tests.intake.web import serve


@pytest.fixture
def home(tmp_path: Path) -> House:
    return house(tmp_path)


async def no_batch(body: bytes, *, system: str, supplier: str | None) -> tuple[bytes, list[str]]:
    raise AssertionError


def admission(home: House, chunk: int = 5) -> BulkAdmission:
    return BulkAdmission([functools.partial(admit_chunk, home.intake, BulkPace(1e6))], BulkPace(1e6), chunk=chunk)


@pytest.mark.invariant("I4")
@pytest.mark.rule("R17")
async def test_chunks_in_order_of_arrival_with_an_answer_for_each(home: House) -> None:
    bulk = admission(home)
    handed_in = [submission(xml(n), id=f"m{n}", lane="bulk") for n in range(1, 13)]
    broken = submission(b"<none/>", id="broken", lane="bulk")
    waiting = [asyncio.create_task(bulk.admit(each)) for each in (*handed_in[:3], broken, *handed_in[3:], handed_in[0])]
    await asyncio.sleep(0)
    bulk.start()
    answers = await asyncio.gather(*waiting)
    await bulk.stop()
    assert home.ledger.order == [f"m{n}" for n in range(1, 13)]
    assert max(home.ledger.batches) <= 5
    assert answers[3].refusal is not None
    assert [kept.source_id for kept in home.ledger.kept] == ["broken"]
    assert answers[-1].duplicate
    assert answers[-1].receipt == answers[0].receipt


@pytest.mark.invariant("I1")
async def test_where_the_ledger_is_away_everybody_is_told_and_nothing_stands(home: House) -> None:
    failing = [True]

    def before() -> Any:
        if failing[0]:
            raise LedgerUnavailable("ledger-io", "the disk")

    home.ledger.before = before
    bulk = admission(home)
    bulk.start()
    answers = await asyncio.gather(*(bulk.admit(submission(xml(n), id=f"m{n}", lane="bulk")) for n in (1, 2, 3)), return_exceptions=True)
    assert all(isinstance(each, Unavailable) for each in answers)
    failing[0] = False
    assert (await bulk.admit(submission(xml(4), id="m4", lane="bulk"))).receipt
    await bulk.stop()


@pytest.mark.invariant("I4")
async def test_one_that_fails_on_its_own_does_not_take_its_chunk_with_it(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = home.intake.commit

    async def poisoned(items: Any, **further: Any) -> Any:
        if any(item.prepared.source_id == "m2" for item in items):
            raise RuntimeError("a bug that this one brings out")
        return await commit(items, **further)

    monkeypatch.setattr(home.intake, "commit", poisoned)
    bulk = admission(home)
    waiting = [asyncio.create_task(bulk.admit(submission(xml(n), id=f"m{n}", lane="bulk"))) for n in (1, 2, 3)]
    await asyncio.sleep(0)
    bulk.start()
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    await bulk.stop()
    assert [isinstance(each, RuntimeError) for each in answers] == [False, True, False]
    assert home.ledger.order == ["m1", "m3"]


@pytest.mark.invariant("I4")
async def test_through_the_door_bulk_waits_its_turn_and_live_does_not(home: House, people: TestAuthority) -> None:
    gate = asyncio.Event()

    async def sleep(_: float) -> None:
        await gate.wait()

    pace = BulkPace(1.0, sleep=sleep)
    bulk = admission(home)
    bulk._pace = pace
    bulk.start()
    async with serve(home, people, bulk=bulk, pace=pace) as web:
        assert (await web.post(xml(1), headers("live-1"))).status == 202
        first = await web.post(xml(2), headers("bulk-1", ce_lane="bulk"))
        held = asyncio.create_task(web.post(xml(3), headers("bulk-2", ce_lane="bulk")))
        for number in (4, 5, 6):
            assert (await web.post(xml(number), headers(f"live-{number}"))).status == 202
        assert first.status == 202
        assert not held.done()
        gate.set()
        assert (await held).status == 202
    await bulk.stop()
    assert home.ledger.order == ["live-1", "bulk-1", "live-4", "live-5", "live-6", "bulk-2"]


@pytest.mark.invariant("I4")
@pytest.mark.invariant("I5")
async def test_the_bulk_process_answers_as_the_door_would_and_is_not_missed_when_it_goes(home: House, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = house(tmp_path / "other")
    socket = tmp_path / "bulk.sock"
    line = BulkLine(socket, functools.partial(admit_chunk, home.intake, BulkPace(1e6)), no_batch)
    chunk = [submission(xml(1), id="m1", lane="bulk"), submission(b"<none/>", id="m2"), submission(xml(3), id="m3", operator="clerk-1")]
    [ours, refused, _] = await line.take(chunk)
    assert home.ledger.order == ["m1", "m3"], "there is no bulk process yet"
    server = BulkServer(socket, functools.partial(admit_chunk, other.intake, BulkPace(1e6)), no_batch)
    await server.start()
    assert socket.stat().st_mode & 0o777 == 0o600
    [theirs, refused_there, third] = await line.take(chunk)
    assert other.ledger.order == ["m1", "m3"]
    assert other.ledger.messages[1].operator == "clerk-1"
    assert third.receipt
    assert theirs.receipt not in (b"", ours.receipt)
    assert refused.refusal is not None
    assert refused_there.refusal is not None
    assert str(refused_there.refusal) == str(refused.refusal)
    assert (refused_there.refusal.rule, refused_there.refusal.place) == (refused.refusal.rule, refused.refusal.place)
    assert (await line.take(chunk[:1]))[0].duplicate

    def away() -> Any:
        raise LedgerUnavailable("ledger-io", "the disk")

    other.ledger.before = away
    with pytest.raises(LedgerUnavailable) as told:
        await line.take([submission(xml(4), id="m4", lane="bulk")])
    assert told.value.code == "ledger-io"
    await server.stop()
    await line.take([submission(xml(5), id="m5", lane="bulk")])
    assert home.ledger.order == ["m1", "m3", "m5"], "the gateway does it itself"
    await line.close()
