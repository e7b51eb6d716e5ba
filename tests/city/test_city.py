"""The synthetic city: deterministic, fictitious, and every event a valid message in the right order."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from message_formats import catalogue, identity, reading, writing
from simulators.city import City, replacement, spoiled
from simulators.city.__main__ import main
from simulators.city.events import Event
from simulators.city.people import REMOVED

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def city() -> City:
    return City(7, 400_000)


@pytest.fixture(scope="module")
def peak() -> list[Event]:
    return list(City(7, 400_000).day(1))  # its own city: one remembers how many events were asked for on a day


def test_a_peak_day_of_a_city_of_400000(city: City, peak: list[Event]) -> None:
    assert 900 <= len(peak) <= 980
    reasons = Counter(event.reason for event in peak)
    for reason in ("BIRTH", "DEATH", "IN_DOM", "OUT_DOM", "MOVE"):
        assert reasons[reason] >= 10
    several = [number for number in Counter(event.resident for event in peak).values() if number > 1]
    assert len(several) >= 20
    assert max(several) >= 3


def test_every_event_is_a_valid_message(peak: list[Event]) -> None:
    for event in peak:
        message = reading.read(event.xml, expected="identity-information-update")
        assert message.items == {**dict.fromkeys(message.items), **event.items}
        assert message.party_key == event.request_control_number
        assert message.items["change_reason"] == event.change_reason


def test_order_and_ids(city: City) -> None:
    sequences: dict[int, list[int]] = defaultdict(list)
    numbers, ids = set(), set()
    count = 0
    for day in range(1, 6):
        orders, times = [], []
        for event in city.day(day, 300):
            sequences[event.resident].append(event.sequence)
            numbers.add(event.request_control_number)
            ids.add(event.ce_id)
            orders.append(event.order)
            times.append(event.ce_time)
            count += 1
        assert orders == list(range(300))
        assert times == sorted(times)
    assert all(found == list(range(1, len(found) + 1)) for found in sequences.values())
    assert len(numbers) == len(ids) == count == 1500


def test_the_same_seed_gives_the_same_city_and_another_seed_another(peak: list[Event]) -> None:
    again = City(7, 400_000)
    assert [event.xml for event in again.day(1)] == [event.xml for event in peak]
    assert next(iter(City(8, 400_000).day(1))).xml != peak[0].xml
    assert again.resident(123_456) == City(7, 400_000).resident(123_456)
    again.resident(5)
    assert again.resident(123_456) == City(7, 400_000).resident(123_456)


def test_a_day_can_be_had_again_and_half_a_day_spoils_nothing() -> None:
    city = City(3, 20_000)
    third = [event.xml for event in city.day(3)]
    next(iter(city.day(2)))
    assert [event.xml for event in city.day(3)] == third


def test_the_record_of_a_city_cs_agrees_with_the_stream() -> None:
    """A little model of the city CS: records change by updates only, and a move changes nothing but the address."""
    city = City(5, 3_000)
    held = {index: city.initial_record(index) for index in range(city.population)}
    for day in range(1, 8):
        for event in city.day(day, 150):
            before = held.get(event.resident)
            if event.reason in ("IN_DOM", "IN_ABR", "BIRTH"):
                assert before is None
            else:
                assert before is not None
            if event.reason == "MOVE" and before is not None:
                differing = {item for item in event.items if event.items[item] != before.get(item)} - identity.METADATA_ITEMS
                assert differing <= identity.ADDRESS_ITEMS
                assert "address" in differing
            if event.items["record_status_flag"] == "2":
                held.pop(event.resident)
            else:
                held[event.resident] = dict(event.items)


def test_people_are_many_sided_and_fictitious() -> None:
    city = City(2, 20_000)
    people = [city.resident(index) for index in range(city.population)]
    assert len({person.resident_record_code for person in people}) == city.population
    assert len({person.individual_number for person in people}) == city.population
    assert {person.category for person in people} == {None, "1", "2", "3", "4", "5", "6"}
    assert any(person.protected for person in people)
    assert any(person.birth_text for person in people)
    assert any("\U000e0102" in person.name for person in people)
    assert all(person.individual_number.startswith("9999") for person in people)
    assert 1.9 <= city.population / len({person.household for person in people}) <= 2.4
    heads = Counter(person.household for person in people if person.relationship == "世帯主")
    assert set(heads.values()) == {1}


def test_initial_records_are_valid_but_for_their_sequence_number() -> None:
    city = City(4, 500)
    for record in city.register_snapshot():
        assert record["update_sequence_number"] == "0"
        writing.write("identity-information-update", {**record, "update_sequence_number": "1"})


def test_what_follows_from_a_day_is_valid_and_leaves_the_number_out_where_it_is_forbidden() -> None:
    city = City(11, 20_000)
    events = {event.ce_id: event for event in city.day(1, 400)}
    sent = list(city.following(1, 400))
    types = Counter(message.type for message in sent)
    assert types["resident-change-notification"] == types["certificate-data-change"] == 400
    assert set(types) >= {
        "move-in-notice",
        "family-register-supplement-notice",
        "residence-address-notice",
        "individual-number-generation-request",
    }
    for message in sent:
        assert reading.read(message.xml, expected=message.type)
        assert message.follows in events
        number = events[message.follows].items["individual_number"]
        if catalogue.get(message.type).individual_number != "yes":
            assert number is None or number.encode() not in message.xml
    assert len({message.ce_id for message in sent}) == len(sent)


def test_what_happens_beside_the_register() -> None:
    city = City(12, 40_000)
    sent = list(city.beside(3))
    assert [message.ce_time for message in sent] == sorted(message.ce_time for message in sent)
    types = Counter(message.type for message in sent)
    assert 38 <= types["certificate-request"] <= 46
    often = {"certificate-request", "provision-request", "card-management-update", "application-record"}
    assert often <= set(types) <= often | {"resident-protection-mark"}
    for message in sent:
        assert reading.read(message.xml, expected=message.type)
    assert [message.xml for message in City(12, 40_000).beside(3)] == [message.xml for message in sent]


def test_support_measures_and_the_people_under_them() -> None:
    city = City(14, 40_000)
    marks = list(city.protection_marks())
    assert 40 <= len(marks) <= 140
    for items in marks[:5]:
        writing.write("resident-protection-mark", items)
    known = {items["atena_number"] for items in marks}
    later = [message for day in range(1, 40) for message in city.beside(day) if message.type == "resident-protection-mark"]
    assert later
    assert {reading.read(message.xml).items["atena_number"] for message in later} <= known


def test_the_head_of_a_household_is_named_by_its_members() -> None:
    city = City(15, 20_000)
    events = {event.ce_id: event for event in city.day(1, 300)}
    told = [message for message in city.following(1, 300) if message.type == "resident-change-notification"]
    others = 0
    for message in told:
        assert message.follows is not None
        items, event = reading.read(message.xml).items, events[message.follows]
        head = items["household_relation/head_name"]
        if items["household_relation/relationship"] == "世帯主":
            assert head == event.items["name_kanji"]
        elif head != event.items["name_kanji"]:
            others += 1
    assert others > 20


def test_months_in_a_row_keep_the_real_mix() -> None:
    city = City(13, 40_000)
    reasons = Counter(event.reason for event in city.days(1, 60))
    total = sum(reasons.values())
    assert total > 1300
    assert 0.02 <= reasons["BIRTH"] / total <= 0.07
    assert 0.06 <= reasons["DEATH"] / total <= 0.13
    assert 0.2 <= reasons["IN_DOM"] / total <= 0.36
    assert 0.19 <= reasons["OUT_DOM"] / total <= 0.36


def test_removed_records_are_there_for_those_who_ask() -> None:
    city = City(2, 20_000)
    gone = [city.resident(REMOVED + index) for index in range(400)]
    assert {person.state for person in gone} == {"2", "3"}
    assert all(person.removed_on is not None and person.removed_on < "20260401" for person in gone)
    assert {city.resident(index).state for index in range(100)} == {"1"}


def test_replacements_and_spoiled_events(peak: list[Event]) -> None:
    move = next(event for event in peak if event.reason == "MOVE")
    bad = spoiled(move)
    assert bad.items["sex"] != move.items["sex"]
    again = replacement(bad, items=move.items)
    message = reading.read(again.xml)
    assert message.items["abnormal_update_sequence_number"] == "1"
    assert message.items["update_sequence_number"] == move.items["update_sequence_number"]
    assert message.party_key != move.request_control_number
    assert again.corrects == move.ce_id
    assert message.items["sex"] == move.items["sex"]


def test_the_command_writes_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--seed", "9", "--population", "5000", "--day", "2", "--events", "20"]
    assert main([str(tmp_path / "day.jsonl"), *arguments]) == 0
    lines = [json.loads(line) for line in (tmp_path / "day.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(lines) == 20
    assert lines[0]["type"] == "identity-information-update"
    assert main([str(tmp_path / "day"), *arguments]) == 0
    files = sorted((tmp_path / "day").iterdir())
    assert [reading.read(file.read_bytes()).party_key for file in files] == [
        reading.read(line["data"].encode()).party_key for line in lines
    ]
    assert "20 events" in capsys.readouterr().out


def test_a_small_city_goes_on_when_nearly_everybody_of_the_first_day_has_left() -> None:
    city = City(3, 5)
    events = [event for day in range(1, 40) for event in city.day(day, 20)]
    assert len(events) == 39 * 20


def test_a_city_restricted_to_moves_and_corrections_keeps_everybody() -> None:
    city = City(3, 12, kinds=("MOVE", "AMEND_OFF"))
    events = [event for day in range(1, 6) for event in city.day(day, 100)]
    assert {event.reason for event in events} <= {"MOVE", "AMEND_OFF", "HH_CHANGE"}
    assert {event.resident for event in events} <= set(range(20))
    with pytest.raises(ValueError, match="something must happen"):
        City(3, 12, kinds=("EARTHQUAKE",))


def test_an_empty_city_says_so() -> None:
    with pytest.raises(ValueError, match="nobody is left"):
        list(City(3, 3, kinds=("DEATH",)).day(1, 100))
