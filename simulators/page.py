"""The page of a simulated party: one HTML document without scripts that loads itself again every two seconds. Japanese and English."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Literal

Language = Literal["ja", "en"]

TEXTS: Mapping[Language, Mapping[str, str]] = {
    "en": {
        "simulator": "Simulator",
        "fictitious": "A simulated party. All residents are fictitious.",
        "state": "State",
        "counts": "Counts",
        "faults": "Active faults",
        "last": "Last entries of the journal",
        "none": "none",
        "other": "日本語",
        "party": "party",
        "mode": "listener",
        "port": "port",
        "connections": "open connections",
        "up_s": "up (s)",
        "cpu_s": "CPU time (s)",
        "journal_entries": "entries in the journal",
        "calls": "calls",
        "records": "records",
        "effect": "effects",
        "refused": "refused records",
        "duplicate": "duplicates",
        "calls_refused": "refused calls",
        "peers_refused": "refused peers",
        "seq": "no.",
        "at": "time",
        "kind": "kind",
        "resident": "resident (reference)",
        "request": "request control number",
        "update": "update no.",
        "code": "code",
        "residents": "residents touched",
        "population": "residents at the start",
        "remembered": "remembered request numbers",
        "taken": "taken deliveries",
        "taken-again": "deliveries that came again",
        "turned-down": "records turned down",
        "asked": "questions",
        "outgoing": "put into the outbox",
        "arrived": "arrived",
        "to_send": "still to send",
        "sent_refused": "refused by the receiver",
        "numbers_given": "Individual Numbers given",
        "numbers_changed": "Individual Numbers changed",
        "codes_changed": "resident record codes changed",
        "codes_allocated": "resident record codes designated",
        "code_pairs": "processing numbers",
        "certificates_kept": "move-out certificate data kept",
        "open_runs": "reconciliations under way",
        "destinations": "destinations",
        "cards": "cards",
        "continued": "cards in continued use",
        "operation": "operation",
    },
    "ja": {
        "simulator": "シミュレータ",
        "fictitious": "模擬の連携先です。住民はすべて架空です。",
        "state": "状態",
        "counts": "件数",
        "faults": "発生中の障害",
        "last": "ジャーナルの直近の記録",
        "none": "なし",
        "other": "English",
        "party": "連携先",
        "mode": "受付",
        "port": "ポート",
        "connections": "接続数",
        "up_s": "稼働時間（秒）",
        "cpu_s": "CPU時間（秒）",
        "journal_entries": "ジャーナル件数",
        "calls": "呼出し",
        "records": "レコード",
        "effect": "更新",
        "refused": "拒否したレコード",
        "duplicate": "重複",
        "calls_refused": "拒否した呼出し",
        "peers_refused": "拒否した接続元",
        "seq": "番号",
        "at": "時刻",
        "kind": "種別",
        "resident": "住民（参照値）",
        "request": "依頼管理番号",
        "update": "更新順番号",
        "code": "コード",
        "residents": "更新のあった住民",
        "population": "初期の住民数",
        "remembered": "記憶中の依頼管理番号",
        "taken": "受け付けた送達",
        "taken-again": "再度届いた送達",
        "turned-down": "受け付けなかったレコード",
        "asked": "照会",
        "outgoing": "送信待ちにした件数",
        "arrived": "到達",
        "to_send": "未送信",
        "sent_refused": "相手が拒否した件数",
        "numbers_given": "生成した個人番号",
        "numbers_changed": "変更した個人番号",
        "codes_changed": "変更した住民票コード",
        "codes_allocated": "指定した住民票コード",
        "code_pairs": "処理通番",
        "certificates_kept": "保管中の転出証明書情報",
        "open_runs": "実施中の整合処理",
        "destinations": "送付先情報",
        "cards": "個人番号カード",
        "continued": "継続利用のカード",
        "operation": "操作",
    },
}

STYLE = """
body{font:15px/1.5 system-ui,"Noto Sans JP","IPAexGothic",sans-serif;margin:1.5rem;max-width:72rem;color:#1b1f24;background:#fff}
h1{font-size:1.3rem;margin:0}h2{font-size:1rem;margin:1.2rem 0 .3rem}
table{border-collapse:collapse}th,td{text-align:left;padding:.15rem .8rem .15rem 0;border-bottom:1px solid #d0d7de}
td.number{text-align:right;font-variant-numeric:tabular-nums}.mark{background:#fff3cd;padding:.1rem .5rem;border-radius:.3rem}
.bad{color:#a40e26;font-weight:600}code{font-size:.85em}
"""

ENTRY_COLUMNS = ("seq", "at", "kind", "operation", "resident", "request", "update", "code")


def render(
    *,
    title: Mapping[str, str],
    state: Mapping[str, Any],
    faults: Sequence[Mapping[str, Any]],
    entries: Sequence[Mapping[str, Any]],
    language: Language,
) -> str:
    """The document. All values are escaped; lists and tables carry headings for screen readers."""
    texts = TEXTS[language]
    other = "ja" if language == "en" else "en"
    counts = state.get("counts", {})
    facts = {name: value for name, value in state.items() if isinstance(value, str | int | float) and not isinstance(value, bool)}
    mode = escape(str(state.get("mode", "")))
    return f"""<!doctype html>
<html lang="{language}"><head><meta charset="utf-8"><meta http-equiv="refresh" content="2">
<meta name="viewport" content="width=device-width"><title>{escape(title[language])}</title><style>{STYLE}</style></head><body>
<h1>{escape(texts["simulator"])}: {escape(title[language])} <span class="{"bad" if mode != "up" else ""}">{mode}</span></h1>
<p><span class="mark">{escape(texts["fictitious"])}</span> <a href="/?lang={other}" lang="{other}">{escape(texts["other"])}</a></p>
<h2>{escape(texts["counts"])}</h2>{_pairs(counts, texts)}
<h2>{escape(texts["faults"])}</h2>{_faults(faults, texts)}
<h2>{escape(texts["state"])}</h2>{_pairs(facts, texts)}
<h2>{escape(texts["last"])}</h2>{_entries(entries, texts)}
</body></html>"""


def _pairs(values: Mapping[str, Any], texts: Mapping[str, str]) -> str:
    if not values:
        return f"<p>{escape(texts['none'])}</p>"
    rows = "".join(
        f'<tr><th scope="row">{escape(texts.get(name, name))}</th><td class="number">{escape(str(value))}</td></tr>'
        for name, value in values.items()
    )
    return f"<table>{rows}</table>"


def _faults(faults: Sequence[Mapping[str, Any]], texts: Mapping[str, str]) -> str:
    if not faults:
        return f"<p>{escape(texts['none'])}</p>"
    items = []
    for fault in faults:
        rest = ", ".join(f"{name}={value}" for name, value in fault.items() if name not in ("id", "kind", "meaning"))
        items.append(f'<li><b class="bad">{escape(fault["kind"])}</b> {escape(fault["meaning"])} <code>{escape(rest)}</code></li>')
    return f"<ul>{''.join(items)}</ul>"


def _entries(entries: Sequence[Mapping[str, Any]], texts: Mapping[str, str]) -> str:
    if not entries:
        return f"<p>{escape(texts['none'])}</p>"
    head = "".join(f'<th scope="col">{escape(texts[column])}</th>' for column in ENTRY_COLUMNS)
    rows = "".join(
        "<tr>"
        + "".join(f"<td>{escape(str(entry.get(column) if entry.get(column) is not None else ''))}</td>" for column in ENTRY_COLUMNS)
        + "</tr>"
        for entry in entries
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
