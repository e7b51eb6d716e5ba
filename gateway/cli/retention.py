"""``renkei retention``: what is due to be erased, erase it now, prove that it is gone, purge a party (I9)."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from gateway.cli import wording
from gateway.cli.options import As, ConfigFile, Json, Reason, Yes
from gateway.cli.support import ExitCode, load_config, local_time, say, show_json, show_table

retention = typer.Typer(add_completion=False, no_args_is_help=True, help=wording.t("command.retention"))


def _say(en: str, ja: str) -> str:
    return ja if wording.language() == "ja" else en


@retention.command(
    "plan", help=_say("What each rule of the retention table would erase now.", "保存期間表の各規則で現在消去対象となる件数を表示します。")
)
def plan(config: ConfigFile = None, operator: As = None, as_json: Json = False) -> None:
    """What each rule of the retention table would erase now."""
    from gateway.cli.client import AdminClient

    with AdminClient(load_config(config), operator, timeout_s=300.0) as client:
        found = client.get("retention")["items"]
    if as_json:
        show_json(found)
        return
    headings = [
        _say("rule", "規則"), _say("place", "場所"), _say("after", "期間"), _say("from before", "基準日時"), _say("due", "消去対象"),
        _say("expires", "失効対象"), _say("settle first", "要確定"), _say("basis", "根拠"),
    ]  # fmt: skip
    show_table(
        headings,
        [
            [
                each["rule"], each["place"], each["after"], local_time(each["before"]), each["due"], each["expires"] or "",
                each["must_not"] or "", " ".join(each["basis"]),
            ]
            for each in found
        ],
    )  # fmt: skip


@retention.command("run", help=_say("Erase now what is due; on record under your name.", "消去対象を今すぐ消去します（操作者名で記録）。"))
def run(reason: Reason, config: ConfigFile = None, operator: As = None, as_json: Json = False) -> int:
    """Erase now what is due."""
    from gateway.cli.client import AdminClient

    with AdminClient(load_config(config), operator, timeout_s=3600.0) as client:
        done = client.post("retention", "run", body={"reason": reason})
    if as_json:
        show_json(done)
    else:
        say(
            _say(
                f"erased {done['erased']}, expired {done['expired']}; {done['must_not']} are too late but sent or unknown (settle them); "
                f"searched: {done['proof']}",
                f"消去 {done['erased']} 件、失効 {done['expired']} 件。送信中・結果不明で消去不可 {done['must_not']} 件（要確定）。"
                f"残存検査：{done['proof']}",
            )
        )
    return int(ExitCode.FINDINGS if done["proof"] == "remains" else ExitCode.OK)


@retention.command("history", help=_say("The disposal history, newest first.", "廃棄履歴を新しい順に表示します。"))
def history(config: ConfigFile = None, operator: As = None, as_json: Json = False) -> None:
    """The disposal history, newest first."""
    from gateway.cli.client import AdminClient

    with AdminClient(load_config(config), operator) as client:
        found = client.get("retention", "history")["items"]
    if as_json:
        show_json(found)
        return
    headings = [
        _say("when", "日時"), _say("rule", "規則"), _say("place", "場所"), _say("type", "種別"), _say("party", "相手先"),
        _say("number", "件数"),
        _say("from", "最古"), _say("to", "最新"), _say("by", "実行者"), _say("searched", "残存検査"),
    ]  # fmt: skip
    show_table(
        headings,
        [
            [
                local_time(each["at"]), each["rule"], each["place"], each["type"], each["party"], each["count"], local_time(each["oldest"]),
                local_time(each["newest"]), each["actor"], each["proof"],
            ]
            for each in found
        ],
    )  # fmt: skip


@retention.command(
    "prove",
    help=_say(
        "Look for whatever was erased: ledger, its log, broker, backups, exports, notes, logs. Needs no gateway.",
        "消去した内容が台帳・WAL・ブローカー・バックアップ・書き出し・ログに残っていないことを確かめます（ゲートウェイ不要）。",
    ),
)
def prove(config: ConfigFile = None, as_json: Json = False) -> int:
    """Look for whatever was erased in every place that holds data."""
    from gateway.retention.proving import prove_all

    findings = prove_all(load_config(config))
    remains = [each for each in findings if each.verdict == "remains"]
    if as_json:
        show_json({"ok": not remains, "items": [dataclasses.asdict(each) for each in findings]})
    else:
        words = {
            "nothing-left": _say("nothing left", "残存なし"),
            "remains": _say("REMAINS", "残存あり"),
            "until-disposed": _say("until it is disposed of", "廃棄日まで残存"),
            "not-searched": _say("not searched", "検査対象外"),
        }
        headings = [_say("place", "場所"), _say("looked at", "検査数"), "", ""]
        show_table(headings, [[each.place, each.searched, words[each.verdict], each.detail] for each in findings])
    return int(ExitCode.FINDINGS if remains else ExitCode.OK)


@retention.command(
    "purge",
    help=_say(
        "Ask for every content of a party to be erased, whatever its retention (C-1-7-18); a second person approves.",
        "相手先一つの全データの消去を申請します（C-1-7-18、別の担当者が承認）。",
    ),
)
def purge(
    party: Annotated[str, typer.Argument(metavar="PARTY")],
    reason: Reason,
    yes: Yes = False,
    config: ConfigFile = None,
    operator: As = None,
    as_json: Json = False,
) -> int:
    """Ask for every content of a party to be erased."""
    from gateway.cli.client import AdminClient
    from gateway.cli.people import recorded, sure

    with AdminClient(load_config(config), operator) as client:
        seen = client.get("parties", party, "purge")
        question = _say(
            f"Erase {seen['contents']} contents of {party}? {seen['unfinished']} unfinished deliveries expire unsent; "
            f"{seen['must_not']} that are being sent or unknown stay until they are settled. Records stay. This cannot be undone.",
            f"{party} の内容 {seen['contents']} 件を消去しますか。未完了の配送 {seen['unfinished']} 件は送信せず失効し、送信中・結果不明の "
            f"{seen['must_not']} 件は確定するまで残ります。記録は残ります。取り消せません。",
        )
        if not sure(question, yes or as_json):
            return int(ExitCode.OK)
        asked = client.post("parties", party, "purge", body={"seen_digest": seen["digest"], "reason": reason})
    return recorded(asked, as_json)
