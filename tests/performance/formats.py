"""How fast messages are read: beside bare lxml doing parse and schema only, one record at a time and in files of 400,000 records.

``python -m tests.performance.formats`` prints ``{ok, results: [{name, value, unit, bar, ok}]}``; ``renkei bench formats`` runs it with the
other parts. Rates of files and city are judged by the processor time of their one process, single records by the clock; units say which.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lxml import etree

from message_formats import batch, layouts, reading, records, samples, schemas, writing
from message_formats.message import Message
from simulators.city import City

NAME = "identity-information-update"
MODULE = "tests.performance.formats"
RECORDS = 400_000


def record() -> bytes:
    """A valid record of 3 KB with 35 of its 36 items: no change has both a previous address (move-in) and a former code."""
    kana = "みほん" * 20
    items = samples.identity_items(
        1,
        name_kanji="見本葛\U000e0102　例子" + "見本" * 30,
        name_furigana="みほんかずら　れいこ" + kana,
        name_kana_normalised="みほんかすら　れいこ" + kana,
        address="虚構県架空市見本町１丁目２番３号" + "見本" * 60,
        previous_address="虚構県別天市例示町４丁目５番６号" + "例示" * 60,
        abnormal_update_sequence_number="1",
    )
    return writing.write(NAME, items).to_bytes()


def _median_us(function: Callable[[], object], clock: Callable[[], int] = time.perf_counter_ns, times: int = 1500) -> float:
    taken: list[int] = []
    for _ in range(times):
        started = clock()
        function()
        taken.append(clock() - started)
    return statistics.median(taken) / 1000


def _result(name: str, value: float, unit: str, bar: str | None = None, ok: bool = True) -> dict[str, Any]:
    return {"name": name, "value": round(value, 2), "unit": unit, "bar": bar, "ok": ok}


def _at_most(name: str, value: float, unit: str, bar: float) -> dict[str, Any]:
    return _result(name, value, unit, f"<= {bar:g}", value <= bar)


def _at_least(name: str, value: float, unit: str, bar: float) -> dict[str, Any]:
    return _result(name, value, unit, f">= {bar:g}", value >= bar)


def single() -> list[dict[str, Any]]:
    """One record at a time: medians of interleaved rounds, so that a busy machine treats both alike; of the rounds the best, because what
    other processes do to the caches only ever adds."""
    data = record()
    parser, schema = etree.XMLParser(resolve_entities=False, no_network=True), schemas.compiled(NAME)

    def bare() -> None:
        schema.validate(etree.fromstring(data, parser))

    def ours() -> None:
        reading.read(data)

    rounds = [(_median_us(bare), _median_us(ours), _median_us(ours, time.thread_time_ns)) for _ in range(9)]
    name = "formats: parse, schema, rules and types of a 3 KB record"
    return [
        _at_most(f"{name}, median", min(each for _, each, _ in rounds), "µs of wall time", 90),
        _result(f"{name}, median", min(each for _, _, each in rounds), "µs of processor time"),
        _at_most(f"{name} / bare lxml parse and schema", statistics.median(read / alone for alone, read, _ in rounds), "times", 5),
    ]


def _write_files(folder: Path, count: int) -> tuple[Path, Path]:
    """The same records as an XML batch and as CSV: a few thousand different ones, again and again."""
    different = [event.items for event in City(1, 100_000).day(1, 2000)]
    xml = [writing.write(NAME, items).to_bytes() for items in different]
    batch_file, csv_file = folder / "records.xml", folder / "records.csv"
    with batch_file.open("wb") as out:
        out.write(batch.OPEN)
        for number in range(count):
            out.write(xml[number % len(xml)])
        out.write(batch.CLOSE)
    with csv_file.open("wb") as out:
        records.write_records((different[number % len(different)] for number in range(count)), layouts.get(f"{NAME}.csv"), out)
    return batch_file, csv_file


def stream(file: Path) -> dict[str, float]:
    """Read a whole file in this process: records, seconds of one core and of the clock (others may use the core too), most memory."""
    started, began = time.process_time(), time.perf_counter()
    with file.open("rb") as source:
        found = batch.read(source) if file.suffix == ".xml" else records.read_messages(source, layouts.get(f"{NAME}.csv"))
        good = sum(isinstance(result, Message) for _, result in found)
    taken, waited = time.process_time() - started, time.perf_counter() - began
    return {"records": good, "seconds": taken, "wall_s": waited, "megabytes": _most_megabytes()}


def _most_megabytes() -> float:
    """The most memory that this process had. (``ru_maxrss`` would also count what its parent had when it was forked.)"""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024


def _in_a_process(*arguments: str) -> dict[str, float]:
    answer = subprocess.run([sys.executable, "-m", MODULE, *arguments], check=True, capture_output=True, text=True)
    seen: dict[str, float] = json.loads(answer.stdout)
    return seen


def files(count: int = RECORDS) -> list[dict[str, Any]]:
    """Files of ``count`` records, each read by a process of its own, so that its memory is the reader's alone."""
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for file in _write_files(Path(folder), count):
            seen = _in_a_process("--stream", str(file))
            if seen["records"] != count:
                raise RuntimeError(f"only {seen['records']} of {count} records were read")
            kind = f"{count:,} records of {file.suffix[1:].upper()}"
            results.append(_at_least(f"formats: {kind}", count / seen["seconds"], "records/s of one core", 5000))
            results.append(_result(f"formats: {kind}", count / seen["wall_s"], "records/s of wall time"))
            results.append(_at_most(f"formats: memory for {kind}", seen["megabytes"], "MB", 200))
    return results


def city() -> list[dict[str, Any]]:
    """400,000 residents of the synthetic city, in a process of its own."""
    seen = _in_a_process("--city")
    return [
        _at_most("city: 400,000 residents", seen["seconds"], "s of one core", 20),
        _result("city: 400,000 residents", seen["wall_s"], "s of wall time"),
        _at_most("city: memory for 400,000 residents", seen["megabytes"], "MB", 300),
    ]


def _all_residents() -> dict[str, float]:
    started, began = time.process_time(), time.perf_counter()
    made = City(1, RECORDS)
    for index in range(RECORDS):
        made.resident(index)
    return {"seconds": time.process_time() - started, "wall_s": time.perf_counter() - began, "megabytes": _most_megabytes()}


def measure(count: int = RECORDS) -> list[dict[str, Any]]:
    """All results of the formats and the city."""
    return [*single(), *files(count), *city()]


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=RECORDS)
    parser.add_argument("--stream", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--city", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stream is not None:
        print(json.dumps(stream(options.stream)))
        return 0
    if options.city:
        print(json.dumps(_all_residents()))
        return 0
    results = measure(options.records)
    ok = all(result["ok"] for result in results)
    print(json.dumps({"ok": ok, "results": results}, ensure_ascii=False, indent=2))
    return 0 if ok else 1


if __name__ == "__main__":
    raise SystemExit(main())
