"""XSD 1.0 written out of the catalogue: one schema for each type and one for the shared simple types.

The schemas are packaged (``xsd/``), so that parties and tools can have them as files; a test holds the files against this module.
Closed: no wildcards, no attributes but ``text`` on dates that may be unknown. Documentation in Japanese and English.
"""

from __future__ import annotations

from collections.abc import Iterable
from xml.sax.saxutils import escape, quoteattr

from message_formats.catalogue import Item, MessageType

TYPES_NAMESPACE = "urn:renkei:format:types:1"

# Line breaks, controls, direction marks, byte order mark; and selectors, which cannot stand first.
_CONTROLS = "&#9;&#10;&#13;&#x7F;-&#x9F;&#x200E;&#x200F;&#x202A;-&#x202E;&#x2066;-&#x2069;&#xFEFF;&#xFFF9;-&#xFFFB;"
_SELECTORS = "&#xFE00;-&#xFE0F;&#xE0100;-&#xE01EF;"

SIMPLE: dict[str, tuple[str, str, str, str]] = {
    # kind: (name of the XSD type, facets, documentation ja, documentation en)
    "text": (
        "Text",
        f'<xs:minLength value="1"/><xs:pattern value="([^{_CONTROLS}{_SELECTORS}][^{_CONTROLS}]*)?"/>',
        "文字列（改行・タブ・制御文字不可）。異体字セレクタは保持する",
        "Text without line breaks or tabs; variation selectors are kept",
    ),
    "prose": ("Prose", '<xs:minLength value="1"/>', "改行を含みうる文章", "Text that may have several lines"),
    "kana": (
        "Kana",
        '<xs:minLength value="1"/>'
        '<xs:pattern value="[&#x3041;-&#x3096;&#x3099;-&#x309E;&#x30A1;-&#x30FE;&#xFF66;-&#xFF9F;&#x3000; .\\-]*"/>',
        "ひらがな、カタカナ、空白、長音、中点",
        "Hiragana, katakana, spaces, prolonged sound mark, middle dot",
    ),
    "token": ("Token", '<xs:minLength value="1"/><xs:pattern value="[!-~]*"/>', "空白を含まないASCII文字列", "ASCII without spaces"),
    "digits": ("Digits", '<xs:minLength value="1"/><xs:pattern value="[0-9]*"/>', "数字列", "ASCII digits"),
    "integer": ("Integer", '<xs:pattern value="0|[1-9][0-9]*"/>', "先行ゼロのない非負整数", "Non-negative integer without leading zeros"),
    "flag": ("Flag", '<xs:pattern value="[01]"/>', "0又は1", "0 or 1"),
    "code": (
        "Code",
        '<xs:minLength value="1"/><xs:maxLength value="16"/><xs:pattern value="[0-9A-Za-z\\-]*"/>',
        "コード（値はコード表による）",
        "Code; its values are in the code table",
    ),
    "date": (
        "Date",
        '<xs:pattern value="[0-9]{4}(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])"/>',
        "暦上日 YYYYMMDD",
        "Calendar date YYYYMMDD",
    ),
    "unknown-date": (
        "UnknownDateValue",
        '<xs:pattern value="[0-9]{4}(0[0-9]|1[0-2])([012][0-9]|3[01])"/>',
        "YYYYMMDD。不詳の部分は0、その場合text属性に不詳表記。暦上日以外も許容",
        "YYYYMMDD; unknown parts are zeros, with the wording in the attribute text; dates outside the calendar are allowed",
    ),
    "timestamp": (
        "Timestamp",
        '<xs:pattern value="[0-9]{4}(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])([01][0-9]|2[0-3])[0-5][0-9][0-5][0-9][0-9]{3}"/>',
        "YYYYMMDDhhmmssSSS",
        "YYYYMMDDhhmmssSSS",
    ),
    "relationship": (
        "Relationship",
        f'<xs:minLength value="1"/><xs:pattern value="([^{_CONTROLS}{_SELECTORS}][^{_CONTROLS}]*)?"/>',
        "続柄。「の」で4世代まで",
        "Relationship to the head of household, up to four generations",
    ),
    "resident-record-code": (
        "ResidentRecordCode",
        '<xs:pattern value="[0-9]{11}"/>',
        "住民票コード（検査数字は別途検査）",
        "Resident record code",
    ),
    "individual-number": ("IndividualNumber", '<xs:pattern value="[0-9]{12}"/>', "個人番号（検査数字は別途検査）", "Individual Number"),
    "municipality-code": ("MunicipalityCode", '<xs:pattern value="[0-9]{6}"/>', "全国地方公共団体コード", "Municipality code"),
    "corporate-number": ("CorporateNumber", '<xs:pattern value="[1-9][0-9]{12}"/>', "法人番号", "Corporate number"),
    "postal-code": ("PostalCode", '<xs:pattern value="[0-9]{7}"/>', "郵便番号（ハイフンなし）", "Postal code without hyphen"),
    "atena-number": ("AtenaNumber", '<xs:pattern value="[0-9]{2,15}"/>', "宛名番号", "Atena number"),
    "household-number": ("HouseholdNumber", '<xs:pattern value="[0-9]{2,15}"/>', "世帯番号", "Household number"),
    "integrated-atena-number": (
        "IntegratedAtenaNumber",
        '<xs:pattern value="[0-9]{5,20}"/>',
        "団体内統合宛名番号",
        "Integrated atena number",
    ),
    "residence-card-number": (
        "ResidenceCardNumber",
        '<xs:pattern value="[A-Z]{2}[0-9]{8}[A-Z]{2}"/>',
        "在留カード等の番号",
        "Residence card number",
    ),
    "certificate-serial": (
        "CertificateSerial",
        '<xs:pattern value="[1-9][0-9]{0,48}"/>',
        "シリアル番号（十進）",
        "Certificate serial number, decimal",
    ),
    "linkage-code": ("LinkageCode", '<xs:pattern value="[0-9A-Za-z]{1,64}"/>', "符号", "Linkage code"),
    "processing-number": ("ProcessingNumber", '<xs:pattern value="[0-9A-Za-z]{1,64}"/>', "処理通番", "Processing number"),
    "card-identifier": ("CardIdentifier", '<xs:pattern value="[0-9A-Za-z\\-]{1,32}"/>', "カードの識別情報", "Card identifier"),
    "binary": ("Binary", '<xs:minLength value="1"/>', "base64符号化データ", "Data in base64"),
}

