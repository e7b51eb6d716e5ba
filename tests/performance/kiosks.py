"""Kiosks beside a full reload of the replica (I4): how much longer a citizen waits while all residents go to the intermediate server.

The reload is what an operator does: ``renkei submit --bulk`` with the numbers, then with the replicas of all residents; niced, as the page
of the party says, where it runs on the gateway's own machine as it does here. Windows with and
without it take turns, so that both are measured on the same machine in the same minutes. At the end of a window the command is killed; in
the next one it is given again and goes on where it was. Everything is a process of its own; all persons are fictitious.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import statistics
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from certs.authority import IN_HOUSE, Profile, TestAuthority
from message_formats import writing
from simulators.convenience import family, issuing
from simulators.convenience.world import holders
from simulators.harness.convenience import ConvenienceTown
from simulators.harness.processes import Child
from simulators.harness.spent import Meter
from simulators.harness.town import REGISTER, Plan
from simulators.harness.town_config import INTERMEDIATE
from simulators.journal import read_entries

ATENA = "atena-system"
NUMBERS, REPLICAS = "atena-number-registration", "provision-replica-update"
PER_S = 16.0
"""Requests at all kiosks together."""
WINDOWS = 4
PEOPLE = 300
DEADLINE_S, ANSWER_S = 30.0, 20.0
_DELIVERED = "SELECT count(*) FROM delivery WHERE party = ? AND state = 'delivered' AND final_at >= ? AND final_at < ?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """Times in seconds, from the card on the kiosk to the certificate, as the kiosks saw them."""

    idle: list[float]
    beside: list[float]
    idle_printed: float
    """Share of the requests that ended with a certificate."""
    beside_printed: float
    records_per_s: float
    """Of the reload, delivered while kiosks were measured beside it."""
    records: int
    """Of the reload, in all."""
    stops: int
    """How often the command was killed, and given again."""
    cpu: dict[str, dict[str, float]]
    """Processors that each process kept busy, in windows of either kind (1: one of them all the time)."""
    exact: bool
    """Every record that was accepted took effect at the server once, and no other did."""

    @property
    def p50(self) -> tuple[float, float]:
        """Idle, beside."""
        return statistics.median(self.idle), statistics.median(self.beside)

    @property
    def p99(self) -> tuple[float, float]:
        """Idle, beside."""
        return _p99(self.idle), _p99(self.beside)


def _p99(found: list[float]) -> float:
    return sorted(found)[int(len(found) * 0.99)]


class _Town(ConvenienceTown):
    """With the intermediate server besides."""

    def _set_up_systems(self) -> None:
        super()._set_up_systems()
        authority = TestAuthority(self.certificates, IN_HOUSE)
        if not authority.files(ATENA).certificate.exists():
            authority.issue(ATENA, Profile.CLIENT)

    def configure(self, made: dict[str, Any]) -> dict[str, Any]:
        server = {name: value for name, value in made["parties"][INTERMEDIATE].items() if name != "inbound"}
        made = super().configure(made)
        made["parties"][INTERMEDIATE] = server
        systems = made["intake"]["systems"]
        systems[ATENA] = {"peer": ATENA, "doors": ["https"], "types": [NUMBERS]}
        systems[REGISTER]["types"].append(REPLICAS)
        made["intake"]["network"] = {"matching": "none"}
        return made


@dataclass
class _Reload:
    """The operator's command, killed and given again."""

    town: _Town
    files: list[tuple[str, Path]]
    """What is left: who hands it in, and the file."""
    stops: int = 0
    _process: asyncio.subprocess.Process | None = None
    _task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())

    @property
    def pids(self) -> dict[str, int]:
        running = self._process is not None and self._process.returncode is None
        return {"submit": self._process.pid} if self._process is not None and running else {}

    @property
    def over(self) -> bool:
        return not self.files

    async def under_way(self, since: float) -> None:
        """Until the first of its records has been delivered."""
        while not _rows(self.town, "SELECT 1 FROM delivery WHERE party = ? AND final_at >= ? LIMIT 1", INTERMEDIATE, since):
            if self._task is not None and self._task.done():
                self._task.result()
            await asyncio.sleep(0.1)

    async def stop(self) -> None:
        """SIGKILL, wherever it is."""
        assert self._task is not None
        if self._task.done():
            await self._task
            return
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
            self.stops += 1

    async def _run(self) -> None:
        while self.files:
            system, file = self.files[0]
            command = ["nice", "-n", "10", *self.town.plan.command, "submit", "--bulk", "--system", system, "--json", str(file), "--config"]
            with (self.town.folder / "log" / "submit.log").open("ab") as log:
                self._process = await asyncio.create_subprocess_exec(*command, str(self.town.config), stdout=log, stderr=log)
            code = await self._process.wait()
            if code:
                raise RuntimeError(f"renkei submit ended with {code}; see {self.town.folder / 'log' / 'submit.log'}")
            self.files.pop(0)


