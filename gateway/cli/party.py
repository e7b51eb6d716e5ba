"""``renkei party``: a party whose line is down for long is worked by hand, and comes back."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.cli import wording
from gateway.cli.options import As, ConfigFile, Json, Reason, Yes
from gateway.cli.support import load_config, say, show_json

party = typer.Typer(add_completion=False, no_args_is_help=True, help=wording.t("command.party"))
PartyId = Annotated[str, typer.Argument(metavar="PARTY")]


def _say(en: str, ja: str) -> str:
    return ja if wording.language() == "ja" else en


@party.command(
    "manual",
    help=_say(
        "Its work is done by hand from now on: nothing is sent, and what waits may be marked as done.",
        "手作業に切り替えます：以後送信せず、待っている配送は処理済みとして登録できます。",
    ),
)
def manual(party_id: PartyId, reason: Reason, config: ConfigFile = None, operator: As = None, as_json: Json = False) -> None:
    """Worked by hand from now on."""
    _switch(
        party_id, "manual", reason, config, operator, as_json,
        _say("{party}: worked by hand; {count} deliveries wait", "{party}：手作業に切り替えました。{count} 件の配送が待っています"),
    )  # fmt: skip


@party.command("automatic", help=_say("Send again what was not done by hand.", "自動に戻します：手作業で処理しなかったものを送信します。"))
def automatic(party_id: PartyId, reason: Reason, config: ConfigFile = None, operator: As = None, as_json: Json = False) -> None:
    """Back to automatic."""
    _switch(
        party_id, "automatic", reason, config, operator, as_json,
        _say("{party}: automatic again; {count} deliveries follow", "{party}：自動に戻しました。{count} 件の配送を続けます"),
    )  # fmt: skip


@party.command(
    "done",
    help=_say(
        "Ask for a delivery to count as delivered, since it was done at the party's terminal; a second person approves.",
        "相手先の端末で処理した配送を処理済みとするよう申請します（別の担当者が承認）。",
    ),
)
def done(
    delivery: Annotated[str, typer.Argument(metavar="DELIVERY")],
    reason: Reason,
    seen: Annotated[str | None, typer.Option("--seen", metavar="STATE:DIGEST", help=wording.t("option.seen"))] = None,
    yes: Yes = False,
    config: ConfigFile = None,
    operator: As = None,
    as_json: Json = False,
) -> int:
    """Ask for a delivery to count as delivered by hand."""
    from gateway.cli.act import order
    from gateway.cli.client import AdminClient

    with AdminClient(load_config(config), operator) as client:
        return order(client, "by-hand", delivery, seen, {"reason": reason}, yes, as_json)


def _switch(party_id: str, what: str, reason: str, config: ConfigFile, operator: As, as_json: bool, words: str) -> None:
    from gateway.cli.client import AdminClient

    with AdminClient(load_config(config), operator) as client:
        view = client.post("parties", party_id, what, body={"reason": reason})
    if as_json:
        show_json(view)
    else:
        say(words.format(party=view["party"], count=view["unfinished"]))
