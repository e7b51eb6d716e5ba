"""Was this message here before? Asked after a message has been verified, so that nobody can fill the memory with what is not signed.

What came unasked (a request of a party) is remembered in the ledger, by :class:`gateway.ledger.replays.LedgerReplays`: in the transaction
of one process, seen by all, and kept over restarts until the message would be refused as expired anyway.

An answer of a party is bound to its call besides: its signed ``wsa:RelatesTo`` must be the random identifier that this very call has just
made, so an old answer is none to any later call, after a restart as before. The memory of the process then only gives the attack its name,
and costs no commit on the way of every message.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from datetime import datetime
from typing import Protocol

from gateway.security.soap.errors import MessageRefused
from gateway.security.soap.verifier import VerifiedMessage


class Replays(Protocol):
    """Remembers messages by party and message id."""

    async def first(self, party: str, key: bytes, until: datetime) -> bool:
        """Remember a message until ``until``; False: it is remembered already. ``key``: see :func:`replay_key`."""
        ...


async def require_first(replays: Replays, party: str, message: VerifiedMessage) -> None:
    """The message was not here before, and is remembered from now on.

    :raises MessageRefused: ``replayed``.
    """
    if not await replays.first(party, replay_key(message.message_id), message.acceptable_until):
        raise MessageRefused("replayed")


def replay_key(message_id: str) -> bytes:
    """A digest of the message id, so that the length is not the sender's to choose (32 bytes)."""
    return hashlib.sha256(message_id.encode()).digest()


class RecentAnswers:
    """The last answers that this process took, bounded. Only for answers, which are bound to their call besides. For one event loop."""

    def __init__(self, size: int = 10_000) -> None:
        self._size = size
        self._known: OrderedDict[tuple[str, bytes], None] = OrderedDict()  # its first is found at once, that of a dict is searched for

    async def first(self, party: str, key: bytes, until: datetime) -> bool:
        """See :class:`Replays`."""
        entry = (party, key)
        if entry in self._known:
            return False
        self._known[entry] = None
        if len(self._known) > self._size:
            self._known.popitem(last=False)
        return True
