"""``renkei flows replay``: options, what is printed, exit code."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
import uvloop
from rich.console import Console
from rich.table import Table

from certs.errors import CertificateError
from simulators.errors import SimulatorError
from simulators.replay.accounts import Books
from simulators.replay.flows import Flow
from simulators.replay.play import Found, Options, Replay

DISAGREES, INTERRUPTED = 1, 130
_TEXT = {
    "days": ("Working days.", "日数（開庁日）。"),
    "population": ("Residents of the synthetic city.", "架空の市の人口。"),
    "parties": ("juki-net: the side of the Juki-net only; all: every party.", "juki-net：住基ネット側のみ、all：全相手先。"),
    "faults": (
        "With random faults: parties down, time-outs after effect, kills.",
        "障害（停止・応答遅延・強制終了）を不規則に起こします。",
    ),
    "seed": ("Of city and faults.", "架空の市と障害の種。"),
    "events": ("Events a day, instead of what the population gives.", "一日の異動件数（省略時は人口相応）。"),
    "folder": (
        "Where to work; kept. Default: a temporary folder, erased if all agrees.",
        "作業フォルダー（残します）。",
    ),
    "json": ("One JSON object.", "JSON で出力します。"),
    "ok": ("All books agree.", "全帳簿が一致しました。"),
    "not-ok": ("The books do not agree; see {folder}", "帳簿が一致しません。{folder} を見てください。"),
    "day": ("day {day}: {messages} messages, {s:.1f} s", "{day} 日目：{messages} 件、{s:.1f} 秒"),
    "spent": (
        "{days} days, {messages} messages, {deliveries} deliveries in {run_s} s; {cpu_s} s of CPU time",
        "{days} 日、電文 {messages} 件、配信 {deliveries} 件、{run_s} 秒（CPU 時間 {cpu_s} 秒）",
    ),
    "flow": ("{id}: {messages}", "{id}：{messages}"),
    "flows": ("Flows gone through (messages that took effect): {flows}", "実行した業務フロー（反映件数）：{flows}"),
    "left": ("Not gone through: {id}: {reason}", "対象外：{id}　{reason}"),
    "kiosks": (
        "Kiosks: {asked} requests, {printed} printed, each for its own request; ends: {ends}",
        "キオスク：要求 {asked} 件、発行 {printed} 件（すべて正しい要求へ）。結果：{ends}",
    ),
    "kiosks-wrong": (
        "Kiosks: {wrong} wrong, {late} late, {endless} without an end",
        "キオスク：誤交付 {wrong}、遅延 {late}、未完 {endless}",
    ),
    "party": ("party", "相手先"),
    "type": ("type", "電文種別"),
    "sent": ("sent", "送信"),
    "ledger": ("ledger", "台帳"),
    "effects": ("effects", "反映"),
    "refused": ("refused", "拒否"),
    "wrong": ("", ""),
}


def t(key: str, **values: object) -> str:
    """The text in the language of the command."""
    japanese = os.environ.get("RENKEI_LANG", os.environ.get("LANG", "")).startswith("ja")
    return _TEXT[key][japanese].format(**values)


class Parties(StrEnum):
    """Which parties take part."""

    JUKI_NET = "juki-net"
    ALL = "all"


def replay(
    days: Annotated[int, typer.Option("--days", min=1, max=250, help=t("days"))] = 30,
    population: Annotated[int, typer.Option("--population", min=100, max=4_000_000, help=t("population"))] = 400_000,
    parties: Annotated[Parties, typer.Option("--parties", help=t("parties"))] = Parties.ALL,
    faults: Annotated[bool, typer.Option("--faults", help=t("faults"))] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, max=1_000_000, help=t("seed"))] = 1,
    events: Annotated[int | None, typer.Option("--events", min=1, max=100_000, help=t("events"))] = None,
    folder: Annotated[Path | None, typer.Option("--folder", file_okay=False, help=t("folder"))] = None,
    as_json: Annotated[bool, typer.Option("--json", help=t("json"))] = False,
) -> int:
    """A month of a synthetic city through every party; ends with 0 only if all books agree."""
    options = Options(days=days, population=population, seed=seed, parties=parties.value, faults=faults, events_a_day=events)
    place = folder or Path(tempfile.mkdtemp(prefix="renkei-replay-"))
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            found = runner.run(_run(place, options))
    except asyncio.CancelledError:
        return INTERRUPTED
    except (SimulatorError, CertificateError) as error:
        print(f"renkei: {error}; {place}", file=sys.stderr)
        if as_json:
            print(json.dumps({"ok": False, "error": {"code": error.code, "detail": str(error), "exit": DISAGREES}}, ensure_ascii=False))
        return DISAGREES
    if as_json:
        print(json.dumps(found.shown(options), ensure_ascii=False))
    else:
        _show(found, options, place)
    if folder is None and found.books.ok:
        shutil.rmtree(place, ignore_errors=True)
    return 0 if found.books.ok else DISAGREES


async def _run(folder: Path, options: Options) -> Found:
    def tell(what: str, values: dict[str, Any]) -> None:
        print(t(what, **values), file=sys.stderr, flush=True)

    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        with suppress(NotImplementedError):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    async with Replay(folder, options, tell) as one:
        return await one.play()


def _show(found: Found, options: Options, folder: Path) -> None:
    console = Console(width=None if sys.stdout.isatty() else 140)
    table = Table(box=None, header_style="bold")
    for name in ("party", "type"):
        table.add_column(t(name))
    for name in ("sent", "ledger", "effects", "refused"):
        table.add_column(t(name), justify="right")
    table.add_column(t("wrong"), style="bold red")
    for each in found.books.lines:
        arrow = "→" if each.way == "out" else "←"
        numbers = (f"{number:,}" for number in (each.sent, each.ledger, each.effects, each.refused))
        table.add_row(f"{arrow} {each.party}", each.type, *numbers, ", ".join(each.wrong))
    console.print(table)
    for line in told(found.books, found.flows):
        console.print(line)
    console.print(t("spent", **{name: found.shown(options)[name] for name in ("days", "messages", "deliveries", "run_s", "cpu_s")}))
    console.print(t("ok") if found.books.ok else t("not-ok", folder=folder), style="bold green" if found.books.ok else "bold red")


def told(books: Books, flows: Iterable[Flow]) -> Iterator[str]:
    """Kiosks and flows, in words."""
    if (kiosks := books.kiosks) is not None:
        ends = ", ".join(f"{name} {count}" for name, count in sorted(kiosks.ends.items()))
        yield t("kiosks", asked=kiosks.asked, printed=kiosks.printed, ends=ends)
        if not kiosks.ok:
            yield t("kiosks-wrong", wrong=len(kiosks.wrong), late=len(kiosks.late), endless=len(kiosks.endless))
    seen = list(flows)
    gone = ", ".join(t("flow", id=each.id, messages=each.messages) for each in seen if each.reason is None)
    yield t("flows", flows=gone)
    for each in seen:
        if each.reason is not None:
            yield t("left", id=each.id, reason=each.reason)
