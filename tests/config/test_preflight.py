"""renkei check: what it finds wrong, and that it says what to do. Certificates are made for the test."""

from __future__ import annotations

import datetime as dt
import shutil
import ssl
from pathlib import Path

import pytest

from certs.authority import Profile, TestAuthority
from certs.setup import ensure
from gateway.checks import broker as check_broker
from gateway.checks import parties as check_parties
from gateway.checks import preflight
from gateway.config import Config, load
from gateway.contract import Finding
from gateway.security.keys import KeyStore


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("preflight") / "certs"
    ensure(directory)
    return directory


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Path:
    """A data folder of its own with copies of the certificates."""
    shutil.copytree(made, tmp_path / "var" / "certs")
    return tmp_path


def configured(home: Path, text: str = "") -> Config:
    file = home / "config.yaml"
    file.write_text(text or "instance: test\n", encoding="utf-8")
    return load(file, environment={})


def wrong(findings: list[Finding]) -> dict[str, str]:
    assert all(each.remedy for each in findings if not each.ok), "a finding without advice"
    return {each.name: each.detail for each in findings if not each.ok}


async def test_good_certificates_are_well(home: Path) -> None:
    assert wrong(await preflight.look_at_certificates(configured(home))) == {}


async def test_a_missing_certificate_is_named(home: Path) -> None:
    config = configured(home, "admin: {certificate: elsewhere}\n")
    assert "certificate elsewhere" in wrong(await preflight.look_at_certificates(config))


@pytest.mark.invariant("I6")
async def test_a_key_that_others_may_read_is_found(home: Path) -> None:
    (home / "var" / "certs" / "gateway.key").chmod(0o644)
    found = wrong(await preflight.look_at_certificates(configured(home)))
    assert "chmod 600" in found["certificate gateway"]


async def test_a_key_of_another_certificate_is_found(home: Path) -> None:
    certs = home / "var" / "certs"
    (certs / "gateway.key").write_bytes((certs / "broker.key").read_bytes())
    assert "certificate gateway" in wrong(await preflight.look_at_certificates(configured(home)))


async def test_an_end_that_is_near_is_said_before_it_comes(home: Path) -> None:
    found = wrong(await preflight.look_at_certificates(configured(home, "certificates: {warn_days: 100000}\n")))
    assert "days)" in found["certificate gateway"]
    assert not any(each.startswith("revocation list") for each in found)


async def test_a_revocation_list_that_has_ended_is_found(home: Path) -> None:
    TestAuthority(home / "var" / "certs").renew_crl(next_update=dt.datetime.now(dt.UTC) - dt.timedelta(minutes=1))
    assert any(each.startswith("revocation list") for each in wrong(await preflight.look_at_certificates(configured(home))))


async def test_keys_that_others_may_touch_are_found(home: Path) -> None:
    keys = KeyStore(home / "var" / "keys").ensure()
    [file] = keys.directory.glob("kek-*.key")
    file.chmod(0o640)
    assert file.name in wrong(await preflight.look_at_keys(configured(home)))["keys"]
    file.chmod(0o600)
    assert wrong(await preflight.look_at_keys(configured(home))) == {}
    stray = keys.directory / "kek-20260101-0badcafe.key"
    stray.touch(mode=0o600)
    assert stray.name in wrong(await preflight.look_at_keys(configured(home)))["keys"]
    stray.unlink()
    file.write_text("half a key")
    assert file.name in wrong(await preflight.look_at_keys(configured(home)))["keys"]
    file.unlink()
    assert file.name in wrong(await preflight.look_at_keys(configured(home)))["keys"]


@pytest.mark.parametrize(
    ("operators", "well"),
    [
        ("{a: {roles: [operator]}, b: {roles: [approver]}}", True),
        ("{a: {roles: [operator, approver]}}", False),
        ("{a: {roles: [operator]}, b: {roles: [viewer]}}", False),
        ("{}", False),
    ],
)
async def test_four_eyes_need_two_persons(home: Path, operators: str, well: bool) -> None:
    config = configured(home, f"admin: {{operators: {operators}}}\n")
    assert (wrong(await preflight.look_at_operators(config)) == {}) is well


