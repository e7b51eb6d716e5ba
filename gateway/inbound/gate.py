"""When a party's questions are taken at all: hours of service, a bound on open questions, and each request id once at a time.

Asked before anything else is done with a question; what is not taken is answered at once, with the reason (C-1-2-20 has the kiosks behind
it: a citizen stands there and waits). Hours are Japanese time by the business clock (R21). Nothing here outlives the process.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import secrets
import time
from collections.abc import Callable, Iterator
from typing import Final

from gateway.config_traffic import Inbound, ServiceHours
from gateway.errors import InputRefused, Unavailable
from gateway.retention.calendar import JST, BusinessCalendar
from message_formats.message import Message

SHORTEST_ID: Final = 20
"""Characters of a request id: shorter ones can be guessed, or repeat."""
KIND, ID = "certificate_type", "request_id"


class NotTaken(Unavailable):
    """Not now: ``outside-service-hours``, or ``too-many-questions``."""


class Gate:
    """The gate of one party's listener. For one event loop."""

    def __init__(self, wanted: Inbound, calendar: BusinessCalendar, *, clock: Callable[[], float] = time.time) -> None:
        self._hours, self._closed, self._most = wanted.hours, frozenset(wanted.closed), wanted.most_questions
        self._calendar, self._clock = calendar, clock
        self._open: set[str] = set()

    def require_room(self) -> None:
        """Costs nothing, so that what is too much is answered before anything is done for it.

        :raises NotTaken: ``too-many-questions``.
        """
        if len(self._open) >= self._most:
            raise NotTaken("too-many-questions", "as many questions as are allowed at once are open: come again")

    @contextlib.contextmanager
    def enter(self, question: Message, offset_s: float) -> Iterator[None]:
        """A question is under way while the block runs. ``offset_s``: of the business clock.

        :raises NotTaken: not now; :raises InputRefused: ``request-id-guessable``, ``request-id-in-use``.
        """
        self.require_room()
        request_id = question.items.get(ID) or ""
        if not self._serving(question.items.get(KIND), dt.datetime.fromtimestamp(self._clock() + offset_s, JST)):
            raise NotTaken("outside-service-hours", "questions of this kind are not answered at this hour")
        if ID in question.items and len(request_id) < SHORTEST_ID:
            raise InputRefused("request-id-guessable", f"a request id has {SHORTEST_ID} characters or more", place=f"/*/{ID}", rule="F5-1")
        if request_id in self._open:
            raise InputRefused("request-id-in-use", "a question with this request id is open", place=f"/*/{ID}", rule="F5-1")
        place = request_id or secrets.token_hex(8)
        self._open.add(place)
        try:
            yield
        finally:
            self._open.discard(place)

    def _serving(self, kind: str | None, now: dt.datetime) -> bool:
        if now.strftime("%m-%d") in self._closed or now.strftime("%Y-%m-%d") in self._closed:
            return False
        named = [each for each in self._hours if kind is not None and kind in each.kinds]
        hours = named or [each for each in self._hours if not each.kinds]
        return not self._hours or any(self._within(each, now) for each in hours)

    def _within(self, hours: ServiceHours, now: dt.datetime) -> bool:
        if hours.business_days and not self._calendar.is_business_day(now.date()):
            return False
        return hours.opens <= now.strftime("%H:%M") < hours.closes
