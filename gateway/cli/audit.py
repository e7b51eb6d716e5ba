"""``renkei audit``: verify the record, take it out, look into it, and say whose data passed a party.

``verify`` needs no gateway: it reads the ledger, or an export. The others ask the admin API as a person, and are on record themselves.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli import wording
from gateway.cli.audit_sources import fingerprint_of, outside, own_keys, read_ledger, verify_ledger, verify_source
from gateway.cli.audit_sources import in_both as _say
from gateway.cli.options import As, ConfigFile, Json
from gateway.cli.support import ExitCode, load_config, local_time, say, show_json, show_table
from gateway.errors import InputRefused

if TYPE_CHECKING:
    from gateway.audit.verify import Report
    from gateway.config import Config

app = typer.Typer(add_completion=False, no_args_is_help=True)


_TIME = _say(
    "A time such as 2026-11-23T09:00 (of this terminal's zone unless it bears one).", "日時（例：2026-11-23T09:00、既定は端末の時間帯）。"
)
Party = Annotated[str | None, typer.Option("--party", help=_say("Spec id of a party.", "相手先の ID。"))]
Since = Annotated[str | None, typer.Option("--from", help=_say("Not before. ", "この日時以降。") + _TIME)]
Until = Annotated[str | None, typer.Option("--to", help=_say("Before. ", "この日時より前。") + _TIME)]


# ---- verify --------------------------------------------------------------------------------------------------------------------------


@app.command(
    help=_say("Verify the chain of the ledger, or of an export: what is wrong, and where.", "台帳または書き出しの連鎖を検証します。")
)
def verify(
    export: Annotated[
        Path | None,
        typer.Argument(metavar="[EXPORT]", help=_say("Folder of an export (default: the ledger).", "書き出しのフォルダー（既定：台帳）。")),
    ] = None,
    checkpoints: Annotated[
        list[Path] | None,
        typer.Option(
            "--checkpoints",
            help=_say(
                "A checkpoint file kept outside (default: the one of the configuration).", "外部に保管したチェックポイントファイル。"
            ),
        ),
    ] = None,
    keys: Annotated[
        list[str] | None,
        typer.Option("--key", help=_say("Fingerprint of a trusted audit key, or its PEM file.", "信頼する鍵の指紋、または PEM ファイル。")),
    ] = None,
    tsa: Annotated[
        Path | None,
        typer.Option(
            "--tsa-ca", help=_say("PEM of the time-stamping authority: its stamps are verified too.", "タイムスタンプ局の証明書。")
        ),
    ] = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Verify the chain of the ledger, or of an export: what is wrong, and where."""
    from gateway.audit.sources import ExportSource
    from gateway.audit.verify import Given

    files = list(checkpoints or [])
    if missing := next((file for file in files if not file.exists()), None):
        raise InputRefused("checkpoint-file", _say(f"there is no file {missing.name}", f"ファイル {missing.name} がありません"))
    trusted = [fingerprint_of(each) for each in keys or []]
    if export is not None:
        from gateway.audit.export import CHAIN, read_checkpoints

        found = read_checkpoints(export)
        if not (export / CHAIN).exists():
            raise InputRefused("export-unreadable", _say("this folder holds no chain.txt", "chain.txt がありません"))
        given = [Given(signed=each.signed, origin="export") for each in found]
        report = verify_source(ExportSource(export / CHAIN), given + outside(files), trusted, found, tsa)
    else:
        settings = load_config(config)
        if not files and settings.checkpoints_file.exists():
            files = [settings.checkpoints_file]
        stamps = settings.audit.timestamp
        report = verify_ledger(settings, outside(files), trusted or own_keys(settings), tsa or (stamps.ca if stamps else None))
    _show(report, as_json=as_json)
    return int(ExitCode.OK if report.ok else ExitCode.FINDINGS)


