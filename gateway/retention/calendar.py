"""Business days of Japan: no Saturday, no Sunday, no public holiday, and not from 29 December to 3 January
(行政機関の休日に関する法律 第1条).

``jpholiday`` knows the public holidays, but is slow for each call and knows nothing of the turn of the year: answers are kept, and an
*override file* of the city may make a day a holiday or a business day (YAML: ``holidays:`` and ``business-days:``, lists of dates).
Pure but for reading that file; any thread.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import jpholiday
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.errors import ConfigurationError

JST: Final = dt.timezone(dt.timedelta(hours=9), "JST")
ONE_DAY: Final = dt.timedelta(days=1)


class _Overrides(BaseModel):
    model_config = ConfigDict(extra="forbid")

    holidays: list[dt.date] = []
    business_days: list[dt.date] = Field(default=[], alias="business-days")


class BusinessCalendar:
    """Which days are business days, and when what must vanish after some of them is due."""

    def __init__(self, overrides: Mapping[dt.date, bool] | None = None) -> None:
        """:param overrides: day → whether it is a business day, whatever else says."""
        self._known: dict[dt.date, bool] = dict(overrides or {})

    @classmethod
    def of_file(cls, file: Path | None) -> BusinessCalendar:
        """With the city's overrides.

        :raises ConfigurationError: ``holidays-file``: it cannot be read, or says something else, or both of the same day.
        """
        if file is None:
            return cls()
        try:
            found = _Overrides.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")) or {})
        except (OSError, UnicodeDecodeError, yaml.YAMLError, ValidationError) as error:
            raise ConfigurationError(
                "holidays-file", f"retention.holidays: {file.name} must be YAML with the lists of dates holidays: and business-days:"
            ) from error
        both = set(found.holidays) & set(found.business_days)
        if both:
            raise ConfigurationError("holidays-file", f"retention.holidays: {min(both)} is named as both")
        return cls({**dict.fromkeys(found.holidays, False), **dict.fromkeys(found.business_days, True)})

    def is_business_day(self, day: dt.date) -> bool:
        """Kept after the first time it is asked."""
        known = self._known.get(day)
        if known is None:
            turn_of_year = (day.month, day.day) >= (12, 29) or (day.month, day.day) <= (1, 3)
            known = day.weekday() < 5 and not turn_of_year and not jpholiday.is_holiday(day)
            self._known[day] = known
        return known

    def after(self, day: dt.date, business_days: int) -> dt.date:
        """The so-manieth business day after ``day``; 0: ``day`` itself."""
        for _ in range(business_days):
            day += ONE_DAY
            while not self.is_business_day(day):
                day += ONE_DAY
        return day

    def vanishes_at(self, at: float, business_days: int = 1) -> float:
        """The end of the so-manieth business day after that of ``at``; both in seconds since 1970 UTC, days as in Japan (C-3-7-1)."""
        return _start(self.after(_day(at), business_days) + ONE_DAY)

    def due_before(self, now: float, business_days: int = 1) -> float:
        """What is from before this moment has vanished by ``now`` or must vanish now (seconds since 1970 UTC)."""
        day = _day(now)
        while self.vanishes_at(_start(day), business_days) > now:
            day -= ONE_DAY
        return _start(day + ONE_DAY)

    @staticmethod
    def next_midnight(now: float) -> float:
        """When the next day begins in Japan (seconds since 1970 UTC)."""
        return _start(_day(now) + ONE_DAY)


def _day(at: float) -> dt.date:
    return dt.datetime.fromtimestamp(at, JST).date()


def _start(day: dt.date) -> float:
    return dt.datetime.combine(day, dt.time(), JST).timestamp()