async def test_too_little_room_is_found(home: Path) -> None:
    assert wrong(await preflight.look_at_disk(configured(home, "intake: {limits: {disk_reserve_bytes: 1000}}\n"))) == {}
    config = configured(home, f"intake: {{limits: {{disk_reserve_bytes: {2**60}}}}}\n")
    assert "MiB wanted" in wrong(await preflight.look_at_disk(config))["disk"]


async def test_an_external_broker_that_does_not_answer_is_found(home: Path) -> None:
    config = configured(home, "broker: {mode: external, external: {hosts: ['localhost:1']}}\n")
    assert "broker localhost:1" in wrong(await check_broker.look_at_broker(config))


async def test_no_ledger_yet_is_well_and_a_folder_in_its_place_is_not(home: Path) -> None:
    assert wrong(await preflight.look_at_ledger(configured(home))) == {}
    (home / "var" / "ledger" / "renkei.db").mkdir(parents=True)
    findings = [each for each in await preflight.examine(configured(home)) if each.name == "ledger"]
    assert [each.ok for each in findings] == [False]


async def test_one_look_that_fails_stops_no_other(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(_config: Config) -> list[Finding]:
        raise ssl.SSLError("fictitious")

    monkeypatch.setattr(preflight, "_LOOKS", (("first", broken), *preflight._LOOKS[:2]))
    findings = await preflight.examine(configured(home))
    assert [each.ok for each in findings if each.name == "first"] == [False]
    assert any(each.name == "keys" and each.ok for each in findings)


async def test_a_party_of_whom_nobody_knows_is_found(home: Path) -> None:
    TestAuthority(home / "var" / "certs").issue("spare", Profile.CLIENT)
    text = "parties: {city-cs: {adapter: no-such-one, url: 'https://localhost:1', peer: city-cs}}\n"
    findings = await preflight.examine(configured(home, text))
    assert [each.detail for each in findings if each.name == "parties"] == [
        'config.yaml, line 1: parties.city-cs.adapter: no adapter "no-such-one" is installed' + _known()
    ]


def _known() -> str:
    from gateway.plugins import list_adapters

    names = [each.name for each in list_adapters()]
    return f"; known here: {', '.join(names)}" if names else ""


SIGNING = """
parties:
  city-cs:
    adapter: juki_cs
    url: https://127.0.0.1:1
    peer: city-cs
    signatures: {partner: city-cs-signing}
"""


@pytest.mark.invariant("I6")
async def test_certificates_for_signatures_are_looked_at(home: Path) -> None:
    certs = home / "var" / "certs"
    assert wrong(await preflight.look_at_certificates(configured(home, SIGNING))) == {}
    near = wrong(await preflight.look_at_certificates(configured(home, SIGNING + "certificates: {warn_days: 100000}\n")))
    assert {"certificate gateway-signing", "certificate city-cs-signing"} <= near.keys()
    (certs / "city-cs-signing.pem").unlink()
    (certs / "gateway-signing.key").write_bytes((certs / "city-cs-signing.key").read_bytes())
    found = wrong(await preflight.look_at_certificates(configured(home, SIGNING)))
    assert "cannot be read" in found["certificate city-cs-signing"]
    assert "does not belong" in found["certificate gateway-signing"]


@pytest.mark.invariant("I6")
async def test_the_party_s_signing_certificate_must_hold_now(home: Path) -> None:
    authority = TestAuthority(home / "var" / "certs")
    config = configured(home, SIGNING)
    assert not [name for name in wrong(await check_parties.look_at_parties(config)) if name.endswith("signatures")]
    authority.revoke("city-cs-signing")
    assert "revoked" in wrong(await check_parties.look_at_parties(config))["party city-cs: signatures"]
