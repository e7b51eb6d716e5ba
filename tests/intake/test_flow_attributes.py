"""Attributes by which a sender says when, again, and in which flow: effectiveon, resends, flow. All data are fictitious."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.errors import ConfigurationError, InputRefused
from gateway.intake.cloudevents import from_http
from gateway.policy.routes import _packaged, build
from gateway.security.keys import KeyStore
from tests.intake.kit import REGISTER, TYPE, preparer, submission, xml

pytestmark = pytest.mark.invariant("I10")
GIVEN = {"specversion": "1.0", "id": "m1", "source": f"urn:renkei:system:{REGISTER}", "type": TYPE}


def prepared(tmp_path: Path, policy: Any = None, **changes: Any) -> Any:
    values = {} if policy is None else {"policy": policy}
    return preparer(KeyStore(tmp_path / "keys").ensure(), **values).prepare(submission(xml(1), **changes))


@pytest.mark.rule("R2")
def test_the_day_of_effect_goes_with_each_delivery(tmp_path: Path) -> None:
    assert [each.effective_on for each in prepared(tmp_path, effectiveon="2027-04-01").deliveries] == ["2027-04-01"]
    assert [each.effective_on for each in prepared(tmp_path).deliveries] == [None]


@pytest.mark.rule("R2")
def test_a_route_may_name_the_item_with_the_day_and_the_attribute_counts_before_it(tmp_path: Path) -> None:
    """The day of the change, say; one that no calendar has, or that is not known, is none."""
    routes = _packaged("routes.yaml")
    rows = [{**row, "day": "change_date"} for row in routes["routes"]["identity-information-update"]]
    policy = build(_packaged("connections.yaml"), {**routes, "routes": {"identity-information-update": rows}})
    ready = preparer(KeyStore(tmp_path / "keys").ensure(), policy=policy)
    day = "20270401"
    assert ready.prepare(submission(xml(1, change_date=day))).deliveries[0].effective_on == "2027-04-01"
    dated = submission(xml(1, change_date=day), effectiveon="2027-05-01")
    assert ready.prepare(dated).deliveries[0].effective_on == "2027-05-01"
    with pytest.raises(ConfigurationError, match="there is no item"):
        rows[0]["day"] = "no_such_item"
        build(_packaged("connections.yaml"), {**routes, "routes": {"identity-information-update": rows}})


def test_flow_and_resends_go_with_the_message(tmp_path: Path) -> None:
    made = prepared(tmp_path, flow="F1-10", resends="earlier")
    assert (made.flow, made.resends) == ("F1-10", "earlier")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"effectiveon": "2027-02-30"}, "invalid-attribute"),
        ({"effectiveon": "tomorrow"}, "invalid-attribute"),
        ({"flow": "F 1"}, "invalid-attribute"),
        ({"resends": "9999 0000"}, "invalid-attribute"),
    ],
)
def test_what_is_no_day_flow_or_id_is_refused(changes: dict[str, str], code: str) -> None:
    with pytest.raises(InputRefused) as refused:
        from_http([(f"ce-{name}".encode(), value.encode()) for name, value in {**GIVEN, **changes}.items()])
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"flow": "FR-1"}, "flow-mismatch"), ({"resends": "a", "corrects": "b"}, "invalid-attribute")],
)
def test_what_contradicts_itself_is_refused(tmp_path: Path, changes: dict[str, str], code: str) -> None:
    with pytest.raises(InputRefused) as refused:
        prepared(tmp_path, **changes)
    assert refused.value.code == code
