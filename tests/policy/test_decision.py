"""Decisions over the whole of the packaged data: what the flows carry is permitted, and nothing else."""

from __future__ import annotations

import datetime as dt
import itertools
from pathlib import Path
from typing import Any

import pytest

from gateway.policy.decision import Permit, Refuse, Request, decide
from gateway.policy.explain import REASONS, lines
from gateway.policy.items import every, leaves
from gateway.policy.loading import packaged, with_sample_approvals
from gateway.policy.model import Permission, Policy
from gateway.policy.routes import REGISTER, tables
from message_formats import catalogue
from tests.policy.kit import DECIDED
from tests.support.data import read_yaml

SPEC = Path(__file__).resolve().parents[2].parent / "shared" / "spec"
CARRIED = {"gateway", "beyond-city-cs", "beyond-application-management"}
DAY = dt.date(2026, 11, 23)


def carried() -> set[tuple[str, str, str]]:
    """(type, from, to) of every carried step: from the specification where it stands beside the repository, else as packaged."""
    if not SPEC.is_dir():
        return set(packaged().triples) - DECIDED
    flows = read_yaml((SPEC / "flows.yaml").read_text(encoding="utf-8"))["flows"]
    return {(s["message"], s["from"], s["to"]) for f in flows for s in f["steps"] if s.get("message") and s["leg"] in CARRIED}


def request(permission: Permission, **changes: Any) -> Request:
    values: dict[str, Any] = {
        "message_type": permission.message_type, "producer": permission.producer, "consumer": permission.consumer, "on": DAY,
        "work": permission.works[0], **changes,
    }  # fmt: skip
    return Request(**values)


@pytest.mark.invariant("I7")
@pytest.mark.control("C-1-5-12")
@pytest.mark.control("C-1-5-4")
@pytest.mark.thorough
def test_over_all_systems_and_types_the_carried_steps_are_permitted_and_nothing_else() -> None:
    policy = with_sample_approvals()
    systems, types = sorted(policy.systems), catalogue.names()
    assert (len(systems), len(types)) == (47, 66)
    permitted = set()
    for message_type, producer, consumer in itertools.product(types, systems, systems):
        asked = Request(message_type=message_type, producer=producer, consumer=consumer, on=DAY)
        works = [p.works[0] for p in policy.permissions.get((message_type, producer, consumer), ())] or [None]
        if any(isinstance(decide(policy, Request(**{**_values(asked), "work": work})), Permit) for work in works):
            permitted.add((message_type, producer, consumer))
    assert permitted - DECIDED == carried()
    assert len(permitted - DECIDED) == 86
    assert permitted >= DECIDED
    assert ("atena-linkage-update", "atena-system", "city-cs") not in permitted


def test_what_this_project_decided_beyond_the_flows_is_marked_so_in_both_tables_and_is_a_closed_list() -> None:
    told = {p.triple for each in packaged().permissions.values() for p in each if p.decided}
    decided = {(c.message_type, c.sender, c.receiver) for c in tables().connections if c.decided}
    assert told == DECIDED <= decided
    # the rest is carried in the place of the city CS (legs.<party>), by the permission that it has in the specification
    in_place = {
        route.way(name, REGISTER) for name, routes in tables().routes.items() for route in routes if route.producer is not None
    }  # fmt: skip
    assert {(way.message_type, way.producer, way.consumer) for way in in_place} == decided - DECIDED
    assert {p.leg for triple in decided - DECIDED for p in packaged().permissions[triple]} == {"beyond-city-cs"}


def _values(asked: Request) -> dict[str, Any]:
    return {name: getattr(asked, name) for name in Request.__dataclass_fields__}


@pytest.mark.parametrize(
    ("message_type", "producer", "consumer", "rule"),
    [
        pytest.param("identity-information-update", "tax-system", "city-cs", "C-2-3-2", marks=pytest.mark.control("C-2-3-2")),
        pytest.param("code-acquisition-number-pair", "atena-system", "city-cs", "C-2-3-1", marks=pytest.mark.control("C-2-3-1")),
        pytest.param("code-acquisition-number-pair", "city-cs", "atena-system", "C-2-3-1", marks=pytest.mark.control("C-3-3-1")),
        pytest.param(
            "identity-information-notice", "city-cs", "information-provision-network", "C-2-6-1", marks=pytest.mark.control("C-2-6-1")
        ),
        pytest.param("destination-information", "city-cs", "intermediate-server", "C-3-6-1", marks=pytest.mark.control("C-3-6-1")),
        pytest.param(
            "resident-change-notification", "former-resident-record-system", "internal-link-system", "C-1-3-11",
            marks=pytest.mark.control("C-1-3-11"),
        ),
        pytest.param("certificate-data", "tax-system", "citizen", "connections", marks=pytest.mark.control("C-1-5-7")),
    ],
)  # fmt: skip
@pytest.mark.invariant("I7")
def test_a_refusal_names_the_rule_that_stands_behind_it(message_type: str, producer: str, consumer: str, rule: str) -> None:
    decision = decide(with_sample_approvals(), Request(message_type=message_type, producer=producer, consumer=consumer, on=DAY))
    assert isinstance(decision, Refuse)
    assert (decision.code, decision.rule) == ("no-connection", rule)


