"""Runs ``renkei chaos`` as a user would: a process, its JSON, its exit code."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
KEYS = ("ok", "seed", "kills", "submitted", "accepted", "effects", "lost", "duplicate_effects", "order_violations", "stuck", "recovery_s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What a run said."""

    code: int
    result: dict[str, Any]
    said: str

    @property
    def counts(self) -> dict[str, int]:
        """The four counts that must be 0."""
        return {name: self.result[name] for name in ("lost", "duplicate_effects", "order_violations", "stuck")}


def environment() -> dict[str, str]:
    """Ours, with this repository first, wherever the tests are started."""
    path = os.pathsep.join([str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "gateway", "chaos", "--json", *arguments]


async def chaos(folder: Path, *arguments: str, timeout_s: float = 280.0) -> Ran:
    """Run it in ``folder``."""
    ran = await asyncio.to_thread(
        subprocess.run,
        command("--folder", str(folder), *arguments),
        env=environment(),
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert ran.stdout.strip(), ran.stderr
    return Ran(code=ran.returncode, result=json.loads(ran.stdout), said=ran.stderr)


def processes_that_name(text: str) -> list[int]:
    """Processes with ``text`` in their command line or environment (a folder of a run, say), zombies left out."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            named = text.encode() in (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            if named and (entry / "stat").read_text().rsplit(")", 1)[1].split()[0] != "Z":
                found.append(int(entry.name))
        except OSError:
            continue  # ended while we looked, or somebody else's
    return found
