"""What the writer answers when the database fails, and what is on disk afterwards (I1, R20, R21)."""

from __future__ import annotations

import asyncio
import fcntl
import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, make_url, text, update

from gateway.errors import LedgerUnavailable
from gateway.ledger.engine import LedgerEngine, open_engine
from gateway.ledger.sqlite_session import beside
from gateway.ledger.writer import Writer
from simulators.harness.postgres import PostgresServer
from tests.ledger.notes import Gate, Write, create_tables, ledger, note, texts

ROOT = Path(__file__).parents[2]


def once(act: Any) -> Any:
    """``act`` the first time only: what is repeated must succeed."""
    acted: list[bool] = []

    def first(connection: Connection) -> None:
        if not acted:
            acted.append(True)
            act(connection)

    return first


async def submit_group(writer: Writer, operations: list[Write]) -> list[Any]:
    """One group: handed in while the writer is busy."""
    gate = Gate()
    first = writer.enqueue(Write(text="gate", act=gate))
    await gate.entered()
    futures = [writer.enqueue(operation) for operation in operations]
    gate.open()
    results = await asyncio.gather(*futures, return_exceptions=True)
    await first
    return results


def codes(results: list[Any]) -> list[Any]:
    return [result.code if isinstance(result, LedgerUnavailable) else result for result in results]


KILLED = """
import asyncio, os, sys
from gateway.ledger.engine import open_engine
from gateway.ledger.writer import Writer
from tests.ledger.notes import Journal, Write

async def main():
    engine = open_engine(sys.argv[1])
    writer = Writer(engine, Journal().run)
    async def go(name):
        number = 0
        while True:
            text = await writer.submit(Write(text=f"{sys.argv[2]}-{name}-{number}"))
            os.write(1, f"{text}\\n".encode())
            number += 1
    await asyncio.gather(*(go(name) for name in range(8)))

asyncio.run(main())
"""


@pytest.mark.slow
@pytest.mark.invariant("I1")
@pytest.mark.rule("R20")
async def test_what_was_acknowledged_survives_a_kill(ledger_url: str) -> None:
    engine = open_engine(ledger_url)
    await asyncio.to_thread(create_tables, engine)
    chance = random.Random(20261)
    acknowledged: set[str] = set()
    for life in range(5):
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, ledger_url, str(life)], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}
        )
        assert process.stdout is not None
        said = b""
        wanted = chance.randint(1_000, 20_000)
        while len(said) < wanted:
            chunk = await asyncio.to_thread(os.read, process.stdout.fileno(), 4096)
            assert chunk, "the process ended by itself"
            said += chunk
        process.send_signal(signal.SIGKILL)
        said += await asyncio.to_thread(process.stdout.read)
        process.wait()
        acknowledged.update(said.decode().rpartition("\n")[0].split("\n"))
    kept = set(await engine.read(texts))
    assert len(acknowledged) > 300
    assert acknowledged <= kept
    await engine.close()


@pytest.mark.invariant("I1")
async def test_a_full_disk_refuses_and_passes(tmp_path: Path) -> None:
    def fill(connection: Connection) -> None:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

    def make_room(connection: Connection) -> None:
        connection.exec_driver_sql("PRAGMA max_page_count = 1000000")

    async with ledger(f"sqlite:///{tmp_path}/ledger.db") as (engine, writer, _):
        await writer.submit(Write(text="before", act=fill))
        results = await submit_group(writer, [Write(text="small"), *(Write(text="x" * 9000 + str(i)) for i in range(6))])
        assert codes(results) == ["small", *["ledger-disk-full"] * 6]
        await writer.submit(Write(text="after", act=make_room))
        assert await writer.submit(Write(text="x" * 9000)) == "x" * 9000
        assert await engine.read(lambda connection: [t[:5] for t in texts(connection)]) == ["before"[:5], "gate", "small", "after", "xxxxx"]


@pytest.fixture
def file_size_limit() -> Iterator[Any]:
    old = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(size: int | None) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (old[0] if size is None else size, old[1]))

    yield limit
    limit(None)


