"""Opening the ledger's database: settings that keep what was committed, files that nobody else reads, readers beside the writer (R21)."""

from __future__ import annotations

import asyncio
import fcntl
import itertools
import os
import sqlite3
import stat
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import exc as sa_exc
from sqlalchemy import insert, text

from gateway.errors import ConfigurationError, LedgerUnavailable
from gateway.ledger.checkpoints import Checkpointer
from gateway.ledger.engine import open_engine, pipelined
from gateway.ledger.failures import Kind, OperationFailed, classify
from gateway.ledger.sqlite import SqliteBackend, file_system
from gateway.ledger.sqlite_session import beside
from simulators.harness.postgres import PostgresServer
from tests.ledger.notes import Gate, Write, ledger, note, texts


@pytest.mark.rule("R21")
@pytest.mark.invariant("I1")
async def test_sqlite_settings_keep_what_was_committed(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/ledger.db")

    def pragmas(connection: Any) -> dict[str, Any]:
        names = ("journal_mode", "synchronous", "secure_delete", "foreign_keys", "wal_autocheckpoint", "busy_timeout")
        return {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names}

    session = engine.session()
    assert pragmas(session.connection) == {
        "journal_mode": "wal",
        "synchronous": 2,
        "secure_delete": 1,
        "foreign_keys": 1,
        "wal_autocheckpoint": 0,
        "busy_timeout": 0,
    }
    session.close()
    read = await engine.read(pragmas)
    assert (read["wal_autocheckpoint"], read["synchronous"]) == (0, 2)
    with pytest.raises(LedgerUnavailable, match="ledger-read-only"):
        await engine.read(lambda connection: connection.exec_driver_sql("CREATE TABLE x (a int)"))
    await engine.close()


@pytest.mark.invariant("I5")
async def test_sqlite_files_are_for_nobody_else(tmp_path: Path) -> None:
    old = os.umask(0o022)
    try:
        async with ledger(f"sqlite:///{tmp_path}/new/ledger.db") as (_, writer, _journal):
            await writer.submit(Write(text="a"))
            files = sorted((tmp_path / "new").iterdir())
            assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
            assert {file.name for file in files} >= {"ledger.db", "ledger.db-wal", "ledger.db-shm"}
            assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    finally:
        os.umask(old)


async def test_a_directory_that_others_may_write_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(ConfigurationError, match="ledger-directory-open"):
        open_engine(f"sqlite:///{tmp_path}/ledger.db")


async def test_network_file_systems_are_recognised(tmp_path: Path) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(
        "1 0 8:1 / / rw - ext4 /dev/vda rw\n"
        f"2 1 0:5 / {tmp_path.resolve()}/a\\040b rw,relatime shared:1 - nfs4 server:/x rw\n"
        f"3 2 0:6 / {tmp_path.resolve()}/a\\040b/c rw - tmpfs tmpfs rw\n"
    )
    (tmp_path / "a b" / "c" / "d").mkdir(parents=True)
    assert file_system(tmp_path, table) == "ext4"
    assert file_system(tmp_path / "a b", table) == "nfs4"
    assert file_system(tmp_path / "a b" / "c" / "d", table) == "tmpfs"
    assert file_system(tmp_path, tmp_path / "missing") == ""
    assert file_system(tmp_path) != ""


async def test_a_network_disk_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.ledger.sqlite.file_system", lambda path: "nfs4")
    with pytest.raises(ConfigurationError, match="ledger-network-disk"):
        open_engine(f"sqlite:///{tmp_path}/ledger.db")


@pytest.mark.parametrize("url", ["nonsense", "sqlite://", "sqlite:///:memory:", "mysql://x/y"])
async def test_what_is_not_a_ledger_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="ledger-url"):
        open_engine(url)


@pytest.mark.slow
@pytest.mark.rule("R21")
@pytest.mark.invariant("I1")
@pytest.mark.parametrize(
    ("setting", "code"),
    [
        ("synchronous_commit", "ledger-synchronous-commit-off"),
        ("fsync", "ledger-fsync-off"),
        ("full_page_writes", "ledger-full-page-writes-off"),
    ],
)
async def test_postgresql_that_would_lose_data_is_refused(setting: str, code: str) -> None:
    with PostgresServer(settings=f"{setting} = off\n") as server:
        engine = open_engine(server.url("postgres"))
        with pytest.raises(ConfigurationError, match=code):
            engine.session()
        with pytest.raises(ConfigurationError, match=code):
            await engine.read(texts)
        await engine.close()


