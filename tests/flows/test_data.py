"""The declared flows, held against themselves, the routes and the specification."""

from __future__ import annotations

import copy
import importlib.resources
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import ConfigurationError
from gateway.flows.model import before, build, carried, flows
from gateway.policy.routes import tables
from message_formats import catalogue
from tests.support.data import read_yaml

SPEC = Path(__file__).resolve().parents[2].parent / "shared" / "spec" / "flows.yaml"


def packaged() -> Any:
    return read_yaml(importlib.resources.files("gateway.flows").joinpath("data", "flows.yaml").read_text(encoding="utf-8"))


def test_every_step_and_edge_case_of_the_specification_is_there() -> None:
    assert [each.id for each in flows().all] == list(catalogue.flows())
    assert (len(flows().all), sum(len(each.edge_cases) for each in flows().all)) == (46, 116)
    if not SPEC.is_file():
        return
    for flow, wanted in zip(flows().all, read_yaml(SPEC.read_text(encoding="utf-8"))["flows"], strict=True):
        assert flow.id == wanted["id"]
        assert [(s.no, s.sender, s.receiver, s.type, s.via, s.mode, s.leg) for s in flow.steps] == [
            (str(s["no"]), s["from"], s["to"], s["message"], tuple(s.get("via") or ()), s["mode"], s["leg"]) for s in wanted["steps"]
        ]
        said = [(e.basis, e.case, e.expected) for e in flow.edge_cases]
        assert said == [(e["basis"], " ".join(e["case"].split()), " ".join(e["expected"].split())) for e in wanted["edge_cases"]]


def test_every_type_and_answer_is_one_of_the_catalogue() -> None:
    for flow in flows().all:
        for step in flow.steps:
            assert step.type is None or step.type in catalogue.names()
            if step.answers is not None:
                question = flow.step(step.answers).type
                assert question is not None
                assert catalogue.get(question).reply == step.type, (flow.id, step.no)


def test_everything_that_the_gateway_carries_belongs_to_a_flow_that_it_begins_or_that_waits_for_it() -> None:
    """A route whose messages no flow would ever take is a gap in the data."""
    begins = {(s.type, s.receiver) for f in flows().all for s in f.steps if s.begins}
    waits = {(s.type, s.receiver) for f in flows().all for s in f.steps if s.after or s.answers}
    for name, routes in tables().routes.items():
        for route in routes:
            kind = route.carries or name
            found = [s for f in flows().all for s in carried(f, tables()) if s.takes(kind, route.party)]
            assert any((s.type, s.receiver) in begins | waits for s in found), (name, route.party)


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("names a step that there is not", lambda flow: flow["steps"][2].update(after=["9-9"])),
        ("has a step twice", lambda flow: flow["steps"][2].update(step="1-1")),
        ("comes before itself", lambda flow: flow["steps"][4].update(after=["1-4"])),
        ("correlate", lambda flow: flow.update(correlate="kiosk")),
        ("edge case twice", lambda flow: flow["edge_cases"][0].update(id="city-cs-down")),
        ("begins both", lambda flow: flow["steps"][4].update(begins=True)),
    ],
)
def test_data_that_contradict_themselves_are_refused(what: str, change: Any) -> None:
    data = copy.deepcopy(packaged())
    change(data["flows"][0])
    with pytest.raises(ConfigurationError, match=what):
        build(data, catalogue.flows())


def test_what_comes_before_is_found_at_any_distance() -> None:
    assert before(flows().by_id["F6-1"], "1-3") == {"1-2g", "1-2f", "1-1"}
