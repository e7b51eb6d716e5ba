"""renkei policy, approvals, provisions, reports by command, over the real admin API and the real ledger. All residents are made up."""

from __future__ import annotations

import asyncio
import csv
import datetime as dt
import io
import json
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from certs.authority import TestAuthority
from certs.setup import ensure
from certs.tls import server_context
from gateway.admin.app import create_app, serve
from gateway.admin.identity import Operators
from gateway.admin.reports import LedgerReports
from gateway.checks.policy import look_at_policy
from gateway.cli import main as cli
from gateway.cli.docs import declared
from gateway.cli.support import ExitCode
from gateway.config import Config, load
from gateway.ledger import policies
from gateway.ledger import tables as t
from gateway.policy.loading import packaged_text
from gateway.policy.rights import JAPAN
from message_formats import samples
from tests.admin.memory import MemoryAccounts, MemoryService
from tests.cli.conftest import Result
from tests.policy.kit import REGISTER, TRANSFER, WORK, Way, mark, transfer, with_approvals

pytestmark = pytest.mark.slow
CONFIGURATION = """
admin:
  port: {port}
  operators:
    operator-a: {{roles: [administrator, operator]}}
    operator-b: {{roles: [approver, auditor]}}
data_dir: {folder}
"""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> TestAuthority:
    return ensure(tmp_path_factory.mktemp("policy") / "certs")


@pytest.fixture
async def file(way: Way, authority: TestAuthority, tmp_path: Path) -> AsyncIterator[Path]:
    file = tmp_path / "config.yaml"
    file.write_text(CONFIGURATION.format(port=1, folder=authority.directory.parent))
    config = load(file, environment={})
    accounts = MemoryAccounts()
    operators = Operators.of(config, accounts)
    accounts.configured = operators.configured
    reports = LedgerReports(way.ledger, without=[], clock=lambda: dt.datetime.now(dt.UTC) + dt.timedelta(days=40))
    app = create_app(MemoryService(), way.desk, operators, policy=way.admin, reports=reports)
    context = server_context(*config.certificate(), config.ca_file, config.crl_file)
    runner = await serve(app, host="127.0.0.1", port=0, tls=context)
    file.write_text(CONFIGURATION.format(port=runner.addresses[0][1], folder=authority.directory.parent))
    yield file
    await runner.cleanup()


