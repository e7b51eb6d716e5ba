"""What the operators' API of the gateway says, asked with an operator's certificate as the ``renkei`` command does it."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import struct
import termios
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import aiohttp

from simulators.errors import ProcessFailed
from simulators.harness.admin import Admin

COMMAND_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Glance:
    """The gateway at one moment; the breaker is that of the city CS."""

    unfinished: int = 0
    sending: int = 0
    backing_off: int = 0
    waiting: int = 0
    held: int = 0
    oldest_at: str | None = None
    breaker: str = "closed"
    breaker_code: str | None = None

    @property
    def to_send(self) -> int:
        """Neither under way nor waiting for anything."""
        return max(0, self.unfinished - self.sending - self.backing_off - self.waiting - self.held)


class Eyes(Admin):
    """Looks at the gateway through its API."""

    async def glance(self) -> Glance | None:
        """``None``: it cannot be asked now."""
        try:
            queues, parties = await asyncio.gather(self.get("queues"), self.get("parties"))
        except (aiohttp.ClientError, TimeoutError):
            return None
        return _glance(queues["items"], parties["items"])


def _glance(lanes: Sequence[Mapping[str, Any]], parties: Sequence[Mapping[str, Any]]) -> Glance:
    party = next(each for each in parties if each["party"] == "city-cs")
    return Glance(
        unfinished=sum(lane["depth"] for lane in lanes),
        sending=sum(lane["sending"] for lane in lanes),
        backing_off=sum(lane["backing_off"] for lane in lanes),
        waiting=sum(lane["waiting"] for lane in lanes),
        held=sum(lane["held_keys"] for lane in lanes),
        oldest_at=min((lane["oldest_at"] for lane in lanes if lane["oldest_at"]), default=None),
        breaker=party["breaker"],
        breaker_code=party["breaker_code"],
    )


async def as_typed(arguments: Sequence[str], *, columns: int, environment: Mapping[str, str]) -> tuple[int, str]:
    """Run a command in a terminal of its own of that width, as if somebody had typed it: exit code and what it showed.

    :raises ProcessFailed: it does not end.
    """
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    try:
        process = await asyncio.create_subprocess_exec(
            *arguments, stdin=asyncio.subprocess.DEVNULL, stdout=its, stderr=its, env={**os.environ, "COLUMNS": str(columns), **environment}
        )
    finally:
        os.close(its)
    reading = asyncio.get_running_loop().run_in_executor(None, _drained, ours)
    try:
        code = await asyncio.wait_for(process.wait(), COMMAND_S)
    except TimeoutError as error:
        raise ProcessFailed("command-does-not-end", f"{' '.join(arguments[-4:])} did not end within {COMMAND_S:g} s") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        shown = await reading
    return code, shown.decode(errors="replace").replace("\r\n", "\n")


def _drained(terminal: int) -> bytes:
    """All that is written to the other end, until it is closed."""
    parts = []
    with suppress(OSError):  # EIO: nobody has the other end open any more
        while part := os.read(terminal, 65536):
            parts.append(part)
    os.close(terminal)
    return b"".join(parts)