def _show(report: Report, *, as_json: bool) -> None:
    from gateway.audit.words import FINDINGS

    if as_json:
        rate = round(report.entries / report.seconds) if report.seconds else 0
        show_json({"ok": report.ok, **dataclasses.asdict(report), "entries_per_s": rate})
        return
    signed = _say("no checkpoint vouches for it", "署名なし")
    if report.signed_to:
        at = local_time(report.signed_at)
        signed = _say(f"to block {report.signed_to} ({at})", f"ブロック {report.signed_to} まで（{at}）")
    rows: list[list[object]] = [
        [_say("entries", "記録"), f"{report.entries} ({report.blocks} {_say('blocks', 'ブロック')})"],
        [_say("signed", "署名"), signed],
        [_say("digest of the last block", "最終ブロックのダイジェスト"), report.last_digest or "–"],
    ]
    rows += [[_say("key", "鍵"), f"{key} ({_trust(trust)})"] for key, trust in report.keys.items()]
    if report.stamped_to:
        rows.append([_say("time stamps", "タイムスタンプ"), _say(f"to checkpoint {report.stamped_to}", f"{report.stamped_to} 番まで")])
    if report.unchained:
        rows.append([_say("not chained yet", "未連鎖"), report.unchained])
    for each in report.restored:
        block, lost, at = each["block"], each["lost_to_block"] - each["block"], local_time(each["at"])
        text = _say(
            f"{at}: goes on from block {block}; {lost} signed blocks lost",
            f"{at}：ブロック {block} から継続、署名済み {lost} ブロックを喪失",
        )
        rows.append([_say("RESTORED from a backup", "バックアップから復元"), text])
    show_table(["", ""], rows)
    for finding in report.findings:
        where = " ".join(
            f"{name} {value}"
            for name, value in (
                (_say("block", "ブロック"), finding.block),
                (_say("entry", "記録"), finding.entry),
                (_say("checkpoint", "チェックポイント"), finding.checkpoint),
            )
            if value is not None
        )
        text = FINDINGS.get(finding.code, (finding.code, finding.code))[wording.language() == "ja"]
        say(f"✗ {finding.code}: {where}: {text} ({finding.detail})")
    if report.more:
        say(_say(f"… and {report.more} more", f"…ほか {report.more} 件"))
    say(_say("✓ all well", "✓ 異常なし") if report.ok else _say("the record was touched", "記録に異常があります"))


def _trust(word: str) -> str:
    texts = {
        "pinned": _say("trusted", "信頼済み"),
        "announced": _say("announced by the key before", "前の鍵が予告"),
        "unknown": _say("compare it with what you noted down", "控えと照合してください"),
    }
    return texts[word]


# ---- export --------------------------------------------------------------------------------------------------------------------------


@app.command(
    help=_say("Write the record as text that sha256sum and openssl verify (docs/audit.md).", "記録を検証可能なテキストで書き出します。")
)
def export(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help=_say("A new folder.", "新しいフォルダー。"))],
    first: Annotated[int, typer.Option("--first", min=1, help=_say("First block.", "最初のブロック。"))] = 1,
    last: Annotated[int | None, typer.Option("--last", min=1, help=_say("Last block (default: the newest).", "最後のブロック。"))] = None,
    from_ledger: Annotated[
        bool,
        typer.Option(
            "--from-ledger",
            help=_say(
                "Without a gateway, read the ledger itself; leaves no record.", "ゲートウェイなしで台帳から直接（記録は残りません）。"
            ),
        ),
    ] = False,
    config: ConfigFile = None,
    operator: As = None,
    as_json: Json = False,
) -> None:
    """Write the record as text that sha256sum and openssl verify."""
    from gateway.audit import export as exporting

    settings = load_config(config)
    if from_ledger:
        size, count = _export_ledger(settings, folder, first, last)
    else:
        from gateway.audit.checkpoint import Signed
        from gateway.cli.client import AdminClient

        query = {"first": str(first), **({"last": str(last)} if last is not None else {})}
        with AdminClient(settings, operator, timeout_s=300.0) as client:
            found = client.get("audit", "checkpoints")["items"]
            checkpoints = [
                exporting.Stamped(
                    signed=Signed(text=each["text"], signature=base64.b64decode(each["signature"])),
                    token=base64.b64decode(each["timestamp"]) if each["timestamp"] else None,
                )
                for each in found
                if last is None or each["block"] <= last
            ]
            size, count = exporting.write(folder, client.stream("audit", "export", query=query), checkpoints), len(checkpoints)
    if as_json:
        show_json({"ok": True, "folder": str(folder), "chain_bytes": size, "checkpoints": count})
    else:
        say(_say(f"{folder}: {size} bytes of chain, {count} checkpoints", f"{folder}：連鎖 {size} バイト、チェックポイント {count} 件"))


def _export_ledger(config: Config, folder: Path, first: int, last: int | None) -> tuple[int, int]:
    from gateway.audit import export as exporting
    from gateway.audit import queries
    from gateway.audit.sources import LedgerSource

    engine = read_ledger(config)
    try:
        known = engine.read_here(queries.checkpoints)
        checkpoints = exporting.stamped(each for each in known if last is None or each.block <= last)
        head = engine.read_here(queries.head)
        end = min(last or 2**31, head.number if head is not None else 0)
        source = LedgerSource(engine.read_here, after=first - 1, up_to=end)
        chain: Iterator[bytes] = (exporting.block_text(block, rows) for block, rows in source.blocks())
        return exporting.write(folder, chain, checkpoints), len(checkpoints)
    finally:
        engine.close_here()


