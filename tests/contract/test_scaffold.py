"""A new adapter by the scaffold: a package outside this repository, nothing installed, its tests green, its adapter short."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.adapter_kit import planned, write
from gateway.errors import GatewayError
from message_formats.errors import FormatError

REPOSITORY = Path(__file__).resolve().parents[2]
LONGEST = 120
"""Lines of an adapter (architecture, section 6)."""


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_new_adapter_keeps_the_contract_in_few_lines(tmp_path: Path) -> None:
    """Every fault of the contract suite, against the simulator that came with it; a type with a resident record code and one without."""
    new = planned(
        "sample_party", "tax-system", ["resident-info-transfer", "administrative-column-update"], "A sample party", "見本の相手先"
    )
    write(new, tmp_path / "new")
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-rs"]
    done = subprocess.run(command, cwd=tmp_path / "new", env=environment, capture_output=True, text=True, timeout=380, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    last = done.stdout.strip().splitlines()[-1]
    assert int(last.split(" passed")[0]) >= 80, last
    assert "skipped" not in last
    package = tmp_path / "new" / new.package
    assert sum(len((package / name).read_text().splitlines()) for name in ("__init__.py", "adapter.py", "testing.py")) <= LONGEST


def test_the_simulator_of_a_new_adapter_knows_neither_gateway_nor_adapter(tmp_path: Path) -> None:
    write(planned("sample_party", "tax-system", []), tmp_path)
    tree = ast.parse((tmp_path / "renkei_sample_party" / "simulator.py").read_text())
    imported = {each.module.partition(".")[0] for each in ast.walk(tree) if isinstance(each, ast.ImportFrom) and each.module}
    assert imported & {"gateway", "adapters", "renkei_sample_party"} == set()


@pytest.mark.parametrize(
    ("name", "party", "types", "code"),
    [
        ("New-Party", "tax-system", [], "bad-name"),
        ("class", "tax-system", [], "bad-name"),
        ("juki_cs", "tax-system", [], "bad-name"),
        ("sample", "../tax", [], "bad-party"),
        ("sample", "nobody", [], "no-types"),
        ("sample", "tax-system", ["resident-info-transfr"], "unknown-type"),
    ],
)
def test_what_cannot_be_made_is_refused(name: str, party: str, types: list[str], code: str) -> None:
    with pytest.raises((GatewayError, FormatError)) as refused:
        planned(name, party, types)
    assert refused.value.code == code


def test_nothing_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("x = 1\n")
    with pytest.raises(GatewayError, match="folder-not-empty"):
        write(planned("sample", "tax-system", []), tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["mine.py"]
