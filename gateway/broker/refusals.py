"""Whom the embedded broker refused: its log is followed, and what it says is noted like the refusals of our own listeners (I6, I8).

RabbitMQ does TLS and logins itself and tells nobody but its log. Of a handshake that failed it does not say from where; of a login or an
operation it does, two lines for one. A name in a login is put on record only where it is one of the configuration's: anything else is a
text of a stranger's making.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.security.refusals import Witness

LOOK_S: Final = 1.0
PLACE: Final = "broker"
LARGEST: Final = 1 << 20
"""Of one look: what is more comes with the next."""

_log = logging.getLogger(__name__)
_ALERT = re.compile(r"generated SERVER ALERT: Fatal - ([A-Za-z ]+)")
_FROM = re.compile(r"(<[\d.]+>) (?:Error on AMQP connection|Channel error on connection) <[\d.]+> \((\S+):\d+ -> [^)]*\)?")
_LOGIN = re.compile(r"(<[\d.]+>) [A-Z0-9-]+ login refused: user '([^']*)'")
_ACCESS = re.compile(r"(<[\d.]+>) operation \S+ caused a channel exception access_refused: .* for user '([^']*)'")
_CODES: Final = {
    "Unknown CA": "issuer-unknown",
    "Certificate Revoked": "revoked",
    "Certificate Expired": "expired",
    "Certificate Required": "no-certificate",
    "Protocol Version": "tls-version",
    "Insufficient Security": "no-shared-cipher",
}
_DETAILS: Final = {"invalid_ext_key_usage": "wrong-purpose", "no_relevant_crls": "crl-missing", "selfsigned_peer": "self-signed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One refusal in the log."""

    code: str
    address: str = "unknown"
    user: str = ""


def read(text: str) -> Iterator[Found]:
    """The refusals in lines of RabbitMQ's log."""
    addresses: dict[str, str] = {}
    alert = ""
    for line in text.splitlines():
        if alert:
            detail = next((code for mark, code in _DETAILS.items() if mark in line), None)
            yield Found(code=detail or _CODES.get(alert) or f"tls-alert-{alert.lower().replace(' ', '-')}")
            alert = ""
        if (found := _ALERT.search(line)) is not None:
            alert = found[1].strip()
        elif (found := _FROM.search(line)) is not None:
            addresses[found[1]] = found[2]
        elif (found := _LOGIN.search(line)) is not None:
            yield Found(code="login-refused", address=addresses.get(found[1], "unknown"), user=found[2])
        elif (found := _ACCESS.search(line)) is not None:
            yield Found(code="access-refused", address=addresses.get(found[1], "unknown"), user=found[2])
    if alert:
        yield Found(code=_CODES.get(alert) or f"tls-alert-{alert.lower().replace(' ', '-')}")


class BrokerRefusals:
    """Follows the log of the embedded node from where it was followed last, also over restarts of this process and of the log."""

    def __init__(self, log: Path, witness: Witness, known: Collection[str]) -> None:
        """``known``: names of the configuration that may be put on record."""
        self._file = log
        self._mark = log.with_name("refusals.seen")
        self._witness = witness
        self._known = frozenset(known)
        self._task: asyncio.Task[None] | None = None

    def look(self) -> int:
        """Note what is new; returns how many refusals it was."""
        text = self._news()
        count = 0
        for found in read(text):
            who = found.user if found.user in self._known else ""
            self._witness.note(direction="in", place=PLACE, address=found.address, code=found.code, who=who)
            count += 1
        return count

    def start(self) -> None:
        """Look from now on."""
        self._task = asyncio.get_running_loop().create_task(self._keep(), name="broker-refusals")

    async def stop(self) -> None:
        """Look once more, and end."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):  # our own cancellation
                await self._task
            self._task = None
        with contextlib.suppress(OSError):
            self.look()

    async def _keep(self) -> None:
        while True:
            try:
                self.look()
            except OSError as error:
                _log.warning("broker-log-unreadable", extra={"code": type(error).__name__})
            await asyncio.sleep(LOOK_S)

    def _news(self) -> str:
        """Whole lines since the last look. A log that was rotated meanwhile is read to its end first."""
        inode, offset = self._seen()
        data = b""
        former = self._file.with_name(f"{self._file.name}.0")
        if not self._file.exists():
            return ""
        status = self._file.stat()
        if inode != status.st_ino:
            if former.exists() and former.stat().st_ino == inode:
                data = former.read_bytes()[offset:]
            inode, offset = status.st_ino, 0
        with self._file.open("rb") as file:
            file.seek(min(offset, status.st_size))
            offset = file.tell()
            new = file.read(LARGEST)
        whole = new[: new.rfind(b"\n") + 1]
        last = whole.rstrip(b"\n").rfind(b"\n") + 1
        if b"SERVER ALERT" in whole[last:]:
            whole = whole[:last]  # its second line says why, and is not there yet
        if whole or data:
            self._mark.write_text(f"{inode} {offset + len(whole)}\n")
        return (data + whole).decode(errors="replace")

    def _seen(self) -> tuple[int, int]:
        try:
            inode, offset = self._mark.read_text().split()
            return int(inode), int(offset)
        except (OSError, ValueError):
            return 0, 0
