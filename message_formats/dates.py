"""Dates of the domain: calendar days, days that no calendar has, and unknown ones (不詳), which stay unknown on every way.

The 14 forms of an unknown date are those of 住民記録システム標準仕様書 1.1.8; nothing else is read as one, and no substitute day
(みなし生年月日) is ever made. The wire form is eight digits, zeros for what is unknown, and beside it the wording:
``<birth_date text="昭和30年頃">19550000</birth_date>``. A sortable bound exists beside it for internal use only.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from message_formats import codes
from message_formats.errors import FormatError

_DAYS = (0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_WIDE = str.maketrans("０１２３４５６７８９　", "0123456789 ")

PATTERNS: tuple[tuple[str, str], ...] = (
    ("about-year", r"{Y}頃"),
    ("about-month", r"{Y}{M}頃"),
    ("about-day", r"{Y}{M}{D}頃"),
    ("presumed-day", r"推定{Y}{M}{D}"),
    ("presumed-month", r"推定{Y}{M}"),
    ("season", r"{Y}(?P<season>[春夏秋冬])"),
    ("third", r"{Y}{M}(?P<third>[上中下]旬)"),
    ("about-third", r"{Y}{M}(?P<third>[上中下]旬)頃"),
    ("unknown", r"年月日不詳"),
    ("unknown-month", r"{Y} ?月日不詳"),
    ("unknown-day", r"{Y}{M} ?日不詳"),
    ("between", r"{Y}{M}{D}から(?P<month2>[0-9]{{1,2}})月(?P<day2>[0-9]{{1,2}})日頃までの間"),
    ("between-presumed-days", r"{Y}{M}推定(?P<day>[0-9]{{1,2}})日から(?P<day2>[0-9]{{1,2}})日までの間"),
    ("between-about-days", r"{Y}{M}{D}頃から(?P<day2>[0-9]{{1,2}})日頃までの間"),
)
"""Name and form of each unknown date, in the order of the standard. {Y}: era year or Gregorian year; {M}, {D}: month, day."""

_SEASONS = {"春": (3, 5), "夏": (6, 8), "秋": (9, 11), "冬": (12, 12)}
_THIRDS = {"上旬": (1, 10), "中旬": (11, 20), "下旬": (21, 31)}


def days_in_month(year: int, month: int) -> int:
    """The days of a month of the Gregorian calendar."""
    leap = month == 2 and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return _DAYS[month] + leap


@functools.lru_cache(maxsize=1 << 16)
def is_calendar_day(value: str) -> bool:
    """Whether eight digits are a day of the calendar."""
    year, month, day = int(value[:4]), int(value[4:6]), int(value[6:])
    return year > 0 and 1 <= month <= 12 and 1 <= day <= days_in_month(year, month)


@dataclass(frozen=True, slots=True, kw_only=True)
class Era:
    """One era with its first and last day (YYYYMMDD)."""

    code: str
    name: str
    first: str
    last: str

    @property
    def first_year(self) -> int:
        """The Gregorian year of the era's year 1."""
        return int(self.first[:4])


@functools.cache
def eras() -> tuple[Era, ...]:
    """The eras of the packaged table, oldest first."""
    return tuple(
        Era(code=code.code, name=code.ja, first=code.more["first"], last=code.more["last"]) for code in codes.table("era").codes.values()
    )


@functools.cache
def _compiled() -> tuple[tuple[str, re.Pattern[str]], ...]:
    names = "|".join(era.name for era in eras())
    year = rf"(?:(?P<era>{names})(?P<era_year>元|[0-9]{{1,2}})|(?P<year>[0-9]{{4}}))年"
    month, day = r"(?P<month>[0-9]{1,2})月", r"(?P<day>[0-9]{1,2})日"
    return tuple((name, re.compile(form.format(Y=year, M=month, D=day) + r"\Z")) for name, form in PATTERNS)


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainDate:
    """A date of the register.

    :ivar value: eight digits; zeros for unknown parts.
    :ivar text: the wording of an unknown date as it was given, otherwise None.
    :ivar pattern: which of the 14 forms the wording has (a name of :data:`PATTERNS`), otherwise None.
    :ivar latest: the last day that is meant, for forms that name a span; eight digits.
    """

    value: str
    text: str | None = None
    pattern: str | None = None
    latest: str | None = None

    @property
    def is_unknown(self) -> bool:
        """Whether it is one of the 不詳 dates."""
        return self.text is not None

    @property
    def is_calendar(self) -> bool:
        """Whether the value is a day of the calendar (an estimated one included)."""
        return is_calendar_day(self.value)

    @property
    def sortable(self) -> str:
        """The earliest day that may be meant, for sorting inside a system; never sent anywhere as if it were the date."""
        year, month, day = self.value[:4], self.value[4:6], self.value[6:]
        return year + (month if month != "00" else "01") + (day if day != "00" else "01")


