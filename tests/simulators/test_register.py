"""The register's inner parts: order per resident, the record, replacements."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from message_formats import reading, samples
from simulators.city import City
from simulators.city.render import identity_xml
from simulators.references import References, Vault
from simulators.register.lanes import Lanes, door_of
from simulators.register.messages import Outgoing, outgoing, random_looking_id, read_items, replacement
from simulators.register.record import RegisterRecord
from simulators.register.register import state_of
from simulators.register.source import CityDays
from tests.simulators.conftest import SALT

REFERENCES = References(SALT)


def message(name: str, serial: int = 1, **changes: str | None) -> Outgoing:
    content = identity_xml(samples.identity_items(serial, request_control_number=f"Q{name}", **changes))
    return outgoing(content, id=name, time="2026-04-01T00:00:00Z", references=REFERENCES)


def taken(lanes: Lanes) -> list[str]:
    names = []
    while (one := lanes.next("https")) is not None:
        names.append(one.id)
    return names


@pytest.mark.invariant("I3")
def test_a_residents_next_message_waits_for_the_receipt_of_the_one_before() -> None:
    lanes = Lanes(https_share=1)
    first, second, other = message("a"), message("b"), message("c", 2)
    lanes.put_all([first, second, other])
    assert taken(lanes) == ["a", "c"]
    lanes.confirmed(first)
    assert taken(lanes) == []
    lanes.answered(first)
    assert taken(lanes) == ["b"]
    lanes.answered(second)
    lanes.answered(other)
    lanes.put(message("d"))
    assert taken(lanes) == ["d"]
    assert lanes.size == 0


@pytest.mark.invariant("I3")
def test_with_order_by_confirm_the_brokers_word_is_enough_and_the_receipt_moves_nothing_twice() -> None:
    lanes = Lanes(https_share=1, order="confirm")
    messages = [message(name) for name in "abc"]
    lanes.put_all(messages)
    assert taken(lanes) == ["a"]
    lanes.confirmed(messages[0])
    assert taken(lanes) == ["b"]
    lanes.answered(messages[0])
    assert taken(lanes) == []
    lanes.confirmed(messages[1])
    assert taken(lanes) == ["c"]


def test_a_replacement_goes_before_what_has_not_left_yet() -> None:
    lanes = Lanes(https_share=1)
    first = message("a")
    lanes.put_all([first, message("b")])
    assert taken(lanes) == ["a"]
    lanes.put(message("a2"), first=True)
    lanes.answered(first)
    assert taken(lanes) == ["a2"]


def test_a_resident_keeps_to_one_door_and_the_share_is_about_right() -> None:
    residents = [REFERENCES.of(samples.resident_record_code(serial)) for serial in range(2000)]
    https = sum(door_of(resident, 0.25) == "https" for resident in residents)
    assert 400 < https < 600
    assert {door_of(residents[0], 0.25) for _ in range(10)} == {door_of(residents[0], 0.25)}
    assert door_of(residents[0], 0) == "amqp"
    assert door_of(residents[0], 1) == "https"


@pytest.mark.rule("R4")
def test_a_replacement_keeps_its_place_and_gets_new_keys() -> None:
    held = message("a", update_sequence_number="4")
    new = replacement(held.id, held.content, time=held.time, abnormal=2, references=REFERENCES)
    assert (new.corrects, new.update, new.abnormal, new.resident) == ("a", 4, 2, held.resident)
    assert new.id != held.id
    assert new.request != held.request
    assert len(new.request) <= 20
    before, after = read_items(held.content), read_items(new.content)
    assert {name for name in after if after[name] != before.get(name)} == {"request_control_number", "abnormal_update_sequence_number"}
    reading.read(new.content, expected="identity-information-update")
    again = replacement("x", new.content, time=held.time, abnormal=3, references=REFERENCES)
    assert read_items(again.content)["abnormal_update_sequence_number"] == "3"
    reading.read(again.content, expected="identity-information-update")


def test_ids_look_random_and_repeat() -> None:
    assert random_looking_id("a", "b") == random_looking_id("a", "b")
    assert random_looking_id("a", "b") != random_looking_id("ab", "")


def opened(folder: Path) -> RegisterRecord:
    return RegisterRecord(folder / "record.jsonl", vault=Vault(SALT), references=REFERENCES)


def test_the_record_knows_after_a_restart_what_it_knew_before(tmp_path: Path) -> None:
    record = opened(tmp_path)
    first, second = message("a"), message("b", 2)
    held = replacement("a", first.content, time=first.time, abnormal=record.next_abnormal(first.resident), references=REFERENCES)
    for one in (first, first, second, held):
        record.sending(one, "https")
    record.receipts([{"id": "a", "status": "accepted", "accepted_at": "2026-04-01T00:00:00Z", "message": "m1"}])
    record.receipts(
        [{"id": "a", "status": "accepted", "accepted_at": "2026-04-01T00:00:00Z"}, {"id": "b", "status": "refused", "code": "x"}]
    )
    record.told("a", "held", "rejected")
    record.close()
    again = opened(tmp_path)
    assert again.counts == {"submitted": 3, "accepted": 1, "refused": 1, "replacements": 1}
    assert (again.answer("a"), again.answer("b"), again.answer(held.id)) == ("accepted", "refused", None)
    assert again.was_corrected("a")
    assert again.next_abnormal(first.resident) == 2
    assert list(again.unanswered_replacements()) == [held]
    assert [entry["kind"] for entry in again.entries()] == ["message", "message", "message", "receipt", "receipt", "status"]


@pytest.mark.invariant("I5")
def test_the_record_does_not_tell_who(tmp_path: Path) -> None:
    record = opened(tmp_path)
    first = message("a")
    record.sending(first, "amqp")
    record.sending(replacement("a", first.content, time=first.time, abnormal=1, references=REFERENCES), "amqp")
    text = (tmp_path / "record.jsonl").read_text(encoding="utf-8")
    for value in (samples.resident_record_code(1), samples.individual_number(1), "見本葛"):
        assert value not in text
        assert value not in repr(first)


def test_the_source_is_the_same_at_every_reading_and_knows_what_it_spoilt() -> None:
    source = CityDays(City(3, 2000), REFERENCES, days=(1, 2), events_a_day=200, spoil=2)
    messages = list(source.messages())
    assert messages == list(source.messages())
    assert len(messages) == 400
    assert len({one.id for one in messages}) == 400
    changed = [one for one in messages if source.corrected(one.id, one.content) != one.content]
    assert [read_items(one.content)["change_reason"] for one in changed] == ["21", "21"]


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ({"state": "queued", "reason": "r"}, ("queued", "r")),
        ({"deliveries": [{"state": "delivered"}, {"state": "held", "reason": "rejected"}]}, ("held", "rejected")),
        ({"deliveries": [{"state": "delivered"}, {"state": "delivered"}]}, ("delivered", "")),
        ({"deliveries": []}, ("without-delivery", "")),
    ],
)
def test_what_the_gateway_says_of_a_message(said: dict[str, Any], state: tuple[str, str]) -> None:
    assert state_of(said) == state
