"""Peers that were refused: counted per peer address, minute and reason, and put on record (I6, I8, R22).

Who is not authenticated must not be able to fill the record, so that a minute's refusals of one address for one reason are one entry with
their number. The first of them is logged at once; all are counted in a metric by place and reason. What is kept of a peer is its address,
the fingerprints of the certificates that it showed, and the name of the configuration that it was taken for, if any: never a text of its
own making, such as the name in a certificate, which may be a person's.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

from certs.peer import TlsObject, shown_fingerprint
from gateway.errors import LedgerUnavailable

Direction = Literal["in", "out"]
MINUTE_S: Final = 60.0
MOST_ROWS: Final = 500
"""Of one minute: more addresses than that are counted together as :data:`OTHERS`."""
MOST_FINGERPRINTS: Final = 5
OTHERS: Final = "(others)"

_log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Refusal:
    """The refusals of one address at one place for one reason within one minute."""

    minute: float
    """Its beginning, seconds since 1970 UTC."""
    direction: Direction
    """``in``: somebody came to a listener of ours. ``out``: we went to a party, and it was not that party."""
    place: str
    """The listener (``intake``, ``admin``, ``metrics``) or the party."""
    address: str
    code: str
    who: str
    """Whom of the configuration it was taken for; empty: nobody."""
    count: int = 0
    fingerprints: list[str] = field(default_factory=list)
    """SHA-256 of the certificates shown, the first few."""


class Witness(Protocol):
    """Whoever takes note of refusals."""

    def note(self, *, direction: Direction, place: str, address: str, code: str, fingerprint: str | None = None, who: str = "") -> None: ...


class Refusals:
    """Counts, and writes each minute's counts when it is over. For one event loop."""

    def __init__(
        self,
        write: Callable[[Sequence[Refusal]], Awaitable[None]],
        *,
        count: Callable[[str, str, str], None] = lambda direction, place, code: None,
        clock: Callable[[], float] = time.time,
        minute_s: float = MINUTE_S,
    ) -> None:
        self._write = write
        self._count = count
        self._clock = clock
        self._minute_s = minute_s
        self._rows: dict[tuple[float, str, str, str, str, str], Refusal] = {}
        self._task: asyncio.Task[None] | None = None

    def note(self, *, direction: Direction, place: str, address: str, code: str, fingerprint: str | None = None, who: str = "") -> None:
        """One refusal."""
        self._count(direction, place, code)
        now = self._clock()
        minute = now - now % self._minute_s
        row = self._rows.get((minute, direction, place, address, code, who))
        if row is None:
            if len(self._rows) >= MOST_ROWS:
                address, who = OTHERS, ""
            row = self._rows.setdefault(
                (minute, direction, place, address, code, who),
                Refusal(minute=minute, direction=direction, place=place, address=address, code=code, who=who),
            )
            if not row.count:
                _log.warning(
                    "peer-refused",
                    extra={"place": place, "host": address, "code": code, "fingerprint": fingerprint, "peer": who or None},
                )
        row.count += 1
        if fingerprint and fingerprint not in row.fingerprints and len(row.fingerprints) < MOST_FINGERPRINTS:
            row.fingerprints.append(fingerprint)

    async def flush(self, *, all_of_them: bool = False) -> None:
        """Write the minutes that are over, or all. What cannot be written is kept for the next time."""
        now = self._clock()
        due = [key for key in self._rows if all_of_them or key[0] + self._minute_s <= now]
        rows = [self._rows.pop(key) for key in due]
        if not rows:
            return
        try:
            await self._write(rows)
        except LedgerUnavailable:
            for key, row in zip(due, rows, strict=True):
                self._rows.setdefault(key, row)
            raise

    def start(self) -> None:
        """Write from now on."""
        self._task = asyncio.get_running_loop().create_task(self._keep_writing(), name="refusals")

    async def stop(self) -> None:
        """Write what is left, and end."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):  # our own cancellation
                await self._task
            self._task = None
        with contextlib.suppress(LedgerUnavailable):  # the log has the first of each
            await self.flush(all_of_them=True)

    async def _keep_writing(self) -> None:
        while True:
            await asyncio.sleep(self._minute_s - self._clock() % self._minute_s + 0.05)
            try:
                await self.flush()
            except LedgerUnavailable as error:
                _log.warning("refusals-not-written", extra={"code": error.code})


def address_of(transport: asyncio.BaseTransport | None) -> str:
    """The address at the other end, without its port."""
    name = transport.get_extra_info("peername") if transport is not None else None
    return str(name[0]) if isinstance(name, tuple) and name else "unknown"


def note_request(witness: Witness | None, place: str, transport: asyncio.BaseTransport | None, code: str, who: str = "") -> None:
    """A request on a connection whose handshake went well was refused for who sent it."""
    if witness is None:
        return
    tls: TlsObject | None = transport.get_extra_info("ssl_object") if transport is not None else None
    witness.note(direction="in", place=place, address=address_of(transport), code=code, fingerprint=shown_fingerprint(tls), who=who)
