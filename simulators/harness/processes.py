"""Child processes of a test, the demo or the chaos run: start, wait until ready, kill, freeze, thaw, stop. Linux.

Each child leads a session of its own (so that a signal to it reaches its children as well, and the terminal's Ctrl-C does not), writes to a
log file, and is killed by the kernel if the process that started it dies (``PR_SET_PDEATHSIG``; it watches the *thread* that started the
child, so start children from a thread that lives as long as they should: the main thread). Grandchildren that left the session are found
by an environment mark which they inherit. Leaving :class:`Processes` ends everything, whatever the reason.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO

from simulators.errors import ProcessFailed

MARK = "RENKEI_HARNESS_RUN"
"""Environment variable that all descendants of a run carry."""

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)
_FIRST_PORT, _LAST_PORT = 20000, 31999
"""Below the range from which Linux takes the ports of outgoing connections (32768 and up), so that none of those can take ours."""

Ready = Callable[[], Awaitable[bool]]


def free_ports(count: int, *, room: int = 0) -> list[int]:
    """Distinct TCP ports that nobody listens on now, on loopback; ``room``: with so many free ones above each."""
    found: list[int] = []
    while len(found) < count:
        port = _FIRST_PORT + secrets.randbelow(_LAST_PORT - _FIRST_PORT - room + 1)
        if any(abs(port - other) <= room for other in found):
            continue
        if all(_is_free(each) for each in range(port, port + room + 1)):
            found.append(port)
    return found


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def file_ready(path: Path) -> Ready:
    """Ready when the file is there (the child writes it when it serves)."""

    async def ready() -> bool:
        return _is_there(path)

    return ready


def _is_there(path: Path) -> bool:
    return path.exists()


def http_ready(host: str, port: int, path: str, *, expect: int = 200) -> Ready:
    """Ready when a plain HTTP GET answers with ``expect``."""

    async def ready() -> bool:
        try:
            reader, writer = await asyncio.open_connection(host, port)
        except OSError:
            return False
        try:
            writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode())
            await writer.drain()
            status = await reader.readline()
        except OSError:
            return False
        finally:
            writer.close()
        parts = status.split()
        return len(parts) >= 2 and parts[1] == str(expect).encode()

    return ready


def port_open(host: str, port: int) -> Ready:
    """Ready when somebody accepts connections there."""

    async def ready() -> bool:
        try:
            _, writer = await asyncio.open_connection(host, port)
        except OSError:
            return False
        writer.close()
        return True

    return ready


def _die_with_parent() -> None:
    """Between fork and exec: ask the kernel to kill this process when the starting thread ends."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


@dataclass(slots=True, kw_only=True)
class Child:
    """One child process, which may be started again under the same name after its end."""

    name: str
    arguments: Sequence[str]
    log: Path
    environment: Mapping[str, str]
    ready: Ready | None = None
    ready_file: Path | None = None
    folder: Path | None = None
    outlive: bool = False
    """Goes on when the process that started it ends; otherwise the kernel kills it."""
    _popen: subprocess.Popen[bytes] | None = None
    _frozen: bool = False
    starts: int = 0

    @property
    def pid(self) -> int:
        """Process id; also the id of its session and process group.

        :raises ProcessFailed: it was never started.
        """
        if self._popen is None:
            raise ProcessFailed("not-started", f"{self.name} was not started")
        return self._popen.pid

    @property
    def running(self) -> bool:
        """Whether the process itself lives (frozen counts)."""
        return self._popen is not None and self._popen.poll() is None

    @property
    def exit_code(self) -> int | None:
        """As :attr:`subprocess.Popen.returncode`."""
        return None if self._popen is None else self._popen.poll()

    def start(self) -> None:
        """Start it; returns at once.

        :raises ProcessFailed: it runs already, or cannot be executed.
        """
        if self.running:
            raise ProcessFailed("already-running", f"{self.name} runs already")
        if self.ready_file is not None:
            self.ready_file.unlink(missing_ok=True)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._popen = self._spawn(log)
        self._frozen = False
        self.starts += 1

    def _spawn(self, log: IO[bytes]) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                list(self.arguments),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env=dict(self.environment),
                start_new_session=True,
                preexec_fn=None if self.outlive else _die_with_parent,  # noqa: PLW1509 - one system call through a library that is loaded already
            )
        except OSError as error:
            raise ProcessFailed("cannot-start", f"{self.name}: {error.strerror}: {self.arguments[0]}") from error

    async def wait_ready(self, timeout_s: float = 30.0) -> float:
        """Wait until it is ready; returns the seconds it took.

        :raises ProcessFailed: it ended, or the time is over; names the log.
        """
        checks = [check for check in (self.ready, file_ready(self.ready_file) if self.ready_file else None) if check is not None]
        if not checks:
            raise ProcessFailed("no-readiness", f"{self.name} has no sign of readiness")
        began = time.monotonic()
        while True:
            if not self.running:
                raise ProcessFailed("ended-early", f"{self.name} ended with {self.exit_code} before it was ready; see {self.log}")
            if all([await check() for check in checks]):
                return time.monotonic() - began
            if time.monotonic() - began > timeout_s:
                raise ProcessFailed("not-ready", f"{self.name} was not ready within {timeout_s:g} s; see {self.log}")
            await asyncio.sleep(0.02)

    async def wait_ended(self, timeout_s: float = 30.0) -> int:
        """Wait for its end; returns the exit code (negative: the signal).

        :raises ProcessFailed: it still runs when the time is over.
        """
        deadline = time.monotonic() + timeout_s
        while self.running:
            if time.monotonic() > deadline:
                raise ProcessFailed("still-running", f"{self.name} did not end within {timeout_s:g} s")
            await asyncio.sleep(0.01)
        code = self.exit_code
        assert code is not None
        return code

    def signal(self, number: int, *, group: bool = False) -> None:
        """Send a signal to the process, or to its whole session. Nothing happens if it has ended."""
        if group:
            for pid in _session_members(self.pid):
                with suppress(ProcessLookupError):  # ended meanwhile
                    os.kill(pid, number)
        elif self.running and self._popen is not None:
            self._popen.send_signal(number)

    def kill(self, *, group: bool = False) -> None:
        """SIGKILL. Without ``group`` its children live on, as after a crash of the process alone."""
        self.signal(signal.SIGKILL, group=group)

    def freeze(self, *, group: bool = False) -> None:
        """SIGSTOP: it keeps its sockets and locks and does nothing."""
        self.signal(signal.SIGSTOP, group=group)
        self._frozen = True

    def thaw(self, *, group: bool = False) -> None:
        """SIGCONT."""
        self.signal(signal.SIGCONT, group=group)
        self._frozen = False

    async def stop(self, timeout_s: float = 15.0) -> int | None:
        """SIGTERM, and SIGKILL to the whole session when the time is over. Returns the exit code; ``None``: never started."""
        if self._popen is None:
            return None
        if self._frozen:
            self.thaw(group=True)
        self.signal(signal.SIGTERM)
        try:
            await self.wait_ended(timeout_s)
        except ProcessFailed:
            self.kill(group=True)
            await self.wait_ended(10.0)
        self.kill(group=True)
        return self.exit_code