_WITH_LENGTH = {"text", "prose", "kana", "token", "integer", "relationship"}


def shared_types() -> str:
    """The schema of the shared simple types."""
    lines = [_head(TYPES_NAMESPACE, ""), _documented("共通のデータ型", "Shared simple types", 1)]
    for kind, (name, facets, ja, en) in SIMPLE.items():
        base = "xs:base64Binary" if kind == "binary" else "xs:string"
        lines.append(f'  <xs:simpleType name="{name}">')
        lines.append(_documented(ja, en, 2))
        lines.append(f'    <xs:restriction base="{base}">{facets}</xs:restriction>')
        lines.append("  </xs:simpleType>")
    lines += [
        '  <xs:complexType name="UnknownDate">',
        _documented("不詳がありうる年月日", "Date that may be unknown in part", 2),
        '    <xs:simpleContent><xs:extension base="t:UnknownDateValue">',
        '      <xs:attribute name="text"><xs:simpleType><xs:restriction base="t:Text"><xs:maxLength value="72"/></xs:restriction>'
        "</xs:simpleType></xs:attribute>",
        "    </xs:extension></xs:simpleContent>",
        "  </xs:complexType>",
        "</xs:schema>",
    ]
    return "\n".join(lines) + "\n"


def schema(message_type: MessageType) -> str:
    """The schema of one message type."""
    lines = [
        _head(message_type.schema, message_type.schema),
        f'  <xs:import namespace="{TYPES_NAMESPACE}" schemaLocation="types.xsd"/>',
        f'  <xs:element name="{message_type.root}">',
        _documented(message_type.name_ja, f"{message_type.name_en}. Source: {message_type.source}", 2),
        *_members(message_type.items, 2),
        "  </xs:element>",
        "</xs:schema>",
    ]
    return "\n".join(lines) + "\n"


def _head(target: str, own: str) -> str:
    own_prefix = f' xmlns="{own}"' if own else ""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:t="{TYPES_NAMESPACE}"{own_prefix}\n'
        f'           targetNamespace="{target}" elementFormDefault="qualified" version="1.0">'
    )


def _documented(ja: str, en: str, depth: int) -> str:
    pad = "  " * depth
    return (
        f'{pad}<xs:annotation><xs:documentation xml:lang="ja">{escape(ja)}</xs:documentation>'
        f'<xs:documentation xml:lang="en">{escape(en)}</xs:documentation></xs:annotation>'
    )


def _members(items: Iterable[Item], depth: int) -> list[str]:
    pad = "  " * depth
    lines = [f"{pad}<xs:complexType><xs:sequence>"]
    for item in items:
        lines += _element(item, depth + 1)
    lines.append(f"{pad}</xs:sequence></xs:complexType>")
    return lines


def _element(item: Item, depth: int) -> list[str]:
    pad = "  " * depth
    occurs = "" if item.required else ' minOccurs="0"'
    if item.repeats > 1:
        occurs += f' maxOccurs="{item.repeats}"'
    number = f"{item.number}. " if item.number else ""
    note = f" ({item.note})" if item.note else ""
    documented = _documented(f"{number}{item.name_ja}", f"{number}{item.name_en}{note}", depth + 1)
    if item.items:
        return [f"{pad}<xs:element name={quoteattr(item.id)}{occurs}>", documented, *_members(item.items, depth + 1), f"{pad}</xs:element>"]
    if item.kind == "unknown-date":
        return [f'{pad}<xs:element name={quoteattr(item.id)} type="t:UnknownDate"{occurs}>', documented, f"{pad}</xs:element>"]
    name = SIMPLE[item.kind][0]
    facet = _facet(item)
    if not facet:
        return [f'{pad}<xs:element name={quoteattr(item.id)} type="t:{name}"{occurs}>', documented, f"{pad}</xs:element>"]
    return [
        f"{pad}<xs:element name={quoteattr(item.id)}{occurs}>",
        documented,
        f'{pad}  <xs:simpleType><xs:restriction base="t:{name}">{facet}</xs:restriction></xs:simpleType>',
        f"{pad}</xs:element>",
    ]


def _facet(item: Item) -> str:
    if item.kind in _WITH_LENGTH:
        return f'<xs:maxLength value="{int(item.parameter)}"/>'
    if item.kind == "digits":
        return f'<xs:length value="{int(item.parameter)}"/>'
    if item.kind == "binary":
        return f'<xs:maxLength value="{int(item.parameter)}"/>'
    return ""
