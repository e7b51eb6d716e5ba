"""The register against a real gateway and simulated parties: what it hands in arrives once, in order, and it learns what was refused."""

from __future__ import annotations

import dataclasses

import pytest
from small_register import Refused, Resident, SmallRegister

ELSEWHERE = "993051"
SOMEBODY = Resident(
    code="99900000010",
    name="見本　太郎",
    reading="みほん　たろう",
    born="19800229",
    sex="1",
    address="虚構県架空市見本町１丁目１番",
    since="20260401",
)
NEW = "虚構県架空市見本町９丁目９番"


@pytest.fixture
def register(renkei) -> SmallRegister:
    doors = renkei.doors
    return SmallRegister(url=doors.url, system=doors.system, context=doors.context())


def person(code: str) -> Resident:
    return dataclasses.replace(SOMEBODY, code=code)


def test_a_move_in_reaches_city_cs_and_prefecture(renkei, register) -> None:
    update = register.move_in(person("99900000010"), ELSEWHERE, "虚構県別天市例示町４丁目")
    register.send()
    renkei.until_delivered(update)
    assert not register.outbox
    assert [each["operation"] for each in renkei.party("prefecture-server").effects("99900000010")] == ["NotifyIdentityInformation"]
    renkei.until(lambda: len(renkei.party("city-cs").effects("99900000010")) == 2)  # the update, and the notice to the origin


def test_a_city_cs_that_is_down_has_everything_afterwards_once_and_in_order(renkei, register) -> None:
    city_cs = renkei.party("city-cs")
    city_cs.faults("down")
    first = register.move_in(person("99900000029"), ELSEWHERE, "虚構県別天市例示町４丁目")
    second = register.move("99900000029", NEW, "20260501")
    register.send()
    assert city_cs.effects("99900000029") == []
    city_cs.well()
    for each in (first, second):
        renkei.until_delivered(each)
    updates = [each["update"] for each in city_cs.effects("99900000029") if "update" in each]
    assert updates == [1, 2]


def test_an_answer_that_is_lost_does_no_harm(renkei, register) -> None:
    renkei.party("city-cs").faults("time-out", takes_effect=True, times=1)
    update = register.move_in(person("99900000037"), ELSEWHERE, "虚構県別天市例示町４丁目")
    register.send()
    renkei.until_delivered(update)
    assert [each["update"] for each in renkei.party("city-cs").effects("99900000037") if "update" in each] == [1]


def test_the_register_learns_what_the_city_cs_refused(renkei, register) -> None:
    register.move_in(person("99900000045"), ELSEWHERE, "虚構県別天市例示町４丁目")
    wrong = register.move("99900000045", NEW, "20260501", name="別人　例子")
    register.send()
    renkei.until(lambda: register.held(wrong) == "E102")


def test_a_wrong_check_digit_does_not_leave_the_house(renkei, register) -> None:
    register.move_in(person("99900000011"), ELSEWHERE, "虚構県別天市例示町４丁目")
    with pytest.raises(Refused, match="invalid-number"):
        register.send()