@pytest.mark.control("C-1-3-1")
def test_without_an_approval_nothing_of_the_transfers_is_permitted() -> None:
    for each in itertools.chain.from_iterable(packaged().permissions.values()):
        if each.message_type == "resident-info-transfer":
            decision = decide(packaged(), request(each))
            assert isinstance(decision, Refuse)
            assert decision.code in ("not-approved", "work-inactive")


@pytest.mark.control("C-M-6-24")
@pytest.mark.control("C-M-6-1")
@pytest.mark.edge("F6-2", "own-inquiry")
@pytest.mark.edge("FS1-8a", "undecided-row")
def test_an_inquiry_over_the_network_paper_and_inactive_rows_yield_nothing() -> None:
    policy = with_sample_approvals()
    for work in policy.works.values():
        if work.carried and work.active:
            continue
        for triple, each in policy.permissions.items():
            asked = Request(message_type=triple[0], producer=triple[1], consumer=triple[2], on=DAY, work=work.id)
            assert isinstance(decide(policy, asked), Refuse), (work.id, each[0].id)


def test_the_counts_are_those_of_the_document() -> None:
    works = packaged().works.values()
    inquirers = [w for w in works if w.kind == "inquirer"]
    rows = [w for w in works if w.id.startswith(("transfer-", "ordinance-"))]
    printed = [w for w in works if w.id.startswith("file")]
    assert (len(inquirers), sum(w.active for w in inquirers)) == (59, 54)
    assert sorted(int(w.id.partition("-")[2]) for w in inquirers if not w.active) == [15, 40, 47, 48, 49]
    assert (len(rows), sum(w.active for w in rows)) == (45, 44)
    assert [w.id for w in rows if not w.active] == ["transfer-15"]
    assert (len(printed), sum(w.carried for w in printed)) == (11, 6)


@pytest.mark.skipif(not SPEC.is_dir(), reason="the specification does not stand beside this clone")
def test_works_are_those_of_the_specification() -> None:
    spec = read_yaml((SPEC / "recipients.yaml").read_text(encoding="utf-8"))
    works = packaged().works
    for prefix, rows, item, law in (
        ("inquirer", spec["inquirers"], "table2_item", "law"),
        ("transfer", spec["internal_transfers"], "table1_item", "law"),
        ("ordinance", spec["ordinance_transfers"], "ordinance_item", "ordinance"),
    ):
        for row in rows:
            work = works[f"{prefix}-{row['no']}"]
            assert (work.table, work.law, work.ja, work.status) == (row[item], row[law], row["work"], row["status"])
            assert work.ordinance == row.get("ordinance_article")
            assert work.recipients == tuple(row.get("departments") or [row["inquirer"]])
    for row in spec["provisions"]:
        work = works[row["id"]]
        assert (work.ja, work.printed_items) == (row["recipient"], tuple(row["items"]))
        assert work.method == {"paper": "paper", "information-provision-network": "network"}.get(row["method"], "line")
        assert {a.cite for a in work.basis} >= {b for b in row["legal_basis"] if not b.startswith("番号法第19条")}
    flows = {f["id"]: f for f in read_yaml((SPEC / "flows.yaml").read_text(encoding="utf-8"))["flows"]}
    for work in works.values():
        if work.kind == "flow":
            assert [("" if a.tied else "~") + a.cite for a in work.basis] == flows[work.id]["legal_basis"]
            assert (work.ja, work.en) == (flows[work.id]["title_ja"], flows[work.id]["title_en"])
    for triple, permissions in packaged().permissions.items():
        of_flows = {w for p in permissions for w in p.works if works[w].kind == "flow"}
        steps = {f["id"] for f in flows.values() for s in f["steps"] if (s.get("message"), s["from"], s["to"]) == triple}
        assert triple in DECIDED or not of_flows or of_flows == steps
    systems = {s["id"]: s for s in read_yaml((SPEC / "systems.yaml").read_text(encoding="utf-8"))["systems"]}
    assert {k: (s.ja, s.in_house, s.number_never) for k, s in packaged().systems.items()} == {
        k: (s["name_ja"], s["kind"] == "internal", s["holds_individual_number"] == "never") for k, s in systems.items()
    }


