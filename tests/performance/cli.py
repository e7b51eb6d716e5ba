"""``renkei bench``: the gateway's rates beside the ceilings of the same machine, in one run, and whether each bar is reached.

Quote the ratios; the absolute numbers are those of one machine in one hour. ``bin/bench --json > bench.json`` keeps them.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import platform
import sqlite3
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from simulators.harness.town import Plan, Town
from tests.performance import bells, cost, ledger, locks, sealing
from tests.performance.workload import POPULATION, SEED

PARTS = (
    "rates",
    "cost",
    "batches",
    "bells",
    "ledger",
    "memory",
    "formats",
    "signatures",
    "sealing",
    "audit",
    "policy",
    "reconcile",
    "isolation",
    "outage",
    "kiosks",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One measurement. ``bar``: what it must reach (None: told for comparison only)."""

    name: str
    value: float
    unit: str
    bar: str | None = None
    ok: bool = True


def at_least(name: str, value: float, unit: str, bar: float) -> Result:
    return Result(name=name, value=_round(value), unit=unit, bar=f">= {bar:g}", ok=value >= bar)


def at_most(name: str, value: float, unit: str, bar: float) -> Result:
    return Result(name=name, value=_round(value), unit=unit, bar=f"<= {bar:g}", ok=value <= bar)


def told(name: str, value: float, unit: str) -> Result:
    return Result(name=name, value=_round(value), unit=unit)


