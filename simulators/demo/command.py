"""``renkei demo``: options, signals, what is printed at the end, exit code."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import signal
import sys
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
import uvloop

from certs.errors import CertificateError
from simulators.demo.director import Director, Options, Outcome
from simulators.demo.kept import Folder
from simulators.demo.screen import Screen
from simulators.demo.story import SMALLEST
from simulators.demo.text import t
from simulators.errors import BadSettings, SimulatorError
from simulators.harness.town import REGISTER
from simulators.replay.command import told

DISAGREES, USAGE, INTERRUPTED = 1, 2, 130
FOLDER = Path("var/demo")
HOME = Path(__file__).resolve().parents[2]
"""Of the clone, if this is one."""


def demo(
    population: Annotated[int, typer.Option("--population", min=100, max=4_000_000, help=t("option.population"))] = 400_000,
    events: Annotated[int | None, typer.Option("--events", min=SMALLEST, max=100_000, help=t("option.events"))] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, max=1_000_000, help=t("option.seed"))] = 1,
    folder: Annotated[Path, typer.Option("--folder", file_okay=False, help=t("option.folder"))] = FOLDER,
    keep: Annotated[bool, typer.Option("--keep", help=t("option.keep"))] = False,
    stop: Annotated[bool, typer.Option("--stop", help=t("option.stop"))] = False,
    as_json: Annotated[bool, typer.Option("--json", help=t("option.json"))] = False,
) -> int:
    """One peak day of a synthetic city, from register to party; ends with 0 only if both sides' records agree."""
    try:
        with Folder(folder) as ours:
            if stop:
                return _stop(ours, as_json)
            screen = Screen(quiet=as_json)
            if ours.kept() is not None:
                screen.say("stopping-kept")
                ours.stop_kept()
            ours.clear()
            options = Options(population=population, events=events, seed=seed, keep=keep)
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                return runner.run(_run(ours, options, screen, as_json))
    except (SimulatorError, CertificateError) as error:
        code = USAGE if isinstance(error, BadSettings) else DISAGREES
        detail = error.detail if isinstance(error, SimulatorError) else str(error)
        print(f"renkei: {t('error')}: {detail}", file=sys.stderr)
        if as_json:
            print(json.dumps({"ok": False, "error": {"code": error.code, "detail": detail, "exit": code}}, ensure_ascii=False))
        return code


def _stop(folder: Folder, as_json: bool) -> int:
    stopped = folder.stop_kept()
    if as_json:
        print(json.dumps({"ok": True, "stopped": stopped}))
    else:
        print(t("kept.stopped" if stopped else "kept.none", folder=_shown(folder.path)))
    return 0


async def _run(folder: Folder, options: Options, screen: Screen, as_json: bool) -> int:
    director = Director(folder, options, screen)
    loop = asyncio.get_running_loop()
    playing = loop.create_task(director.play())
    interrupted = False

    def interrupt() -> None:
        nonlocal interrupted
        if not interrupted:
            interrupted = True
            screen.close()
            screen.say("interrupted", style="bold red")
            playing.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, interrupt)
    kept = False
    try:
        try:
            found = await playing
        except asyncio.CancelledError:
            if not interrupted:
                raise
            if as_json:
                print(json.dumps({"ok": False, "error": {"code": "interrupted", "detail": t("interrupted"), "exit": INTERRUPTED}}))
            return INTERRUPTED
        if not as_json:
            screen.reckoning(found.updates)
            screen.accounts(found.all)
            for line in told(found.all, found.flows):
                screen.print(line)
        kept = options.keep and not interrupted
        more = director.write_more().mistaken.ce_id if kept else ""
        if kept:
            await director.take_queue()
    finally:
        # a second Ctrl-C changes nothing any more: it is ending
        if not kept:
            if not interrupted:
                screen.say("stopping")
            await director.stop()
            folder.stop_kept()
    if as_json:
        print(json.dumps(_result(director, options, found, kept), ensure_ascii=False))
    else:
        _end(director, screen, found, kept, more)
    return 0 if found.ok else DISAGREES


