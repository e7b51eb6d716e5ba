"""Business days of Japan, and the retention table held against itself."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import ConfigurationError
from gateway.policy.routes import tables
from gateway.retention import policy as retention_policy
from gateway.retention.calendar import JST, BusinessCalendar
from tests.support.data import read_yaml

pytestmark = pytest.mark.invariant("I9")


def at(text: str) -> float:
    return dt.datetime.strptime(text, "%Y-%m-%d %H:%M").replace(tzinfo=JST).timestamp()


@pytest.mark.control("C-3-7-1")
@pytest.mark.parametrize(
    ("sent", "gone"),
    [
        ("2026-11-20 09:00", "2026-11-25 00:00"),  # a Friday before 勤労感謝の日 (Monday)
        ("2026-12-28 17:00", "2027-01-05 00:00"),  # the last business day of the year
        ("2026-04-28 23:59", "2026-05-01 00:00"),  # 昭和の日 between
        ("2026-05-01 12:00", "2026-05-08 00:00"),  # Golden Week, with the substitute holiday on 6 May
        ("2026-05-03 12:00", "2026-05-08 00:00"),
    ],
)
@pytest.mark.edge("F2-7", "holiday")
def test_one_business_day_after(sent: str, gone: str) -> None:
    calendar = BusinessCalendar()
    assert calendar.vanishes_at(at(sent)) == at(gone)
    assert calendar.due_before(at(gone) - 1) <= at(sent) < calendar.due_before(at(gone))


def test_the_city_may_know_better(tmp_path: Path) -> None:
    file = tmp_path / "holidays.yaml"
    file.write_text("holidays: [2027-01-04]\nbusiness-days: [2026-12-29]\n", encoding="utf-8")
    calendar = BusinessCalendar.of_file(file)
    assert not calendar.is_business_day(dt.date(2027, 1, 4))
    assert calendar.is_business_day(dt.date(2026, 12, 29))
    file.write_text("holidays: [soon]\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="holidays-file"):
        BusinessCalendar.of_file(file)


def packaged() -> Any:
    return read_yaml(Path(retention_policy.__file__).with_name("data").joinpath("retention.yaml").read_text(encoding="utf-8"))


def test_the_packaged_table_holds() -> None:
    policy = retention_policy.load(None, tables().ephemeral)
    [rule] = [rule for rule in policy.of("content") if policy.applies(rule, "destination-information")]
    assert rule.after.business_days == 1


@pytest.mark.control("C-3-7-1")
def test_no_table_keeps_destination_information_longer() -> None:
    table = packaged()
    table["rules"][0]["after"] = {"days": 3}
    with pytest.raises(ConfigurationError, match="C-3-7-1"):
        retention_policy.build(table, tables().ephemeral)
    table = packaged()
    del table["rules"][0]["expires"]
    with pytest.raises(ConfigurationError, match="expire"):
        retention_policy.build(table, tables().ephemeral)
