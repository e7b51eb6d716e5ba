"""The tables of who may send what to whom, held against themselves and against the specification."""

from __future__ import annotations

import copy
import importlib.resources
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import ConfigurationError, InputRefused
from gateway.policy.connections import Connection
from gateway.policy.routes import LEGS, build, tables
from message_formats import catalogue
from tests.support.data import read_yaml

SPEC = Path(__file__).resolve().parents[2].parent / "shared" / "spec"
"""Beside the repository in the project's own house, absent in a clone elsewhere: the packaged data then stand for it."""
PARTIES = frozenset({"city-cs"})


def packaged(name: str) -> Any:
    return read_yaml(importlib.resources.files("gateway.policy").joinpath("data", name).read_text(encoding="utf-8"))


def specified() -> set[tuple[str, str, str]]:
    """(type, from, to) of every step that the gateway carries: from the specification where it is, else as packaged."""
    if not SPEC.is_dir():
        return {(c.message_type, c.sender, c.receiver) for c in tables().connections if not c.decided}
    flows = read_yaml((SPEC / "flows.yaml").read_text(encoding="utf-8"))["flows"]
    return {(s["message"], s["from"], s["to"]) for flow in flows for s in flow["steps"] if s.get("message") and s["leg"] == "gateway"}


def beyond() -> set[tuple[str, str, str]]:
    """The steps that the specification gives to others, where it is here: else what is packaged."""
    if not SPEC.is_dir():
        return {(c.message_type, c.sender, c.receiver) for c in tables().connections if c.decided}
    flows = read_yaml((SPEC / "flows.yaml").read_text(encoding="utf-8"))["flows"]
    return {(s["message"], s["from"], s["to"]) for flow in flows for s in flow["steps"] if s.get("message") and s["leg"] != "gateway"}


def test_the_connections_are_those_of_the_specification() -> None:
    assert {(c.message_type, c.sender, c.receiver) for c in tables().connections if not c.decided} == specified()


def test_what_is_carried_in_the_place_of_the_city_cs_is_a_leg_of_its_own_and_marked_as_decided() -> None:
    decided = {(c.message_type, c.sender, c.receiver) for c in tables().connections if c.decided}
    for message_type, routes in tables().routes.items():
        for route in (each for each in routes if each.producer is not None or each.party in LEGS):
            way = route.way(message_type, "resident-record-system")
            assert (way.message_type, way.producer, way.consumer) in decided & beyond()


def test_the_systems_and_the_ephemeral_types_are_those_of_the_specification() -> None:
    systems, ephemeral = tables().systems, {"destination-information"}
    if SPEC.is_dir():
        found = read_yaml((SPEC / "systems.yaml").read_text(encoding="utf-8"))["systems"]
        assert systems == {each["id"] for each in found}
        assert tables().in_house == {each["id"] for each in found if each["kind"] == "internal"}
        messages = read_yaml((SPEC / "messages.yaml").read_text(encoding="utf-8"))["messages"]
        ephemeral = {each["name"] for each in messages if each["confidentiality"] == "spi-ephemeral"}
    assert len(systems) == 47
    assert tables().ephemeral == ephemeral
    assert {t.name for t in catalogue.all_types() if t.confidentiality == "spi-ephemeral"} <= ephemeral


def test_every_connection_and_route_is_of_a_type_that_the_gateway_carries() -> None:
    for name in tables().types & set(catalogue.names()):
        assert catalogue.get(name).carried
    for name, routes in tables().routes.items():
        assert {route.lane for route in routes} == {catalogue.get(name).lane}
        for route in routes:
            assert route.recipient in catalogue.get(route.carries or name).consumers


@pytest.mark.control("C-2-3-2")
@pytest.mark.invariant("I7")
@pytest.mark.parametrize("system", sorted(tables().systems - {"resident-record-system"}))
def test_no_other_system_reaches_the_city_cs(system: str) -> None:
    with pytest.raises(InputRefused) as e:
        tables().routes_for("identity-information-update", system, PARTIES)
    assert (e.value.code, e.value.rule) == ("not-permitted", "C-2-3-2")
    ways = [route for name in tables().sendable(system) for route in tables().routes[name] if route.sender in (None, system)]
    assert "city-cs" not in {route.party for route in ways}


