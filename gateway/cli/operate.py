"""Commands that look: status, queues, held, message."""

from __future__ import annotations

import datetime as dt
import sys
from typing import Annotated, Any

import typer

from gateway.cli.client import AdminClient
from gateway.cli.options import As, ConfigFile, Json
from gateway.cli.support import load_config, local_time, say, short_time, show_json, show_table
from gateway.cli.wording import t


def status(config: ConfigFile = None, operator: As = None, as_json: Json = False) -> None:
    """The gateway at a glance, and its parties."""
    with AdminClient(load_config(config), operator) as client:
        glance, parties = client.get("status"), client.get("parties")["items"]
    if as_json:
        show_json({**glance, "parties": parties})
        return
    say(f"{glance['instance']} {glance['version']}  {local_time(glance['now'])}")
    labels = {
        "broker": t("label.broker"),
        "unfinished": t("label.unfinished"),
        "held_keys": t("label.held"),
        "unknown": t("label.unknown"),
        "accepted_last_hour": t("label.accepted_hour"),
        "delivered_last_hour": t("label.delivered_hour"),
        "requests_waiting": t("label.requests"),
        "quarantined": t("label.quarantined"),
        "workers": t("label.workers"),
    }
    rows: list[list[object]] = [[label, glance[name]] for name, label in labels.items()]
    rows.append([t("label.oldest"), local_time(glance["oldest_unfinished_at"])])
    show_table(["", ""], rows)
    headings = [t(f"label.{name}") for name in ("party", "breaker", "paused", "unfinished", "held_short", "last")]
    show_table(
        headings,
        [
            [each["party"], _breaker(each), each["paused_by"], each["unfinished"], each["held_keys"], short_time(each["last_delivered_at"])]
            for each in parties
        ],
    )


def queues(config: ConfigFile = None, operator: As = None, as_json: Json = False) -> None:
    """What waits, per party and lane."""
    with AdminClient(load_config(config), operator) as client:
        lanes = client.get("queues")["items"]
    if as_json:
        show_json(lanes)
        return
    headings = [
        t(f"label.{name}")
        for name in ("party", "lane", "depth", "sending", "backing_off", "waiting", "held_short", "bells", "oldest_short")
    ]
    fields = ("party", "lane", "depth", "sending", "backing_off", "waiting", "held_keys", "bells")
    show_table(headings, [[*(each[name] for name in fields), short_time(each["oldest_at"])] for each in lanes])


def held(
    party: Annotated[str | None, typer.Option("--party")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000)] = 100,
    after: Annotated[str | None, typer.Option("--after")] = None,
    config: ConfigFile = None,
    operator: As = None,
    as_json: Json = False,
) -> None:
    """Deliveries that hold their resident's later messages back, longest held first."""
    query = {"limit": str(limit)} | ({"party": party} if party else {}) | ({"after": after} if after else {})
    with AdminClient(load_config(config), operator) as client:
        page = client.get("held", query=query)
    if as_json:
        show_json(page)
        return
    if not page["items"]:
        say(t("nothing.held"))
        return
    for each in page["items"]:
        say(f"{each['delivery_id']} → {each['party']}")
        since = t("held.since", at=local_time(each["updated_at"]), count=each["behind"])
        show_table(["", "", ""], [["  ", t("label.why"), each["why"]], ["", t("label.next"), each["next"]], ["", "", since]])
    if page["next_after"]:
        say(t("more", after=page["next_after"]))


def message(
    reference: Annotated[str | None, typer.Argument(metavar="[ID]")] = None,
    by: Annotated[str | None, typer.Option("--by", metavar="KIND", help=t("message.by"))] = None,
    reason: Annotated[str | None, typer.Option("--reason", help=t("option.reason"))] = None,
    config: ConfigFile = None,
    operator: As = None,
    as_json: Json = False,
) -> None:
    """One message by its id, by the sender's id of it, or by the id of one of its deliveries; or those about a resident, with --by."""
    if (reference is None) == (by is None):
        raise typer.BadParameter(t("message.choose"))
    if by is not None:
        if reason is None:
            raise typer.BadParameter(t("message.why"))
        _about_resident(by, reason, config, operator, as_json)
        return
    assert reference is not None
    with AdminClient(load_config(config), operator) as client:
        found = client.get("messages", reference)
    if as_json:
        show_json(found)
        return
    say(f"{found['message_id']}  {found['type']}")
    rows: list[list[object]] = [["  ", t("label.sender"), f"{found['system']} {found['source_id']} ({found['door']})"]]
    rows += [["", t("label.accepted"), local_time(found["accepted_at"])]]
    rows += [["", t("label.corrects"), found["corrects"]]] if found["corrects"] else []
    show_table(["", "", ""], rows)
    for each in found["deliveries"]:
        say(f"\n{each['delivery_id']} → {each['party']} ({each['lane']}, #{each['number']})")
        show_table(["", "", ""], [["  ", label, value] for label, value in _delivery_rows(each)])
        if each["allowed"]:
            say(f"  --seen {each['state']}:{each['digest']}")  # in one piece, to be copied
    say("")
    show_table(
        [t("label.when"), "", t("label.by")],
        [[_clock(entry["at"]), entry["kind"], f"{entry['actor']}  {_detail(entry['detail'])}"] for entry in found["timeline"]],
    )


def _about_resident(by: str, reason: str, config: ConfigFile, operator: As, as_json: bool) -> None:
    """The number must not end up in a shell's history or in the list of processes: it is typed unseen, or read from standard input."""
    with AdminClient(load_config(config), operator) as client:
        value = typer.prompt(t("message.value", by=by), hide_input=True, err=True) if sys.stdin.isatty() else sys.stdin.readline()
        found = client.post("search", body={"by": by, "value": value.strip(), "reason": reason})["items"]
    if as_json:
        show_json(found)
    elif not found:
        say(t("message.none"))
    else:
        headings = [t(f"label.{name}") for name in ("id", "accepted", "sender", "party")]
        rows = [[each["message_id"], local_time(each["accepted_at"]), each["system"], ", ".join(each["parties"])] for each in found]
        show_table(headings, rows)


def _delivery_rows(view: dict[str, Any]) -> list[tuple[str, object]]:
    """What is worth saying of a delivery now."""
    rows: list[tuple[str, object]] = [
        (t("label.state"), view["state"]),
        (t("label.why"), view["why"]),
        (t("label.next"), view["next"]),
    ]
    if view["next_at"]:
        rows.append((t("label.when"), local_time(view["next_at"])))
    rows.append((t("label.attempts"), t("attempts", count=view["attempts"], spent=view["spent"], budget=view["budget"])))
    if view["behind"]:
        rows.append((t("label.behind"), view["behind"]))
    if view["allowed"]:
        rows.append((t("label.allowed"), ", ".join(view["allowed"])))
    return rows


def _clock(stamp: str) -> str:
    """To the millisecond: several things happen in a second."""
    return dt.datetime.fromisoformat(stamp).astimezone().strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def _breaker(party: dict[str, Any]) -> str:
    code = f" ({party['breaker_code']})" if party["breaker_code"] else ""
    return f"{party['breaker']}{code}"


def _detail(detail: dict[str, str]) -> str:
    return " ".join(f"{name}={value}" for name, value in detail.items())
