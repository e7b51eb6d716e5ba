"""CSV files for one of our own systems: written whole or not at all, with their digest, on record before they can be seen (R18).

=====================  =============================================================================================================
``out/NAME.csv``       the records, by the layout of their type (``message_formats/data/layouts``)
``out/NAME.index.csv`` for each record, in the same order: delivery, correlation, type, work, attempt; no personal data
``out/NAME.sha256``    digests of the two, as ``sha256sum`` writes them; put there last: without it there is no file yet
``in/NAME.ack.csv``    the system's import receipt: delivery, correlation, status, code (:mod:`gateway.inbound.file_receipts`)
=====================  =============================================================================================================

NAME is account, type, work, business time and a random part. A file that the process did not finish bears a name with a dot in front.
What is sent at one moment is one file for each type and work.
"""

from __future__ import annotations

import asyncio
import csv
import datetime as dt
import hashlib
import io
import os
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gateway.contract import CallNotSent, CallUnanswered
from gateway.errors import ConfigurationError, LedgerUnavailable
from message_formats import layouts, reading, records
from message_formats.errors import FormatError
from message_formats.layouts import Layout

INDEX_HEADER = ("delivery", "correlation", "type", "work", "attempt")
FOLDER_MODE, FILE_MODE = 0o770, 0o640
JAPAN = dt.timezone(dt.timedelta(hours=9), "JST")

Recorder = Callable[[Sequence[tuple[str, str]], Mapping[str, str | int]], Awaitable[None]]
"""(message id, delivery id) of each record, and what to put on record of the file."""


@dataclass(slots=True, kw_only=True)
class _Entry:
    content: bytes = field(repr=False)
    delivery_id: str
    correlation: str
    headers: Mapping[str, str]
    done: asyncio.Future[None]

    @property
    def kind(self) -> str:
        return self.headers["cloudEvents:type"]

    @property
    def work(self) -> str:
        return self.headers.get("cloudEvents:work", "")


def layouts_for(types: Sequence[str], own: Path | None) -> dict[str, Layout]:
    """The layouts by message type; ``own``: of the city, instead of the packaged one of its type. A type without one does not go by files.

    :raises ConfigurationError: none of the types has one.
    """
    found = {}
    if own is not None:
        try:
            layout = layouts.parse(own.read_bytes())
        except (OSError, FormatError) as error:
            raise ConfigurationError("layout", f"the layout {own.name} cannot be used") from error
        found[layout.message_type.name] = layout
    for name in types:
        if name not in found and f"{name}.csv" in layouts.names():
            found[name] = layouts.get(f"{name}.csv")
    if not found:
        raise ConfigurationError("layout", "no message type of this account has a CSV layout: give files.layout, or another channel")
    return found


class FileLine:
    """:class:`gateway.contract.QueueCaller` that writes files. For one event loop."""

    def __init__(self, account: str, directory: Path, by_type: Mapping[str, Layout], record: Recorder, *, acknowledge_s: float) -> None:
        self._account, self._directory, self._layouts, self._record = account, directory, by_type, record
        self.acknowledge_s = acknowledge_s
        self._waiting: list[_Entry] = []
        self._writing: set[asyncio.Task[None]] = set()

    async def send(self, body: bytes, *, delivery_id: str, correlation: str, headers: Mapping[str, str]) -> None:
        """See :class:`gateway.contract.QueueCaller`: it returns when the file is there. What is sent in the same breath shares a file."""
        loop = asyncio.get_running_loop()
        entry = _Entry(content=body, delivery_id=delivery_id, correlation=correlation, headers=headers, done=loop.create_future())
        self._waiting.append(entry)
        if len(self._waiting) == 1:
            task = loop.create_task(self._write_waiting())
            self._writing.add(task)
            task.add_done_callback(self._writing.discard)
        await entry.done

    async def probe(self) -> None:
        """The folder is there and can be written to."""
        try:
            await asyncio.to_thread(self._folder)
        except OSError as error:
            raise CallNotSent("folder-unusable") from error

    async def _write_waiting(self) -> None:
        entries, self._waiting = self._waiting, []
        groups: dict[tuple[str, str], list[_Entry]] = {}
        for entry in entries:
            groups.setdefault((entry.kind, entry.work), []).append(entry)
        for group in groups.values():
            failure: Exception | None = None
            try:
                await self._write(group)
            except (CallNotSent, CallUnanswered) as error:
                failure = error
            except Exception:  # whoever waits must hear of it, whatever it is; it is told as unknown
                failure = CallUnanswered("file-failed")
            for entry in group:
                if not entry.done.done():
                    entry.done.set_result(None) if failure is None else entry.done.set_exception(failure)

    async def _write(self, group: Sequence[_Entry]) -> None:
        kind, work = group[0].kind, group[0].work
        if kind not in self._layouts:
            raise CallNotSent("layout-missing")
        now = dt.datetime.now(JAPAN).strftime("%Y%m%d%H%M%S")
        name = "_".join(part for part in (self._account, kind, work, now, secrets.token_hex(4)) if part)
        try:
            data, index = await asyncio.to_thread(self._contents, group)
        except FormatError as error:
            raise CallNotSent("layout-does-not-fit") from error
        digest = hashlib.sha256(data).hexdigest()
        sums = f"{digest}  {name}.csv\n{hashlib.sha256(index).hexdigest()}  {name}.index.csv\n".encode()
        try:
            await asyncio.to_thread(self._put_hidden, name, {"csv": data, "index.csv": index, "sha256": sums})
        except OSError as error:
            await asyncio.to_thread(self._drop_hidden, name)
            raise CallNotSent("folder-unusable") from error
        handed = [(each.headers["cloudEvents:message"], each.delivery_id) for each in group]
        try:
            await self._record(handed, {"file": name, "sha256": digest, "records": len(group)})
        except LedgerUnavailable as error:
            await asyncio.to_thread(self._drop_hidden, name)
            raise CallNotSent(error.code) from error
        try:
            await asyncio.to_thread(self._show, name)
        except OSError as error:
            raise CallUnanswered("folder-unusable") from error

    def _contents(self, group: Sequence[_Entry]) -> tuple[bytes, bytes]:
        layout, out = self._layouts[group[0].kind], io.BytesIO()
        records.write_records((reading.read(each.content, expected=each.kind).items for each in group), layout, out)
        index = io.StringIO()
        writer = csv.writer(index, lineterminator="\r\n")
        writer.writerow(INDEX_HEADER)
        for each in group:
            writer.writerow((each.delivery_id, each.correlation, each.kind, each.work, each.correlation.rpartition(".")[2]))
        return out.getvalue(), index.getvalue().encode()

    def _folder(self) -> Path:
        for name in ("out", "in"):
            (self._directory / name).mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        folder = self._directory / "out"
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(folder)
        return folder

    def _put_hidden(self, name: str, files: Mapping[str, bytes]) -> None:
        folder = self._folder()
        for suffix, content in files.items():
            file = os.open(folder / f".{name}.{suffix}", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
            with os.fdopen(file, "wb") as out:
                out.write(content)
                out.flush()
                os.fchmod(out.fileno(), FILE_MODE)
                os.fsync(out.fileno())
        _sync(folder)

    def _drop_hidden(self, name: str) -> None:
        for suffix in ("csv", "index.csv", "sha256"):
            (self._directory / "out" / f".{name}.{suffix}").unlink(missing_ok=True)

    def _show(self, name: str) -> None:
        folder = self._directory / "out"
        for suffix in ("csv", "index.csv", "sha256"):
            (folder / f".{name}.{suffix}").rename(folder / f"{name}.{suffix}")
        _sync(folder)


def _sync(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
