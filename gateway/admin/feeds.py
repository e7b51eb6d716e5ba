"""Feeds and import reports on the ledger: see :class:`gateway.admin.feeds_api.FeedService`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from gateway.admin.feeds_api import AnomalyView, BatchView, FeedView, RecordView
from gateway.feeds.judging import Expected
from gateway.ledger import anomalies, fetching
from gateway.ledger.anomalies import Known
from gateway.ledger.fetching import Batch
from gateway.ledger.ledger import Ledger

_CLEARED_SHOWN = 50


class LedgerFeeds:
    """For one event loop."""

    def __init__(self, ledger: Ledger, feeds: Sequence[Expected]) -> None:
        self._ledger, self._feeds = ledger, {each.name: each for each in feeds}

    async def feeds(self) -> tuple[Sequence[FeedView], Sequence[AnomalyView]]:
        """See the port."""
        now = await self._ledger.read(fetching.business_now)
        opened = await self._ledger.read(anomalies.open_ones)
        latest = await self._ledger.read(lambda conn: anomalies.latest(conn, _CLEARED_SHOWN))
        states = {each.link: each.kind for each in opened if each.kind != "lag"}
        shown = [await self._shown(each, now, states.get(each.name, "normal")) for each in self._feeds.values()]
        known = {each.id for each in opened}
        return shown, [self._anomaly(each) for each in (*opened, *(each for each in latest if each.id not in known))]

    async def _shown(self, feed: Expected, now: float, state: str) -> FeedView:
        schedule, kind = feed.schedule, feed.type
        if kind is None:
            arrival = await self._ledger.read(lambda conn: anomalies.fetched(conn, feed.party))
        else:
            first = schedule.latest(schedule.latest(now) - 1)
            arrival = await self._ledger.read(lambda conn: anomalies.handed_in(conn, feed.party, kind, first))
        return FeedView(
            feed=feed.name,
            party=feed.party,
            type=kind,
            last_at=None if arrival.at is None else _utc(arrival.at),
            last_records=arrival.records,
            next_at=_utc(schedule.following(now)),
            state=state,
        )

    def _anomaly(self, known: Known) -> AnomalyView:
        feed = self._feeds.get(known.link)
        return AnomalyView(
            anomaly_id=known.id,
            link=known.link,
            party=feed.party if feed is not None else known.link,
            kind=known.kind,
            cause=known.cause,
            since=_utc(known.since),
            raised_at=_utc(known.raised_at),
            cleared_at=None if known.cleared_at is None else _utc(known.cleared_at),
        )

    async def batches(self, party: str | None, limit: int) -> Sequence[BatchView]:
        """See the port."""
        found = await self._ledger.read(lambda conn: fetching.batches(conn, party=party, limit=limit))
        return [_report(each) for each in found]

    async def batch(self, batch_id: str) -> tuple[BatchView, Sequence[RecordView]] | None:
        """See the port."""
        found = await self._ledger.read(lambda conn: fetching.batch_named(conn, batch_id))
        if found is None:
            return None
        batch, records = found
        return _report(batch), [
            RecordView(
                number=each.number, record=each.record, outcome=each.outcome, code=each.code, message_id=each.message_id,
                duplicate=each.duplicate, items_dropped=each.items_dropped,
            )
            for each in records
        ]  # fmt: skip


def _report(batch: Batch) -> BatchView:
    return BatchView(
        batch_id=batch.id,
        party=batch.party,
        batch=batch.batch,
        imported_at=_utc(batch.imported_at),
        records=batch.records,
        accepted=batch.accepted,
        set_aside=batch.set_aside,
        refused=batch.refused,
        items_dropped=batch.items_dropped,
        acknowledged_at=None if batch.acknowledged_at is None else _utc(batch.acknowledged_at),
    )


def _utc(at: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(at, dt.UTC)
