"""``renkei simulate --all`` as a vendor runs it: every address answers, a gateway fits, and Ctrl-C leaves nothing running."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from simulators.replay.ways import SETS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]
MARK = "RENKEI_TEST_OF_DESK"


def start(folder: Path, mark: str, repository: Path, *arguments: str, language: str = "C.UTF-8") -> subprocess.Popen[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RENKEI_", "LC_"))}
    environment = {**kept, MARK: mark, "LANG": language, "PYTHONPATH": str(repository)}
    command = [sys.executable, "-m", "gateway", "simulate", "--all", "--folder", str(folder), "--population", "500", *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def running(mark: str) -> list[str]:
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                if f"{MARK}={mark}".encode() in (process / "environ").read_bytes().split(b"\0"):
                    found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
            except OSError:
                continue
    return found


def page(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return str(answer.read().decode())


@pytest.fixture
def repository() -> Path:
    return Path(__file__).resolve().parents[2]


def test_all_are_there_with_the_same_ports_again_and_end_at_once(tmp_path: Path, repository: Path) -> None:
    mark = secrets.token_hex(8)
    process = start(tmp_path / "desk", mark, repository, "--json")
    assert process.stdout is not None
    first: dict[str, Any] = json.loads(process.stdout.readline() or (process.communicate(timeout=10)[1] and "{}"))
    pages = {each["name"]: each["page"] for each in first["places"] if each["page"]}
    assert set(pages) == {*SETS["all"].parties, *SETS["all"].mailboxes}
    assert all("fictitious" in page(each) for each in pages.values())
    assert {each["name"] for each in first["places"] if each["queue"]} == set(SETS["all"].systems)
    assert Path(first["config"]).exists()
    assert Path(first["register"]["certificate"]).exists()
    check = [sys.executable, "-m", "gateway", "config", "show", "--config", first["config"]]
    fits = subprocess.run(check, capture_output=True, text=True, check=False, cwd=repository, timeout=60)
    assert fits.returncode == 0, fits.stderr
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert running(mark) == []

    again = start(tmp_path / "desk", mark, repository, language="ja_JP.UTF-8")
    assert again.stdout is not None
    said = ""
    while "Ctrl-C" not in said:
        line = again.stdout.readline()
        assert line, said
        said += line
    assert "相手先" in said
    assert all(each.rstrip("/") in said for each in pages.values())
    again.send_signal(signal.SIGTERM)
    rest, errors = again.communicate(timeout=60)
    assert (again.returncode, "終了しました" in rest) == (0, True), errors
    assert running(mark) == []


def test_stopped_while_it_starts(tmp_path: Path, repository: Path) -> None:
    mark = secrets.token_hex(8)
    process = start(tmp_path / "desk", mark, repository)
    while not (tmp_path / "desk" / "config.yaml").exists():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert running(mark) == []
