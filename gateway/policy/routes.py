"""Who may send which message type to whom, and where an accepted message goes: packaged data, read once and held against itself.

Two tables stand behind it. ``data/connections.yaml`` is the specification's list of connections: what is not in it is never allowed,
whatever the configuration says (C-2-3-2: among the in-house systems only the resident record system uses the city CS). ``data/routes.yaml``
says which deliveries a message type becomes. A route without a connection is an error of the tables and is refused when they are read.

Pure: no clock, no socket, no database. Tables are immutable after loading and may be shared by threads.
"""

from __future__ import annotations

import functools
import importlib.resources
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from gateway.errors import ConfigurationError, InputRefused

LANES = frozenset({"live", "bulk"})
APPROVALS = frozenset({None, "bulk-output", "release"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """One allowed way: ``sender`` may hand ``message_type`` to ``receiver``; ``via`` are the systems it passes."""

    message_type: str
    sender: str
    receiver: str
    via: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One delivery that a message becomes."""

    party: str
    stream: str
    lane: str
    waits_for: str | None = None
    approval: str | None = None
    """``bulk-output`` or ``release``: it leaves only when a second person has approved (C-1-3-28, C-2-3-14, C-3-3-7)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """What may arrive at the listener of a party, whose message it is, and which of our systems has it."""

    at: str
    sender: str
    route: Route
    bound: bool = False
    """Taken in only where its key is that of somebody known here (C-1-2-1)."""


@dataclass(frozen=True, slots=True)
class PolicyTables:
    """Connections and routes, checked against each other."""

    in_house: frozenset[str]
    outside: frozenset[str]
    ephemeral: frozenset[str]
    connections: frozenset[Connection]
    routes: Mapping[str, tuple[Route, ...]]
    _allowed: frozenset[tuple[str, str, str]]
    inbound: Mapping[str, tuple[Arrival, ...]] = field(default_factory=dict)

    @property
    def systems(self) -> frozenset[str]:
        return self.in_house | self.outside

    @property
    def types(self) -> frozenset[str]:
        """Every message type of the specification that has a connection through the gateway."""
        return frozenset(t for t, _, _ in self._allowed)

    def may_connect(self, message_type: str, sender: str, receiver: str) -> bool:
        return (message_type, sender, receiver) in self._allowed

    def senders(self, message_type: str) -> frozenset[str]:
        return frozenset(c.sender for c in self.connections if c.message_type == message_type)

    def sendable(self, system: str) -> frozenset[str]:
        """The message types that ``system`` may hand in and that this release routes."""
        return frozenset(t for t, routes in self.routes.items() if any(self.may_connect(t, system, r.party) for r in routes))

    def routes_for(self, message_type: str, sender: str, parties: frozenset[str]) -> tuple[Route, ...]:
        """The deliveries of one message from ``sender``, in the order in which they get their places.

        :param parties: the parties that this installation serves (``config.yaml``).
        :raises InputRefused: ``not-permitted`` if the sender may not use one of the connections that the routes need (C-2-3-2),
            ``not-carried`` if the type has no route, or a party of its routes is not configured: nothing is sent to some of its parties
            only.
        """
        routes = self.routes.get(message_type)
        if not routes:
            raise InputRefused("not-carried", "this gateway has no route for the message type", place="attribute type", rule="routes")
        for route in routes:
            if (message_type, sender, route.party) not in self._allowed:
                raise InputRefused(
                    "not-permitted",
                    f"{sender} may not send {message_type} to {route.party}",
                    place="attribute type",
                    rule="C-2-3-2" if route.party == "city-cs" else "connections",
                )
            if route.party not in parties:
                raise InputRefused(
                    "not-carried",
                    f"the party {route.party} of this message type is not configured here",
                    place="attribute type",
                    rule="parties",
                )
        return routes

    def arrival(self, message_type: str, at: str, parties: frozenset[str], destination: str | None = None) -> Arrival:
        """How a message of that type comes in at the listener of ``at``; ``destination``: for which of several systems it is.

        :raises InputRefused: ``not-permitted`` if it may not come from there, ``not-carried`` if the system that has it is not served here.
        """
        for arrival in self.inbound.get(message_type, ()):
            if arrival.at != at or destination not in (None, arrival.route.party):
                continue
            if arrival.route.party not in parties:
                detail = f"{arrival.route.party}, which has this message type, is not configured here"
                raise InputRefused("not-carried", detail, place="attribute type", rule="parties")
            return arrival
        raise InputRefused("not-permitted", f"{at} may not hand in {message_type}", place="attribute type", rule="connections")


def build(connections: Mapping[str, Any], routes: Mapping[str, Any]) -> PolicyTables:
    """Check two parsed tables and join them.

    :raises ConfigurationError: ``policy-tables``, naming the entry at fault.
    """
    in_house = frozenset(connections["systems"]["in-house"])
    outside = frozenset(connections["systems"]["outside"])
    known = in_house | outside
    allowed: set[Connection] = set()
    for message_type, rows in connections["connections"].items():
        for row in rows:
            connection = Connection(message_type=message_type, sender=row["from"], receiver=row["to"], via=tuple(row.get("via", ())))
            for system in (connection.sender, connection.receiver, *connection.via):
                _demand(system in known, f"connection of {message_type} names the unknown system {system}")
            allowed.add(connection)
    _demand(not _forbidden(allowed, in_house), f"connections against C-2-3-1 or C-2-3-2: {', '.join(_forbidden(allowed, in_house))}")
    triples = frozenset((c.message_type, c.sender, c.receiver) for c in allowed)
    table = {name: _routes(name, rows, triples) for name, rows in routes["routes"].items()}
    ephemeral = frozenset(connections["ephemeral"])
    arrivals = {name: _arrivals(name, rows, allowed) for name, rows in routes.get("inbound", {}).items()}
    for name in arrivals.keys() & ephemeral:
        _demand(False, f"{name} must vanish after it was sent, and may not come in for a queue (C-3-7-1)")
    return PolicyTables(in_house, outside, ephemeral, frozenset(allowed), table, triples, arrivals)


@functools.cache
def tables() -> PolicyTables:
    """The packaged tables, read once for each process."""
    return build(_packaged("connections.yaml"), _packaged("routes.yaml"))


def _routes(message_type: str, rows: Iterable[Mapping[str, Any]], allowed: frozenset[tuple[str, str, str]]) -> tuple[Route, ...]:
    result: list[Route] = []
    for row in rows:
        route = Route(
            party=row["party"], stream=row["stream"], lane=row["lane"], waits_for=row.get("waits_for"), approval=row.get("approval")
        )
        _demand(route.approval in APPROVALS, f"route {message_type} to {route.party}: approval must be bulk-output or release")
        _demand(route.lane in LANES, f"route {message_type} to {route.party}: lane must be live or bulk")
        _demand(
            any(t == message_type and receiver == route.party for t, _, receiver in allowed),
            f"route {message_type} to {route.party} has no connection",
        )
        _demand(all(route.party != r.party for r in result), f"route {message_type} names {route.party} twice")
        _demand(
            route.waits_for is None or any(route.waits_for == r.party for r in result),
            f"route {message_type} to {route.party} waits for {route.waits_for}, which is not listed before it (R3)",
        )
        result.append(route)
    _demand(bool(result), f"message type {message_type} has no route")
    return tuple(result)


def _arrivals(message_type: str, rows: Iterable[Mapping[str, Any]], allowed: Iterable[Connection]) -> tuple[Arrival, ...]:
    result: list[Arrival] = []
    for row in rows:
        at, sender, receiver = row["at"], row["from"], row["party"]
        way = f"{message_type} from {sender} to {receiver} at {at}"
        known = [c for c in allowed if (c.message_type, c.sender, c.receiver) == (message_type, sender, receiver)]
        _demand(bool(known), f"inbound {way} has no connection")
        _demand(any(at in (c.sender, *c.via) for c in known), f"inbound {way}: that party is not on the way")
        _demand(row["lane"] in LANES, f"inbound {way}: lane must be live or bulk")
        chosen = row.get("by") == "procedure"
        again = [each for each in result if each.at == at and not (chosen and each.route.party != receiver)]
        _demand(not again, f"inbound {way}: the party hands it in twice")
        route = Route(party=receiver, stream=row["stream"], lane=row["lane"])
        result.append(Arrival(at=at, sender=sender, route=route, bound=row.get("bound", False)))
    return tuple(result)


def _forbidden(connections: Iterable[Connection], in_house: frozenset[str]) -> list[str]:
    """What C-2-3-1 and C-2-3-2 forbid: an in-house system other than the core register that reaches the city CS, in either direction,
    without going by way of the register; and any connection between city CS and atena system."""
    found = []
    for c in connections:
        ends = {c.sender, c.receiver}
        if "city-cs" not in ends:
            continue
        others = (ends - {"city-cs"}) & in_house
        by_register = others <= {"resident-record-system"} or "resident-record-system" in c.via
        if "atena-system" in ends or not by_register:
            found.append(f"{c.message_type} {c.sender} to {c.receiver}")
    return sorted(found)


def _demand(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ConfigurationError("policy-tables", otherwise)


def _packaged(name: str) -> Mapping[str, Any]:
    text = importlib.resources.files("gateway.policy").joinpath("data", name).read_text(encoding="utf-8")
    loaded: Mapping[str, Any] = yaml.safe_load(text)
    return loaded
