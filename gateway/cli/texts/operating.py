"""What operators do: messages, parties, approvals, keys, checks."""

from __future__ import annotations

TEXT: dict[str, tuple[str, str]] = {
    "clock.days": ("How far ahead of real time, in days.", "実時刻より何日進めるか。"),
    "clock.shifted": ("business time is {at}", "業務時刻は {at} です。"),
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
        "the new content is in {file} (where a resident under support measures lives is masked): delete it when you have seen it",
        "新しい内容を {file} に書きました（支援措置対象者の住所等は伏字）。確認後に削除してください",
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
    # -- check
    "check.well": ("all well", "すべて正常です"),
    "check.found": ("{count} thing(s) to put right", "{count} 件の対処が必要です"),
    # -- keys
    "keys.kind": (
        "kek seals payloads, blind indexes identifiers, content knows messages again, jwe opens what comes by AMQP, backup encrypts backups, "
        "audit signs the record. Role: operator or administrator, the city's own staff only.",
        "kek は電文の封印、blind は識別番号の索引、content は同一電文の判定、jwe は AMQP 受信の復号、backup はバックアップの暗号化、audit は証跡の署名に使います。"
        "役割：operator または administrator（市の職員のみ）。",
    ),
    "keys.wait": ("Wait until nothing hangs on an older key.", "旧い鍵に依存するデータがなくなるまで待ちます。"),
    "keys.rotated": ("{kind}: {id} is the current key now", "{kind}：現在の鍵は {id} です"),
    "keys.left": ("{count} left to renew", "残り {count} 件"),
    "keys.renewed": ("all is renewed", "すべて更新しました"),
    # -- look-up by an identifier
    "message.by": (
        "Look for messages about a resident by resident-code, individual-number, atena-number, card-number or residence-card-number. "
        "The number is asked for, or read from standard input; it is never an argument. Role: operator or auditor; needs --reason.",
        "住民の番号で電文を探します（resident-code、individual-number、atena-number、card-number、residence-card-number）。"
        "番号は入力を求められるか標準入力から読みます。引数には書けません。役割：operator または auditor。--reason が必要です。",
    ),
    "message.value": ("{by} (not shown)", "{by}（表示されません）"),
    "message.choose": ("give an ID, or --by and a number when asked", "ID、または --by を指定してください"),
    "message.why": ("give --reason with --by: a search for a resident is on record", "--by には --reason が必要です（検索は記録されます）"),
    "message.none": ("no message about this resident", "この住民の電文はありません"),
}
