"""Reports for operators: what was refused on a day, that somebody has looked at it, and statistics. The port, the bodies, the handlers."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Protocol

from aiohttp import web

from gateway.admin import bodies
from gateway.admin.identity import require_party
from gateway.admin.service import NotFound
from gateway.admin.wire import ACTOR, Handler
from gateway.errors import InputRefused


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusalLine:
    """How often somebody was refused for one reason."""

    kind: str
    who: str
    code: str
    rule: str
    what: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DayCheck:
    """That somebody has looked at it."""

    checked_by: str
    checked_at: dt.datetime
    result: str
    same: bool
    """It was what the report says now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusalReport:
    """What was refused on one day in Japan."""

    day: dt.date
    over: bool
    digest: str
    refusals: tuple[RefusalLine, ...]
    checks: tuple[DayCheck, ...]
    unchecked: tuple[dt.date, ...]
    """Days of the month before this one at which nobody has looked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatisticsLine:
    """How much of one type went to one party."""

    party: str | None
    message_type: str | None
    outcome: str
    provisions: int | None
    """None: it stands for fewer residents than may be told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """Provisions of a month."""

    month: str
    minimum: int
    """Numbers for fewer residents than this are left out."""
    lines: tuple[StatisticsLine, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportCount:
    """How much of one type a department handed in, and what became of it."""

    message_type: str | None
    supplier: str | None
    accepted: int
    waiting: int
    set_aside: int
    refused: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportLine:
    """One record, by its sender's id of it."""

    record: str
    message_type: str | None
    supplier: str | None
    party: str | None
    outcome: str
    code: str | None
    place: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """What one of our systems handed in on one day in Japan (確認用帳票)."""

    system: str
    day: dt.date
    over: bool
    counts: tuple[ImportCount, ...]
    missing: tuple[str, ...]
    """Departments of which nothing came."""
    records: tuple[ImportLine, ...]
    left_off: int
    """Accepted records beyond the longest list; all others are in it."""
    digest: str
    """Of all records with what became of them, those beyond the list as well."""
    checks: tuple[DayCheck, ...]
    checked: bool
    """Two persons or more have looked at it as it is now (C-1-2-6)."""


class ReportService(Protocol):
    """Reports behind the API. ``actor`` is the person on record."""

    async def refusals(self, day: dt.date) -> RefusalReport:
        """What was refused on a day."""
        ...

    async def imports(self, system: str, day: dt.date) -> ImportReport:
        """What a system handed in on a day, and what became of each record.

        :raises NotFound: no sending system.
        """
        ...

    async def check_import(self, actor: str, system: str, day: dt.date, seen_digest: str, result: str) -> ImportReport:
        """Put on record that somebody has looked at an import report, and what came of it; several persons do (C-1-2-6).

        :raises NotFound: no sending system; :raises CommandRefused: ``changed-meanwhile``; ``same-person``: who has looked at it already.
        """
        ...

    async def check(self, actor: str, day: dt.date, seen_digest: str, result: str) -> RefusalReport:
        """Put on record that somebody has looked, and what came of it.

        :raises CommandRefused: ``day-not-over``; ``changed-meanwhile``.
        """
        ...

    async def statistics(self, actor: str, month: str, reason: str) -> Statistics:
        """Numbers of a month that is over; on record before anybody sees them.

        :raises InputRefused: no month; :raises CommandRefused: ``month-not-over``.
        """
        ...


class CheckBody(bodies.Body):
    seen_digest: bodies.Digest
    result: bodies.Reason


class StatisticsBody(bodies.Body):
    month: str
    reason: bodies.Reason


class ReportApi:
    """The handlers, by the names of the operations. Whoever acts for some parties only gets neither report: both are about all."""

    def __init__(self, service: ReportService | None) -> None:
        self._given = service

    @property
    def _service(self) -> ReportService:
        if self._given is None:
            raise NotFound("no-such-path", "this gateway makes no reports")
        return self._given

    def handlers(self) -> dict[str, Handler]:
        return {
            "refusals": self.refusals, "check_day": self.check, "statistics": self.statistics, "imports": self.imports,
            "check_import": self.check_import,
        }  # fmt: skip

    async def refusals(self, request: web.Request) -> web.StreamResponse:
        require_party(request[ACTOR], None)
        return bodies.answer(bodies.plain(await self._service.refusals(_day(request))))

    async def check(self, request: web.Request) -> web.StreamResponse:
        require_party(request[ACTOR], None)
        body = await bodies.read_body(request, CheckBody)
        report = await self._service.check(request[ACTOR].name, _day(request), body.seen_digest, body.result)
        return bodies.answer(bodies.plain(report))

    async def imports(self, request: web.Request) -> web.StreamResponse:
        require_party(request[ACTOR], None)
        return bodies.answer(bodies.plain(await self._service.imports(request.match_info["system"], _day(request))))

    async def check_import(self, request: web.Request) -> web.StreamResponse:
        require_party(request[ACTOR], None)
        body = await bodies.read_body(request, CheckBody)
        place = request.match_info["system"], _day(request)
        return bodies.answer(bodies.plain(await self._service.check_import(request[ACTOR].name, *place, body.seen_digest, body.result)))

    async def statistics(self, request: web.Request) -> web.StreamResponse:
        require_party(request[ACTOR], None)
        body = await bodies.read_body(request, StatisticsBody)
        return bodies.answer(bodies.plain(await self._service.statistics(request[ACTOR].name, body.month, body.reason)))


def _day(request: web.Request) -> dt.date:
    try:
        return dt.date.fromisoformat(request.match_info["day"])
    except ValueError as error:
        raise InputRefused("query-malformed", "must be a day such as 2026-11-23", place="day") from error
