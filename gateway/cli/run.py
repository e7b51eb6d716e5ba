"""Commands that run and inspect: up, check, config."""

from __future__ import annotations

import asyncio
import enum
import importlib
import inspect
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.options import ConfigFile, Json
from gateway.cli.support import ExitCode, load_config, say, show_json, show_table
from gateway.cli.wording import language, t

config = typer.Typer(help=t("command.config"), no_args_is_help=True)


class RunRole(enum.StrEnum):
    ALL = "all"
    GATEWAY = "gateway"
    WORKER = "worker"
    BULK = "bulk"


def up(
    role: Annotated[RunRole, typer.Option("--role")] = RunRole.ALL,
    config: ConfigFile = None,
) -> int:
    """Run the gateway: all of its processes under a supervisor, or one role. Ends on SIGTERM or Ctrl-C, in order."""
    settings = load_config(config)
    # Loaded only now: it pulls in everything that the gateway is made of.
    bootstrap = importlib.import_module("gateway.bootstrap.processes")
    start = {RunRole.ALL: "run_supervisor", RunRole.GATEWAY: "run_gateway", RunRole.WORKER: "run_worker", RunRole.BULK: "run_bulk"}[role]
    result: Any = getattr(bootstrap, start)(settings)
    if inspect.iscoroutine(result):
        result = asyncio.run(result)
    return int(result or ExitCode.OK)


def check(config: ConfigFile = None, as_json: Json = False) -> int:
    """Look at everything that the gateway needs, and say what to put right. Changes nothing and sends nothing."""
    from gateway.checks.preflight import examine
    from gateway.checks.words import japanese

    findings = asyncio.run(examine(load_config(config)))
    wrong = [finding for finding in findings if not finding.ok]
    if as_json:
        names = ("name", "ok", "detail", "remedy")
        show_json({"ok": not wrong, "findings": [{name: getattr(each, name) for name in names} for each in findings]})
    else:
        words = japanese if language() == "ja" else str
        colon = "：" if language() == "ja" else ": "
        for each in findings:
            remedy = f"\n    → {words(each.remedy)}" if not each.ok and each.remedy else ""
            say(f"{'✓' if each.ok else '✗'} {words(each.name)}{colon}{words(each.detail)}{remedy}")
        say(t("check.found", count=len(wrong)) if wrong else t("check.well"))
    return int(ExitCode.FINDINGS if wrong else ExitCode.OK)


@config.command("show")
def config_show(config: ConfigFile = None, as_json: Json = False) -> None:
    """The configuration with all defaults filled in, without secrets."""
    settings = json.loads(load_config(config).model_dump_json())
    if as_json:
        show_json(settings)
        return
    import yaml

    print(yaml.safe_dump(settings, sort_keys=False, allow_unicode=True), end="")


@config.command("schema")
def config_schema_of(
    out: Annotated[Path | None, typer.Option("--out", dir_okay=False)] = None,
) -> None:
    """The JSON Schema of config.yaml, for editors."""
    from gateway.config import schema_text

    if out is None:
        print(schema_text(), end="")
    else:
        out.write_text(schema_text(), encoding="utf-8")


@config.command("adapters")
def config_adapters(as_json: Json = False) -> None:
    """The installed adapters with their settings; those that cannot be used, with the reason."""
    from gateway.plugins import list_adapters

    plugins = list_adapters()
    if as_json:
        show_json([{"name": each.name, "distribution": each.distribution, "problem": each.problem or None} for each in plugins])
        return
    for each in plugins:
        if each.adapter is None:
            say(f"✗ {each.name} ({each.distribution}): {each.problem}")
            continue
        manifest = each.adapter.manifest
        say(f"✓ {each.name} ({each.distribution}): {manifest.description_en} / {manifest.description_ja}")
        show_table(
            ["", "", "", ""],
            [
                [setting.name, setting.type.__name__, "*" if setting.required else f"= {setting.default!r}", setting.description]
                for setting in manifest.settings
            ],
        )
