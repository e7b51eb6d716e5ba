"""renkei operators: the table of access rights, its yearly review, what was added to it, and contractors who are let in."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gateway.cli.client import AdminClient
from gateway.cli.options import As, ConfigFile, Json, Reason, Yes
from gateway.cli.people import recorded, sure
from gateway.cli.support import ExitCode, load_config, local_time, say, show_json, show_table
from gateway.cli.wording import t

operators = typer.Typer(help=t("command.operators"), no_args_is_help=True)
Name = Annotated[str, typer.Argument(metavar="NAME")]


@operators.command("list")
def operators_list(config: ConfigFile = None, operator: As = None, as_json: Json = False) -> None:
    """The table of access rights: what is in force, since when, by whose approval, last review and last use."""
    with AdminClient(load_config(config), operator) as client:
        found = client.get("operators")["items"]
    if as_json:
        show_json(found)
        return
    headings = [t(f"label.{name}") for name in ("operator", "roles", "parties", "review_due", "last_use", "remarks")]
    show_table(headings, [_row(each) for each in found])


@operators.command("review")
def operators_review(
    name: Name, result: Annotated[str, typer.Option("--result", help=t("operators.result"))], config: ConfigFile = None,
    operator: As = None, as_json: Json = False,
) -> int:  # fmt: skip
    """Put on record that another person's rights were looked at and are needed as they are. Due every April, and at a transfer."""
    with AdminClient(load_config(config), operator) as client:
        found = client.post("operators", name, "review", body={"reason": result})
    return _said(found, "operators.reviewed", as_json)


@operators.command("release")
def operators_release(
    name: Name,
    reason: Reason,
    hours: Annotated[float, typer.Option("--hours", min=0, max=12, help=t("operators.hours"))] = 4,
    config: ConfigFile = None,
    operator: As = None,
    as_json: Json = False,
) -> int:
    """Let a contractor work for some hours; --hours 0 ends it."""
    with AdminClient(load_config(config), operator) as client:
        found = client.post("operators", name, "release", body={"reason": reason, "hours": float(hours)})
    return _said(found, "operators.released" if found["released_until"] else "operators.ended", as_json)


@operators.command("grant")
def operators_grant(
    name: Name, reason: Reason, yes: Yes = False, config: ConfigFile = None, operator: As = None, as_json: Json = False
) -> int:
    """Ask for what config.yaml gives a person to be in force; an administrator approves, neither you nor that person."""
    with AdminClient(load_config(config), operator) as client:
        found = client.get("operators")["items"]
        pending = {each["name"]: each for each in found if each["pending_digest"]}
        if name not in pending:
            say(t("operators.nothing", name=name))
            return int(ExitCode.OK)
        each = pending[name]
        if not sure(t("operators.confirm", name=name, rights=_rights(each["configured"])), yes or as_json):
            return int(ExitCode.OK)
        asked = client.post("operators", name, "rights", body={"seen_digest": each["pending_digest"], "reason": reason})
    return recorded(asked, as_json)


def _said(found: dict[str, Any], key: str, as_json: bool) -> int:
    if as_json:
        show_json(found)
    else:
        say(t(key, name=found["name"], due=found["review_due"], until=local_time(found["released_until"])))
    return int(ExitCode.OK)


def _rights(rights: dict[str, Any]) -> str:
    return ", ".join(rights["roles"]) + (f" ({', '.join(rights['parties'])})" if rights["parties"] else "")


def _row(each: dict[str, Any]) -> list[object]:
    remarks = [t(f"operators.{name}") for name in ("overdue", "expired", "unused", "contractor") if each[name]]
    remarks += [t("operators.pending", rights=_rights(each["configured"]))] if each["pending_digest"] else []
    remarks += [t("operators.gone")] if each["configured"] is None else []
    remarks += [t("operators.until", until=local_time(each["released_until"]))] if each["released_until"] else []
    parties = t("operators.all") if each["parties"] is None else ", ".join(each["parties"])
    return [each["name"], ", ".join(each["roles"]), parties, each["review_due"], local_time(each["seen_at"]), "; ".join(remarks)]
