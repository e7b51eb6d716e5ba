"""Whole registers and files: submitting, media, reconciliation."""

from __future__ import annotations

TEXT: dict[str, tuple[str, str]] = {
    # -- submit
    "submit.progress": ("submitting", "提出中"),
    "submit.files": ("XML files, or JSON Lines (.jsonl) of CloudEvents.", "XML ファイル、または CloudEvents の JSON Lines（.jsonl）。"),
    "submit.system": (
        "Sending system (default: RENKEI_SYSTEM, or the only one configured).",
        "送信システム（既定：RENKEI_SYSTEM、または設定に一つだけある場合はそれ）。",
    ),
    "submit.certificate": ("Name of its certificate (default: the system's name).", "証明書の名前（既定：システム名）。"),
    "submit.bulk": (
        "By the bulk lane: behind everything that somebody waits for; each resident's order is kept. Of types that permit it.",
        "一括レーンで送ります（人が待つ電文の後、住民ごとの順序は保持、許された電文種別のみ）。",
    ),
    "submit.municipality": (
        "Six digits of the municipality that XML files go to, for types that are passed on to one.",
        "XML ファイルの相手市町村コード（6桁、他市町村へ送る電文種別のみ）。",
    ),
    "submit.type": (
        "Message type of XML files (default: as the root element says).",
        "XML ファイルの電文種別（既定：ルート要素から判断）。",
    ),
    "submit.in_flight": ("Messages under way at once.", "同時に送る電文の数。"),
    "submit.patience": ("How long the gateway may be away before this ends.", "ゲートウェイの不在を待つ時間。"),
    "submit.which": (
        "say which system sends, with --system or RENKEI_SYSTEM: {names}",
        "--system または RENKEI_SYSTEM で送信システムを指定してください：{names}",
    ),
    "submit.summary": (
        "{submitted} accepted, {earlier} had a receipt already, {refused} refused, {left} left",
        "受付 {submitted} 件、受領済み {earlier} 件、拒否 {refused} 件、残り {left} 件",
    ),
    "submit.refused": ("{place}: refused: {code}: {detail}{rule}", "{place}：拒否：{code}：{detail}{rule}"),
    "submit.nothing": ("there is nothing to submit in these files", "提出する電文がありません"),
    "submit.resume": (
        "{left} message(s) have no receipt; the same command goes on where this one stopped",
        "{left} 件の受領書がありません。同じコマンドで続きから再開します",
    ),
    # -- media
    "media.ask": ("Ask for FILE to be written to a medium; a second person approves.", "FILE の媒体出力を申請します（別の者が承認）。"),
    "media.write": ("Write FILE, as it was approved, and read it back.", "承認されたとおりに FILE を書き、読み戻して確認します。"),
    "media.list": ("Places, and the work record of every output.", "出力先と作業記録簿。"),
    "media.target": ("Name of the place in the configuration (media).", "設定（media）の出力先の名前。"),
    "media.medium": ("Id that is written on the medium.", "媒体の管理番号。"),
    "media.type": ("Message type of what is in it.", "電文種別。"),
    "media.request": ("The approved request.", "承認された申請。"),
    "media.records": ("Records in it (default: its lines).", "件数（既定は行数）。"),
    "media.sure": (
        "{count} record(s) of {type} to {target}, medium {medium}: ask for it?",
        "{type} {count} 件を {target}（媒体 {medium}）へ：申請しますか？",
    ),
    "media.written": ("written and read back: {file}", "出力・読み戻し確認済み：{file}"),
    "media.other": ("the file is not the one that was approved", "承認されたファイルと異なります"),
    "media.differs": ("what was read back from the medium is not what was written", "媒体から読み戻した内容が一致しません"),
    "media.is_there": ("there is such a file on the medium", "同名のファイルが媒体にあります"),
    # -- reconcile
    "reconcile.run": ("Name of the run, the same for both sides.", "処理識別子（両者共通）。"),
    "reconcile.secret": (
        "File with the secret of the run, which the gateway does not get.",
        "処理用の秘密値のファイル（ゲートウェイには渡りません）。",
    ),
    "reconcile.ours": ("The register's file of digests.", "住民記録システム側のダイジェストファイル。"),
    "reconcile.theirs": ("The party's file of digests.", "相手先側のダイジェストファイル。"),
    "reconcile.secret_new": (
        "Make the secret of a run, to be given to the other side on a way of its own.",
        "処理用の秘密値を作ります（別経路で相手先へ渡すこと）。",
    ),
    "reconcile.digest": (
        "Make a file of keyed digests of RECORDS; nobody can read it without the secret.",
        "RECORDS の鍵付きダイジェストファイルを作ります（秘密値なしでは読めません）。",
    ),
    "reconcile.records": ("JSON Lines: the items of one resident on each line.", "JSON Lines（1行に住民1人の項目）。"),
    "reconcile.out": ("The file to write; must not exist.", "出力ファイル（既存ファイルは不可）。"),
    "reconcile.cut_off": (
        "Until when changes are in the records, such as 2026-11-23T18:00+09:00.",
        "基準日時（例 2026-11-23T18:00+09:00）。",
    ),
    "reconcile.start": ("Compare two files of digests, bucket by bucket.", "2つのダイジェストファイルを区分ごとに照合します。"),
    "reconcile.with": ("city-cs, prefecture-server or national-server.", "city-cs、prefecture-server、national-server のいずれか。"),
    "reconcile.resume": ("Go on with a run that was paused or cut off, with the same files.", "中断した処理を同じファイルで続けます。"),
    "reconcile.pause": (
        "Pause a run; whoever compares ends after the step under way.",
        "処理を一時停止します（実行中の区分の後に止まります）。",
    ),
    "reconcile.status": ("How far a run is, and what it found; all runs without a name.", "処理の進み具合と結果（指定なしは一覧）。"),
    "reconcile.worklist": (
        "What differs: kind, items, keyed reference of the resident.",
        "不一致の一覧（種類、項目、住民の鍵付き参照値）。",
    ),
    "reconcile.state": ("Only those: open, postponed, released, resolved.", "状態で絞り込み：open、postponed、released、resolved。"),
    "reconcile.protected": (" (under support measures)", "（支援措置）"),
    "reconcile.open_with": (
        "Secret of the run: shows resident record codes. Here only, nothing of it goes to the gateway.",
        "処理の秘密値：住民票コードを表示します（この端末だけ、送信なし）。",
    ),
    "reconcile.again": (
        "Compare once more who differed, from files of a later cut-off.",
        "不一致だった住民を、後の基準日時のファイルで再照合します。",
    ),
    "reconcile.release": (
        "Propose a correction of open differences; a second person authorises it.",
        "不一致の是正を提案します（別の者が承認）。",
    ),
    "reconcile.correction": (
        "register-resends, register-corrects, party-corrects or none.",
        "register-resends、register-corrects、party-corrects、none のいずれか。",
    ),
    "reconcile.number": (
        "Only this difference (several times); all that are open without it.",
        "対象の番号（複数可、指定なしは open 全件）。",
    ),
    "reconcile.sure": (
        "{run}: {count} difference(s), correction {correction}: ask for it?",
        "{run}：{count} 件、是正 {correction} の承認を求めますか？",
    ),
    "reconcile.digesting": ("digesting", "ダイジェスト作成中"),
    "reconcile.comparing": ("comparing", "照合中"),
    "reconcile.digested": ("{count} record(s): {file}", "{count} 件：{file}"),
    "reconcile.now": (
        "{run} with {other}: {status}, buckets {progress}, {records} record(s) of the register",
        "{run}（{other}）：{status}、区分 {progress}、住民記録 {records} 件",
    ),
    "reconcile.open": ("open", "未対応"),
    "reconcile.postponed": ("to be compared again (updates under way)", "再照合待ち（異動処理中）"),
    "reconcile.released": ("correction authorised", "是正承認済み"),
    "reconcile.resolved": ("the same now", "一致を確認"),
    "reconcile.elsewhere": (
        "somebody else compares {run}: look with renkei reconcile status",
        "{run} は他で照合中です（renkei reconcile status で確認）",
    ),
    "reconcile.other_files": ("the run began with other files", "処理開始時と異なるファイルです"),
    "reconcile.secret_malformed": ("the secret is not in hexadecimal", "秘密値の形式が誤っています"),
    "reconcile.secret_other": ("the files were made with another secret", "別の秘密値で作られたファイルです"),
}
