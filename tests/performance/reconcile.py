"""Reconciliation of a whole register through a running gateway: time, memory, and whether exactly what was planted is found."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import random
import secrets
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulators.city import City
from simulators.harness.town import Plan, Town
from simulators.world.digesting import residents_of, write_digests

CUT_OFF = "2026-04-01T00:00:00+09:00"
RUN = "BENCH"
Records = list[dict[str, str]]
Found = set[tuple[str, str, tuple[str, ...]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """``digest_s``: the register's file made; ``compare_s``: both files compared; the larger memory of the two commands."""

    records: int
    digest_s: float
    compare_s: float
    peak_bytes: int
    planted: int
    exact: bool


def plant(records: Records, count: int) -> tuple[Records, Found]:
    """What the party holds instead, and what must be found: ``count`` of each kind."""
    chance = random.Random(7)
    chosen = [records[place] for place in chance.sample(range(len(records)), 3 * count)]
    found: Found = set()
    held = {each["resident_record_code"]: each for each in records}
    for each in chosen[:count]:
        del held[each["resident_record_code"]]
        found.add((each["resident_record_code"], "missing", ()))
    for each in chosen[count : 2 * count]:
        item = chance.choice(("address", "name", "change_date"))
        held[each["resident_record_code"]] = {**each, item: each[item] + "0"}
        found.add((each["resident_record_code"], "changed", (item,)))
    for each in chosen[2 * count :]:
        held[each["resident_record_code"]] = {**each, "update_sequence_number": "9"}
        found.add((each["resident_record_code"], "order", ()))
    for each in residents_of(City(1234, count)):
        if each["resident_record_code"] not in held:
            held[each["resident_record_code"]] = each
            found.add((each["resident_record_code"], "extra", ()))
    return list(held.values()), found


def prepare(folder: Path, population: int, planted: int) -> Found:
    """Both sides' files; what must be found."""
    records = list(residents_of(City(1, population)))
    there, expected = plant(records, planted)
    (folder / "secret").write_text(secrets.token_hex(32))
    with (folder / "records.jsonl").open("w", encoding="utf-8") as out:
        out.writelines(json.dumps(each, ensure_ascii=False) + "\n" for each in records)
    write_digests(there, secret=(folder / "secret").read_text(), run=RUN, cut_off=CUT_OFF, out=folder / "theirs")
    return expected


async def measure(folder: Path, population: int, planted: int = 50) -> Measured:
    """One whole run. ``folder``: empty."""
    secret, listed, ours, theirs = (folder / name for name in ("secret", "records.jsonl", "ours", "theirs"))
    # elsewhere: what a process has in memory counts for those that it starts
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as elsewhere:
        expected = await asyncio.wrap_future(elsewhere.submit(prepare, folder, population, planted))
    async with Town(folder / "town", Plan(population=10)) as town:
        await town.start()
        options = ("--run", RUN, "--cut-off", CUT_OFF, "--secret", str(secret), "--out", str(ours), "--json")
        digest_s, first, _ = await _command([*town.plan.command, "reconcile", "digest", str(listed), *options])
        files = ("--ours", str(ours), "--theirs", str(theirs), "--secret", str(secret))
        compare_s, second, _ = await _command(
            town.renkei("reconcile", "start", "--with", "city-cs", *files, "--reason", "measured", "--json")
        )  # fmt: skip
        _, _, found = await _command(town.renkei("reconcile", "worklist", RUN, "--open-with", str(secret), "--json"))
    told = {(each["resident_record_code"], each["kind"], tuple(each["items"])) for each in found["items"]}
    return Measured(
        records=population, digest_s=digest_s, compare_s=compare_s, peak_bytes=max(first, second), planted=len(expected),
        exact=told == expected and len(found["items"]) == len(expected),
    )  # fmt: skip


async def _command(command: Sequence[str]) -> tuple[float, int, Any]:
    """Seconds, most memory in bytes, and what was printed."""
    return await asyncio.to_thread(_run, list(command))


_MEASURED = (
    "import resource, subprocess, sys; code = subprocess.run(sys.argv[1:]).returncode; "
    "print(); print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(code)"
)
"""A small process in between: the kernel counts what a process was before ``exec`` as its own, and that of a test run is large."""


def _run(command: list[str]) -> tuple[float, int, Any]:
    since = time.monotonic()
    done = subprocess.run([sys.executable, "-c", _MEASURED, *command], stdout=subprocess.PIPE, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[1:4]} ended with {done.returncode}")
    said, _, peak = done.stdout.decode().rstrip().rpartition("\n")
    return time.monotonic() - since, int(peak) * 1024, json.loads(said)


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory(prefix="renkei-reconcile-") as place:
        print(asyncio.run(measure(Path(place), int(sys.argv[1]))))
