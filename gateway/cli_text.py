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
    "command.requests": ("Requests that wait for a second person, or one of them.", "承認待ちの申請を表示します。"),
    "command.approve": ("Approve another person's request.", "他の担当者の申請を承認します。"),
    "command.withdraw": (
        "Take back your request, or refuse another person's.",
        "自分の申請を取り下げ、または他の担当者の申請を却下します。",
    ),
    "command.pause": ("Start no more calls to a party; what is accepted waits.", "相手先への送信を止めます（受け付けは続きます）。"),
    "command.resume": ("Take a pause back.", "相手先への送信を再開します。"),
    "command.keys": ("The gateway's own keys: list, check, rotate.", "ゲートウェイ自身の鍵：一覧、点検、更新。"),
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
        "approve {command} of delivery {id}, asked for by {by}: {reason}?",
        "{by} の申請（{command}、配送 {id}：{reason}）を承認しますか？",
    ),
    "not.done": ("nothing was done", "何もしていません"),
    "done": ("{command}: done (on record as {id})", "{command}：実行しました（記録 {id}）"),
    "waits": (
        "{command}: waits for a second person (request {id}, until {until}): renkei approve {id}",
        "{command}：承認待ちです（申請 {id}、期限 {until}）。承認：renkei approve {id}",
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
    # -- table headings and labels
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
    # -- keys
    "keys.kind": (
        "kek seals payloads, blind indexes identifiers, content knows messages again, jwe opens what comes by AMQP.",
        "kek は電文の封印、blind は識別番号の索引、content は同一電文の判定、jwe は AMQP 受信の復号に使います。",
    ),
    "keys.wait": ("Wait until nothing hangs on an older key.", "旧い鍵に依存するデータがなくなるまで待ちます。"),
    "keys.rotated": ("{kind}: {id} is the current key now", "{kind}：現在の鍵は {id} です"),
    "keys.left": ("{count} left to renew", "残り {count} 件"),
    "keys.renewed": ("all is renewed", "すべて更新しました"),
    "label.kind": ("kind", "種類"),
    "label.since": ("since", "開始"),
    "label.uses": ("in use", "使用数"),
    # -- look-up by an identifier
    "message.by": (
        "Look for messages about a resident by resident-code, individual-number, atena-number, card-number or residence-card-number. "
        "The number is asked for, or read from standard input; it is never an argument.",
        "住民の番号で電文を探します（resident-code、individual-number、atena-number、card-number、residence-card-number）。"
        "番号は入力を求められるか標準入力から読みます。引数には書けません。",
    ),
    "message.value": ("{by} (not shown)", "{by}（表示されません）"),
    "message.choose": ("give an ID, or --by and a number when asked", "ID、または --by を指定してください"),
    "message.none": ("no message about this resident", "この住民の電文はありません"),
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
