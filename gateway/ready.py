"""Which processes of a gateway run and since when they are ready: small files below ``data_dir/run``, for supervisor, status, harness."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

BULK_SOCKET: Final = "bulk.sock"
"""In the run directory: where the gateway process reaches the bulk process."""


def run_directory(data_dir: Path) -> Path:
    """``data_dir/run``, made if missing, readable by its owner only."""
    directory = data_dir / "run"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return directory


@contextlib.contextmanager
def mark_ready(data_dir: Path, role: str) -> Iterator[None]:
    """This process serves from now on; the file goes when it ends in order. A killed one leaves it, with a pid that is gone."""
    file = run_directory(data_dir) / f"{role}-{os.getpid()}.json"
    write_json(file, {"role": role, "pid": os.getpid(), "ready_at": time.time()})
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def write_json(file: Path, values: dict[str, Any]) -> None:
    """All of it or nothing, for readers at any moment."""
    part = file.with_suffix(f".{os.getpid()}.part")
    part.write_text(json.dumps(values), encoding="utf-8")
    part.replace(file)
