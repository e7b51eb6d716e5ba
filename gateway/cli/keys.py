"""``renkei keys``: look at the gateway's own keys, check them, rotate them."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Any

import typer

from gateway.cli.client import AdminClient
from gateway.cli.options import As, ConfigFile, Json, Reason
from gateway.cli.support import ExitCode, load_config, local_time, say, show_json, show_table
from gateway.cli.wording import t

keys = typer.Typer(help=t("command.keys"), no_args_is_help=True)


@keys.command("list")
def keys_list(config: ConfigFile = None, operator: As = None, as_json: Json = False) -> None:
    """All keys, the current one of each kind first, with what hangs on each: so far a rotation has come."""
    with AdminClient(load_config(config), operator) as client:
        found = client.get("keys")["items"]
    if as_json:
        show_json(found)
        return
    headings = [t(f"label.{name}") for name in ("kind", "id", "state", "since", "uses")]
    show_table(headings, [[each["kind"], each["id"], each["state"], local_time(each["since"]), each["uses"]] for each in found])


@keys.command("check")
def keys_check(config: ConfigFile = None, as_json: Json = False) -> int:
    """Whether every key is there, private, and works, and whether the ledger has all keys that it needs. Changes nothing."""
    from gateway.checks.preflight import look_at_keys

    findings = asyncio.run(look_at_keys(load_config(config)))
    wrong = [finding for finding in findings if not finding.ok]
    if as_json:
        names = ("name", "ok", "detail", "remedy")
        show_json({"ok": not wrong, "findings": [{name: getattr(each, name) for name in names} for each in findings]})
    else:
        for each in findings:
            say(f"{'✓' if each.ok else '✗'} {each.name}: {each.detail}" + (f"\n    → {each.remedy}" if not each.ok and each.remedy else ""))
    return int(ExitCode.FINDINGS if wrong else ExitCode.OK)


@keys.command("rotate")
def keys_rotate(
    kind: Annotated[str, typer.Argument(metavar="kek|blind|content|jwe|backup|audit", help=t("keys.kind"))],
    reason: Reason,
    wait: Annotated[bool, typer.Option("--wait", help=t("keys.wait"))] = False,
    config: ConfigFile = None,
    operator: As = None,
    as_json: Json = False,
) -> None:
    """Make a new current key, which is used at once; what was made with the old one is renewed beside the traffic."""
    with AdminClient(load_config(config), operator) as client:
        new = client.post("keys", kind, "rotate", body={"reason": reason})
        if not as_json:
            say(t("keys.rotated", kind=kind, id=new["id"]))
        if wait:
            _follow(client, kind, quiet=as_json)
    if as_json:
        show_json(new)


def _follow(client: AdminClient, kind: str, *, quiet: bool) -> None:
    """Until nothing hangs on an older key, showing how much still does."""
    shown = -1
    while True:
        left = _left(client.get("keys")["items"], kind)
        if left != shown and not quiet:
            say(t("keys.left", count=left) if left else t("keys.renewed"))
        if not left:
            return
        shown = left
        time.sleep(0.5)


def _left(found: list[dict[str, Any]], kind: str) -> int:
    return sum(each["uses"] or 0 for each in found if each["kind"] == kind and each["state"] != "current")
