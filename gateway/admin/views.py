"""What the ledger found, as the values of the admin API."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence

from gateway.admin.desk import BulkView, QuarantineView
from gateway.admin.service import Command, DeliveryView, Hold, PartyView, RequestStatus, RequestView, State, WaitingRequest
from gateway.approvals.kinds import Kind
from gateway.delivery.rows import PartyTraits
from gateway.ledger import bulk, commands, counts, queries, requests
from gateway.ledger.quarantine import Kept
from message_formats import catalogue

LANES = ("live", "bulk")


def delivery(found: queries.FoundDelivery, traits: PartyTraits, waiting: Sequence[tuple[str, str]] = ()) -> DeliveryView:
    """A delivery, with the commands that would be taken as things were found; the command's own transaction decides again."""
    row, key = found.delivery, found.key
    counts_it = counted(found.message_type)
    allowed: tuple[Command, ...] = ()
    if found.is_head:
        allowed = tuple(
            each
            for each in Command
            if commands.why_not(each.value, key, row, traits, party_counts=counts_it, now=found.now, manual=bool(found.party.manual))
            is None
        )
    return DeliveryView(
        delivery_id=row.id,
        message_id=row.message_id,
        party=row.party,
        lane=row.lane,
        number=row.number,
        state=State(found.status.word),
        reason=found.status.reason,
        hold=Hold(key.held.value) if key.held is not None and found.is_head else None,
        digest=row.content_digest,
        attempts=row.attempts,
        spent=row.spent,
        budget=traits.retry.budget,
        bears_update_number=counts_it,
        behind=found.behind,
        blocked_by=found.blocked_by,
        next_at=maybe(found.status.next_at),
        party_down=found.party.breaker != "closed" or found.party.paused_by is not None,
        accepted_at=time(row.accepted_at),
        updated_at=time(row.updated_at),
        final_at=maybe(row.final_at),
        outcome_code=row.outcome_code,
        allowed=allowed,
        waiting=tuple(WaitingRequest(request_id=request_id, command=Kind(kind)) for request_id, kind in waiting),
    )


def party(name: str, adapter: str, found: counts.Counts, certificate_ends_at: dt.datetime | None) -> PartyView:
    """A party with its numbers."""
    row = found.parties[name]
    lanes = [found.lanes[name, lane] for lane in LANES if (name, lane) in found.lanes]
    return PartyView(
        party=name,
        adapter=adapter,
        breaker=row.breaker,
        breaker_code=row.code,
        probe_at=maybe(row.probe_at),
        paused_by=row.paused_by,
        paused_at=maybe(row.paused_at),
        manual=bool(row.manual),
        unfinished=sum(lane.depth for lane in lanes),
        held_keys=sum(lane.held_keys for lane in lanes),
        last_delivered_at=maybe(found.last_delivered_at.get(name)),
        certificate_ends_at=certificate_ends_at,
    )


def request(found: requests.FoundRequest) -> RequestView:
    """A command on record."""
    settles = found.kind == "settle"
    return RequestView(
        request_id=found.id,
        command=Kind(found.kind),
        delivery_id=found.delivery_id,
        subject=found.subject,
        party=found.party,
        status=RequestStatus(found.status),
        seen_state=found.seen_state,
        seen_digest=found.seen_digest,
        reason=found.reason,
        took_effect=found.argument == "took-effect" if settles else None,
        argument=None if found.argument is None or settles else json.loads(found.argument),
        content_digest=found.content_digest,
        requested_by=found.requested_by,
        requested_at=time(found.requested_at),
        expires_at=time(found.expires_at),
        decided_by=found.decided_by,
        decided_at=maybe(found.decided_at),
        used_at=maybe(found.used_at),
        outcome=found.outcome,
    )


def quarantined(found: Kept) -> QuarantineView:
    """What was refused and is kept."""
    return QuarantineView(
        quarantine_id=found.id,
        system=found.system,
        door=found.door,
        source_id=found.source_id,
        type=found.type,
        code=found.code,
        rule=found.rule,
        place=found.place,
        size_bytes=found.size_bytes,
        at=time(found.at),
        status=found.status,
        has_body=found.payload_id is not None,
        releasable=found.status == "kept" and found.payload_id is not None and found.attributes is not None,
        digest=found.digest,
        decided_at=maybe(found.decided_at),
        request_id=found.request_id,
        message_id=found.message_id,
    )


def bulk_set(found: bulk.BulkSet) -> BulkView:
    """What waits for a bulk output."""
    return BulkView(
        party=found.party,
        type=found.type,
        count=found.count,
        oldest_at=time(found.oldest_at),
        newest_at=time(found.newest_at),
        digest=found.digest,
    )


def counted(message_type: str) -> bool:
    """The type bears a number that the party counts (更新順番号)."""
    return message_type in catalogue.names() and catalogue.get(message_type).bears_update_number


def time(seconds: float) -> dt.datetime:
    """Ledger time as an aware UTC datetime."""
    return dt.datetime.fromtimestamp(seconds, dt.UTC)


def maybe(seconds: float | None) -> dt.datetime | None:
    """As :func:`time`, where there is one."""
    return None if seconds is None else time(seconds)