@dataclass
class _Kiosks:
    """The centre, run after run over one journal."""

    town: _Town
    centre: Child
    settings: dict[str, Any]
    reload: _Reload
    asked: int = 0
    meters: dict[str, Meter] = field(default_factory=dict)
    windows: dict[str, list[tuple[float, float]]] = field(default_factory=lambda: {"idle": [], "beside": []})

    async def ask(self, count: int, window: str) -> None:
        """So many requests, evenly in time, whatever the answers do."""
        self.asked += count
        file = self.town.folder / "certificate-centre.yaml"
        file.write_text(yaml.safe_dump({**self.settings, "requests": self.asked}), encoding="utf-8")
        began, meter = time.time(), Meter()
        meter.look(self._pids(), new=False)
        self.centre.start()
        code = await self.centre.wait_ended(2 * count / PER_S + DEADLINE_S + 30)
        meter.look(self._pids())
        self.meters[window] = meter
        if code:
            raise RuntimeError(f"the centre ended with {code}; see {self.centre.log}")
        self.windows[window].append((began, time.time()))

    def _pids(self) -> dict[str, int]:
        return {**self.town.processes.started(), **self.town.supervised(), **self.reload.pids}

    def busy(self, window: str) -> dict[str, float]:
        """Processors that each process kept busy in the last window of that kind."""
        since, until = self.windows[window][-1]
        return {name: round(spent / (until - since), 3) for name, spent in self.meters[window].spent_s().items()}

    def seen(self, window: str) -> tuple[list[float], float]:
        """Seconds to each certificate of such windows, and which share of the requests had one."""
        asked: dict[str, float] = {}
        took, ended = [], 0
        for entry in read_entries(self.town.kiosks):
            if entry["kind"] == "asked":
                asked[entry["request"]] = datetime.fromisoformat(entry["at"]).timestamp()
            elif any(since <= asked[entry["request"]] <= until for since, until in self.windows[window]):
                ended += 1
                if entry["kind"] == "printed":
                    took.append(entry["took_s"])
        return took, len(took) / ended


def _files(folder: Path, residents: int) -> list[tuple[str, Path]]:
    """Both files of a reload as ``renkei submit`` takes them: JSON Lines of CloudEvents. Streams."""
    template = {
        NUMBERS: {"integrated_atena_number": _number(0)},
        REPLICAS: {
            "integrated_atena_number": _number(0), "household_items/head_name": "見本　例太", "household_items/relationship": "世帯主",
        },
    }  # fmt: skip
    made = []
    for system, kind in ((ATENA, NUMBERS), (REGISTER, REPLICAS)):
        text = writing.write(kind, template[kind]).to_bytes().decode()
        file = folder / f"{kind}.jsonl"
        with file.open("w", encoding="utf-8") as lines:
            lines.writelines(_lines(system, kind, text, residents))
        made.append((system, file))
    return made


def _lines(system: str, kind: str, text: str, residents: int) -> Iterator[str]:
    for serial in range(1, residents + 1):
        event = {
            "specversion": "1.0", "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{kind}/{serial}")), "source": f"/{system}", "type": kind,
            "data": text.replace(_number(0), _number(serial)),
        }  # fmt: skip
        yield json.dumps(event, ensure_ascii=False) + "\n"


def _number(serial: int) -> str:
    return f"99{serial:012d}"


