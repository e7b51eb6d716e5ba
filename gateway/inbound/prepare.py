"""The checks of what a party handed in: those of our own systems' doors, but for who may send what (``gateway/intake/prepare.py``).

Whose message it is follows from type and listener (``routes.yaml``, *inbound*), never from what the message says of itself.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

from gateway.errors import InputRefused
from gateway.intake.cloudevents import EventAttributes
from gateway.intake.prepare import ANSWERS, Preparer
from gateway.intake.submission import Submission
from gateway.policy.connections import Arrival, Route
from gateway.policy.routes import GATEWAY, PolicyTables
from message_formats import catalogue
from message_formats.catalogue import MessageType

DOOR = "soap"
FETCHED = "fetch"
"""The door of what was not handed in, but fetched from the party."""


class InboundPreparer(Preparer):
    """For submissions whose ``system`` is the party at whose listener they arrived."""

    def __init__(
        self,
        *,
        parties: frozenset[str],
        policy: PolicyTables,
        asks: Mapping[str, Collection[str]] | None = None,
        accounts: Mapping[str, str] | None = None,
        **others: Any,
    ) -> None:
        """``asks``: the types that each of our systems sends; ``accounts``: whose account a party is, where it does not bear its name."""
        super().__init__(senders={}, parties=parties, policy=policy, **others)
        self._served = parties
        self._tables = policy
        self._asks = asks or {}
        self._accounts = accounts or {}

    def permitted(self, system: str, door: str, attributes: EventAttributes) -> tuple[MessageType, tuple[Route, ...]]:
        """Type and listener fit.

        :raises InputRefused: ``not-permitted`` or ``not-carried``.
        """
        if attributes.type not in catalogue.names():
            raise InputRefused("not-carried", "this release does not carry the message type", place="attribute type", rule="catalogue")
        arrival = self._tables.arrival(attributes.type, system, self._served)
        return catalogue.get(attributes.type), () if arrival.route.party == GATEWAY else (arrival.route,)

    def permitted_for(self, submission: Submission) -> tuple[MessageType, tuple[Route, ...]]:
        """:meth:`permitted`, with the one system that the message is for."""
        kind, routes = self.permitted(submission.system, submission.door, submission.attributes)
        return kind, routes if submission.destination is None else (self._arrival(submission).route,)

    def _arrival(self, submission: Submission) -> Arrival:
        kind, at, account = submission.attributes.type, submission.system, submission.destination
        system = self._accounts.get(account or "", account)
        if account is None or system is None or account == system:
            return self._tables.arrival(kind, at, self._served, account)
        arrival = self._tables.arrival(kind, at, self._served | {system}, system)
        return dataclasses.replace(arrival, route=dataclasses.replace(arrival.route, party=account, consumer=system))

    def producer_of(self, submission: Submission) -> str:
        """Whose message it is."""
        return self._arrival(submission).sender

    def must_be_bound(self, submission: Submission) -> bool:
        """As the table of arrivals says."""
        return self._arrival(submission).bound

    def answers_of(self, submission: Submission) -> tuple[tuple[str, str], ...]:
        """Where the requests went that it answers, if our system sends them: what others ask (a terminal), the gateway does not know."""
        arrival = self._arrival(submission)
        own = self._asks.get(arrival.route.party, ())
        if ANSWERS in submission.waived or not all(name in own for name in arrival.answers):
            return ()
        return tuple((route.party, route.stream) for name in arrival.answers for route in self._tables.routes.get(name, ()))
