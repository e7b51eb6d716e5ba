"""``renkei backup``: make a backup of the ledger beside the running gateway, look at it, try it out, bring it back (R24).

``create``, ``list``, ``verify`` and ``restore`` work on the machine itself, beside the gateway or without it, and are on record under the
user of the machine (``local:NAME``), whom nobody has authenticated. What a restore has stopped is released by two persons through the API.
"""

from __future__ import annotations

import datetime as dt
import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli import wording
from gateway.cli.options import As, ConfigFile, Json, Reason, Yes
from gateway.cli.support import ExitCode, load_config, local_time, say, show_json, show_table
from gateway.errors import CommandRefused, ConfigurationError

if TYPE_CHECKING:
    from gateway.backup.manifest import Manifest
    from gateway.config import Config

backup = typer.Typer(add_completion=False, no_args_is_help=True, help=wording.t("command.backup"))


def _say(en: str, ja: str) -> str:
    return ja if wording.language() == "ja" else en


Which = Annotated[
    str | None,
    typer.Argument(
        metavar="[BACKUP]", help=_say("Its id or file (default: the newest).", "バックアップの ID またはファイル（既定：最新）。")
    ),
]


def _local() -> str:
    return f"local:{getpass.getuser()}"


@backup.command(
    "create",
    help=_say(
        "Make a backup of the ledger beside the running gateway; encrypted, signed.", "稼働中の台帳をバックアップします（暗号化・署名）。"
    ),
)
def create(config: ConfigFile = None, as_json: Json = False) -> None:
    """Make a backup of the ledger beside the running gateway."""
    import asyncio

    from gateway.backup import create as creating
    from gateway.backup.daily import record
    from gateway.backup.looking import place_of

    settings = load_config(config)
    ledger = _ledger(settings)
    try:
        place = place_of(settings, _policy(settings))
        made = creating.create(ledger.engine.read_here, ledger.engine.dialect, place, _local())
        asyncio.run(record(ledger, made))
    finally:
        asyncio.run(ledger.close())
    _show(made, place.directory, as_json=as_json)


@backup.command("list", help=_say("The backups of the folder, oldest first.", "バックアップを古い順に表示します。"))
def list_(config: ConfigFile = None, as_json: Json = False) -> None:
    """The backups of the folder, oldest first."""
    from gateway.backup.manifest import found, read

    settings = load_config(config)
    manifests = [read(file) for file in found(settings.backup_directory)]
    if as_json:
        show_json([_record_of(each) for each in manifests])
        return
    if not manifests:
        say(_say(f"there is no backup in {settings.backup_directory}", f"{settings.backup_directory} にバックアップはありません"))
        return
    headings = ["ID", _say("made", "作成"), _say("messages", "電文"), _say("unfinished", "未完了"), "MiB"]
    rows: list[list[object]] = [
        [each.backup, _when(each.created_at), each.rows["message"], sum(each.unfinished.values()), round(each.file_bytes / 2**20, 1)]
        for each in manifests
    ]
    show_table(headings, rows)


@backup.command(
    "verify",
    help=_say(
        "Open a backup and try it out: signature, every chunk and row, the audit chain, every key and body.",
        "バックアップを開いて検証します（署名・全行・監査連鎖・全鍵・全電文）。",
    ),
)
def verify(which: Which = None, config: ConfigFile = None, as_json: Json = False) -> int:
    """Open a backup and try it out."""
    from gateway.audit.outside import read_file
    from gateway.backup.manifest import find
    from gateway.backup.reading import verify as try_out
    from gateway.backup.restore import trusted_keys
    from gateway.keyring import key_store

    settings = load_config(config)
    keys = key_store(settings)
    file = find(settings.backup_directory, which)
    done = try_out(file, keys, read_file(settings.checkpoints_file), trusted_keys(keys), settings.data_dir / "scratch")
    if as_json:
        show_json(
            {
                "ok": done.chain.ok, "backup": done.manifest.backup, "rows": done.rows, "data_keys": done.opened, "bodies": done.bodies,
                "blocks": done.chain.blocks, "entries": done.chain.entries, "findings": [each.code for each in done.chain.findings],
            }
        )  # fmt: skip
    else:
        say(
            _say(
                f"{done.manifest.backup}: {done.rows} rows; {done.opened} data keys and {done.bodies} bodies open; "
                f"{done.chain.entries} audit entries in {done.chain.blocks} blocks",
                f"{done.manifest.backup}：{done.rows} 行、データ鍵 {done.opened}・電文 {done.bodies} を復号、"
                f"監査記録 {done.chain.entries} 件（{done.chain.blocks} ブロック）",
            )
        )
        for finding in done.chain.findings:
            say(f"✗ {finding.code} {finding.detail}")
        say(_say("✓ all well", "✓ 異常なし") if done.chain.ok else _say("✗ the record in it was touched", "✗ 監査記録に異常があります"))
    return int(ExitCode.OK if done.chain.ok else ExitCode.FINDINGS)


