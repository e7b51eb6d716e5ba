"""Reconciliations on the ledger: see :class:`gateway.admin.reconciliation_api.ReconciliationService`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from gateway.admin import views
from gateway.admin.ledger_desk import LedgerDesk
from gateway.admin.reconciliation_api import Difference, DifferenceView, NewRun, ReconciliationView, Worklist
from gateway.admin.service import NotFound, RequestView
from gateway.approvals.kinds import Kind
from gateway.errors import InputRefused
from gateway.ledger import reconciliations
from gateway.ledger.ledger import Ledger
from gateway.ledger.reconciliations import IDENTIFIER, Begin, Compared, ComparedAgain, Found, SetRunning
from gateway.policy.routes import PolicyTables
from gateway.security.blind import BlindIndex
from gateway.security.keys import KeyStore
from message_formats.errors import FormatError
from message_formats.identifiers import KINDS

PARTIES: Final[Mapping[str, str]] = {
    "city-cs": "city-cs",
    "national-server": "city-cs",
    "prefecture-server": "prefecture-server",
}
"""Whose records are compared with the register's (FR-1, F2-6) → whose deliveries say what is under way to it."""


class LedgerReconciliations:
    """For one event loop."""

    def __init__(self, ledger: Ledger, keys: KeyStore, desk: LedgerDesk, parties: Collection[str], policy: PolicyTables) -> None:
        """:param parties: that this gateway serves; what it leaves to the city CS is under way there."""
        self._ledger = ledger
        self._keys = keys
        self._desk = desk
        self._parties = frozenset(parties)
        every = {route for routes in policy.routes.values() for route in routes}
        self._streams = {party: sorted({route.stream for route in every if route.party == party}) for party in PARTIES.values()}
        desk.effects[Kind.RECONCILIATION_CORRECTION] = lambda _: reconciliations.release

    async def runs(self) -> Sequence[ReconciliationView]:
        """See the port."""
        return [_view(row) for row in await self._ledger.read(reconciliations.runs)]

    async def run(self, name: str) -> ReconciliationView:
        """See the port."""
        return _view(await self._found(name))

    async def begin(self, actor: str, new: NewRun) -> ReconciliationView:
        """See the port."""
        if new.other not in PARTIES:
            raise InputRefused("query-malformed", f"must be one of {', '.join(PARTIES)}", place="other")
        if new.cut_off > dt.datetime.now(dt.UTC):
            raise InputRefused("cut-off-future", "the cut-off is a time that is over", place="cut_off")
        party = PARTIES[new.other] if PARTIES[new.other] in self._parties else "city-cs"
        values: dict[str, Any] = {name: getattr(new, name) for name in NewRun.__dataclass_fields__}
        values |= {"party": party, "cut_off": new.cut_off.timestamp()}
        await self._ledger.submit(Begin(actor=actor, values=values))
        return await self.run(new.run)

    async def compared(
        self, actor: str, name: str, *, first: int, until: int, differing: int, found: Sequence[Difference]
    ) -> ReconciliationView:
        """See the port."""
        given, streams = [self._blinded(each) for each in found], self._streams[(await self._found(name))["party"]]
        step = Compared(actor=actor, run=name, first=first, until=until, differing=differing, found=given, streams=streams)
        await self._ledger.submit(step)
        return await self.run(name)

    async def compared_again(self, actor: str, name: str, cut_off: dt.datetime, found: Sequence[Difference]) -> ReconciliationView:
        """See the port."""
        given, streams = [self._blinded(each) for each in found], self._streams[(await self._found(name))["party"]]
        await self._ledger.submit(ComparedAgain(actor=actor, run=name, cut_off=cut_off.timestamp(), found=given, streams=streams))
        return await self.run(name)

    async def set_paused(self, actor: str, name: str, *, paused: bool, reason: str) -> ReconciliationView:
        """See the port."""
        await self._ledger.submit(SetRunning(actor=actor, run=name, paused=paused, reason=reason))
        return await self.run(name)

    async def worklist(self, name: str, *, states: Sequence[str], after: int, limit: int) -> Worklist:
        """See the port."""
        identity = (await self._found(name))["id"]
        rows = await self._ledger.read(
            lambda conn: reconciliations.worklist(conn, identity, states=states, after=after, limit=limit)
        )  # fmt: skip
        return Worklist(
            items=tuple(_line(row) for row in rows),
            digest=reconciliations.digest_of(rows).hex(),
            next_after=rows[-1]["number"] if len(rows) == limit else None,
        )

    async def ask_correction(
        self, actor: str, name: str, numbers: Sequence[int], correction: str, *, seen_digest: bytes, reason: str
    ) -> RequestView:
        """See the port."""
        await self._found(name)
        argument = {"run": name, "numbers": list(numbers), "correction": correction}
        check = reconciliations.still(name, numbers, seen_digest)
        return await self._desk.ask(
            Kind.RECONCILIATION_CORRECTION, actor, f"reconciliation {name}", seen_digest=seen_digest, reason=reason, argument=argument,
            check=check,
        )  # fmt: skip

    async def _found(self, name: str) -> Mapping[str, Any]:
        found = await self._ledger.read(lambda conn: reconciliations.run(conn, name))
        if found is None:
            raise NotFound("run-unknown", "there is no run of this name")
        return found

    def _blinded(self, each: Difference) -> Found:
        """:raises InputRefused: no resident record code; it is not repeated."""
        try:
            code = KINDS[IDENTIFIER](each.code).value
        except FormatError as error:
            raise InputRefused(error.code, error.safe_detail, place="code", rule=error.rule) from error
        blinds = tuple(BlindIndex.every(self._keys, IDENTIFIER, code))
        return Found(reference=each.reference, blinds=blinds, kind=each.kind, items=each.items)


def _view(row: Mapping[str, Any]) -> ReconciliationView:
    times: dict[str, Any] = {name: views.time(row[name]) for name in ("cut_off", "began_at", "changed_at")}
    values: dict[str, Any] = {name: row[name] for name in ReconciliationView.__dataclass_fields__ if name not in times}
    return ReconciliationView(**values, **times)


def _line(row: Mapping[str, Any]) -> DifferenceView:
    return DifferenceView(
        number=row["number"], kind=row["kind"], items=tuple(filter(None, row["items"].split(","))), reference=row["reference"],
        state=row["state"], correction=row["correction"], request_id=row["request_id"], changed_at=views.time(row["changed_at"]),
        protected=row["protected"],
    )  # fmt: skip
