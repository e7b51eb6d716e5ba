"""What is proved of each flow and edge case: by which tests, and how they ended last. Pure: marks, outcomes and tables in; findings out.

A flow is ok when a test that is marked with it ran and passed, none that is failed, and every message that the specification puts on the
gateway's own legs has a way here. An edge case is ok when a test that is marked with it ran and passed. What lies outside a gateway says
why: it is ok without a test, but not with one that failed. Nothing is ok for having been written down.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from gateway.flows.model import EdgeCase, Flow, Flows, carried, is_carried
from gateway.policy.routes import PolicyTables

Outcomes = Mapping[str, Mapping[str, str]]
Marked = Mapping[str, Iterable[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowProof:
    """One flow."""

    flow: Flow
    ok: bool
    messages: tuple[str, ...]
    """The types that are carried here."""
    tests: tuple[str, ...]
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeProof:
    """One edge case."""

    flow: Flow
    edge: EdgeCase
    ok: bool
    outside: bool
    tests: tuple[str, ...]
    reason: str | None


def verify(
    flows: Flows, tables: PolicyTables, marked_flows: Marked, marked_edges: Marked, outcomes: Outcomes
) -> tuple[list[FlowProof], list[EdgeProof]]:
    """Every flow and every edge case.

    :param marked_flows: flow → tests; ``marked_edges``: ``flow/edge`` → tests, as ``file::name``.
    :param outcomes: test → ``outcome`` and ``at``, as test runs left them.
    """
    found = [_flow(each, tables, tuple(sorted(marked_flows.get(each.id, ()))), outcomes) for each in flows.all]
    edges = [
        _edge(flow, edge, tuple(sorted(marked_edges.get(f"{flow.id}/{edge.id}", ()))), outcomes)
        for flow in flows.all
        for edge in flow.edge_cases
    ]
    return found, edges


def _flow(flow: Flow, tables: PolicyTables, tests: tuple[str, ...], outcomes: Outcomes) -> FlowProof:
    messages = tuple(dict.fromkeys(each.type for each in carried(flow, tables) if each.type is not None))
    problem = _problem(tests, outcomes)
    missing = [each for each in flow.steps if each.leg == "gateway" and each.type is not None and not is_carried(flow, each, tables)]
    if flow.outside is not None:
        ok = not _failed(tests, outcomes)
        reason = f"outside: {flow.outside}" if ok else problem or ""
    elif missing:
        ways = ", ".join(f"{each.no} {each.type}" for each in missing)
        ok, reason = False, f"no way here for {ways}" + (f"; {problem}" if problem else "")
    else:
        ok, reason = problem is None, problem or ""
    return FlowProof(flow=flow, ok=ok, messages=messages, tests=tests, reason=reason or None)


def _edge(flow: Flow, edge: EdgeCase, tests: tuple[str, ...], outcomes: Outcomes) -> EdgeProof:
    problem = _problem(tests, outcomes)
    outside = edge.outside
    if outside is not None and not _failed(tests, outcomes):
        return EdgeProof(flow=flow, edge=edge, ok=True, outside=True, tests=tests, reason=f"outside: {outside}")
    return EdgeProof(flow=flow, edge=edge, ok=problem is None, outside=False, tests=tests, reason=problem)


def _problem(tests: Sequence[str], outcomes: Outcomes) -> str | None:
    """Why it is not proved; None: it is."""
    if not tests:
        return "no test is marked with it"
    if failed := _failed(tests, outcomes):
        return f"failed: {', '.join(failed)}"
    if all(outcomes[test]["outcome"] != "passed" for test in tests if test in outcomes):
        return f"has not run: {', '.join(tests)}"
    return None


def _failed(tests: Sequence[str], outcomes: Outcomes) -> list[str]:
    return [test for test in tests if test in outcomes and outcomes[test]["outcome"] == "failed"]