@backup.command(
    "restore",
    help=_say(
        "Bring the ledger back into an empty database. Needs the newest list of erasures and checkpoint file. Starts stopped (R24).",
        "空のデータベースへ台帳を復元します。最新の消去一覧とチェックポイントが必要です。全相手先は停止状態で始まります（R24）。",
    ),
)
def restore(which: Which = None, yes: Yes = False, config: ConfigFile = None, as_json: Json = False) -> int:
    """Bring the ledger back into an empty database."""
    from gateway.backup.manifest import find, read
    from gateway.backup.restore import RestorePlace
    from gateway.backup.restore import restore as bring_back
    from gateway.cli.people import sure
    from gateway.keyring import key_store
    from gateway.retention.erasures import ErasureList

    settings = load_config(config)
    file = find(settings.backup_directory, which)
    said = read(file)
    question = _say(
        f"Restore {said.backup} of {_when(said.created_at)}? What was accepted since is gone until its senders submit it again.",
        f"{_when(said.created_at)} のバックアップ {said.backup} を復元しますか。以後に受け付けた電文は、送信元が再送するまで失われます。",
    )
    if not sure(question, yes or as_json):
        return int(ExitCode.OK)
    place = RestorePlace(
        url=settings.ledger_url(), instance=settings.instance, parties=list(settings.parties), keys=key_store(settings),
        erasures=ErasureList(settings.erasures_file), checkpoints=settings.checkpoints_file,
    )  # fmt: skip
    done = bring_back(file, place, _local())
    _forget_broker(settings)
    if as_json:
        show_json(
            {
                "ok": True, "backup": said.backup, "incarnation": done.incarnation, "erased_again": done.erased, "ended": done.ended,
                "unknown": done.unknown, "requests_closed": done.requests, "purges_unfinished": list(done.purges),
                "lost_blocks": done.lost_blocks, "policy": said.policy,
                "submit_again_from": dt.datetime.fromtimestamp(said.since, dt.UTC).isoformat(),
            }
        )  # fmt: skip
        return int(ExitCode.OK)
    unknown = sum(done.unknown.values())
    say(
        _say(
            f"restored: {unknown} deliveries are unknown, {done.ended} known to have ended, {done.erased} erased contents stay erased; "
            f"{done.requests} requests are to be asked for again; {done.lost_blocks} signed blocks of the record are lost",
            f"復元しました：結果不明 {unknown} 件、終了済みと判明 {done.ended} 件、消去済みで復元しない内容 {done.erased} 件、"
            f"再申請が必要 {done.requests} 件、失われた署名済みブロック {done.lost_blocks}",
        )
    )
    for party in done.purges:
        say(_say(f"the purge of {party} had not ended: ask for it again", f"{party} の一括消去は未完了でした：再度申請してください"))
    say(
        _say(
            f"the policy is version {said.policy}: hold it, the operators' rights and the residents' marks against what counted last. "
            f"Start the gateway, have the senders submit again what they sent since {_when(said.since)}, then release party by party: "
            "renkei backup release PARTY",
            f"ポリシーは第 {said.policy} 版です。操作者の権限・住民の支援措置とともに最新の状態と照合してください。ゲートウェイを起動し、"
            f"送信元に {_when(said.since)} 以後の電文を再送してもらってから、相手先ごとに解除します：renkei backup release 相手先",
        )
    )
    return int(ExitCode.OK)


@backup.command(
    "status", help=_say("What the last restore has stopped, and what is unknown.", "復元で停止中の相手先と結果不明の件数を表示します。")
)
def status(config: ConfigFile = None, operator: As = None, as_json: Json = False) -> None:
    """What the last restore has stopped, and what is unknown."""
    from gateway.cli.client import AdminClient

    with AdminClient(load_config(config), operator) as client:
        found = client.get("restored")
    if as_json:
        show_json(found)
        return
    if found["restore"] is None:
        say(_say("this ledger was never restored", "この台帳は復元されていません"))
        return
    last = found["restore"]
    say(_say(f"restored {local_time(last['at'])} from {last['backup']} of {local_time(last['backup_at'])}",
             f"{local_time(last['at'])} に {last['backup']}（{local_time(last['backup_at'])}）から復元"))  # fmt: skip
    headings = [_say("party", "相手先"), _say("stopped", "停止中"), _say("unknown", "結果不明"), _say("without content", "内容なし")]
    show_table(
        headings, [[each["party"], "●" if each["stopped"] else "", each["unknown"], each["without_content"]] for each in found["items"]]
    )


