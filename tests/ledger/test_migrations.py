"""The migrated schema is the one that the code uses, on both databases; migrating is done by one process and never backwards (R21)."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, make_url, text

from gateway.errors import CommandRefused, ConfigurationError
from gateway.ledger.clock import boot_time, business_clock, ledger_time, set_business_offset
from gateway.ledger.engine import LedgerEngine, open_engine
from gateway.ledger.migrate import HEAD, _scripts, check_schema, current_revision, migrate
from gateway.ledger.tables import metadata
from simulators.harness.postgres import PostgresServer, programs

pytestmark = pytest.mark.thorough


@pytest.fixture
def ledger_url(empty_ledger_url: str) -> str:
    return empty_ledger_url


def in_session(engine: LedgerEngine, work: Any) -> Any:
    session = engine.session()
    try:
        session.begin()
        result = work(session.connection)
        session.commit()
        return result
    finally:
        session.close()


@pytest.mark.rule("R21")
async def test_the_migrated_schema_is_that_of_the_tables(ledger_url: str) -> None:
    engine = open_engine(ledger_url)
    revision = migrate(engine)
    assert migrate(engine) == revision
    assert check_schema(engine) == revision

    def differences(connection: Connection) -> list[Any]:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        return compare_metadata(context, metadata)

    assert await engine.read(differences) == []
    await engine.close()


def test_the_newest_revision_is_the_one_in_the_folder() -> None:
    assert _scripts().get_heads() == [HEAD]


LOADED = """
import sys
from gateway.ledger.ledger import Ledger
ledger = Ledger.open(sys.argv[1])
print(sorted(name for name in ("alembic", "zeep", "rich") if name in sys.modules))
"""


async def test_a_start_with_a_ledger_that_is_up_to_date_loads_no_alembic(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    engine = open_engine(url)
    migrate(engine)
    await engine.close()
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", LOADED, url],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert done.stdout.strip() == "[]"


def sqlite_schema(connection: Connection) -> set[tuple[str, ...]]:
    """Each statement as its clauses, sorted: constraints come in any order."""
    rows = connection.execute(text("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name <> 'alembic_version'"))
    clauses = (re.sub(r"\)\s*WITHOUT ROWID\s*$", ", WITHOUT ROWID", row.sql).split(",") for row in rows)
    return {tuple(sorted(" ".join(clause.split()).rstrip(" )") for clause in each)) for each in clauses}


async def test_every_word_of_the_schema_is_the_same_on_sqlite(tmp_path: Path) -> None:
    """Partial indexes and defaults, which Alembic does not compare."""
    migrated = open_engine(f"sqlite:///{tmp_path}/migrated.db")
    migrate(migrated)
    built = open_engine(f"sqlite:///{tmp_path}/built.db")
    in_session(built, metadata.create_all)
    assert await migrated.read(sqlite_schema) == await built.read(sqlite_schema)
    await migrated.close()
    await built.close()


@pytest.mark.slow
async def test_every_word_of_the_schema_is_the_same_on_postgresql(postgres_server: PostgresServer) -> None:
    dumps = []
    for build in (migrate, lambda engine: in_session(engine, metadata.create_all)):
        url = postgres_server.create_database()
        engine = open_engine(url)
        build(engine)
        await engine.close()
        command = [str(programs() / "pg_dump"), "--schema-only", "--exclude-table=alembic_version", "-U", "postgres"]
        database = make_url(url).database
        assert database is not None
        done = await asyncio.to_thread(
            subprocess.run, [*command, "-h", str(postgres_server.folder), database], check=True, capture_output=True, text=True
        )
        dumps.append(sorted(line for line in done.stdout.splitlines() if line.strip() and not line.startswith(("\\", "--"))))
        postgres_server.drop_database(database)
    assert dumps[0] == dumps[1]
    assert any("WHERE (due_at IS NOT NULL)" in line for line in dumps[0])


@pytest.mark.rule("R21")
async def test_a_newer_schema_is_refused(ledger_url: str) -> None:
    engine = open_engine(ledger_url)
    migrate(engine)
    in_session(engine, lambda connection: connection.execute(text("UPDATE alembic_version SET version_num = '9999'")))
    with pytest.raises(ConfigurationError, match="ledger-schema-newer"):
        migrate(engine)
    with pytest.raises(ConfigurationError, match="ledger-schema-newer"):
        check_schema(engine)
    assert await engine.read(current_revision) == "9999"
    await engine.close()


@pytest.mark.rule("R21")
async def test_a_process_that_does_not_migrate_refuses_an_older_schema(ledger_url: str) -> None:
    engine = open_engine(ledger_url)
    with pytest.raises(ConfigurationError, match="ledger-schema-older"):
        check_schema(engine)
    await engine.close()


MIGRATE = """
import sys
from gateway.ledger.engine import open_engine
from gateway.ledger.migrate import migrate
engine = open_engine(sys.argv[1])
sys.stdin.readline()
print(migrate(engine))
engine.close_here()
"""


@pytest.mark.slow
@pytest.mark.rule("R21")
async def test_several_processes_migrate_at_once(ledger_url: str) -> None:
    """All succeed; the tables are made once, and the ledger is born once."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", MIGRATE, ledger_url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    results = [await asyncio.to_thread(process.communicate, timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], results
    engine = open_engine(ledger_url)
    revision = await engine.read(current_revision)
    assert {output.strip() for output, _ in results} == {revision}
    assert await engine.read(lambda connection: connection.scalar(text("SELECT count(*) FROM meta WHERE name = 'incarnation'"))) == 1
    await engine.close()


@pytest.mark.rule("R21")
async def test_only_a_test_profile_shifts_business_time(ledger_url: str) -> None:
    engine = open_engine(ledger_url)
    migrate(engine)
    migrate(engine, profile="test")  # too late: the profile is for life
    with pytest.raises(CommandRefused, match="business-clock-real"):
        in_session(engine, lambda connection: set_business_offset(connection, 86400.0))
    assert (await engine.read(business_clock)).offset_s == 0.0
    await engine.close()


@pytest.mark.rule("R21")
async def test_business_time_is_ledger_time_and_an_offset(ledger_url: str) -> None:
    engine = open_engine(ledger_url)
    migrate(engine, profile="test")
    in_session(engine, lambda connection: set_business_offset(connection, 86400.5))
    clock = await engine.read(business_clock)
    now = await engine.read(ledger_time)
    assert clock.at(now) == now + 86400.5
    assert clock.profile == "test"
    before = boot_time()
    assert boot_time() >= before > 0
    await engine.close()
