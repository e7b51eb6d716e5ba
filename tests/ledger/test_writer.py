"""The writer's groups: what belongs together, in what order, and who is told what (R20, R21)."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from sqlalchemy import text

from gateway.errors import LedgerUnavailable
from gateway.ledger.failures import OperationFailed
from gateway.ledger.pace import Pace
from gateway.ledger.writer import GATHER_ENOUGH
from tests.ledger.notes import Gate, Write, ledger, texts


async def behind_gate(writer: Any, operations: list[Write], gate: Gate | None = None) -> list[Any]:
    """Hand in operations while the writer is busy, and wait for all of them."""
    gate = gate or Gate()
    first = writer.enqueue(Write(text="gate", act=gate))
    await gate.entered()
    futures = [writer.enqueue(operation) for operation in operations]
    gate.open()
    results = await asyncio.gather(*futures, return_exceptions=True)
    await first
    return results


@pytest.mark.rule("R20")
async def test_commits_at_once_when_idle_and_gathers_while_busy(ledger_url: str) -> None:
    async with ledger(ledger_url) as (engine, writer, journal):
        assert await writer.submit(Write(text="alone")) == "alone"
        results = await behind_gate(writer, [Write(text=f"n{i}") for i in range(20)])
        assert results == [f"n{i}" for i in range(20)]
        assert journal.groups == [["alone"], ["gate"], [f"n{i}" for i in range(20)]]
        assert await engine.read(texts) == ["alone", "gate", *(f"n{i}" for i in range(20))]


@pytest.mark.rule("R20")
async def test_callers_side_by_side_share_a_transaction(ledger_url: str) -> None:
    async with ledger(ledger_url, gather_s=1.0) as (_, writer, journal):
        await behind_gate(writer, [Write(text="a"), Write(text="b")])
        early = writer.enqueue(Write(text="c"))
        await asyncio.sleep(0.02)  # the writer is idle, and would have begun
        await asyncio.gather(early, writer.submit(Write(text="d")))
        assert journal.groups == [["gate"], ["a", "b"], ["c", "d"]]


@pytest.mark.rule("R20")
async def test_a_lone_caller_and_a_large_group_wait_for_nobody(ledger_url: str) -> None:
    async with ledger(ledger_url, gather_s=30.0) as (_, writer, journal):
        started = time.monotonic()
        for text_ in "abc":
            await writer.submit(Write(text=text_))
        await behind_gate(writer, [Write(text="d"), Write(text="e")])
        await writer.submit(Write(text="large", size=GATHER_ENOUGH))
        assert journal.groups == [["a"], ["b"], ["c"], ["gate"], ["d", "e"], ["large"]]
        assert time.monotonic() - started < 20


@pytest.mark.invariant("I4")
@pytest.mark.parametrize("beside", [{"bulk": True}, {"size": GATHER_ENOUGH}], ids=["bulk", "batches"])
async def test_something_live_beside_bulk_or_batches_waits_for_nobody(ledger_url: str, beside: Any) -> None:
    async with ledger(ledger_url, gather_s=30.0) as (_, writer, journal):
        started = time.monotonic()
        await behind_gate(writer, [Write(text="a", **beside), Write(text="b", **beside)])
        await writer.submit(Write(text="live"))
        assert journal.groups == [["gate"], ["a", "b"], ["live"]]
        assert time.monotonic() - started < 20


@pytest.mark.rule("R20")
@pytest.mark.invariant("I4")
async def test_live_before_bulk_each_in_order_of_submission(ledger_url: str) -> None:
    async with ledger(ledger_url) as (_, writer, journal):
        operations = [Write(text=f"{'bulk' if i % 3 else 'live'}-{i:02}", bulk=bool(i % 3)) for i in range(12)]
        await behind_gate(writer, operations)
        live = [op.text for op in operations if not op.bulk]
        bulk = [op.text for op in operations if op.bulk]
        assert journal.groups == [["gate"], live, bulk]


@pytest.mark.invariant("I4")
async def test_bulk_that_waited_long_is_not_starved_by_live(ledger_url: str) -> None:
    async with ledger(ledger_url, max_group=4) as (_, writer, journal):
        gate = Gate()
        first = writer.enqueue(Write(text="gate", act=gate))
        await gate.entered()
        bulk = writer.enqueue(Write(text="bulk", bulk=True))
        waited_since = time.monotonic()
        while time.monotonic() - waited_since < 0.11:  # longer than its patience
            await asyncio.sleep(0.01)
        live = [writer.enqueue(Write(text=f"live-{i}")) for i in range(8)]
        gate.open()
        await asyncio.gather(first, bulk, *live)
        assert journal.groups == [
            ["gate"],
            ["live-0", "live-1", "live-2", "live-3", "bulk"],
            ["live-4", "live-5", "live-6", "live-7"],
        ]


@pytest.mark.rule("R20")
async def test_groups_are_bounded_by_units_and_a_large_operation_is_not_divided(ledger_url: str) -> None:
    async with ledger(ledger_url, max_group=10) as (_, writer, journal):
        sizes = [4, 4, 4, 30, 1, 9, 1]
        await behind_gate(writer, [Write(text=f"{i}", size=size) for i, size in enumerate(sizes)])
        assert journal.groups[1:] == [["0", "1"], ["2"], ["3"], ["4", "5"], ["6"]]


@pytest.mark.rule("R20")
async def test_one_bad_operation_fails_alone(ledger_url: str) -> None:
    def explode(_: Any) -> None:
        raise ValueError("planted")

    async with ledger(ledger_url) as (engine, writer, journal):
        results = await behind_gate(
            writer,
            [
                Write(text="a"),
                Write(text="bad", act=explode),
                Write(text="b"),
                Write(text="gate"),  # violates the primary key
                Write(text="c"),
            ],
        )
        assert [results[0], results[2], results[4]] == ["a", "b", "c"]
        assert isinstance(results[1], ValueError)
        assert isinstance(results[3], OperationFailed)
        assert results[3].code == "ledger-constraint"
        assert not results[3].retry
        assert "gate" not in str(results[3])
        assert await engine.read(texts) == ["gate", "a", "b", "c"]
        assert journal.groups[2:] == [["a"], ["bad"], ["b"], ["gate"], ["c"]]
        assert writer.statistics.redone == 1


@pytest.mark.rule("R20")
async def test_an_expected_refusal_is_a_result_and_disturbs_nobody(ledger_url: str) -> None:
    async with ledger(ledger_url) as (engine, writer, journal):
        refusal = KeyError("expected")
        results = await behind_gate(writer, [Write(text="a"), Write(text="no", answer=refusal), Write(text="b")])
        assert results == ["a", refusal, "b"]
        assert len(journal.groups) == 2
        assert await engine.read(texts) == ["gate", "a", "b"]


@pytest.mark.rule("R20")
async def test_whatever_an_operation_raises_the_writer_goes_on(ledger_url: str) -> None:
    def stop(_: Any) -> None:
        raise StopIteration

    def leave(_: Any) -> None:
        raise asyncio.CancelledError

    async with ledger(ledger_url) as (engine, writer, _):
        results = await behind_gate(writer, [Write(text="a", act=stop), Write(text="b", act=leave), Write(text="c")])
        assert isinstance(results[0], RuntimeError)
        assert isinstance(results[1], asyncio.CancelledError)
        assert results[2] == "c"
        assert await writer.submit(Write(text="d")) == "d"
        assert await engine.read(texts) == ["gate", "c", "d"]


@pytest.mark.rule("R20")
async def test_results_only_after_commit(ledger_url: str) -> None:
    """While the transaction is open, nothing is told and nothing is to be seen; as soon as it is told, everybody sees it."""
    async with ledger(ledger_url) as (engine, writer, _):
        gate = Gate()
        future = writer.enqueue(Write(text="before"))
        await future
        held = writer.enqueue(Write(text="held", act=gate))
        await gate.entered()
        assert await engine.read(texts) == ["before"]
        assert not held.done()
        gate.open()
        await held
        assert await engine.read(texts) == ["before", "held"]


@pytest.mark.rule("R20")
async def test_cancelling_the_caller_does_not_cancel_the_operation(ledger_url: str) -> None:
    async with ledger(ledger_url) as (engine, writer, _):
        gate = Gate()
        first = writer.enqueue(Write(text="gate", act=gate))
        await gate.entered()
        task = asyncio.create_task(writer.submit(Write(text="cancelled")))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        gate.open()
        await first
        await writer.submit(Write(text="after"))
        assert await engine.read(texts) == ["gate", "cancelled", "after"]


@pytest.mark.rule("R20")
@pytest.mark.invariant("I1")
async def test_a_swallowed_error_of_the_database_is_never_a_success(ledger_url: str) -> None:
    """An operation that goes on after the database gave up its transaction would be told success by a driver that quietly rolls back."""

    def give_up(connection: Any) -> None:
        if engine.dialect == "sqlite":
            connection.connection.driver_connection.rollback()
            return
        try:
            connection.execute(text("SELECT 1/0"))
        except Exception as error:
            swallowed.append(error)

    def run(connection: Any, operations: Any, now: float) -> list[None]:
        give_up(connection)
        return [None] * len(operations)

    swallowed: list[Exception] = []
    async with ledger(ledger_url, run=run) as (engine, writer, _):
        with pytest.raises(Exception, match=r".*") as caught:
            await writer.submit(Write(text="x"))
        assert type(caught.value).__name__ == "TransactionGone"


async def test_close_does_what_waits_and_refuses_the_rest(ledger_url: str) -> None:
    async with ledger(ledger_url) as (engine, writer, _):
        futures = [writer.enqueue(Write(text=f"n{i:02}", bulk=i % 2 == 0)) for i in range(50)]
        await writer.close()
        assert sorted(await asyncio.gather(*futures)) == [f"n{i:02}" for i in range(50)]
        assert len(await engine.read(texts)) == 50
        with pytest.raises(LedgerUnavailable, match="ledger-closed"):
            await writer.submit(Write(text="late"))


async def test_close_without_draining_answers_everybody(ledger_url: str) -> None:
    async with ledger(ledger_url) as (engine, writer, _):
        gate = Gate()
        first = writer.enqueue(Write(text="gate", act=gate))
        await gate.entered()
        waiting = [writer.enqueue(Write(text=f"n{i}")) for i in range(3)]
        closing = asyncio.create_task(writer.close(drain=False))
        await asyncio.sleep(0)
        gate.open()
        await closing
        assert await first == "gate"
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert [isinstance(result, LedgerUnavailable) and result.code for result in results] == ["ledger-closed"] * 3
        assert await engine.read(texts) == ["gate"]


@pytest.mark.rule("R21")
async def test_a_group_learns_how_much_fits_into_the_lock(tmp_path: Any) -> None:
    def slow(_: Any) -> None:
        end = time.monotonic() + 0.001
        while time.monotonic() < end:
            pass

    async with ledger(f"sqlite:///{tmp_path}/ledger.db", target_lock_s=0.008) as (_, writer, journal):
        await asyncio.gather(*(writer.submit(Write(text=f"n{i:03}", act=slow)) for i in range(400)))
        sizes = [len(group) for group in journal.groups][2:-1]
        assert max(sizes) <= Pace.AT_LEAST


@pytest.mark.rule("R21")
def test_the_pace_follows_what_was_measured() -> None:
    pace = Pace()
    assert pace.units_in(0.008) == 50
    for _ in range(100):
        pace.learn(100, work_s=0.004, commit_s=0.002)
    assert pace.units_in(0.008) == pytest.approx(150, abs=1)
    pace.learn(150, work_s=0.150, commit_s=0.002)  # a slow group is believed at once
    assert pace.units_in(0.008) == Pace.AT_LEAST
    for _ in range(40):
        pace.learn(30, work_s=0.0012, commit_s=0.002)  # and forgotten in time
    assert pace.units_in(0.008) > 120
    for _ in range(100):
        pace.learn(100, work_s=0.004, commit_s=0.100)
    assert pace.units_in(0.008) == pytest.approx(50, abs=1)  # a slow disk: a quarter of the time is left for work
    assert pace.units_in(float("inf")) > 1_000_000


@pytest.mark.thorough
@pytest.mark.rule("R21")
async def test_pause_after_a_bulk_group_ends_for_something_live(tmp_path: Any) -> None:
    async with ledger(f"sqlite:///{tmp_path}/ledger.db", bulk_pause_s=1.5) as (_, writer, journal):
        await writer.submit(Write(text="bulk-0", bulk=True))
        waiting = writer.enqueue(Write(text="bulk-1", bulk=True))
        started = time.monotonic()
        await writer.submit(Write(text="live"))
        assert time.monotonic() - started < 1
        assert not waiting.done()
        assert journal.groups == [["bulk-0"], ["live"]]
        await asyncio.wait_for(waiting, 10)
        assert time.monotonic() - started > 1


async def test_statistics_and_records(ledger_url: str) -> None:
    async with ledger(ledger_url) as (_, writer, journal):
        await behind_gate(writer, [Write(text=f"n{i}", size=3) for i in range(5)])
        await writer.close()
        assert writer.statistics.groups == 2
        assert writer.statistics.operations == 6
        assert writer.statistics.units == 16
        last = journal.records[-1]
        assert (last.operations, last.units, last.committed, last.bulk) == (5, 15, True, False)
        assert last.work_s > 0
        assert last.commit_s > 0
        assert writer.statistics.longest_lock_s >= last.lock_s
