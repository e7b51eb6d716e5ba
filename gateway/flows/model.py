"""The declared flows: packaged data (``data/flows.yaml``), read once and held against itself. Pure.

What a flow *carries* follows from the tables of routes: a step counts here as soon as its message has a way through this gateway, so that a
flow appears by itself when its types are routed.
"""

from __future__ import annotations

import functools
import importlib.resources
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from gateway.errors import ConfigurationError
from gateway.policy.routes import PolicyTables
from message_formats import catalogue

GATEWAY = "integration-gateway"
"""Ourselves, in the specification's list of systems."""
_FOR = {"integrated-terminal": "resident-record-system"}
"""What a terminal would ask at the city CS, the register may ask through the gateway (architecture, dialogues)."""
CORRELATE = ("subject", "flow", "message")
_SPAN = re.compile(r"([0-9]+)([smhd])")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowStep:
    """One step of a flow, as the specification has it, and what we add (see the head of the data)."""

    no: str
    sender: str
    receiver: str
    type: str | None
    via: tuple[str, ...]
    mode: str
    leg: str
    begins: bool = False
    after: tuple[str, ...] = ()
    optional: bool = False
    answers: str | None = None
    within_s: float | None = None

    def takes(self, message_type: str, party: str) -> bool:
        """A delivery of this type to this party is this step's; beyond the city CS, also one that its sender there hands on."""
        hands_on = self.leg == "beyond-city-cs" and party == self.sender
        return self.type == message_type and (party == self.receiver or party in self.via or hands_on)


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeCase:
    """What may go otherwise, and what is then expected."""

    id: str
    basis: str
    case: str
    expected: str
    outside: str | None = None
    """Why no test of a gateway can show it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """One business flow."""

    id: str
    title_en: str
    title_ja: str
    steps: tuple[FlowStep, ...]
    edge_cases: tuple[EdgeCase, ...]
    correlate: str = "subject"
    shares: bool = False
    outside: str | None = None

    def step(self, no: str) -> FlowStep:
        """:raises KeyError: there is none of this number."""
        for each in self.steps:
            if each.no == no:
                return each
        raise KeyError(no)


@dataclass(frozen=True, slots=True)
class Flows:
    """All flows, with what finds them."""

    all: tuple[Flow, ...]
    by_id: Mapping[str, Flow] = field(default_factory=dict)
    by_type: Mapping[str, tuple[tuple[Flow, FlowStep], ...]] = field(default_factory=dict)
    answers: Mapping[str, tuple[tuple[Flow, FlowStep], ...]] = field(default_factory=dict)
    """By type: steps that are the answer of a dialogue."""

    def steps_of(self, message_type: str, sender: str, party: str, whose: str | None = None) -> list[tuple[Flow, FlowStep]]:
        """The steps that a delivery of this type by ``sender`` to ``party`` may be; those that name the sender come before all others.

        :param whose: the system in the sense of the policy; where ``party`` is an account of it, the flows name it and not the account.
        """
        steps = self.by_type.get(message_type, ())
        found = [(flow, step) for flow, step in steps if step.takes(message_type, party)]
        if not found and whose is not None:
            found = [(flow, step) for flow, step in steps if step.takes(message_type, whose)]
        exact = [(flow, step) for flow, step in found if step.sender == sender]
        return exact or found


def build(data: Mapping[str, Any], titles: Mapping[str, tuple[str, str]]) -> Flows:
    """Check parsed data and join it.

    :raises ConfigurationError: ``flow-tables``, naming the entry at fault.
    """
    flows = tuple(_flow(row, titles) for row in data["flows"])
    _demand(len({each.id for each in flows}) == len(flows), "a flow stands there twice")
    begins: dict[tuple[str, str, str], str] = {}
    by_type: dict[str, list[tuple[Flow, FlowStep]]] = {}
    answers: dict[str, list[tuple[Flow, FlowStep]]] = {}
    for flow in flows:
        for step in flow.steps:
            if step.type is None:
                continue
            (by_type if step.answers is None else answers).setdefault(step.type, []).append((flow, step))
            if step.begins:
                way = (step.type, step.sender, step.receiver)
                _demand(begins.setdefault(way, flow.id) == flow.id, f"{step.type} begins both {begins[way]} and {flow.id}")
    return Flows(
        flows,
        {each.id: each for each in flows},
        {name: tuple(found) for name, found in by_type.items()},
        {name: tuple(found) for name, found in answers.items()},
    )


@functools.cache
def flows() -> Flows:
    """The packaged flows, read once for each process."""
    text = importlib.resources.files("gateway.flows").joinpath("data", "flows.yaml").read_text(encoding="utf-8")
    return build(yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)), catalogue.flows())  # noqa: S506 safe, and quick


def carried(flow: Flow, tables: PolicyTables, parties: frozenset[str] | None = None) -> tuple[FlowStep, ...]:
    """The steps whose message has a way through this gateway.

    :param parties: those that an installation serves; None: all.
    """
    return tuple(each for each in flow.steps if is_carried(flow, each, tables, parties))


def is_carried(flow: Flow, step: FlowStep, tables: PolicyTables, parties: frozenset[str] | None = None) -> bool:
    """The message of the step has a route here, in or out; an answer has its question's."""
    if step.type is None or step.leg in ("outside", "internal"):
        return False
    if step.sender == GATEWAY:
        return parties is None  # our own; it is no message that an installation tracks
    if step.answers is not None:
        return is_carried(flow, flow.step(step.answers), tables, parties)
    return any(
        step.takes(step.type, way.party) or step.receiver == way.receiver
        for way in _ways(tables, step.type)
        if way.sender in (None, step.sender, _FOR.get(step.sender)) and (parties is None or way.party in parties)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    """One way of a message type through this gateway."""

    sender: str | None
    """None: a question that our register asks in the place of a terminal (section 10.0)."""
    receiver: str
    party: str


def _ways(tables: PolicyTables, message_type: str) -> Iterable[_Way]:
    """Every way of a type: routes out, arrivals with what they pass, questions. What a table does not have yet has no ways."""
    for name, routes in tables.routes.items():
        for route in routes:
            if (route.carries or name) != message_type:
                continue
            receiver = route.recipient
            only = route.producer or route.sender
            for each in tables.connections:
                if (each.message_type, each.receiver) == (message_type, receiver) and only in (None, each.sender):
                    yield _Way(sender=each.sender, receiver=receiver, party=route.party)
    for arrival in tables.inbound.get(message_type, ()):
        receiver = arrival.route.recipient
        for sender, to in getattr(arrival, "legs", ((arrival.sender, receiver),)):
            yield _Way(sender=sender, receiver=to, party=arrival.route.party)
        if arrival.at != arrival.sender:  # a step may speak of the party that hands it on (F2-3 step 3-4)
            yield _Way(sender=arrival.at, receiver=receiver, party=arrival.route.party)
    asking = tables.dialogues.get(message_type)
    if asking is not None:
        yield _Way(sender=None, receiver=asking.to, party=asking.party)


def seconds(text: str) -> float:
    """``90s``, ``15m``, ``2h`` or ``7d`` in seconds. Raises ValueError."""
    match = _SPAN.fullmatch(text)
    if match is None:
        raise ValueError("must be a number with s, m, h or d")
    return float(match[1]) * _SECONDS[match[2]]


def _flow(row: Mapping[str, Any], titles: Mapping[str, tuple[str, str]]) -> Flow:
    name = row["id"]
    english, japanese = titles[name]
    steps = tuple(_step(each) for each in row["steps"])
    numbers = [each.no for each in steps]
    _demand(len(set(numbers)) == len(numbers), f"{name} has a step twice")
    for step in steps:
        named = (*step.after, *((step.answers,) if step.answers else ()))
        _demand(set(named) <= set(numbers), f"{name} {step.no} names a step that there is not")
        _demand(step.no not in _before(steps, step.no), f"{name} {step.no} comes before itself")
        _demand(step.answers is None or not (step.begins or step.after), f"{name} {step.no} is an answer, and comes with its question")
    edges = tuple(EdgeCase(**each) for each in row["edge_cases"])
    _demand(len({each.id for each in edges}) == len(edges), f"{name} has an edge case twice")
    correlate = row.get("correlate", "subject")
    _demand(correlate in CORRELATE, f"{name}: correlate must be one of {', '.join(CORRELATE)}")
    return Flow(
        id=name, title_en=english, title_ja=japanese, steps=steps, edge_cases=edges, correlate=correlate,
        shares=bool(row.get("shares", False)), outside=row.get("outside"),
    )  # fmt: skip


def _step(row: Mapping[str, Any]) -> FlowStep:
    within = row.get("within")
    return FlowStep(
        no=row["step"], sender=row["from"], receiver=row["to"], type=row.get("type"), via=tuple(row.get("via", ())), mode=row["mode"],
        leg=row["leg"], begins=bool(row.get("begins", False)), after=tuple(row.get("after", ())),
        optional=bool(row.get("optional", False)), answers=row.get("answers"), within_s=None if within is None else seconds(within),
    )  # fmt: skip


def _before(steps: Iterable[FlowStep], no: str) -> set[str]:
    """Everything that comes before a step."""
    known = {each.no: each.after for each in steps}
    found: set[str] = set()
    todo = list(known[no])
    while todo:
        each = todo.pop()
        if each not in found:
            found.add(each)
            todo += known.get(each, ())
    return found


def before(flow: Flow, no: str) -> frozenset[str]:
    """The steps that come before this one, at any distance."""
    return frozenset(_before(flow.steps, no))


def _demand(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ConfigurationError("flow-tables", otherwise)