async def measure(
    folder: Path, samples: int, residents: int, *, whole: bool = False, say: Callable[[str], None] = lambda text: None
) -> Beside:
    """``samples`` requests at kiosks without and as many with the reload beside them; ``whole``: until the reload has ended."""
    retry = {"first_s": 0.2, "longest_s": 1.0, "budget": 1000}
    plan = Plan(
        workers=1, parties=(INTERMEDIATE,), inbound=True, records_per_call=100, call_s=30.0, answer_s=ANSWER_S, retry=retry,
        further={"bulk": {"process": True}},
    )  # fmt: skip
    async with _Town(folder, plan) as town:
        reload = _Reload(town, _files(folder, residents))
        kiosks = await _open(town, reload)
        share = -(-samples // WINDOWS)
        await kiosks.ask(100, "warm-up")
        began = time.time()
        while len(kiosks.windows["beside"]) < WINDOWS or (whole and not reload.over):
            if len(kiosks.windows["idle"]) < WINDOWS:
                await kiosks.ask(share, "idle")
            since = time.time()
            reload.start()
            await reload.under_way(since)
            await kiosks.ask(share, "beside")
            last = len(kiosks.windows["beside"]) == WINDOWS
            while whole and last and not reload.over:
                await kiosks.ask(share, "beside")
            if reload.over and not whole:
                raise RuntimeError("the reload was over before the kiosks were measured: take more residents")
            await reload.stop()
            await _drained(town)
            say(f"{kiosks.asked} requests, {_rows(town, _DELIVERED, INTERMEDIATE, began, time.time())[0][0]} records")
        inside = [_rows(town, _DELIVERED, INTERMEDIATE, *window)[0][0] for window in kiosks.windows["beside"]]
        seconds = sum(until - since for since, until in kiosks.windows["beside"])
        delivered = _rows(town, _DELIVERED, INTERMEDIATE, 0.0, time.time())[0][0]
        (idle, idle_printed), (beside, beside_printed) = kiosks.seen("idle"), kiosks.seen("beside")
        return Beside(
            idle=idle, beside=beside, idle_printed=idle_printed, beside_printed=beside_printed, records_per_s=sum(inside) / seconds,
            records=delivered, stops=reload.stops, exact=_once(town, delivered),
            cpu={window: kiosks.busy(window) for window in ("idle", "beside")},
        )  # fmt: skip


async def _open(town: _Town, reload: _Reload) -> _Kiosks:
    """Everybody runs, and everybody's cards and data are with the issuing system."""
    await asyncio.to_thread(town.set_up)
    server = town.simulator(INTERMEDIATE)
    server.start()
    await town.start()
    await server.wait_ready()
    for command, system in (("certificate-issuance", issuing.SYSTEM), ("family-register", family.SYSTEM)):
        child = town.process(command, town.settings_of(system))
        child.start()
        await child.wait_ready()
    await town.populate(tuple(holders(PEOPLE)))
    await _drained(town)
    settings = town.centre_settings(people=PEOPLE, at_once=1, every_s=1 / PER_S, open_below=10_000, deadline_s=DEADLINE_S, requests=1)
    kiosks = _Kiosks(town, town.process("certificate-centre", settings), settings, reload)
    kiosks.windows["warm-up"] = []
    return kiosks


def _once(town: _Town, delivered: int) -> bool:
    taken = [entry["delivery"] for entry in read_entries(town.journal_of(INTERMEDIATE)) if entry["kind"] == "taken"]
    return len(taken) == len(set(taken)) == delivered


async def _drained(town: _Town, timeout_s: float = 300.0) -> None:
    ends = time.monotonic() + timeout_s
    while left := _rows(town, "SELECT count(*) FROM delivery WHERE final_at IS NULL")[0][0]:
        if time.monotonic() > ends:
            raise RuntimeError(f"{left} deliveries did not end within {timeout_s:g} s")
        await asyncio.sleep(0.2)


def _rows(town: _Town, query: str, *values: Any) -> list[Any]:
    with contextlib.closing(sqlite3.connect(f"file:{town.var}/ledger/renkei.db?mode=ro", uri=True, timeout=30)) as connection:
        return connection.execute(query, values).fetchall()
