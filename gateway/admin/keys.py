"""Keys and look-up by an identifier, for operators: the part of the admin service that needs the key directory.

An identifier comes in the body of a request, never in an address or an argument; it is turned into blind indexes at once, and the record
says that somebody looked, by which kind, and how many messages were shown, but not whom it was about.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection

from gateway.admin import views
from gateway.admin.key_service import FoundMessage, KeyView
from gateway.errors import CommandRefused, InputRefused
from gateway.ledger import queries
from gateway.ledger.keys import RecordKeyEvent
from gateway.ledger.ledger import Ledger
from gateway.operations.key_custodian import KeyCustodian
from gateway.policy.destinations import Destinations
from gateway.policy.routes import PolicyTables
from gateway.security.blind import BlindIndex
from gateway.security.keys import KeyStore, Kind
from message_formats.errors import FormatError
from message_formats.identifiers import KINDS

LOOKED_UP_BY: Mapping[str, str] = {
    "resident-code": "resident-record-code",
    "individual-number": "individual-number",
    "atena-number": "atena-number",
    "card-number": "card-identifier",
    "residence-card-number": "residence-card-number",
}
"""What operators may look up by: their word → the kind of identifier."""
LIMIT = 200


_NONE = Destinations()


class KeyAdmin:
    """See :class:`gateway.admin.key_service.KeyService`. For one event loop."""

    def __init__(
        self, ledger: Ledger, keys: KeyStore, custodian: KeyCustodian, policy: PolicyTables, destinations: Destinations = _NONE
    ) -> None:
        self._ledger = ledger
        self._keys = keys
        self._custodian = custodian
        self._places = destinations.places(policy)

    async def keys(self) -> Sequence[KeyView]:
        """See the port."""
        found = await self._custodian.views()
        return [KeyView(kind=each.kind, id=each.id, state=each.state, since=each.since, uses=each.uses) for each in found]

    async def rotate(self, actor: str, kind: str, reason: str) -> KeyView:
        """See the port."""
        try:
            wanted = Kind(kind)
        except ValueError as error:
            raise CommandRefused("key-kind-unknown", f"a key is one of {', '.join(each.value for each in Kind)}") from error
        new = await self._custodian.rotate(wanted, actor, reason)
        return next(each for each in await self.keys() if each.id == new)

    async def find(self, actor: str, by: str, value: str, reason: str) -> Sequence[FoundMessage]:
        """See the port."""
        kind = LOOKED_UP_BY.get(by)
        if kind is None:
            raise InputRefused("query-malformed", f"must be one of {', '.join(LOOKED_UP_BY)}", place="by")
        try:
            wanted = KINDS[kind](value.strip()).value
        except FormatError as error:
            raise InputRefused(error.code, error.safe_detail, place="value", rule=error.rule) from error
        blinds = BlindIndex.every(self._keys, kind, wanted)

        def look(conn: Connection) -> list[queries.MessageOfSubject]:
            subjects = queries.subjects_of(conn, kind, blinds)
            return [found for subject in sorted(subjects) for found in queries.messages_of(conn, subject, self._places, LIMIT)]

        found = await self._ledger.read(look)
        # on record before anybody sees it
        await self._ledger.submit(RecordKeyEvent(kind="looked-up", actor=actor, detail={"by": by, "reason": reason, "found": len(found)}))
        return [
            FoundMessage(
                message_id=each.message_id,
                source_id=each.source_id,
                system=each.system,
                type=each.type,
                accepted_at=views.time(each.accepted_at),
                parties=each.parties,
            )
            for each in found
        ]
