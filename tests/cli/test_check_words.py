"""What renkei check says, in Japanese: every text that a look can find is in the table; and what it finds of operators."""

from __future__ import annotations

import ast
import dataclasses
import datetime as dt
import inspect
import json
from pathlib import Path

import pytest

from gateway.approvals.kinds import Role
from gateway.approvals.rights import Account, Rights
from gateway.checks import broker as check_broker
from gateway.checks import flows as check_flows
from gateway.checks import operators as check_operators
from gateway.checks import parties as check_parties
from gateway.checks import policy as check_policy
from gateway.checks import preflight
from gateway.checks import signing as check_signing
from gateway.checks.words import JAPANESE, japanese
from gateway.cli.support import ExitCode
from gateway.policy.loading import build, packaged, with_sample_approvals
from gateway.security.soap import messages

SPOKEN = {"name", "label", "detail", "remedy", "answering", "silent"}


def texts(module: object) -> set[str]:
    """Every literal that becomes a name, a detail or a remedy, with ``{}`` for what is put in."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(inspect.getsource(module))):  # type: ignore[arg-type]
        if isinstance(node, ast.keyword) and node.arg in SPOKEN:
            found |= literals(node.value)
        elif isinstance(node, ast.Assign):
            names = {each.id for target in node.targets for each in ast.walk(target) if isinstance(each, ast.Name)}
            found |= literals(node.value) if names & SPOKEN else set()
    return found - {"", "{}"}


def literals(node: ast.expr) -> set[str]:
    if isinstance(node, ast.Constant):
        return {node.value} if isinstance(node.value, str) else set()
    if isinstance(node, ast.JoinedStr):
        return {"".join(each.value if isinstance(each, ast.Constant) else "{}" for each in node.values)}  # type: ignore[misc]
    if isinstance(node, ast.IfExp):
        return literals(node.body) | literals(node.orelse)
    if isinstance(node, ast.BoolOp | ast.Tuple):
        return set().union(*(literals(each) for each in (node.values if isinstance(node, ast.BoolOp) else node.elts)))
    return set()


@pytest.mark.parametrize(
    "module",
    [preflight, check_broker, check_flows, check_operators, check_parties, check_policy, check_signing, messages],
    ids=lambda each: each.__name__,
)
def test_everything_that_can_be_found_is_said_in_japanese(module: object) -> None:
    missing = {each for each in texts(module) if each not in JAPANESE}
    assert not missing


def test_each_text_keeps_what_is_put_in() -> None:
    for english, translated in JAPANESE.items():
        assert english.count("{}") == translated.count("{}"), english
        made = english.replace("{}", "X-1")
        assert japanese(made) == translated.format(*["X-1"] * english.count("{}"))
    assert japanese("party city-cs: signatures") == "相手先 city-cs：署名"
    assert japanese("of somebody else") == "of somebody else"


async def test_check_speaks_japanese(renkei, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("instance: test\n", encoding="utf-8")
    said = await renkei("--lang", "ja", "check", "--config", tmp_path / "config.yaml")
    assert said.code == ExitCode.FINDINGS
    assert "✓ 設定：config.yaml は有効です" in said.out
    assert "✗ 操作者：登録 0 名、承認できる者 0 名" in said.out
    assert "    → operator と approver の役割を" in said.out
    assert "configuration: config.yaml is valid" in (await renkei("check", "--config", tmp_path / "config.yaml")).out


@pytest.mark.control("C-2-3-5")
@pytest.mark.control("C-1-3-17")
def test_missed_reviews_ended_rights_and_what_nobody_approved_are_found() -> None:
    now = dt.datetime(2026, 11, 2, tzinfo=dt.UTC)
    rights = Rights(roles=frozenset({Role.VIEWER}))
    account = Account(
        name="a", rights=rights, granted_at=now.timestamp(), requested_by="x", approved_by="y", reviewed_at=now.timestamp(),
        reviewed_by="y", seen_at=None, released_until=None, released_by=None,
    )  # fmt: skip
    well = check_operators.findings({"a": rights}, {"a": account}, now)
    assert [each.ok for each in well] == [True]
    assert [each.ok for each in check_operators.findings({"a": rights}, {}, now)] == [True]  # a ledger that knows nobody takes them over
    old = dataclasses.replace(account, reviewed_at=now.timestamp() - 600 * 86_400)
    more = Rights(roles=frozenset({Role.VIEWER, Role.APPROVER}), valid_until=dt.date(2026, 10, 31))
    found = {each.name: each for each in check_operators.findings({"a": more, "b": rights}, {"a": old}, now)}
    assert {name: each.ok for name, each in found.items()} == dict.fromkeys(
        ("operators: review", "operators: ended", "operators: approval"), False
    )
    assert found["operators: approval"].detail.endswith("a, b")
    assert all(each.remedy for each in found.values())


async def test_the_look_reads_the_ledger(tmp_path: Path) -> None:
    from gateway.config import load
    from gateway.ledger.ledger import Ledger
    from gateway.ledger.operators import TakeOver

    file = tmp_path / "config.yaml"
    file.write_text("admin: {operators: {a: {roles: [viewer]}, b: {roles: [viewer, approver]}}}\n", encoding="utf-8")
    config = load(file, environment={})
    assert [each.ok for each in await check_operators.look_at_accounts(config)] == [True]
    config.data_dir.joinpath("ledger").mkdir(parents=True)
    ledger = Ledger.open(config.ledger_url())
    await ledger.submit(TakeOver(configured={"a": Rights(roles=frozenset({Role.VIEWER})), "b": Rights(roles=frozenset({Role.VIEWER}))}))
    await ledger.close()
    [found] = await check_operators.look_at_accounts(config)
    assert (found.name, found.detail) == ("operators: approval", "not approved by a second person yet: b")


def test_a_sample_of_approvals_and_a_policy_that_breaks_a_rule_are_found() -> None:
    [well] = check_policy.findings(packaged(), production=True)
    assert (well.ok, japanese(well.detail)) == (True, f"第 0 版が有効です：{packaged().name}")
    assert [each.ok for each in check_policy.findings(with_sample_approvals(), production=False)] == [True]
    [sample] = check_policy.findings(with_sample_approvals(), production=True)
    assert (sample.ok, sample.detail) == (False, "the approvals that count are the sample")
    document = json.loads(packaged().document)
    document["permissions"]["identity-information-update"].append(
        {**document["permissions"]["identity-information-update"][0], "from": "atena-system"}
    )
    [broken] = check_policy.findings(build(document), production=True)
    assert (broken.ok, "forbidden-way" in broken.detail) == (False, True)
