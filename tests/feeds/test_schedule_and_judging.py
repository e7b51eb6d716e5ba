"""Calendars of feeds, and what is judged by them: pure."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.feeds.judging import EMPTY, LAG, LATE, MISSING, Arrival, Expected, Under, of_feed, of_link
from gateway.feeds.schedule import DAY_S, HOUR_S, Schedule
from gateway.feeds.words import meaning, next_step
from gateway.retention.calendar import JST, BusinessCalendar

pytestmark = [pytest.mark.flow("FM-1"), pytest.mark.control("C-1-7-8")]


def at(text: str) -> float:
    return dt.datetime.fromisoformat(text).replace(tzinfo=JST).timestamp()


DAILY, HOURLY = Schedule.parse("06:00"), Schedule.parse("*:05")
BUSINESS = Schedule.parse("06:00", BusinessCalendar())


@pytest.mark.parametrize(
    ("schedule", "now", "latest", "following"),
    [
        (DAILY, "2026-04-02T05:59", "2026-04-01T06:00", "2026-04-02T06:00"),
        (DAILY, "2026-04-02T06:00", "2026-04-02T06:00", "2026-04-03T06:00"),
        (HOURLY, "2026-04-02T00:04", "2026-04-01T23:05", "2026-04-02T00:05"),
        (HOURLY, "2026-04-02T00:05", "2026-04-02T00:05", "2026-04-02T01:05"),
        # Golden Week: Wednesday 2026-04-29 and Sunday 05-03 to Wednesday 05-06 are holidays
        (BUSINESS, "2026-05-04T12:00", "2026-05-01T06:00", "2026-05-07T06:00"),
        # the turn of the year
        (BUSINESS, "2027-01-02T12:00", "2026-12-28T06:00", "2027-01-04T06:00"),
    ],
)
def test_moments_of_a_calendar(schedule: Schedule, now: str, latest: str, following: str) -> None:
    assert schedule.latest(at(now)) == at(latest)
    assert schedule.following(at(now)) == at(following)


@pytest.mark.control("C-1-2-25")
@pytest.mark.control("C-1-7-13")
@given(st.integers(0, 60), st.floats(0, 86_000), st.sampled_from([DAILY, HOURLY]))
def test_missed_moments_are_those_between_the_last_served_and_the_latest(periods: int, more: float, schedule: Schedule) -> None:
    served = schedule.latest(at("2026-04-02T12:00"))
    now = served + periods * schedule.every_s + more % schedule.every_s
    assert schedule.missed(served, now) == max(0, periods - 1)


def feed(schedule: Schedule, *, grace_s: float = 600.0, empty_allowed: bool = True) -> Expected:
    return Expected(name="feed", party="party", type=None, schedule=schedule, grace_s=grace_s, empty_allowed=empty_allowed)


@pytest.mark.parametrize(
    ("now", "arrived", "kind"),
    [
        ("2026-04-02T06:09", "2026-04-01T06:01", None),  # within its grace
        ("2026-04-02T06:11", "2026-04-01T06:01", LATE),
        ("2026-04-02T06:11", "2026-04-02T06:01", None),
        ("2026-04-02T23:00", "2026-04-02T20:00", None),  # came late, but came
        ("2026-04-03T06:11", "2026-04-01T06:01", MISSING),
        ("2026-04-02T06:11", None, MISSING),
    ],
)
def test_a_feed_that_does_not_come_is_late_and_then_missing(now: str, arrived: str | None, kind: str | None) -> None:
    found = of_feed(feed(DAILY), Arrival(at=None if arrived is None else at(arrived)), at(now), at("2026-03-01T00:00"))
    assert (found.kind if found else None) == kind


def test_nothing_is_expected_of_the_time_before_anybody_watched() -> None:
    now, since = at("2026-04-02T06:11"), at("2026-04-02T06:05")
    assert of_feed(feed(DAILY), Arrival(at=None), now, since) is None
    assert of_feed(feed(DAILY), Arrival(at=None), now + DAY_S, since) is not None
    found = of_feed(feed(DAILY), Arrival(at=None, problem="http-500"), now + DAY_S, since)
    assert found is not None
    assert (found.kind, found.cause) == (LATE, "http-500")


def test_an_empty_one_counts_only_where_it_may_not_be_empty() -> None:
    came = Arrival(at=at("2026-04-02T06:01"), records=0)
    now, since = at("2026-04-02T06:11"), at("2026-03-01T00:00")
    assert of_feed(feed(DAILY), came, now, since) is None
    found = of_feed(feed(DAILY, empty_allowed=False), came, now, since)
    assert found is not None
    assert found.kind == EMPTY


def test_no_business_day_no_feed() -> None:
    came = Arrival(at=at("2026-05-01T06:01"))
    assert of_feed(feed(BUSINESS), came, at("2026-05-06T23:00"), 0.0) is None
    assert of_feed(feed(BUSINESS), came, at("2026-05-07T06:11"), 0.0) is not None


@pytest.mark.parametrize(
    ("under", "cause"),
    [
        (Under(oldest=0.0, paused=True, held=1), "paused"),
        (Under(oldest=0.0, breaker="open", code="connection-refused"), "connection-refused"),
        (Under(oldest=0.0, held=2), "held"),
        (Under(oldest=0.0), "slow"),
    ],
)
def test_an_update_that_is_under_way_for_too_long_is_named_with_its_cause(under: Under, cause: str) -> None:
    found = of_link("internal-link-system", under, HOUR_S, 1800.0)
    assert found is not None
    assert (found.kind, found.cause) == (LAG, cause)
    assert of_link("internal-link-system", under, 1800.0, 1800.0) is None
    assert of_link("internal-link-system", None, HOUR_S, 1800.0) is None
    for language in ("ja", "en"):
        assert meaning(found.kind, language)
        assert next_step(found.cause, language)
