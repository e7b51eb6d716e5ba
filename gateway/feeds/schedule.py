"""When something is due: once a day or every hour, in Japan; on every day, or on business days only. Pure.

Japan has no summer time (JST is UTC+9 for all dates that matter here), so a day has 24 hours and moments can be counted.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Final

from gateway.retention.calendar import JST, BusinessCalendar

HOUR_S: Final = 3600
DAY_S: Final = 86_400
_SEARCH_DAYS: Final = 400
"""Further than any row of holidays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Moments, in seconds since 1970 UTC."""

    hour: int | None
    """None: every hour."""
    minute: int
    calendar: BusinessCalendar | None = None
    """Only on its business days; None: on every day."""

    @classmethod
    def parse(cls, text: str, calendar: BusinessCalendar | None = None) -> Schedule:
        """``HH:MM`` or ``*:MM``, as the configuration has checked it."""
        hour, _, minute = text.partition(":")
        return cls(hour=None if hour == "*" else int(hour), minute=int(minute), calendar=calendar)

    @property
    def every_s(self) -> int:
        """From one moment to the next, where no day is left out."""
        return HOUR_S if self.hour is None else DAY_S

    def latest(self, now: float) -> float:
        """The last moment that is not after ``now``."""
        at = self._at_or_before(now)
        for _ in range(_SEARCH_DAYS * 24):
            if self._counts(at):
                break
            at -= self.every_s
        return at

    def following(self, moment: float) -> float:
        """The first moment after ``moment``."""
        at = self._at_or_before(moment) + self.every_s
        for _ in range(_SEARCH_DAYS * 24):
            if self._counts(at):
                break
            at += self.every_s
        return at

    def missed(self, done: float, now: float) -> int:
        """How many moments after ``done``, the last one that was served, are past and are not the latest one."""
        latest, count, at = self.latest(now), 0, self.following(done)
        while at < latest:
            count, at = count + 1, self.following(at)
        return count

    def _at_or_before(self, now: float) -> float:
        here = dt.datetime.fromtimestamp(now, JST)
        hour = here.hour if self.hour is None else self.hour
        at = here.replace(hour=hour, minute=self.minute, second=0, microsecond=0).timestamp()
        return at if at <= now else at - self.every_s

    def _counts(self, at: float) -> bool:
        return self.calendar is None or self.calendar.is_business_day(dt.datetime.fromtimestamp(at, JST).date())
