"""Feeds, anomalies of links, and import reports of what was fetched: the port behind the API, its values, and the handlers."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from aiohttp import web

from gateway.admin import bodies
from gateway.admin.service import NotFound
from gateway.admin.wire import ACTOR, Handler, page_limit, party_of, visible


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedView:
    """One feed. Times: business time."""

    feed: str
    party: str
    type: str | None
    last_at: dt.datetime | None
    """When it last came, as far back as is looked."""
    last_records: int | None
    next_at: dt.datetime
    state: str
    """``normal``, or the kind of its anomaly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnomalyView:
    """One anomaly of a feed or link; no personal data."""

    anomaly_id: str
    link: str
    party: str
    """Whom it concerns."""
    kind: str
    cause: str
    since: dt.datetime
    raised_at: dt.datetime
    cleared_at: dt.datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchView:
    """The import report of one batch (C-1-2-18)."""

    batch_id: str
    party: str
    batch: str
    imported_at: dt.datetime
    records: int
    accepted: int
    set_aside: int
    refused: int
    items_dropped: int
    acknowledged_at: dt.datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordView:
    """What became of one record. Its key stands in the message (``renkei message``) or in what was kept (``renkei quarantine``)."""

    number: int
    record: str
    outcome: str
    code: str | None
    message_id: str | None
    duplicate: bool
    items_dropped: int


class FeedService(Protocol):
    """Looks only. All methods may raise Unavailable."""

    async def feeds(self) -> tuple[Sequence[FeedView], Sequence[AnomalyView]]:
        """Every feed, and the anomalies: open ones first, then the latest."""
        ...

    async def batches(self, party: str | None, limit: int) -> Sequence[BatchView]:
        """Import reports, newest first."""
        ...

    async def batch(self, batch_id: str) -> tuple[BatchView, Sequence[RecordView]] | None:
        """One of them with every record; by our id or the party's."""
        ...


class FeedApi:
    """The handlers, by the names of the operations."""

    def __init__(self, service: FeedService | None) -> None:
        self._given = service

    @property
    def _service(self) -> FeedService:
        if self._given is None:
            raise NotFound("no-such-path", "this gateway watches no feeds")
        return self._given

    def handlers(self) -> dict[str, Handler]:
        return {name: getattr(self, name) for name in ("feeds", "batches", "batch")}

    async def feeds(self, request: web.Request) -> web.StreamResponse:
        feeds, anomalies = await self._service.feeds()
        return bodies.answer(
            {"feeds": bodies.plain(visible(request, feeds)), "anomalies": bodies.plain(visible(request, anomalies))}
        )  # fmt: skip

    async def batches(self, request: web.Request) -> web.StreamResponse:
        party = request.query.get("party")
        if party is not None:
            party_of(request, party)
        return bodies.answer({"items": bodies.plain(visible(request, await self._service.batches(party, page_limit(request))))})

    async def batch(self, request: web.Request) -> web.StreamResponse:
        found = await self._service.batch(request.match_info["batch_id"])
        if found is None or not request[ACTOR].may_see(found[0].party):
            raise NotFound("batch-unknown", "there is no such batch")
        report, records = found
        return bodies.answer({**bodies.plain(report), "items": bodies.plain(list(records))})
