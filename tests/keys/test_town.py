"""A small town with everything in it, as processes: every key is rotated while messages flow, and what is left tells nobody anything.

One run for both questions, since a start takes seconds. Searched is everything below the town's folder (broker, ledger with its log, keys,
logs, records, configuration, what auditors took out, the journals of register and city CS, which are sealed, too), temporary files,
metrics pages, and the environment and command line of each process. Not searched: the memory of the processes, and the file that an
operator hands in, which *is*
a message and lies outside.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from certs.tls import client_context
from simulators.city import City
from simulators.harness.town import REGISTER, Plan, Town
from tests.keys.canary import in_bytes, needles, search
from tests.support.data import read_yaml

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
POPULATION, SEED = 60, 7
KINDS = ("MOVE", "AMEND_OFF", "HH_HEAD")
IDENTIFYING = (
    "resident_record_code", "former_resident_record_code", "individual_number", "name_kanji", "name_furigana", "name_kana_normalised",
    "address", "previous_address", "former_name",
)  # fmt: skip


@dataclass
class Day:
    """What happened."""

    town: Town
    temporary: Path
    rotated: dict[str, Any] = field(default_factory=dict)
    found_by_number: list[Any] = field(default_factory=list)
    processes: dict[int, bytes] = field(default_factory=dict)
    """Environment and command line of each."""
    core_limits: dict[str, str] = field(default_factory=dict)
    pages: dict[int, bytes] = field(default_factory=dict)
    """Metrics by port."""
    identifiers: set[str] = field(default_factory=set)


def identifiers_of(city: City) -> set[str]:
    """Everything that says who somebody is, of all residents and of every event of the first days."""
    records = [city.initial_record(index) for index in range(city.population)]
    records += [event.items for day in range(1, 4) for event in city.day(day, 400)]
    return {value for items in records for name in IDENTIFYING if (value := items.get(name))}


@pytest.fixture(scope="module")
async def day(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Day]:
    folder = tmp_path_factory.mktemp("town")
    temporary = tmp_path_factory.mktemp("temporary")
    before = tempfile.tempdir
    plan = Plan(workers=2, population=POPULATION, city_seed=SEED, calls=4, records_per_call=8, environment={"TMPDIR": str(temporary)})
    city = City(SEED, POPULATION, kinds=KINDS)
    async with Town(folder, plan) as town:
        town.set_up()
        config = read_yaml(town.config.read_text())
        config["admin"]["operators"]["operator-a"]["roles"].append("auditor")
        town.config.write_text(yaml.safe_dump(config))
        await town.start()
        made = Day(town, temporary, identifiers=identifiers_of(city))
        register = town.register(
            kinds=list(KINDS), events_a_day=400, days=list(range(1, 4)), per_s=40.0, https_share=0.4, spoil=3, spoil_every=20,
            order="confirm", watch_every_s=1.0,
        )  # fmt: skip
        register.start()
        await progress(town, 40)
        made.rotated["jwe"] = await renkei(town, "keys", "rotate", "jwe", "--reason", "test of rotation", "--json")
        made.rotated["content"] = await renkei(town, "keys", "rotate", "content", "--reason", "test of rotation", "--json")
        for kind in ("kek", "blind", "kek"):
            made.rotated[kind] = await renkei(town, "keys", "rotate", kind, "--reason", "test of rotation", "--wait", "--json")
        await progress(town, len(town.journal.read_text().splitlines()) + 60)
        number = city.initial_record(1)["resident_record_code"]
        wanted = ("--by", "resident-code", "--reason", "test of rotation")
        made.found_by_number = await renkei(town, "message", *wanted, "--json", stdin=f"{number}\n")
        # what is refused at a door is kept, sealed: its names must not be in a log either
        event = next(iter(city.day(1, 400)))
        assert isinstance(event.xml, bytes)
        refused = folder.parent / f"{folder.name}-handed-in.xml"
        refused.write_bytes(event.xml.replace(b"</sex>", b"9</sex>"))
        done = await renkei(town, "submit", str(refused), "--system", REGISTER, "--type", "identity-information-update", fails=True)
        assert "refused" in done.stderr + done.stdout, done
        register.signal(10)  # SIGUSR1: no more messages
        await at_rest(town, register)
        await taken_out(town)
        for pid in [*town.supervised().values(), town["renkei"].pid, town["city-cs"].pid]:
            made.processes[pid] = Path(f"/proc/{pid}/environ").read_bytes() + b"\0" + Path(f"/proc/{pid}/cmdline").read_bytes()
        made.core_limits = {name: core_limit(pid) for name, pid in town.supervised().items()}
        made.pages = {port: await asyncio.to_thread(page, town, port) for port in range(town.ports.metrics, town.ports.metrics + 3)}
        await asyncio.sleep(max(0.0, 11.0 - (time.time() - made.rotated["kek"]["at"])))  # every process has noticed by then
        await until_one_kek(town)
        yield made
        tempfile.tempdir = before


def core_limit(pid: int) -> str:
    [line] = [line for line in Path(f"/proc/{pid}/limits").read_text().splitlines() if line.startswith("Max core file size")]
    return line.split()[4]


async def renkei(town: Town, *arguments: str, stdin: str = "", fails: bool = False) -> Any:
    command = [] if {"submit", "check", "prove"} & {*arguments} else ["--as", "operator-a"]
    done = await asyncio.to_thread(
        subprocess.run,
        [*town.plan.command, *arguments, "--config", str(town.config), *command],
        input=stdin, capture_output=True, text=True, timeout=60, cwd=town.folder, check=False,
    )  # fmt: skip
    assert fails or done.returncode == 0, done.stderr
    if fails:
        return done
    found = json.loads(done.stdout)
    return {**found, "at": time.time()} if isinstance(found, dict) else found


async def taken_out(town: Town) -> None:
    """What operators and auditors take out of the gateway lies about as well, with whatever it says on a screen."""
    out = town.folder / "taken-out"
    out.mkdir()
    await renkei(town, "audit", "export", str(out / "record"), "--json")
    since = ["--from", "2020-01-01"]
    for name, command in (
        ("entries", ["audit", "show", *since, "--json"]),
        ("scope", ["audit", "scope", "--party", "city-cs", *since, "--to", "2100-01-01", "--json"]),
        ("quarantine", ["quarantine", "list", "--json"]),
        ("provisions", ["provisions", "search", "--staff", "--reason", "test of the canary", "--json"]),
        ("held", ["held", "--json"]),
        ("status", ["status", "--json"]),
    ):
        (out / f"{name}.json").write_text(json.dumps(await renkei(town, *command), ensure_ascii=False))


async def progress(town: Town, lines: int) -> None:
    """Until the city CS has written so many lines."""
    async with asyncio.timeout(60):
        while not town.journal.exists() or len(town.journal.read_text().splitlines()) < lines:
            await asyncio.sleep(0.1)


async def at_rest(town: Town, register: Any) -> None:
    async with asyncio.timeout(90):
        while register.running or not (verdict := town.verdict(time_up=True)).complete or verdict.stuck or verdict.lost:
            await asyncio.sleep(0.2)


async def until_one_kek(town: Town) -> None:
    async with asyncio.timeout(30):
        while len(list((town.var / "keys").glob("kek-*.key"))) > 1:
            await asyncio.sleep(0.1)


def page(town: Town, port: int) -> bytes:
    certificates = town.certificates
    context: ssl.SSLContext = client_context(
        certificates / "monitor.pem", certificates / "monitor.key", certificates / "ca.pem", certificates / "ca.crl"
    )
    context.check_hostname = False
    with urllib.request.urlopen(f"https://127.0.0.1:{port}/metrics", context=context, timeout=10) as answer:
        return bytes(answer.read())


@pytest.mark.invariant("I1")
@pytest.mark.invariant("I2")
@pytest.mark.invariant("I3")
async def test_every_key_is_rotated_under_traffic_without_one_failed_delivery(day: Day) -> None:
    verdict = day.town.verdict(time_up=True)
    assert verdict.ok, verdict.examples
    assert verdict.complete
    assert verdict.effects > 150
    logs = "".join(file.read_text(errors="replace") for file in (day.town.var / "log").glob("*.log"))
    for trouble in ("unseal-failed", "data-key-broken", "key-custodian-failed", "jwe-key-unknown", "lane-failed"):
        assert trouble not in logs
    shown = await renkei(day.town, "keys", "list", "--json")
    by_kind = {kind: [each for each in shown if each["kind"] == kind] for kind in ("kek", "blind", "content", "jwe")}
    assert {kind: len(each) for kind, each in by_kind.items()} == {"kek": 1, "blind": 2, "content": 2, "jwe": 2}
    for kind, found in by_kind.items():
        assert found[0]["id"] == day.rotated[kind]["id"]
        assert all(not each["uses"] for each in found[1:]), "nothing hangs on an older key"
    assert day.found_by_number, "a resident is found by the number, whatever key the index was made with"
    checked = await renkei(day.town, "keys", "check", "--json")
    assert checked["ok"], checked


@pytest.mark.invariant("I5")
async def test_nothing_that_was_left_names_anybody(day: Day, tmp_path: Path) -> None:
    assert len(day.identifiers) > 200
    wanted = needles(day.identifiers)
    files = [file for top in (day.town.folder, day.temporary) for file in top.rglob("*") if file.is_file()]
    names = {file.name for file in files}
    assert "renkei.db" in names
    assert "register.jsonl" in names
    assert any("quorum" in str(file) for file in files), "what the broker kept is among them"
    assert {"checkpoints.txt", "chain.txt", "quarantine.json", "provisions.json", "node.log", "supervisor.json"} <= names
    assert len(json.loads((day.town.folder / "taken-out" / "quarantine.json").read_text())) > 0
    with sqlite3.connect(day.town.var / "ledger" / "renkei.db") as ledger:
        kept = {
            table: ledger.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("quarantine", "provision", "audit_entry")
        }
    assert all(kept.values()), kept
    assert search(files, wanted, tmp_path) == {}
    for pid, content in day.processes.items():
        assert not in_bytes(content, wanted), pid
    for port, content in day.pages.items():
        assert content
        assert not in_bytes(content, wanted), port


@pytest.mark.invariant("I5")
async def test_no_process_can_leave_its_memory_on_the_disk(day: Day) -> None:
    assert len(day.core_limits) >= 4
    assert set(day.core_limits.values()) == {"0"}


@pytest.mark.invariant("I5")
async def test_the_search_would_have_found_it(day: Day, tmp_path: Path) -> None:
    """The same names, hidden in a file of the town in each form, between other bytes."""
    wanted = needles(day.identifiers)
    value = next(each for each in sorted(day.identifiers) if each.isdigit())
    kanji = next(each for each in sorted(day.identifiers) if not each.isascii())
    leak = day.town.var / "log" / "leak.log"
    try:
        for plain in (value, kanji):
            for name, content in leaks(plain).items():
                leak.write_bytes(b"before " + content + b" after")
                assert list(search([leak], wanted, tmp_path)) == [leak], name
    finally:
        leak.unlink()


def leaks(plain: str) -> dict[str, bytes]:
    import base64

    found = {}
    for encoding in ("utf-8", "utf-16-le", "utf-16-be"):
        raw = plain.encode(encoding)
        found[encoding] = raw
        found[f"{encoding} hex"] = raw.hex().encode()
        for before in (b"", b"x", b"xy"):
            found[f"{encoding} base64 {len(before)}"] = base64.b64encode(before + raw + b"z")
            found[f"{encoding} base64url {len(before)}"] = base64.urlsafe_b64encode(before + raw + b"z")
    return found
