"""Erasure with proof: after the data keys were destroyed, it is looked whether anything of them is left on the disk (I9).

On SQLite the ledger overwrites what it deletes (``secure_delete``), the write-ahead log is copied and truncated, and then the files of the
ledger are searched for the wrapped keys byte by byte: 40 random bytes are found or they are not there. On PostgreSQL dead rows stay until
VACUUM and in its log until that is recycled, out of our reach: there, and for copies of the ledger that were made before, the wrapped keys
end with their key-encryption key (``renkei keys rotate kek``), or with the day key of their class (``docs/keys.md``).
"""

from __future__ import annotations

import asyncio
import mmap
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.ledger.erasure import ALL_KINDS, EraseContent, Erased
from gateway.ledger.keys import RecordKeyEvent
from gateway.ledger.ledger import Ledger

CHECKPOINT_S = 10.0
"""How long to wait for readers to let the log be truncated, in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasureProof:
    """What was done and what was seen afterwards."""

    message_id: str
    party: str
    keys: tuple[str, ...]
    """The data keys that were destroyed; none: it was done before."""
    searched: tuple[str, ...]
    """Names of the files that were searched; none on PostgreSQL."""
    remains: tuple[str, ...]
    """Names of those in which something of a key was found: none, if all is well."""

    @property
    def proved(self) -> bool:
        """Searched, and nothing was found."""
        return bool(self.searched) and not self.remains


class Eraser:
    """Destroys contents. For one event loop."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def erase(
        self, message_id: str, party: str, *, actor: str, reason: str, kinds: Sequence[str] = ALL_KINDS, prove: bool = True
    ) -> ErasureProof:
        """Destroy the content of ``message_id`` for ``party``; ``prove=False`` where many are erased and looked for together.

        :raises CommandRefused: ``outcome-unknown``, ``not-final`` or ``delivery-unknown``: it may not be erased now (R23).
        :raises LedgerUnavailable: nothing was erased, or it is not known.
        """
        operation = EraseContent(message_id=message_id, party=party, actor=actor, reason=reason, kinds=kinds)
        erased: Erased = await self._ledger.submit(operation)
        if not prove:
            return ErasureProof(message_id=message_id, party=party, keys=erased.keys, searched=(), remains=())
        searched, remains = await self.search(erased.wrapped)
        proof = ErasureProof(message_id=message_id, party=party, keys=erased.keys, searched=searched, remains=remains)
        if erased.keys:
            detail = {"message": message_id, "to": party, "proved": proof.proved, "searched": list(searched), "remains": list(remains)}
            await self._ledger.submit(RecordKeyEvent(kind="erasure-searched", actor=actor, detail=detail))
        return proof

    async def search(self, wrapped: Sequence[bytes]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Truncate the log, then look for these bytes in the ledger's files: the files searched, and those with remains."""
        files = self._ledger.engine.files()
        if not files:
            return (), ()
        return await asyncio.to_thread(self._search, files, wrapped)

    def _search(self, files: Sequence[Path], wrapped: Sequence[bytes]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        deadline = time.monotonic() + CHECKPOINT_S
        while not self._ledger.engine.checkpoint() and time.monotonic() < deadline:
            time.sleep(0.05)  # a reader, or another process that checkpoints, is in the way; if it stays, the search says what is left
        return _search(files, wrapped)


def _search(files: Sequence[Path], wanted: Sequence[bytes]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    searched, remains = [], []
    for file in files:
        if not file.exists():
            continue
        searched.append(file.name)
        if file.stat().st_size == 0:
            continue
        with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
            if any(content.find(each) >= 0 for each in wanted):
                remains.append(file.name)
    return tuple(searched), tuple(remains)
