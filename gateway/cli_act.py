"""Commands that act: retry, correct, skip, settle, requests, approve, withdraw, pause, resume.

Each names the state and digest that were seen (R13): those of ``--seen``, else those that are shown for confirmation at that moment.
"""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli_client import AdminClient
from gateway.cli_options import As, ConfigFile, Json, Reason, Yes
from gateway.cli_support import ExitCode, load_config, local_time, say, show_json, show_table
from gateway.cli_text import t
from gateway.errors import CommandRefused

DeliveryId = Annotated[str, typer.Argument(metavar="DELIVERY")]
RequestId = Annotated[str, typer.Argument(metavar="REQUEST")]
PartyId = Annotated[str, typer.Argument(metavar="PARTY")]
SeenOption = Annotated[str | None, typer.Option("--seen", metavar="STATE:DIGEST", help=t("option.seen"))]


def retry(
    delivery: DeliveryId,
    reason: Reason,
    seen: SeenOption = None,
    yes: Yes = False,
    config: ConfigFile = None,
    operator: As = None,
    as_json: Json = False,
) -> int:
    """Send a delivery again as soon as possible."""
    with AdminClient(load_config(config), operator) as client:
        return _order(client, "retry", delivery, seen, {"reason": reason}, yes, as_json)


def correct(
    delivery: DeliveryId,
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True)],
    reason: Reason,
    seen: SeenOption = None,
    yes: Yes = False,
    config: ConfigFile = None,
    operator: As = None,
    as_json: Json = False,
) -> int:
    """Ask for a held delivery's content to be replaced by FILE (XML of the same type); a second person approves."""
    content = base64.b64encode(file.read_bytes()).decode()
    with AdminClient(load_config(config), operator) as client:
        return _order(client, "correct", delivery, seen, {"reason": reason, "content_base64": content}, yes, as_json)


def skip(
    delivery: DeliveryId,
    reason: Reason,
    seen: SeenOption = None,
    yes: Yes = False,
    config: ConfigFile = None,
    operator: As = None,
    as_json: Json = False,
) -> int:
    """Ask for a held delivery to be passed over; a second person approves. Refused for a type that bears 更新順番号 (R4)."""
    with AdminClient(load_config(config), operator) as client:
        return _order(client, "skip", delivery, seen, {"reason": reason}, yes, as_json)


def settle(
    delivery: DeliveryId,
    took_effect: Annotated[bool, typer.Option("--took-effect/--no-effect")],
    reason: Reason,
    seen: SeenOption = None,
    yes: Yes = False,
    config: ConfigFile = None,
    operator: As = None,
    as_json: Json = False,
) -> int:
    """Ask for an unknown outcome to be settled by the party's word, quoted as the reason; a second person approves."""
    with AdminClient(load_config(config), operator) as client:
        return _order(client, "settle", delivery, seen, {"reason": reason, "took_effect": took_effect}, yes, as_json)


def requests(
    request: Annotated[str | None, typer.Argument(metavar="[REQUEST]")] = None,
    everything: Annotated[bool, typer.Option("--all")] = False,
    content: Annotated[Path | None, typer.Option("--content", dir_okay=False)] = None,
    config: ConfigFile = None,
    operator: As = None,
    as_json: Json = False,
) -> None:
    """Requests that wait for a second person (--all: every request), or one; --content FILE takes out its new content, on record."""
    with AdminClient(load_config(config), operator) as client:
        if request is not None:
            found = [client.get("requests", request)]
            if content is not None:
                _write_private(content, client.get_bytes("requests", request, "content"))
                say(t("content.written", file=content))
        else:
            found = client.get("requests", query=None if everything else {"status": "waiting"})["items"]
    if as_json:
        show_json(found if request is None else found[0])
        return
    if not found:
        say(t("nothing.requested" if everything else "nothing.waiting"))
        return
    for each in found:
        say(f"{each['request_id']}: {each['command']} → {each['status']}")
        rows = [
            (t("label.delivery"), each["delivery_id"]),
            (t("label.by"), f"{each['requested_by']}: {each['reason']}"),
            (t("label.until"), local_time(each["expires_at"])),
        ]
        if each["decided_by"]:
            rows[-1] = (t("label.decided"), f"{each['decided_by']}  {local_time(each['decided_at'])}")
        show_table(["", "", ""], [["  ", *row] for row in rows])


