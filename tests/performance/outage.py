"""A party that is dead for a day, accelerated: what the others notice of it, and whether its backlog drains in order (I3, I4).

Every identity update of the register goes to the city CS and, once that has it, to the prefecture server. The prefecture server is killed
(its connections are refused) or frozen (it is silent), while the register goes on at a rate at which a minute brings the updates of a day;
then it comes back. *Before* and *dead* are windows of the city CS's times from hand-in to effect (``isolation.py``, where the definition
is). Residents are few, so that each has several messages in the backlog: in the journal of the prefecture server every one must be there
once, and those of a resident in the order of their acceptance.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from simulators.harness.town import Town
from tests.performance.isolation import effects_of, register, rows, say, told_by

PARTY = "prefecture-server"
BEFORE_S, DEAD_S, SETTLE_S = 25.0, 40.0, 3.0
PER_S = 40.0
POPULATION = 2000
_KEYS = "SELECT d.id, d.key_id, d.number FROM delivery d WHERE d.party = ? ORDER BY d.key_id, d.number"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """Of one run, times in seconds."""

    frozen: bool
    samples: int
    before_p50_s: float
    dead_p50_s: float
    before_p99_s: float
    dead_p99_s: float
    backlog: int
    drain_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Drained:
    """What the dead party's journal says in the end."""

    taken: int
    missing: int
    twice: int
    out_of_order: int
    residents_with_several: int


async def measure(town: Town, *, runs: int = 3) -> tuple[list[Outage], Drained]:
    """Killed and frozen in turn. The town is started, with :data:`PARTY` in a process of its own and residents of :data:`POPULATION`."""
    common = ("--url", f"https://127.0.0.1:{town.ports.https}", "--certificates", str(town.certificates))
    live = await register("live", *common, "--per-s", str(PER_S), "--population", str(POPULATION))
    say(live, "go")
    await asyncio.sleep(5.0)
    spans: list[tuple[bool, float, float, float, float, int, float]] = []
    child = town[PARTY]
    for run in range(runs):
        frozen = run % 2 == 1
        await asyncio.sleep(SETTLE_S)
        since = time.time()
        await asyncio.sleep(BEFORE_S)
        until = time.time()
        if frozen:
            os.kill(child.pid, signal.SIGSTOP)
        else:
            child.kill()
            await child.wait_ended()
        await asyncio.sleep(SETTLE_S)
        dead = time.time()
        await asyncio.sleep(DEAD_S)
        back = time.time()
        backlog = _left(town)
        if frozen:
            os.kill(child.pid, signal.SIGCONT)
        else:
            child.start()
            await child.wait_ready(60.0)
        began = time.monotonic()
        while _left(town) > PER_S and time.monotonic() - began < 300:
            await asyncio.sleep(0.2)
        spans.append((frozen, since, until, dead, back, backlog, time.monotonic() - began))
    handed_in = dict((await told_by(live))["handed_in"])
    began = time.monotonic()
    while _left(town):
        if time.monotonic() - began > 300:
            raise RuntimeError(f"{_left(town)} deliveries to {PARTY} did not end")
        await asyncio.sleep(0.2)
    effects = effects_of(town.journal)
    found = []
    for frozen, since, until, dead, back, backlog, drain_s in spans:
        before = sorted(effects[key] - due for key, due in handed_in.items() if since <= due < until)
        during = sorted(effects[key] - due for key, due in handed_in.items() if dead <= due < back)
        found.append(
            Outage(
                frozen=frozen,
                samples=min(len(before), len(during)),
                backlog=backlog,
                drain_s=drain_s,
                before_p50_s=before[len(before) // 2],
                dead_p50_s=during[len(during) // 2],
                before_p99_s=before[int(len(before) * 0.99)],
                dead_p99_s=during[int(len(during) * 0.99)],
            )
        )
    return found, _drained(town, town.journal_of(PARTY))


def _left(town: Town) -> int:
    return int(rows(town, "SELECT count(*) FROM delivery WHERE party = ? AND final_at IS NULL", PARTY)[0][0])


def _drained(town: Town, journal: Path) -> Drained:
    """The ledger says only which delivery is which number of which key; what happened is from the journal."""
    order: dict[str, int] = {}
    twice = 0
    for line in journal.read_bytes().splitlines():
        entry = json.loads(line)
        if entry["kind"] == "taken":
            twice += entry["delivery"] in order
            order.setdefault(entry["delivery"], entry["seq"])
    missing = reordered = several = 0
    for _, group in itertools.groupby(rows(town, _KEYS, PARTY), key=lambda row: row[1]):
        ids = [row[0] for row in group]
        taken = [order[each] for each in ids if each in order]
        missing += len(ids) - len(taken)
        reordered += sum(later < earlier for earlier, later in itertools.pairwise(taken))
        several += len(taken) > 1
    return Drained(taken=len(order), missing=missing, twice=twice, out_of_order=reordered, residents_with_several=several)
