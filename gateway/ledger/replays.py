"""Signed messages that were here before: the memory of replays that outlives a restart and is one for all processes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from gateway.ledger import statements as sql
from gateway.ledger.unit import Unit

if TYPE_CHECKING:
    from gateway.ledger.ledger import Ledger

_FORGET = "DELETE FROM seen_message WHERE until <= {mark}"
_REMEMBER = 'INSERT INTO seen_message ("party", "key", "until") VALUES ({mark}, {mark}, {mark}) ON CONFLICT DO NOTHING RETURNING "party"'
MARGIN_S = 300.0
"""Kept so much longer than the message could be accepted: the clocks of ledger and process may differ."""


@dataclass(slots=True, kw_only=True)
class RememberMessage:
    """Remember a message of a party; the result says whether it is the first time. Forgets what nobody would accept any more."""

    party: str
    key: bytes
    until: float
    bulk: bool = False
    size: int = 1
    first: bool = False

    def plan(self, unit: Unit) -> None:
        self.first = False

    def apply(self, unit: Unit) -> None:
        sql.write_many(unit.conn, _FORGET.format(mark=sql.mark_of(unit.conn)), [(unit.now,)])
        self.first = bool(sql.rows(unit.conn, _REMEMBER, self.party, self.key, self.until + MARGIN_S))

    def finish(self, unit: Unit) -> bool:
        return self.first


class LedgerReplays:
    """:class:`gateway.security.soap.replay.Replays` in the ledger. What it says is committed."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def first(self, party: str, key: bytes, until: datetime) -> bool:
        """Remember a message until ``until``; False: it was here before.

        :raises LedgerUnavailable: nobody knows; the message must not be taken.
        """
        return await self._ledger.remember_message(party, key, until.timestamp())