def approve(
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
        question = t("confirm.approve", command=asked["command"], id=asked["delivery_id"], by=asked["requested_by"], reason=asked["reason"])
        if not _sure(question, yes or as_json):
            return int(ExitCode.OK)
        done = client.post("requests", request, "approve", body={"seen_digest": digest or asked["approval_digest"]})
    return _recorded(done, as_json)


def withdraw(request: RequestId, config: ConfigFile = None, operator: As = None, as_json: Json = False) -> int:
    """Take back your own request, or refuse another person's."""
    with AdminClient(load_config(config), operator) as client:
        done = client.post("requests", request, "withdraw", body={})
    if as_json:
        show_json(done)
    else:
        say(t("withdrawn", id=done["request_id"], status=done["status"]))
    return int(ExitCode.OK)


def pause(party: PartyId, reason: Reason, config: ConfigFile = None, operator: As = None, as_json: Json = False) -> None:
    """Start no more calls to a party."""
    with AdminClient(load_config(config), operator) as client:
        view = client.post("parties", party, "pause", body={"reason": reason})
    if as_json:
        show_json(view)
    else:
        say(t("paused", party=view["party"], by=view["paused_by"]))


def resume(party: PartyId, reason: Reason, config: ConfigFile = None, operator: As = None, as_json: Json = False) -> None:
    """Take a pause back."""
    with AdminClient(load_config(config), operator) as client:
        view = client.post("parties", party, "resume", body={"reason": reason})
    if as_json:
        show_json(view)
    else:
        say(t("resumed", party=view["party"]))


def _order(client: AdminClient, command: str, reference: str, seen: str | None, body: dict[str, Any], yes: bool, as_json: bool) -> int:
    if seen is not None:
        state, colon, digest = seen.rpartition(":")
        if not colon:
            raise typer.BadParameter(t("seen.malformed"))
        delivery_id = reference
    else:
        view = _delivery_of(client.get("messages", reference), reference)
        state, digest, delivery_id = view["state"], view["digest"], view["delivery_id"]
        say(f"{view['delivery_id']} → {view['party']}: {view['state']}: {view['why']}")
    if not _sure(t("confirm.command", command=command, id=delivery_id, state=state), yes or as_json):
        return int(ExitCode.OK)
    return _recorded(client.post("deliveries", delivery_id, command, body={"seen_state": state, "seen_digest": digest, **body}), as_json)


def _delivery_of(found: dict[str, Any], reference: str) -> dict[str, Any]:
    """The delivery that is meant: by its own id, or the only one of the message."""
    deliveries: list[dict[str, Any]] = found["deliveries"]
    named = [each for each in deliveries if each["delivery_id"] == reference] or deliveries
    if len(named) != 1:
        raise CommandRefused("several-deliveries", t("delivery.choose", ids=", ".join(each["delivery_id"] for each in named)))
    return named[0]


def _sure(question: str, yes: bool) -> bool:
    if yes or typer.confirm(question, err=True):
        return True
    say(t("not.done"))
    return False


def _recorded(record: dict[str, Any], as_json: bool) -> int:
    waits = record["status"] == "waiting"
    if as_json:
        show_json(record)
    elif waits:
        say(t("waits", command=record["command"], id=record["request_id"], until=local_time(record["expires_at"])))
    else:
        say(t("done", command=record["command"], id=record["request_id"]))
    return int(ExitCode.WAITS if waits else ExitCode.OK)


def _write_private(file: Path, content: bytes) -> None:
    """Content in clear: a new file that nobody else can read; an existing one is never written over."""
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(content)
