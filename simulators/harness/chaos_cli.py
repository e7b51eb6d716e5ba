"""The command ``renkei chaos``."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from simulators.errors import SimulatorError
from simulators.harness.chaos import Chaos, Settings
from simulators.harness.planted import BUGS, planted
from simulators.harness.strikes import FAULTS


def chaos(
    *,
    kills: Annotated[int | None, typer.Option(min=0, help="How many faults; 12, or with --bug what convicts it.")] = None,
    seed: Annotated[int, typer.Option(help="What happens to whom is drawn from it.")] = 1,
    ledger: Annotated[str, typer.Option(help="sqlite or postgresql.")] = "sqlite",
    workers: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 2,
    only: Annotated[
        list[str] | None, typer.Option(help=f"Draw from these faults only: {', '.join(fault.name for fault in FAULTS)}.")
    ] = None,
    bug: Annotated[str | None, typer.Option(help=f"Plant a bug in the gateway: {', '.join(sorted(BUGS))}.")] = None,
    control: Annotated[bool, typer.Option(help="With --bug: the same run without the bug.")] = False,
    per_s: Annotated[float | None, typer.Option(help="Messages a second.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, and nothing else.")] = False,
    keep: Annotated[bool, typer.Option(help="Keep the folder with logs, record and journal.")] = False,
    folder: Annotated[Path | None, typer.Option(help="Where to work; a new temporary folder by default.")] = None,
) -> None:
    """Kill and freeze parts of a running gateway under traffic, then judge from outside: lost, doubled, reordered, stuck.

    Exit 0 only if nothing is, and everything recovered in time.
    """
    if ledger not in ("sqlite", "postgresql"):
        raise typer.BadParameter("sqlite or postgresql", param_hint="--ledger")
    kind: Literal["sqlite", "postgresql"] = "postgresql" if ledger == "postgresql" else "sqlite"
    settings = Settings(kills=12 if kills is None else kills, seed=seed, ledger=kind, workers=workers, only=tuple(only or ()))
    if bug is not None:
        try:
            settings = planted(bug, settings, kills=kills, faults_given=bool(only), control=control)
        except SimulatorError as error:
            raise typer.BadParameter(error.detail, param_hint="--bug") from error
    if per_s is not None:
        settings = replace(settings, per_s=per_s)
    place = folder or Path(tempfile.mkdtemp(prefix="renkei-chaos-"))
    ok = False
    try:
        result = _run(place, settings)
        ok = bool(result["ok"])
        if bug is not None:
            result["bug"] = bug
        _show(result, as_json=as_json)
    except SimulatorError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--only") from error
    finally:
        if folder is None and not keep and (ok or (bug is not None and not control)):
            shutil.rmtree(place, ignore_errors=True)
        else:
            typer.echo(f"logs, record and journal: {place}", err=True)
    raise typer.Exit(0 if ok else 1)


def _run(place: Path, settings: Settings) -> dict[str, Any]:
    began = time.monotonic()

    def say(text: str) -> None:
        typer.echo(f"{time.monotonic() - began:6.1f} s  {text}", err=True)

    async def main() -> dict[str, Any]:
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await Chaos(place, settings, say).run()

    os.umask(0o077)
    try:
        with asyncio.Runner() as runner:
            return runner.run(main())
    except asyncio.CancelledError:
        raise typer.Exit(130) from None


def _show(result: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(result, ensure_ascii=False))
        return
    for name, value in result.items():
        typer.echo(f"{name:>18}  {value if not isinstance(value, dict | list) else json.dumps(value, ensure_ascii=False)}")
