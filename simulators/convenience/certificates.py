"""Certificates as the kiosk prints them: PDF by WeasyPrint in IPAmj Mincho, or plain bodies where a thousand are needed in seconds.

All are marked as samples. A PDF has its facts (request, card, person, kind as references) in its keywords, so that a test finds them; a
plain body is JSON of the same facts. WeasyPrint and a font are requirements of the simulator only (extra ``pdf``).
"""

from __future__ import annotations

import asyncio
import html
import json
from collections.abc import Mapping
from typing import Protocol

TITLES = {"1": "住民票の写し", "2": "印鑑登録証明書", "3": "市・府民税課税証明書", "4": "戸籍全部事項証明書"}
FONTS = "'IPAmjMincho', 'IPAmj明朝', 'IPAexMincho', 'Noto Serif CJK JP', serif"
_STYLE = (
    f"@page {{size: A4; margin: 25mm}} body {{font-family: {FONTS}; font-size: 14pt}} th {{text-align: left; padding-right: 2em}}"
    "pre {font-family: inherit; white-space: pre-wrap} .sample {color: #999; font-size: 28pt}"
)
_ROWS = {
    "1": {"氏名": "name", "生年月日": "birth_date", "性別": "sex", "住所": "address", "世帯主": "head_name", "本籍": "domicile"},
    "2": {"登録番号": "registration_number", "氏名": "name", "生年月日": "birth_date", "住所": "address", "登録年月日": "registered_on"},
    "3": {"年度": "fiscal_year", "所得金額": "income", "所得控除額": "deductions", "税額": "tax"},
}
_GROUPS = {"1": "resident_record_copy_data", "2": "seal_certificate_data", "3": "tax_certificate_data"}


class Paper(Protocol):
    """Makes the body of a certificate."""

    async def make(self, number: int, kind: str, data: Mapping[str, str | None], facts: Mapping[str, str]) -> bytes: ...


class Plain:
    """Bodies for speed: the facts, and the name and birth date that several people may share."""

    async def make(self, number: int, kind: str, data: Mapping[str, str | None], facts: Mapping[str, str]) -> bytes:
        """See :class:`Paper`."""
        shared = {name: data.get(f"resident_record_copy_data/{name}") for name in ("name", "birth_date")}
        return json.dumps({"number": number, **facts, **shared, "sample": True}, ensure_ascii=False).encode()


class Pdf:
    """Real ones: about a second a page, in a thread."""

    async def make(self, number: int, kind: str, data: Mapping[str, str | None], facts: Mapping[str, str]) -> bytes:
        """See :class:`Paper`."""
        return await asyncio.to_thread(render, number, kind, dict(data), dict(facts))


def render(number: int, kind: str, data: Mapping[str, str | None], facts: Mapping[str, str]) -> bytes:
    """One page."""
    from weasyprint import HTML

    rows = "".join(
        f"<tr><th>{html.escape(title)}</th><td>{html.escape(value)}</td></tr>"
        for title, item in _ROWS.get(kind, {}).items()
        if (value := data.get(f"{_GROUPS[kind]}/{item}")) is not None
    )
    register = f"<pre>{html.escape(data['family_register'] or '')}</pre>" if kind == "4" else ""
    keywords = " ".join(f"{name}={value}" for name, value in facts.items())
    text = (
        f'<html lang="ja"><head><meta charset="utf-8"><title>{TITLES[kind]}</title>'
        f'<meta name="keywords" content="{html.escape(keywords)}"><style>{_STYLE}</style></head><body>'
        f'<p class="sample">見本　架空のデータ</p><h1>{TITLES[kind]}</h1>'
        f"<table>{rows}</table>{register}<p>虚構県架空市長　見本太郎　　発行番号 {number}</p></body></html>"
    )
    return bytes(HTML(string=text, url_fetcher=_nothing).write_pdf())


def _nothing(url: str, *_: object, **__: object) -> dict[str, object]:
    """Nothing is fetched from anywhere."""
    raise ValueError("no address is opened")
