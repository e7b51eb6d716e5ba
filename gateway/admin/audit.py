"""The admin API's part about the record: entries, breach scope, exports. The port, and the routes in front of it.

Looking at single entries is for every viewer. A scope and an export are larger: each is itself an entry of the record, written before the
first byte is answered.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from aiohttp import web

from gateway.admin import bodies
from gateway.admin.identity import require_party
from gateway.admin.wire import ACTOR, Handler, party_of
from gateway.errors import InputRefused, Unavailable

MOST: Final = 1000
_TEXTS: Final = ("message", "party", "actor", "kind", "after")


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryQuery:
    """Which entries; what is None does not matter."""

    message: str | None
    party: str | None
    actor: str | None
    kind: str | None
    after: str | None
    since: dt.datetime | None
    until: dt.datetime | None
    limit: int


class AuditRecord(Protocol):
    """What the routes need. All values are ready for JSON."""

    async def entries(self, query: EntryQuery) -> Mapping[str, Any]:
        """``items``, newest first, and ``next_after``."""
        ...

    async def scope(self, actor: str, party: str, since: dt.datetime, until: dt.datetime) -> Mapping[str, Any]:
        """Whose data passed a party between two times. Raises NotFound for a party that there is not."""
        ...

    async def checkpoints(self) -> Mapping[str, Any]:
        """All signed checkpoints."""
        ...

    async def export(self, actor: str, first: int, last: int | None) -> AsyncIterator[bytes]:
        """The text of these blocks, in pieces."""
        ...


class AuditRoutes:
    """The handlers, by the names of the operations. Whoever acts for some parties only sees their entries, and no export."""

    def __init__(self, record: AuditRecord | None) -> None:
        self._given = record

    @property
    def _record(self) -> AuditRecord:
        if self._given is None:
            raise Unavailable("audit-not-served", "this process does not serve the record")
        return self._given

    def handlers(self) -> dict[str, Handler]:
        return {
            "audit_entries": self.entries,
            "audit_checkpoints": self.checkpoints,
            "audit_scope": self.scope,
            "audit_export": self.export,
        }

    async def entries(self, request: web.Request) -> web.StreamResponse:
        """GET /audit/entries."""
        known = {*_TEXTS, "from", "to", "limit"}
        for name in request.query:
            if name not in known:
                raise InputRefused("query-malformed", "is not a parameter of this", place="query")
        if request[ACTOR].parties is not None:
            require_party(request[ACTOR], request.query.get("party"))
        query = EntryQuery(
            **{name: request.query.get(name) for name in _TEXTS},
            since=_time(request, "from", needed=False),
            until=_time(request, "to", needed=False),
            limit=_number(request, "limit", 100, 1, MOST),
        )
        return bodies.answer(await self._record.entries(query))

    async def scope(self, request: web.Request) -> web.StreamResponse:
        """GET /audit/scope."""
        party = request.query.get("party")
        if not party:
            raise InputRefused("query-malformed", "must be given", place="party")
        since, until = _time(request, "from"), _time(request, "to")
        assert since is not None
        assert until is not None
        if since >= until:
            raise InputRefused("query-malformed", "must be before the end", place="from")
        party_of(request, party)
        return bodies.answer(await self._record.scope(request[ACTOR].name, party, since, until))

    async def checkpoints(self, request: web.Request) -> web.StreamResponse:
        """GET /audit/checkpoints."""
        return bodies.answer(await self._record.checkpoints())

    async def export(self, request: web.Request) -> web.StreamResponse:
        """GET /audit/export: text, as long as it is."""
        require_party(request[ACTOR], None)
        last = _number(request, "last", 0, 1, 2**31 - 1) if "last" in request.query else None
        pieces = await self._record.export(request[ACTOR].name, _number(request, "first", 1, 1, 2**31 - 1), last)
        response = web.StreamResponse(headers={"Content-Type": "text/plain; charset=utf-8", "Cache-Control": "no-store"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        async for piece in pieces:
            await response.write(piece)
        await response.write_eof()
        return response


def _time(request: web.Request, name: str, *, needed: bool = True) -> dt.datetime | None:
    text = request.query.get(name)
    if text is None and not needed:
        return None
    try:
        found = dt.datetime.fromisoformat(text or "")
    except ValueError as error:
        raise InputRefused("query-malformed", "must be a time such as 2026-11-23T09:00:00+09:00", place=name) from error
    if found.tzinfo is None:
        raise InputRefused("query-malformed", "must bear its zone, such as +09:00 or Z", place=name)
    return found


def _number(request: web.Request, name: str, default: int, least: int, most: int) -> int:
    try:
        found = int(request.query.get(name, default))
    except ValueError as error:
        raise InputRefused("query-malformed", "must be a whole number", place=name) from error
    if not least <= found <= most:
        raise InputRefused("query-malformed", f"must be {least} to {most}", place=name)
    return found
