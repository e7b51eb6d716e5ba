"""The disaster, with everything as processes: the only disk is lost under traffic, and the city goes on from the backup (R24).

All residents are fictitious. The register submits again what it sent since the backup; nothing takes effect twice, nothing is lost.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from simulators.harness.town import Plan, Town

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.rule("R24"), pytest.mark.invariant("I1"), pytest.mark.invariant("I2")]
SETTINGS: dict[str, Any] = {
    "kinds": ["MOVE", "AMEND_OFF", "HH_HEAD"], "events_a_day": 400, "days": [1], "https_share": 0.4, "order": "confirm",
    "watch_every_s": 1.0,
}  # fmt: skip


async def renkei(town: Town, *arguments: str, operator: str | None = None, code: int = 0) -> Any:
    command = [*town.plan.command, *arguments, "--config", str(town.config), "--json", *(["--as", operator] if operator else [])]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=90, cwd=town.folder, check=False)
    assert done.returncode == code, (arguments, done.stdout, done.stderr)
    return json.loads(done.stdout)


def journal(town: Town, kind: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in town.journal.read_text().splitlines()] if town.journal.exists() else []
    return [each for each in found if each["kind"] == kind]


def effects(town: Town) -> int:
    return len(journal(town, "effect"))


async def until(condition: Any, seconds: float = 120.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.1)


def forget_receipts(record: Path, since: float) -> int:
    """The register hands in again what it sent since the backup: by its own books, what was accepted after it."""
    kept, gone = [], 0
    for line in record.read_text().splitlines():
        entry = json.loads(line)
        if entry["kind"] == "receipt" and entry.get("accepted_at") and datetime.fromisoformat(entry["accepted_at"]).timestamp() >= since:
            gone += 1
        else:
            kept.append(json.dumps({**entry, "seq": len(kept) + 1}))
    record.write_text("\n".join(kept) + "\n")
    return gone


async def test_the_disk_is_lost_and_the_city_goes_on(tmp_path: Path) -> None:
    async with Town(tmp_path / "town", Plan(workers=1, population=60, city_seed=7, calls=4, records_per_call=8)) as town:
        await town.start()
        register = town.register(**SETTINGS, per_s=10.0)  # slowly, so that there is traffic before, during and after the backup
        register.start()
        await until(lambda: effects(town) >= 15)
        made = await renkei(town, "backup", "create")
        assert [each["backup"] for each in await renkei(town, "backup", "list")] == [made["backup"]]
        at_backup = effects(town)
        await until(lambda: effects(town) >= at_backup + 20)
        assert (await renkei(town, "backup", "verify"))["ok"]
        await register.stop()
        town["renkei"].kill(group=True)
        await town["renkei"].wait_ended()
        shutil.rmtree(town.var / "ledger")
        before = effects(town)

        done = await renkei(town, "backup", "restore", "--yes")
        assert done["backup"] == made["backup"]
        again = forget_receipts(town.record, datetime.fromisoformat(done["submit_again_from"]).timestamp())
        assert again >= 20
        town["renkei"].start()
        await town.gateway_ready()
        second = town.register(**SETTINGS, per_s=200.0)
        second.start()
        await until(lambda: town.verdict().complete)
        [stopped] = (await renkei(town, "backup", "status", operator="operator-a"))["items"]
        assert (stopped["party"], stopped["stopped"]) == ("city-cs", True)
        assert effects(town) == before, "every party stands still"
        order = [each["request"] for each in journal(town, "effect")]
        refused = await renkei(town, "resume", "city-cs", "--reason", "go on", operator="operator-a", code=5)
        assert refused["error"]["code"] == "restored-not-released"

        asked = await renkei(town, "backup", "release", "city-cs", "--reason", "compared", "--yes", operator="operator-a", code=6)
        await renkei(town, "approvals", "approve", asked["request_id"], "--yes", operator="operator-b")
        async with asyncio.timeout(150):
            while second.running or not (verdict := town.verdict(time_up=True)).complete or verdict.stuck or verdict.lost:
                await asyncio.sleep(0.2)
        # by the receipts the lost messages came later than by the journal: what took effect before is in its old order, and nothing is new
        assert (verdict.lost, verdict.duplicate_effects, verdict.stuck, verdict.foreign_effects) == (0, 0, 0, 0), verdict
        now = journal(town, "effect")
        assert [each["request"] for each in now][: len(order)] == order
        assert len(journal(town, "duplicate")) >= 20, "the party knew again what it had"
        updates: dict[str, int] = {}
        for each in now:
            assert each["update"] > updates.get(each["resident"], 0), "in the order of each resident"
            updates[each["resident"]] = each["update"]
        report = await renkei(town, "audit", "verify")
        assert report["ok"]
        assert len(report["restored"]) == 1
        assert (await renkei(town, "retention", "run", "--reason", "test", operator="operator-a"))["erased"] > 0
        assert (await renkei(town, "retention", "prove"))["ok"]
        assert await renkei(town, "retention", "history", operator="operator-a")