@pytest.mark.slow
@pytest.mark.rule("R21")
async def test_postgresql_session(postgres_url: str) -> None:
    engine = open_engine(postgres_url)
    session = engine.session()
    now = session.begin()
    ask = session.connection.exec_driver_sql
    assert ask("SHOW transaction_isolation").scalar() == "read committed"
    assert ask("SHOW idle_in_transaction_session_timeout").scalar() == "2s"
    server_time = ask("SELECT extract(epoch FROM clock_timestamp())::float8").scalar_one()
    assert now <= server_time < now + 5
    session.rollback()
    session.close()
    with pytest.raises(LedgerUnavailable, match="ledger-read-only"):
        await engine.read(lambda connection: connection.exec_driver_sql("CREATE TABLE x (a int)"))
    await engine.close()


@pytest.mark.slow
async def test_postgresql_that_does_not_answer(tmp_path: Path) -> None:
    engine = open_engine(f"postgresql://postgres@/x?host={tmp_path}")
    with pytest.raises(LedgerUnavailable, match="ledger-unreachable"):
        engine.session()
    await engine.close()
    with pytest.raises(LedgerUnavailable, match="ledger-closed"):
        await engine.read(texts)


@pytest.mark.rule("R21")
async def test_readers_wait_for_no_writer_and_see_one_moment(ledger_url: str) -> None:
    async with ledger(ledger_url) as (engine, writer, _):
        await writer.submit(Write(text="before"))
        between, seen = Gate(), []

        def twice(connection: Any) -> None:
            seen.append(texts(connection))
            between(connection)
            seen.append(texts(connection))

        reading = asyncio.create_task(engine.read(twice))
        await between.entered()
        await writer.submit(Write(text="meanwhile"))  # a reader stops no writer
        within = Gate()
        writing = writer.enqueue(Write(text="open", act=within))
        await within.entered()
        assert await engine.read(texts) == ["before", "meanwhile"]  # a writer stops no reader
        between.open()
        await reading
        within.open()
        await writing
        assert seen == [["before"], ["before"]]


async def test_an_error_of_a_query_holds_no_values(ledger_url: str) -> None:
    async with ledger(ledger_url) as (engine, _, _journal):
        with pytest.raises(OperationFailed) as caught:
            await engine.read(lambda connection: connection.execute(text("SELECT :a FROM missing"), {"a": "SECRET"}))
        assert caught.value.code in {"ledger-statement", "ledger-schema"}
        assert "SECRET" not in f"{caught.value} {caught.value.__cause__}"
        assert await engine.read(texts) == []


async def test_pipelined_statements_and_their_errors(ledger_url: str) -> None:
    def work(connection: Any, operations: Any, now: float) -> list[str]:
        with pipelined(connection):
            for operation in operations:
                connection.execute(insert(note), {"text": operation.text, "place": 1})
                connection.execute(insert(note), {"text": f"{operation.text}-twin", "place": 2})
        return [operation.text.upper() for operation in operations]

    async with ledger(ledger_url, run=work) as (engine, writer, _):
        assert await writer.submit(Write(text="a")) == "A"
        with pytest.raises(OperationFailed, match="ledger-constraint"):
            await writer.submit(Write(text="a"))
        assert await writer.submit(Write(text="b")) == "B"
        assert sorted(await engine.read(texts)) == ["a", "a-twin", "b", "b-twin"]


@pytest.mark.rule("R21")
@pytest.mark.invariant("I9")
async def test_a_truncating_checkpoint_empties_the_log_and_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    async with ledger(f"sqlite:///{path}") as (engine, writer, _):
        await asyncio.gather(*(writer.submit(Write(text=f"PLAIN-{i}" + "x" * 500)) for i in range(200)))
        wal = Path(f"{path}-wal")
        assert wal.stat().st_size > 100_000
        backend = engine.backend
        assert isinstance(backend, SqliteBackend)
        assert await asyncio.to_thread(backend.checkpoint)
        assert wal.stat().st_size == 0
        assert len(await engine.read(texts)) == 200
        with beside(path, "checkpoint").open("w") as other:  # another process is at it
            fcntl.flock(other, fcntl.LOCK_EX)
            assert not await asyncio.to_thread(backend.checkpoint)


