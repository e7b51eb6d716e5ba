"""The catalogue as pages to read: Markdown and HTML, English and Japanese, generated from the packaged data (no I/O here)."""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal
from xml.sax.saxutils import escape

from message_formats import _packaged, catalogue, codes, invalid_samples, party_codes, profiles, samples
from message_formats.catalogue import Item, MessageType
from message_formats.errors import CODES
from message_formats.profiles import Profile

Language = Literal["en", "ja"]

_WORDS: dict[str, tuple[str, str]] = {
    "join": ("; ", "、"),
    "operations": ("SOAP operations", "SOAPオペレーション"),
    "profiles": ("SOAP profiles", "SOAPプロファイル"),
    "flow": ("Flow", "フロー"),
    "out": ("gateway → party", "ゲートウェイ→相手"),
    "in": ("party → gateway", "相手→ゲートウェイ"),
    "both": ("both ways", "双方向"),
    "direction": ("Who calls", "呼出方向"),
    "request": ("Request", "要求"),
    "records": ("Records", "件数"),
    "receipt": ("receipt", "受領結果"),
    "later": ("receipt; later {name}", "受領結果。後で {name}"),
    "title": ("Message catalogue", "メッセージ・カタログ"),
    "intro": (
        "Generated from the packaged catalogue. Lengths, codes, structures and the items marked † are proposed by this project; no"
        " conformity with any restricted specification is claimed. All samples are fictitious.",
        "同梱のカタログから生成。長さ、コード、構造及び†の項目は本プロジェクトの提案であり、"
        "非公開仕様への準拠を主張しない。サンプルは全て架空である。",
    ),
    "types": ("Message types", "メッセージ種別"),
    "name": ("Name", "名称"),
    "producers": ("From", "送信元"),
    "consumers": ("To", "送信先"),
    "individual_number": ("Individual Number", "個人番号"),
    "confidentiality": ("Confidentiality", "機密区分"),
    "lane": ("Lane", "処理区分"),
    "key": ("Key", "キー"),
    "party_key": ("Key of the party", "相手方のキー"),
    "reply": ("Reply", "応答"),
    "retention": ("Retention", "保存期間"),
    "flows": ("Flows", "フロー"),
    "source": ("Source", "出典"),
    "schema": ("Namespace", "名前空間"),
    "items": ("Items", "項目"),
    "no": ("No.", "番号"),
    "item": ("Item", "項目名"),
    "form": ("Form", "形式"),
    "required": ("Required", "必須"),
    "rules": ("Rules", "規則"),
    "sample": ("Valid sample (fictitious)", "正しいサンプル（架空）"),
    "invalid": ("Refused samples", "拒否されるサンプル"),
    "what": ("What is wrong", "誤り"),
    "error": ("Error", "エラー"),
    "place": ("Place", "位置"),
    "errors": ("Errors", "エラーコード"),
    "meaning": ("Meaning", "意味"),
    "tables": ("Code tables", "コード表"),
    "code": ("Code", "コード"),
    "symbol": ("Symbol", "記号名"),
    "yes": ("yes", "有"),
    "no_number": ("no", "無"),
    "forbidden": ("forbidden", "禁止"),
    "conditional": ("conditional", "条件付き"),
    "carried": ("Carried by the gateway", "ゲートウェイが中継"),
    "not_carried": ("Serves simulators only", "シミュレータ専用"),
    "times": ("up to {n} times", "最大{n}回"),
}

_KINDS: dict[str, tuple[str, str]] = {
    "text": ("text", "文字列"),
    "prose": ("text of several lines", "文章"),
    "kana": ("kana", "かな"),
    "token": ("ASCII token", "ASCII文字列"),
    "digits": ("digits", "数字"),
    "integer": ("integer", "整数"),
    "flag": ("0 or 1", "0又は1"),
    "code": ("code", "コード"),
    "date": ("date YYYYMMDD", "年月日 YYYYMMDD"),
    "unknown-date": ("date that may be unknown", "年月日（不詳可）"),
    "timestamp": ("time YYYYMMDDhhmmssSSS", "日時 YYYYMMDDhhmmssSSS"),
    "relationship": ("relationship", "続柄"),
    "binary": ("base64", "base64"),
    "group": ("group", "グループ"),
    "resident-record-code": ("resident record code", "住民票コード"),
    "individual-number": ("Individual Number", "個人番号"),
    "municipality-code": ("municipality code", "全国地方公共団体コード"),
    "corporate-number": ("corporate number", "法人番号"),
    "postal-code": ("postal code", "郵便番号"),
    "atena-number": ("atena number", "宛名番号"),
    "household-number": ("household number", "世帯番号"),
    "integrated-atena-number": ("integrated atena number", "団体内統合宛名番号"),
    "residence-card-number": ("residence card number", "在留カード等の番号"),
    "certificate-serial": ("certificate serial number", "シリアル番号"),
    "linkage-code": ("linkage code", "符号"),
    "processing-number": ("processing number", "処理通番"),
    "card-identifier": ("card identifier", "カードの識別情報"),
}


