"""Applications from the application management system, and the register's linkage feed to it.

The municipality is fixed by the configuration: every request names it, and an answer or a file of another body is refused, as is the
certificate of another body's tenant, since the party's name (``peer``) is that of ours (C-1-2-22).

*Temporary operation* (C-1-7-19): where the line is down, staff carry the portal's file from the LGWAN terminal to a folder of this machine
(setting ``spool``). While that is set, nothing is asked of the party; each file is one batch, and is overwritten and removed once its
import is committed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import ClassVar, Final

from adapters.mailbox import protocol
from adapters.mailbox.adapter import MailboxAdapter
from adapters.mailbox.protocol import Request
from gateway.contract import DropsDuplicates, FetchedBatch, FetchFailed, Finding, Limits, Manifest, RecordResult, Remembers, Setting
from message_formats import writing

PARTY: Final = "application-management-system"
FETCH_REQUEST: Final = "application-fetch-request"
FILE: Final = "file:"
_JAPAN: Final = timezone(timedelta(hours=9))
_LONGEST: Final = 256 << 20


class ApplicationManagementAdapter(MailboxAdapter):
    """See the module's text."""

    prefix: ClassVar[str] = "/applications"
    manifest: ClassVar[Manifest] = Manifest(
        name="application_management",
        party=PARTY,
        description_en="Application management system: applications of the portal, hourly; linkage of serial and atena numbers",
        description_ja="申請管理システム：申請データの取得（1時間ごと）、番号紐づけ情報の送信",
        message_types=("number-linkage-feed",),
        fetches=("application-data", "application-list"),
        settings=(
            Setting(
                name="municipality", type=str, required=True, description="our 全国地方公共団体コード, the tenant that we are (C-1-2-22)"
            ),
            Setting(
                name="spool", type=str, description="temporary operation: folder of files from the LGWAN terminal; then no line is used"
            ),
        ),
        duplicates=DropsDuplicates(key="delivery-id", remembers=Remembers.EFFECTS, memory_s=30 * 86400.0),
        settle_s=30.0,
        limits=Limits(calls=4, records_per_call=100, call_s=60.0),
    )

    @property
    def tenant(self) -> str | None:
        """See :class:`MailboxAdapter`."""
        return str(self.host.settings["municipality"])

    @property
    def _spool(self) -> Path | None:
        folder = self.host.settings.get("spool")
        return Path(folder) if folder else None

    def listing(self, identifier: str, since: datetime) -> Request:
        """The question is an application-fetch-request: everything not fetched yet."""
        moment = since.astimezone(_JAPAN)
        items = {"since": moment.strftime("%Y%m%d%H%M%S") + f"{moment.microsecond // 1000:03}"}
        return protocol.listing(
            identifier, self.tenant, since=since.isoformat(timespec="seconds"), message=writing.write(FETCH_REQUEST, items).root
        )

    async def check(self) -> Sequence[Finding]:
        """See :meth:`MailboxAdapter.check`; in temporary operation, whether the folder is there and ours alone."""
        if (folder := self._spool) is None:
            return await super().check()
        try:
            mode = (await asyncio.to_thread(folder.stat)).st_mode
        except OSError:
            return [Finding(name=PARTY, ok=False, detail="spool-missing", remedy="make the folder of the setting spool, mode 0700")]
        if mode & 0o077:
            return [Finding(name=PARTY, ok=False, detail="spool-open", remedy="chmod 0700 the folder of the setting spool")]
        return [Finding(name=PARTY, ok=True, detail="temporary operation: files from the LGWAN terminal are imported")]

    # ---- temporary operation

    async def waiting(self, *, since: datetime) -> Sequence[str]:
        """See :meth:`gateway.contract.Adapter.waiting`."""
        if (folder := self._spool) is None:
            return await super().waiting(since=since)
        return [f"{FILE}{each.name}" for each in await asyncio.to_thread(_files, folder)]

    async def fetch(self, batch_id: str) -> FetchedBatch:
        """See :meth:`gateway.contract.Adapter.fetch`."""
        if (file := self._file(batch_id)) is None:
            return await super().fetch(batch_id)
        body = await asyncio.to_thread(_read, file)
        _, records = protocol.batch_file(body, self.tenant)
        return FetchedBatch(batch_id=batch_id, records=tuple(records))

    async def acknowledge(self, batch_id: str, results: Sequence[RecordResult]) -> None:
        """See :meth:`gateway.contract.Adapter.acknowledge`: a file is erased."""
        if (file := self._file(batch_id)) is None:
            await super().acknowledge(batch_id, results)
        else:
            await asyncio.to_thread(_erase, file)

    def _file(self, batch_id: str) -> Path | None:
        name = batch_id.removeprefix(FILE)
        if self._spool is None or name == batch_id:
            return None
        if "/" in name or name.startswith("."):
            raise FetchFailed("file-name")
        return self._spool / name


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(each for each in folder.iterdir() if each.suffix == ".xml" and each.is_file() and not each.is_symlink())
    except OSError as error:
        raise FetchFailed("spool-missing") from error


def _read(file: Path) -> bytes:
    try:
        if file.stat().st_size > _LONGEST:
            raise FetchFailed("file-too-large")
        return file.read_bytes()
    except OSError as error:
        raise FetchFailed("file-unreadable") from error


def _erase(file: Path) -> None:
    """Overwrite in place, to the disk, then remove (C-1-7-19). On a file system that writes elsewhere the first cannot help: such a folder
    belongs on an encrypted disk."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return  # erased before, by an acknowledgement that nobody remembers
    except OSError as error:
        raise FetchFailed("file-not-erased") from error
    try:
        left, done = os.fstat(descriptor).st_size, 0
        while done < left:
            done += os.write(descriptor, os.urandom(min(1 << 20, left - done)))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    file.unlink()
    with contextlib.suppress(OSError):  # some file systems know no fsync of folders
        folder = os.open(file.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