@pytest.mark.rule("R21")
async def test_the_log_stays_short_under_steady_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The checkpointer gets its turn although the writer never pauses."""
    monkeypatch.setattr("gateway.ledger.checkpoints.CHECKPOINT_BYTES", 200_000)
    monkeypatch.setattr("gateway.ledger.checkpoints.TRUNCATE_BYTES", 400_000)
    path = tmp_path / "ledger.db"
    wal = Path(f"{path}-wal")
    async with ledger(f"sqlite:///{path}") as (engine, writer, _):
        sizes: list[int] = []
        written = 0
        while len(sizes) < 3 or not any(after < before for before, after in itertools.pairwise(sizes)):
            await asyncio.gather(*(writer.submit(Write(text=f"{written}-{i}" + "x" * 500)) for i in range(20)))
            written += 20
            sizes.append(wal.stat().st_size)
        assert len(await engine.read(texts)) == written


@pytest.mark.rule("R21")
async def test_the_log_is_copied_for_what_came_into_it_and_not_for_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.ledger.checkpoints.CHECKPOINT_BYTES", 200_000)
    monkeypatch.setattr("gateway.ledger.checkpoints.Checkpointer.start", lambda self: None)  # ours alone looks
    path = tmp_path / "ledger.db"
    async with ledger(f"sqlite:///{path}") as (engine, writer, _):
        backend = engine.backend
        assert isinstance(backend, SqliteBackend)
        checkpointer = Checkpointer(path, backend._writers, 1.0)

        async def write(first: int, count: int) -> None:
            for i in range(first, first + count):
                await writer.submit(Write(text=f"{i}" + "x" * 2000))

        await write(0, 5)
        assert not await asyncio.to_thread(checkpointer.look)
        await write(5, 40)
        assert await asyncio.to_thread(checkpointer.look)
        assert Path(f"{path}-wal").stat().st_size > 200_000
        assert not await asyncio.to_thread(checkpointer.look)  # as long as before, but all of it is in the database
        await write(45, 5)
        assert not await asyncio.to_thread(checkpointer.look)
        await write(50, 40)
        assert await asyncio.to_thread(checkpointer.look)
        assert len(await engine.read(texts)) == 90


@pytest.mark.invariant("I9")
async def test_deleted_content_is_gone_from_the_file(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    async with ledger(f"sqlite:///{path}") as (engine, writer, _):
        secret = "ERASE-ME-" + "7f3a" * 50
        await writer.submit(Write(text="kept"))
        await writer.submit(Write(text=secret))
        backend = engine.backend
        assert isinstance(backend, SqliteBackend)
        await asyncio.to_thread(backend.checkpoint)
        assert secret.encode() in path.read_bytes()

        def erase(connection: Any) -> None:
            connection.execute(text("DELETE FROM note WHERE text = :text"), {"text": secret})

        await writer.submit(Write(text="x", act=erase))
        await asyncio.to_thread(backend.checkpoint)
        assert b"7f3a7f3a" not in path.read_bytes() + Path(f"{path}-wal").read_bytes()


def sqlite_error(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("made for a test")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (sqlite_error(sqlite3.SQLITE_FULL), Kind.UNAVAILABLE, "ledger-disk-full"),
        (sqlite_error(sqlite3.SQLITE_BUSY_SNAPSHOT), Kind.UNAVAILABLE, "ledger-locked"),
        (sqlite_error(sqlite3.SQLITE_IOERR_FSYNC), Kind.UNAVAILABLE, "ledger-io"),
        (sqlite_error(sqlite3.SQLITE_CORRUPT_INDEX), Kind.UNAVAILABLE, "ledger-corrupt"),
        (sqlite3.ProgrammingError("closed"), Kind.STATEMENT, "ledger-statement"),
        (psycopg.errors.DeadlockDetected(), Kind.CONTENTION, "ledger-contended"),
        (psycopg.errors.SerializationFailure(), Kind.CONTENTION, "ledger-contended"),
        (psycopg.errors.AdminShutdown(), Kind.LOST, "ledger-connection-lost"),
        (psycopg.errors.IdleInTransactionSessionTimeout(), Kind.LOST, "ledger-connection-lost"),
        (psycopg.errors.CannotConnectNow(), Kind.LOST, "ledger-connection-lost"),
        (psycopg.OperationalError("server closed the connection"), Kind.LOST, "ledger-connection-lost"),
        (psycopg.errors.PipelineAborted(), Kind.STATEMENT, "ledger-statement"),
        (psycopg.errors.DiskFull(), Kind.UNAVAILABLE, "ledger-disk-full"),
        (psycopg.errors.TooManyConnections(), Kind.UNAVAILABLE, "ledger-resources"),
        (psycopg.errors.LockNotAvailable(), Kind.UNAVAILABLE, "ledger-locked"),
        (psycopg.errors.QueryCanceled(), Kind.UNAVAILABLE, "ledger-timeout"),
        (psycopg.errors.DataCorrupted(), Kind.UNAVAILABLE, "ledger-corrupt"),
        (psycopg.errors.UniqueViolation(), Kind.STATEMENT, "ledger-constraint"),
        (psycopg.errors.UndefinedTable(), Kind.STATEMENT, "ledger-schema"),
        (sa_exc.InvalidRequestError("x"), Kind.STATEMENT, "ledger-statement"),
        (ValueError("x"), Kind.FOREIGN, "foreign"),
    ],
)
def test_every_failure_has_a_meaning(error: BaseException, kind: Kind, code: str) -> None:
    wrapped = sa_exc.OperationalError("SELECT 1", {}, error)
    assert (classify(error).kind, classify(error).code) == (kind, code)
    if kind is not Kind.FOREIGN and not isinstance(error, sa_exc.SQLAlchemyError):
        assert classify(wrapped) is classify(error)