def _result(director: Director, options: Options, found: Outcome, kept: bool) -> dict[str, Any]:
    town = director.town
    result: dict[str, Any] = {
        "ok": found.ok,
        "seed": options.seed,
        "population": options.population,
        "events": director.events,
        **found.updates.shown(),
        "parties": found.all.shown(),
        "flows": [asdict(each) for each in found.flows],
        "outage": director.told.outage,
        "hold": director.told.hold,
        "run_s": round(time.monotonic() - director.began, 1),
        "files": {"record": str(town.record), "journal": str(town.journal), "gateway": str(town.var), "config": str(town.config)},
        "kept": kept,
    }
    if kept:
        result["urls"] = {
            "city-cs": _page(director),
            "metrics": _metrics(director),
            "admin": f"https://127.0.0.1:{town.ports.admin}/admin/v1",
        }
    return result


def _end(director: Director, screen: Screen, found: Outcome, kept: bool, more: str) -> None:
    town, folder = director.town, director.folder.path
    if found.ok:
        screen.print(f"✓ {t('agree')}", style="bold green")
    else:
        screen.print(f"✗ {t('disagree', folder=_shown(folder))}", style="bold red")
    files = [(town.record, "file.record"), (town.journal, "file.journal"), (town.var, "file.ledger")]
    screen.pairs([(_shown(path), t(key)) for path, key in files])
    if not kept:
        screen.print(t("stopped", seconds=time.monotonic() - director.began))
        return
    renkei, config = _script("renkei"), shlex.quote(_shown(town.config))
    stop = f"{_script('demo')} --stop" if folder == HOME / FOLDER else f"{renkei} demo --stop --folder {shlex.quote(_shown(folder))}"
    rows = [
        (f"export RENKEI_CONFIG={config} RENKEI_OPERATOR=operator-a RENKEI_SYSTEM={REGISTER}", ""),
        (f"{renkei} status", t("kept.look")),
        (f"{renkei} queues; {renkei} held", t("kept.queues")),
        (f"{renkei} check", t("kept.check")),
        (f"{renkei} submit {shlex.quote(_shown(folder / 'day-2.jsonl'))}", t("kept.submit")),
        (f"{renkei} message {more}", t("kept.message")),
        (f'{renkei} skip {more} --reason "try"', t("kept.skip")),
        (f"{renkei} submit {shlex.quote(_shown(folder / 'replacement.jsonl'))}", t("kept.replace")),
        (f"{renkei} pause city-cs --reason maintenance", t("kept.pause")),
        (_page(director), t("kept.page")),
        (_curl(director), ""),
        (stop, t("kept.stop")),
    ]
    screen.pairs(rows, title=t("kept"), mark="  # ")


def _page(director: Director) -> str:
    return f"http://127.0.0.1:{director.town.ports.control}/"


def _metrics(director: Director) -> str:
    return f"https://127.0.0.1:{director.town.ports.metrics}/metrics"


def _curl(director: Director) -> str:
    """The metrics as the monitoring would ask for them: with a certificate, as everything."""
    folder = director.town.certificates
    ca, certificate, key = (shlex.quote(_shown(folder / name)) for name in ("ca.pem", "monitor.pem", "monitor.key"))
    return f"curl --cacert {ca} --cert {certificate} --key {key} {_metrics(director)}"


def _script(name: str) -> str:
    """A command as the user types it: the script of a clone, if this is one."""
    script = HOME / "bin" / name
    return _shown(script) if script.exists() else "renkei demo" if name == "demo" else name


def _shown(path: Path) -> str:
    """Relative to here, where it is below."""
    with suppress(ValueError):
        return str(path.relative_to(Path(os.getcwd()).resolve()))
    return str(path)
