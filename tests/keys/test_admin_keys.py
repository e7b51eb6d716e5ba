"""Keys and look-up by an identifier, as operators use them: over the admin API, and by the command."""

from __future__ import annotations

import io
import json
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
from gateway.admin.keys import LOOKED_UP_BY, KeyAdmin
from gateway.cli import main as cli
from gateway.cli.docs import declared
from gateway.cli.support import ExitCode
from gateway.config import load
from gateway.errors import CommandRefused, InputRefused
from gateway.policy.routes import tables
from gateway.security.keys import Kind
from message_formats import samples
from message_formats.identifiers import KINDS
from message_formats.plans import IDENTIFYING
from tests.admin.memory import MemoryAccounts, MemoryService
from tests.keys.kit import Safe

pytestmark = [pytest.mark.invariant("I5"), pytest.mark.thorough]


@pytest.fixture
async def safe(tmp_path: Path, ledger_url: str) -> AsyncIterator[Safe]:
    made = await Safe.open(tmp_path, ledger_url)
    yield made
    await made.close()


def admin(safe: Safe) -> KeyAdmin:
    return KeyAdmin(safe.ledger, safe.keys, safe.custodian, tables())


@pytest.mark.control("C-2-3-8")
async def test_a_resident_is_found_by_each_number_and_only_that_somebody_looked_is_on_record(safe: Safe) -> None:
    await safe.submit(1, 1)
    await safe.submit(2, 2)
    await safe.submit(3, 1)
    for by, value in (("resident-code", samples.resident_record_code(1)), ("individual-number", samples.individual_number(1))):
        found = await admin(safe).find("operator-a", by, f" {value}\n", "application 12")
        assert [each.source_id for each in found] == ["m3", "m1"], "the newest first"
        assert found[0].parties == ("city-cs",)
    entries = await safe.entries("looked-up")
    assert [(entry.actor, json.loads(entry.detail)) for entry in entries] == [
        ("operator-a", {"by": "resident-code", "reason": "application 12", "found": 2}),
        ("operator-a", {"by": "individual-number", "reason": "application 12", "found": 2}),
    ]
    assert await admin(safe).find("operator-a", "resident-code", samples.resident_record_code(9), "why") == []
    assert await admin(safe).find("operator-a", "atena-number", samples.atena_number(1), "why") == []


async def test_a_resident_is_found_while_indexes_are_being_renewed_and_after(safe: Safe) -> None:
    for number in range(6):
        await safe.submit(number, number)
    await safe.custodian.rotate(Kind.BLIND, "operator-a", "test")
    more = True
    while more:
        for number in range(6):
            found = await admin(safe).find("operator-a", "resident-code", samples.resident_record_code(number), "why")
            assert [each.source_id for each in found] == [f"m{number}"]
        more = await safe.custodian.step()


@pytest.mark.parametrize(("by", "value"), [("resident-code", "99900000001"), ("individual-number", "123456789012"), ("name", "x")])
async def test_what_is_no_such_number_is_refused_without_repeating_it(safe: Safe, by: str, value: str) -> None:
    with pytest.raises(InputRefused) as caught:
        await admin(safe).find("operator-a", by, value, "why")
    assert value not in str(caught.value) or value == "x"


def test_what_one_may_look_up_by_names_a_person() -> None:
    assert set(LOOKED_UP_BY.values()) <= set(IDENTIFYING) & set(KINDS)


async def test_rotation_by_an_operator(safe: Safe) -> None:
    new = await admin(safe).rotate("operator-a", "kek", "yearly")
    assert (new.kind, new.state, new.uses) == ("kek", "current", 0)
    with pytest.raises(CommandRefused, match="key-kind-unknown"):
        await admin(safe).rotate("operator-a", "master", "because")
    [entry] = await safe.entries("key-rotated")
    assert (entry.actor, json.loads(entry.detail)["reason"]) == ("operator-a", "yearly")


# ---- over the API and by the command --------------------------------------------------------------------------------------------------


CONFIGURATION = """
admin:
  port: {port}
  operators:
    operator-a: {{roles: [viewer, operator]}}
    operator-b: {{roles: [viewer]}}
data_dir: {folder}
"""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> TestAuthority:
    return ensure(tmp_path_factory.mktemp("admin") / "certs")


@pytest.fixture
async def api(safe: Safe, authority: TestAuthority, tmp_path: Path) -> AsyncIterator[Path]:
    file = tmp_path / "config.yaml"
    file.write_text(CONFIGURATION.format(port=1, folder=authority.directory.parent))
    config = load(file, environment={})
    context = server_context(*config.certificate(), config.ca_file, config.crl_file)
    service, accounts = MemoryService(), MemoryAccounts()
    operators = Operators.of(config, accounts)
    accounts.configured = operators.configured
    app = create_app(service, service, operators, keys=admin(safe))
    runner = await serve(app, host="127.0.0.1", port=0, tls=context)
    file.write_text(CONFIGURATION.format(port=runner.addresses[0][1], folder=authority.directory.parent))
    yield file
    await runner.cleanup()


async def renkei(file: Path, *arguments: str, capsys: Any, operator: str = "operator-a") -> tuple[int, str, str]:
    import asyncio

    code = await asyncio.to_thread(cli.run, [*arguments, "--config", str(file), "--as", operator])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, repository: Path) -> None:
    monkeypatch.setattr(cli, "points", lambda: declared(repository / "pyproject.toml"))
    monkeypatch.setenv("LANG", "C.UTF-8")


WHY = ("--reason", "application 12 of today")


@pytest.mark.usefixtures("command")
async def test_the_number_is_read_from_standard_input(
    api: Path, safe: Safe, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    await safe.submit(1, 1)
    number = samples.individual_number(1)
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{number}\n"))
    code, out, err = await renkei(api, "message", "--by", "individual-number", *WHY, "--json", capsys=capsys)
    assert (code, [each["source_id"] for each in json.loads(out)]) == (0, ["m1"])
    assert number not in out + err
    code, _, err = await renkei(api, "message", "--by", "individual-number", number, *WHY, capsys=capsys)
    assert code == ExitCode.USAGE, "a number is never an argument"
    assert number not in err
    monkeypatch.setattr(sys, "stdin", io.StringIO("123\n"))
    code, out, err = await renkei(api, "message", "--by", "individual-number", *WHY, capsys=capsys)
    assert code == ExitCode.REFUSED
    assert "123" not in out + err


@pytest.mark.usefixtures("command")
async def test_the_commands_list_and_rotate(api: Path, safe: Safe, capsys: pytest.CaptureFixture[str]) -> None:
    await safe.submit(1, 1)
    code, out, _ = await renkei(api, "keys", "list", capsys=capsys)
    assert code == 0
    assert "current" in out
    await safe.custodian.start()
    code, out, _ = await renkei(api, "keys", "rotate", "kek", "--reason", "test", "--wait", capsys=capsys)
    assert code == 0
    assert "all is renewed" in out
    assert safe.keys.ids(Kind.KEK)[-1] in out
    code, _, err = await renkei(api, "keys", "rotate", "kek", "--reason", "test", capsys=capsys, operator="operator-b")
    assert code == ExitCode.REFUSED
    assert "role" in err
    code, _, err = await renkei(api, "keys", "rotate", "nonsense", "--reason", "test", capsys=capsys)
    assert code == ExitCode.REFUSED
