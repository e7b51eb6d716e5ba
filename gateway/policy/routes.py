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
from gateway.policy.connections import Arrival, Asking, Connection, ResultRoute, Route
from message_formats import catalogue, derivations
from message_formats.errors import FormatError

GATEWAY = "integration-gateway"
"""What is for the gateway itself is recorded, and goes to nobody."""
REGISTER = "resident-record-system"
LANES = frozenset({"live", "bulk"})
APPROVALS = frozenset({None, "bulk-output", "release"})
MUNICIPALITY = frozenset({None, "required", "optional"})
LEGS = frozenset({"prefecture-server", "card-management-system"})
"""Parties whose leg is the gateway's or the city CS's, as the configuration says (``legs``)."""
LONGEST_ANSWER_S = 110.0
"""A question lives no longer than the queue that it goes through (:mod:`gateway.broker.topology`), and a call ends within 120 s (R5)."""


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
    dialogues: Mapping[str, Asking] = field(default_factory=dict)
    results: Mapping[str, ResultRoute] = field(default_factory=dict)

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
        instead = any(route.producer is not None for route in self.routes.get(message_type, ()))
        found = frozenset(c.sender for c in self.connections if c.message_type == message_type)
        return found | {REGISTER} if instead else found

    def sendable(self, system: str) -> frozenset[str]:
        """The message types that ``system`` may hand in and that this release routes."""
        sent = {t for t, routes in self.routes.items() if any(self._may_go(t, system, r) for r in routes)}
        return frozenset(sent | {t for t, each in self.dialogues.items() if self.may_connect(t, system, each.to)})

    def _may_go(self, message_type: str, sender: str, route: Route) -> bool:
        if route.sender not in (None, sender) or (route.producer is not None and sender != REGISTER):
            return False
        way = route.way(message_type, sender)
        return self.may_connect(way.message_type, way.producer, way.consumer)

    def routes_for(self, message_type: str, sender: str, parties: frozenset[str]) -> tuple[Route, ...]:
        """The deliveries of one message from ``sender``, in the order in which they get their places.

        :param parties: the parties that this installation serves (``config.yaml``). A leg that is left to the city CS (:data:`LEGS`) is
            one whose party is not among them: what the others get is not touched by that.
        :raises InputRefused: ``not-permitted`` if the sender may not use one of the connections that the routes need (C-2-3-2),
            ``not-carried`` if the type has no route, or a party of its routes is not configured: nothing is sent to some of its parties
            only.
        """
        routes = self.routes.get(message_type)
        if not routes and message_type in self.dialogues:
            raise InputRefused("not-carried", "this is a question: ask it at /v1/dialogues", place="attribute type", rule="routes")
        if not routes:
            raise InputRefused("not-carried", "this gateway has no route for the message type", place="attribute type", rule="routes")
        routes = tuple(route for route in routes if route.sender in (None, sender))
        if not routes:
            raise InputRefused("not-permitted", f"{sender} may not send {message_type}", place="attribute type", rule="connections")
        ours = tuple(route for route in routes if route.party in parties or route.party not in LEGS)
        for route in routes:
            if not self._may_go(message_type, sender, route):
                raise InputRefused(
                    "not-permitted",
                    f"{sender} may not send {message_type} to {route.party}",
                    place="attribute type",
                    rule="C-2-3-2" if route.party == "city-cs" else "connections",
                )
            if route.party not in parties and not route.by_work and (route in ours or not ours):
                raise InputRefused(
                    "not-carried",
                    f"the party {route.party} of this message type is not configured here",
                    place="attribute type",
                    rule="parties" if route in ours else "legs",
                )
        return ours

    def asking(self, message_type: str, sender: str, parties: frozenset[str]) -> Asking:
        """How ``sender`` may ask a question of that type.

        :raises InputRefused: ``not-permitted`` if it may not, ``not-carried`` if the type is no question, or its party is not served here.
        """
        asking = self.dialogues.get(message_type)
        if asking is None:
            raise InputRefused("not-carried", "this message type is no question", place="attribute type", rule="routes")
        if not self.may_connect(message_type, sender, asking.to) or not self.may_connect(asking.answer, asking.to, sender):
            rule = "C-2-3-2" if asking.party == "city-cs" else "connections"
            raise InputRefused("not-permitted", f"{sender} may not ask {asking.to}", place="attribute type", rule=rule)
        if asking.party not in parties:
            detail = f"the party {asking.party} of this message type is not configured here"
            raise InputRefused("not-carried", detail, place="attribute type", rule="parties")
        return asking

    def streams(self, party: str) -> tuple[str, ...]:
        """The streams in which a party has messages."""
        named = [r for routes in self.routes.values() for r in routes] + [a.route for all_of in self.inbound.values() for a in all_of]
        return tuple(sorted({r.stream for r in named if r.party == party}))

    def arrival(self, message_type: str, at: str, parties: frozenset[str], destination: str | None = None) -> Arrival:
        """How a message of that type comes in at the listener of ``at``; ``destination``: for which of several systems it is.

        :raises InputRefused: ``not-permitted`` if it may not come from there, ``not-carried`` if the system that has it is not served here.
        """
        for arrival in self.inbound.get(message_type, ()):
            if arrival.at != at or destination not in (None, arrival.route.party):
                continue
            if arrival.route.party not in parties and arrival.route.party != GATEWAY:
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
            decided = row.get("decision") == "project"
            via = tuple(row.get("via", ()))
            connection = Connection(message_type=message_type, sender=row["from"], receiver=row["to"], via=via, decided=decided)
            for system in (connection.sender, connection.receiver, *connection.via):
                _demand(system in known, f"connection of {message_type} names the unknown system {system}")
            allowed.add(connection)
    _demand(not _forbidden(allowed, in_house), f"connections against C-2-3-1 or C-2-3-2: {', '.join(_forbidden(allowed, in_house))}")
    triples = frozenset((c.message_type, c.sender, c.receiver) for c in allowed)
    table = {name: _routes(name, rows, allowed) for name, rows in routes["routes"].items()}
    ephemeral = frozenset(connections["ephemeral"])
    arrivals = {name: _arrivals(name, rows, allowed) for name, rows in routes.get("inbound", {}).items()}
    for name in arrivals.keys() & ephemeral:
        _demand(False, f"{name} must vanish after it was sent, and may not come in for a queue (C-3-7-1)")
    dialogues = {name: _asking(name, row, allowed) for name, row in routes.get("dialogues", {}).items()}
    results = {name: _result(name, row, triples) for name, row in routes.get("results", {}).items()}
    return PolicyTables(in_house, outside, ephemeral, frozenset(allowed), table, triples, arrivals, dialogues, results)


