"""Reading: every way in which bytes can be wrong has its own code, place and rule, and no value ever comes back."""

from __future__ import annotations

import threading

import pytest
from lxml import etree

from message_formats import catalogue, reading, samples, schemas, writing
from message_formats.errors import CODES, FormatError
from tests.formats import generated

NAME = "identity-information-update"
GOOD = samples.message(NAME).to_bytes()


def refused(data: bytes, **options: object) -> FormatError:
    with pytest.raises(FormatError) as caught:
        reading.read(data, **options)  # type: ignore[arg-type]
    assert caught.value.code in CODES
    return caught.value


def test_a_valid_message_is_typed_and_goes_round() -> None:
    message = reading.read(GOOD, expected=NAME)
    assert message.type == NAME
    assert message.version == 1
    assert message.party_key == "SAMPLE0000000001"
    assert message.identifiers == (
        ("resident-record-code", samples.resident_record_code(1)),
        ("individual-number", samples.individual_number(1)),
    )
    assert message.items["name_kanji"] == "見本葛\U000e0102　例子"
    assert message.items["former_resident_record_code"] is None
    again = reading.read(message.to_bytes())
    assert again.items == message.items
    assert again.canonical() == message.canonical()
    assert writing.write(NAME, message.items).canonical() == message.canonical()


@pytest.mark.invariant("I5")
def test_a_message_prints_without_content() -> None:
    assert repr(reading.read(GOOD)) == "Message('identity-information-update', version=1, items=36)"


@pytest.mark.parametrize("encode", [lambda text: text.encode("utf-16"), lambda text: b"\xef\xbb\xbf" + text.encode(), str.encode])
def test_utf_8_and_utf_16_with_a_byte_order_mark_are_read(encode: object) -> None:
    assert reading.read(encode(GOOD.decode())).canonical() == reading.read(GOOD).canonical()  # type: ignore[operator]


def test_declarations_must_agree() -> None:
    assert reading.read(b'<?xml version="1.0" encoding="utf-8"?>' + GOOD).party_key
    utf16 = ('<?xml version="1.0" encoding="UTF-16"?>' + GOOD.decode()).encode("utf-16")
    assert reading.read(utf16).party_key
    assert refused(b'<?xml version="1.0" encoding="Shift_JIS"?>' + GOOD).code == "encoding"
    assert refused(('<?xml version="1.0" encoding="UTF-8"?>' + GOOD.decode()).encode("utf-16")).code == "encoding"


@pytest.mark.invariant("I10")
@pytest.mark.parametrize("uri", ["relative", "urn:%%", "http://[x", "1:x", "&#114;elative"])
def test_a_namespace_without_a_canonical_form_is_refused_at_the_door(uri: str) -> None:
    end = GOOD.index(b">")
    error = refused(GOOD[:end] + f" xmlns:odd='{uri}'".encode() + GOOD[end:])
    assert error.code in {"namespace-forbidden", "not-xml"}  # the parser itself refuses some
    assert error.place.startswith("line 1")


def test_other_namespaces_and_texts_about_them_are_read() -> None:
    end = GOOD.index(b">")
    for more in (" xmlns:odd='&#117;rn:odd'", " xmlns:odd = 'http://odd.example/a#b' xmlns:more='urn:a:b-c.d'"):
        assert reading.read(GOOD[:end] + more.encode() + GOOD[end:]).canonical()
    text = GOOD.replace("例子".encode(), b"xmlns=a")
    assert reading.parse(text) is not None


def test_cdata_is_text() -> None:
    data = GOOD.replace("見本葛".encode(), "<![CDATA[見本葛]]>".encode())
    assert reading.read(data).items["name_kanji"] == "見本葛\U000e0102　例子"


S = b"<sex>2</sex>"
XSI = b'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
XSI_TYPE = b"<sex " + XSI + b' xmlns:t="urn:renkei:format:types:1" xsi:type="t:Code">2</sex>'
XSI_NIL = b"<sex " + XSI + b' xsi:nil="false">2</sex>'
XSI_LOCATION = b':1" ' + XSI + b' xsi:schemaLocation="urn:x file:///etc/passwd">'


