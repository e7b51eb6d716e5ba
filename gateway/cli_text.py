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
    "command.certs": (
        "Certificates: make, request, import, list, check, renew, revoke, watch.",
        "証明書の発行・申請・取り込み・一覧・点検・更新・失効・監視を行います。",
    ),
    "certs.name": ("Name of certificate and key: NAME.pem, NAME.key.", "証明書と鍵の名前（NAME.pem、NAME.key）。"),
    "certs.trust": (
        "Authority of the configuration (certificates.trust); default: certificates.ca.",
        "設定の認証局（certificates.trust の名前）。既定は certificates.ca。",
    ),
    "certs.dns": ("DNS name; may be repeated.", "DNS 名（複数指定可）。"),
    "certs.ip": ("IP address; may be repeated.", "IP アドレス（複数指定可）。"),
    "certs.uri": ("URI that names the peer.", "相手を表す URI。"),
    "certs.network": ("Network of the test authority.", "試験用認証局のネットワーク。"),
    "certs.profile": ("What the certificate may be used for.", "証明書の用途。"),
    "certs.organisation": ("Organisation in the subject.", "主体者の組織名。"),
    "certs.key": ("Kind of the new key.", "新しい鍵の種類。"),
    "certs.later": (
        "Keep it beside the one in use until import NAME --switch: the party learns it meanwhile.",
        "import NAME --switch まで併存させます（相手先への周知期間）。",
    ),
    "certs.switch": ("Put in use what was imported with --later.", "--later で取り込んだ証明書に切り替えます。"),
    "certs.partner": (
        "It is a party's certificate for messages: it counts beside those in the file already.",
        "相手先のメッセージ用証明書として取り込みます。すでにある証明書と併せて有効です。",
    ),
    "certs.only": ("With --partner or ca: it counts instead of them.", "--partner または ca と併用：これまでの証明書を無効にします。"),
    "certs.taken.partner": ("{count} certificates of {name} count now", "{name} の証明書は現在 {count} 件が有効です"),
    "certs.password_file": ("File with the password of PKCS#12.", "PKCS#12 のパスワードを書いたファイル。"),
    "certs.interval": ("Seconds between looks.", "確認の間隔（秒）。"),
    "certs.init": (
        "Make fictitious authorities of three networks (own, Juki-net-like, LGWAN-like) with certificates for tests and demo.",
        "試験・デモ用に架空の認証局（庁内・住基ネット風・LGWAN 風）と証明書を作ります。",
    ),
    "certs.issue": ("Issue a certificate from a test authority.", "試験用認証局で証明書を発行します。"),
    "certs.request": (
        "Make a key and a certification request (PKCS#10) for a real authority.",
        "実在の認証局への申請用に鍵と証明書署名要求（PKCS#10）を作ります。",
    ),
    "certs.import": (
        "Take in an authority's answer; also `import crl FILE` and `import ca FILE`.",
        "認証局の回答を取り込みます（`import crl FILE`、`import ca FILE` も可）。",
    ),
    "certs.import.name": (
        "Name, or crl for revocation lists, or ca for trusted authorities.",
        "名前。失効リストは crl、信頼する認証局は ca。",
    ),
    "certs.import.files": (
        "PEM, DER, PKCS#7 or PKCS#12, in any order; a missing chain is put together.",
        "PEM・DER・PKCS#7・PKCS#12（順不同）。不足する証明書チェーンは補います。",
    ),
    "certs.list": ("What is there, until when, with fingerprints.", "証明書の一覧（期限・指紋）。"),
    "certs.check": (
        "Expiry, keys, paths, age of revocation lists; with the remedy.",
        "期限・鍵・パス・失効リストの鮮度を点検し、対処を示します。",
    ),
    "certs.renew": (
        "A new one with the same names: from the test authority, or as a request to the real one.",
        "同じ名前で更新します（試験用は発行、実在の認証局へは申請を作成）。",
    ),
    "certs.revoke": (
        "Revoke a certificate of a test authority and publish its list.",
        "試験用認証局の証明書を失効させ、失効リストを発行します。",
    ),
    "certs.watch": ("Say what changes in the directory until Ctrl-C.", "フォルダーの変化を表示し続けます（Ctrl-C で終了）。"),
    "certs.fictitious": (
        "Fictitious: for tests and demo only. Their keys lie beside them.",
        "架空のものです。試験とデモ専用で、認証局の鍵も同じ場所にあります。",
    ),
    "certs.requested": (
        "Request: {file}. Send it to the authority, then: renkei certs import {name} ANSWER",
        "申請書：{file}。認証局へ送り、回答を renkei certs import {name} 回答ファイル で取り込んでください",
    ),
    "certs.revoked": ("{name} is revoked; list: {file}", "{name} を失効させました。失効リスト：{file}"),
    "certs.taken.crl": ("{count} newer revocation lists taken in", "新しい失効リストを {count} 件取り込みました"),
    "certs.taken.ca": ("{count} new trusted authorities taken in", "信頼する認証局を {count} 件追加しました"),
    "certs.pending": ("{name}: requested, not answered yet", "{name}：申請中（回答待ち）"),
    "certs.state.in-use": ("in use", "使用中"),
    "certs.state.next": ("next", "切替待ち"),
    "certs.state.no-key": ("no key", "鍵なし"),
    "certs.column.name": ("name", "名前"),
    "certs.column.state": ("state", "状態"),
    "certs.column.until": ("until", "期限"),
    "certs.until": ("until {date}", "{date} まで"),
    "certs.watch.there": ("there", "あります"),
    "certs.watch.changed": ("changed: new connections use it", "変わりました。新しい接続から使われます"),
    "certs.watch.gone": ("gone: what was loaded stays in force", "なくなりました。読み込み済みのものが有効です"),
    "certs.no_authority": (
        "there is no test authority of the network {network} here; renkei certs init makes one",
        "ネットワーク {network} の試験用認証局がありません。renkei certs init で作れます",
    ),
    "certs.no_trust": ("there is no {name} below certificates.trust ({known})", "certificates.trust に {name} はありません（{known}）"),
    "certs.malformed": ("a name or address is malformed", "名前またはアドレスの形式が誤っています"),
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
    "command.withdraw": (
        "Take back your request, or refuse another person's.",
        "自分の申請を取り下げ、または他の担当者の申請を却下します。",
    ),
    "command.pause": ("Start no more calls to a party; what is accepted waits.", "相手先への送信を止めます（受け付けは続きます）。"),
    "command.resume": ("Take a pause back.", "相手先への送信を再開します。"),
    "command.keys": ("The gateway's own keys: list, check, rotate.", "ゲートウェイ自身の鍵：一覧、点検、更新。"),
    "command.audit": (
        "The tamper-evident record: verify, export, show, breach scope.",
        "改ざん検知可能な証跡：検証・書き出し・表示・漏えい範囲。",
    ),
    "command.backup": (
        "Backups of the ledger: create, list, verify, restore, release what a restore has stopped.",
        "台帳のバックアップ：作成・一覧・検証・復元、復元後の配送再開。",
    ),
    "command.flows": (
        "Business flows: cases, what is overdue, completion by hand, what is proved of each flow.",
        "業務フロー：案件一覧・期限超過・手作業による完了・検証状況。",
    ),
    "command.adapter": (
        "A new adapter for a party, as a package of its own with simulator and tests.",
        "相手先アダプターの雛形（シミュレーターと試験を含む独立パッケージ）を作成します。",
    ),
    "command.party": (
        "A party that is worked by hand: manual, mark as done, automatic again.",
        "相手先の手作業運用：手動への切替・処理済みの登録・自動への復帰。",
    ),
    "command.tally": ("All messages and deliveries in numbers.", "全電文・全配信の件数を表示します。"),
    "command.clock": ("Shift the business clock of a test ledger.", "試験用台帳の業務時計を進めます。"),
    "command.replay": (
        "A month of a synthetic city through every party, all books compared.",
        "架空の市の一か月を全相手先に流し、全帳簿を突き合わせます。",
    ),
    "clock.days": ("How far ahead of real time, in days.", "実時刻より何日進めるか。"),
    "clock.shifted": ("business time is {at}", "業務時刻は {at} です。"),
    "label.tally.from": ("handed in by", "提出元"),
    "label.tally.type": ("type", "電文種別"),
    "label.tally.count": ("count", "件数"),
    "label.tally.state": ("state (*: replaced)", "状態（*：置換済み）"),
    "command.retention": (
        "Retention: what is due, erase it, prove it, disposal history, purge of a party.",
        "保存期間：消去対象・消去・残存検査・廃棄履歴・相手先の一括消去。",
    ),
    "command.feeds": (
        "Feeds with their calendars, anomalies of feeds and links, cause and next step.",
        "連携の予定と実績、未着・遅延・滞留の異常、原因と対処。",
    ),
    "command.fetched": ("Import reports of what was fetched from the parties.", "相手先から取得したデータの取込報告。"),
    "fetched.batch": ("The party's id of a batch, or ours: what became of each record.", "バッチの番号：各件の結果を表示します。"),
    "fetched.party": ("Only of this party.", "この相手先のみ。"),
    "command.format": ("What the message types look like; check a file.", "電文種別の書式を表示し、ファイルを検査します。"),
    "command.simulate": ("Run a simulated party.", "相手先のシミュレーターを動かします。"),
    "command.demo": ("One day of a synthetic city, from register to party, reconciled.", "架空の市の一日分を流し、突き合わせます。"),
    "command.chaos": ("Traffic while processes are killed, and a verdict.", "プロセスを強制終了しながら流し、判定します。"),
    "command.bench": ("Measure against the bars.", "性能を測り、基準と比べます。"),
    "command.policy": (
        "Who may hand what to whom: show, explain, check, compare, apply.",
        "提供・移転の許可を表示・説明・点検・比較・適用します。",
    ),
    "command.media": (
        "Output to media: approved by a second person, to configured places only, each on record.",
        "媒体への出力：承認のうえ設定済みの出力先だけに書き、1件ごとに記録します。",
    ),
    "command.reconcile": (
        "The whole register compared with what a party holds; what differs, and its correction.",
        "住民記録全件と相手先の保有内容を照合し、不一致と是正を扱います（整合処理）。",
    ),
    "command.reports": (
        "Reports: what was refused on a day and that it was looked at, statistics of a month.",
        "報告：日次の拒否記録とその確認、月次の統計。",
    ),
    "command.network": (
        "The link with the information provision network: state of the intermediate server, code acquisition. Role: viewer or auditor.",
        "情報提供ネットワークとの連携：中間サーバーの稼動状態、符号取得の状況。役割：viewer または auditor。",
    ),
    "command.provisions": ("Records of provision: search, export for a disclosure request.", "提供記録を検索し、開示請求用に出力します。"),
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
    "label.kind": ("kind", "種類"),
    "label.since": ("since", "開始"),
    "label.uses": ("in use", "使用数"),
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
    # -- submit
    "submit.progress": ("submitting", "提出中"),
    "submit.files": ("XML files, or JSON Lines (.jsonl) of CloudEvents.", "XML ファイル、または CloudEvents の JSON Lines（.jsonl）。"),
    "submit.system": ("Sending system (default: the only one configured).", "送信システム（既定：設定に一つだけある場合はそれ）。"),
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
    "label.medium": ("medium", "媒体"),
    "label.target": ("place", "出力先"),
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
    "label.run": ("run", "処理"),
    "label.with": ("with", "相手先"),
    "label.cut_off": ("cut-off", "基準日時"),
    "label.progress": ("buckets", "区分"),
    "label.number": ("no.", "番号"),
    "label.status": ("status", "状態"),
    "label.resident": ("resident", "住民"),
    "label.correction": ("correction", "是正"),
    # -- reports
    "reports.day": ("Day in Japan (default: yesterday).", "日付（日本、既定は昨日）。"),
    "reports.month": ("A month that is over, such as 2026-10.", "終了した月（例 2026-10）。"),
    "reports.import": (
        "Import report: what a system handed in on a day, and what became of each record.",
        "取込結果の確認用帳票（システムの1日分、件数と各レコードの結果）。",
    ),
    "reports.system": ("Sending system.", "送信元システム。"),
    "reports.imported": ("{day}: handed in by {system}", "{day}：{system} からの取込"),
    "reports.supplier": ("department", "担当部署"),
    "reports.record": ("record", "レコード"),
    "reports.missing": ("nothing came of: {suppliers}", "未着の部署：{suppliers}"),
    "reports.left_off": ("{count} more accepted record(s) are not listed", "ほか受付済み {count} 件は表示していません"),
    "reports.outcome.accepted": ("accepted", "受付"),
    "reports.outcome.waiting": ("under way", "処理中"),
    "reports.outcome.set_aside": ("set aside", "保留"),
    "reports.outcome.refused": ("refused", "拒否"),
    "reports.result": ("What came of looking at it; kept on record.", "確認結果（記録されます）。"),
    "reports.refusals": (
        "What was refused on a day, by whom and why, and who has looked at it.",
        "その日に拒否したもの（相手・理由別）と確認者を表示します。",
    ),
    "reports.check": (
        "Put on record that you have looked at the refusals of a day (daily check sheet). Role: operator or auditor of the city.",
        "その日の拒否を確認したことを記録します（日次確認チェックシート）。役割：市の operator または auditor。",
    ),
    "reports.statistics": (
        "Numbers of provisions of a month; those that stand for few residents are left out. On record. Role: operator or auditor of the city.",
        "月ごとの提供件数。少人数の値は伏せます。作成は記録されます。役割：市の operator または auditor。",
    ),
    "reports.of": ("{day}: {count} refusal(s)", "{day}：拒否 {count} 件"),
    "reports.sure": ("note that you have looked at the refusals of {day}?", "{day} の拒否を確認したと記録しますか？"),
    "reports.checked": ("noted: the refusals of {day} were looked at", "{day} の拒否の確認を記録しました"),
    "reports.checked_by": ("looked at by {by}, {at}: {result}", "確認：{by}、{at}：{result}"),
    "reports.other": ("(something was added since)", "（その後に追加あり）"),
    "reports.unchecked": ("not looked at yet: {days}", "未確認の日：{days}"),
    "reports.few": ("numbers that stand for fewer than {minimum} residents are left out", "{minimum} 人未満の値は伏せています"),
    "label.count": ("number", "件数"),
    # -- information provision network
    "network.nothing-said": ("nothing yet", "通知なし"),
    "network.operating": ("Intermediate server: {status}, since {since}", "中間サーバー：{status}（{since}から）"),
    "network.numbers": (
        "Integrated atena numbers: {linked} linked, {registered} registered",
        "団体内統合宛名番号：紐付け済み {linked} 件、登録済み {registered} 件",
    ),
    "network.state": ("state", "状態"),
    "network.count": ("number", "件数"),
    "network.asked": ("requested", "要求済み（処理通番待ち）"),
    "network.numbered": ("processing number given", "処理通番あり（個人番号の付加待ち）"),
    "network.paired": ("with the register", "住民記録システムへ連携済み"),
    "network.handed-on": ("passed on to the city CS", "市町村CSへ連携済み"),
    "network.overtaken": ("overtaken by a repetition", "再要求により終了"),
    "network.overdue": (
        "Overdue: {count}. The atena system may request again; the request gets a new processing number.",
        "期限超過：{count} 件。宛名システムから再要求できます（新しい処理通番になります）。",
    ),
    "network.message": ("message of the request", "要求電文"),
    "network.asked-at": ("requested at", "要求日時"),
    "network.due-at": ("next step due", "次の処理の期限"),
    # -- policy and provisions
    "policy.file": ("Policy document (YAML), or some of its sections.", "ポリシー文書（YAML）またはその一部の章。"),
    "policy.packaged": (
        "The packaged policy instead of the one that counts; needs no gateway.",
        "適用中のものではなく同梱のポリシー（ゲートウェイ不要）。",
    ),
    "policy.type": ("Message type.", "電文種別。"),
    "policy.party": ("Spec id of a system.", "システムの仕様 ID。"),
    "policy.work": ("Id of a work (事務), such as transfer-9 or F1-1.", "事務の ID（例 transfer-9、F1-1）。"),
    "policy.item": ("Item that is demanded (path); may be given several times.", "求める項目（パス）。複数指定可。"),
    "policy.on": ("Day (default: today in Japan).", "日付（既定は日本の今日）。"),
    "policy.protected": ("For a resident under support measures.", "支援措置の対象者として。"),
    "policy.document": ("The whole document, as YAML.", "文書全体を YAML で出力します。"),
    "policy.show": ("The permissions of the policy that counts.", "適用中のポリシーの許可を表示します。"),
    "policy.explain": (
        "Why something may go or not, with the article and the exact items.",
        "提供の可否を、根拠条文と項目とともに説明します。",
    ),
    "policy.check": (
        "Whether a policy breaks a rule that none may break, and what it lacks.",
        "ポリシーが守るべき規則に反しないか、不足がないかを点検します。",
    ),
    "policy.diff": ("What a document would change.", "文書による変更点を表示します。"),
    "policy.apply": (
        "Ask for a policy to count; a second person approves (renkei approvals). Takes effect without a restart. Role: administrator.",
        "ポリシーの適用を申請します（要承認、renkei approvals）。再起動なしで有効になります。役割：administrator。",
    ),
    "policy.history": ("Versions that count or counted, with who asked and who approved.", "適用した版と申請者・承認者を表示します。"),
    "policy.version": ("version {version} ({name}, {digest})", "第 {version} 版（{name}、{digest}）"),
    "policy.whole": ("every item", "全項目"),
    "policy.nothing": ("nothing approved", "承認なし"),
    "policy.inactive": ("inactive", "無効"),
    "policy.sound": ("nothing in it breaks a rule", "規則に反するものはありません"),
    "policy.same": ("no change", "変更はありません"),
    "policy.confirm": ("ask for these {count} change(s)?", "この {count} 件の変更を申請しますか？"),
    "policy.finding.forbidden-way": ("this way is forbidden whatever a policy says", "この経路はポリシーによらず禁止されています"),
    "policy.finding.forbidden-item": ("these items may not go this way", "この経路では提供できない項目です"),
    "policy.finding.item-required": (
        "the schema of the type requires these items: the recipient would refuse every message",
        "電文の書式上必須の項目が含まれません",
    ),
    "policy.finding.work-not-carried": (
        "this work is served on paper or over the network, not by the gateway",
        "この事務は紙又は情報提供ネットワークによるもので、ゲートウェイは扱いません",
    ),
    "policy.finding.work-inactive": ("approved for a work that is not active", "有効でない事務に承認があります"),
    "policy.finding.connection-without-permission": ("a connection that nothing may use", "許可のない接続です"),
    "policy.finding.sample-approvals": ("the approvals are a sample: not for production", "承認は見本です。本番では使用しないでください"),
    "policy.finding.without-approval": (
        "works without approved items: nothing goes to them",
        "承認項目のない事務があります（何も提供されません）",
    ),
    "provisions.protected": (
        "support measures are in force for this resident: verify who asks before anything is handed out",
        "支援措置の対象者です。交付の前に請求者の本人確認・権限確認を必ず行ってください",
    ),
    "provisions.search": ("Look for records of provision; the search is recorded.", "提供記録を検索します（検索も記録されます）。"),
    "provisions.export": (
        "Write records of provision to a file (.json, else CSV).",
        "提供記録をファイルに出力します（.json、その他は CSV）。",
    ),
    "provisions.by": (
        "For one resident: by which identifier; asked for, or read from standard input. Role: operator or auditor.",
        "一人の住民について。識別番号の種類（値は入力またはstdin）。役割：operator または auditor。",
    ),
    "provisions.time": ("Time with its zone (RFC 3339).", "時刻（RFC 3339、時差つき）。"),
    "provisions.outcome": (
        "provided, refused, permitted, rejected, skipped, expired, replaced or unknown.",
        "provided、refused、permitted、rejected、skipped、expired、replaced、unknown のいずれか。",
    ),
    "provisions.reference": ("Only questions for this application (its number).", "この届出・申請（番号）のための照会のみ。"),
    "provisions.after": ("Goes on behind a page (as it said).", "前の頁の続き（表示された値）。"),
    "provisions.staff": (
        "Show operators, terminals and message ids, which are masked otherwise.",
        "伏せている操作者・端末・電文 ID を表示します。",
    ),
    "provisions.none": ("no records", "記録はありません"),
    "provisions.exists": ("{file} is there already", "{file} は既に存在します"),
    "provisions.written": ("{count} record(s) written to {file}", "{count} 件を {file} に出力しました"),
    "policy.untied": (
        "~: listed in the assessment without a tie to this work; assigned by its content.",
        "~：評価書に条文はあるが事務との対応が示されておらず、内容から割り当てたもの。",
    ),
    "label.basis": ("legal basis", "根拠法令"),
    "label.items": ("items", "項目"),
    "label.work": ("work", "事務"),
    "label.version": ("version", "版"),
    "label.terminal": ("terminal", "端末"),
    "label.at": ("when", "日時"),
    "label.recipients": ("recipients", "提供先部署"),
    "label.rule": ("rule", "規定"),
    "label.question": ("question", "照会の種類"),
    "label.condition": ("asked by (masked)", "照会条件（マスク済み）"),
    "label.reference": ("application", "届出・申請の番号"),
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