@backup.command(
    "release",
    help=_say(
        "Ask for deliveries to a party to go on after a restore; a second person approves. --reason: with what it was reconciled.",
        "復元後、相手先への配送再開を申請します（別の担当者が承認）。--reason に照合結果を記します。",
    ),
)
def release(
    party: Annotated[str, typer.Argument(metavar="PARTY")],
    reason: Reason,
    yes: Yes = False,
    config: ConfigFile = None,
    operator: As = None,
    as_json: Json = False,
) -> int:
    """Ask for deliveries to a party to go on after a restore."""
    from gateway.cli.client import AdminClient
    from gateway.cli.people import recorded, sure

    with AdminClient(load_config(config), operator) as client:
        stopped = [each for each in client.get("restored")["items"] if each["party"] == party and each["stopped"]]
        if not stopped:
            raise CommandRefused("not-restored", _say("no restore has stopped this party", "この相手先は復元による停止中ではありません"))
        [it] = stopped
        question = _say(
            f"{party}: {it['unknown']} deliveries are unknown. What the party can be asked about is asked, what it knows again is sent "
            "again with the same ids, the rest waits for you. Have the senders submitted again what they sent since? Go on?",
            f"{party}：結果不明 {it['unknown']} 件。照会できるものは照会し、重複を検知する相手先には同じ ID で再送し、"
            "それ以外は判断待ちになります。"
            "送信元の再送は済みましたか。申請しますか。",
        )
        if not sure(question, yes or as_json):
            return int(ExitCode.OK)
        asked = client.post("parties", party, "restore-release", body={"seen_digest": it["digest"], "reason": reason})
    return recorded(asked, as_json)


# ---- shared --------------------------------------------------------------------------------------------------------------------------


def _ledger(config: Config):  # type: ignore[no-untyped-def]
    from gateway.ledger.engine import open_engine
    from gateway.ledger.ledger import Ledger
    from gateway.ledger.migrate import check_schema

    url = config.ledger_url()
    if url.startswith("sqlite:") and not Path(url.removeprefix("sqlite:///")).exists():
        raise ConfigurationError("ledger-missing", _say("there is no ledger yet", "台帳がまだありません"))
    engine = open_engine(url)
    try:
        check_schema(engine)  # a gateway of another version may be running: nothing is migrated here
    except BaseException:
        engine.close_here()
        raise
    return Ledger(engine)


def _forget_broker(config: Config) -> None:
    """What the embedded broker has is of the lost ledger: receipts for messages that nobody has. Bells are rung from the ledger."""
    import shutil

    if config.broker.mode == "embedded" and config.broker_directory.is_dir():
        shutil.rmtree(config.broker_directory)


def _policy(config: Config):  # type: ignore[no-untyped-def]
    from gateway.policy.routes import tables
    from gateway.retention.policy import load

    return load(config.retention.policy, tables().ephemeral)


def _when(seconds: float) -> str:
    return local_time(dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat()) or ""


def _record_of(each: Manifest) -> dict[str, object]:
    return {
        "backup": each.backup, "created_at": dt.datetime.fromtimestamp(each.created_at, dt.UTC).isoformat(), "created_by": each.created_by,
        "file_bytes": each.file_bytes, "file_sha256": each.file_sha256, "rows": each.rows, "left_out": each.left_out, "block": each.block,
        "checkpoint": each.checkpoint, "erasures": each.erasures, "unfinished": each.unfinished, "keys": each.keys,
        "backup_key": each.backup_key, "policy": each.policy, "schema": each.schema,
    }  # fmt: skip


def _show(made: Manifest, directory: Path, *, as_json: bool) -> None:
    if as_json:
        show_json({"ok": True, **_record_of(made)})
        return
    left = sum(made.left_out.values())
    rows = sum(made.rows.values())
    say(
        _say(
            f"{made.backup} in {directory}: {rows} rows, {made.file_bytes} bytes; {left} rows that no backup may have were left out",
            f"{directory} に {made.backup} を作成：{rows} 行、{made.file_bytes} バイト（バックアップ禁止の {left} 行を除外）",
        )
    )