@pytest.fixture
def renkei(file: Path, repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    monkeypatch.setattr(cli, "points", lambda: declared(repository / "pyproject.toml"))
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.setenv("COLUMNS", "400")

    async def renkei(who: str, *arguments: object, stdin: str = "") -> Result:
        capsys.readouterr()
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        code = await asyncio.to_thread(cli.run, [*map(str, arguments), "--config", str(file), "--as", f"operator-{who}"])
        shown = capsys.readouterr()
        return Result(code=code, out=shown.out, err=shown.err)

    return renkei


@pytest.mark.rule("R13")
@pytest.mark.control("C-1-3-16")
async def test_a_policy_is_asked_for_shown_approved_and_counts(way: Way, renkei: Any, tmp_path: Path) -> None:
    wanted = tmp_path / "approvals.yaml"
    wanted.write_text(packaged_text("approvals-sample.yaml"), encoding="utf-8")
    assert (await renkei("a", "policy", "check", wanted)).code == ExitCode.OK
    assert "+ approvals.transfer-2" in (await renkei("a", "policy", "diff", wanted)).out
    asked = await renkei("a", "policy", "apply", wanted, "--reason", "as agreed on 2026-11-20", "--yes")
    assert (asked.code, "renkei approvals approve" in asked.out) == (ExitCode.WAITS, True)
    (request,) = (await renkei("b", "approvals", "list", "--json")).json
    assert (request["command"], request["requested_by"], request["reason"]) == ("policy-change", "operator-a", "as agreed on 2026-11-20")
    shown = await renkei("b", "approvals", "show", request["request_id"])
    assert "+ approvals.transfer-2" in shown.out
    assert "the approvals are a sample" in shown.out
    own = await renkei("a", "approvals", "approve", request["request_id"], "--yes")
    assert (own.code, "role" in own.err) == (ExitCode.REFUSED, True)
    assert (await way.ledger.read(policies.active)).version == 0
    done = await renkei("b", "approvals", "approve", request["request_id"], "--yes")
    assert (done.code, "+ approvals.transfer-2" in done.out) == (ExitCode.OK, True)
    assert (await way.ledger.read(policies.active)).version == 1
    history = (await renkei("b", "policy", "history", "--json")).json
    assert [(each["version"], each["requested_by"], each["approved_by"]) for each in history] == [(1, "operator-a", "operator-b")]
    assert "operator-b" in (await renkei("b", "policy", "history")).out
    assert "version 1" in (await renkei("a", "policy", "show", "--work", WORK)).out
    again = await renkei("a", "policy", "apply", wanted, "--reason", "once more", "--yes")
    assert (again.code, "policy-same" in again.err) == (ExitCode.REFUSED, True)


@pytest.mark.rule("R13")
async def test_a_request_for_a_policy_is_refused_withdrawn_and_never_by_the_wrong_person(renkei: Any, tmp_path: Path) -> None:
    wanted = tmp_path / "approvals.yaml"
    wanted.write_text(packaged_text("approvals-sample.yaml"), encoding="utf-8")
    apply = ("policy", "apply", wanted, "--reason", "as agreed", "--yes", "--json")
    first, second = (await renkei("a", *apply)).json, (await renkei("a", *apply)).json
    refused = await renkei("b", "approvals", "refuse", first["request_id"], "--reason", "not this week", "--json")
    assert refused.json["status"] == "refused"
    assert (await renkei("b", "approvals", "withdraw", second["request_id"])).code == ExitCode.REFUSED
    assert (await renkei("a", "approvals", "withdraw", second["request_id"], "--json")).json["status"] == "withdrawn"
    assert (await renkei("b", *apply)).code == ExitCode.REFUSED  # an approver does not ask
    forbidden = tmp_path / "forbidden.yaml"
    forbidden.write_text("approvals: {transfer-2: {items: [name]}}", encoding="utf-8")
    faulty = await renkei("a", "policy", "apply", forbidden, "--reason", "as agreed", "--yes")
    assert (faulty.code, "policy-faulty" in faulty.err) == (ExitCode.REFUSED, True)


@pytest.mark.control("C-1-3-21")
@pytest.mark.control("C-2-3-8")
@pytest.mark.control("C-3-5-5")
async def test_a_disclosure_request_is_answered_by_a_file_that_only_its_author_reads(way: Way, renkei: Any, tmp_path: Path) -> None:
    await way.apply(with_approvals())
    for serial in (7, 8):
        await way.hand_in(transfer(serial), work=WORK, operator="staff-0042", terminal="=T1")
        await way.deliver()
    number = samples.items(TRANSFER, 7)["atena_number"]
    file = tmp_path / "disclosure.csv"
    asked = ("provisions", "export", file, "--by", "atena-number", "--reason", "request 12 of 2026")
    done = await renkei("b", *asked, stdin=f"{number}\n")
    assert (done.code, "support measures" in done.out) == (ExitCode.OK, False)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    heading, line = csv.reader(io.StringIO(file.read_text(encoding="utf-8-sig")))
    cells = dict(zip(heading, line, strict=True))
    assert (cells["outcome"], cells["recipients"], cells["operator"]) == ("provided", "こども相談課、子育て給付課", "＊＊＊＊")
    assert "番号法第9条第1項" in cells["legal basis"]
    assert number not in file.read_text(encoding="utf-8-sig") + done.out + done.err
    assert (await renkei("b", *asked, stdin=f"{number}\n")).code == ExitCode.USAGE  # never written over
    other = tmp_path / "staff.json"
    await renkei("b", "provisions", "export", other, "--staff", "--reason", "an inspection")
    one, two = json.loads(other.read_text())
    assert one["operator"] == two["operator"] == "staff-0042"
    assert one["resident"].startswith("resident-")
    assert one["resident"] != two["resident"]
    await way.hand_in(mark(7), system=REGISTER)
    found = await renkei("b", "provisions", "search", "--by", "atena-number", "--reason", "request 13", stdin=f"{number}\n")
    assert "support measures are in force" in found.out
    entries = await way.rows(t.audit_entry, t.audit_entry.c.kind.like("provisions-%"), order=t.audit_entry.c.id)
    assert [(each.kind, each.actor, json.loads(each.detail)["reason"]) for each in entries] == [
        ("provisions-exported", "operator-b", "request 12 of 2026"),
        ("provisions-exported", "operator-b", "an inspection"),
        ("provisions-searched", "operator-b", "request 13"),
    ]
    refused = await renkei("a", "provisions", "search", "--by", "atena-number", stdin=f"{number}\n")
    assert refused.code == ExitCode.USAGE  # nobody searches without a reason


@pytest.mark.control("C-2-3-7")
async def test_the_refusals_of_a_day_are_looked_at_and_statistics_made(way: Way, renkei: Any) -> None:
    await way.hand_in(transfer(), work=WORK)
    today = dt.datetime.now(JAPAN).date().isoformat()
    shown = await renkei("a", "reports", "refusals", today)
    assert ("not-approved" in shown.out, "C-1-3-1" in shown.out) == (True, True)
    done = await renkei("a", "reports", "check", "--result", "nothing to do", "--yes")
    assert (done.code, "were looked at" in done.out) == (ExitCode.OK, True)
    assert "looked at by operator-a" in (await renkei("b", "reports", "refusals")).out
    assert "確認：operator-a" in (await renkei("b", "--lang", "ja", "reports", "refusals")).out
    few = await renkei("b", "reports", "statistics", today[:7], "--reason", "the yearly report")
    assert (few.code, "< 10" in few.out) == (ExitCode.OK, True)
    assert (await renkei("b", "reports", "statistics", "2026-13", "--reason", "no month")).code == ExitCode.REFUSED


async def test_check_looks_at_the_version_that_counts(way: Way, ledger_url: str, tmp_path: Path) -> None:
    if not ledger_url.startswith("sqlite"):
        pytest.skip("the address of the test's PostgreSQL is not one of a configuration")
    config = Config.model_validate(
        {"data_dir": str(tmp_path), "ledger": {"url": ledger_url}}, context={"folder": tmp_path, "environment": {}}
    )
    [before] = await look_at_policy(config)
    assert (before.ok, before.detail.startswith("version 0 counts")) == (True, True)
    await way.apply(with_approvals())
    [after] = await look_at_policy(config)
    assert (after.ok, after.detail) == (False, "the approvals that count are the sample")
