"""Attributes of CloudEvents: what is required, allowed and refused, the same from HTTP, AMQP and JSON."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import InputRefused
from gateway.intake.cloudevents import EventAttributes, from_amqp, from_http, from_json, safe_attributes
from message_formats import samples
from tests.intake.kit import refusal

GOOD = {"specversion": "1.0", "id": "5f0c7a52-9d0e-4c0a-8f5e-2f8d1c6a7b90", "source": "/register", "type": "identity-information-update"}


def http(values: dict[str, str]) -> EventAttributes:
    return from_http([(b"Host", b"gateway"), *((b"Ce-" + k.encode(), v.encode()) for k, v in values.items())])


def amqp(values: dict[str, Any]) -> EventAttributes:
    return from_amqp({"x-delivery-count": 1, **{f"cloudEvents:{k}": v for k, v in values.items()}})


def structured(values: dict[str, Any]) -> EventAttributes:
    return from_json(json.dumps({**values, "data": "<x/>"}).encode())[0]


DOORS = pytest.mark.parametrize("door", [http, amqp, structured])


@DOORS
def test_the_three_forms_give_the_same_attributes(door: Any) -> None:
    values = {**GOOD, "time": "2026-11-03T09:15:00.123456789+09:00", "operator": "staff-0042", "terminal": "T1", "corrects": "old-1"}
    assert door(values) == EventAttributes(
        id=GOOD["id"],
        source="/register",
        type="identity-information-update",
        time="2026-11-03T09:15:00.123456789+09:00",
        operator="staff-0042",
        terminal="T1",
        corrects="old-1",
    )


@pytest.mark.invariant("I10")
@DOORS
@pytest.mark.parametrize("name", ["specversion", "id", "source", "type"])
def test_a_missing_attribute_is_named(door: Any, name: str) -> None:
    with pytest.raises(InputRefused) as e:
        door({k: v for k, v in GOOD.items() if k != name})
    assert (e.value.code, e.value.place) == ("missing-attribute", f"attribute {name}")
    assert e.value.rule


@pytest.mark.invariant("I10")
@DOORS
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("specversion", "0.3"),
        ("id", ""),
        ("id", "with space"),
        ("id", "a" * 129),
        ("id", "a/b"),
        ("id", "架空"),
        ("source", ""),
        ("source", "a b"),
        ("type", "Identity"),
        ("time", "yesterday"),
        ("time", "2026-02-30T00:00:00Z"),
        ("time", "2026-11-03T09:15:00"),
        ("operator", "見本　花子"),
        ("operator", "x" * 33),
        ("terminal", "- / -"),
        ("corrects", "a b"),
        ("traceparent", "00-zz"),
    ],
)
def test_a_malformed_value_is_refused_without_being_repeated(door: Any, name: str, value: str) -> None:
    with pytest.raises(InputRefused) as e:
        door({**GOOD, name: value})
    assert (e.value.code, e.value.place) == ("invalid-attribute", f"attribute {name}")
    assert not value or value not in str(e.value)


@DOORS
@pytest.mark.parametrize("name", ["subject", "datacontenttype2", "residentname", "partitionkey"])
def test_an_attribute_that_is_not_known_is_refused(door: Any, name: str) -> None:
    with pytest.raises(InputRefused) as e:
        door({**GOOD, name: "x"})
    assert e.value.code == "unknown-attribute"


@pytest.mark.invariant("I5")
def test_a_name_that_is_none_is_not_repeated() -> None:
    with pytest.raises(InputRefused) as e:
        amqp({**GOOD, "見本花子": "x"})
    assert e.value.code == "unknown-attribute"
    assert "見本" not in f"{e.value} {e.value.place}"


@DOORS
def test_a_trace_context_is_allowed(door: Any) -> None:
    values = {**GOOD, "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "vendor=1"}
    assert door(values).id == GOOD["id"]


@pytest.mark.invariant("I5")
@DOORS
@pytest.mark.parametrize("name", ["id", "source", "operator", "terminal", "corrects", "tracestate", "dataschema"])
@pytest.mark.parametrize(
    "shape",
    ["{my}", "a-{my}-b", "{my:.4}-{my4}-{my8}", "{code}", "x.{code}.y"],
)
def test_a_residents_number_in_an_attribute_is_refused(door: Any, name: str, shape: str) -> None:
    my, code = samples.individual_number(7), samples.resident_record_code(7)
    value = shape.format(my=my, my4=my[4:8], my8=my[8:], code=code)
    with pytest.raises(InputRefused) as e:
        door({**GOOD, name: value})
    assert e.value.code == "personal-data-in-attribute"
    assert my not in str(e.value)
    assert code not in str(e.value)


@DOORS
def test_digits_that_are_no_number_and_random_ids_pass(door: Any) -> None:
    my = samples.individual_number(7)
    wrong = my[:11] + str((int(my[11]) + 1) % 10)
    assert door({**GOOD, "id": f"seq-{wrong}"}).id.endswith(wrong)
    assert door({**GOOD, "id": "9" + my}).id  # 13 digits in a row are another thing
    uuid_like = f"5f0c7a52-9d0e-4c0a-8f5e-{my}"
    assert door({**GOOD, "id": uuid_like}).id == uuid_like  # a random UUID ends in such digits now and then
    for composed in (f"{uuid_like}-identity-update", f"batch-7:{uuid_like}"):
        assert door({**GOOD, "id": composed}).id == composed
    for hidden in (f"{uuid_like}-{my}", f"{uuid_like}:{my[:4]}-{my[4:8]}-{my[8:]}", f"a{uuid_like}", uuid_like[9:]):
        with pytest.raises(InputRefused) as e:
            door({**GOOD, "id": hidden})
        assert e.value.code == "personal-data-in-attribute"


def test_http_values_are_percent_decoded_and_unquoted() -> None:
    assert http({**GOOD, "id": "%61bc"}).id == "abc"
    assert http({**GOOD, "id": '"a\\bc"'}).id == "abc"
    for broken in ("%zz", "%E5", '"abc', "%"):
        with pytest.raises(InputRefused) as e:
            http({**GOOD, "id": broken})
        assert e.value.code == "invalid-attribute"


def test_an_attribute_given_twice_is_refused() -> None:
    with pytest.raises(InputRefused) as e:
        from_http([(b"ce-id", b"a"), (b"CE-ID", b"b")])
    assert e.value.code == "duplicate-attribute"
    with pytest.raises(InputRefused) as e:
        from_amqp({"cloudEvents:id": "a", "cloudEvents_id": "b"})
    assert e.value.code == "duplicate-attribute"
    with pytest.raises(InputRefused) as e:
        from_json(b'{"id":"a","id":"b"}')
    assert e.value.code == "malformed-json"


def test_amqp_reads_both_prefixes_bytes_and_timestamps_and_nothing_else() -> None:
    values = {f"cloudEvents_{k}": v.encode() for k, v in GOOD.items()}
    values["cloudEvents_time"] = datetime(2026, 11, 3, 9, 15, tzinfo=UTC)  # type: ignore[assignment]
    values["their-own"] = b"x"
    assert from_amqp(values).time == "2026-11-03T09:15:00Z"
    for bad in (1, True, None, ["x"], b"\xff"):
        with pytest.raises(InputRefused) as e:
            from_amqp({**values, "cloudEvents_id": bad})
        assert e.value.code == "invalid-attribute"
    with pytest.raises(InputRefused) as e:
        from_amqp(None)
    assert e.value.code == "missing-attribute"


def test_what_names_a_refused_message_is_well_formed_or_not_there() -> None:
    my = samples.individual_number(7)
    assert safe_attributes({"cloudEvents:id": "abc", "cloudEvents_type": b"some-type"}) == ("abc", "some-type")
    assert safe_attributes({"cloudEvents:id": my, "cloudEvents:type": "架空"}) == (None, None)
    assert safe_attributes(None) == (None, None)


def test_structured_mode_takes_the_data_as_text_or_base64() -> None:
    data = "<架空/>"
    assert from_json(json.dumps({**GOOD, "data": data, "datacontenttype": "application/xml"}).encode())[1] == data.encode()
    assert from_json(json.dumps({**GOOD, "data_base64": base64.b64encode(data.encode()).decode()}).encode())[1] == data.encode()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "malformed-json"),
        (b"[]", "malformed-json"),
        (b"[" * 100_000, "malformed-json"),
        (b"{}", "missing-data"),
        (b'{"data":{"a":1}}', "missing-data"),
        (b'{"data":"x","data_base64":"eA=="}', "missing-data"),
        (b'{"data_base64":"?"}', "malformed-json"),
        (b'{"data":"\\ud800"}', "malformed-json"),
        (b'{"data":"x","datacontenttype":"application/json"}', "wrong-content-type"),
        (b'{"data":"x","id":1}', "invalid-attribute"),
        (b'{"data":"x","specversion":"1.0"}', "missing-attribute"),
    ],
)
def test_structured_mode_refuses_clearly(body: bytes, code: str) -> None:
    with pytest.raises(InputRefused) as e:
        from_json(body)
    assert e.value.code == code


@given(st.lists(st.tuples(st.binary(max_size=30).map(lambda b: b"ce-" + b), st.binary(max_size=60)), max_size=8))
def test_whatever_headers_come_there_is_one_kind_of_error(raw: list[tuple[bytes, bytes]]) -> None:
    error = refusal(lambda: from_http(raw))
    assert error is None or (error.code and error.place)


@given(st.binary(max_size=200))
def test_whatever_json_comes_there_is_one_kind_of_error(body: bytes) -> None:
    error = refusal(lambda: from_json(body))
    assert error is None or error.code
