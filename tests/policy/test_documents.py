"""Policy documents: what is wrong with one is said, what none may permit is found, what changes is shown; and the command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import main as cli
from gateway.cli.docs import declared
from gateway.errors import ConfigurationError
from gateway.policy.checks import findings
from gateway.policy.diff import changes
from gateway.policy.loading import build, packaged, parse, with_sample_approvals
from gateway.policy.routes import tables
from tests.policy.kit import with_approvals


def altered(section: str, change: Any) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(packaged().document)
    change(document[section])
    return document


def test_nothing_in_the_packaged_policy_breaks_a_rule() -> None:
    for policy in (packaged(), with_sample_approvals()):
        assert not [each for each in findings(policy, tables()) if each.fault]
    assert "sample-approvals" in {each.code for each in findings(with_sample_approvals())}


@pytest.mark.invariant("I7")
@pytest.mark.parametrize(
    ("message_type", "row", "rule"),
    [
        ("tax-certificate-change", {"from": "tax-system", "to": "city-cs"}, "C-2-3-2"),
        ("code-acquisition-request", {"from": "atena-system", "to": "city-cs"}, "C-2-3-1"),
        ("identity-information-notice", {"from": "city-cs", "to": "intermediate-server"}, "C-2-6-1"),
        ("destination-information", {"from": "resident-record-system", "to": "information-provision-network"}, "C-3-6-1"),
        ("resident-change-notification", {"from": "resident-record-system", "to": "former-resident-record-system"}, "C-1-3-11"),
        ("resident-change-notification", {"from": "resident-record-system", "to": "residence-card-issuance-system"}, "C-1-3-10"),
    ],
)
def test_what_no_policy_may_permit_is_a_fault(message_type: str, row: dict[str, str], rule: str) -> None:
    wrong = altered("permissions", lambda rows: rows[message_type].append({**row, "leg": "gateway", "works": ["F1-1"]}))
    faults = [each for each in findings(build(wrong)) if each.fault]
    assert rule in {each.rule for each in faults}


def test_an_approval_without_an_item_that_the_schema_requires_is_a_fault() -> None:
    assert "item-required" in {each.code for each in findings(with_approvals(transfer_2={"items": ["name"]})) if each.fault}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[", "not YAML"),
        ("approvals: {transfer-1: {items: [name]}, transfer-1: {items: [sex]}}", "twice"),
        ("approvals: {transfer-1: {items: [religion]}}", "no item religion"),
        ("approvals: {transfer-99: {items: [name]}}", "no such work"),
        ("approvals: {transfer-1: {items: [name], always: true}}", "always"),
        ("permissions: {no-such-type: []}", "no such message type"),
        ("nonsense: 1", "nonsense"),
    ],
)
def test_a_document_that_is_wrong_is_refused_with_its_place(text: str, says: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        build(parse(text, onto=packaged()))
    assert refused.value.code == "policy-document"
    assert says in refused.value.safe_detail


def test_a_difference_names_what_is_gained_and_lost() -> None:
    found = changes(with_approvals(), with_approvals(transfer_2={"items": ["atena_number", "name", "individual_number"]}, transfer_3=None))
    assert [(each.kind, each.place) for each in found] == [("changed", "approvals.transfer-2"), ("removed", "approvals.transfer-3")]
    assert found[0].gained == ("individual_number",)
    assert "address" in found[0].lost


@pytest.mark.parametrize(("language", "word"), [("ja", "番号法第9条第1項（別表第一）第16項"), ("en", "legal basis")])
def test_the_command_explains(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], language: str, word: str
) -> None:
    monkeypatch.setattr(cli, "points", lambda: declared(repository / "pyproject.toml"))
    monkeypatch.setattr("gateway.policy.loading.packaged", with_sample_approvals)
    monkeypatch.setenv("COLUMNS", "400")
    way = ("resident-info-transfer", "--from", "internal-link-system", "--to", "tax-system", "--work", "transfer-9", "--packaged")
    assert cli.run(["policy", "explain", *way, "--on", "2026-11-23", "--lang", language]) == 0
    assert word in capsys.readouterr().out
    assert cli.run(["policy", "explain", *way, "--item", "name", "--item", "resident_items/notified_on", "--json"]) == 5
    said = json.loads(capsys.readouterr().out)
    assert (said["code"], said["names"]) == ("item-not-permitted", ["resident_items/notified_on"])
    assert said["ja"]
    assert said["en"]
    assert cli.run(["policy", "check", "--packaged", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ok"]
    assert cli.run(["policy", "show", "--packaged", "--work", "transfer-15"]) == 0
    assert "transfer-15" in capsys.readouterr().out
