"""What the handlers of the admin API share: who asks, from where, and for which parties."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

from aiohttp import web

from gateway.admin.identity import Actor, require_party
from gateway.admin.service import MessageView
from gateway.errors import InputRefused, PeerRefused

ACTOR = web.RequestKey("actor", Actor)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
T = TypeVar("T")
MOST = 1000


def address_of(request: web.Request) -> str | None:
    """The terminal's address, as the connection shows it; no header can claim another."""
    peer = request.transport.get_extra_info("peername") if request.transport is not None else None
    return str(peer[0]) if isinstance(peer, tuple) and peer else None


def page_limit(request: web.Request) -> int:
    """How many items are asked for.

    :raises InputRefused: no number from 1 to 1000.
    """
    try:
        limit = int(request.query.get("limit", "100"))
    except ValueError as error:
        raise InputRefused("query-malformed", "must be a whole number", place="limit") from error
    if not 1 <= limit <= MOST:
        raise InputRefused("query-malformed", f"must be 1 to {MOST}", place="limit")
    return limit


def party_of(request: web.Request, party: str) -> str:
    """``party``, if this person may act for it; :raises PeerRefused: not so."""
    require_party(request[ACTOR], party)
    return party


def visible(request: web.Request, items: Iterable[Any]) -> list[Any]:
    """Those with a ``party`` that concerns this person."""
    return [each for each in items if request[ACTOR].may_see(each.party)]


def require_delivery(request: web.Request, found: MessageView, delivery_id: str | None = None) -> MessageView:
    """The message as far as it concerns this person: deliveries to other parties, and what happened to them, are left out.

    :raises PeerRefused: ``party-forbidden``: nothing of it, or not this delivery.
    """
    actor = request[ACTOR]
    if actor.parties is None:
        return found
    mine = tuple(each for each in found.deliveries if actor.may_see(each.party))
    ids = {each.delivery_id for each in mine}
    if not mine or (delivery_id is not None and delivery_id in {each.delivery_id for each in found.deliveries} - ids):
        raise PeerRefused("party-forbidden", f"{actor.name} may act for other parties only", rule="C-1-3-15")
    timeline = tuple(each for each in found.timeline if each.delivery_id is None or each.delivery_id in ids)
    return dataclasses.replace(found, deliveries=mine, timeline=timeline)
