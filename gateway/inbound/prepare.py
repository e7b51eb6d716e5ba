"""The checks of what a party handed in: those of our own systems' doors, but for who may send what (``gateway/intake/prepare.py``).

Whose message it is follows from type and listener (``routes.yaml``, *inbound*), never from what the message says of itself.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from gateway.errors import InputRefused
from gateway.intake.cloudevents import EventAttributes
from gateway.intake.prepare import ANSWERS, Preparer, Submission
from gateway.policy.routes import GATEWAY, PolicyTables, Route
from message_formats import catalogue
from message_formats.catalogue import MessageType

DOOR = "soap"


class InboundPreparer(Preparer):
    """For submissions whose ``system`` is the party at whose listener they arrived."""

    def __init__(
        self, *, parties: frozenset[str], policy: PolicyTables, asks: Mapping[str, Collection[str]] | None = None, **others: Any
    ) -> None:
        """``asks``: the types that each of our systems sends."""
        super().__init__(senders={}, parties=parties, policy=policy, **others)
        self._served = parties
        self._tables = policy
        self._asks = asks or {}

    def permitted(self, system: str, door: str, attributes: EventAttributes) -> tuple[MessageType, tuple[Route, ...]]:
        """Type and listener fit.

        :raises InputRefused: ``not-permitted`` or ``not-carried``.
        """
        if attributes.type not in catalogue.names():
            raise InputRefused("not-carried", "this release does not carry the message type", place="attribute type", rule="catalogue")
        arrival = self._tables.arrival(attributes.type, system, self._served)
        return catalogue.get(attributes.type), () if arrival.route.party == GATEWAY else (arrival.route,)

    def producer_of(self, submission: Submission) -> str:
        """Whose message it is."""
        return self._tables.arrival(submission.attributes.type, submission.system, self._served).sender

    def answers_of(self, submission: Submission) -> tuple[tuple[str, str], ...]:
        """Where the requests went that it answers, if our system sends them: what others ask (a terminal), the gateway does not know."""
        arrival = self._tables.arrival(submission.attributes.type, submission.system, self._served)
        own = self._asks.get(arrival.route.party, ())
        if ANSWERS in submission.waived or not all(name in own for name in arrival.answers):
            return ()
        return tuple((route.party, route.stream) for name in arrival.answers for route in self._tables.routes.get(name, ()))
