"""Files: declarative layouts for CSV and fixed length, XML batches; one bad record is one error, and the rest is read on."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from message_formats import batch, layouts, party_codes, reading, records, samples
from message_formats.catalogue import Item
from message_formats.errors import FormatError
from message_formats.layouts import Layout
from message_formats.message import Message

Items = Mapping[str, str | None]


def kept(items: Items) -> dict[str, str]:
    return {key: value for key, value in items.items() if value is not None}


def written(layout: Layout, *items: Items) -> bytes:
    out = io.BytesIO()
    assert records.write_records(items, layout, out) == len(items)
    return out.getvalue()


def first_error(data: bytes, layout: Layout) -> FormatError:
    found = [result for _, result in records.read_messages(io.BytesIO(data), layout)]
    return next(result for result in found if isinstance(result, FormatError))


@pytest.mark.parametrize("name", layouts.names())
def test_packaged_layouts_go_round(name: str) -> None:
    layout = layouts.get(name)
    type_name = layout.message_type.name
    some = [samples.items(type_name, serial) for serial in (1, 2, 3)]
    if type_name == "identity-information-update":
        some[1] |= {"birth_date": "19450000", "birth_date@text": "昭和20年 月日不詳", "name_kanji": '見本髙,"例"', "name_gaiji_count": "1"}
    if type_name == "destination-information":
        second = {
            key.replace("person[1]", "person[2]"): value for key, value in samples.items(type_name, 9).items() if key.startswith("person")
        }
        some[1] |= {**second, "person_count": "2"}
    results = [result for _, result in records.read_messages(io.BytesIO(written(layout, *some)), layout)]
    assert [kept(result.items) for result in results if isinstance(result, Message)] == [kept(items) for items in some]


def leaves(items: Iterable[Item], prefix: str = "") -> Iterator[str]:
    for item in items:
        if item.items:
            yield from leaves(item.items, f"{prefix}{item.id}/")
        else:
            yield prefix + item.id


@pytest.mark.parametrize("name", layouts.names())
def test_packaged_layouts_have_every_item_in_printed_order(name: str) -> None:
    layout = layouts.get(name)
    fields = [
        field.item for field in (*layout.fields, *(layout.repeat.fields if layout.repeat else ())) if not field.item.endswith("@text")
    ]
    flat = [inner for item in layout.message_type.items for inner in (item.items or (item,))]
    if layout.repeat is None and any(item.items for item in layout.message_type.items):
        assert fields == list(leaves(layout.message_type.items))  # groups within groups, by their paths
        return
    assert fields == [item.id for item in flat]
    assert [item.number for item in flat] == list(range(1, len(flat) + 1))


FIXED = """
layout: t
type: identity-update-result
form: fixed
encoding: {encoding}
separator: {separator}
fields:
  - {{item: request_control_number, length: 20, unit: {unit}}}
  - {{item: outcome, length: 8, unit: {unit}}}
  - {{item: error_code, length: 4, unit: {unit}}}
  - {{length: 2, unit: {unit}}}
"""


def result_layout(encoding: str = "Windows-31J", separator: str = "none", unit: str = "bytes") -> Layout:
    return layouts.parse(FIXED.format(encoding=encoding, separator=separator, unit=unit))


@pytest.mark.parametrize("separator", ["none", "lf", "crlf"])
@pytest.mark.parametrize("encoding", ["UTF-8", "Windows-31J", "EUC-JP"])
def test_records_in_bytes_with_and_without_separator(encoding: str, separator: str) -> None:
    layout = result_layout(encoding, separator)
    items = [samples.result_items(serial) for serial in range(1, 4)]
    data = written(layout, *items)
    assert len(data) == 3 * (34 + len(layout.separator))
    assert [kept(result.items) for _, result in records.read_messages(io.BytesIO(data), layout) if isinstance(result, Message)] == [
        kept(item) for item in items
    ]


@pytest.mark.parametrize(
    ("encoding", "unit"), [("UTF-16", "utf16-units"), ("UTF-16", "bytes"), ("UTF-8", "utf16-units"), ("Shift_JIS", "characters")]
)
def test_units_of_length_per_field(encoding: str, unit: str) -> None:
    text = f"""
layout: t
type: tax-certificate-change
form: fixed
encoding: {encoding}
separator: lf
fields:
  - {{item: atena_number, length: 15, unit: characters}}
  - {{item: tax_certificate_data/fiscal_year, length: 8, unit: {unit}}}
  - {{item: tax_certificate_data/income, length: 24, unit: {unit}, align: right, pad: '0'}}
  - {{item: tax_certificate_data/deductions, length: 12, align: right, pad: '0'}}
  - {{item: tax_certificate_data/tax, length: 12, align: right, pad: '0'}}
  - {{item: tax_certificate_data/dependants, length: 2, align: right, pad: '0'}}
  - {{item: tax_certificate_data/decided_on, length: 8}}
