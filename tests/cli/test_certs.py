"""``renkei certs`` as an operator types it, on files alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from certs.authority import LGWAN, Profile, TestAuthority
from gateway.cli import main as cli
from gateway.cli.support import ExitCode

pytestmark = pytest.mark.invariant("I6")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    trust = "{ca: var/certs/lgwan-ca.pem, crl: var/certs/lgwan-ca.crl}"
    (tmp_path / "config.yaml").write_text(f"certificates: {{trust: {{lgwan: {trust}}}}}\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def renkei(capsys: pytest.CaptureFixture[str], *arguments: str, code: ExitCode = ExitCode.OK) -> str:
    assert cli.run(["certs", *arguments]) == code, capsys.readouterr()
    captured = capsys.readouterr()
    return captured.out + captured.err


def test_from_nothing_to_a_gateway_that_can_start(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    renkei(capsys, "check", code=ExitCode.FINDINGS)
    renkei(capsys, "init")
    assert json.loads(renkei(capsys, "check", "--json"))["ok"] is True
    listed = json.loads(renkei(capsys, "list", "--json"))["certificates"]
    assert {"gateway", "gateway-juki-net", "city-cs", "gateway-lgwan-signing"} <= {each["name"] for each in listed}
    assert "PRIVATE" not in renkei(capsys, "list")
    assert "架空" in renkei(capsys, "init", "--lang", "ja")


def test_issue_renew_and_revoke(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    renkei(capsys, "init")
    issued = json.loads(renkei(capsys, "issue", "tax-system", "--dns", "tax.city.example", "--uri", "urn:x:tax", "--json"))
    renewed = json.loads(renkei(capsys, "renew", "tax-system", "--json"))
    assert renewed["sha256"] != issued["sha256"]
    assert renewed["alternative_names"] == issued["alternative_names"] == ["tax-system", "tax.city.example", "urn:x:tax"]
    renkei(capsys, "revoke", "tax-system")
    assert "no certificate was issued for nobody" in renkei(capsys, "revoke", "nobody", code=ExitCode.CONFIGURATION)
    renkei(capsys, "revoke", "gateway")
    text = renkei(capsys, "check", code=ExitCode.FINDINGS)
    assert "revoked" in text
    assert "renkei certs renew gateway" in text


def test_the_way_of_a_real_authority(home: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    far = TestAuthority(tmp_path / "far", LGWAN)
    far.create()
    (home / "var" / "certs").mkdir(parents=True)
    assert json.loads(renkei(capsys, "import", "ca", str(far.ca), "--trust", "lgwan", "--json")) == {"taken": 3}
    renkei(capsys, "import", "crl", str(far.crl), "--trust", "lgwan")
    request = json.loads(renkei(capsys, "request", "gateway-lgwan", "--organisation", "Fictitious City", "--dns", "gw.example", "--json"))
    assert "not answered yet" in renkei(capsys, "list")
    answer = tmp_path / "answer.pem"
    answer.write_bytes(far.issue_for(Path(request["request"]).read_bytes(), Profile.CLIENT))
    taken = json.loads(renkei(capsys, "import", "gateway-lgwan", str(answer), "--trust", "lgwan", "--json"))
    assert (taken["state"], taken["alternative_names"]) == ("in-use", ["gw.example"])
    assert "gateway-lgwan.csr" in renkei(capsys, "renew", "gateway-lgwan")
    answer.write_bytes(far.issue_for((home / "var/certs/gateway-lgwan.csr").read_bytes(), Profile.CLIENT))
    renkei(capsys, "import", "gateway-lgwan", str(answer), "--trust", "lgwan", "--later")
    assert [each["state"] for each in json.loads(renkei(capsys, "list", "--json"))["certificates"]] == ["next", "in-use"]
    switched = json.loads(renkei(capsys, "import", "gateway-lgwan", "--switch", "--json"))
    assert switched["sha256"] != taken["sha256"]
    assert "there is no juki-net" in renkei(capsys, "import", "ca", str(far.ca), "--trust", "juki-net", code=ExitCode.CONFIGURATION)


def test_watch_says_what_is_there(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    renkei(capsys, "init")
    lines = renkei(capsys, "watch", "--rounds", "2", "--interval-s", "0.05", "--json").splitlines()
    said = {each["file"]: each for each in map(json.loads, lines)}
    assert said["gateway.pem"]["what"] == "there"
    assert said["gateway.pem"]["until"] is not None
    assert len(lines) == len(said), "nothing changed in the second look"
