"""``renkei demo`` as a stranger runs it: processes, broker, ports and all. Judged from outside, also by what is left running."""

from __future__ import annotations

import json
import os
import secrets
import signal
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
SMALL = ("--population", "2000", "--events", "60")
MARK = "RENKEI_TEST_OF_DEMO"


class Runs:
    """Runs of the command whose descendants can be found, in whatever session they are."""

    def __init__(self, folder: Path, repository: Path) -> None:
        self.folder = folder
        self._mark = secrets.token_hex(8)
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("RENKEI_", "LC_"))},
            MARK: self._mark,
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(repository),
        }
        self._output = folder.with_suffix(".out")

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "gateway", *arguments]
        with self._output.open("w") as errors:
            return subprocess.Popen(command, env=self._environment | environment, stdout=subprocess.PIPE, stderr=errors, text=True)

    def run(self, *arguments: str, **environment: str) -> tuple[int, str]:
        process = self.start(*arguments, **environment)
        out, _ = process.communicate(timeout=240)
        return process.returncode, out

    def demo(self, *arguments: str) -> tuple[int, dict[str, Any]]:
        code, out = self.run("demo", "--folder", str(self.folder), "--json", *arguments)
        assert out, self._output.read_text()
        return code, json.loads(out)

    def said(self) -> str:
        return self._output.read_text()

    def running(self) -> list[str]:
        """What lives of these runs: by the inherited mark, and by the folder in its command line (a broker may clean its environment)."""
        found = []
        for process in Path("/proc").iterdir():
            if not process.name.isdigit() or int(process.name) == os.getpid():
                continue
            try:
                environment = (process / "environ").read_bytes()
                line = (process / "cmdline").read_bytes()
            except OSError:
                continue
            if f"{MARK}={self._mark}".encode() in environment.split(b"\0") or str(self.folder).encode() in line:
                found.append(line.replace(b"\0", b" ").decode(errors="replace"))
        return found


@pytest.fixture
def runs(tmp_path: Path, repository: Path) -> Iterator[Runs]:
    made = Runs(tmp_path / "demo", repository)
    yield made
    if made.running():
        made.run("demo", "--folder", str(made.folder), "--stop")
    assert made.running() == []


def until(what: Callable[[], Any], process: subprocess.Popen[str], said: Callable[[], str], timeout_s: float = 120.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not what():
        assert process.poll() is None, said()
        assert time.monotonic() < deadline, said()
        time.sleep(0.05)


@pytest.mark.invariant("I1")
@pytest.mark.invariant("I2")
@pytest.mark.invariant("I3")
@pytest.mark.rule("R4")
@pytest.mark.flow("F1-1")
def test_a_small_day_agrees_and_leaves_nothing_running(runs: Runs) -> None:
    code, result = runs.demo(*SMALL)
    assert (code, result["ok"]) == (0, True), runs.said()
    total = result["total"]
    assert (result["events"], total["submitted"], total["accepted"], total["effects"]) == (60, 61, 61, 60)
    assert (total["rejected"], total["replaced"], total["refused"]) == (1, 1, 0)
    for charge in ("lost", "stuck", "duplicate_effects", "order_violations", "foreign_effects", "unaccepted"):
        assert total[charge] == 0, charge
    doors = result["doors"]
    assert doors["amqp"]["effects"] > 0
    assert doors["https"]["effects"] > 0
    assert doors["amqp"]["effects"] + doors["https"]["effects"] == total["effects"]
    assert result["hold"] | {"held_s": 0} == {
        "code": "E102",
        "update_sequence_number": 1,
        "abnormal_update_sequence_number": 1,
        "behind": 2,
        "effects_in_order": [1, 2, 3],
        "held_s": 0,
    }
    assert result["outage"]["down_s"] == 8
    assert result["outage"]["waited"] > 0
    assert result["outage"]["first_effect_after_s"] < 10
    assert 0 < result["accept_s"]["total"]["p50"] <= result["accept_s"]["total"]["p99"]
    parties = result["parties"]
    assert parties["unfinished"] == {}
    assert not [line for line in parties["books"] if line["wrong"] or line["sent"] != line["effects"]]
    reached = {line["party"] for line in parties["books"] if line["way"] == "out" and line["effects"]}
    assert reached >= {"city-cs", "prefecture-server", "internal-link-system", "certificate-issuance-system", "family-register-system"}
    for file in result["files"].values():
        assert Path(file).exists()
    assert runs.running() == []


@pytest.mark.parametrize(
    ("number", "when"), [(signal.SIGTERM, "while it starts"), (signal.SIGINT, "all up")], ids=["SIGTERM-early", "SIGINT-on-the-way"]
)
def test_an_interrupted_run_leaves_nothing_running(runs: Runs, number: int, when: str) -> None:
    process = runs.start("demo", "--folder", str(runs.folder), "--json", "--keep", *SMALL)
    early = when == "while it starts"
    until(lambda: (runs.folder / "running.json").exists() if early else when in runs.said(), process, runs.said)
    process.send_signal(number)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert json.loads(out)["error"]["code"] == "interrupted"
    assert runs.running() == []


def test_a_kept_demo_can_be_looked_at_and_is_stopped(runs: Runs) -> None:
    code, result = runs.demo(*SMALL, "--keep")
    assert (code, result["ok"], result["kept"]) == (0, True, True), runs.said()
    operator = ("--config", result["files"]["config"], "--as", "operator-a", "--json")

    code, out = runs.run("status", *operator)
    assert (code, json.loads(out)["unfinished"]) == (0, 0)
    certificates = Path(result["files"]["gateway"]) / "certs"
    tls = ssl.create_default_context(cafile=certificates / "ca.pem")
    tls.load_cert_chain(certificates / "monitor.pem", certificates / "monitor.key")
    with urllib.request.urlopen(result["urls"]["metrics"], timeout=10, context=tls) as answer:
        assert "renkei_intake_messages_total" in answer.read().decode()
    with urllib.request.urlopen(result["urls"]["city-cs"], timeout=10) as answer:
        assert "fictitious" in answer.read().decode()
    day = str(runs.folder / "day-2.jsonl")
    code, out = runs.run("submit", day, "--config", result["files"]["config"], "--json", RENKEI_SYSTEM="resident-record-system")
    assert (code, json.loads(out)["accepted"]) == (0, 60)

    process = runs.start("demo", "--folder", str(runs.folder), "--stop")
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "stopped" in out
    assert runs.running() == []
    assert not (runs.folder / "running.json").exists()
    assert "nothing of a demo runs" in runs.run("demo", "--folder", str(runs.folder), "--stop")[1]
