"""Reports on the ledger: see :class:`gateway.admin.reports_api.ReportService`.

Days and months are those of Japan, on the ledger's clock. Statistics are made of whole months that are over, in one fixed breakdown:
whoever could choose both would learn what was left out from the difference of two answers.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping

from gateway.admin import views
from gateway.admin.reports_api import (
    DayCheck,
    ImportCount,
    ImportLine,
    ImportReport,
    RefusalLine,
    RefusalReport,
    Statistics,
    StatisticsLine,
)
from gateway.admin.service import NotFound
from gateway.errors import CommandRefused, InputRefused
from gateway.ledger import imports, reports
from gateway.ledger.ledger import Ledger
from gateway.ledger.operators import RecordAccess
from gateway.policy.rights import JAPAN

MINIMUM = 10
"""Residents that a number of the statistics stands for at least (C-1-3-30)."""
LOOK_BACK_DAYS = 31
MOST_ACCEPTED = 10_000
"""Accepted records that an import report lists; their number is always whole."""


class LedgerReports:
    """For one event loop.

    :param without: types of which no statistics are made (C-3-3-8).
    :param systems: the sending systems, with the departments behind each.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        without: Collection[str],
        systems: Mapping[str, Collection[str]] | None = None,
        clock: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        self._ledger = ledger
        self._systems = systems or {}
        self._without = frozenset(without)
        self._clock = clock

    async def refusals(self, day: dt.date) -> RefusalReport:
        """See the port."""
        since, until = _span(day, day + dt.timedelta(days=1))
        found = await self._ledger.read(lambda conn: reports.refusals(conn, since, until))
        first = day - dt.timedelta(days=LOOK_BACK_DAYS)
        checks = await self._ledger.read(lambda conn: reports.checks(conn, first.isoformat(), day.isoformat()))
        begun = await self._ledger.read(reports.begun)
        digest = reports.digest_of(found)
        names = ("kind", "who", "code", "rule", "what", "count")
        return RefusalReport(
            day=day,
            over=self._clock().timestamp() >= until,
            digest=digest,
            refusals=tuple(RefusalLine(**{name: getattr(each, name) for name in names}) for each in found),
            checks=_checks([each for each in checks if each.day == day.isoformat()], digest),
            unchecked=tuple(_without_check(first, day, begun, {each.day for each in checks})),
        )

    async def imports(self, system: str, day: dt.date) -> ImportReport:
        """See the port."""
        if system not in self._systems:
            raise NotFound("no-such-system", "no system of this name hands in messages here")
        since, until = _span(day, day + dt.timedelta(days=1))
        found = await self._ledger.read(lambda conn: list(imports.imported(conn, system, since, until)))
        made = await self._ledger.read(lambda conn: reports.checks(conn, day.isoformat(), day.isoformat(), system))
        digest = imports.digest_of(found)
        counts = Counter((each.type, each.supplier, each.outcome) for each in found)
        groups = sorted({(kind, supplier) for kind, supplier, _ in counts}, key=lambda each: (each[0] or "", each[1] or ""))
        accepted = [each for each in found if each.outcome == imports.ACCEPTED]
        left_off = max(0, len(accepted) - MOST_ACCEPTED)
        out = {id(each) for each in accepted[MOST_ACCEPTED:]}
        return ImportReport(
            system=system,
            day=day,
            over=self._clock().timestamp() >= until,
            counts=tuple(
                ImportCount(
                    message_type=kind, supplier=supplier,
                    **{name.replace("-", "_"): counts[kind, supplier, name] for name in imports.OUTCOMES},
                )
                for kind, supplier in groups
            ),
            missing=tuple(sorted(set(self._systems[system]) - {supplier for _, supplier, _ in counts if supplier is not None})),
            records=tuple(
                ImportLine(
                    record=each.record, message_type=each.type, supplier=each.supplier, party=each.party, outcome=each.outcome,
                    code=each.code, place=each.place,
                )
                for each in found
                if id(each) not in out
            ),
            left_off=left_off,
            digest=digest,
            checks=_checks(made, digest),
            checked=len({each.checked_by for each in made if each.digest == digest}) > 1,
        )  # fmt: skip

    async def check_import(self, actor: str, system: str, day: dt.date, seen_digest: str, result: str) -> ImportReport:
        """See the port."""
        found = await self.imports(system, day)
        refused = None
        if found.digest != seen_digest:
            refused = CommandRefused("changed-meanwhile", "this is not what was seen: look again", rule="R13")
        elif any(each.same and each.checked_by == actor for each in found.checks):
            refused = CommandRefused("same-person", "you have checked this report: it takes another person", rule="C-1-2-6")
        if refused is not None:
            detail = {"command": "import-check", "code": refused.code}
            await self._ledger.submit(RecordAccess(kind="command-refused", actor=actor, detail=detail))
            raise refused
        await self._ledger.submit(reports.NoteCheck(actor=actor, day=day.isoformat(), digest=seen_digest, text=result, system=system))
        return await self.imports(system, day)

    async def check(self, actor: str, day: dt.date, seen_digest: str, result: str) -> RefusalReport:
        """See the port."""
        found = await self.refusals(day)
        refused = None
        if not found.over:
            refused = CommandRefused("day-not-over", "only a day that is over is checked", rule="C-2-3-7")
        elif found.digest != seen_digest:
            refused = CommandRefused("changed-meanwhile", "this is not what was seen: look again", rule="R13")
        if refused is not None:
            detail = {"command": "daily-check", "code": refused.code}
            await self._ledger.submit(RecordAccess(kind="command-refused", actor=actor, detail=detail))
            raise refused
        await self._ledger.submit(reports.NoteCheck(actor=actor, day=day.isoformat(), digest=seen_digest, text=result))
        return await self.refusals(day)

    async def statistics(self, actor: str, month: str, reason: str) -> Statistics:
        """See the port."""
        try:
            first = dt.datetime.strptime(month, "%Y-%m").date()
        except ValueError as error:
            raise InputRefused("query-malformed", "must be a month such as 2026-10", place="month") from error
        since, until = _span(first, (first + dt.timedelta(days=31)).replace(day=1))
        if self._clock().timestamp() < until:
            raise CommandRefused("month-not-over", "statistics are made of months that are over", rule="C-1-3-30")
        found = await self._ledger.read(lambda conn: reports.statistics(conn, since, until, self._without))
        left_out = sum(each.residents < MINIMUM for each in found)
        detail = {"month": month, "reason": reason, "lines": len(found), "left_out": left_out}
        # on record before anybody sees it (C-1-3-26)
        await self._ledger.submit(RecordAccess(kind="statistics-made", actor=actor, detail=detail))
        return Statistics(
            month=month,
            minimum=MINIMUM,
            lines=tuple(
                StatisticsLine(
                    party=each.party, message_type=each.type, outcome=each.outcome,
                    provisions=each.provisions if each.residents >= MINIMUM else None,
                )
                for each in found
            ),
        )  # fmt: skip


def _checks(found: Collection[reports.Checked], digest: str) -> tuple[DayCheck, ...]:
    """``digest``: of what the report says now."""
    return tuple(
        DayCheck(checked_by=each.checked_by, checked_at=views.time(each.checked_at), result=each.result, same=each.digest == digest)
        for each in found
    )


def _without_check(first: dt.date, end: dt.date, begun: float | None, looked: Collection[str]) -> Iterator[dt.date]:
    """Days from ``first`` to before ``end`` at which there was a record and nobody looked."""
    while first < end and begun is not None:
        after = first + dt.timedelta(days=1)
        if _span(first, after)[1] > begun and first.isoformat() not in looked:
            yield first
        first = after


def _span(first: dt.date, end: dt.date) -> tuple[float, float]:
    """From the beginning of ``first`` to that of ``end``, in Japan, as ledger time."""
    since, until = (dt.datetime.combine(each, dt.time(), JAPAN).timestamp() for each in (first, end))
    return since, until