@dataclass(frozen=True, slots=True)
class _Table:
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class _Heading:
    level: int
    text: str
    anchor: str = ""


@dataclass(frozen=True, slots=True)
class _Code:
    text: str


_Block = _Table | _Heading | _Code | str


class _Page:
    """The pages in one language, as blocks that either writer understands."""

    def __init__(self, language: Language) -> None:
        self.ja = language == "ja"
        self.rules: dict[str, dict[str, str]] = _packaged.load_yaml("data", "rules.yaml")

    def word(self, key: str, **values: Any) -> str:
        return _WORDS[key][self.ja].format(**values)

    def name(self, thing: MessageType | Item) -> str:
        return thing.name_ja if self.ja else thing.name_en

    def index(self) -> Iterator[_Block]:
        yield _Heading(1, self.word("title"))
        yield self.word("intro")
        yield _Heading(2, self.word("types"))
        heads = ("", self.word("name"), self.word("producers"), self.word("consumers"), self.word("individual_number"))
        yield _Table(
            heads,
            tuple(
                (f"#{entry.name}", self.name(entry), ", ".join(entry.producers), ", ".join(entry.consumers), self.number(entry))
                for entry in catalogue.all_types()
            ),
        )
        yield _Heading(2, self.word("flows"))
        flows = catalogue.flows()
        carried = {flow: [entry.name for entry in catalogue.all_types() if flow in entry.flows] for flow in flows}
        rows = tuple((flow, titles[self.ja], ", ".join(carried[flow]) or "–") for flow, titles in flows.items())
        yield _Table((self.word("flow"), self.word("name"), self.word("types")), rows)
        for entry in catalogue.all_types():
            yield from self.type(entry)
        yield _Heading(2, self.word("profiles"))
        for name in profiles.names():
            yield from self.profile(profiles.get(name))
        yield _Heading(2, self.word("errors"))
        yield _Table((self.word("error"), self.word("meaning")), tuple((code, said[self.ja]) for code, said in CODES.items()))
        yield _Heading(2, self.word("tables"))
        for name in codes.names():
            yield from self.table(name)

    def number(self, entry: MessageType) -> str:
        return self.word("no_number" if entry.individual_number == "no" else entry.individual_number)

    def flow(self, flow: str) -> str:
        return f"{flow} {catalogue.flows()[flow][self.ja]}"

    def profile(self, profile: Profile) -> Iterator[_Block]:
        yield _Heading(3, f"{profile.profile}: {profile.name_ja if self.ja else profile.name_en}", f"profile-{profile.profile}")
        yield f"{profile.party}; {profile.namespace}; message_formats/wsdl/{profile.profile}.wsdl"
        heads = ("", self.word("name"), self.word("direction"), self.word("request"), self.word("reply"), self.word("records"))
        rows = []
        for each in profile.operations:
            reply = f"#{each.answer}" if each.answer else self.word("later", name=each.later) if each.later else self.word("receipt")
            name = each.name_ja if self.ja else each.name_en
            rows.append(
                (each.name, name, self.word(each.direction), f"#{each.type}", reply, f"1–{each.records}" if each.records > 1 else "1")
            )
        yield _Table(heads, tuple(rows))

    def type(self, entry: MessageType) -> Iterator[_Block]:
        yield _Heading(2, entry.name, entry.name)
        yield self.name(entry)
        facts = [
            (self.word("schema"), entry.schema),
            (self.word("producers"), ", ".join(entry.producers)),
            (self.word("consumers"), ", ".join(entry.consumers)),
            (self.word("individual_number"), self.number(entry)),
            (self.word("confidentiality"), entry.confidentiality),
            (self.word("lane"), f"{entry.lane}; {self.word('carried' if entry.carried else 'not_carried')}"),
            (self.word("key"), entry.key_item or "–"),
            (self.word("party_key"), entry.party_key_item or "–"),
            (self.word("reply"), f"#{entry.reply}" if entry.reply else "–"),
            (self.word("retention"), entry.retention_ja if self.ja else entry.retention_en),
            (self.word("flows"), self.word("join").join(self.flow(flow) for flow in entry.flows) or "–"),
            (self.word("operations"), ", ".join(_operations(entry.name)) or "–"),
            (self.word("source"), entry.source),
        ]
        yield _Table(("", ""), tuple(facts))
        yield _Heading(3, self.word("items"))
        heads = (self.word("no"), "id", self.word("item"), self.word("form"), self.word("required"))
        yield _Table(heads, tuple(self.items(entry.items, "")))
        if entry.rules:
            yield _Heading(3, self.word("rules"))
            yield _Table(
                ("id", self.word("rules"), self.word("source")),
                tuple((rule, self.rules[rule]["ja" if self.ja else "en"], self.rules[rule]["source"]) for rule in entry.rules),
            )
        yield _Heading(3, self.word("sample"))
        yield _Code(_indented(samples.message(entry.name).to_bytes().decode()))
        yield _Heading(3, self.word("invalid"))
        refused = (self.word("what"), self.word("error"), self.word("place"))
        yield _Table(refused, tuple((s.what_ja if self.ja else s.what, s.code, s.place) for s in invalid_samples.of(entry.name)))

    def items(self, items: tuple[Item, ...], indent: str) -> Iterator[tuple[str, ...]]:
        for item in items:
            form = _KINDS[item.kind][self.ja]
            if item.parameter and item.kind not in ("group",):
                form += f" ({item.parameter})"
            if item.repeats > 1:
                form += ", " + self.word("times", n=item.repeats)
            mark = " †" if item.ours else ""
            number = str(item.number) if item.number else ""
            yield number, indent + item.id + mark, self.name(item), form, "✓" if item.required else ""
            yield from self.items(item.items, indent + "└ ")

    def table(self, name: str) -> Iterator[_Block]:
        table = codes.table(name)
        yield _Heading(3, f"{table.name}: {table.name_ja if self.ja else table.name_en}", f"code-{name}")
        yield table.source
        mapped = [party for party in map(party_codes.get, party_codes.names()) if name in party.out]
        rows = tuple(
            (
                code.code,
                code.symbol,
                code.ja if self.ja else code.en,
                *(party.out[name].get(code.code, "–") for party in mapped),
            )
            for code in table.codes.values()
        )
        yield _Table((self.word("code"), self.word("symbol"), self.word("name"), *(party.party for party in mapped)), rows)


