"""renkei approvals: what waits for a second person, and that person's decision."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.approvals.kinds import Kind
from gateway.cli.client import AdminClient
from gateway.cli.options import As, ConfigFile, Json, Reason, Yes
from gateway.cli.people import recorded, show_changes, sure, write_private
from gateway.cli.support import ExitCode, load_config, local_time, say, show_json, show_table
from gateway.cli.wording import t

approvals = typer.Typer(help=t("command.approvals"), no_args_is_help=True)
RequestId = Annotated[str, typer.Argument(metavar="REQUEST")]


@approvals.command("list")
def approvals_list(
    everything: Annotated[bool, typer.Option("--all")] = False,
    config: ConfigFile = None,
    operator: As = None,
    as_json: Json = False,
) -> None:
    """Requests that wait for a second person (--all: every request)."""
    with AdminClient(load_config(config), operator) as client:
        found = client.get("requests", query=None if everything else {"status": "waiting"})["items"]
    if as_json:
        show_json(found)
        return
    if not found:
        say(t("nothing.requested" if everything else "nothing.waiting"))
    for each in found:
        _show(each)


@approvals.command("show")
def approvals_show(
    request: RequestId,
    content: Annotated[Path | None, typer.Option("--content", dir_okay=False)] = None,
    config: ConfigFile = None,
    operator: As = None,
    as_json: Json = False,
) -> None:
    """One request; --content FILE takes out the new content of a correction, on record, for whoever is to approve it."""
    with AdminClient(load_config(config), operator) as client:
        found = client.get("requests", request)
        changed = _policy(client, found)
        if content is not None:
            write_private(content, client.get_bytes("requests", request, "content"))
            say(t("content.written", file=content))
    if as_json:
        show_json(found | ({} if changed is None else {"policy": changed}))
        return
    _show(found)
    if changed is not None:
        _show_policy(changed)


@approvals.command("approve")
def approvals_approve(
    request: RequestId,
    yes: Yes = False,
    digest: Annotated[str | None, typer.Option("--digest")] = None,
    config: ConfigFile = None,
    operator: As = None,
    as_json: Json = False,
) -> int:
    """Approve another person's request: it is carried out if everything is still as it was seen."""
    with AdminClient(load_config(config), operator) as client:
        asked = client.get("requests", request)
        changed = _policy(client, asked)
        if changed is not None and not as_json:
            _show_policy(changed)
        question = t("confirm.approve", command=asked["command"], id=_about(asked), by=asked["requested_by"], reason=asked["reason"])
        if not sure(question, yes or as_json):
            return int(ExitCode.OK)
        done = client.post("requests", request, "approve", body={"seen_digest": digest or asked["approval_digest"]})
    return recorded(done, as_json)


@approvals.command("refuse")
def approvals_refuse(request: RequestId, reason: Reason, config: ConfigFile = None, operator: As = None, as_json: Json = False) -> int:
    """Refuse another person's request."""
    with AdminClient(load_config(config), operator) as client:
        done = client.post("requests", request, "refuse", body={"reason": reason})
    return _ended(done, as_json)


@approvals.command("withdraw")
def approvals_withdraw(request: RequestId, config: ConfigFile = None, operator: As = None, as_json: Json = False) -> int:
    """Take back your own request."""
    with AdminClient(load_config(config), operator) as client:
        done = client.post("requests", request, "withdraw", body={})
    return _ended(done, as_json)


def _ended(done: dict[str, Any], as_json: bool) -> int:
    if as_json:
        show_json(done)
    else:
        say(t("withdrawn", id=done["request_id"], status=done["status"]))
    return int(ExitCode.OK)


def _policy(client: AdminClient, asked: dict[str, Any]) -> dict[str, Any] | None:
    """What a request for a policy would change; None: it is about something else."""
    if asked["command"] != Kind.POLICY_CHANGE or asked["status"] != "waiting":
        return None
    return client.get("requests", asked["request_id"], "policy")  # type: ignore[no-any-return]


def _show_policy(changed: dict[str, Any]) -> None:
    show_changes(changed["changes"])
    for each in changed["findings"]:
        words = t("policy.finding." + each["code"])
        say(f"! {each['place']}: {words}")


def _about(each: dict[str, Any]) -> str:
    return str(each["delivery_id"] or each["subject"])


def _show(each: dict[str, Any]) -> None:
    say(f"{each['request_id']}: {each['command']} → {each['status']}")
    about = t("label.delivery") if each["delivery_id"] else t("label.about")
    rows: list[tuple[str, object]] = [(about, _about(each)), (t("label.by"), f"{each['requested_by']}: {each['reason']}")]
    rows += [(t("label.detail"), ", ".join(f"{name}: {value}" for name, value in each["argument"].items()))] if each["argument"] else []
    if each["decided_by"]:
        rows.append((t("label.decided"), f"{each['decided_by']}  {local_time(each['decided_at'])}"))
    if each["status"] in ("waiting", "approved"):
        rows.append((t("label.until"), local_time(each["expires_at"])))
    if each["outcome"]:
        rows.append((t("label.outcome"), each["outcome"]))
    show_table(["", "", ""], [["  ", *row] for row in rows])
