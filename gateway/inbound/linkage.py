"""Whose certificate has which serial number: what the register's linkage feed said, kept sealed, and read again for applications (FS10-2).

Serial number and atena number are blind indexes of one subject; the atena number itself, which an application needs, is sealed like any
body. The latest feed of a person counts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gateway.ledger.ledger import Ledger
from gateway.ledger.links import link_of
from gateway.security.blind import BlindIndex
from gateway.security.sealing import Sealer

SERIAL: Final = "certificate-serial"
FEED: Final = "number-linkage-feed"
LINKAGE: Final = "linkage"
"""Stands for the party in the sealing: it is for the gateway itself."""


class LedgerLinkage:
    """The linkage in the ledger."""

    def __init__(self, ledger: Ledger, sealer: Sealer, blind: Callable[[], BlindIndex]) -> None:
        self._ledger, self._sealer, self._blind = ledger, sealer, blind

    async def atena_number(self, serial: str) -> str | None:
        """See :class:`gateway.inbound.applications.Linkage`.

        :raises SealBroken: what is kept does not open.
        """
        index, former = self._blind().both(SERIAL, serial)
        blinds = [index] if former is None else [index, former]
        found = await self._ledger.read(lambda conn: link_of(conn, SERIAL, blinds))
        if found is None:
            return None
        return self._sealer.unseal(
            found.sealed, wrapped=found.wrapped, kek_id=found.kek_id, message_id=found.message_id, message_type=FEED, party=LINKAGE
        ).decode()