@pytest.mark.control("C-2-3-2")
def test_only_the_core_register_has_a_connection_to_the_city_cs() -> None:
    assert {c.sender for c in tables().connections if c.receiver == "city-cs"} == {"resident-record-system"}


@pytest.mark.control("C-2-3-1")
def test_atena_system_and_city_cs_never_connect_not_even_over_others() -> None:
    reach: dict[str, set[str]] = {}
    for c in tables().connections:
        if "resident-record-system" not in (c.sender, c.receiver, *c.via):
            reach.setdefault(c.sender, set()).add(c.receiver)
    seen, front = set(), {"atena-system"}
    while front:
        seen |= front
        front = {to for each in front for to in reach.get(each, ())} - seen
    assert "city-cs" not in seen


@pytest.mark.control("C-2-3-3")
def test_what_the_core_may_send_to_the_city_cs_is_a_closed_list() -> None:
    allowed = {c.message_type for c in tables().connections if c.receiver == "city-cs"}
    assert allowed == {
        "identity-information-update",
        "destination-information",
        "core-cs-reconciliation-data",
        "code-acquisition-number-pair",
        "move-out-certificate-data",
        "identity-confirmation-request",
        "identity-search-request",
    }


def test_the_routes_of_the_register() -> None:
    (route,) = tables().routes_for("identity-information-update", "resident-record-system", PARTIES)
    assert (route.party, route.stream, route.lane, route.waits_for) == ("city-cs", "identity", "live", None)
    assert tables().sendable("resident-record-system") >= {"identity-information-update"} | tables().dialogues.keys()


@pytest.mark.control("C-1-2-19")
@pytest.mark.control("C-1-5-3")
def test_the_register_reaches_business_systems_by_way_of_the_internal_link_only() -> None:
    others = {"business-systems", "education-board-system", "tax-system"}
    ways = {(name, c.sender) for name, routes in tables().routes.items() for route in routes if route.party in others
            for c in tables().connections if (c.message_type, c.receiver) == (name, route.party)}  # fmt: skip
    assert ways == {("resident-info-transfer", "internal-link-system")}
    assert {name for name in tables().sendable("resident-record-system") if name == "resident-info-transfer"} == set()


@pytest.mark.control("C-1-3-9")
def test_each_feed_of_the_certificate_system_has_one_producer() -> None:
    feeds = {name: tables().senders(name) for name, routes in tables().routes.items() for route in routes
             if route.party == "certificate-issuance-system"}  # fmt: skip
    assert feeds["certificate-data-change"] == feeds["card-identifier-change"] == {"resident-record-system"}
    assert feeds["tax-certificate-change"] == {"tax-system"}


@pytest.mark.control("C-1-3-11")
def test_the_former_register_is_in_no_connection() -> None:
    assert not [c for c in tables().connections if "former-resident-record-system" in (c.sender, c.receiver, *c.via)]


@pytest.mark.flow("F1-1")
@pytest.mark.flow("F2-1")
def test_the_prefecture_is_told_after_the_city_cs_or_by_it() -> None:
    """``legs.prefecture-server``: the gateway's where the party is served, else left to the city CS (architecture, section 10 point 0)."""
    found = tables().routes_for("identity-information-update", "resident-record-system", PARTIES | {"prefecture-server"})
    assert [(r.party, r.carries, r.waits_for) for r in found] == [
        ("city-cs", None, None), ("prefecture-server", "identity-information-notice", "city-cs"),
    ]  # fmt: skip
    assert found[1].way("identity-information-update", "resident-record-system").text() == (
        "identity-information-notice city-cs prefecture-server"
    )
    with pytest.raises(InputRefused) as e:
        tables().routes_for("card-management-update", "resident-record-system", PARTIES)
    assert (e.value.code, e.value.rule) == ("not-carried", "legs")


@pytest.mark.flow("F1-1")
def test_what_a_flow_calls_independent_has_streams_of_its_own() -> None:
    independent = ("identity-information-update", "move-in-notice", "family-register-supplement-notice")
    streams = [route.stream for name in independent for route in tables().routes[name] if route.party == "city-cs"]
    assert len(set(streams)) == len(streams)