@pytest.mark.invariant("I10")
@pytest.mark.parametrize(
    ("data", "code", "place", "rule"),
    [
        (GOOD[:-5], "not-xml", "line 1 column *", "xml"),
        (b"", "not-xml", "*", "xml"),
        (GOOD.replace("見本".encode(), "見本".encode("cp932")), "encoding", "line 1", "encoding"),
        (b"<!DOCTYPE a [<!ENTITY b 'c'>]>" + GOOD, "dtd-forbidden", "line 1", "xml"),
        (GOOD.replace(S, b"<!-- x --><sex>2</sex>"), "comment-forbidden", "line 1", "xml"),
        (GOOD.replace(S, b"\n<sex><?a?>2</sex>"), "instruction-forbidden", "line 2", "xml"),
        (GOOD.replace(S, b"<sex>&who;</sex>"), "not-xml", "line 1 column *", "xml"),
        (GOOD.replace(b':1"', b':9"'), "unknown-type", "/*", "catalogue"),
        (b"<Taro/>", "unknown-type", "/*", "catalogue"),
        (GOOD.replace(S, b""), "item-missing", "/IdentityInformationUpdate/sex", "xsd:content"),
        (GOOD.replace(S, b"<sex/>"), "value-empty", "/IdentityInformationUpdate/sex", "xsd:*"),
        (GOOD.replace(S, S + S), "item-unexpected", "/IdentityInformationUpdate/sex[2]", "xsd:content"),
        (GOOD.replace(S, b"<n123456789018/>" + S), "item-unexpected", "/IdentityInformationUpdate/*[7]", "xsd:content"),
        (GOOD.replace(S, S + b"Taro"), "item-unexpected", "/IdentityInformationUpdate", "xsd:*"),
        (GOOD.replace(S, b"<sex Taro='1'>2</sex>"), "attribute-unexpected", "/IdentityInformationUpdate/sex", "xsd:*"),
        (GOOD.replace(S, b"<sex><sex>2</sex></sex>"), "item-unexpected", "/IdentityInformationUpdate/sex", "xsd:*"),
        (GOOD.replace(S, b"<sex>8</sex>"), "code-unknown", "/IdentityInformationUpdate/sex", "code-table:sex"),
        (GOOD.replace(b"<timestamp>2026", b"<timestamp>20X6"), "value-pattern", "/IdentityInformationUpdate/timestamp", "xsd:*"),
        (
            GOOD.replace(b"<timestamp>20260402", b"<timestamp>20260231"),
            "date-invalid",
            "/IdentityInformationUpdate/timestamp",
            "date-calendar",
        ),
        (
            GOOD.replace("世帯主".encode(), "孫".encode()),
            "code-unknown",
            "/IdentityInformationUpdate/relationship",
            "code-table:relationship",
        ),
        (GOOD.replace("見本町".encode(), "見本町".encode() * 100), "value-length", "/IdentityInformationUpdate/address", "xsd:*"),
        (GOOD.replace(S, XSI_TYPE), "attribute-unexpected", "/IdentityInformationUpdate/sex", "xsd:*"),
        (GOOD.replace(S, XSI_NIL), "attribute-unexpected", "/IdentityInformationUpdate/sex", "xsd:*"),
        (GOOD.replace(b':1">', XSI_LOCATION), "attribute-unexpected", "/IdentityInformationUpdate", "xsd:*"),
    ],
)
def test_bad_bytes(data: bytes, code: str, place: str, rule: str) -> None:
    error = refused(data)
    assert error.code == code
    assert error.place == place or (place.endswith("*") and error.place.startswith(place[:-1]))
    assert error.rule == rule or (rule.endswith("*") and error.rule.startswith(rule[:-1]))
    assert "Taro" not in str(error)
    assert "123456789018" not in str(error)


@pytest.mark.parametrize(
    ("changes", "code", "item", "rule"),
    [
        ({"individual_number": "123456789017"}, "check-digit", "individual_number", "check-digit:individual-number"),
        ({"resident_record_code": "12345678904"}, "check-digit", "resident_record_code", "check-digit:resident-record-code"),
        ({"municipality_code": "999999"}, "check-digit", "municipality_code", "check-digit:municipality-code"),
        ({"name_gaiji_count": "0"}, "count-wrong", "name_gaiji_count", "identity-gaiji-counts"),
        ({"previous_address": None, "change_reason": "16"}, "item-unexpected", "previous_address_gaiji_count", "identity-gaiji-counts"),
        ({"previous_address_gaiji_count": None}, "item-missing", "previous_address_gaiji_count", "identity-gaiji-counts"),
        ({"gaiji_flag": "0"}, "flag-wrong", "gaiji_flag", "identity-gaiji-flag"),
        ({"notified_on": None}, "item-missing", "notified_on", "identity-reason-items"),
        ({"change_reason": "21"}, "item-unexpected", "previous_municipality_code", "identity-reason-items"),
        ({"change_reason": "99"}, "code-unknown", "change_reason", "code-table:change_reason"),
        ({"name_kana_normalised": "みほんかずら"}, "rule-violated", "name_kana_normalised", "identity-kana-normalised"),
        ({"change_date": "20260400", "change_date@text": "令和8年4月 日不詳"}, "date-invalid", "change_date", "identity-dates"),
        ({"birth_date": "19800200"}, "date-text", "birth_date", "date-unknown"),
        ({"birth_date": "19800200", "birth_date@text": "昭和55年頃"}, "date-text", "birth_date", "date-unknown"),
        ({"birth_date": "19801301"}, "value-pattern", "birth_date", "xsd:cvc-pattern-valid"),
        ({"update_sequence_number": "0"}, "number-range", "update_sequence_number", "identity-sequence"),
        ({"abnormal_update_sequence_number": "0"}, "number-range", "abnormal_update_sequence_number", "identity-sequence"),
    ],
)
def test_broken_rules(changes: dict[str, str | None], code: str, item: str, rule: str) -> None:
    with pytest.raises(FormatError) as caught:
        writing.write(NAME, samples.identity_items(1, **changes))
    assert (caught.value.code, caught.value.place, caught.value.rule) == (code, f"/IdentityInformationUpdate/{item}", rule)
    for value in changes.values():
        assert value is None or len(value) < 5 or value not in str(caught.value)


