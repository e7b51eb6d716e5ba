"""What a system gets when it fetches: opened, decided once more by the policy that counts now, as JSON (I7, FS1-8a).

What the policy or a mark has taken from it since it was offered is not handed over: it is put off, so that the delivery rules decide it
anew, with the record that belongs to it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog

from gateway.errors import GatewayError
from gateway.ledger.ledger import Ledger
from gateway.ledger.offers import Offer, RecordHandedOver, offers, own_deliveries
from gateway.policy.items import Filtered
from gateway.policy.rights import PolicyRefused, Rights, Standing
from gateway.policy.ways import way_of
from gateway.security.sealing import Sealer
from message_formats import reading
from message_formats.message import Message

log = structlog.get_logger("gateway.pull")

CHANGED = "policy-changed"
_STEP = re.compile(r"([a-z0-9_]+)(?:\[([0-9]+)\])?(@[a-z]+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """For one process."""

    ledger: Ledger
    sealer: Sealer
    rights: Rights

    async def fetch(self, account: str, message_type: str, limit: int) -> list[dict[str, Any]]:
        """What waits for ``account``; on record before it is returned (I8).

        :raises LedgerUnavailable: nothing was handed over.
        """
        standing = await self.rights.refresh()
        found = await self.ledger.read(lambda conn: offers(conn, account, message_type, standing, limit))
        given: list[tuple[Offer, dict[str, Any]]] = []
        for offer in found:
            try:
                content = self.sealer.unseal(
                    offer.sealed, wrapped=offer.wrapped, kek_id=offer.kek_id, message_id=offer.message_id,
                    message_type=message_type, party=account,
                )  # fmt: skip
            except GatewayError as error:
                log.error("unseal-failed", code=error.code, party=account, message_id=offer.message_id)
                continue
            message = reading.read(content, expected=message_type)
            filtered = self._filtered(standing, offer, account, message)
            if filtered is None:
                await self.ledger.record_reply(account, offer.correlation, "retry-later", CHANGED, "gateway")
                continue
            given.append((offer, _item(offer, filtered)))
        if given:
            handed = [(offer.message_id, offer.delivery_id) for offer, _ in given]
            await self.ledger.submit(RecordHandedOver(kind="fetched", actor=account, party=account, deliveries=handed, size=len(handed)))
        return [item for _, item in given]

    async def owns(self, account: str, delivery_ids: Sequence[str]) -> frozenset[str]:
        """Those that are deliveries to this account."""
        return await self.ledger.read(lambda conn: own_deliveries(conn, account, delivery_ids))

    def _filtered(self, standing: Standing, offer: Offer, account: str, message: Message) -> Filtered | None:
        """None: not what it was offered as."""
        way = way_of(offer.way, offer.message_type, offer.producer, account)
        try:
            grant = standing.grant(way.message_type, way.producer, way.consumer, work=offer.work, basis=offer.basis, marks=offer.marks)
        except PolicyRefused:
            return None
        filtered = grant.plan.apply(message)
        recorded = frozenset(json.loads(offer.terms)["items"]) if offer.terms else frozenset(filtered.items)
        return filtered if recorded == frozenset(filtered.items) else None


def _item(offer: Offer, filtered: Filtered) -> dict[str, Any]:
    message = reading.read(filtered.content, expected=offer.message_type)
    accepted = datetime.fromtimestamp(offer.accepted_at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {
        "delivery": offer.delivery_id,
        "correlation": offer.correlation,
        "message": offer.message_id,
        "type": offer.message_type,
        "work": offer.work,
        "accepted_at": accepted,
        "attempt": offer.attempt,
        "data": nested(message.items),
    }


def nested(items: Mapping[str, str | None]) -> dict[str, Any]:
    """Items by their paths as JSON: a group is an object, what repeats an array; the wording of an unknown date is ``item@text``."""
    root: dict[str, Any] = {}
    for path, value in items.items():
        if value is None:
            continue
        here = root
        *groups, leaf = path.split("/")
        for step in groups:
            here = _enter(here, step)
        found = _STEP.fullmatch(leaf)
        if found is not None and found[2] is not None:
            here.setdefault(found[1] + (found[3] or ""), []).append(value)
        else:
            here[leaf] = value
    return root


def _enter(here: dict[str, Any], step: str) -> dict[str, Any]:
    found = _STEP.fullmatch(step)
    if found is None or found[2] is None:
        group: dict[str, Any] = here.setdefault(step, {})
        return group
    members: list[dict[str, Any]] = here.setdefault(found[1], [])
    while len(members) < int(found[2]):
        members.append({})
    return members[int(found[2]) - 1]
