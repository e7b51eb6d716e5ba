"""Dates: calendar days, days of no calendar, the 14 forms of unknown dates, eras (住民記録システム標準仕様書 1.1.8, 1.1.9)."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from message_formats import dates
from message_formats.errors import FormatError

FORMS = [
    ("about-year", "令和5年頃", "20230000", None, "20230101"),
    ("about-month", "令和5年4月頃", "20230400", None, "20230401"),
    ("about-day", "令和５年４月１０日頃", "20230410", None, "20230410"),
    ("presumed-day", "推定昭和20年3月10日", "19450310", None, "19450310"),
    ("presumed-month", "推定昭和20年3月", "19450300", None, "19450301"),
    ("season", "昭和20年春", "19450000", "19450531", "19450101"),
    ("third", "令和元年5月上旬", "20190500", "20190510", "20190501"),
    ("about-third", "平成31年2月下旬頃", "20190200", "20190228", "20190201"),
    ("unknown", "年月日不詳", "00000000", None, "00000101"),
    ("unknown-month", "昭和20年 月日不詳", "19450000", None, "19450101"),
    ("unknown-month", "昭和20年　月日不詳", "19450000", None, "19450101"),
    ("unknown-day", "昭和20年8月 日不詳", "19450800", None, "19450801"),
    ("between", "令和5年3月30日から4月2日頃までの間", "20230330", "20230402", "20230330"),
    ("between-presumed-days", "令和5年3月推定1日から5日までの間", "20230301", "20230305", "20230301"),
    ("between-about-days", "令和5年3月1日頃から5日頃までの間", "20230301", "20230305", "20230301"),
]


@pytest.mark.parametrize(("pattern", "text", "value", "latest", "sortable"), FORMS)
def test_the_fourteen_forms(pattern: str, text: str, value: str, latest: str | None, sortable: str) -> None:
    date = dates.parse(value, text)
    assert (date.pattern, date.value, date.latest, date.sortable) == (pattern, value, latest, sortable)
    assert date.is_unknown
    assert dates.display(date) == text
    assert dates.display(date, gregorian=True) == text
    assert dates.parse(date.value, date.text) == date


def test_all_patterns_have_an_example() -> None:
    assert {form[0] for form in FORMS} == {name for name, _ in dates.PATTERNS}
    assert len(dates.PATTERNS) == 14


@pytest.mark.parametrize(
    "text",
    [
        "昭和20年ごろ",
        "昭和二十年頃",
        "昭和65年頃",
        "昭和0年頃",
        "大正16年頃",
        "令和5年13月頃",
        "令和5年4月32日頃",
        "令和5年4月2日から3月1日頃までの間",
        "令和5年4月推定9日から5日までの間",
        "19800229",
        "",
        "不明",
    ],
)
def test_other_wordings_are_not_guessed(text: str) -> None:
    with pytest.raises(FormatError) as caught:
        dates.read_text(text)
    assert caught.value.code == "date-text"
    assert not text or text not in str(caught.value)


@pytest.mark.parametrize(
    ("era", "year", "month", "day", "value"),
    [
        ("明治", 45, 7, 30, "19120730"),
        ("大正", 1, 7, 30, "19120730"),
        ("大正", 15, 12, 25, "19261225"),
        ("昭和", 1, 12, 25, "19261225"),
        ("昭和", 64, 1, 7, "19890107"),
        ("平成", 1, 1, 8, "19890108"),
        ("平成", 31, 4, 30, "20190430"),
        ("令和", 1, 5, 1, "20190501"),
    ],
)
def test_days_on_which_eras_meet(era: str, year: int, month: int, day: int, value: str) -> None:
    assert dates.from_era(era, year, month, day).value == value


@pytest.mark.parametrize(
    ("era", "year", "month", "day"), [("明治", 45, 7, 31), ("平成", 31, 5, 1), ("昭和", 64, 1, 8), ("大正", 0, 1, 1), ("元治", 1, 1, 1)]
)
def test_days_that_an_era_did_not_have(era: str, year: int, month: int, day: int) -> None:
    with pytest.raises(FormatError) as caught:
        dates.from_era(era, year, month, day)
    assert caught.value.code == "date-invalid"


def test_display_by_era_and_gregorian_where_the_rule_says_so() -> None:
    assert dates.display(dates.parse("20190501")) == "令和元年5月1日"
    assert dates.display(dates.parse("19890107")) == "昭和64年1月7日"
    assert dates.display(dates.parse("19120730")) == "大正元年7月30日"
    assert dates.display(dates.parse("19800229"), gregorian=True) == "1980年2月29日"
    assert dates.display(dates.parse("18500101")) == "1850年1月1日"


@given(st.dates(datetime.date(1868, 1, 25), datetime.date(2100, 12, 31)))
def test_every_day_of_the_calendar_is_one(day: datetime.date) -> None:
    date = dates.parse(f"{day:%Y%m%d}", non_calendar=False)
    assert date.is_calendar
    assert not date.is_unknown
    era = dates.era_of(date.value)
    assert era is not None
    assert dates.from_era(era.name, day.year - era.first_year + 1, day.month, day.day) == date


@given(st.integers(1, 9999), st.integers(1, 12), st.integers(1, 31))
def test_days_of_no_calendar_are_kept_where_allowed_and_refused_elsewhere(year: int, month: int, day: int) -> None:
    value = f"{year:04}{month:02}{day:02}"
    assert dates.parse(value).value == value
    try:
        datetime.date(year, month, day)
        real = True
    except ValueError:
        real = False
    assert dates.is_calendar_day(value) is real
    if not real:
        with pytest.raises(FormatError):
            dates.parse(value, non_calendar=False)


@given(st.text(max_size=12))
def test_anything_else_is_refused_without_echo(text: str) -> None:
    if len(text) == 8 and text.isascii() and text.isdigit():
        return
    with pytest.raises(FormatError) as caught:
        dates.parse(text, place="/x")
    assert len(text) < 3 or text not in str(caught.value)


@pytest.mark.parametrize("value", ["19800200", "19800010", "00000101", "19801301", "19800132", "１９８００１０１"])
def test_impossible_values_without_wording(value: str) -> None:
    with pytest.raises(FormatError):
        dates.parse(value)
