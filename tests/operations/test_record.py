"""The audit record of a whole gateway: chained while it runs, whoever is killed, and signed to its end when it stops."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from simulators.harness.town import Plan, Town

pytestmark = [pytest.mark.slow, pytest.mark.rule("R22"), pytest.mark.invariant("I8")]
HOLDER = "SELECT pid FROM worker JOIN lease ON lease.worker = worker.id WHERE ended_at IS NULL"
UNCHAINED = "SELECT count(*) FROM audit_entry WHERE block IS NULL"


def ask(town: Town, query: str) -> Any:
    with closing(sqlite3.connect(f"file:{town.var}/ledger/renkei.db?mode=ro", uri=True, timeout=5)) as connection:
        row = connection.execute(query).fetchone()
    return row and row[0]


async def until(town: Town, query: str, fits: Any) -> Any:
    async with asyncio.timeout(30):
        while not fits(found := ask(town, query)):
            await asyncio.sleep(0.05)
    return found


async def renkei(town: Town, *arguments: str) -> tuple[int, str]:
    pipes = {"stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.STDOUT}
    process = await asyncio.create_subprocess_exec(*town.renkei(*arguments), **pipes)
    out, _ = await process.communicate()
    return process.returncode or 0, out.decode()


async def test_the_record_goes_on_when_who_chains_is_killed_and_is_signed_to_its_end(tmp_path: Path) -> None:
    async with Town(tmp_path / "town", Plan(workers=1, population=50)) as town:
        await town.start()
        assert (await renkei(town, "pause", "city-cs", "--reason", "their maintenance"))[0] == 0
        await until(town, UNCHAINED, lambda count: count == 0)
        first = await until(town, HOLDER, bool)
        os.kill(first, signal.SIGKILL)
        await until(town, HOLDER, lambda pid: pid not in (None, first))
        code, out = 1, ""
        async with asyncio.timeout(60):  # the gateway process may be the one that comes back
            while code != 0:
                code, out = await renkei(town, "resume", "city-cs", "--reason", "it is over")
        assert "city-cs" in out
        await until(town, UNCHAINED, lambda count: count == 0)
        await town["renkei"].stop()
        # nothing runs any more: the end is chained and signed, and what is outside agrees
        process = await asyncio.create_subprocess_exec(
            *town.plan.command, "audit", "verify", "--config", str(town.config), "--json", stdout=asyncio.subprocess.PIPE
        )
        out_bytes, _ = await process.communicate()
        report = json.loads(out_bytes)
        assert report["ok"], report["findings"]
        assert report["unchained"] == 0
        assert report["signed_to"] == report["last_block"] > 0
        assert set(report["keys"].values()) == {"pinned"}
        checkpoints = town.var / "audit" / "checkpoints.txt"
        assert checkpoints.read_text().count("renkei audit checkpoint ") == report["checkpoints"]
        logs = "".join(file.read_text() for file in (town.var / "log").glob("*.log"))
        assert f'"digest": "{report["last_digest"]}"' in logs, "the log, shipped elsewhere, is a second witness"
