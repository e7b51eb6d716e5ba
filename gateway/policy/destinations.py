"""Which system account has what is handed over for a work (事務): transfers and provisions end at accounts of business systems (FS1-8a).

A *destination* is a system account: a party of ``config.yaml`` with credentials, channel and breaker of its own, that says whose account it
is (``system``) and for which works it is (``works``); several works may share one. The policy decides by system and work, so that an
account never has more than its work is approved for. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from gateway.errors import InputRefused
from gateway.policy.connections import Route
from gateway.policy.model import Policy
from gateway.policy.routes import PolicyTables


@dataclass(frozen=True, slots=True)
class Destinations:
    """Work → account."""

    accounts: Mapping[str, str] = field(default_factory=dict)

    def resolve(self, policy: Policy, message_type: str, producer: str, routes: Sequence[Route], work: str | None) -> tuple[Route, ...]:
        """The ways of one message: those that the work chooses are one, to the account. The policy has not been asked yet."""
        chosen = [route for route in routes if route.by_work]
        if not chosen:
            return tuple(routes)
        found = chosen[0]  # where the work fits none, the policy says at this one what is wrong with it
        for permission in policy.by_work.get(work or "", ()):
            for route in chosen:
                if permission.triple == (message_type, producer, route.party):
                    found = route
        account = self.accounts.get(work or "", found.party)
        stream = work if work in self.accounts else found.stream
        rest = tuple(route for route in routes if not route.by_work)
        return (*rest, replace(found, party=account, consumer=found.party, stream=stream or found.stream))

    def require(self, route: Route, work: str | None) -> None:
        """The work that chose this way has an account here. Asked after the policy has permitted it.

        :raises InputRefused: ``no-destination``.
        """
        if route.by_work and work not in self.accounts:
            detail = "no account of this gateway's configuration is for the work that the message names"
            raise InputRefused("no-destination", detail, place="attribute work", rule="parties.*.works")

    def places(self, tables: PolicyTables) -> list[tuple[str, str]]:
        """Every (party, stream) in which something about a resident may be."""
        routes = [route for each in tables.routes.values() for route in each]
        routes += [arrival.route for each in tables.inbound.values() for arrival in each]
        found = {(route.party, route.stream) for route in routes if not route.by_work}
        return sorted(found | {(account, work) for work, account in self.accounts.items()})
