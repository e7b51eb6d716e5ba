"""The link with the information provision network, as the ledger knows it."""

from __future__ import annotations

import datetime as dt

from gateway.admin.network_api import SERVER, NetworkView, OverdueAcquisition
from gateway.ledger import acquisition_state, operating
from gateway.ledger.ledger import Ledger


class LedgerNetwork:
    """From the ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def network(self) -> NetworkView:
        """As it stands."""
        found = await self._ledger.read(acquisition_state.read)
        said = (await self._ledger.read(operating.said)).get(SERVER)
        return NetworkView(
            operating_status=None if said is None else said.status,
            operating_since=None if said is None else _time(said.at),
            registered=found.registered,
            linked=found.linked,
            acquisitions=dict(found.states),
            overdue=found.overdue,
            oldest_overdue=tuple(
                OverdueAcquisition(
                    acquisition_id=each.id, state=each.state, asked_at=_time(each.asked_at), due_at=_time(each.due_at),
                    message_id=each.asked_id,
                )
                for each in found.oldest
            ),
        )  # fmt: skip


def _time(at: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(at, dt.UTC)
