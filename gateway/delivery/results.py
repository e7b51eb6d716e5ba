"""What a party answered to a delivery, as a message of its own for the system that handed it in (F1-1 step 1-4r, F2-1 step 1-3r).

Prepared by the worker, because sealing takes keys; written by the transaction that writes the outcome, or not at all
(:mod:`gateway.ledger.outcomes`): so it is neither lost nor there twice, whenever a process ends in between. Its id at the sender follows
from the delivery and what was said, so that the same word is one message however often it is written.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from gateway.contract import Delivered, Effect, Outcome, QueryAnswer, Rejected
from gateway.errors import GatewayError
from gateway.ids import new_id
from gateway.intake.prepare import Seals
from gateway.ledger.prepared import PreparedDelivery, PreparedMessage
from gateway.policy.connections import ResultRoute
from gateway.policy.rights import Rights
from gateway.policy.routes import PolicyTables
from gateway.security.blind import BlindIndex, ContentMac
from message_formats import catalogue, codes, writing
from message_formats.message import Message

DOOR = "answer"
ACCEPTED, REJECTED = "accepted", "rejected"

_log = logging.getLogger(__name__)


class Told(Protocol):
    """Of a delivery what a result needs: of a claim, or of what a person decided."""

    @property
    def delivery_id(self) -> str: ...
    @property
    def message_type(self) -> str: ...
    @property
    def system(self) -> str:
        """Who handed it in."""

    @property
    def party(self) -> str: ...
    @property
    def party_key(self) -> str | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """A delivery of which two persons decide that it took effect (settled, or done by hand)."""

    delivery_id: str
    message_type: str
    system: str
    party: str
    party_key: str | None


TOOK_EFFECT: Final = QueryAnswer(effect=Effect.TOOK_EFFECT)
"""Their word, as if the party had been asked."""


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

    def of(self, told: Told, answer: Outcome | QueryAnswer) -> PreparedMessage | None:
        """The message for whoever handed it in; None: nothing was decided, or nobody is told.

        :raises PolicyRefused: it may not go to whoever would have it.
        """
        wanted = self._routes.get(told.message_type)
        if wanted is None or told.system != wanted.route.party or told.party != wanted.sender or told.party_key is None:
            return None
        if isinstance(answer, Delivered) or (isinstance(answer, QueryAnswer) and answer.effect is Effect.TOOK_EFFECT):
            return self._prepare(wanted, told, ACCEPTED, None)
        if isinstance(answer, Rejected):
            return self._prepare(wanted, told, REJECTED, _error(answer.code))
        return None

    def of_or_none(self, told: Told, answer: Outcome | QueryAnswer) -> PreparedMessage | None:
        """As :meth:`of`. The outcome counts all the same; that nobody may be told is for the log, and the state of the message tells."""
        try:
            return self.of(told, answer)
        except GatewayError as error:
            _log.error("result-not-made", extra={"code": error.code, "party": told.party})
            return None

    async def decide_again(self) -> None:
        """By the policy that counts now."""
        await self._rights.refresh()

    def _prepare(self, wanted: ResultRoute, told: Told, outcome: str, error: str | None) -> PreparedMessage:
        kind, route = catalogue.get(wanted.type), wanted.route
        items = {"request_control_number": told.party_key, "outcome": outcome, "error_code": error}
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
            source_id=f"result:{told.delivery_id}:{error or outcome}",
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