def parse(value: str, text: str | None = None, place: str = "-", *, non_calendar: bool = True) -> DomainDate:
    """A date from its wire form.

    :param non_calendar: whether days that no calendar has (29 February of a common year) are allowed, as for birth dates.
    :raises FormatError: ``value-pattern``, ``date-invalid`` or ``date-text``.
    """
    if len(value) != 8 or not value.isascii() or not value.isdigit():
        raise FormatError("value-pattern", place, "form:date", "a date is eight digits")
    if text is None:
        if value[4:6] == "00" or value[6:] == "00" or value[:4] == "0000":
            raise FormatError("date-text", place, "date-unknown", "a date with unknown parts needs its wording in the attribute text")
        if not is_calendar_day(value) and not (non_calendar and int(value[4:6]) <= 12 and int(value[6:]) <= 31):
            raise FormatError("date-invalid", place, "date-calendar", "not a day of the calendar")
        return DomainDate(value=value)
    known = read_text(text, place)
    if known.value != value:
        raise FormatError("date-text", place, "date-unknown", "the wording of the unknown date does not agree with its value")
    return known


def read_text(text: str, place: str = "-") -> DomainDate:
    """An unknown date from its wording, in one of the 14 forms; digits half- or full-width.

    :raises FormatError: ``date-text`` where the wording is none of the forms, or impossible (month 13, an era that had ended).
    """
    plain = text.translate(_WIDE)
    for name, form in _compiled():
        found = form.match(plain)
        if found is not None:
            return _from_match(name, found.groupdict(), text, place)
    raise FormatError("date-text", place, "date-unknown", "the wording is none of the 14 forms of an unknown date")


def _from_match(name: str, parts: dict[str, str | None], text: str, place: str) -> DomainDate:
    if name == "unknown":
        return DomainDate(value="00000000", text=text, pattern=name)
    month, day = int(parts.get("month") or 0), int(parts.get("day") or 0)
    year = _year(parts, month, day, place)
    if month > 12 or day > 31 or (parts.get("month") and month == 0) or (parts.get("day") and day == 0):
        raise FormatError("date-text", place, "date-unknown", "the wording of the unknown date names no possible day")
    latest: str | None = None
    if parts.get("season"):
        latest = f"{year:04}{_SEASONS[parts['season'] or ''][1]:02}31"
    if parts.get("third"):
        latest = f"{year:04}{month:02}{min(_THIRDS[parts['third'] or ''][1], days_in_month(year, month)):02}"
    if parts.get("day2"):
        month2, day2 = int(parts.get("month2") or month), int(parts["day2"] or 0)
        if not (1 <= month2 <= 12 and 1 <= day2 <= 31 and (month2, day2) >= (month, day)):
            raise FormatError("date-text", place, "date-unknown", "the wording of the unknown date names a span that ends before it begins")
        latest = f"{year:04}{month2:02}{day2:02}"
    return DomainDate(value=f"{year:04}{month:02}{day:02}", text=text, pattern=name, latest=latest)


def _year(parts: dict[str, str | None], month: int, day: int, place: str) -> int:
    if parts.get("year"):
        return int(parts["year"] or 0)
    era = next(known for known in eras() if known.name == parts["era"])
    era_year = 1 if parts["era_year"] == "元" else int(parts["era_year"] or 0)
    year = era.first_year + era_year - 1
    earliest, latest = f"{year:04}{month or 12:02}{day or 31:02}", f"{year:04}{month or 1:02}{day or 1:02}"
    if era_year == 0 or latest > era.last or earliest < era.first:
        raise FormatError("date-text", place, "date-unknown", "the wording of the unknown date names a year that its era does not have")
    return year


def era_of(value: str) -> Era | None:
    """The era of a day (the later one on a day of two); None before Meiji and for a wholly unknown date."""
    for era in reversed(eras()):
        if era.first <= value:
            return era
    return None


def display(date: DomainDate, *, gregorian: bool = False) -> str:
    """The date as certificates and screens show it: Japanese era; Gregorian for a foreigner's birth date and the end of a period of stay
    (住民記録システム標準仕様書 1.1.9). An unknown date shows its wording."""
    if date.text is not None:
        return date.text
    year, month, day = int(date.value[:4]), int(date.value[4:6]), int(date.value[6:])
    era = era_of(date.value)
    if gregorian or era is None:
        return f"{year}年{month}月{day}日"
    era_year = year - era.first_year + 1
    return f"{era.name}{'元' if era_year == 1 else era_year}年{month}月{day}日"


def from_era(era_name: str, era_year: int, month: int, day: int, place: str = "-") -> DomainDate:
    """A day from era and year; days on which two eras meet may be written in either (明治45年7月30日, 大正15年12月25日).

    :raises FormatError: ``date-invalid`` where the era did not have that day.
    """
    for era in eras():
        if era.name == era_name:
            value = f"{era.first_year + era_year - 1:04}{month:02}{day:02}"
            if era_year >= 1 and era.first <= value <= era.last and month <= 12 and day <= 31:
                return DomainDate(value=value)
    raise FormatError("date-invalid", place, "date-era", "the era does not have that day")
