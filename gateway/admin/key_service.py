"""What operators see of the keys, and how they find messages by an identifier."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyView:
    """One of the gateway's own keys; never the key itself."""

    kind: str
    """``kek``, ``blind``, ``content``, ``jwe`` or ``day``."""
    id: str
    state: str
    """``current``; ``former``: still needed; ``overlap``: still opens (jwe); ``chained``: part of every index (blind); ``day``."""
    since: dt.datetime | None
    uses: int | None
    """What hangs on it: data keys, or aliases of residents. While a rotation goes on, it falls to 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundMessage:
    """A message that was found by an identifier of the resident."""

    message_id: str
    source_id: str
    system: str
    type: str
    accepted_at: dt.datetime
    parties: tuple[str, ...]


class KeyService(Protocol):
    """The gateway's own keys, and what needs them."""

    async def keys(self) -> Sequence[KeyView]:
        """All keys, the current one of each kind first."""
        ...

    async def rotate(self, actor: str, kind: str, reason: str) -> KeyView:
        """Make a new current key; what was made with the old one is renewed beside the traffic.

        :raises CommandRefused: ``key-kind-unknown``; ``rotation-under-way``.
        """
        ...

    async def find(self, actor: str, by: str, value: str, reason: str) -> Sequence[FoundMessage]:
        """The newest messages about the resident whose identifier this is; that somebody looked is put on record.

        :raises InputRefused: no such kind, or not an identifier of it; the value is never repeated.
        """
        ...
