"""Child processes: ready, killed, frozen, thawed, stopped; and nothing of a run survives it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from simulators.errors import ProcessFailed
from simulators.harness.processes import Processes, file_ready, free_ports, http_ready, port_open

pytestmark = pytest.mark.slow

WRITER = """
import pathlib, sys, time
pathlib.Path(sys.argv[1]).write_text("ready")
with open(sys.argv[2], "a", buffering=1) as out:
    while True:
        out.write(".")
        out.flush()
        time.sleep(0.01)
"""


def alive(pid: int) -> bool:
    """Whether a process lives (a zombie does not)."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return False


async def until(condition: Callable[[], bool], timeout_s: float = 10) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.01)


def writer(processes: Processes, folder: Path, name: str = "writer") -> Path:
    output = folder / f"{name}.out"
    ready = folder / f"{name}.ready"
    processes.add(name, [sys.executable, "-c", WRITER, str(ready), str(output)], ready_file=ready)
    return output


async def test_started_ready_stopped(tmp_path: Path) -> None:
    async with Processes(logs=tmp_path) as processes:
        writer(processes, tmp_path)
        child = processes["writer"]
        child.start()
        assert await child.wait_ready() < 30
        assert child.running
        assert processes.leftovers() == [child.pid]
        assert await child.stop() == -signal.SIGTERM
        assert not child.running


async def test_frozen_does_nothing_until_thawed(tmp_path: Path) -> None:
    async with Processes(logs=tmp_path) as processes:
        output = writer(processes, tmp_path)
        child = processes["writer"]
        child.start()
        await child.wait_ready()
        await until(lambda: output.stat().st_size > 0)
        child.freeze()
        await until(lambda: Path(f"/proc/{child.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T")
        before = output.stat().st_size
        await asyncio.sleep(0.1)
        assert output.stat().st_size == before
        child.thaw()
        await until(lambda: output.stat().st_size > before)


async def test_a_frozen_child_can_be_stopped(tmp_path: Path) -> None:
    async with Processes(logs=tmp_path) as processes:
        writer(processes, tmp_path)
        child = processes["writer"]
        child.start()
        await child.wait_ready()
        child.freeze()
        assert await child.stop(5) == -signal.SIGTERM


async def test_killed_and_started_again(tmp_path: Path) -> None:
    async with Processes(logs=tmp_path) as processes:
        writer(processes, tmp_path)
        child = processes["writer"]
        child.start()
        await child.wait_ready()
        child.kill()
        assert await child.wait_ended() == -signal.SIGKILL
        child.start()
        await child.wait_ready()
        assert child.starts == 2


async def test_whoever_ignores_sigterm_is_killed_with_its_children(tmp_path: Path) -> None:
    script = """
    import pathlib, signal, subprocess, sys, time
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen([sys.executable, "-c", "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"])
    pathlib.Path(sys.argv[1]).write_text(str(child.pid))
    time.sleep(600)
    """
    async with Processes(logs=tmp_path) as processes:
        ready = tmp_path / "ready"
        child = processes.add("stubborn", [sys.executable, "-c", textwrap.dedent(script), str(ready)], ready_file=ready)
        child.start()
        await child.wait_ready()
        await until(lambda: ready.read_text() != "")
        grandchild = int(ready.read_text())
        assert alive(grandchild)
        assert await child.stop(0.3) == -signal.SIGKILL
        await until(lambda: not alive(grandchild))


async def test_a_grandchild_in_a_session_of_its_own_is_found_by_its_mark(tmp_path: Path) -> None:
    script = """
    import pathlib, subprocess, sys
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    pathlib.Path(sys.argv[1]).write_text(str(child.pid))
    """
    ready = tmp_path / "ready"
    async with Processes(logs=tmp_path) as processes:
        child = processes.add("daemon", [sys.executable, "-c", textwrap.dedent(script), str(ready)])
        child.start()
        await child.wait_ended()
        grandchild = int(ready.read_text())
        await until(lambda: processes.leftovers() == [grandchild])
    assert not alive(grandchild)


def test_an_interrupt_leaves_nothing_running(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), Processes(logs=tmp_path) as processes:
        writer(processes, tmp_path)
        child = processes["writer"]
        child.start()
        pid = child.pid
        raise KeyboardInterrupt
    assert not alive(pid)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_children_die_with_the_harness_however_it_dies(tmp_path: Path, number: int) -> None:
    script = f"""
    import pathlib, sys, time
    from simulators.harness.processes import Processes
    with Processes(logs=pathlib.Path({str(tmp_path)!r})) as processes:
        child = processes.add("sleeper", [sys.executable, "-c", "import time; time.sleep(600)"])
        child.start()
        print(child.pid, flush=True)
        time.sleep(600)
    """
    harness = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert harness.stdout is not None
    pid = int(harness.stdout.readline())
    assert alive(pid)
    harness.send_signal(number)
    harness.wait(10)
    deadline = time.monotonic() + 5
    while alive(pid) and time.monotonic() < deadline:
        os.sched_yield()
    assert not alive(pid)


async def test_one_that_ends_early_says_so_and_names_its_log(tmp_path: Path) -> None:
    async with Processes(logs=tmp_path) as processes:
        child = processes.add(
            "early", [sys.executable, "-c", "print('no luck'); raise SystemExit(3)"], ready=file_ready(tmp_path / "never")
        )
        child.start()
        with pytest.raises(ProcessFailed, match=r"ended with 3.*early\.log"):
            await child.wait_ready()
        assert child.log.read_text() == "no luck\n"


async def test_one_that_never_gets_ready_is_told_after_its_time(tmp_path: Path) -> None:
    async with Processes(logs=tmp_path) as processes:
        child = processes.add("late", [sys.executable, "-c", "import time; time.sleep(60)"], ready=file_ready(tmp_path / "never"))
        child.start()
        with pytest.raises(ProcessFailed, match="not ready within"):
            await child.wait_ready(0.2)


async def test_ready_by_http_and_by_port(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    async with Processes(logs=tmp_path) as processes:
        child = processes.add(
            "web",
            [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"],
            ready=http_ready("127.0.0.1", port, "/"),
            folder=tmp_path,
        )
        assert not await port_open("127.0.0.1", port)()
        child.start()
        await child.wait_ready()
        assert await port_open("127.0.0.1", port)()
        assert not await http_ready("127.0.0.1", port, "/nowhere")()


def test_what_cannot_be_started_says_so(tmp_path: Path) -> None:
    with Processes(logs=tmp_path) as processes:
        child = processes.add("none", ["/nonexistent/program"])
        with pytest.raises(ProcessFailed, match="cannot-start"):
            child.start()
        with pytest.raises(ProcessFailed, match="not-started"):
            _ = child.pid


def test_free_ports_are_distinct_and_not_among_those_of_outgoing_connections() -> None:
    ports = free_ports(50)
    assert len(set(ports)) == 50
    assert all(20000 <= port < 32768 for port in ports)
