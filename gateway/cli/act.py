"""Commands that act on deliveries and parties: retry, correct, skip, settle, release, pause, resume.

Each names the state and digest that were seen (R13): those of ``--seen``, else those that are shown for confirmation at that moment.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.client import AdminClient
from gateway.cli.options import As, ConfigFile, Json, Reason, Yes
from gateway.cli.people import recorded, sure
from gateway.cli.support import ExitCode, load_config, say, show_json
from gateway.cli.wording import t
from gateway.errors import CommandRefused

DeliveryId = Annotated[str, typer.Argument(metavar="DELIVERY")]
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
        return order(client, "retry", delivery, seen, {"reason": reason}, yes, as_json)


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
        return order(client, "correct", delivery, seen, {"reason": reason, "content_base64": content}, yes, as_json)


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
        return order(client, "skip", delivery, seen, {"reason": reason}, yes, as_json)


def release(
    delivery: DeliveryId,
    reason: Reason,
    seen: SeenOption = None,
    yes: Yes = False,
    config: ConfigFile = None,
    operator: As = None,
    as_json: Json = False,
) -> int:
    """Ask for a delivery to leave that is held until two persons have approved; the second person approves."""
    with AdminClient(load_config(config), operator) as client:
        return order(client, "release", delivery, seen, {"reason": reason}, yes, as_json)


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
        return order(client, "settle", delivery, seen, {"reason": reason, "took_effect": took_effect}, yes, as_json)


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


def order(client: AdminClient, command: str, reference: str, seen: str | None, body: dict[str, Any], yes: bool, as_json: bool) -> int:
    """Give a command on a delivery that was seen; its exit code."""
    if seen is not None:
        state, colon, digest = seen.rpartition(":")
        if not colon:
            raise typer.BadParameter(t("seen.malformed"))
        delivery_id = reference
    else:
        view = _delivery_of(client.get("messages", reference), reference)
        state, digest, delivery_id = view["state"], view["digest"], view["delivery_id"]
        say(f"{view['delivery_id']} → {view['party']}: {view['state']}: {view['why']}")
    if not sure(t("confirm.command", command=command, id=delivery_id, state=state), yes or as_json):
        return int(ExitCode.OK)
    return recorded(client.post("deliveries", delivery_id, command, body={"seen_state": state, "seen_digest": digest, **body}), as_json)


def _delivery_of(found: dict[str, Any], reference: str) -> dict[str, Any]:
    """The delivery that is meant: by its own id, or the only one of the message."""
    deliveries: list[dict[str, Any]] = found["deliveries"]
    named = [each for each in deliveries if each["delivery_id"] == reference] or deliveries
    if len(named) != 1:
        raise CommandRefused("several-deliveries", t("delivery.choose", ids=", ".join(each["delivery_id"] for each in named)))
    return named[0]
