"""What a party answered to a delivery, as a message of its own for the system that handed it in (F1-1 step 1-4r, F2-1 step 1-3r).

Prepared by the worker, because sealing takes keys; written by the transaction that writes the outcome, or not at all
(:mod:`gateway.ledger.outcomes`): so it is neither lost nor there twice, whenever a process ends in between. Its id at the sender follows
from the delivery and what was said, so that the same word is one message however often it is written.
"""

from __future__ import annotations

from collections.abc import Callable

from gateway.contract import Delivered, Outcome, QueryAnswer, Rejected
from gateway.ids import new_id
from gateway.intake.prepare import Seals
from gateway.ledger.claims import Claimed
from gateway.ledger.prepared import PreparedDelivery, PreparedMessage
from gateway.policy.connections import ResultRoute
from gateway.policy.rights import Rights
from gateway.policy.routes import PolicyTables
from gateway.security.blind import BlindIndex, ContentMac
from message_formats import catalogue, codes, writing
from message_formats.message import Message

DOOR = "answer"
ACCEPTED, REJECTED = "accepted", "rejected"


class Results:
    """Prepares results. For one event loop; the keys that it uses rotate beneath it."""

    def __init__(
        self,
        *,
        policy: PolicyTables,
        parties: frozenset[str],
        rights: Rights,
        sealer: Seals,
        blind: Callable[[], BlindIndex],
        mac: Callable[[], ContentMac],
    ) -> None:
        """``parties``: those that this installation serves; a result for a system that has no messages by queue is not made."""
        self._routes = {name: each for name, each in policy.results.items() if each.route.party in parties}
        self._rights, self._sealer, self._blind, self._mac = rights, sealer, blind, mac

    def of(self, claim: Claimed, answer: Outcome | QueryAnswer) -> PreparedMessage | None:
        """The message for whoever handed ``claim`` in; None: nothing was decided, or nobody is told.

        :raises PolicyRefused: it may not go to whoever would have it.
        """
        wanted = self._routes.get(claim.message_type)
        if wanted is None or claim.system != wanted.route.party or claim.party != wanted.sender or claim.party_key is None:
            return None
        if isinstance(answer, Delivered):
            return self._prepare(wanted, claim, ACCEPTED, None)
        if isinstance(answer, Rejected):
            return self._prepare(wanted, claim, REJECTED, _error(answer.code))
        return None

    def _prepare(self, wanted: ResultRoute, claim: Claimed, outcome: str, error: str | None) -> PreparedMessage:
        kind, route = catalogue.get(wanted.type), wanted.route
        items = {"request_control_number": claim.party_key, "outcome": outcome, "error_code": error}
        message: Message = writing.write(kind.name, items)
        message_id, blind, mac = new_id(), self._blind(), self._mac()
        standing = self._rights.standing
        grant = standing.grant(kind.name, wanted.sender, route.party)
        filtered = grant.plan.apply(message)
        content = filtered.content
        delivery = PreparedDelivery(
            party=route.party,
            stream=route.stream,
            lane=route.lane,
            party_key=None,  # of what it tells, and there may be several of those
            content_digest=mac.of(content),
            sealed=self._sealer.seal(content, message_id=message_id, message_type=kind.name, party=route.party),
            terms=grant.terms(filtered.items),
        )
        return PreparedMessage(
            message_id=message_id,
            system=wanted.sender,
            source_id=f"result:{claim.delivery_id}:{error or outcome}",
            type=kind.name,
            schema=kind.schema,
            content_mac=mac.of(kind.name, kind.schema, content),
            door=DOOR,
            identifiers=(),
            hmac_key_id=blind.key_id,
            former_identifiers=(),
            former_hmac_key_id=blind.former_id,
            deliveries=(delivery,),
            standing=standing.token,
        )


def _error(code: str) -> str:
    """A code of the table, also for what our own adapter did not send because it was malformed."""
    table = codes.table("juki_cs_error")
    if code in table:
        return code
    return table.of("FORMAT" if code.startswith("not-sent") else "INTERNAL").code
