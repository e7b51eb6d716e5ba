"""Signed messages that were here before: the memory of replays that outlives a restart and is one for all processes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import delete
from sqlalchemy.dialects import postgresql, sqlite

from gateway.ledger import tables as t
from gateway.ledger.unit import Unit

if TYPE_CHECKING:
    from gateway.ledger.ledger import Ledger

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
        unit.conn.execute(delete(t.seen_message).where(t.seen_message.c.until <= unit.now))
        make = postgresql.insert if unit.postgresql else sqlite.insert
        values = {"party": self.party, "key": self.key, "until": self.until + MARGIN_S}
        statement = make(t.seen_message).values(values).on_conflict_do_nothing().returning(t.seen_message.c.party)
        self.first = unit.conn.execute(statement).first() is not None

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
