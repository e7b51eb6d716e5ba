"""The content guard and the logic checks of the city CS."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from message_formats import codes, guard, logic, reading, relationships, samples, writing
from message_formats.errors import FormatError
from message_formats.identifiers import IndividualNumber
from message_formats.logic import Held

NUMBER = samples.individual_number(1)
WIDE = NUMBER.translate({48 + digit: 0xFF10 + digit for digit in range(10)})
GROUPED = f"{NUMBER[:4]}-{NUMBER[4:8]}-{NUMBER[8:]}"


@pytest.mark.control("C-1-3-10")
@pytest.mark.parametrize(
    ("text", "grouped"),
    [
        (NUMBER, False),
        (f"番号は{NUMBER}です", False),
        (WIDE, False),
        (GROUPED, True),
        (f"{WIDE[:4]}　{WIDE[4:8]}　{WIDE[8:]}", True),
        (GROUPED.replace("-", " "), True),
        (GROUPED.replace("-", "−"), True),
    ],
)
def test_what_passes_for_an_individual_number(text: str, grouped: bool) -> None:
    assert guard.looks_like_number(text) is grouped


@pytest.mark.parametrize(
    "text",
    [
        NUMBER[:-1] + str((int(NUMBER[-1]) + 1) % 10),
        "1" + NUMBER,
        NUMBER + "0",
        f"{NUMBER[:4]}-{NUMBER[4:8]} {NUMBER[8:]}",
        f"{NUMBER[:3]}-{NUMBER[3:8]}-{NUMBER[8:]}",
        "06-6858-0000",
        "",
    ],
)
def test_what_does_not(text: str) -> None:
    assert guard.looks_like_number(text) is None


@given(st.integers(0, 10**12 - 1))
def test_exactly_valid_runs_are_found(number: int) -> None:
    text = f"{number:012d}"
    assert (guard.looks_like_number(f"見本{text}見本") is not None) is IndividualNumber.check(text)


def test_declared_identifiers_are_never_suspected_and_free_text_is() -> None:
    assert guard.suspicions(samples.message("identity-information-update")) == ()
    message = writing.write(
        "residence-status-notice", {**samples.items("residence-status-notice"), "status_of_residence": f"永住者{NUMBER}"}
    )
    found = guard.suspicions(message)
    assert [suspicion.place for suspicion in found] == ["/ResidenceStatusNotice/status_of_residence"]
    assert NUMBER not in repr(found)


def test_nested_text_and_attributes_are_looked_at() -> None:
    items = samples.items("application-record")
    items["form/field[1]/value"] = GROUPED
    places = [suspicion.place for suspicion in guard.suspicions(writing.write("application-record", items))]
    assert places == ["/ApplicationRecord/form/field[1]/value"]


def move(**changes: str | None) -> dict[str, str | None]:
    gone = {"previous_municipality_code": None, "previous_address": None, "previous_address_gaiji_count": None}
    return samples.identity_items(1, **gone, **{"change_reason": "21", **changes})


HELD = Held(items=move(), here=True, last_sequence=0)


@pytest.mark.flow("F1-1")
@pytest.mark.parametrize(
    ("update", "held", "symbol"),
    [
        (samples.identity_items(1), None, None),
        (samples.identity_items(1), HELD, "ALREADY_RESIDENT"),
        (samples.identity_items(1), Held(items=move(), here=False, last_sequence=0), None),
        (move(address="虚構県架空市例示町９番", address_since="20260402"), HELD, None),
        (move(sex="1"), HELD, "MOVE_CHANGES_MORE"),
        (move(change_reason="24", sex="1"), HELD, None),
        (move(change_reason="24"), None, "UNKNOWN_RESIDENT"),
        (move(change_reason="32"), Held(items=move(), here=False, last_sequence=0), "UNKNOWN_RESIDENT"),
        (move(update_sequence_number="2"), HELD, "SEQUENCE_GAP"),
        (move(update_sequence_number="1"), Held(items=move(), here=True, last_sequence=1), "SEQUENCE_USED"),
        (move(), Held(items=move(), here=True, last_sequence=0, prohibited=True), "UPDATE_PROHIBITED"),
        (move(), Held(items=move(), here=True, last_sequence=0, locked=True), "LOCKED"),
    ],
)
def test_logic_checks(update: dict[str, str | None], held: Held | None, symbol: str | None) -> None:
    refusal = logic.judge(update, held)
    assert (refusal.symbol if refusal else None) == symbol
    if refusal is not None and symbol == "MOVE_CHANGES_MORE":
        assert refusal.items == ("sex",)
        assert refusal.code == "E102"


def test_a_change_of_update_data_touches_no_identity_item() -> None:
    assert not logic.touches_identity(move(timestamp="20270101000000000", request_control_number="X"), move())
    assert logic.touches_identity(move(address="虚構県架空市例示町９番"), move())


@pytest.mark.parametrize(
    "text", ["世帯主", "妻", "夫（未届）", "子の妻", "子の子の子の子", "子（子の夫）", "父の兄の子", "縁故者", "同居人"]
)
def test_relationships_of_the_standard(text: str) -> None:
    relationships.check(text)


@pytest.mark.parametrize("text", ["孫", "祖父", "子の子の子の子の子", "子の縁故者", "世帯主の妻", "長男", "準世帯主", "", "子の"])
def test_forbidden_relationships(text: str) -> None:
    with pytest.raises(FormatError) as caught:
        relationships.check(text)
    assert caught.value.rule == "code-table:relationship"


TABLE = """
{table: t, name_ja: 表, name_en: t, width: 2, source: test,
 codes: [{code: '01', symbol: A, ja: い, en: a}, {code: '02', symbol: B, ja: ろ, en: b}, {code: '03', symbol: C, ja: は, en: c}]}
"""


def test_code_tables_have_symbolic_names_and_refuse_by_name() -> None:
    table = codes.parse(TABLE)
    assert table.of("A").ja == "い"
    assert "03" in table
    with pytest.raises(FormatError) as caught:
        table.get("99", "/X/y")
    assert (caught.value.code, caught.value.place, caught.value.rule) == ("code-unknown", "/X/y", "code-table:t")


@pytest.mark.parametrize(
    "broken",
    [
        TABLE.replace("'02', symbol", "'01', symbol"),
        TABLE.replace("symbol: B", "symbol: A"),
        TABLE.replace("'03'", "'003'"),
        TABLE.replace("code: '01'", "code: 1"),
        "codes: []",
    ],
)
def test_broken_code_tables_are_refused(broken: str) -> None:
    with pytest.raises(FormatError) as caught:
        codes.parse(broken)
    assert caught.value.code == "layout"


def test_every_packaged_table_is_sound() -> None:
    for name in codes.names():
        table = codes.table(name)
        assert table.name == name
        assert table.codes
    with pytest.raises(KeyError):
        codes.table("no-such-table")


def test_reading_accepts_another_repertoire() -> None:
    everything = reading.Limits(repertoire=lambda text: True)
    items = samples.identity_items(1, name_gaiji_count="0", gaiji_flag="0")
    assert writing.write("identity-information-update", items, limits=everything).items["gaiji_flag"] == "0"
