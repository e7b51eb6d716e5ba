"""Messages that must be refused, with the exact error: for tests of ours and of those who write senders.

Made from the valid sample of each type by one change each; what the change is follows from the catalogue, so a new type has its invalid
samples at once. Rules have their own, below.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lxml import etree

from message_formats import catalogue, samples, writing
from message_formats.catalogue import Item, MessageType


@dataclass(frozen=True, slots=True, kw_only=True)
class InvalidSample:
    """A message and the error that it must give (the beginning of ``rule`` is enough). ``what`` and ``what_ja``: what is wrong with it."""

    name: str
    what: str
    what_ja: str
    data: bytes
    code: str
    place: str
    rule: str


def of(name: str) -> tuple[InvalidSample, ...]:
    """All invalid samples of a type: at least three."""
    message_type = catalogue.get(name)
    return (*_structural(message_type), *_values(message_type), *_rules(message_type))


def _root(name: str) -> etree._Element:
    return writing.element(name, samples.items(name))


Said = tuple[str, str]
"""One sentence in English and Japanese."""


def _sample(name: str, said: Said, root: etree._Element, error: tuple[str, str, str]) -> InvalidSample:
    return _made(name, said, etree.tostring(root, encoding="UTF-8"), error)


def _made(name: str, said: Said, data: bytes, error: tuple[str, str, str]) -> InvalidSample:
    return InvalidSample(name=name, what=said[0], what_ja=said[1], data=data, code=error[0], place=error[1], rule=error[2])


def _structural(message_type: MessageType) -> Iterator[InvalidSample]:
    name, top = message_type.name, f"/{message_type.root}"
    root = _root(name)
    root.append(etree.SubElement(root, f"{{{message_type.schema}}}unknown_item"))
    yield _sample(
        name, ("an item that the type does not have", "種別にない項目"), root, ("item-unexpected", f"{top}/*[{len(root)}]", "xsd:content")
    )
    required = next((item for item in message_type.items if item.required), None)
    if required is not None:
        root = _root(name)
        for child in root.findall(f"{{{message_type.schema}}}{required.id}"):
            root.remove(child)
        yield _sample(
            name,
            (f"{required.id} is missing", f"必須項目 {required.id}（{required.name_ja}）の欠落"),
            root,
            ("item-missing", f"{top}/{required.id}", "xsd:content"),
        )
    root = _root(name)
    root.set("note", "x")
    yield _sample(name, ("an attribute at the root", "ルート要素の属性"), root, ("attribute-unexpected", top, "xsd:"))
    root = _root(name)
    root.text = "見本"
    yield _sample(name, ("text between the items", "項目の間の文字列"), root, ("item-unexpected", top, "xsd:"))
    other = _root(name)
    data = etree.tostring(other, encoding="UTF-8").replace(message_type.schema.encode(), message_type.schema.encode() + b"0")
    yield _made(name, ("a version that does not exist", "存在しない版"), data, ("unknown-type", "/*", "catalogue"))


_WRONG = {"resident-record-code", "individual-number", "municipality-code", "corporate-number"}


def _values(message_type: MessageType) -> Iterator[InvalidSample]:
    """One wrong value for each kind of value that the type has at its top."""
    seen: set[str] = set()
    for item in message_type.items:
        key = item.id + ("[1]" if item.repeats > 1 else "")
        values = samples.items(message_type.name)
        if item.items or item.kind in seen or values.get(key) is None:
            continue
        seen.add(item.kind)
        place = f"/{message_type.root}/{item.id}"
        for (en, ja), value, code, rule in _wrong_values(item, values[key] or ""):
            error_place = place if rule.startswith("xsd") else f"/{message_type.root}/{key}"
            yield _sample(
                message_type.name,
                (f"{item.id}: {en}", f"{item.id}（{item.name_ja}）：{ja}"),
                writing.element(message_type.name, {**values, key: value}),
                (code, error_place, rule),
            )


def _wrong_values(item: Item, good: str) -> Iterator[tuple[Said, str, str, str]]:
    if item.kind in _WRONG:
        place = 0 if item.kind == "corporate-number" else len(good) - 1
        wrong = str((int(good[place]) + 1) % 10 or 1)
        yield ("a wrong check digit", "検査数字の誤り"), good[:place] + wrong + good[place + 1 :], "check-digit", f"check-digit:{item.kind}"
    if item.kind == "code":
        yield ("a code that is not in the table", "コード表にない値"), "zz", "code-unknown", f"code-table:{item.parameter}"
    if item.kind in ("date", "timestamp"):
        yield ("a day that no calendar has", "暦にない日"), good[:4] + "0231" + good[8:], "date-invalid", "date-calendar"
    if item.kind == "unknown-date":
        yield ("unknown, and its wording is missing", "不詳で、不詳表記がない"), "19800200", "date-text", "date-unknown"
    if item.kind in ("text", "prose", "kana"):
        yield ("longer than allowed", "桁あふれ"), "あ" * (int(item.parameter) + 1), "value-length", "xsd:cvc-maxlength"
    if item.kind == "token":
        yield ("with a space", "空白を含む"), "A B", "value-pattern", "xsd:cvc-pattern"
    if item.kind in ("flag", "integer", "digits", "postal-code", "atena-number", "integrated-atena-number", "residence-card-number"):
        yield ("not of its form", "形式の誤り"), "x" * len(good), "value-pattern", "xsd:cvc-pattern"
    if item.kind in ("certificate-serial", "linkage-code", "processing-number", "card-identifier"):
        yield ("not of its form", "形式の誤り"), "０", "value-pattern", "xsd:cvc-pattern"


_Changed = tuple[str, str, dict[str, str | None], str, str]
_NOBODY: dict[str, str | None] = {"differences[1]/resident_record_code": None, "differences[1]/atena_number": None}
_RULES: tuple[_Changed, ...] = (
    # type, rule, changed items, code, place below the root
    ("certificate-data-change", "certificate-data-something", {"resident_record_copy_data/": None, "seal_certificate_data/": None},
     "item-missing", "resident_record_copy_data"),
    ("card-identifier-change", "card-one-identifier", {"identification_number": None, "certificate_serial_number": None, "pin": None},
     "item-missing", "identification_number"),
    ("card-identifier-change", "card-pin-with-identification", {"identification_number": None}, "item-unexpected", "pin"),
    ("certificate-request", "certificate-one-key", {"certificate_serial_number": None}, "item-missing", "certificate_serial_number"),
    ("certificate-request", "certificate-one-key", {"identification_number": "SAMPLE-CARD"}, "item-unexpected", "identification_number"),
    ("certificate-data", "certificate-one-key", {"certificate_serial_number": None}, "item-missing", "certificate_serial_number"),
    ("identity-confirmation-request", "confirmation-code-or-four", {"resident_record_code": None, "sex": None}, "item-missing", "sex"),
    ("identity-confirmation-result", "confirmation-information-with-match", {"match": "0"}, "item-unexpected", "identity_information"),
    ("identity-search-request", "search-two-items", {"address": None, "birth_date": None}, "item-missing", "address"),
    ("identity-search-request", "search-two-items", {"name": None}, "item-missing", "name"),
    ("identity-inquiry-request", "inquiry-one-key", {"resident_record_code": None}, "item-missing", "resident_record_code"),
    ("identity-inquiry-request", "inquiry-one-key", {"sex": "1"}, "item-unexpected", "resident_record_code"),
    ("identity-inquiry-result", "inquiry-candidates-without-number",
     {f"identity_information[2]/{item}": value for item, value in (
         ("resident_record_code", samples.resident_record_code(2)), ("name", "見本　次郎"), ("birth_date", "19800229"), ("sex", "1"),
         ("address", "虚構県架空市見本町１丁目２番３号"))},
     "item-unexpected", "identity_information[1]/individual_number"),
    ("administrative-column-update", "column-something",
     {f"{column}/": None for column in ("national_health_insurance", "late_stage_elderly_medical", "long_term_care", "national_pension",
                                        "child_allowance", "electoral_register")}, "item-missing", "national_health_insurance"),
    ("resident-code-change-notice", "code-really-changes", {"former_resident_record_code": samples.resident_record_code(1)},
     "rule-violated", "former_resident_record_code"),
    ("residence-address-notice", "address-change-with-notification", {"address_notified": "0"}, "item-unexpected", "address_change"),
    ("resident-code-allocation", "allocation-once", {"resident_record_codes[2]": samples.resident_record_code(1)},
     "rule-violated", "resident_record_codes[2]"),
    ("resident-protection-mark", "protection-period", {"ends_on": "20250101"}, "rule-violated", "ends_on"),
    ("resident-protection-mark", "protection-period", {"state": "3", "ends_on": None}, "item-missing", "ends_on"),
    ("destination-information", "destination-lengths", {"destination_name_length": "99"}, "count-wrong", "destination_name_length"),
    ("destination-information", "destination-lengths", {"person[1]/address_length": "9"}, "count-wrong", "person[1]/address_length"),
    ("destination-information", "destination-gaiji-counts", {"destination_name_gaiji_count": "0"}, "count-wrong",
     "destination_name_gaiji_count"),
    ("destination-information", "destination-gaiji-counts", {"person[1]/gaiji_flag": "0"}, "flag-wrong", "person[1]/gaiji_flag"),
    ("destination-information", "destination-gaiji-counts", {"person[1]/gaiji_pattern": "02"}, "flag-wrong", "person[1]/gaiji_pattern"),
    ("destination-information", "destination-person-count", {"person_count": "2"}, "count-wrong", "person_count"),
    ("destination-information", "destination-substitutes", {"person[1]/substitute_name_positions": "9,3"}, "rule-violated",
     "person[1]/substitute_name_positions"),
    ("destination-information", "destination-substitutes", {"person[1]/substitute_character_result": "0"}, "flag-wrong",
     "person[1]/substitute_character_result"),
    ("destination-information", "destination-foreign-items", {"person[1]/article_30_45_category": None}, "item-unexpected",
     "person[1]/period_of_stay_expiry"),
    ("identity-information-update", "identity-gaiji-counts", {"name_gaiji_count": "0"}, "count-wrong", "name_gaiji_count"),
    ("identity-information-update", "identity-gaiji-flag", {"gaiji_flag": "0"}, "flag-wrong", "gaiji_flag"),
    ("identity-information-update", "identity-reason-items", {"notified_on": None}, "item-missing", "notified_on"),
    ("identity-information-update", "identity-reason-items", {"change_reason": "21"}, "item-unexpected", "previous_municipality_code"),
    ("identity-information-update", "identity-kana-normalised", {"name_kana_normalised": "みほんかずら"}, "rule-violated",
     "name_kana_normalised"),
    ("identity-information-update", "identity-dates", {"change_date": "20260400", "change_date@text": "令和8年4月 日不詳"},
     "date-invalid", "change_date"),
    ("identity-information-update", "identity-sequence", {"update_sequence_number": "0"}, "number-range", "update_sequence_number"),
    ("identity-update-result", "result-error-code", {"outcome": "rejected"}, "item-missing", "error_code"),
    ("reconciliation-result", "difference-names-somebody", _NOBODY, "item-missing", "differences[1]/resident_record_code"),
    ("core-cs-reconciliation-result", "difference-names-somebody", _NOBODY, "item-missing", "differences[1]/resident_record_code"),
    ("copy-reconciliation-result", "difference-names-somebody", _NOBODY, "item-missing", "differences[1]/resident_record_code"),
)  # fmt: skip


def _rules(message_type: MessageType) -> Iterator[InvalidSample]:
    for name, rule_id, changes, code, place in _RULES:
        if name == message_type.name:
            items = samples.items(name)
            for key, value in changes.items():
                if key.endswith("/"):
                    items = {known: kept for known, kept in items.items() if not known.startswith(key)}
                else:
                    items[key] = value
            yield _sample(
                name,
                (f"breaks {rule_id}", f"規則 {rule_id} に反する"),
                writing.element(name, items),
                (code, f"/{message_type.root}/{place}", rule_id),
            )