def bench(
    parts: Annotated[list[str] | None, typer.Argument(help=f"Which parts: {', '.join(PARTS)}; all by default.")] = None,
    messages: Annotated[int, typer.Option(help="Messages for each rate.")] = 8000,
    memory_messages: Annotated[int, typer.Option(help="Messages of the memory run.")] = 200_000,
    records: Annotated[int, typer.Option(help="Residents that are reconciled.")] = 400_000,
    live: Annotated[int, typer.Option(help="Live messages of a run of isolation, on either side.")] = 5000,
    runs: Annotated[int, typer.Option(help="Runs of isolation and outage; their median counts.")] = 3,
    certificates: Annotated[int, typer.Option(help="Requests at kiosks, alone and as many beside a reload of the replica.")] = 2000,
    residents: Annotated[int, typer.Option(help="Residents of that reload.")] = 80_000,
    whole: Annotated[bool, typer.Option(help="Until all of them are there, however long it takes.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Measure against the bars; needs a quiet machine. Everything runs in a temporary folder and on loopback."""
    chosen = parts or list(PARTS)
    if unknown := set(chosen) - set(PARTS):
        raise typer.BadParameter(f"no such part: {', '.join(sorted(unknown))}")
    steps: dict[str, Callable[[], Awaitable[list[Result]]]] = {
        "rates": lambda: rates(messages),
        "cost": lambda: costs(messages),
        "batches": lambda: batches(messages),
        "bells": bell_rates,
        "ledger": ledger_ceilings,
        "memory": lambda: memory(memory_messages),
        "formats": formats,
        "sealing": sealing_costs,
        "audit": lambda: audit(messages),
        "policy": policy_costs,
        "signatures": signatures,
        "reconcile": lambda: reconciled(records),
        "isolation": lambda: isolated(live, runs),
        "outage": lambda: outages(runs),
        "kiosks": lambda: kiosk_answers(certificates, residents, whole=whole),
    }
    results: list[Result] = []
    for part in PARTS:
        if part in chosen:
            found = asyncio.run(_run(steps[part]))
            results += found
            if not as_json:
                for result in found:
                    print(
                        f"{'✓' if result.ok else '✗'} {result.name}: {result.value:g} {result.unit}"
                        + (f" ({result.bar})" if result.bar else "")
                    )
    ok = all(result.ok for result in results)
    if as_json:
        print(json.dumps({"ok": ok, "machine": _machine(), "results": [asdict(result) for result in results]}, ensure_ascii=False))
    raise typer.Exit(0 if ok else 1)


async def _run(step: Callable[[], Awaitable[list[Result]]]) -> list[Result]:
    return await step()


# ---- parts ---------------------------------------------------------------------------------------------------------------------


async def rates(count: int) -> list[Result]:
    """End to end for single-record calls through both doors, between two measurements of the direct ceiling."""
    with tempfile.TemporaryDirectory(prefix="renkei-bench-") as folder:
        async with _town(Path(folder), records=1) as town:
            await town.start()
            warm = count // 4
            await _end_to_end(town, warm, skip=0)
            direct = [await _direct(town, count // 2, skip=warm)]
            done = warm + count // 2
            https, _ = await _end_to_end(town, count, skip=done)
            done += count
            direct.append(await _direct(town, count // 2, skip=done))
            done += count // 2
            amqp, _ = await _end_to_end(town, count, skip=done, amqp=True)
            done += count
            direct.append(await _direct(town, count // 2, skip=done))
            done += count // 2
            _, half = await _end_to_end(town, count // 2, skip=done, per_s=https / 2)
    ceiling = sum(direct) / len(direct)
    return [
        told("direct ceiling, single records", ceiling, "records/s"),
        told("gateway, HTTPS door", https, "records/s"),
        told("gateway, AMQP door", amqp, "records/s"),
        at_least("HTTPS door / direct ceiling", https / ceiling, "ratio", 0.5),
        at_least("AMQP door / direct ceiling", amqp / ceiling, "ratio", 0.4),
        told("accept latency p50 at half load", half["p50_s"] * 1000, "ms"),
        at_most("accept latency p99 at half load", half["p99_s"] * 1000, "ms", 50),
    ]


async def costs(count: int) -> list[Result]:
    """What a message costs each process of the town, through the HTTPS door, single records."""
    with tempfile.TemporaryDirectory(prefix="renkei-bench-") as folder:
        async with _town(Path(folder), records=1) as town:
            await town.start()
            await _end_to_end(town, count // 4, skip=0)
            pids = town.supervised() | {"city-cs": town["city-cs"].pid}
            pages = {"gateway": town.ports.metrics, "worker": town.ports.metrics + 1}
            before, held = cost.spent(pids), {name: locks.Transactions.of(port, town.certificates) for name, port in pages.items()}
            _, pushed = await _end_to_end(town, count, skip=count // 4)
            found = cost.per_message(before, cost.spent(pids), count)
            done = {name: locks.Transactions.of(port, town.certificates).since(held[name]) for name, port in pages.items()}
    results = [told(f"processor time of {name}", spent.user_ms + spent.system_ms, "ms/message") for name, spent in found.items()]
    results.append(told("processor time of the register", pushed["cpu_us"] / 1000, "ms/message"))
    results.append(told("processor time of all", sum(each.value for each in results), "ms/message"))
    results += [told(f"thread switches of {name}", spent.switches, "per message") for name, spent in found.items()]
    for name, transactions in done.items():
        results.append(told(f"ledger, {name}: operations in a transaction", transactions.operations / transactions.count, "operations"))
        results.append(told(f"ledger, {name}: lock held, median", transactions.within(0.5) * 1000, "ms"))
        results.append(told(f"ledger, {name}: lock held, p99", transactions.within(0.99) * 1000, "ms"))
        results.append(told(f"ledger, {name}: lock held longer than 10 ms (R21)", transactions.longer_than(0.01) * 100, "%"))
    return results


async def batches(count: int) -> list[Result]:
    """Calls of 100 records beside single ones, in the same town but for that setting."""
    found = {}
    for records in (1, 100):
        with tempfile.TemporaryDirectory(prefix="renkei-bench-") as folder:
            async with _town(Path(folder), records=records) as town:
                await town.start()
                await _end_to_end(town, count // 4, skip=0)
                found[records] = await _drain(town, count, skip=count // 4)
    return [
        told("delivery of a backlog, single records", found[1], "records/s"),
        at_least("delivery of a backlog, batches of 100", found[100], "records/s", 1500),
        at_least("batches / single", found[100] / found[1], "ratio", 1.8),
    ]


async def bell_rates() -> list[Result]:
    """Bells beside the raw rate of pika's asyncio adapter, same size and window."""
    with tempfile.TemporaryDirectory(prefix="renkei-bench-") as folder:
        rung, raw = await bells.beside(Path(folder))
    return [told("raw publishing", raw, "messages/s"), told("bells", rung, "bells/s"), at_least("bells / raw", rung / raw, "ratio", 0.5)]


async def ledger_ceilings() -> list[Result]:
    """The ledger alone: admissions, claims and outcomes in groups of 100."""
    with tempfile.TemporaryDirectory(prefix="renkei-bench-") as folder:
        found = await asyncio.to_thread(ledger.measure, Path(folder))
    return [told(f"ledger alone, {name}", rate, "messages/s") for name, rate in found.items()]


async def memory(count: int) -> list[Result]:
    """Growth of the two processes over many messages, after the first tenth; what grows in the second half as in the first is a leak."""
    with tempfile.TemporaryDirectory(prefix="renkei-bench-") as folder:
        async with _town(Path(folder), records=100) as town:
            await town.start()
            warm = count // 10
            await _end_to_end(town, warm, skip=0, timeout_s=3600)
            before, seen = _resident_bytes(town), _journalled(town)
            sending = asyncio.create_task(_end_to_end(town, count - warm, skip=warm, timeout_s=3600))
            while not sending.done() and _journalled(town) < seen + (count - warm) // 2:
                await asyncio.sleep(0.5)
            middle = _resident_bytes(town)
            rate, _ = await sending
            after = _resident_bytes(town)
    return [
        at_most(f"memory growth of {name} over {count} messages, after warm-up", (after[name] / before[name] - 1) * 100, "%", 10)
        for name in sorted(before)
    ] + [
        *(told(f"memory growth of {name} in the second half", (after[name] / middle[name] - 1) * 100, "%") for name in sorted(after)),
        *(told(f"memory of {name}", after[name] / 2**20, "MiB") for name in sorted(after)),
        told("rate meanwhile", rate, "messages/s"),
    ]


async def formats() -> list[Result]:
    """Reading and checking of messages and files, and the synthetic city (``tests/performance/formats.py``)."""
    from tests.performance import formats as module

    return [Result(**each) for each in await asyncio.to_thread(module.measure)]


async def signatures() -> list[Result]:
    """Signing a call and verifying its answer (``tests/performance/signatures.py``)."""
    from tests.performance import signatures as module

    found = await asyncio.to_thread(module.measure)
    return [
        told("signing a call of one 3 KB record, P-256", found["sign"], "ms"),
        told("verifying its answer", found["verify"], "ms"),
        at_most("sign and verify, P-256", found["sign"] + found["verify"], "ms", 0.5),
        told("verifying the answer to 100 records", found["verify 100"], "ms"),
        told("the simulated party: verify and sign", found["party"], "ms"),
    ]


async def sealing_costs() -> list[Result]:
    """What sealing adds to a message, with keys in files and in a token (``tests/performance/sealing.py``)."""
    with tempfile.TemporaryDirectory(prefix="renkei-bench-") as folder:
        found = await asyncio.to_thread(sealing.measure, Path(folder))
    return [at_most(name, cost, "µs", 30) if "file" in name else told(name, cost, "µs") for name, cost in found.items()]


async def audit(count: int) -> list[Result]:
    """Verification of the audit chain, and what chaining takes of the CPU time that the gateway spends on a message at full traffic."""
    from tests.performance import audit as module

    with tempfile.TemporaryDirectory(prefix="renkei-bench-") as folder:
        alone = await asyncio.to_thread(module.measure, Path(folder))
    with tempfile.TemporaryDirectory(prefix="renkei-bench-") as folder:
        async with _town(Path(folder), records=1) as town:
            await town.start()
            await _end_to_end(town, count // 4, skip=0)
            before, entries = _cpu_s(town), _entries(town)
            await _end_to_end(town, count, skip=count // 4)
            spent, each = (_cpu_s(town) - before) / count, (_entries(town) - entries) / count
    return [
        at_least("audit verify, ledger", alone["ledger"], "entries/s", 100_000),
        at_least("audit verify, export", alone["export"], "entries/s", 100_000),
        told("audit verify, ledger, by CPU time", alone["ledger_cpu"], "entries/CPU s"),
        told("audit verify, export, by CPU time", alone["export_cpu"], "entries/CPU s"),
        told("chaining an entry, database included", alone["chain_cpu_us"], "CPU us"),
        told("audit entries for a message", each, "entries"),
        told("a message in gateway and worker, chaining included", spent * 1e6, "CPU us"),
        at_most("share of chaining in it", alone["chain_cpu_us"] * 1e-6 * each / spent * 100, "%", 10),
    ]


async def policy_costs() -> list[Result]:
    """Decisions of the policy and its filter (``tests/performance/policy.py``)."""
    from tests.performance import policy as module

    found = await asyncio.to_thread(module.measure)
    return [
        at_most(f"policy: {name}, median", us, "µs", 20) if name.startswith("decision") else told(f"policy: {name}, median", us, "µs")
        for name, us in found.items()
    ]


async def reconciled(records: int) -> list[Result]:
    """Reconciliation of a whole register (``tests/performance/reconcile.py``)."""
    from tests.performance import reconcile

    with tempfile.TemporaryDirectory(prefix="renkei-bench-") as folder:
        found = await reconcile.measure(Path(folder), records)
    return [
        told(f"digests of {records} residents", found.digest_s, "s"),
        told("comparing them with the party's", found.compare_s, "s"),
        at_most("reconciliation", found.digest_s + found.compare_s, "s", 180),
        at_most("memory of the larger command", found.peak_bytes / 1e6, "MB", 500),
        at_least(f"exactly the {found.planted} differences that were planted", float(found.exact), "yes", 1),
    ]


async def isolated(live: int, runs: int) -> list[Result]:
    """Live messages alone and beside bulk ones, median of the runs (``tests/performance/isolation.py``)."""
    from tests.performance import isolation

    with tempfile.TemporaryDirectory(prefix="renkei-bench-") as folder:
        plan = Plan(
            workers=1, records_per_call=100, population=POPULATION, city_seed=SEED, call_s=30.0, further={"bulk": {"process": True}}
        )  # fmt: skip
        async with Town(Path(folder), plan) as town:
            await town.start()
            found = await isolation.measure(town, live, runs=runs)
    last = found[-1]

    def middle(name: str) -> float:
        return sorted(float(getattr(each, name)) for each in found)[runs // 2]

    ratio = sorted(each.beside_p50_s / each.idle_p50_s for each in found)[runs // 2]
    idle_99 = middle("idle_p99_s")
    return [
        at_least("live messages of a run, on either side", min(each.samples for each in found), "messages", live),
        told("live p50 alone, hand-in to effect", middle("idle_p50_s") * 1000, "ms"),
        told("live p50 beside bulk", middle("beside_p50_s") * 1000, "ms"),
        at_most("live p50 beside bulk / alone", ratio, "ratio", 1.2),
        told("live p99 alone", idle_99 * 1000, "ms"),
        at_most("live p99 beside bulk", middle("beside_p99_s") * 1000, "ms", max(1.5 * idle_99, idle_99 + 0.1) * 1000),
        at_least("bulk beside live", middle("bulk_per_s"), "records/s", 500),
        *(told(f"processors alone: {name}", spent, "cores") for name, spent in last.cores_idle.items()),
        *(told(f"processors beside bulk: {name}", spent, "cores") for name, spent in last.cores_beside.items()),
    ]


async def outages(runs: int) -> list[Result]:
    """A party that is dead for a day, accelerated (``tests/performance/outage.py``)."""
    from tests.performance import outage

    with tempfile.TemporaryDirectory(prefix="renkei-bench-") as folder:
        plan = Plan(
            workers=1, parties=("city-cs", outage.PARTY), alone=(outage.PARTY,), population=outage.POPULATION, city_seed=SEED, call_s=5.0
        )  # fmt: skip
        async with Town(Path(folder), plan) as town:
            await town.start()
            found, drained = await outage.measure(town, runs=runs)
    ratio = sorted(each.dead_p50_s / each.before_p50_s for each in found)[len(found) // 2]
    return [
        told("messages of a run while the party is dead", min(each.samples for each in found), "messages"),
        told("backlog of the dead party, at most", max(each.backlog for each in found), "deliveries"),
        told("the others' p50 before", sorted(each.before_p50_s for each in found)[len(found) // 2] * 1000, "ms"),
        at_most("the others' p50 while it is dead / before", ratio, "ratio", 1.2),
        told("the others' p99 before", sorted(each.before_p99_s for each in found)[len(found) // 2] * 1000, "ms"),
        told("the others' p99 while it is dead", sorted(each.dead_p99_s for each in found)[len(found) // 2] * 1000, "ms"),
        told("until the backlog had drained, at most", max(each.drain_s for each in found), "s"),
        told("residents with several messages in the journal", drained.residents_with_several, "residents"),
        at_most("messages missing in the journal", drained.missing, "messages", 0),
        at_most("messages twice in the journal", drained.twice, "messages", 0),
        at_most("messages out of order in the journal", drained.out_of_order, "messages", 0),
    ]


async def kiosk_answers(certificates: int, residents: int, *, whole: bool) -> list[Result]:
    """Certificates at kiosks beside a full reload of the replica (``tests/performance/kiosks.py``)."""
    from tests.performance import kiosks

    with tempfile.TemporaryDirectory(prefix="renkei-bench-") as folder:
        found = await kiosks.measure(
            Path(folder), certificates, residents, whole=whole, say=lambda text: print(text, file=sys.stderr, flush=True)
        )
    (idle, beside), (idle_99, beside_99) = found.p50, found.p99
    return [
        at_least("certificates measured beside the reload", len(found.beside), "certificates", 0.9 * certificates),
        told("kiosk answer p50 alone", idle * 1000, "ms"),
        told("kiosk answer p50 beside the reload", beside * 1000, "ms"),
        at_most("kiosk answer p50 beside the reload / alone", beside / idle, "ratio", 1.2),
        told("kiosk answer p99 alone", idle_99 * 1000, "ms"),
        at_most("kiosk answer p99 beside the reload", beside_99 * 1000, "ms", max(1.5 * idle_99, idle_99 + 0.1) * 1000),
        at_least("requests that ended with a certificate, alone", found.idle_printed, "ratio", 0.9),
        at_least("requests that ended with a certificate, beside the reload", found.beside_printed, "ratio", 0.9),
        at_least("reload beside kiosks", found.records_per_s, "records/s", 500),
        told("records of the reload in all", found.records, "records"),
        told("kills of the reload that it went on after", found.stops, "kills"),
        at_least("every record took effect once", float(found.exact), "yes", 1),
        *[
            told(f"{name}, {window}", busy, "processors")
            for window, all_of_them in found.cpu.items()
            for name, busy in sorted(all_of_them.items())
        ],
    ]


# ---- steps ---------------------------------------------------------------------------------------------------------------------


def _town(folder: Path, *, records: int) -> Town:
    return Town(folder, Plan(workers=1, records_per_call=records, population=POPULATION, city_seed=SEED, call_s=30.0))


async def _python(module: str, *arguments: str) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, complaint = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"{module} failed: {complaint.decode()[-2000:]}")
    found: dict[str, Any] = json.loads(out)
    return found


async def _direct(town: Town, count: int, *, skip: int, records: int = 1) -> float:
    found = await _python(
        "tests.performance.direct",
        *("--url", f"https://127.0.0.1:{town.ports.city_cs}", "--certificates", str(town.certificates)),
        *("--count", str(count), "--skip", str(skip), "--records", str(records)),
        *(("--signatures",) if town.plan.signatures else ()),
    )
    return float(found["rate"])


async def _end_to_end(
    town: Town, count: int, *, skip: int, amqp: bool = False, per_s: float | None = None, timeout_s: float = 300.0
) -> tuple[float, dict[str, Any]]:
    """Messages a second from the first submission to the last effect at the party, and what the register measured."""
    before = _journalled(town)
    arguments = ["--url", f"https://127.0.0.1:{town.ports.https}", "--certificates", str(town.certificates)]
    arguments += ["--count", str(count), "--skip", str(skip)]
    arguments += ["--amqp", str(town.ports.broker_tls)] if amqp else []
    arguments += ["--per-s", str(per_s)] if per_s else []
    pushed = await _python("tests.performance.pusher", *arguments)
    ended = await _until_journalled(town, before + count, timeout_s)
    return count / (ended - pushed["started_at"]), pushed


async def _drain(town: Town, count: int, *, skip: int) -> float:
    """Hand in ``count`` messages while the party is paused, then measure how fast they are delivered."""
    before = _journalled(town)
    await _operate(town, "pause")
    arguments = ("--url", f"https://127.0.0.1:{town.ports.https}", "--certificates", str(town.certificates))
    await _python("tests.performance.pusher", *arguments, "--count", str(count), "--skip", str(skip))
    started = time.time()
    await _operate(town, "resume")
    first = await _until_journalled(town, before + 1, 60.0)
    ended = await _until_journalled(town, before + count, 300.0)
    return count / (ended - max(started, first - 0.5))


async def _operate(town: Town, command: str) -> None:
    arguments = town.renkei(command, "city-cs", "--reason", "bench")
    process = await asyncio.create_subprocess_exec(*arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    out, complaint = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"renkei {command}: {(out + complaint).decode()[-500:]}")


_READ: dict[Path, list[int]] = {}
"""Of each journal: where the lines begin that were counted, and where it was read up to. What a look costs does not grow with it."""


def _journalled(town: Town) -> int:
    """Lines of the party's journal."""
    starts = _READ.setdefault(town.journal, [0])
    if town.journal.exists():
        with town.journal.open("rb") as journal:
            journal.seek(starts[-1])
            starts.extend(itertools.accumulate((len(line) for line in journal if line.endswith(b"\n")), initial=starts.pop()))
    return len(starts) - 1


async def _until_journalled(town: Town, lines: int, timeout_s: float) -> float:
    """When the party's journal has so many lines: the time of the last of them."""
    deadline = time.monotonic() + timeout_s
    while _journalled(town) < lines:
        if time.monotonic() > deadline:
            raise RuntimeError(f"only {_journalled(town)} of {lines} effects within {timeout_s:g} s")
        await asyncio.sleep(0.1)
    with town.journal.open("rb") as journal:
        journal.seek(_READ[town.journal][lines - 1])
        return datetime.fromisoformat(json.loads(journal.readline())["at"]).timestamp()


def _cpu_s(town: Town) -> float:
    """CPU time of the gateway's own processes so far, in seconds."""
    ticks = 0
    for name, pid in town.supervised().items():
        if name != "broker":
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _entries(town: Town) -> int:
    [ledger] = town.folder.rglob("renkei.db")
    with contextlib.closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as connection:
        return int(connection.execute("SELECT count(*) FROM audit_entry").fetchone()[0])


def _resident_bytes(town: Town) -> dict[str, float]:
    found = {}
    for name, pid in town.supervised().items():
        if name != "broker":
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            found[name] = float(pages * os.sysconf("SC_PAGE_SIZE"))
    return found


def _machine() -> dict[str, Any]:
    return {
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "load": [round(each, 2) for each in os.getloadavg()],
    }


def _round(value: float) -> float:
    return float(f"{value:.4g}")
