"""The renkei command as a user calls it, in this process, with the entry points of this checkout."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import main as cli
from gateway.cli.docs import declared
from tests.admin.conftest import api, authority, service

__all__ = ["api", "authority", "service"]


@dataclass(frozen=True)
class Result:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def points(repository: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, EntryPoint]:
    """As installed; a test may change them."""
    found = declared(repository / "pyproject.toml")
    monkeypatch.setattr(cli, "points", lambda: found)
    monkeypatch.setenv("LANG", "C.UTF-8")
    for name in ("LC_ALL", "LC_MESSAGES", "RENKEI_OPERATOR", "RENKEI_CONFIG", "RENKEI_SYSTEM"):
        monkeypatch.delenv(name, raising=False)
    return found


@pytest.fixture
def renkei(points: dict[str, EntryPoint], capsys: pytest.CaptureFixture[str]) -> Callable[..., Awaitable[Result]]:
    """``await renkei("status", "--json")``, in a thread, so that a server of the test can answer."""

    async def renkei(*arguments: object) -> Result:
        capsys.readouterr()
        code = await asyncio.to_thread(cli.run, [str(argument) for argument in arguments])
        shown = capsys.readouterr()
        return Result(code=code, out=shown.out, err=shown.err)

    return renkei
