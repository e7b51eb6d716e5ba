"""Who chains: one process by a lease, whoever dies; nothing committed is left out; nothing of it stops silently (R22)."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from gateway.audit import operations as ops
from gateway.audit import queries
from gateway.audit.canonical import build
from gateway.audit.chainer import BEHIND_S
from gateway.audit.outside import OutsideFile, read_file
from gateway.checks.preflight import look_at_audit
from gateway.config import load
from gateway.errors import LedgerUnavailable, Unavailable
from gateway.ledger.failures import OperationFailed
from gateway.ledger.leases import TakeLease
from gateway.ledger.unit import run_group
from tests.audit.kit import Record, Write, codes

pytestmark = [pytest.mark.rule("R22"), pytest.mark.invariant("I8"), pytest.mark.thorough]


async def second(record: Record, url: str, folder: Path) -> Record:
    """Another process on the same ledger with the same keys and file."""
    other = await Record.open(url, folder, keys=record.keys.directory)
    other.outside = record.outside
    other.chainer._outside = OutsideFile(record.outside)
    return other


# ---- the lease -----------------------------------------------------------------------------------------------------------------------


async def test_one_chains_and_the_other_takes_over_when_its_registration_ends(record: Record, ledger_url: str, tmp_path: Path) -> None:
    other = await second(record, ledger_url, tmp_path)
    try:
        await record.write("first")
        await record.chainer.once()
        await other.chainer.once()
        assert (record.chainer.holds, other.chainer.holds) == (True, False)
        await record.write("second")
        await other.chainer.once()
        assert (await record.state()).oldest_at is not None, "only the holder chains"
        await record.ledger.end(record.liveness.id)
        await other.chainer.once()
        assert other.chainer.holds
        assert (await record.state()).oldest_at is None
        assert record.verify().ok
    finally:
        await other.close()


async def test_a_holder_that_was_replaced_without_noticing_writes_nothing(record: Record, ledger_url: str, tmp_path: Path) -> None:
    """Frozen between building a block and writing it, it wakes up after another has chained the same entries."""
    other = await second(record, ledger_url, tmp_path)
    try:
        await record.write("first", count=3)
        held = await record.ledger.submit(TakeLease(name=queries.LEASE, worker=record.liveness.id))
        rows = await record.ledger.read(lambda conn: queries.unchained(conn, 10))
        late = build(rows, after=None, chain="a-chain", at=1.0)
        await record.ledger.end(record.liveness.id)
        await other.chainer.once()
        with pytest.raises(ops.LeaseLost):
            await record.ledger.submit(ops.AddBlock(held=held, block=late, chain="a-chain"))
        assert other.verify().ok
    finally:
        await other.close()


async def test_two_that_both_think_they_hold_the_lease_cannot_fork_the_chain(record: Record) -> None:
    """Even with the lease given to both: the chain has moved, or the digest before is taken."""
    await record.fill(2)
    state = await record.state()
    held = await record.ledger.submit(TakeLease(name=queries.LEASE, worker=record.liveness.id))
    await record.write("more", count=2)
    rows = await record.ledger.read(lambda conn: queries.unchained(conn, 10))
    first = build(rows[:1], after=state.head, chain="x", at=1.0)
    rival = build(rows[1:], after=state.head, chain="x", at=1.0)
    await record.ledger.submit(ops.AddBlock(held=held, block=first, chain="x"))
    with pytest.raises(ops.ChainMoved):
        await record.ledger.submit(ops.AddBlock(held=held, block=rival, chain="x"))
    with pytest.raises(Exception, match=r"(?i)unique"):
        record.tamper(
            "INSERT INTO audit_block (number, previous, digest, at, entries, total, leaves) VALUES (99, :p, :d, 1, 1, 1, '')",
            p=rival.previous, d=rival.digest,
        )  # fmt: skip
    assert record.verify().ok


async def test_a_bad_block_fails_alone_and_what_stood_in_its_group_is_done(record: Record) -> None:
    await record.fill(1)
    state = await record.state()
    held = await record.ledger.submit(TakeLease(name=queries.LEASE, worker=record.liveness.id))
    await record.write("more")
    rows = await record.ledger.read(lambda conn: queries.unchained(conn, 10))
    ghost = build([rows[0]._replace(id="0" * 32)], after=state.head, chain="x", at=1.0)
    bad, good = await asyncio.gather(
        record.ledger.submit(ops.AddBlock(held=held, block=ghost, chain="x")),
        record.ledger.submit(Write(kind="beside", bulk=True)),
        return_exceptions=True,
    )
    assert isinstance(bad, ops.ChainMoved)
    assert good is None
    await record.chainer.once()
    assert record.verify().ok


async def test_when_it_ends_it_chains_the_rest_signs_and_lets_go(record: Record, ledger_url: str, tmp_path: Path) -> None:
    await record.chainer.start()
    await record.write("last", count=5)
    await record.chainer.stop()
    state = await record.state()
    assert (state.oldest_at, state.holder) == (None, None)
    assert state.checkpoint is not None
    assert state.head is not None
    assert state.checkpoint.block == state.head.number
    assert "reason shutdown\n" in state.checkpoint.text or "reason interval\n" in state.checkpoint.text
    other = await second(record, ledger_url, tmp_path)
    try:
        await other.write("later")
        await other.chainer.once()  # at once: nobody has to run out
        assert other.chainer.holds
    finally:
        await other.close()


# ---- completeness --------------------------------------------------------------------------------------------------------------------


async def test_what_commits_later_with_smaller_ids_is_chained_too(record: Record, ledger_url: str) -> None:
    """On PostgreSQL a transaction may begin before and end after others; on SQLite a clock may step back: ids say nothing."""
    if ledger_url.startswith("postgresql"):
        session = record.ledger.engine.session()
        try:
            now = session.begin()
            run_group(session.connection, [Write(kind="slow", count=3)], now)
            await record.write("quick", count=3)
            await record.chainer.once()
            assert (await record.state()).head is not None
            session.commit()
        finally:
            session.close()
    else:
        await record.write("quick", count=3)
        await record.chainer.once()
        record.tamper("INSERT INTO audit_entry (id, at, kind, actor, detail) VALUES ('000000000001', 1.5, 'slow', 'tester', '{}')")
    await record.chainer.once(reason="test")
    report = record.verify()
    assert report.ok
    assert report.unchained == 0
    assert report.blocks == 2


WRITER = """
import asyncio, sys
from pathlib import Path
from tests.audit.kit import Record