@pytest.mark.control("C-2-3-2")
def test_only_the_register_sends_in_another_s_place() -> None:
    for name, routes in tables().routes.items():
        if any(route.producer for route in routes):
            for system in sorted(tables().in_house - {"resident-record-system"}):
                with pytest.raises(InputRefused):
                    tables().routes_for(name, system, frozenset(route.party for route in routes))


@pytest.mark.control("C-2-3-2")
@pytest.mark.parametrize("question", sorted(tables().dialogues))
def test_only_the_register_may_ask(question: str) -> None:
    assert tables().asking(question, "resident-record-system", PARTIES).party == "city-cs"
    with pytest.raises(InputRefused) as e:
        tables().asking(question, "tax-system", PARTIES)
    assert (e.value.code, e.value.rule) == ("not-permitted", "C-2-3-2")
    with pytest.raises(InputRefused) as e:
        tables().asking(question, "resident-record-system", frozenset())
    assert e.value.code == "not-carried"
    with pytest.raises(InputRefused) as e:
        tables().routes_for(question, "resident-record-system", PARTIES)
    assert (e.value.code, "/v1/dialogues" in e.value.safe_detail) == ("not-carried", True)


def test_a_type_without_a_route_or_a_party_that_is_not_configured_is_refused_whole() -> None:
    with pytest.raises(InputRefused) as e:
        tables().routes_for("identity-information-notice", "resident-record-system", PARTIES)
    assert e.value.code == "not-carried"
    with pytest.raises(InputRefused) as e:
        tables().routes_for("identity-information-update", "resident-record-system", frozenset())
    assert e.value.code == "not-carried"


def altered(change: Any) -> tuple[Any, Any]:
    connections, routes = copy.deepcopy(packaged("connections.yaml")), copy.deepcopy(packaged("routes.yaml"))
    change(connections, routes)
    return connections, routes


def _other_to_city_cs(c: Any, r: Any) -> None:
    c["connections"]["tax-certificate-change"].append({"from": "tax-system", "to": "city-cs"})


def _atena_to_city_cs_by_the_core(c: Any, r: Any) -> None:
    c["connections"]["code-acquisition-request"].append({"from": "atena-system", "to": "city-cs", "via": ["resident-record-system"]})


def _unknown_system(c: Any, r: Any) -> None:
    c["connections"]["move-in-notice"].append({"from": "nobody", "to": "j-lis"})


def _route_without_connection(c: Any, r: Any) -> None:
    r["routes"]["identity-information-update"].append({"party": "j-lis", "stream": "x", "lane": "live"})


def _waits_for_a_later_one(c: Any, r: Any) -> None:
    r["routes"]["identity-information-update"][0]["waits_for"] = "prefecture-server"


def _no_such_lane(c: Any, r: Any) -> None:
    r["routes"]["identity-information-update"][0]["lane"] = "fast"


def _twice_the_same_party(c: Any, r: Any) -> None:
    r["routes"]["identity-information-update"] = r["routes"]["identity-information-update"][:1] * 2


def _no_route_at_all(c: Any, r: Any) -> None:
    r["routes"]["identity-information-update"] = []


@pytest.mark.parametrize(
    "change",
    [
        _other_to_city_cs,
        _atena_to_city_cs_by_the_core,
        _unknown_system,
        _route_without_connection,
        _waits_for_a_later_one,
        _no_such_lane,
        _twice_the_same_party,
        _no_route_at_all,
    ],
)
def test_tables_that_contradict_themselves_or_the_controls_are_not_loaded(change: Any) -> None:
    with pytest.raises(ConfigurationError) as e:
        build(*altered(change))
    assert e.value.code == "policy-tables"


@pytest.mark.rule("R3")
def test_a_route_may_wait_for_one_listed_before_it() -> None:
    def change(c: Any, r: Any) -> None:
        c["connections"]["identity-information-update"].append({"from": "resident-record-system", "to": "prefecture-server"})
        r["routes"]["identity-information-update"][1:] = [
            {"party": "prefecture-server", "stream": "identity", "lane": "live", "waits_for": "city-cs"}
        ]

    built = build(*altered(change))
    found = built.routes_for("identity-information-update", "resident-record-system", frozenset({"city-cs", "prefecture-server"}))
    assert [(route.party, route.waits_for) for route in found] == [("city-cs", None), ("prefecture-server", "city-cs")]
    assert Connection(message_type="identity-information-update", sender="resident-record-system", receiver="city-cs") in built.connections