def _operations(name: str) -> list[str]:
    """Where a type travels by SOAP: ``juki_cs.UpdateIdentityInformation``."""
    found = [(profile, operation) for profile in map(profiles.get, profiles.names()) for operation in profile.operations]
    return [f"{profile.profile}.{operation.name}" for profile, operation in found if name in operation.types]


def _indented(xml: str) -> str:
    """One item a line, for reading."""
    return xml.replace("><", ">\n<")


def markdown(language: Language) -> str:
    """The whole catalogue as one Markdown page."""
    out: list[str] = []
    for block in _Page(language).index():
        if isinstance(block, _Heading):
            anchor = f'<a id="{block.anchor}"></a>\n\n' if block.anchor else ""
            out.append(f"{anchor}{'#' * block.level} {block.text}")
        elif isinstance(block, _Code):
            out.append(f"```xml\n{block.text}\n```")
        elif isinstance(block, _Table):
            rows = [block.heads, tuple("---" for _ in block.heads), *block.rows]
            out.append("\n".join("| " + " | ".join(_markdown_cell(cell) for cell in row) + " |" for row in rows))
        else:
            out.append(escape(block))
    return "\n\n".join(out) + "\n"


def _markdown_cell(cell: str) -> str:
    if cell.startswith("#"):
        return f"[{cell[1:]}]({cell})"
    return escape(cell).replace("|", "\\|").replace("*", "\\*").replace("_", "\\_")


_STYLE = (
    "body{font-family:'Noto Sans CJK JP','Hiragino Sans',sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;line-height:1.6}"
    "table{border-collapse:collapse;margin:1rem 0}th,td{border:1px solid #999;padding:.2rem .6rem;text-align:left;vertical-align:top}"
    "th{background:#eee}pre{background:#f6f6f6;padding:1rem;overflow:auto}h2{margin-top:3rem;border-bottom:2px solid #444}"
)


def html_page(language: Language) -> str:
    """The whole catalogue as one HTML page, nothing loaded from elsewhere."""
    page = _Page(language)
    out = [
        f'<!DOCTYPE html>\n<html lang="{language}">\n<head><meta charset="utf-8"><title>{html.escape(page.word("title"))}</title>'
        f"<style>{_STYLE}</style></head>\n<body>"
    ]
    for block in page.index():
        if isinstance(block, _Heading):
            anchor = f' id="{html.escape(block.anchor)}"' if block.anchor else ""
            out.append(f"<h{block.level}{anchor}>{html.escape(block.text)}</h{block.level}>")
        elif isinstance(block, _Code):
            out.append(f"<pre>{html.escape(block.text)}</pre>")
        elif isinstance(block, _Table):
            out.append(_html_table(block))
        else:
            out.append(f"<p>{html.escape(block)}</p>")
    out.append("</body>\n</html>")
    return "\n".join(out) + "\n"


def _html_table(table: _Table) -> str:
    lines = ["<table>"]
    if any(table.heads):
        lines.append("<tr>" + "".join(f'<th scope="col">{html.escape(head)}</th>' for head in table.heads) + "</tr>")
    lines += ["<tr>" + "".join(f"<td>{_html_cell(cell)}</td>" for cell in row) + "</tr>" for row in table.rows]
    return "\n".join([*lines, "</table>"])


def _html_cell(cell: str) -> str:
    if cell.startswith("#"):
        return f'<a href="{html.escape(cell)}">{html.escape(cell[1:])}</a>'
    return html.escape(cell)


def pages() -> dict[str, str]:
    """File names and texts of all pages."""
    return {
        "catalogue.md": markdown("en"),
        "catalogue.ja.md": markdown("ja"),
        "catalogue.html": html_page("en"),
        "catalogue.ja.html": html_page("ja"),
    }