@functools.cache
def tables() -> PolicyTables:
    """The packaged tables, read once for each process."""
    return build(_packaged("connections.yaml"), _packaged("routes.yaml"))


def _routes(message_type: str, rows: Iterable[Mapping[str, Any]], allowed: Iterable[Connection]) -> tuple[Route, ...]:
    result: list[Route] = []
    for row in rows:
        route = Route(
            party=row["party"],
            stream=row["stream"],
            lane=row["lane"],
            waits_for=row.get("waits_for"),
            approval=row.get("approval"),
            day=row.get("day"),
            newest=bool(row.get("newest", False)),
            carries=row.get("as"),
            producer=row.get("from"),
            consumer=row.get("to"),
            municipality=row.get("municipality"),
            sender=row.get("sender"),
            by_work=row.get("by") == "work",
            may_bulk=row.get("bulk", False),
        )
        if route.day is not None:
            known = catalogue.get(message_type).items if message_type in catalogue.names() else ()
            _demand(any(each.id == route.day for each in known), f"route {message_type} to {route.party}: there is no item {route.day}")
        _demand(row.get("by") in (None, "work"), f"route {message_type} to {route.party}: by is work, or not there")
        _demand(route.approval in APPROVALS, f"route {message_type} to {route.party}: approval must be bulk-output or release")
        _demand(route.municipality in MUNICIPALITY, f"route {message_type} to {route.party}: municipality must be required or optional")
        _demand(route.lane in LANES, f"route {message_type} to {route.party}: lane must be live or bulk")
        _demand(route.may_bulk in (True, False), f"route {message_type} to {route.party}: bulk must be true or false")
        ways = [c for c in allowed if c.message_type == (route.carries or message_type) and c.receiver == route.recipient]
        ways = [c for c in ways if (route.producer or route.sender) in (None, c.sender) and route.party in (c.sender, c.receiver, *c.via)]
        _demand(bool(ways), f"route {message_type} to {route.party} has no connection")
        _demand(
            route.carries is None or _derived(route.carries, message_type), f"route {message_type}: no way to make {route.carries} of it"
        )
        _demand(all(route.party != r.party for r in result), f"route {message_type} names {route.party} twice")
        _demand(
            route.waits_for is None or any(route.waits_for == r.party for r in result),
            f"route {message_type} to {route.party} waits for {route.waits_for}, which is not listed before it (R3)",
        )
        result.append(route)
    _demand(bool(result), f"message type {message_type} has no route")
    return tuple(result)