@pytest.mark.control("C-1-3-2")
@pytest.mark.control("C-1-3-10")
@pytest.mark.control("C-M-6-17")
@pytest.mark.edge("FS1-8a", "no-number-needed")
def test_the_individual_number_goes_only_where_it_is_approved() -> None:
    policy: Policy = with_sample_approvals()
    for permission in itertools.chain.from_iterable(policy.permissions.values()):
        number = {path for path in permission.items if leaves(permission.message_type)[path].kind == "individual-number"}
        ends = {permission.producer, permission.consumer}
        if number:
            assert catalogue.get(permission.message_type).individual_number in ("yes", "conditional"), permission.id
            assert not any(policy.systems[end].number_never for end in ends), permission.id
    sent = [p for p in itertools.chain.from_iterable(policy.permissions.values()) if p.message_type == "resident-info-transfer"]
    assert any("individual_number" in p.items for p in sent)
    assert any("individual_number" not in p.items for p in sent)
    assert not any("individual_number" in p.items for p in sent if p.consumer == "education-board-system")


def test_an_article_counts_on_the_days_on_which_it_is_in_force() -> None:
    policy = with_sample_approvals()
    (permission,) = policy.permissions["provision-replica-update", "internal-link-system", "intermediate-server"]
    old, new = "番号法第19条第7号（別表第二）", "番号法第19条第8号（別表第二）"
    assert isinstance(decide(policy, request(permission, basis=new)), Permit)
    outdated = decide(policy, request(permission, basis=new, on=dt.date(2021, 8, 31)))
    assert isinstance(outdated, Refuse)
    assert outdated.code == "basis-not-in-force"
    assert isinstance(decide(policy, request(permission, basis=old)), Refuse)


@pytest.mark.invariant("I7")
def test_a_resident_under_support_measures_is_honoured_at_every_way_out() -> None:
    policy = with_sample_approvals()
    refused = {"identity-search-result", "certificate-data"}
    for permission in itertools.chain.from_iterable(policy.permissions.values()):
        decision = decide(policy, request(permission, protected=True))
        if permission.message_type in refused:
            assert isinstance(decision, Refuse), permission.id
            assert decision.code == "protected"
        elif permission.withheld and permission.approved:
            assert isinstance(decision, Permit)
            assert not decision.items & permission.withheld
            assert decision.withheld == permission.items & permission.withheld
    (inquiry,) = policy.permissions["identity-inquiry-result", "national-server", "resident-record-system"]
    assert isinstance(decide(policy, request(inquiry, protected=True)), Permit), "asked for by name and number"
    assert isinstance(decide(policy, request(inquiry, protected=True, listed=True)), Refuse), "one of several of whom one is meant"
    assert isinstance(decide(policy, request(inquiry, listed=True)), Permit)
    (wide,) = policy.permissions["wide-area-certificate-data", "resident-record-system", "other-municipality-cs"]
    assert isinstance(decide(policy, request(wide, protected=True)), Refuse)
    (update,) = policy.permissions["identity-information-update", "resident-record-system", "city-cs"]
    kept = decide(policy, request(update, protected=True))
    assert isinstance(kept, Permit)
    assert kept.whole


@pytest.mark.control("C-1-7-6")
def test_destination_information_of_a_deceased_person_is_refused_and_all_else_is_filtered_like_for_the_living() -> None:
    policy = with_sample_approvals()
    for permission in itertools.chain.from_iterable(policy.permissions.values()):
        living, dead = decide(policy, request(permission)), decide(policy, request(permission, deceased=True))
        if permission.message_type == "destination-information":
            assert isinstance(dead, Refuse)
            assert dead.rule == "C-3-7-4"
        else:
            assert dead == living


def test_every_decision_is_explained_in_both_languages_with_its_article_or_rule() -> None:
    policy = with_sample_approvals()
    seen = set()
    for permission in itertools.chain.from_iterable(policy.permissions.values()):
        for changes in ({}, {"work": "transfer-15"}, {"work": "inquirer-1"}, {"basis": "民法第1条"}, {"on": dt.date(2000, 1, 1)}):
            asked = request(permission, **changes)
            decision = decide(policy, asked)
            for language in ("ja", "en"):
                told = dict(lines(policy, asked, decision, language))
                assert all(told.values())
                if isinstance(decision, Refuse):
                    seen.add(decision.code)
                    assert told["規定" if language == "ja" else "rule"] == decision.rule
                else:
                    assert all(a.cite in told["根拠" if language == "ja" else "legal basis"] for a in decision.basis)
    assert seen <= REASONS.keys()
    assert {"basis-wrong", "work-wrong", "not-carried", "outside-period"} <= seen


def test_the_items_of_the_main_way_are_every_item_of_its_type() -> None:
    (permission,) = packaged().permissions["identity-information-update", "resident-record-system", "city-cs"]
    assert permission.items == every("identity-information-update")
    assert len(permission.items) == 36