async def main(url, folder, keys, outside, name):
    record = await Record.open(url, Path(folder) / name, keys=Path(keys))
    record.chainer._outside.path = Path(outside)
    await record.chainer.start()
    print("ready", flush=True)
    number = 0
    while True:
        await record.write(name, count=3)
        number += 3
        print(number, flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.thorough
async def test_processes_that_are_killed_leave_no_entry_out_and_no_fork(record: Record, ledger_url: str, tmp_path: Path) -> None:
    """Three processes write and want to chain; whoever chains is killed again and again, at any moment."""
    dice = random.Random(22)
    told: dict[str, int] = {}
    running: dict[str, asyncio.subprocess.Process] = {}
    serial = 0

    async def start() -> None:
        nonlocal serial
        serial += 1
        name = f"writer-{serial}"
        running[name] = await asyncio.create_subprocess_exec(
            sys.executable, "-c", WRITER, ledger_url, str(tmp_path), str(record.keys.directory), str(record.outside), name,
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        stdout = running[name].stdout
        assert stdout is not None
        assert (await asyncio.wait_for(stdout.readline(), 60)).strip() == b"ready"

    async def listen(name: str) -> None:
        stdout = running[name].stdout
        assert stdout is not None
        while line := await stdout.readline():
            told[name] = int(line)

    listeners = []
    try:
        for _ in range(3):
            await start()
        listeners = [asyncio.create_task(listen(name)) for name in running]
        for _ in range(4):
            async with asyncio.timeout(30):
                while (holder := (await record.state()).holder) is None:
                    await asyncio.sleep(0.05)  # until somebody chains
                blocks = await _blocks(record)
                while await _blocks(record) < blocks + dice.randrange(1, 4):
                    await asyncio.sleep(0.02)
            pid = await record.ledger.read(lambda conn, holder=holder: conn.execute(
                text("SELECT pid FROM worker WHERE id = :id"), {"id": holder}).scalar_one())  # fmt: skip
            name = next(name for name, each in running.items() if each.pid == pid)
            os.kill(pid, signal.SIGKILL)
            await running.pop(name).wait()
            await record.ledger.end_process(pid)  # as the supervisor does
            await start()
            listeners.append(asyncio.create_task(listen(list(running)[-1])))
    finally:
        for each in running.values():
            each.kill()
        await asyncio.gather(*(each.wait() for each in running.values()))
        await asyncio.gather(*listeners)
    for each in running.values():
        await record.ledger.end_process(each.pid)
    await record.chainer.once(reason="test")
    report = record.verify()
    assert report.ok, report.findings[:5]
    assert report.unchained == 0
    for name, number in told.items():
        assert await _count(record, name) >= number, "what was told to be committed is there"
    # also of one that was killed before it told of anything
    assert report.entries == sum([await _count(record, f"writer-{number}") for number in range(1, serial + 1)])
    assert report.signed_to == report.last_block


async def _blocks(record: Record) -> int:
    head = (await record.state()).head
    return 0 if head is None else head.number


async def _count(record: Record, kind: str) -> int:
    statement = text("SELECT count(*) FROM audit_entry WHERE kind = :kind AND block IS NOT NULL")
    return await record.ledger.read(lambda conn: conn.execute(statement, {"kind": kind}).scalar_one())


# ---- never silently ------------------------------------------------------------------------------------------------------------------


async def test_a_chain_that_cannot_go_on_makes_the_process_not_ready(small: Record) -> None:
    small.tamper("INSERT INTO audit_entry (id, at, kind, actor, detail) VALUES ('00', 1.5, 'old', 'tester', '{}')")
    small.tamper("CREATE TRIGGER stuck BEFORE INSERT ON audit_block BEGIN SELECT RAISE(ABORT, 'no'); END")
    with pytest.raises((LedgerUnavailable, OperationFailed)):
        await small.chainer.once()
    assert small.chainer.age_s > BEHIND_S
    with pytest.raises(Unavailable, match="audit-behind"):
        await small.chainer.check()
    small.tamper("DROP TRIGGER stuck")
    await small.chainer.once()
    await small.chainer.once()
    assert small.chainer.age_s == 0
    await small.chainer.check()


async def test_checkpoints_that_cannot_be_written_outside_are_told_and_caught_up(small: Record) -> None:
    small.outside.parent.parent.joinpath("outside").write_text("in the way")
    await small.write("entry")
    with pytest.raises(Unavailable, match="audit-checkpoint-file"):
        await small.chainer.once()
    small.outside.parent.unlink()
    await small.chainer.once()
    assert small.verify().ok
    assert OutsideFile(small.outside).last() == 1


@pytest.mark.parametrize("left", [-1, -2, -40, -99, -300])
async def test_a_checkpoint_that_was_cut_short_on_disk_is_followed_by_whole_ones(small: Record, left: int) -> None:
    await small.fill(2)
    whole = small.outside.read_text()
    small.outside.write_text(whole[:left])
    await small.fill(1)
    assert small.verify().ok
    assert sorted({each.read().number for each in read_file(small.outside)}) == [1, 2, 3]
    assert small.outside.read_text().startswith(whole[:left])


async def test_renkei_check_finds_a_ledger_that_was_cut_back(small: Record, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(f"ledger: {{url: 'sqlite:///{tmp_path}/ledger/ledger.db'}}\naudit: {{checkpoints: {small.outside}}}\n")
    config = load(file, environment={})
    await small.fill(4)
    assert [each.ok for each in await look_at_audit(config)] == [True, True]
    for table, column in (("audit_entry", "block"), ("audit_block", "number"), ("audit_checkpoint", "block")):
        small.tamper(f"DELETE FROM {table} WHERE {column} > 2")
    [_, found] = await look_at_audit(config)
    assert (found.ok, "cut off" in found.detail, bool(found.remedy)) == (False, True, True)
    await small.fill(4)
    assert [each.ok for each in await look_at_audit(config)] == [True, False], "going on does not heal it"
    assert ("chain-forked", 3) in codes(small.verify())


async def test_what_outsiders_trigger_is_counted_in_an_entry_and_chained_like_any_other(small: Record) -> None:
    await small.write("connections-refused", peer="192.0.2.1", count_of_minute=41)
    await small.chainer.once(reason="test")
    [block] = small.ledger.engine.read_here(lambda conn: queries.blocks(conn, 0, 1))
    [row] = small.rows(block)
    assert (row.kind, '"count_of_minute":41' in row.detail, row.block) == ("connections-refused", True, 1)
    assert small.verify().ok
