"""The logic checks of the city CS as a table: what is refused, with which code, and what is not."""

from __future__ import annotations

import pytest

from message_formats import samples
from simulators.city import City
from simulators.juki_cs.beginning import empty, of_city
from simulators.juki_cs.checks import Refusal, Resident, as_held, refusal_of


def items(serial: int = 1, **changes: str | None) -> dict[str, str]:
    return {name: value for name, value in samples.identity_items(serial, **changes).items() if value is not None}


def living(update: int = 1, abnormal: int = 0, **changes: str | None) -> Resident:
    return as_held(items(**changes), update=update, abnormal=abnormal)


def wrong(number: str) -> str:
    """The same number with a check digit that does not fit."""
    return number[:-1] + str((int(number[-1]) + 1) % 10)


MOVED = {"change_reason": "21", "address": "虚構県架空市見本町９丁目９番９号", "address_since": "20260501", "update_sequence_number": "2"}


@pytest.mark.flow("F1-1")
def test_a_new_resident_begins_with_number_one() -> None:
    assert refusal_of(items(), None) is None


@pytest.mark.flow("F1-1")
@pytest.mark.edge("F2-1", "existing-resident")
@pytest.mark.edge("FX-1", "twice")
def test_a_move_in_of_somebody_who_lives_here_is_refused_whatever_its_number() -> None:
    assert refusal_of(items(update_sequence_number="2"), living()) is Refusal.ALREADY_RESIDENT
    assert refusal_of(items(update_sequence_number="1"), living()) is Refusal.ALREADY_RESIDENT


@pytest.mark.flow("F1-1")
def test_an_in_city_move_may_change_the_address_only() -> None:
    assert refusal_of(items(**MOVED), living()) is None


@pytest.mark.flow("F1-1")
@pytest.mark.parametrize(
    "change",
    [
        {"name_kanji": "別人　例子"},
        {"sex": "1"},
        {"birth_date": "19800228"},
        {"relationship": "妻"},
        {"individual_number": samples.individual_number(2)},
        {"individual_number": None},
        {"birth_date@text": "昭和55年春"},
    ],
)
@pytest.mark.edge("F2-1", "more-than-address")
def test_an_in_city_move_that_changes_more_is_refused(change: dict[str, str | None]) -> None:
    assert refusal_of(items(**(MOVED | change)), living()) is Refusal.MOVE_CHANGES_MORE


def test_another_change_may_change_more() -> None:
    assert refusal_of(items(change_reason="24", update_sequence_number="2", name_kanji="別人　例子"), living()) is None


@pytest.mark.parametrize("reason", ["21", "22", "31", "32"])
@pytest.mark.control("C-2-3-16")
def test_a_change_of_somebody_unknown_is_refused(reason: str) -> None:
    assert refusal_of(items(change_reason=reason), None) is Refusal.UNKNOWN_RESIDENT


def test_somebody_who_left_cannot_be_changed_but_can_come_back() -> None:
    gone = living(update=2, change_reason="31")
    assert refusal_of(items(change_reason="22", update_sequence_number="3"), gone) is Refusal.UNKNOWN_RESIDENT
    assert refusal_of(items(change_reason="11", update_sequence_number="3"), gone) is None


@pytest.mark.invariant("I3")
@pytest.mark.edge("F2-1", "sequence-number")
def test_a_gap_in_the_order_is_refused() -> None:
    assert refusal_of(items(change_reason="22", update_sequence_number="3"), living(update=1)) is Refusal.SEQUENCE_GAP
    assert refusal_of(items(update_sequence_number="2"), None) is Refusal.SEQUENCE_GAP


@pytest.mark.invariant("I2")
def test_a_used_number_is_refused() -> None:
    assert refusal_of(items(change_reason="22", update_sequence_number="2"), living(update=2)) is Refusal.SEQUENCE_USED


@pytest.mark.rule("R4")
def test_a_replacement_takes_the_number_of_what_it_replaces() -> None:
    replacement = items(change_reason="22", update_sequence_number="2", abnormal_update_sequence_number="1")
    assert refusal_of(replacement, living(update=1)) is None
    assert refusal_of(replacement, living(update=2)) is Refusal.SEQUENCE_USED


@pytest.mark.rule("R4")
@pytest.mark.edge("F2-1", "sequence-number")
def test_the_abnormal_number_must_rise_and_may_leave_holes() -> None:
    def replacement(number: str) -> dict[str, str]:
        return items(change_reason="22", update_sequence_number="3", abnormal_update_sequence_number=number)

    assert refusal_of(replacement("1"), living(update=2, abnormal=1)) is Refusal.SEQUENCE_USED
    assert refusal_of(replacement("3"), living(update=2, abnormal=1)) is None


@pytest.mark.edge("F2-1", "prohibited-or-exclusive")
def test_a_prohibited_record_changes_only_by_the_correction_that_lifts_the_prohibition() -> None:
    held = living(update_prohibited_flag="1")
    change = {"change_reason": "22", "update_sequence_number": "2"}
    assert refusal_of(items(**change), held) is Refusal.UPDATE_PROHIBITED
    assert refusal_of(items(**change | {"change_reason": "24", "update_prohibited_flag": "1"}), held) is Refusal.UPDATE_PROHIBITED
    assert refusal_of(items(**change | {"change_reason": "24"}), held) is None


@pytest.mark.edge("F2-1", "prohibited-or-exclusive")
def test_a_locked_record_waits_until_an_update_unlocks_it() -> None:
    held = living(exclusive_lock_flag="1")
    change = {"change_reason": "22", "update_sequence_number": "2"}
    assert refusal_of(items(**change | {"exclusive_lock_flag": "1"}), held) is Refusal.LOCKED
    assert refusal_of(items(**change), held) is None


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"update_sequence_number": "0"}, Refusal.FORMAT),
        ({"abnormal_update_sequence_number": "0"}, Refusal.FORMAT),
        ({"change_reason": "99"}, Refusal.CODE),
        ({"resident_record_code": wrong(samples.resident_record_code(1))}, Refusal.CHECK_DIGIT),
        ({"individual_number": wrong(samples.individual_number(1))}, Refusal.CHECK_DIGIT),
        ({"former_resident_record_code": wrong(samples.resident_record_code(1))}, Refusal.CHECK_DIGIT),
    ],
)
def test_what_the_schema_cannot_see(change: dict[str, str], refusal: Refusal) -> None:
    assert refusal_of(items(**change), None) is refusal


def test_the_residents_of_a_city_are_found_by_their_code() -> None:
    city = City(7, 500)
    find = of_city(city)
    for index in (0, 1, 250, 499):
        found = find(city.resident(index).resident_record_code)
        assert found is not None
        assert found.update == 0
        assert found.load()["individual_number"] == city.resident(index).individual_number
    assert find(city.resident(500).resident_record_code) is None
    assert find(wrong(city.resident(0).resident_record_code)) is None
    assert find("12345678903") is None
    assert empty()(city.resident(0).resident_record_code) is None


def test_the_first_day_of_a_city_is_accepted_as_it_comes() -> None:
    city = City(3, 2000)
    find = of_city(city)
    held: dict[str, Resident | None] = {}
    events = list(city.day(1, 400))
    for event in events:
        sent = {name: value for name, value in event.items.items() if value is not None}
        code = sent["resident_record_code"]
        assert refusal_of(sent, held.get(code) or find(code)) is None, (event.order, event.reason)
        held[code] = as_held(sent, update=event.sequence, abnormal=0)
    assert len({event.reason for event in events}) > 5
