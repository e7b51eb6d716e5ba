"""renkei quarantine, bulk, reveal: what was refused and kept, what leaves in bulk, and a look into a sealed payload."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.client import AdminClient
from gateway.cli.options import As, ConfigFile, Json, Reason, Yes
from gateway.cli.people import recorded, sure, write_private
from gateway.cli.support import ExitCode, load_config, local_time, say, show_json, show_table
from gateway.cli.wording import t
from gateway.errors import CommandRefused

quarantine = typer.Typer(help=t("command.quarantine"), no_args_is_help=True)
RefusalId = Annotated[str, typer.Argument(metavar="ID")]


@quarantine.command("list")
def quarantine_list(
    everything: Annotated[bool, typer.Option("--all")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000)] = 100,
    before: Annotated[str | None, typer.Option("--before")] = None,
    config: ConfigFile = None,
    operator: As = None,
    as_json: Json = False,
) -> None:
    """What was refused at the doors and is kept, newest first (--all: also what was released or discarded)."""
    query = {"limit": str(limit)} | ({} if everything else {"status": "kept"}) | ({"before": before} if before else {})
    with AdminClient(load_config(config), operator) as client:
        page = client.get("quarantine", query=query)
    if as_json:
        show_json(page)
        return
    if not page["items"]:
        say(t("nothing.quarantined"))
        return
    headings = [t(f"label.{name}") for name in ("id", "when", "sender", "type", "code", "state")]
    fields = ("quarantine_id", "at", "system", "type", "code", "status")
    show_table(headings, [[local_time(each[name]) if name == "at" else each[name] for name in fields] for each in page["items"]])
    if page["next_before"]:
        say(t("more.before", before=page["next_before"]))


@quarantine.command("show")
def quarantine_show(entry: RefusalId, config: ConfigFile = None, operator: As = None, as_json: Json = False) -> None:
    """One refusal: who sent what, which rule it broke, and where. The body stays sealed (renkei reveal)."""
    with AdminClient(load_config(config), operator) as client:
        found = client.get("quarantine", entry)
    if as_json:
        show_json(found)
        return
    say(f"{found['quarantine_id']}: {found['status']}")
    rows: list[list[object]] = [
        ["  ", t("label.sender"), f"{found['system']} {found['source_id'] or ''} ({found['door']})"],
        ["", t("label.type"), found["type"]],
        ["", t("label.when"), local_time(found["at"])],
        ["", t("label.code"), found["code"] + (f" ({found['rule']})" if found["rule"] else "")],
        ["", t("label.place"), found["place"]],
        ["", t("label.size"), found["size_bytes"]],
    ]
    if found["request_id"]:
        rows += [["", t("label.request"), found["request_id"]], ["", t("label.decided"), local_time(found["decided_at"])]]
    if found["message_id"]:
        rows.append(["", t("label.message"), found["message_id"]])
    show_table(["", "", ""], rows)


@quarantine.command("release")
def quarantine_release(
    entry: RefusalId, reason: Reason, yes: Yes = False, config: ConfigFile = None, operator: As = None, as_json: Json = False
) -> int:
    """Ask for a refused message to be handed in again as it is; a second person approves. What the guard found is then set aside."""
    return _ask(entry, "release", reason, yes, config, operator, as_json)


@quarantine.command("discard")
def quarantine_discard(
    entry: RefusalId, reason: Reason, yes: Yes = False, config: ConfigFile = None, operator: As = None, as_json: Json = False
) -> int:
    """Ask for the body of a refused message to be destroyed; a second person approves. That it was refused stays on record."""
    return _ask(entry, "discard", reason, yes, config, operator, as_json)


def bulk(
    party: Annotated[str | None, typer.Option("--party")] = None,
    kind: Annotated[str | None, typer.Option("--type")] = None,
    reason: Annotated[str | None, typer.Option("--reason", help=t("option.reason"))] = None,
    yes: Yes = False,
    config: ConfigFile = None,
    operator: As = None,
    as_json: Json = False,
) -> int:
    """What waits for a bulk output; with --party, --type and --reason, ask for all of it to leave. A second person approves."""
    with AdminClient(load_config(config), operator) as client:
        found = client.get("bulk")["items"]
        if party is None and kind is None:
            if as_json:
                show_json(found)
            elif not found:
                say(t("nothing.bulk"))
            else:
                headings = [t(f"label.{name}") for name in ("party", "type", "depth", "oldest_short")]
                show_table(headings, [[each["party"], each["type"], each["count"], local_time(each["oldest_at"])] for each in found])
            return int(ExitCode.OK)
        wanted = [each for each in found if (each["party"], each["type"]) == (party, kind)]
        if not wanted or reason is None:
            raise typer.BadParameter(t("bulk.which"))
        [it] = wanted
        if not sure(t("confirm.bulk", count=it["count"], type=kind, party=party), yes or as_json):
            return int(ExitCode.OK)
        asked = client.post("bulk", it["party"], it["type"], "output", body={"seen_digest": it["digest"], "reason": reason})
    return recorded(asked, as_json)


def reveal(
    reference: Annotated[str | None, typer.Argument(metavar="[ID]", help=t("reveal.id"))] = None,
    reason: Annotated[str | None, typer.Option("--reason", help=t("option.reason"))] = None,
    clear: Annotated[bool, typer.Option("--clear", help=t("reveal.clear"))] = False,
    request: Annotated[str | None, typer.Option("--request", metavar="REQUEST", help=t("reveal.request"))] = None,
    out: Annotated[Path | None, typer.Option("--out", dir_okay=False, help=t("reveal.out"))] = None,
    config: ConfigFile = None,
    operator: As = None,
    as_json: Json = False,
) -> int:
    """Ask to see the payload of a delivery or of a refusal (ID, --reason); once another person has approved, see it once (--request)."""
    with AdminClient(load_config(config), operator) as client:
        if request is not None:
            content = client.post_bytes("requests", request, "reveal", body={})
            if out is None:
                sys.stdout.write(content.decode(errors="replace") + "\n")
            else:
                write_private(out, content)
                say(t("content.written", file=out))
            return int(ExitCode.OK)
        if reference is None or reason is None:
            raise typer.BadParameter(t("reveal.which"))
        digest = _digest_of(client, reference)
        body: dict[str, Any] = {"seen_digest": digest, "reason": reason, "clear": clear}
        return recorded(client.post("reveal", reference, body=body), as_json)


def _digest_of(client: AdminClient, reference: str) -> str:
    from gateway.admin.service import NotFound

    try:
        deliveries = client.get("messages", reference)["deliveries"]
    except NotFound:
        return str(client.get("quarantine", reference)["digest"])
    named = [each for each in deliveries if each["delivery_id"] == reference]
    if not named:
        raise CommandRefused("several-deliveries", t("delivery.choose", ids=", ".join(each["delivery_id"] for each in deliveries)))
    return str(named[0]["digest"])


def _ask(entry: str, what: str, reason: str, yes: bool, config: Path | None, operator: str | None, as_json: bool) -> int:
    with AdminClient(load_config(config), operator) as client:
        found = client.get("quarantine", entry)
        if not sure(t(f"confirm.quarantine.{what}", id=entry, system=found["system"], code=found["code"]), yes or as_json):
            return int(ExitCode.OK)
        asked = client.post("quarantine", entry, what, body={"seen_digest": found["digest"], "reason": reason})
    return recorded(asked, as_json)
