"""The ledger's book: see :class:`gateway.admin.books_api.BooksService`."""

from __future__ import annotations

from sqlalchemy import Connection

from gateway.admin import views
from gateway.admin.books_api import ClockView, DeliveryTally, MessageTally, TallyView
from gateway.ledger import retention as lr
from gateway.ledger import tally
from gateway.ledger.ledger import Ledger


class LedgerBooks:
    """For one event loop."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def tally(self) -> TallyView:
        """See the port."""

        def count(conn: Connection) -> tuple[list[tally.MessageCount], list[tally.DeliveryCount]]:
            return tally.messages(conn), tally.deliveries(conn)

        messages, deliveries = await self._ledger.read(count)
        return TallyView(
            messages=tuple(MessageTally(system=each.system, type=each.type, count=each.count) for each in messages),
            deliveries=tuple(
                DeliveryTally(party=each.party, type=each.type, state=each.state, replaced=each.replaced, count=each.count)
                for each in deliveries
            ),
        )

    async def shift_clock(self, actor: str, offset_s: float) -> ClockView:
        """See the port."""
        refused = await self._ledger.submit(lr.ShiftBusinessClock(offset_s=offset_s, actor=actor))
        if refused is not None:
            raise refused
        now = await self._ledger.read(lr.clocks)
        return ClockView(offset_s=offset_s, now=views.time(now.business))
