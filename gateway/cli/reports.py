"""``renkei reports``: what was refused on a day, that somebody has looked at it, and statistics of a month."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from gateway.cli.client import AdminClient
from gateway.cli.options import As, ConfigFile, Json, Reason, Yes
from gateway.cli.people import sure
from gateway.cli.support import ExitCode, load_config, local_time, say, show_json, show_table
from gateway.cli.wording import t

reports = typer.Typer(help=t("command.reports"), no_args_is_help=True)
OUTCOMES = ("accepted", "waiting", "set_aside", "refused")
Day = Annotated[dt.datetime | None, typer.Argument(metavar="[DAY]", formats=["%Y-%m-%d"], help=t("reports.day"))]


@reports.command(help=t("reports.refusals"))
def refusals(day: Day = None, config: ConfigFile = None, operator: As = None, as_json: Json = False) -> None:
    with AdminClient(load_config(config), operator) as client:
        found = client.get("reports", "refusals", _day(day))
    if as_json:
        show_json(found)
    else:
        _show(found)


@reports.command("import", help=t("reports.import"))
def imports(
    system: Annotated[str, typer.Argument(metavar="SYSTEM", help=t("reports.system"))],
    day: Day = None,
    config: ConfigFile = None,
    operator: As = None,
    as_json: Json = False,
) -> None:
    with AdminClient(load_config(config), operator) as client:
        found = client.get("reports", "imports", system, _day(day))
    if as_json:
        show_json(found)
        return
    say(t("reports.imported", day=found["day"], system=found["system"]))
    say(t("reports.digest", digest=found["digest"]))
    names = ("message_type", "supplier", *OUTCOMES)
    headings = [t("label.type"), t("reports.supplier"), *(t(f"reports.outcome.{name}") for name in OUTCOMES)]
    if found["counts"]:
        show_table(headings, [[each[name] or "" if name in names[:2] else each[name] for name in names] for each in found["counts"]])
    if found["missing"]:
        say(t("reports.missing", suppliers=", ".join(found["missing"])))
    if found["records"]:
        headings = [t("reports.record"), t("reports.supplier"), t("label.party"), t("label.outcome"), t("label.code"), t("label.detail")]
        keys = ("record", "supplier", "party", "outcome", "code", "place")
        rows = [
            [t(f"reports.outcome.{each[key].replace('-', '_')}") if key == "outcome" else each[key] or "" for key in keys]
            for each in found["records"]
        ]
        show_table(headings, rows)
    if found["left_off"]:
        say(t("reports.left_off", count=found["left_off"]))
    _show_checks(found)
    say(t("reports.import_checked" if found["checked"] else "reports.import_unchecked"))


@reports.command("check-import", help=t("reports.check_import"))
def check_import(
    system: Annotated[str, typer.Argument(metavar="SYSTEM", help=t("reports.system"))],
    result: Annotated[str, typer.Option("--result", help=t("reports.result"))],
    seen: Annotated[str, typer.Option("--seen", metavar="DIGEST", help=t("reports.seen"))],
    day: Day = None,
    config: ConfigFile = None,
    operator: As = None,
    as_json: Json = False,
) -> None:
    with AdminClient(load_config(config), operator) as client:
        done = client.post("reports", "imports", system, _day(day), "check", body={"seen_digest": seen, "result": result})
    if as_json:
        show_json(done)
    else:
        _show_checks(done)
        say(t("reports.import_checked" if done["checked"] else "reports.import_unchecked"))


@reports.command(help=t("reports.check"))
def check(
    result: Annotated[str, typer.Option("--result", help=t("reports.result"))],
    day: Day = None,
    yes: Yes = False,
    config: ConfigFile = None,
    operator: As = None,
    as_json: Json = False,
) -> int:
    with AdminClient(load_config(config), operator) as client:
        found = client.get("reports", "refusals", _day(day))
        if not as_json:
            _show(found)
        if not sure(t("reports.sure", day=found["day"]), yes or as_json):
            return int(ExitCode.OK)
        done = client.post("reports", "refusals", found["day"], "check", body={"seen_digest": found["digest"], "result": result})
    if as_json:
        show_json(done)
    else:
        say(t("reports.checked", day=done["day"]))
    return int(ExitCode.OK)


@reports.command(help=t("reports.statistics"))
def statistics(
    month: Annotated[str, typer.Argument(metavar="MONTH", help=t("reports.month"))],
    reason: Reason,
    config: ConfigFile = None,
    operator: As = None,
    as_json: Json = False,
) -> None:
    with AdminClient(load_config(config), operator) as client:
        found = client.post("reports", "statistics", body={"month": month, "reason": reason})
    if as_json:
        show_json(found)
        return
    few = f"< {found['minimum']}"
    rows = [
        [each["party"], each["message_type"], each["outcome"], few if each["provisions"] is None else each["provisions"]]
        for each in found["lines"]
    ]
    show_table([t(f"label.{name}") for name in ("party", "type", "outcome", "count")], rows)
    say(t("reports.few", minimum=found["minimum"]))


def _day(day: dt.datetime | None) -> str:
    """Yesterday in Japan, unless one is named."""
    return (day or dt.datetime.now(ZoneInfo("Asia/Tokyo")) - dt.timedelta(days=1)).date().isoformat()


def _show(found: dict[str, Any]) -> None:
    say(t("reports.of", day=found["day"], count=sum(each["count"] for each in found["refusals"])))
    headings = [t(f"label.{name}") for name in ("count", "kind", "by", "code", "rule", "detail")]
    if found["refusals"]:
        names = ("count", "kind", "who", "code", "rule", "what")
        show_table(headings, [[each[name] for name in names] for each in found["refusals"]])
    _show_checks(found)
    if found["unchecked"]:
        say(t("reports.unchecked", days=", ".join(found["unchecked"])))


def _show_checks(found: dict[str, Any]) -> None:
    for each in found["checks"]:
        words = t("reports.checked_by", by=each["checked_by"], at=local_time(each["checked_at"]), result=each["result"])
        say(words + ("" if each["same"] else f"  {t('reports.other')}"))