@pytest.mark.invariant("I1")
@pytest.mark.rule("R20")
async def test_a_disk_error_during_commit_is_told_as_unknown(tmp_path: Path, file_size_limit: Any) -> None:
    """The operating system refuses to let the log grow, which shows when COMMIT writes it."""
    path = tmp_path / "ledger.db"
    async with ledger(f"sqlite:///{path}") as (engine, writer, _):
        await writer.submit(Write(text="before"))
        size = Path(f"{path}-wal").stat().st_size
        results = await submit_group(writer, [Write(text="a", act=lambda _: file_size_limit(size)), Write(text="b" * 20_000)])
        file_size_limit(None)
        assert codes(results) == ["commit-unknown", "commit-unknown"]
        assert writer.statistics.commits_unknown == 1
        assert await writer.submit(Write(text="after")) == "after"
        assert await engine.read(texts) == ["before", "gate", "after"]


LOCKER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.readline()
"""


@pytest.mark.slow
@pytest.mark.rule("R21")
async def test_locked_by_another_process(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    async with ledger(f"sqlite:///{path}", lock_wait_s=0.3) as (engine, writer, _):
        await writer.submit(Write(text="before"))
        other = subprocess.Popen([sys.executable, "-c", LOCKER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert other.stdout is not None
        assert await asyncio.to_thread(other.stdout.readline) == "locked\n"
        started = time.monotonic()
        results = await asyncio.gather(*(writer.submit(Write(text=f"n{i}")) for i in range(4)), return_exceptions=True)
        assert codes(results) == ["ledger-locked"] * 4
        assert 0.3 <= time.monotonic() - started < 5
        assert await engine.read(texts) == ["before"]
        waiting = writer.enqueue(Write(text="after"))
        await asyncio.to_thread(other.communicate, "\n")
        assert await waiting == "after"


@pytest.mark.rule("R21")
async def test_a_frozen_process_in_the_turnstile_stops_nobody(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    async with ledger(f"sqlite:///{path}") as (_, writer, journal):
        await writer.submit(Write(text="before"))
        with beside(path, "turn").open("w") as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            assert await writer.submit(Write(text="meanwhile")) == "meanwhile"
        assert 0.01 < journal.records[-1].wait_s < 1


@pytest.mark.rule("R21")
async def test_the_turn_goes_round(tmp_path: Path) -> None:
    """Who commits without a pause stands behind who waits: between two commits of the hasty, one of the other that waited."""
    url = f"sqlite:///{tmp_path}/ledger.db"
    async with ledger(url) as (_, writer, _journal):
        other = open_engine(url)
        session = other.session()
        waits: list[float] = []
        gate = Gate()
        held = writer.enqueue(Write(text="held", act=gate))
        await gate.entered()
        futures = [writer.enqueue(Write(text=f"n{i}", size=200)) for i in range(30)]

        def take_turn() -> None:
            started = time.monotonic()
            session.begin()
            waits.append(time.monotonic() - started)
            seen.extend(texts(session.connection))
            session.rollback()

        seen: list[str] = []
        thread = threading.Thread(target=take_turn)
        thread.start()
        while not _somebody_stands_in_the_turnstile(tmp_path / "ledger.db"):
            await asyncio.sleep(0.001)
        gate.open()
        await asyncio.gather(held, *futures)
        await asyncio.to_thread(thread.join)
        session.close()
        await other.close()
        assert len(seen) <= 3, f"{len(seen)} commits went first, in {waits} s"


def _somebody_stands_in_the_turnstile(path: Path) -> bool:
    with beside(path, "turn").open("r+") as probe:
        try:
            fcntl.flock(probe, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


async def test_a_damaged_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.write_bytes(b"this is no database, and long enough to be read as one: " * 100)
    path.chmod(0o600)
    engine = open_engine(f"sqlite:///{path}")
    writer = Writer(engine, lambda connection, operations, now: [None])
    with pytest.raises(LedgerUnavailable, match="ledger-corrupt"):
        await writer.submit(Write(text="x"))
    await writer.close()
    await engine.close()


class _Session:
    """A session whose COMMIT fails; the real thing needs a failing disk."""

    connection: Any = None

    def __init__(self) -> None:
        self.closed = False

    def begin(self, *, bulk: bool = False) -> float:
        return 1.0

    def commit(self) -> None:
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
        raise error

    def rollback(self) -> None:
        raise AssertionError("a session in an unknown state is not used again")

    def close(self) -> None:
        self.closed = True


@pytest.mark.rule("R20")
async def test_after_a_failed_fsync_nobody_is_told_success_and_nothing_is_redone() -> None:
    sessions: list[_Session] = []
    runs: list[int] = []

    class Engine:
        dialect = "sqlite"

        def session(self) -> _Session:
            sessions.append(_Session())
            return sessions[-1]

    def run(connection: Any, operations: Any, now: float) -> list[None]:
        runs.append(len(operations))
        return [None] * len(operations)

    engine: Any = Engine()
    writer = Writer(engine, run)
    results = await asyncio.gather(*(writer.submit(Write(text=str(i))) for i in range(5)), return_exceptions=True)
    await writer.close()
    assert codes(results) == ["commit-unknown"] * 5
    assert sum(runs) == 5
    assert all(session.closed for session in sessions)


@pytest.mark.slow
@pytest.mark.rule("R20")
async def test_connections_cut_within_a_group(postgres_server: PostgresServer, postgres_url: str) -> None:
    """Before COMMIT was sent nothing has happened: the group is repeated on a new connection and nobody notices."""
    database = make_url(postgres_url).database
    assert database is not None

    def cut(_: Connection) -> None:
        assert postgres_server.terminate_connections(database) >= 1

    async with ledger(postgres_url) as (engine, writer, _):
        results = await submit_group(writer, [Write(text="a"), Write(text="b", act=once(cut)), Write(text="c")])
        assert results == ["a", "b", "c"]
        assert writer.statistics.repeated == 1
        assert writer.statistics.redone == 0
        assert await engine.read(texts) == ["gate", "a", "b", "c"]


@pytest.mark.slow
@pytest.mark.rule("R20")
async def test_an_operation_that_cuts_the_connection_each_time_fails_alone(postgres_server: PostgresServer, postgres_url: str) -> None:
    database = make_url(postgres_url).database
    assert database is not None

    def cut(_: Connection) -> None:
        postgres_server.terminate_connections(database)

    async with ledger(postgres_url) as (engine, writer, _):
        results = await submit_group(writer, [Write(text="a"), Write(text="b", act=cut), Write(text="c")])
        assert codes(results) == ["a", "ledger-connection-lost", "c"]
        assert await engine.read(texts) == ["gate", "a", "c"]


@pytest.mark.slow
@pytest.mark.rule("R20")
@pytest.mark.invariant("I1")
async def test_connection_lost_during_commit_which_took_effect(postgres_server: PostgresServer, postgres_url: str) -> None:
    """The server has committed but its answer never comes: nobody is told success, nothing is done twice."""
    database = make_url(postgres_url).database
    assert database is not None
    async with ledger(postgres_url) as (engine, writer, journal):
        await writer.submit(Write(text="before"))
        # A commit now waits for a standby that does not exist, after it is on disk.
        postgres_server.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        postgres_server.execute("SELECT pg_reload_conf()")
        try:
            waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND wait_event = 'SyncRep'"
            number, future = 0, writer.enqueue(Write(text="0"))
            while postgres_server.execute(waiting, (database,)) != [(1,)]:
                await asyncio.sleep(0.02)
                if future.done():  # the server has not heard of its new setting yet
                    number += 1
                    future = writer.enqueue(Write(text=str(number)))
            postgres_server.terminate_connections(database)
        finally:
            postgres_server.execute("ALTER SYSTEM RESET synchronous_standby_names")
            postgres_server.execute("SELECT pg_reload_conf()")
        with pytest.raises(LedgerUnavailable, match="commit-unknown"):
            await future
        assert str(number) in await engine.read(texts)  # what makes it so dangerous
        assert sum(group.count(str(number)) for group in journal.groups) == 1
        assert await writer.submit(Write(text="after")) == "after"


@pytest.mark.slow
@pytest.mark.rule("R20")
async def test_connection_lost_during_commit_which_did_not_take_effect(postgres_url: str) -> None:
    def plant(connection: Connection) -> None:
        body = "BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END"
        connection.execute(text(f"CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS '{body}'"))
        connection.execute(
            text(
                "CREATE CONSTRAINT TRIGGER dies_at_commit AFTER INSERT ON note DEFERRABLE INITIALLY DEFERRED "
                "FOR EACH ROW WHEN (NEW.text = 'deadly') EXECUTE FUNCTION die()"
            )
        )

    async with ledger(postgres_url) as (engine, writer, journal):
        await writer.submit(Write(text="before", act=plant))
        assert codes(await submit_group(writer, [Write(text="a"), Write(text="deadly")])) == ["commit-unknown"] * 2
        assert journal.groups[-1] == ["a", "deadly"]
        assert await engine.read(texts) == ["before", "gate"]
        assert await writer.submit(Write(text="a")) == "a"


@pytest.mark.slow
@pytest.mark.rule("R20")
async def test_a_server_that_is_restarted(tmp_path: Path) -> None:
    with PostgresServer() as server:
        async with ledger(server.create_database()) as (engine, writer, _):
            await writer.submit(Write(text="before"))
            await engine.read(texts)
            server.restart()
            assert await writer.submit(Write(text="restarted")) == "restarted"
            assert await engine.read(texts) == ["before", "restarted"]
            server.kill()
            results = await asyncio.gather(*(writer.submit(Write(text=f"n{i}")) for i in range(3)), return_exceptions=True)
            assert codes(results) == ["ledger-unreachable"] * 3
            with pytest.raises(LedgerUnavailable, match="ledger-"):
                await engine.read(texts)
            server.start()
            assert await writer.submit(Write(text="recovered")) == "recovered"
            assert await engine.read(texts) == ["before", "restarted", "recovered"]


@pytest.mark.slow
@pytest.mark.rule("R21")
async def test_a_process_frozen_within_a_transaction_stops_nobody(postgres_url: str) -> None:
    """The server throws it out after two seconds and its locks are free; when it wakes, its group is repeated."""

    def lock(connection: Connection) -> None:
        connection.execute(update(note).where(note.c.text == "shared").values(place=2))

    def freeze(connection: Connection) -> None:
        lock(connection)
        frozen.set()
        assert thaw.wait(20)

    def run(connection: Connection, operations: Any, now: float) -> list[None]:
        lock(connection)
        return [None] * len(operations)

    frozen, thaw = threading.Event(), threading.Event()
    async with ledger(postgres_url) as (engine, writer, _):
        await writer.submit(Write(text="shared"))
        future = writer.enqueue(Write(text="frozen", act=once(freeze)))
        assert await asyncio.to_thread(frozen.wait, 10)
        other = Writer(engine, run)
        started = time.monotonic()
        await other.submit(Write(text="other"))
        assert 1 < time.monotonic() - started < 4
        thaw.set()
        assert await future == "frozen"
        assert writer.statistics.repeated == 1
        await other.close()


@pytest.mark.slow
@pytest.mark.rule("R20")
async def test_a_deadlock_is_repeated_and_nobody_notices(postgres_url: str) -> None:
    barrier = threading.Barrier(2)

    def lock(*names: str) -> Any:
        meet = once(lambda _: barrier.wait(10))

        def act(connection: Connection) -> None:
            connection.execute(update(note).where(note.c.text == names[0]).values(place=2))
            meet(connection)
            connection.execute(update(note).where(note.c.text == names[1]).values(place=3))

        return act

    async with ledger(postgres_url) as (engine, writer, journal):
        await writer.submit(Write(text="one"))
        await writer.submit(Write(text="two"))
        other = Writer(engine, journal.run)
        results = await asyncio.gather(
            writer.submit(Write(text="a", act=lock("one", "two"))), other.submit(Write(text="b", act=lock("two", "one")))
        )
        assert list(results) == ["a", "b"]
        assert writer.statistics.repeated + other.statistics.repeated >= 1
        await other.close()


async def test_a_ledger_that_is_gone_is_answered_at_once(tmp_path: Path) -> None:
    """Without a database a group is not redone one by one: 200 callers would wait for 200 failures."""
    attempts: list[int] = []

    class Gone(LedgerEngine):
        def session(self) -> Any:
            attempts.append(1)
            raise LedgerUnavailable("ledger-unreachable", "made for a test")

    engine = open_engine(f"sqlite:///{tmp_path}/ledger.db")
    engine.__class__ = Gone
    writer = Writer(engine, lambda connection, operations, now: [None] * len(operations))
    results = await asyncio.gather(*(writer.submit(Write(text=str(i))) for i in range(100)), return_exceptions=True)
    assert codes(results) == ["ledger-unreachable"] * 100
    assert len(attempts) <= 100
    await writer.close()
    await engine.close()
