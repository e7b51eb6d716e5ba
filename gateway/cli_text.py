"""What the ``renkei`` command says, in English and Japanese: one table, no files to load."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, cast

Language = Literal["en", "ja"]

TEXT: dict[str, tuple[str, str]] = {
    # -- the command itself
    "renkei": (
        "Renkei Gateway: carries a city's resident notifications to the parties outside.",
        "Renkei Gateway：住民記録の通知を外部機関へ確実に届けます。",
    ),
    "option.lang": (
        "Language: en or ja (default: RENKEI_LANG, or from LANG).",
        "表示言語：en または ja（既定は RENKEI_LANG、または LANG）。",
    ),
    "option.version": ("Show the version.", "バージョンを表示します。"),
    "option.json": ("Machine-readable output.", "機械可読（JSON）で出力します。"),
    "option.config": (
        "Configuration file (default: RENKEI_CONFIG, or config.yaml here).",
        "設定ファイル（既定：RENKEI_CONFIG、またはここの config.yaml）。",
    ),
    "option.as": (
        "Who you are: the name of your certificate in certificates.directory (default: RENKEI_OPERATOR).",
        "操作者：certificates.directory にある自分の証明書の名前（既定：RENKEI_OPERATOR）。",
    ),
    "option.yes": ("Do not ask.", "確認を省きます。"),
    "option.reason": ("Why; kept as evidence. No personal data.", "理由。証跡として残ります。個人情報は書かないでください。"),
    "option.seen": (
        "STATE:DIGEST that you saw (renkei message shows both); the command is refused if it has changed. Default: as it is now.",
        "確認した STATE:DIGEST（renkei message が表示）。変わっていれば拒否されます。既定は現在の値。",
    ),
    "unavailable": ("(not available: {reason})", "（利用できません：{reason}）"),
    "unavailable.detail": ('the command "{name}" cannot be used: {reason}', "コマンド「{name}」は利用できません：{reason}"),
    "interrupted": ("interrupted", "中断しました"),
    "internal": (
        "this is a fault in renkei ({kind} in {place}); --debug shows more",
        "renkei の不具合です（{place} の {kind}）。--debug で詳細を表示します",
    ),
    "error": ("error", "エラー"),
    # -- commands, in one line each
    "command.up": ("Run the gateway (all processes, or one role).", "ゲートウェイを起動します（全体または一つの役割）。"),
    "command.check": (
        "Look at configuration, certificates, broker, ledger and parties before they are needed.",
        "設定・証明書・ブローカー・台帳・相手先を事前に点検します。",
    ),
    "command.config": ("Show the configuration, its schema, the adapters.", "設定、スキーマ、アダプターを表示します。"),
    "command.submit": ("Hand in messages from files, as a sending system.", "ファイルの電文を送信システムとして提出します。"),
    "command.status": ("The gateway at a glance.", "ゲートウェイの状況を一覧します。"),
    "command.message": (
        "One message: where it is, why, what comes next, and its history.",
        "一つの電文の状態・理由・次の動き・履歴を表示します。",
    ),
    "command.queues": ("What waits, per party and lane.", "相手先とレーンごとの待ち状況を表示します。"),
    "command.held": ("Residents whose messages are held, and why.", "保留中の住民とその理由を表示します。"),
    "command.retry": ("Send a delivery again as soon as possible.", "配送をできるだけ早く再送します。"),
    "command.correct": (
        "Ask for a held delivery's content to be replaced (second person).",
        "保留中の配送の内容の訂正を申請します（要承認）。",
    ),
    "command.skip": ("Ask for a held delivery to be passed over (second person).", "保留中の配送の読み飛ばしを申請します（要承認）。"),
    "command.settle": (
        "Ask for an unknown outcome to be settled by the party's word (second person).",
        "結果不明の配送の確定を申請します（要承認）。",
    ),
    "command.release": (
        "Ask for a delivery to leave that is held for approval (second person).",
        "承認待ちで保留中の配送の送信を申請します（要承認）。",
    ),
    "command.bulk": (
        "What waits for a bulk output; ask for it (second person).",
        "一括提供の待ち状況を表示し、提供を申請します（要承認）。",
    ),
    "command.reveal": (
        "Ask to see a sealed payload, and see it once when approved (second person).",
        "封緘された内容の閲覧を申請し、承認後に一度だけ表示します（要承認）。",
    ),
    "command.approvals": (
        "What waits for a second person: list, show, approve, refuse, withdraw.",
        "承認待ちの申請を一覧・表示・承認・却下・取下げします。",
    ),
    "command.quarantine": (
        "What was refused at the doors and is kept: look, release, discard (second person).",
        "受付で拒否し保管した電文を表示し、再受付・廃棄を申請します（要承認）。",
    ),
    "command.operators": (
        "Access rights of operators: list, yearly review, new rights, contractors.",
        "操作者の権限を一覧し、年次点検・権限付与・委託先の作業許可を行います。",
    ),
    "command.controls": (
        "The controls of the assessment: share, tests, last outcome.",
        "評価書の管理策ごとに分担・試験・最新の結果を表示します。",
    ),
    "command.pause": ("Start no more calls to a party; what is accepted waits.", "相手先への送信を止めます（受け付けは続きます）。"),
    "command.resume": ("Take a pause back.", "相手先への送信を再開します。"),
    "command.format": ("What the message types look like; check a file.", "電文種別の書式を表示し、ファイルを検査します。"),
    "command.simulate": ("Run a simulated party.", "相手先のシミュレーターを動かします。"),
    "command.demo": ("One day of a synthetic city, from register to party, reconciled.", "架空の市の一日分を流し、突き合わせます。"),
    "command.chaos": ("Traffic while processes are killed, and a verdict.", "プロセスを強制終了しながら流し、判定します。"),
    "command.bench": ("Measure against the bars.", "性能を測り、基準と比べます。"),
    # -- operating
    "operator.unknown": (
        "say who you are: --as NAME, or set RENKEI_OPERATOR to the name of your certificate in {directory}",
        "操作者を指定してください：--as 名前、または RENKEI_OPERATOR（{directory} の証明書の名前）",
    ),
    "admin.unreachable": (
        "nothing answers at {address}: is the gateway running (renkei up)?",
        "{address} から応答がありません。ゲートウェイは起動していますか（renkei up）",
    ),
    "admin.tls": (
        "the secure connection to {address} failed ({reason}): check the certificates of both sides (renkei check)",
        "{address} との暗号化接続に失敗しました（{reason}）。双方の証明書を確認してください（renkei check）",
    ),
    "delivery.choose": (
        "this message has several deliveries; name one of them: {ids}",
        "この電文には複数の配送があります。いずれかを指定してください：{ids}",
    ),
    "seen.malformed": ("--seen is STATE:DIGEST, as renkei message shows them", "--seen は renkei message が表示する STATE:DIGEST です"),
    "confirm.command": ("{command} delivery {id} ({state})?", "配送 {id}（{state}）を {command} しますか？"),
    "confirm.approve": (
        "approve {command} of {id}, asked for by {by}: {reason}?",
        "{by} の申請（{command}、対象 {id}：{reason}）を承認しますか？",
    ),
    "not.done": ("nothing was done", "何もしていません"),
    "done": ("{command}: done (on record as {id})", "{command}：実行しました（記録 {id}）"),
    "waits": (
        "{command}: waits for a second person (request {id}, until {until}): renkei approvals approve {id}",
        "{command}：承認待ちです（申請 {id}、期限 {until}）。承認：renkei approvals approve {id}",
    ),
    "withdrawn": ("request {id}: {status}", "申請 {id}：{status}"),
    "paused": ("{party}: paused by {by}", "{party}：{by} が停止しました"),
    "resumed": ("{party}: resumed", "{party}：再開しました"),
    "held.since": ("held since {at}; {count} of the same resident behind it", "{at} から保留。同じ住民の後続 {count} 件"),
    "attempts": ("{count} ({spent} of {budget} retries spent)", "{count} 回（再送 {spent}/{budget}）"),
    "nothing.held": ("nothing is held", "保留はありません"),
    "nothing.waiting": ("no request waits for a second person", "承認待ちの申請はありません"),
    "nothing.requested": ("there are no requests", "申請はありません"),
    "more": ("more: --after {after}", "続き：--after {after}"),
    "content.written": (
        "the new content is in {file}: delete it when you have seen it",
        "新しい内容を {file} に書きました。確認後に削除してください",
    ),
    "approved": (
        "{command}: approved (request {id}); it may be carried out once, until {until}",
        "{command}：承認済みです（申請 {id}）。{until} までに一度だけ実行できます",
    ),
    "confirm.quarantine.release": (
        "ask for {id} (from {system}, refused: {code}) to be handed in again as it is? It comes after everything that was accepted since",
        "{id}（送信元 {system}、拒否理由 {code}）をそのまま再受付するよう申請しますか？ その後に受け付けた電文より後の順番になります",
    ),
    "confirm.quarantine.discard": (
        "ask for the body of {id} (from {system}, refused: {code}) to be destroyed?",
        "{id}（送信元 {system}、拒否理由 {code}）の内容の廃棄を申請しますか？",
    ),
    "confirm.bulk": ("ask for {count} of {type} to leave for {party}?", "{type} {count} 件の {party} への一括提供を申請しますか？"),
    "bulk.which": (
        "name --party and --type as renkei bulk lists them, and a --reason",
        "renkei bulk が表示する --party と --type、および --reason を指定してください",
    ),
    "nothing.bulk": ("nothing waits for a bulk output", "一括提供を待つものはありません"),
    "nothing.quarantined": ("nothing is kept", "保管中のものはありません"),
    "more.before": ("more: --before {before}", "続き：--before {before}"),
    "reveal.id": ("A delivery, or a refusal that is kept.", "配送、または保管中の拒否電文。"),
    "reveal.clear": ("Ask for it unmasked; the second person sees that.", "伏字なしの閲覧を申請します（承認者に表示されます）。"),
    "reveal.request": ("Your request, once it is approved.", "承認された自分の申請。"),
    "reveal.out": ("Into a new file that only you can read.", "本人だけが読める新しいファイルに書き出します。"),
    "reveal.which": (
        "name what to see and a --reason, or an approved --request",
        "対象と --reason、または承認された --request を指定してください",
    ),
    "operators.result": ("What the review found; kept as evidence.", "点検の結果。証跡として残ります。"),
    "operators.hours": ("For how long; 0 ends it.", "作業を許可する時間数。0 で終了します。"),
    "operators.reviewed": ("{name}: reviewed; the next review is due by {due}", "{name}：点検を記録しました。次回の期限は {due} です"),
    "operators.released": ("{name}: may work until {until}", "{name}：{until} まで作業を許可しました"),
    "operators.ended": ("{name}: may work no longer", "{name}：作業の許可を終了しました"),
    "operators.nothing": ("nothing waits for an approval for {name}", "{name} に承認待ちの権限はありません"),
    "operators.confirm": ("ask for {name} to have: {rights}?", "{name} に権限（{rights}）を与えるよう申請しますか？"),
    "operators.overdue": ("review overdue", "点検期限超過"),
    "operators.expired": ("expired", "期限切れ"),
    "operators.unused": ("long unused", "長期未使用"),
    "operators.contractor": ("contractor", "委託先"),
    "operators.pending": ("not approved yet: {rights}", "未承認：{rights}"),
    "operators.gone": ("no longer configured", "設定から削除済み"),
    "operators.until": ("may work until {until}", "{until} まで作業可"),
    "operators.all": ("all", "すべて"),
    "controls.summary": (
        "{count} controls; {tested} with a test, {untested} of share enforce or record without one",
        "管理策 {count} 件。試験あり {tested} 件、enforce・record で試験なし {untested} 件",
    ),
    "controls.no_tests": (
        "the tests are not installed here: run it in a checkout",
        "ここには試験がありません。リポジトリ内で実行してください",
    ),
    "controls.untested": ("Only those of share enforce or record without a test.", "enforce・record で試験のないものだけを表示します。"),
    # -- table headings and labels
    "label.about": ("about", "対象"),
    "label.detail": ("exactly", "内容"),
    "label.outcome": ("outcome", "結果"),
    "label.type": ("type", "種別"),
    "label.code": ("code", "コード"),
    "label.place": ("place", "箇所"),
    "label.size": ("bytes", "バイト数"),
    "label.message": ("message", "電文"),
    "label.operator": ("operator", "操作者"),
    "label.roles": ("roles", "役割"),
    "label.parties": ("parties", "相手先"),
    "label.review_due": ("review due", "点検期限"),
    "label.last_use": ("last use", "最終使用"),
    "label.remarks": ("remarks", "備考"),
    "label.control": ("control", "管理策"),
    "label.share": ("share", "分担"),
    "label.tests": ("tests", "試験"),
    "label.broker": ("broker", "ブローカー"),
    "label.unfinished": ("unfinished", "未完了"),
    "label.held": ("held residents", "保留中の住民"),
    "label.held_short": ("held", "保留"),
    "label.oldest_short": ("oldest", "最古"),
    "label.unknown": ("unknown outcome", "結果不明"),
    "label.oldest": ("oldest unfinished", "最古の未完了"),
    "label.accepted_hour": ("accepted in the last hour", "直近1時間の受付"),
    "label.delivered_hour": ("delivered in the last hour", "直近1時間の配送完了"),
    "label.requests": ("requests waiting", "承認待ち"),
    "label.workers": ("workers", "ワーカー"),
    "label.quarantined": ("refused and kept", "拒否して保管"),
    "label.party": ("party", "相手先"),
    "label.lane": ("lane", "レーン"),
    "label.state": ("state", "状態"),
    "label.why": ("why", "理由"),
    "label.next": ("next", "次の動き"),
    "label.when": ("when", "時刻"),
    "label.behind": ("behind", "後続"),
    "label.sender": ("from", "送信元"),
    "label.accepted": ("accepted", "受付"),
    "label.corrects": ("replaces", "訂正対象"),
    "label.allowed": ("possible", "可能な操作"),
    "label.delivery": ("delivery", "配送"),
    "label.depth": ("depth", "件数"),
    "label.sending": ("sending", "送信中"),
    "label.backing_off": ("backing off", "再送待ち"),
    "label.waiting": ("waiting", "順番待ち"),
    "label.bells": ("bells", "ベル"),
    "label.breaker": ("breaker", "遮断器"),
    "label.paused": ("paused by", "停止者"),
    "label.last": ("last delivered", "最終配送"),
    "label.seen": ("seen", "確認値"),
    "label.attempts": ("attempts", "試行"),
    "label.command": ("command", "命令"),
    "label.by": ("by", "実行者"),
    "label.decided": ("decided by", "決裁者"),
    "label.until": ("until", "期限"),
    "label.reason": ("reason", "理由"),
    "label.request": ("request", "申請"),
    "label.id": ("id", "ID"),
    # -- check
    "check.well": ("all well", "すべて正常です"),
    "check.found": ("{count} thing(s) to put right", "{count} 件の対処が必要です"),
    # -- submit
    "submit.progress": ("submitting", "提出中"),
    "submit.files": ("XML files, or JSON Lines (.jsonl) of CloudEvents.", "XML ファイル、または CloudEvents の JSON Lines（.jsonl）。"),
    "submit.system": ("Sending system (default: the only one configured).", "送信システム（既定：設定に一つだけある場合はそれ）。"),
    "submit.certificate": ("Name of its certificate (default: the system's name).", "証明書の名前（既定：システム名）。"),
    "submit.type": (
        "Message type of XML files (default: as the root element says).",
        "XML ファイルの電文種別（既定：ルート要素から判断）。",
    ),
    "submit.in_flight": ("Messages under way at once.", "同時に送る電文の数。"),
    "submit.patience": ("How long the gateway may be away before this ends.", "ゲートウェイの不在を待つ時間。"),
    "submit.which": ("say which system sends, with --system: {names}", "--system で送信システムを指定してください：{names}"),
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
}


class _Chosen:
    language: Language = "en"


def set_language(language: Language) -> None:
    """For the whole process."""
    _Chosen.language = language


def language() -> Language:
    """The language in use."""
    return _Chosen.language


def language_of(environment: Mapping[str, str]) -> Language:
    """The language by ``RENKEI_LANG``, else by the locale variables."""
    locale = environment.get("RENKEI_LANG") or environment.get("LC_ALL") or environment.get("LC_MESSAGES") or environment.get("LANG") or ""
    return "ja" if locale.lower().startswith("ja") else "en"


def choose_language(arguments: Sequence[str]) -> tuple[Language | None, list[str]]:
    """The language by ``--lang`` (anywhere before ``--``), and the arguments without it.

    :raises ValueError: ``--lang`` names another language, or nothing.
    """
    rest: list[str] = []
    chosen: str | None = None
    waiting = iter(arguments)
    for argument in waiting:
        if argument == "--":
            rest += [argument, *waiting]
        elif argument == "--lang":
            chosen = next(waiting, "")
        elif argument.startswith("--lang="):
            chosen = argument.removeprefix("--lang=")
        else:
            rest.append(argument)
    if chosen not in (None, "en", "ja"):
        raise ValueError("--lang is en or ja")
    return cast("Language | None", chosen), rest


def t(key: str, **values: object) -> str:
    """The text of ``key`` in the language in use."""
    text = TEXT[key][1 if _Chosen.language == "ja" else 0]
    return text.format(**values) if values else text
