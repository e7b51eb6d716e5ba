"""Import receipts of a system that has its messages as files: ``in/NAME.ack.csv`` ends the deliveries of ``out/NAME.csv`` (R18).

A receipt is taken whole or not at all: one that makes no sense, or speaks of what is not this account's, is put aside as
``NAME.ack.csv.rejected`` and logged. When it is in the ledger, the receipt and the files that it is about are removed: what it did not
mention comes again when its time is over. Files that nobody acknowledged in that time are removed too: what is in them is written anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import csv
import functools
import io
import json
import re
import time
from collections.abc import Mapping
from pathlib import Path

import structlog

from gateway.errors import GatewayError
from gateway.inbound.acknowledgements import read as read_acknowledgement
from gateway.ledger.ledger import Ledger
from gateway.ledger.offers import own_deliveries

log = structlog.get_logger("gateway.inbound")

HEADER = ["delivery", "correlation", "status", "code"]
SUFFIX = ".ack.csv"
LONGEST_BYTES = 4 << 20
EVERY_S = 1.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,199}")


class FileReceipts:
    """Looks at the folder of one account. For one event loop."""

    def __init__(self, account: str, directory: Path, ledger: Ledger, *, acknowledge_s: float, every_s: float = EVERY_S) -> None:
        self._account, self._directory, self._ledger = account, directory, ledger
        self._acknowledge_s, self._every_s = acknowledge_s, every_s
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Look from now on."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Look no more; a receipt that is being taken is taken again later."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):  # our own cancellation
                await self._task

    async def _run(self) -> None:
        while True:
            try:
                await self.look()
            except GatewayError as error:
                log.warning("file-receipts-wait", party=self._account, code=error.code)
            except OSError as error:
                log.error("file-receipts-failed", party=self._account, error=type(error).__name__)
            await asyncio.sleep(self._every_s)

    async def look(self) -> int:
        """Once; how many receipts were taken.

        :raises LedgerUnavailable: the one that was being taken stays.
        """
        taken = 0
        for file in await asyncio.to_thread(self._receipts):
            said = await asyncio.to_thread(_read, file)
            if said is not None:
                names = {delivery for delivery, *_ in said}
                if not await self._ledger.read(functools.partial(own_deliveries, party=self._account, delivery_ids=names)) >= names:
                    said = None
            if said is None:
                log.warning("file-receipt-rejected", party=self._account)
                await asyncio.to_thread(file.rename, file.with_name(f"{file.name}.rejected"))
                continue
            for _, correlation, kind, code in said:
                await self._ledger.record_reply(self._account, correlation, kind, code, self._account)
            await asyncio.to_thread(self._remove, file)
            taken += 1
        await asyncio.to_thread(self._remove_old)
        return taken

    def _receipts(self) -> list[Path]:
        folder = self._directory / "in"
        return sorted(each for each in folder.glob(f"*{SUFFIX}") if not each.name.startswith(".")) if folder.is_dir() else []

    def _remove(self, receipt: Path) -> None:
        name = receipt.name.removesuffix(SUFFIX)
        if _NAME.fullmatch(name):
            self._drop(name)
        receipt.unlink(missing_ok=True)

    def _remove_old(self) -> None:
        before = time.time() - self._acknowledge_s
        for each in (self._directory / "out").glob("*"):
            with contextlib.suppress(FileNotFoundError):  # just acknowledged by another process
                if each.stat().st_mtime < before:
                    each.unlink()

    def _drop(self, name: str) -> None:
        for suffix in ("sha256", "csv", "index.csv"):
            (self._directory / "out" / f"{name}.{suffix}").unlink(missing_ok=True)


def _read(file: Path) -> list[tuple[str, str, str, str]] | None:
    """Delivery, correlation, kind and code of each row; None: it makes no sense."""
    try:
        if file.is_symlink() or file.stat().st_size > LONGEST_BYTES or not _NAME.fullmatch(file.name.removesuffix(SUFFIX)):
            return None
        rows = list(csv.reader(io.StringIO(file.read_bytes().decode("utf-8-sig")), strict=True))
    except (OSError, ValueError, csv.Error):
        return None
    if not rows or rows[0] != HEADER:
        return None
    found = []
    for row in rows[1:]:
        if len(row) != len(HEADER):
            return None
        said: Mapping[str, str] = {name: value for name, value in zip(HEADER, row, strict=True) if value}
        read = read_acknowledgement(json.dumps(said).encode())
        if read is None:
            return None
        found.append((row[0], *read))
    return found
