"""The command as a whole, its options, and each command in one line."""

from __future__ import annotations

TEXT: dict[str, tuple[str, str]] = {
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
    "command.retention": (
        "Retention: what is due, erase it, prove it, disposal history, purge of a party.",
        "保存期間：消去対象・消去・残存検査・廃棄履歴・相手先の一括消去。",
    ),
    "command.feeds": (
        "Feeds with their calendars, anomalies of feeds and links, cause and next step.",
        "連携の予定と実績、未着・遅延・滞留の異常、原因と対処。",
    ),
    "command.fetched": ("Import reports of what was fetched from the parties.", "相手先から取得したデータの取込報告。"),
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
}