def _session_members(session: int) -> list[int]:
    """Processes whose session is ``session``, zombies left out."""
    found = []
    for pid in _all_processes():
        with suppress(OSError):  # ended while we looked
            after_name = Path(f"/proc/{pid}/stat").read_text(encoding="latin-1").rsplit(")", 1)[1].split()
            if int(after_name[3]) == session and after_name[0] != "Z":
                found.append(pid)
    return found


def _all_processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


@dataclass(slots=True, kw_only=True)
class Processes:
    """All child processes of one run. Use as ``with`` or ``async with``: nothing of it is left running afterwards."""

    logs: Path
    mark: str = field(default_factory=lambda: secrets.token_hex(8))
    outlive: bool = False
    """The children go on when this process ends without having stopped them."""
    _children: dict[str, Child] = field(default_factory=dict)

    def add(
        self,
        name: str,
        arguments: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        ready: Ready | None = None,
        ready_file: Path | None = None,
        folder: Path | None = None,
    ) -> Child:
        """Describe a child; :meth:`Child.start` starts it. ``environment`` is added to this process's own."""
        if name in self._children:
            raise ProcessFailed("name-taken", f"there is a child {name} already")
        child = Child(
            name=name,
            arguments=arguments,
            log=self.logs / f"{name}.log",
            environment={**os.environ, "PYTHONFAULTHANDLER": "1", **(environment or {}), MARK: self.mark},
            ready=ready,
            ready_file=ready_file,
            folder=folder,
            outlive=self.outlive,
        )
        self._children[name] = child
        return child

    def python(self, name: str, module: str, *arguments: str, ready: Ready | None = None, ready_file: Path | None = None) -> Child:
        """A child that runs ``python -m module``."""
        return self.add(name, [sys.executable, "-m", module, *arguments], ready=ready, ready_file=ready_file)

    def __getitem__(self, name: str) -> Child:
        return self._children[name]

    def started(self) -> dict[str, int]:
        """Pids of the children that run, by name."""
        return {name: child.pid for name, child in self._children.items() if child.running}

    def leftovers(self) -> list[int]:
        """Processes of this run that live, in whatever session: found by the mark they inherited."""
        wanted = f"{MARK}={self.mark}".encode()
        found = []
        for pid in _all_processes():
            with suppress(OSError):  # ended while we looked, or of another user
                if pid != os.getpid() and wanted in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                    found.append(pid)
        return found

    async def stop(self, timeout_s: float = 15.0) -> None:
        """Stop all, the last started first, then whatever is left."""
        for child in reversed(list(self._children.values())):
            await child.stop(timeout_s)
        self.end_at_once()

    def end_at_once(self) -> None:
        """SIGKILL to everything of this run, at once, until nothing is left; returns when all has ended."""
        deadline = time.monotonic() + 10
        while left := self.leftovers():
            for pid in left:
                with suppress(ProcessLookupError):  # ended meanwhile
                    os.kill(pid, signal.SIGKILL)
            for child in self._children.values():
                child.running  # noqa: B018 - reaps it
            if time.monotonic() > deadline:
                raise ProcessFailed("cannot-end", f"{len(left)} processes of this run did not end after SIGKILL")
            time.sleep(0.01)

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.end_at_once()

    async def __aenter__(self) -> Processes:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if kind is None:
                await self.stop()
        finally:
            self.end_at_once()
