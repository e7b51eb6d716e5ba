"""Commands on record: what one person asked for and another decided, read for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from gateway.ledger import tables as t
from gateway.ledger.clock import ledger_time


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundRequest:
    """A command on record."""

    id: str
    kind: str
    delivery_id: str | None
    subject: str | None
    party: str | None
    seen_state: str
    seen_digest: bytes
    argument: str | None
    content_digest: bytes | None
    payload_id: str | None
    reason: str
    requested_by: str
    requested_at: float
    expires_at: float
    status: str
    decided_by: str | None
    decided_at: float | None
    used_at: float | None
    outcome: str | None


_REQUEST = list(FoundRequest.__dataclass_fields__)

Waiting = Mapping[str, Sequence[tuple[str, str]]]
"""Delivery → requests about it that wait for a second person: (id, kind)."""


def waiting_requests(conn: Connection, delivery_ids: Iterable[str]) -> Waiting:
    """For each of these deliveries what waits; a mere look into it does not count."""
    c = t.command.c
    query = select(c.delivery_id, c.id, c.kind).where(
        c.delivery_id.in_(list(delivery_ids)), c.status == "waiting", c.expires_at > ledger_time(conn), c.kind != "reveal"
    )
    found: dict[str, list[tuple[str, str]]] = {}
    for delivery_id, request_id, kind in conn.execute(query.order_by(c.id)):
        found.setdefault(delivery_id, []).append((request_id, kind))
    return found


def requests(conn: Connection, *, waiting_only: bool, limit: int = 1000) -> list[FoundRequest]:
    """Commands, newest first; one that nobody decided in time is shown as expired."""
    now = ledger_time(conn)
    query = select(*(t.command.c[name] for name in _REQUEST)).order_by(t.command.c.requested_at.desc(), t.command.c.id.desc()).limit(limit)
    if waiting_only:
        query = query.where(t.command.c.status == "waiting", t.command.c.expires_at > now)
    return [_request(row, now) for row in conn.execute(query)]


def request(conn: Connection, request_id: str) -> FoundRequest | None:
    """One command."""
    row = conn.execute(select(*(t.command.c[name] for name in _REQUEST)).where(t.command.c.id == request_id)).first()
    return None if row is None else _request(row, ledger_time(conn))


def _request(row: Any, now: float) -> FoundRequest:
    values = dict(row._mapping)
    values["seen_digest"] = bytes(values["seen_digest"])
    values["content_digest"] = None if values["content_digest"] is None else bytes(values["content_digest"])
    if values["status"] in ("waiting", "approved") and values["expires_at"] <= now:
        values["status"] = "expired"
    return FoundRequest(**values)
