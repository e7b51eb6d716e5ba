"""``renkei provisions``: records of provision (提供記録), for operators, and for disclosure requests (開示請求) of one resident.

Whom a search is about comes from a prompt or standard input, never from the command line, which others on the machine can read.
"""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from gateway.cli import wording
from gateway.cli.client import AdminClient
from gateway.cli.options import As, ConfigFile, Json, Reason
from gateway.cli.support import load_config, local_time, say, show_json, show_table
from gateway.cli.wording import t

provisions = typer.Typer(help=t("command.provisions"), no_args_is_help=True)
By = Annotated[
    Literal["resident-code", "individual-number", "atena-number", "card-number", "residence-card-number"] | None,
    typer.Option("--by", help=t("provisions.by")),
]
Since = Annotated[str | None, typer.Option("--since", metavar="TIME", help=t("provisions.time"))]
Until = Annotated[str | None, typer.Option("--until", metavar="TIME", help=t("provisions.time"))]
Party = Annotated[str | None, typer.Option("--party", metavar="SYSTEM", help=t("policy.party"))]
Reference = Annotated[str | None, typer.Option("--reference", metavar="NUMBER", help=t("provisions.reference"))]
Outcome = Annotated[str | None, typer.Option("--outcome", help=t("provisions.outcome"))]
_COLUMNS = (
    "at",
    "outcome",
    "party",
    "recipients",
    "work",
    "basis",
    "items",
    "operator",
    "terminal",
    "code",
    "rule",
    "question",
    "condition",
    "reference",
)


@provisions.command(help=t("provisions.search"))
def search(
    reason: Reason,
    by: By = None,
    since: Since = None,
    until: Until = None,
    party: Party = None,
    outcome: Outcome = None,
    reference: Reference = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000)] = 100,
    after: Annotated[str | None, typer.Option("--after", help=t("provisions.after"))] = None,
    staff: Annotated[bool, typer.Option("--staff", help=t("provisions.staff"))] = False,
    config: ConfigFile = None,
    operator: As = None,
    as_json: Json = False,
) -> None:
    asked = _body(reason, by, since, until, party, outcome, reference, masked=not staff)
    with AdminClient(load_config(config), operator) as client:
        page = client.post("provisions", "search", body=asked | {"limit": limit, "after": after})
    if as_json:
        show_json(page)
        return
    if page["protected"]:
        say(t("provisions.protected"))
    if not page["items"]:
        say(t("provisions.none"))
        return
    headings = [t(f"label.{name}") for name in ("when", "outcome", "party", "work", "basis", "items", "operator")]
    show_table(headings, [_line(each) for each in page["items"]])
    if any(article.startswith("~") for each in page["items"] for article in each["basis"]):
        say(t("policy.untied"))
    if page["next_after"]:
        say(t("more", after=page["next_after"]))


@provisions.command(help=t("provisions.export"))
def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", dir_okay=False)],
    reason: Reason,
    by: By = None,
    since: Since = None,
    until: Until = None,
    party: Party = None,
    outcome: Outcome = None,
    reference: Reference = None,
    staff: Annotated[bool, typer.Option("--staff", help=t("provisions.staff"))] = False,
    config: ConfigFile = None,
    operator: As = None,
) -> None:
    asked = _body(reason, by, since, until, party, outcome, reference, masked=not staff)
    if file.exists():
        raise typer.BadParameter(t("provisions.exists", file=file))
    with AdminClient(load_config(config), operator) as client:
        found, protected = _all(client, asked | {"export": True})
    text = json.dumps(found, ensure_ascii=False, indent=2) if file.suffix == ".json" else _csv(found)
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8", newline="") as out:
        out.write(text)
    say(t("provisions.written", count=len(found), file=file))
    if protected:
        say(t("provisions.protected"))


def _all(client: AdminClient, asked: dict[str, Any]) -> tuple[list[dict[str, Any]], bool]:
    found, after, protected = [], None, False
    while True:
        page = client.post("provisions", "search", body=asked | {"limit": 1000, "after": after})
        found += page["items"]
        after, protected = page["next_after"], protected or page["protected"]
        if after is None:
            return found, protected


def _body(
    reason: str,
    by: str | None,
    since: str | None,
    until: str | None,
    party: str | None,
    outcome: str | None,
    reference: str | None,
    *,
    masked: bool,
) -> dict[str, Any]:
    body: dict[str, Any] = {"reason": reason, "since": since, "until": until, "party": party, "outcome": outcome, "masked": masked}
    if reference is not None:
        body["reference"] = reference
    if by is not None:
        value = typer.prompt(t("message.value", by=by), hide_input=True, err=True) if sys.stdin.isatty() else sys.stdin.readline()
        body |= {"by": by, "value": value.strip()}
    return body


def _name(each: dict[str, Any]) -> str:
    name = each["party_ja"] if wording.language() == "ja" else each["party_en"]
    return name or each["party"] or ""


def _line(each: dict[str, Any]) -> list[object]:
    who = f"{each['resident']}: " if each["resident"] else ""
    outcome = each["outcome"] + (f" ({each['code']})" if each["code"] and each["outcome"] != "provided" else "")
    work = " ".join(filter(None, (each["work"], each["work_ja"])))
    staff = " ".join(filter(None, (each["operator"], each["terminal"])))
    asked = " ← ".join(filter(None, (", ".join(each["items"]), _condition(each))))
    staff = " ".join(filter(None, (staff, each["reference"])))
    return [local_time(each["at"]), who + outcome, _name(each), work, "、".join(each["basis"]), asked, staff]


def _condition(each: dict[str, Any]) -> str:
    """What was asked by, of a dialogue that one of our systems began."""
    return ", ".join(f"{name}={value}" for name, value in (each["condition"] or {}).items())


def _csv(found: list[dict[str, Any]]) -> str:
    """With a byte order mark, for the spreadsheet of whoever answers the request; a cell never begins a formula."""
    out = io.StringIO()
    out.write("\ufeff")
    writer = csv.writer(out)
    writer.writerow([t(f"label.{name}") for name in _COLUMNS])
    for each in found:
        cells = [
            local_time(each["at"]), each["outcome"], _name(each), "、".join(each["recipients"]),
            " ".join(filter(None, (each["work"], each["work_ja"]))), "、".join(each["basis"]), "、".join(each["items"]),
            each["operator"] or "", each["terminal"] or "", each["code"] or "", each["rule"] or "", each["question"] or "",
            _condition(each),
            each["reference"] or "",
        ]  # fmt: skip
        writer.writerow([f"'{cell}" if cell[:1] in ("=", "+", "-", "@") else cell for cell in cells])
    return out.getvalue()