def _derived(target: str, source: str) -> bool:
    try:
        return derivations.get(target).source == source
    except (KeyError, FormatError):
        return False


def _arrivals(message_type: str, rows: Iterable[Mapping[str, Any]], allowed: Iterable[Connection]) -> tuple[Arrival, ...]:
    result: list[Arrival] = []
    for row in rows:
        at, sender, receiver = row["at"], row["from"], row["party"]
        way = f"{message_type} from {sender} to {receiver} at {at}"
        chosen = row.get("by") == "procedure"
        again = [each for each in result if each.at == at and not (chosen and each.route.party != receiver)]
        handed_to = row.get("by_way_of", receiver)
        final = None if handed_to == receiver else receiver
        # which operations of a party name the municipality at the other end is its profile's business
        newest = bool(row.get("newest", False))
        route = Route(party=handed_to, stream=row["stream"], lane=row["lane"], consumer=final, municipality="optional", newest=newest)
        answers = tuple(row.get("answers", ()))
        _demand(all(any(c.message_type == name for c in allowed) for name in answers), f"inbound {way}: it answers an unknown type")
        bound = row.get("bound", False)
        arrival = Arrival(at=at, sender=sender, route=route, through=row.get("through"), answers=answers, bound=bound)
        known = [c for c in allowed if c.message_type == message_type and (c.sender, c.receiver) in arrival.legs]
        _demand(len({(c.sender, c.receiver) for c in known}) == len(arrival.legs), f"inbound {way} has no connection")
        _demand(any(at in (c.sender, *c.via) for c in known if c.sender == sender), f"inbound {way}: that party is not on the way")
        _demand(handed_to == receiver or any(handed_to in c.via for c in known), f"inbound {way}: {handed_to} is not on the way")
        _demand(row["lane"] in LANES, f"inbound {way}: lane must be live or bulk")
        _demand(not again, f"inbound {way}: the party hands it in twice")
        result.append(arrival)
    return tuple(result)


def _asking(message_type: str, row: Mapping[str, Any], allowed: Iterable[Connection]) -> Asking:
    asking = Asking(message_type=message_type, **row)
    ways = [c for c in allowed if (c.message_type, c.receiver) == (message_type, asking.to)]
    _demand(bool(ways), f"dialogue {message_type} to {asking.to} has no connection")
    _demand(any(asking.party in (c.receiver, *c.via) for c in ways), f"dialogue {message_type}: {asking.party} is not on the way")
    back = {c.receiver for c in allowed if (c.message_type, c.sender) == (asking.answer, asking.to)}
    _demand(bool(back & {c.sender for c in ways}), f"dialogue {message_type}: {asking.answer} has no connection back")
    _demand(asking.municipality in MUNICIPALITY, f"dialogue {message_type}: municipality must be required or optional")
    _demand(0 < asking.answer_s <= LONGEST_ANSWER_S, f"dialogue {message_type}: answer_s is at most {LONGEST_ANSWER_S:g}")
    return asking


def _result(message_type: str, row: Mapping[str, Any], allowed: frozenset[tuple[str, str, str]]) -> ResultRoute:
    way = (row["type"], row["from"], row["party"])
    _demand(way in allowed, f"result of {message_type}: {way[0]} from {way[1]} to {way[2]} has no connection")
    _demand(row["lane"] in LANES, f"result of {message_type}: lane must be live or bulk")
    route = Route(party=row["party"], stream=row["stream"], lane=row["lane"])
    return ResultRoute(type=row["type"], sender=row["from"], route=route)


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
