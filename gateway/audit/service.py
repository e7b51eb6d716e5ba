"""The record as the admin API shows it (:class:`gateway.admin.audit.AuditRecord`), on the ledger."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
from collections.abc import AsyncIterator, Collection, Mapping
from typing import Any

from gateway.admin.audit import EntryQuery
from gateway.admin.service import NotFound
from gateway.audit import looking, queries
from gateway.audit.export import block_text
from gateway.audit.operations import RecordReading
from gateway.audit.sources import LedgerSource
from gateway.errors import InputRefused
from gateway.ledger.ledger import Ledger


class LedgerAuditRecord:
    """See the port. Belongs to the event loop."""

    def __init__(self, ledger: Ledger, parties: Collection[str]) -> None:
        self._ledger = ledger
        self._parties = parties

    async def entries(self, query: EntryQuery) -> Mapping[str, Any]:
        """See the port."""
        wanted = looking.Wanted(
            message_id=query.message,
            party=query.party,
            actor=query.actor,
            kind=query.kind,
            after=query.after,
            since=None if query.since is None else query.since.timestamp(),
            until=None if query.until is None else query.until.timestamp(),
            limit=query.limit,
        )
        found = await self._ledger.read(lambda conn: looking.entries(conn, wanted))
        items = [
            {
                "id": each.id, "at": _utc(each.at), "kind": each.kind, "actor": each.actor, "message_id": each.message_id,
                "delivery_id": each.delivery_id, "party": each.party, "detail": each.detail, "block": each.block,
            }
            for each in found
        ]  # fmt: skip
        return {"items": items, "next_after": found[-1].id if len(found) == query.limit else None}

    async def scope(self, actor: str, party: str, since: dt.datetime, until: dt.datetime) -> Mapping[str, Any]:
        """See the port."""
        if party not in self._parties:
            raise NotFound("no-such-party", "there is no such party")
        span = {"from": _utc(since.timestamp()), "to": _utc(until.timestamp())}
        await self._ledger.submit(RecordReading(kind="scope-read", actor=actor, party=party, detail=span))
        found = await self._ledger.read(lambda conn: looking.scope(conn, party, since.timestamp(), until.timestamp()))
        return {
            "party": party,
            **span,
            "subjects": list(found.subjects),
            "without_subject": sum(each.subject is None for each in found.passages),
            "unchained": found.unchained,
            "items": [
                {
                    "message_id": each.message_id, "type": each.type, "subject": each.subject, "delivery_id": each.delivery_id,
                    "first_at": _utc(each.first_at), "last_at": _utc(each.last_at), "outcome": each.outcome, "kinds": list(each.kinds),
                }
                for each in found.passages
            ],
        }  # fmt: skip

    async def checkpoints(self) -> Mapping[str, Any]:
        """See the port."""
        found = await self._ledger.read(queries.checkpoints)
        return {
            "items": [
                {
                    "number": each.number, "block": each.block, "text": each.text, "signature": base64.b64encode(each.signature).decode(),
                    "timestamp": None if each.token is None else base64.b64encode(each.token).decode(),
                }
                for each in found
            ]
        }  # fmt: skip

    async def export(self, actor: str, first: int, last: int | None) -> AsyncIterator[bytes]:
        """See the port."""
        head = await self._ledger.read(queries.head)
        end = min(head.number if head is not None else 0, last or 2**31)
        if end < first and (last is not None or first > 1):
            raise InputRefused("query-malformed", "there are no such blocks", place="first")
        await self._ledger.submit(RecordReading(kind="audit-exported", actor=actor, detail={"first": first, "last": end}))
        blocks = LedgerSource(self._ledger.engine.read_here, after=first - 1, up_to=end).blocks()

        def piece() -> bytes:
            text = bytearray()
            for block, rows in blocks:
                text += block_text(block, rows)
                if len(text) > 500_000:
                    break
            return bytes(text)

        async def pieces() -> AsyncIterator[bytes]:
            while text := await asyncio.to_thread(piece):
                yield text

        return pieces()


def _utc(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
