"""The simulated parties as a pytest plug-in: the example of a vendor's register passes, and a fault that it does not stand fails it."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
EXAMPLE = REPOSITORY / "examples" / "register_vendor"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def run(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The tests of a project, nothing installed."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "simulators.pytest_plugin", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=280, check=False)


@pytest.mark.flow("F1-1")
@pytest.mark.flow("F2-1")
def test_the_example_of_a_register_s_vendor_is_green() -> None:
    done = run(EXAMPLE)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "5 passed" in done.stdout


def test_a_register_that_loses_its_order_is_found(tmp_path: Path) -> None:
    """The example with a planted mistake: it hands in the newest first."""
    project = tmp_path / "vendor"
    shutil.copytree(EXAMPLE, project)
    file = project / "small_register" / "register.py"
    text = file.read_text()
    assert text.count("self.outbox[0]") == text.count("self.outbox.popleft()") == 1
    file.write_text(text.replace("self.outbox[0]", "self.outbox[-1]").replace("self.outbox.popleft()", "self.outbox.pop()"))
    done = run(project, "-k", "in_order")
    assert done.returncode == 1, done.stdout[-3000:]


def test_the_example_uses_nothing_of_renkei() -> None:
    for file in (EXAMPLE / "small_register").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert all(name.partition(".")[0] in {*sys.stdlib_module_names, "small_register"} for name in names)
