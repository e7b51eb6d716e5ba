"""What is shipped: the service unit, and what the product is made of."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from gateway import sbom


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_the_service_unit_is_hardened(repository: Path) -> None:
    unit = repository / "docs" / "renkei.service"
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout[-500:]
    found = re.search(r"exposure level for renkei.service: ([0-9.]+)", done.stdout)
    assert found is not None
    assert float(found[1]) <= 2.0


def test_nothing_is_used_under_gpl_or_agpl(repository: Path) -> None:
    for lock in ("requirements.lock", "requirements-dev.lock"):
        found = list(sbom.components((repository / lock).read_text(encoding="utf-8")))
        assert len(found) > 30
        assert {each.name: each.problem for each in found if each.problem} == {}
        assert all(each.hashes for each in found)


def test_the_document_is_cyclonedx(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sbom.main([str(repository / "requirements.lock")]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.5")
    by_name = {each["name"]: each for each in document["components"]}
    assert by_name["cryptography"]["purl"].startswith("pkg:pypi/cryptography@")
    assert all(each["licenses"] and each["hashes"] and each["version"] for each in by_name.values())
    assert set(document["dependencies"][0]["dependsOn"]) == {each["bom-ref"] for each in document["components"]}


@pytest.mark.parametrize(
    ("name", "licence", "allowed"),
    [
        ("x", "MIT", True),
        ("x", "GPL-3.0-or-later", False),
        ("x", "AGPL-3.0-only", False),
        ("x", "GNU General Public License v2 (GPLv2)", False),
        ("x", "MIT OR GPL-2.0-only", True),
        ("x", "Apache-2.0 AND GPL-2.0-only", False),
        ("psycopg", "LGPL-3.0-only", True),
        ("x", "LGPL-3.0-only", False),
        ("x", "GNU Lesser General Public License v3 (LGPLv3)", False),
        ("x", "", False),
    ],
)
def test_which_licences_may_be_used(name: str, licence: str, allowed: bool) -> None:
    assert (sbom.Component(name=name, version="1", hashes=(), licence=licence).problem == "") is allowed


def test_what_is_not_installed_has_no_licence(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: str) -> None:
        raise PackageNotFoundError

    monkeypatch.setattr(sbom, "distribution", missing)
    [found] = sbom.components("nothing==1.0 \\\n    --hash=sha256:" + "0" * 64 + "\n")
    assert found.problem == "its licence cannot be told"
