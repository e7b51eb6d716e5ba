"""What the demo says, in English and Japanese. The language is that of the ``renkei`` command (``RENKEI_LANG``)."""

from __future__ import annotations

import os

TEXT: dict[str, tuple[str, str]] = {
    # -- options
    "option.population": ("Residents of the synthetic city.", "架空の市の人口。"),
    "option.events": ("Notifications of the day (default: a peak day of such a city).", "一日の通知件数（既定：その規模の市の最多の日）。"),
    "option.seed": ("Seed of the city: the same seed gives the same day.", "市の乱数の種。同じ種なら同じ一日になります。"),
    "option.folder": ("Where everything is kept.", "すべてのファイルを置くフォルダー。"),
    "option.keep": ("Leave everything running, to look at.", "終了後もすべてを動かしたままにします。"),
    "option.stop": ("Stop what --keep left running, and end.", "--keep で残したものを停止して終わります。"),
    "option.json": ("Print the result as one JSON object.", "結果を一つの JSON で出力します。"),
    # -- the story
    "title": (
        "Renkei demo · fictitious city of {population:,} · {events:,} events · seed {seed}",
        "Renkei デモ · 架空の市 人口 {population:,} · 通知 {events:,} 件 · seed {seed}",
    ),
    "stopping-kept": ("stopping the demo that was left running here", "残っていた前回のデモを停止しています"),
    "starting": (
        "starting RabbitMQ, the gateway and the simulated parties (some 15 seconds) …",
        "RabbitMQ・ゲートウェイ・全相手先のシミュレーターを起動しています（15秒ほど）…",
    ),
    "started": (
        "all up. The register submits: most residents by AMQP (encrypted, JWE), the others by HTTPS; each resident by one door",
        "起動しました。住民記録システムが通知を提出します。AMQP（JWEで暗号化）と HTTPS、住民ごとに一方だけを使います",
    ),
    "opening": (
        "before the day: cards, taxes and foreign residents become known to the systems that need them",
        "開庁前：カード・税・外国人住民の情報を各システムへ渡します",
    ),
    "day": (
        "MORNING: the mailboxes of Immigration and portal are fetched. Kiosks, tax, atena system and departments begin as well",
        "朝：入管庁と申請管理システムから取得します。キオスク・税・宛名・各課も動き始めます",
    ),
    "rejected": (
        "HOLD: the city CS rejected an in-city move that changed more than the address ({code}). That resident is held; nobody else waits",
        "保留：住所以外も変わっている転居を市町村CSが拒否しました（{code}）。止まるのはその住民だけで、ほかの住民は待ちません",
    ),
    "behind": (
        "{count} later messages of the same resident wait behind it: order. An operator looks:",
        "同じ住民の後続の電文 {count} 件が順番を待っています。担当者が確認します：",
    ),
    "down": (
        "OUTAGE: the city CS goes down for {seconds:g} seconds. The register goes on submitting",
        "障害：市町村CSが {seconds:g} 秒間停止します。住民記録システムの提出は続きます",
    ),
    "down.look": (
        "the breaker is open, {count} deliveries wait and spend no retry. An operator looks:",
        "遮断器が開き、{count} 件が再送回数を使わずに待っています。担当者が確認します：",
    ),
    "back": (
        "RETRY: the city CS is back; first effect {seconds:.1f} s later. What waited ({count}) goes out, in order for each resident",
        "再送：市町村CSが復旧し、{seconds:.1f} 秒後に最初の更新がありました。待っていた {count} 件が住民ごとの順に流れます",
    ),
    "replacing": (
        "FREED: the register sends a replacement of the rejected move: same 更新順番号 {update}, 異常時更新順番号 {abnormal}",
        "解除：住民記録システムが訂正電文を送ります（更新順番号 {update} のまま、異常時更新順番号 {abnormal}）",
    ),
    "freed": (
        "the replacement took effect, and what waited behind it followed: updates {updates}, in order. Its history:",
        "訂正が反映され、待っていた電文が続きました（更新順番号 {updates}、順番どおり）。履歴：",
    ),
    "waiting-rest": ("everything is submitted; the last ones are on their way", "提出が終わりました。残りを送っています"),
    "reconciling": (
        "everything is through. Now the register's record is held against the city CS's own journal",
        "すべて届きました。住民記録側の記録と市町村CS自身の記録を突き合わせます",
    ),
    "time-up": ("not everything came through within {seconds:g} s", "{seconds:g} 秒以内にすべては届きませんでした"),
    "stopping": ("stopping everything", "すべてを停止しています"),
    "interrupted": ("interrupted: stopping everything", "中断しました。すべてを停止します"),
    # -- the live display
    "amqp": ("AMQP", "AMQP"),
    "https": ("HTTPS", "HTTPS"),
    "total": ("total", "合計"),
    "submitted": ("submitted", "提出"),
    "accepted": ("accepted (receipt)", "受付（受領書）"),
    "delivered": ("delivered (took effect)", "配送（反映済み）"),
    "now": ("at the gateway now", "現在のゲートウェイ"),
    "to-send": ("to send {count}", "送信待ち {count}"),
    "backing-off": ("backing off {count}", "再送待ち {count}"),
    "waiting": ("waiting behind {count}", "順番待ち {count}"),
    "held": ("held {count}", "保留 {count}"),
    "oldest": ("oldest {seconds:.1f} s", "最古 {seconds:.1f} 秒"),
    "oldest.none": ("oldest –", "最古 –"),
    "others": (
        "besides the updates above: {submitted} messages for all parties, {came} came back to the register",
        "上の更新のほか、各相手先への電文 {submitted} 件、住民記録への電文 {came} 件",
    ),
    "breaker": ("city CS breaker", "市町村CS 遮断器"),
    "line": (
        "submitted {submitted}/{events}, accepted {accepted}, delivered {delivered}, backing off {backing_off}, waiting behind {waiting}, "
        "held {held}, breaker {breaker}, oldest {oldest}",
        "提出 {submitted}/{events}、受付 {accepted}、配送 {delivered}、再送待ち {backing_off}、順番待ち {waiting}、保留 {held}、"
        "遮断器 {breaker}、最古 {oldest}",
    ),
    # -- the end
    "table": ("The register's record against the city CS's journal", "住民記録側の記録と市町村CSの記録の突き合わせ"),
    "all": (
        "Every party: the register's books, the gateway's ledger, the party's own journal",
        "全相手先：住民記録側の記録・台帳・相手先自身の記録",
    ),
    "all.party": ("party", "相手先"),
    "all.type": ("type", "電文種別"),
    "all.sent": ("sent", "送信"),
    "all.ledger": ("ledger", "台帳"),
    "all.effects": ("effects", "反映"),
    "all.refused": ("refused", "拒否"),
    "row.submitted": ("submitted", "提出"),
    "row.accepted": ("accepted (receipt)", "受付（受領書あり）"),
    "row.rejected": ("rejected by the city CS", "市町村CSが拒否"),
    "row.replaced": ("replaced by the register", "住民記録側が訂正"),
    "row.expected": ("effects expected", "反映されるべき件数"),
    "row.effects": ("effects at the city CS", "市町村CSでの反映"),
    "row.lost": ("lost", "欠落"),
    "row.stuck": ("stuck", "滞留"),
    "row.duplicate_effects": ("duplicate effects", "二重反映"),
    "row.order_violations": ("order violations", "順序の誤り"),
    "row.foreign_effects": ("effects of nothing accepted", "根拠のない反映"),
    "row.accept": ("submitted → receipt, {door}", "提出 → 受領書（{door}）"),
    "row.effect": ("accepted → effect", "受付 → 反映"),
    "row.undisturbed": ("the same, without outage and hold", "同上（停止・保留を除く）"),
    "times.p50": ("p50", "p50"),
    "times.p99": ("p99", "p99"),
    "times.longest": ("longest", "最長"),
    "who": ("as recorded by", "記録元"),
    "who.both": ("both", "双方"),
    "who.register": ("register", "住民記録"),
    "who.party": ("city CS", "市町村CS"),
    "agree": (
        "They agree: nothing lost, nothing twice, every resident in order.",
        "一致しました。欠落・二重反映・順序の誤りはありません。",
    ),
    "disagree": ("THEY DO NOT AGREE. The records are in {folder}.", "一致しません。記録は {folder} にあります。"),
    "files": ("files", "ファイル"),
    "file.record": ("the register's record", "住民記録側の記録"),
    "file.journal": ("the city CS's own journal", "市町村CS自身の記録"),
    "file.ledger": ("the gateway's ledger, keys, logs", "ゲートウェイの台帳・鍵・ログ"),
    "stopped": ("Nothing is left running. {seconds:.0f} seconds.", "すべて停止しました。所要 {seconds:.0f} 秒。"),
    "kept": ("Everything is still running. To look around, in this shell:", "すべて動いたままです。このシェルで次を試せます："),
    "kept.look": ("the gateway at a glance", "ゲートウェイの概況"),
    "kept.queues": ("what waits, what is held", "待ち状況、保留"),
    "kept.check": ("look at everything", "全体の点検"),
    "kept.submit": ("100 more; one is held", "さらに100件（1件は保留）"),
    "kept.message": ("why, and what comes next", "保留の理由と次の動き"),
    "kept.skip": ("refused: R4", "拒否されます（R4）"),
    "kept.replace": ("the register frees it", "訂正電文で解除されます"),
    "kept.pause": ("no calls until: resume", "resume まで停止"),
    "kept.page": ("the city CS's page", "市町村CSのページ"),
    "kept.stop": ("stop everything", "すべてを停止"),
    "kept.none": ("nothing of a demo runs in {folder}", "{folder} で動いているデモはありません"),
    "kept.stopped": ("stopped what ran in {folder}", "{folder} のデモを停止しました"),
    "error": ("error", "エラー"),
}


def language() -> str:
    """``en`` or ``ja``."""
    chosen = os.environ.get("RENKEI_LANG") or os.environ.get("LC_ALL") or os.environ.get("LC_MESSAGES") or os.environ.get("LANG") or ""
    return "ja" if chosen.lower().startswith("ja") else "en"


def t(key: str, **values: object) -> str:
    """The text of ``key`` in the language in use."""
    text = TEXT[key][1 if language() == "ja" else 0]
    return text.format(**values) if values else text