def test_birth_dates_may_be_unknown_or_of_no_calendar() -> None:
    for value, text in [("19810229", None), ("19800200", "昭和55年2月 日不詳"), ("00000000", "年月日不詳")]:
        message = writing.write(NAME, samples.identity_items(1, birth_date=value, **({"birth_date@text": text} if text else {})))
        date = message.date("birth_date")
        assert date is not None
        assert date.value == value
        assert date.text == text


def test_limits() -> None:
    assert refused(GOOD, limits=reading.Limits(size_bytes=100)).code == "too-large"
    assert refused(GOOD, limits=reading.Limits(elements=10)).code == "too-many-elements"
    deep = GOOD.replace(S, b"<a>" * 40 + b"</a>" * 40)
    assert refused(deep).code == "too-deep"
    many = GOOD.replace(S, b"<sex " + b" ".join(b'a%d=""' % n for n in range(50)) + b"/>")
    assert refused(many, limits=reading.Limits(attributes=49)).code == "too-many-attributes"


def test_another_type_than_announced() -> None:
    assert refused(GOOD, expected="identity-update-result").code == "unexpected-type"


def test_results_name_an_error_exactly_when_they_refuse() -> None:
    for changes, code in [
        ({"outcome": "rejected"}, "item-missing"),
        ({"error_code": "E101"}, "item-unexpected"),
        ({"outcome": "x"}, "code-unknown"),
    ]:
        with pytest.raises(FormatError) as caught:
            writing.write("identity-update-result", samples.result_items(1, **changes))
        assert caught.value.code == code
    assert writing.write("identity-update-result", samples.result_items(1, outcome="rejected", error_code="E101")).identifiers == ()


def test_unknown_items_are_refused_when_writing() -> None:
    with pytest.raises(FormatError) as caught:
        writing.write(NAME, {**samples.identity_items(), "nickname": "x"})
    assert caught.value.code == "item-unexpected"
    assert "nickname" not in str(caught.value)


def test_the_packaged_schemas_are_those_of_the_catalogue() -> None:
    files = [file for folder in ("xsd", "wsdl") for file in (generated.PACKAGE / folder).iterdir()]
    found = {f"{file.parent.name}/{file.name}": file.read_text(encoding="utf-8") for file in files}
    assert found == generated.wanted()


@pytest.mark.thorough
def test_the_pages_in_docs_are_those_of_the_catalogue() -> None:
    found = {file.name: file.read_text(encoding="utf-8") for file in generated.PAGES.glob("*.md")}
    assert found == generated.pages()


def test_threads_have_parsers_and_schemas_of_their_own() -> None:
    seen: list[object] = []

    def work() -> None:
        for _ in range(200):
            reading.read(GOOD)
        seen.append(schemas.compiled(NAME))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(schema) for schema in seen}) == 4


def test_catalogue_entries_of_the_backbone() -> None:
    entry = catalogue.get(NAME)
    assert entry.schema == "urn:renkei:format:identity-information-update:1"
    assert [item.number for item in entry.items] == list(range(1, 37))
    assert entry.bears_update_number
    assert entry.reply == "identity-update-result"
    with pytest.raises(FormatError) as caught:
        catalogue.get("identity-information-updat")
    assert "did you mean identity-information-update?" in str(caught.value)


def test_what_a_schema_imports_is_found_when_another_thread_has_taken_away_its_resolver(monkeypatch: pytest.MonkeyPatch) -> None:
    """lxml's resolver stands in a place of the whole process while it works; without it libxml2 looks where the file lies."""
    monkeypatch.setattr(schemas, "_local", threading.local())
    monkeypatch.setattr(schemas._Packaged, "resolve", lambda *_: None)
    assert schemas.compiled(NAME)
    with pytest.raises(FormatError):
        schemas.profile_validator("juki_cs")(etree.Element("nothing"))
