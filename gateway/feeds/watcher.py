"""Watches feeds and links, in one gateway process at a time: what is abnormal is raised, told, and cleared when it is over.

Detection depends on nobody looking (FM-1): an anomaly is a row of the ledger with an entry of the record, a line of the log at level
*error*, a metric, a finding of ``renkei check``, and, where the party ``gateway-operators`` is configured, a ``link-anomaly-alert`` to it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from gateway.errors import GatewayError
from gateway.feeds.judging import LAG, UNRECONCILED, Anomaly, Arrival, Expected, of_feed, of_link
from gateway.feeds.words import next_step
from gateway.ledger import anomalies, fetching
from gateway.ledger.anomalies import BeginWatch, Judge, Known
from gateway.ledger.leases import TakeLease
from gateway.ledger.ledger import Ledger

LEASE: Final = "feeds"

_log = logging.getLogger(__name__)

Alert = Callable[[Known, float], Awaitable[None]]
"""Tells the operators of an anomaly, at that business time."""


class Watcher:
    """See the module's text. For one event loop."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        registration: Callable[[], str],
        feeds: Sequence[Expected],
        lags: Mapping[str, float],
        look_s: float,
        alert: Alert | None = None,
    ) -> None:
        """:param lags: party → how long something may be under way to it, in seconds."""
        self._ledger, self._registration, self._feeds, self._lags, self._look_s = ledger, registration, feeds, lags, look_s
        self._alert = alert
        self._untold: dict[str, Known] = {}
        self.open: tuple[Known, ...] = ()
        """For the metric: as the last look found them."""
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Look from now on."""
        self._task = asyncio.create_task(self._keep(), name="feeds")

    async def stop(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):  # our own
                await self._task

    async def look(self) -> None:
        """Judge every feed and link once, if this process is the one that does.

        :raises LedgerUnavailable: nothing was judged.
        """
        now = await self._ledger.read(fetching.business_now)
        held = await self._ledger.submit(TakeLease(name=LEASE, worker=self._registration(), keep=True))
        if held is not None:
            since: float = await self._ledger.submit(BeginWatch(now=now))
            found = await self._found(now, since)
            judged = await self._ledger.submit(Judge(held=held, now=now, found=found, keep=frozenset({UNRECONCILED})))
            if judged is not None:
                await self._tell(judged, now)
        self.open = tuple(await self._ledger.read(anomalies.open_ones))

    async def _found(self, now: float, since: float) -> list[Anomaly]:
        found = []
        for feed in self._feeds:
            if (anomaly := of_feed(feed, await self._arrival(feed, now), now, since)) is not None:
                found.append(anomaly)
        under = await self._ledger.read(lambda conn: anomalies.under_way(conn, self._lags))
        for party, lag_s in self._lags.items():
            if (anomaly := of_link(party, under.get(party), now, lag_s)) is not None:
                found.append(anomaly)
        return found

    async def _arrival(self, feed: Expected, now: float) -> Arrival:
        if feed.type is None:
            return await self._ledger.read(lambda conn: anomalies.fetched(conn, feed.party))
        kind = feed.type
        first = feed.schedule.latest(feed.schedule.latest(now - feed.grace_s) - 1)
        return await self._ledger.read(lambda conn: anomalies.handed_in(conn, feed.party, kind, first))

    async def _tell(self, judged: tuple[list[Known], list[Known]], now: float) -> None:
        told, cleared = judged
        for each in told:
            _log.error(
                "link-anomaly", extra={"party": each.link, "state": each.kind, "code": each.cause, "reason": next_step(each.cause, "en")}
            )
            self._untold[each.id] = each
        for each in cleared:
            _log.warning("link-anomaly-cleared", extra={"party": each.link, "state": each.kind})
            self._untold.pop(each.id, None)
        if self._alert is None:
            self._untold.clear()
        for each in list(self._untold.values()):
            await self._alert(each, now)  # type: ignore[misc]  # there is one, or nothing is untold
            self._untold.pop(each.id, None)

    async def _keep(self) -> None:
        while True:
            try:
                await self.look()
            except GatewayError as error:
                _log.error("feeds-not-watched", extra={"code": error.code})
            except Exception as error:  # a bug must not end it for good
                _log.critical("feeds-not-watched", extra={"error": type(error).__name__})
            await asyncio.sleep(self._look_s)


__all__ = ["LAG", "LEASE", "Watcher"]
