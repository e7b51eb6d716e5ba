"""``renkei feeds`` and ``renkei fetched``: what is expected and did not come, and the import reports of what was fetched."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.cli import wording
from gateway.cli.options import As, ConfigFile, Json
from gateway.cli.support import ExitCode, load_config, local_time, show_json, show_table
from gateway.feeds.words import meaning, next_step


def _say(en: str, ja: str) -> str:
    return ja if wording.language() == "ja" else en


def feeds(config: ConfigFile = None, operator: As = None, as_json: Json = False) -> int:
    """Feeds with their calendars, and anomalies of feeds and links with cause and next step. Exit 1 if one is open."""
    from gateway.cli.client import AdminClient

    with AdminClient(load_config(config), operator) as client:
        found = client.get("feeds")
    opened = [each for each in found["anomalies"] if each["cleared_at"] is None]
    if as_json:
        show_json(found)
        return int(ExitCode.FINDINGS if opened else ExitCode.OK)
    language = wording.language()
    headings = [
        _say("feed", "連携"), _say("party", "相手先"), _say("type", "種別"), _say("last", "最終"), _say("records", "件数"),
        _say("next", "次回"), _say("state", "状態"),
    ]  # fmt: skip
    show_table(
        headings,
        [
            [
                each["feed"], each["party"], each["type"], local_time(each["last_at"]) if each["last_at"] else "", each["last_records"],
                local_time(each["next_at"]), each["state"],
            ]
            for each in found["feeds"]
        ],
    )  # fmt: skip
    if opened:
        headings = [
            _say("anomaly of", "異常"),
            _say("since", "発生"),
            _say("what", "内容"),
            _say("cause", "原因"),
            _say("next step", "対処"),
        ]
        rows = [
            [
                each["link"], local_time(each["since"]), meaning(each["kind"], language), each["cause"],
                next_step(each["cause"], language),
            ]
            for each in opened
        ]  # fmt: skip
        show_table(headings, rows)
    return int(ExitCode.FINDINGS if opened else ExitCode.OK)


def fetched(
    batch: Annotated[str | None, typer.Argument(metavar="[BATCH]", help=wording.t("fetched.batch"))] = None,
    party: Annotated[str | None, typer.Option("--party", help=wording.t("fetched.party"))] = None,
    config: ConfigFile = None,
    operator: As = None,
    as_json: Json = False,
) -> None:
    """Import reports of what was fetched from the parties; with BATCH: what became of each record."""
    from gateway.cli.client import AdminClient

    with AdminClient(load_config(config), operator) as client:
        found = client.get("fetched", *([batch] if batch else []), query={"party": party} if party and not batch else None)
    if batch is None:
        found = found["items"]
    if as_json:
        show_json(found)
    elif batch is None:
        headings = [
            _say("batch", "バッチ"), _say("party", "相手先"), _say("imported", "取込"), _say("records", "件数"), _say("accepted", "受付"),
            _say("set aside", "保留"), _say("refused", "拒否"), _say("items dropped", "対象外項目"), _say("acknowledged", "受領通知"),
        ]  # fmt: skip
        show_table(
            headings,
            [
                [
                    each["batch"], each["party"], local_time(each["imported_at"]), each["records"], each["accepted"], each["set_aside"],
                    each["refused"], each["items_dropped"], local_time(each["acknowledged_at"]) if each["acknowledged_at"] else "",
                ]
                for each in found
            ],
        )  # fmt: skip
    else:
        headings = ["#", _say("record", "記録"), _say("outcome", "結果"), _say("code", "コード"), _say("message", "電文"), ""]
        show_table(
            headings,
            [
                [
                    each["number"], each["record"], each["outcome"], each["code"], each["message_id"],
                    _say("again", "再取得") if each["duplicate"] else "",
                ]
                for each in found["items"]
            ],
        )  # fmt: skip
