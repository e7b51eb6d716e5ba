"""``renkei audit`` as people use it: against a real ledger, and through a real admin API. All residents are fictitious."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from certs.authority import TestAuthority
from certs.tls import server_context
from gateway.admin.app import create_app, serve
from gateway.admin.identity import Operators
from gateway.audit.service import LedgerAuditRecord
from gateway.cli.support import ExitCode
from gateway.config import Config, load
from gateway.contract import Delivered, Receipt, Rejected
from gateway.ledger.ledger import Ledger
from gateway.ledger.outcomes import Learned
from tests.admin.conftest import authority
from tests.admin.memory import MemoryAccounts, MemoryService
from tests.audit.kit import Record
from tests.cli.conftest import points, renkei
from tests.ledger.kit import TRAITS, prepared, to

__all__ = ["authority", "points", "renkei"]
pytestmark = [pytest.mark.rule("R22"), pytest.mark.invariant("I8"), pytest.mark.thorough]

TEXT = """
admin: {{port: {port}, operators: {{operator-a: {{roles: [viewer]}}, operator-d: {{roles: [operator]}}}}}}
certificates: {{directory: {certificates}}}
data_dir: {folder}
ledger: {{url: 'sqlite:///{folder}/ledger/ledger.db'}}
audit: {{checkpoints: {outside}}}
"""


class Town:
    """A ledger with a few deliveries on record, its chain, and the admin API in front of it."""

    def __init__(self, record: Record, config: Config) -> None:
        self.record = record
        self.config = config
        self.options = ("--config", str(config.file))

    @property
    def ledger(self) -> Ledger:
        return self.record.ledger

    async def deliver(self, source: str, who: int, answer: Any, party: str = "p") -> str:
        """One message to a party, and what came of it; returns its id."""
        message = prepared(source, to(party), who=who)
        [admitted] = await self.ledger.admit([message])
        assert admitted.receipt
        worker = self.record.liveness.id
        key = await self.ledger.read(
            lambda conn: conn.exec_driver_sql("SELECT key_id FROM delivery WHERE message_id = ?", (message.message_id,)).scalar_one()
        )
        claimed = (await self.ledger.claim(worker, party, [key], TRAITS)).claimed
        if answer is not None:
            await self.ledger.write_outcomes(worker, party, [Learned(claim=claimed[0], answer=answer)], TRAITS, go_on=False)
        return message.message_id


@pytest.fixture
async def town(authority: TestAuthority, small: Record, tmp_path: Path) -> AsyncIterator[Town]:
    file = tmp_path / "config.yaml"
    places = {"certificates": authority.directory, "folder": tmp_path, "outside": small.outside}
    file.write_text(TEXT.format(port=1, **places), encoding="utf-8")
    config = load(file, environment={})
    context = server_context(*config.certificate(), config.ca_file, config.crl_file)
    service, accounts = MemoryService(), MemoryAccounts()
    operators = Operators.of(config, accounts)
    accounts.configured = operators.configured
    app = create_app(service, service, operators, audit=LedgerAuditRecord(small.ledger, {"p", "q"}))
    runner = await serve(app, host="127.0.0.1", port=0, tls=context)
    file.write_text(TEXT.format(port=runner.addresses[0][1], **places), encoding="utf-8")
    yield Town(small, load(file, environment={}))
    await runner.cleanup()


ACCEPTED = Delivered(receipt=Receipt(code="accepted", body=b""))
WHO = ("--as", "operator-a")


async def test_verify_says_all_is_well_or_what_is_not(town: Town, renkei: Callable[..., Any]) -> None:
    await town.record.fill(3)
    well = await renkei("audit", "verify", *town.options)
    assert (well.code, "all well" in well.out) == (ExitCode.OK, True)
    victim = town.record.ids(2)[0]
    town.record.tamper("DELETE FROM audit_entry WHERE id = :id", id=victim)
    found = await renkei("audit", "verify", *town.options)
    assert (found.code, f"entry-deleted: block 2 entry {victim}" in found.out) == (ExitCode.FINDINGS, True)
    machine = await renkei("audit", "verify", *town.options, "--json")
    assert [each["code"] for each in machine.json["findings"]] == ["entry-deleted"]
    assert machine.json["keys"] == {town.record.pin(): "pinned"}
    japanese = await renkei("--lang", "ja", "audit", "verify", *town.options)
    assert "削除" in japanese.out


async def test_an_export_is_verified_without_the_gateway_and_by_a_third_person(
    town: Town, renkei: Callable[..., Any], tmp_path: Path, repository: Path
) -> None:
    await town.record.fill(4)
    folder = tmp_path / "export"
    done = await renkei("audit", "export", folder, *WHO, *town.options, "--json")
    assert (done.code, done.json["checkpoints"]) == (ExitCode.OK, 4), done.err
    pinned = ("--key", town.record.pin())
    well = await renkei("audit", "verify", folder, *pinned, "--json")
    assert (well.code, well.json["entries"], well.json["signed_to"]) == (ExitCode.OK, 16, 4)
    key = await renkei("audit", "key", *town.options, "--json")
    (tmp_path / "key.pem").write_text(key.json["pem"])
    assert key.json["fingerprint"] == town.record.pin()
    script = ["sh", str(repository / "docs" / "verify-audit.sh"), str(folder), str(tmp_path / "key.pem")]
    assert "all is well" in subprocess.run(script, check=True, capture_output=True, text=True).stdout
    again = await renkei("audit", "export", folder, *WHO, *town.options)
    assert (again.code, "not empty" in again.err) == (ExitCode.REFUSED, True)
    text = (folder / "chain.txt").read_text(encoding="utf-8")
    (folder / "chain.txt").write_text(text.replace("tester", "nobody", 1), encoding="utf-8")
    touched = await renkei("audit", "verify", folder, *pinned, "--json")
    assert [(each["code"], each["block"]) for each in touched.json["findings"]] == [("entry-changed", 1)]
    own = await renkei("audit", "export", tmp_path / "own", "--from-ledger", *town.options, "--json")
    assert own.code == ExitCode.OK
    await town.record.chainer.once(reason="test")
    assert "audit-exported" in (await renkei("audit", "show", *WHO, *town.options)).out, "an export is itself on record"


async def test_a_part_of_the_chain(town: Town, renkei: Callable[..., Any], tmp_path: Path) -> None:
    await town.record.fill(5)
    await renkei("audit", "export", tmp_path / "part", "--first", 2, "--last", 4, *WHO, *town.options)
    found = await renkei("audit", "verify", tmp_path / "part", "--json")
    assert found.json["findings"] == []
    assert (found.json["first_block"], found.json["last_block"], found.json["signed_to"]) == (2, 4, 4)
    none = await renkei("audit", "export", tmp_path / "none", "--first", 9, *WHO, *town.options)
    assert none.code == ExitCode.REFUSED


async def test_show_finds_by_message_party_actor_time_and_kind(town: Town, renkei: Callable[..., Any]) -> None:
    first = await town.deliver("m-1", 1, ACCEPTED)
    await town.deliver("m-2", 2, ACCEPTED, party="q")
    await town.ledger.pause("q", "operator-b", "their maintenance", paused=True)
    await town.record.chainer.once()

    async def kinds(*options: str) -> list[str]:
        answer = await renkei("audit", "show", *options, *WHO, *town.options, "--json")
        assert answer.code == ExitCode.OK, answer.err
        return [each["kind"] for each in answer.json["items"]]

    assert await kinds("--message", first) == ["provided", "accepted"]
    assert set(await kinds("--party", "q")) == {"party-paused", "provided"}
    assert await kinds("--actor", "operator-b") == ["party-paused"]
    assert await kinds("--kind", "provided") == ["provided", "provided"]
    assert await kinds("--from", "2999-01-01") == []
    assert await kinds("--to", "2020-01-01T00:00Z", "--from", "2019-01-01") == []
    assert len(await kinds("--limit", "2")) == 2
    page = await renkei("audit", "show", "--limit", "2", *WHO, *town.options, "--json")
    rest = await renkei("audit", "show", "--after", page.json["next_after"], *WHO, *town.options, "--json")
    ids = [each["id"] for each in page.json["items"] + rest.json["items"]]
    assert len(ids) == len(set(ids)) == len(await kinds())
    assert all(each["block"] == 1 for each in page.json["items"])
    wrong = await renkei("audit", "show", *town.options, "--as", "operator-d")
    assert (wrong.code, "role" in wrong.err) == (ExitCode.REFUSED, True)


async def test_scope_says_whose_data_passed_a_party_between_two_times(town: Town, renkei: Callable[..., Any]) -> None:
    """Taken over, refused and unanswered alike: it had left. What went to others, or at other times, is not in it."""
    taken = await town.deliver("m-1", 1, ACCEPTED)
    refused = await town.deliver("m-2", 2, Rejected(code="E103"))
    open_call = await town.deliver("m-3", 3, None)
    await town.deliver("m-4", 4, ACCEPTED, party="q")
    found = await renkei("audit", "scope", "--party", "p", "--from", "2020-01-01", "--to", "2999-01-01", *WHO, *town.options, "--json")
    assert found.code == ExitCode.OK, found.err
    assert {each["message_id"]: each["outcome"] for each in found.json["items"]} == {
        taken: "provided",
        refused: "other",
        open_call: "under-way",
    }
    subjects = await town.ledger.read(
        lambda conn: set(conn.exec_driver_sql("SELECT subject FROM message WHERE id IN (?, ?, ?)", (taken, refused, open_call)).scalars())
    )
    assert set(found.json["subjects"]) == subjects
    assert len(subjects) == 3
    before = await renkei("audit", "scope", "--party", "p", "--from", "2019-01-01", "--to", "2020-01-01", *WHO, *town.options, "--json")
    assert before.json["items"] == []
    people = await renkei("audit", "scope", "--party", "p", "--from", "2020-01-01", "--to", "2999-01-01", *WHO, *town.options)
    assert "p: 3 residents, 3 deliveries" in people.out
    assert (await renkei("audit", "show", "--kind", "scope-read", *WHO, *town.options, "--json")).json["items"][0]["actor"] == "operator-a"
    unknown = await renkei("audit", "scope", "--party", "x", "--from", "2020-01-01", "--to", "2999-01-01", *WHO, *town.options)
    assert unknown.code == ExitCode.NOT_FOUND
    wrong = await renkei("audit", "scope", "--party", "p", "--from", "2021-01-01", "--to", "2020-01-01", *WHO, *town.options)
    assert wrong.code == ExitCode.REFUSED


async def test_a_ledger_that_is_not_there_is_not_made(renkei: Callable[..., Any], tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("instance: test\n", encoding="utf-8")
    answer = await renkei("audit", "verify", "--config", file)
    assert answer.code == ExitCode.CONFIGURATION
    assert not await asyncio.to_thread((tmp_path / "var").exists)