"""
    if encoding == "UTF-16" and unit == "bytes":
        text = text.replace("lf", "crlf")
    layout = layouts.parse(text)
    items = {**samples.items("tax-certificate-change"), "tax_certificate_data/deductions": "0"}
    results = [result for _, result in records.read_messages(io.BytesIO(written(layout, items, items)), layout)]
    assert [kept(result.items) for result in results if isinstance(result, Message)] == [kept(items)] * 2


def test_lengths_in_utf16_units_count_surrogates() -> None:
    layout = layouts.parse(
        "{layout: t, type: code-acquisition-request, form: fixed, encoding: UTF-8, separator: lf,"
        " fields: [{item: integrated_atena_number, length: 20}, {length: 4, unit: utf16-units, pad: '𠮷'}]}"
    )
    data = written(layout, samples.items("code-acquisition-request"))
    assert data.decode().rstrip("\n").endswith("𠮷𠮷")
    assert "𠮷𠮷𠮷" not in data.decode()
    assert len(list(records.read_messages(io.BytesIO(data), layout))) == 1


@pytest.mark.parametrize(
    ("change", "code", "place"),
    [
        (lambda data: data.replace(b"accepted", b"accepte\x81"), "encoding", "record 2 field outcome"),
        (lambda data: data.replace(b"accepted", b"acceptex"), "code-unknown", "record 2 field outcome"),
        (lambda data: data[:-1], "layout", "record 3 field (filler)"),
        (lambda data: data.replace(b"SAMPLE0000000002", b"SAMPLE 000000002"), "value-pattern", "record 2 field request_control_number"),
    ],
)
def test_one_bad_record_is_one_error(change: object, code: str, place: str) -> None:
    layout = layouts.parse(
        FIXED.format(encoding="Windows-31J", separator="none", unit="bytes").replace("{length", "{header: (filler), length")
    )
    data = written(layout, *(samples.result_items(serial) for serial in (1, 2, 3)))
    second = data[34:68]
    changed = change(data) if code == "layout" else data.replace(second, change(second))  # type: ignore[operator]
    results = [result for _, result in records.read_messages(io.BytesIO(changed), layout)]
    errors = [result for result in results if isinstance(result, FormatError)]
    assert [(error.code, error.place) for error in errors] == [(code, place)]
    assert len(results) == 3


CSV = layouts.get("identity-information-update.csv")


def test_csv_errors() -> None:
    good = written(CSV, samples.identity_items(1), samples.identity_items(2))
    header, first, _, _ = good.decode().split("\r\n")
    cases = [
        ((header + "\r\n" + first + ",x\r\n").encode(), "layout", "record 1"),
        ((header + "\r\n" + first.replace("992011", "992010") + "\r\n").encode(), "check-digit", "record 1 field municipality_code"),
    ]
    for data, code, place in cases:
        error = first_error(data, CSV)
        assert (error.code, error.place) == (code, place)
    for data, code, place in [
        ((first + "\r\n").encode(), "layout", "record 0"),
        ((header + '\r\n"x').encode(), "layout", "line 2"),
        ((header + "\r\n").encode() + b"\x81\r\n", "encoding", "after line 0"),
        (b"\xff\xfe", "encoding", "byte 0"),
        ((header + "\r\n").encode() + b"x" * (records.LINE_LIMIT + 1), "too-large", "line 2"),
    ]:
        with pytest.raises(FormatError) as caught:
            list(records.read_messages(io.BytesIO(data), CSV))
        assert (caught.value.code, caught.value.place) == (code, place)


def test_a_field_too_long_or_unencodable_is_refused_when_writing() -> None:
    fixed = result_layout()
    with pytest.raises(FormatError) as caught:
        written(fixed, samples.result_items(1, request_control_number="X" * 21))
    assert (caught.value.code, caught.value.place) == ("value-length", "record 1 field request_control_number")
    with pytest.raises(FormatError) as caught:
        written(fixed, samples.result_items(1, request_control_number="X "))
    assert caught.value.code == "layout"
    with pytest.raises(FormatError) as caught:
        written(fixed, {**samples.result_items(1), "other": "x"})
    assert caught.value.code == "layout"
    narrow = layouts.parse(
        "{layout: t, type: identity-update-result, form: csv, encoding: Shift_JIS,"
        " fields: [{item: request_control_number}, {item: outcome}, {item: error_code}]}"
    )
    with pytest.raises(FormatError) as caught:
        written(narrow, samples.result_items(1, request_control_number="髙"))
    assert caught.value.code == "lossy"


def test_a_character_without_bytes_is_refused_before_it_is_measured() -> None:
    with pytest.raises(FormatError) as caught:
        written(result_layout(), samples.result_items(1, request_control_number="髙\U00020bb7"))
    assert (caught.value.code, caught.value.place) == ("lossy", "record 1 field request_control_number")


OWN_CODES = """
{party: nobody, source: test, tables: {update_outcome: {ACCEPTED: '01', REJECTED: '02'}, difference_kind: {MISSING: A}}}
"""
CODED = (
    "{layout: t, type: identity-update-result, form: csv, encoding: UTF-8, party: nobody,"
    " fields: [{item: request_control_number}, {item: outcome}, {item: error_code}]}"
)


def test_a_file_holds_the_codes_of_its_party() -> None:
    layout = layouts.parse(CODED, [party_codes.parse(OWN_CODES)])
    [(_, read)] = records.read_messages(io.BytesIO(b"A,01,\r\n"), layout)
    assert isinstance(read, Message)
    assert read.items["outcome"] == "accepted"
    assert written(layout, kept(read.items)) == b"A,01,\r\n"
    error = first_error(b"A,accepted,\r\n", layout)
    assert (error.code, error.place, error.rule) == ("code-unknown", "record 1 field outcome", "code-table:update_outcome")
    assert "nobody" in error.safe_detail
    assert "accepted" not in str(error)
    with pytest.raises(FormatError, match="no code mapping"):
        layouts.parse(CODED)


@pytest.mark.parametrize(
    "broken",
    [
        "[]",
        "{layout: t}",
        "{layout: t, type: identity-update-result, form: csv, encoding: UTF-8, fields: [], colour: red}",
        "{layout: t, type: identity-update-result, form: csv, encoding: UTF-8, fields: [{item: outcome}]}",
        "{layout: t, type: identity-update-result, form: csv, encoding: UTF-8, fields: [{item: nickname}]}",
        "{layout: t, type: identity-update-result, form: csv, encoding: UTF-8, fields: [{item: outcome, colour: red}]}",
        FIXED.format(encoding="UTF-16", separator="lf", unit="bytes"),
        FIXED.format(encoding="UTF-8", separator="none", unit="characters"),
        FIXED.format(encoding="UTF-8", separator="lf", unit="ells"),
        FIXED.format(encoding="UTF-8", separator="lf", unit="bytes").replace("fixed", "tabular"),
    ],
)
def test_broken_layouts_are_refused(broken: str) -> None:
    with pytest.raises(FormatError) as caught:
        layouts.parse(broken)
    assert caught.value.code == "layout"


def batch_of(*parts: bytes) -> io.BytesIO:
    return io.BytesIO(batch.OPEN + b"\n".join(parts) + batch.CLOSE)


GOOD = [samples.message("identity-information-update", serial).to_bytes() for serial in range(1, 200)]


def test_a_batch_is_read_record_by_record_and_one_bad_record_does_not_stop_it() -> None:
    parts = [*GOOD[:100], GOOD[0].replace(b"<sex>2</sex>", b"<sex>7</sex>"), b"<Other/>", *GOOD[100:]]
    results = list(batch.read(batch_of(*parts)))
    assert [number for number, _ in results] == list(range(1, 202))
    errors = {number: result for number, result in results if isinstance(result, FormatError)}
    assert {number: error.code for number, error in errors.items()} == {101: "code-unknown", 102: "unknown-type"}
    assert errors[101].place == "record 101 IdentityInformationUpdate/sex"
    keys = [result.party_key for _, result in results if isinstance(result, Message)]
    assert keys == [f"SAMPLE{serial:010d}" for serial in range(1, 200)]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "not-xml"),
        (b"<a/>", "unknown-type"),
        (batch.OPEN + GOOD[0], "not-xml"),
        (batch.OPEN + GOOD[0] + b"<!-- x -->" + batch.CLOSE, "comment-forbidden"),
        (batch.OPEN + b" " * 65_510 + b"<?a b?>" + batch.CLOSE, "instruction-forbidden"),
        (b"<!DOCTYPE a>" + batch.OPEN + batch.CLOSE, "dtd-forbidden"),
        (b'<?xml version="1.0" encoding="EUC-JP"?>' + batch.OPEN + batch.CLOSE, "encoding"),
        (batch.OPEN + b"<a>" + b"x" * 9_000_000 + b"</a>" + batch.CLOSE, "too-large"),
        (b"<a>" * 1000, "unknown-type"),
    ],
)
def test_files_that_cannot_be_read_on(data: bytes, code: str) -> None:
    with pytest.raises(FormatError) as caught:
        list(batch.read(io.BytesIO(data)))
    assert caught.value.code == code


def scan(data: bytes, cut: int) -> None:
    scanner = batch._Scanner()
    for start in range(0, len(data), cut):
        scanner.feed(data[start : start + cut])


@given(st.integers(1, 40))
def test_forbidden_constructs_are_seen_wherever_a_chunk_cuts_them(cut: int) -> None:
    for text, code in [(b"ab<!-- x", "comment-forbidden"), (b"ab<?x", "instruction-forbidden"), (b"<a><!DOCTYPE", "dtd-forbidden")]:
        with pytest.raises(FormatError) as caught:
            scan(text, cut)
        assert caught.value.code == code
    scan(b"<a><![CDATA[<!-- <?x ]] ]]><b/><![CDATA[]]></a>", cut)


def test_text_between_records_is_refused_with_the_record_before_it() -> None:
    results = list(batch.read(batch_of(GOOD[0] + b"Taro", GOOD[1])))
    assert [type(result).__name__ for _, result in results] == ["FormatError", "Message"]


def test_reading_and_batch_agree() -> None:
    assert [result.canonical() for _, result in batch.read(batch_of(*GOOD[:3])) if isinstance(result, Message)] == [
        reading.read(data).canonical() for data in GOOD[:3]
    ]