# ---- show, scope, key ------------------------------------------------------------------------------------------------------------------


@app.command(
    help=_say("Entries of the record, newest first; of the last day unless told.", "記録を新しい順に表示します（既定：直近1日）。")
)
def show(
    message: Annotated[str | None, typer.Option("--message", help=_say("Id of a message.", "電文の ID。"))] = None,
    party: Party = None,
    actor: Annotated[str | None, typer.Option("--actor", help=_say("Who did it.", "実行者。"))] = None,
    kind: Annotated[str | None, typer.Option("--kind", help=_say("What it was, such as provided.", "種類（例：provided）。"))] = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000)] = 100,
    after: Annotated[str | None, typer.Option("--after", help=_say("Older than this entry.", "この記録より古いもの。"))] = None,
    config: ConfigFile = None,
    operator: As = None,
    as_json: Json = False,
) -> None:
    """Entries of the record, newest first."""
    from gateway.cli.client import AdminClient

    wanted = {"message": message, "party": party, "actor": actor, "kind": kind, "after": after}
    query = {name: value for name, value in wanted.items() if value is not None} | {"limit": str(limit)}
    query |= {name: _moment(value) for name, value in (("from", since), ("to", until)) if value is not None}
    with AdminClient(load_config(config), operator) as client:
        page = client.get("audit", "entries", query=query)
    if as_json:
        show_json(page)
        return
    if not page["items"]:
        say(_say("there are no such entries", "該当する記録はありません"))
        return
    headings = [_say("when", "時刻"), _say("what", "種類"), _say("by", "実行者"), _say("party", "相手先"), _say("block", "ブロック"), ""]
    show_table(headings, [_entry(each) for each in page["items"]])
    if page["next_after"]:
        say(wording.t("more", after=page["next_after"]))


def _entry(each: dict[str, Any]) -> list[object]:
    detail = " ".join(f"{name}={value}" for name, value in each["detail"].items() if value is not None)
    about = f"{each['message_id']} " if each["message_id"] else ""
    return [local_time(each["at"]), each["kind"], each["actor"], each["party"], each["block"], about + detail]


@app.command(
    help=_say("Whose data passed a party between two times: subjects and messages.", "二つの時刻の間に相手先を通った住民と電文を示します。")
)
def scope(
    party: Annotated[str, typer.Option("--party", help=_say("Spec id of a party.", "相手先の ID。"))],
    since: Annotated[str, typer.Option("--from", help=_say("Not before. ", "この日時以降。") + _TIME)],
    until: Annotated[str, typer.Option("--to", help=_say("Before. ", "この日時より前。") + _TIME)],
    config: ConfigFile = None,
    operator: As = None,
    as_json: Json = False,
) -> None:
    """Whose data passed a party between two times. The question is put on record."""
    from gateway.cli.client import AdminClient

    query = {"party": party, "from": _moment(since), "to": _moment(until)}
    with AdminClient(load_config(config), operator, timeout_s=300.0) as client:
        found = client.get("audit", "scope", query=query)
    if as_json:
        show_json(found)
        return
    people, count = len(found["subjects"]), len(found["items"])
    say(_say(f"{party}: {people} residents, {count} deliveries", f"{party}：住民 {people} 名、配送 {count} 件"))
    if found["without_subject"]:
        number = found["without_subject"]
        say(_say(f"{number} of them of types without a person", f"うち {number} 件は個人を対象としない種別"))
    headings = [_say("first", "最初"), _say("resident", "住民"), _say("message", "電文"), _say("type", "種別"), _say("outcome", "結果")]
    rows = [[local_time(each["first_at"]), each["subject"], each["message_id"], each["type"], each["outcome"]] for each in found["items"]]
    if rows:
        show_table(headings, rows)


@app.command(
    help=_say("The public key that signs the checkpoints, and its fingerprint.", "チェックポイントの署名鍵（公開鍵）と指紋を表示します。")
)
def key(config: ConfigFile = None, as_json: Json = False) -> None:
    """The public key that signs the checkpoints, and its fingerprint: hand both to the auditor beforehand."""
    from gateway.audit.checkpoint import Signer, fingerprint, public_pem
    from gateway.security.keys import KeyStore, Kind

    keys = KeyStore(load_config(config).keys_directory)
    found = keys.current(Kind.AUDIT)
    public = Signer(found.id, found.secret).public
    if as_json:
        show_json({"id": found.id, "fingerprint": fingerprint(public), "pem": public_pem(public)})
    else:
        say(f"{public_pem(public)}{fingerprint(public)}")


def _moment(text: str) -> str:
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(_say("a time such as 2026-11-23T09:00", "日時の例：2026-11-23T09:00")) from error
    return (found if found.tzinfo is not None else found.astimezone()).isoformat()
