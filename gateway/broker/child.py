"""Child processes that die with us, and free ports on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_WRAPPER = Path(__file__).with_name("with_parent.py")


class Child:
    """A program in a session of its own (no Ctrl-C from our terminal), killed by the kernel when the thread that started it ends.

    Start it from a thread that lives as long as the child shall: the main thread, as a rule.
    """

    def __init__(self, command: Sequence[str], *, env: Mapping[str, str], cwd: Path, output: Path, keep_fds: Sequence[int] = ()) -> None:
        with output.open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_WRAPPER), str(os.getpid()), *command],
                env=dict(env),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=tuple(keep_fds),
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """None while it runs; the exit status, or minus the number of the signal that ended it."""
        if self._process.returncode is not None:
            return int(self._process.returncode)
        result = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if result is None:
            return None
        return result.si_status if result.si_code == os.CLD_EXITED else -result.si_status

    @property
    def running(self) -> bool:
        """It has not ended. An ended one is not reaped before :meth:`kill`, so that its number still means this group and no other."""
        return self.returncode is None

    @property
    def exit_code(self) -> int | None:
        """Of an ended and reaped one (negative: the signal); None before."""
        return self._process.returncode

    def signal(self, number: int) -> None:
        """Send a signal to the process itself; nothing if it has ended."""
        if self.running:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL to the process and everything in its group, and reap it."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):  # the whole group has ended
                os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()

    async def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until it has ended, at most ``timeout_s`` seconds (None: for ever); return whether it has."""
        if not self.running:
            return True
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()
        descriptor = os.pidfd_open(self.pid)

        def on_end() -> None:
            if not ended.done():
                ended.set_result(None)

        loop.add_reader(descriptor, on_end)
        try:
            await asyncio.wait({ended}, timeout=timeout_s)
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)
        return not self.running


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def port_taken(port: int) -> bool:
    """Whether somebody listens on 127.0.0.1 at ``port``."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False
