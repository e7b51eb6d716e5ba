"""Retention, purge and release after a restore, on the ledger: see :class:`gateway.admin.retention_api.RetentionService`."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Collection, Sequence
from functools import partial
from typing import Any

from gateway.admin import views
from gateway.admin.ledger_desk import LedgerDesk
from gateway.admin.retention_api import DisposalView, PurgeView, RulePlan, RunView, StoppedParty
from gateway.admin.service import NotFound, RequestView
from gateway.approvals.kinds import Kind
from gateway.errors import CommandRefused, GatewayError
from gateway.ledger import approvals, quarantine, restoring
from gateway.ledger import retention as lr
from gateway.ledger.ledger import Ledger
from gateway.ledger.operators import RecordAccess
from gateway.ledger.unit import Unit
from gateway.retention.keeper import Keeper

_log = logging.getLogger(__name__)


class LedgerRetention:
    """For one event loop. A purge that was approved is carried out here, beside everything else."""

    def __init__(self, ledger: Ledger, keeper: Keeper, desk: LedgerDesk, parties: Collection[str]) -> None:
        self._ledger = ledger
        self._keeper = keeper
        self._desk = desk
        self._parties = frozenset(parties)
        self._purges: set[asyncio.Task[None]] = set()
        desk.effects[Kind.PURGE] = lambda _: _approved
        desk.effects[Kind.RESTORE_RELEASE] = lambda _: _release
        desk.effects[Kind.QUARANTINE_DISCARD] = lambda _: self._discard
        desk.afterwards[Kind.PURGE] = self._begin_purge

    async def close(self) -> None:
        """Purges that are under way go on at the next start."""
        for task in self._purges:
            task.cancel()
        for task in list(self._purges):
            with contextlib.suppress(asyncio.CancelledError):
                await task

    # ---- the table -----------------------------------------------------------------------------------------------------------------

    async def plan(self) -> Sequence[RulePlan]:
        """See the port."""
        policy, planned = self._keeper.keeping.policy, []
        for rule in policy.rules:
            expires, must_not = await self._keeper.late(rule) if rule.expires is not None else (0, 0)
            planned.append(
                RulePlan(
                    rule=rule.rule,
                    place=rule.place,
                    types=tuple(sorted(policy.types(rule))),
                    after=str(rule.after),
                    basis=tuple(rule.basis),
                    before=views.time(await self._keeper.before(rule)),
                    due=await self._keeper.due(rule),
                    expires=expires,
                    must_not=must_not,
                )
            )
        return planned

    async def run(self, actor: str, reason: str) -> RunView:
        """See the port."""
        await self._ledger.submit(RecordAccess(kind="retention-run", actor=actor, detail={"reason": reason}))
        done = await self._keeper.run(actor)
        return RunView(run=done.run, erased=done.erased, expired=done.expired, must_not=done.refused, proof=done.proof)

    async def history(self) -> Sequence[DisposalView]:
        """See the port."""
        return [
            DisposalView(
                disposal_id=row.id,
                run=row.run,
                rule=row.rule,
                place=row.place,
                type=row.type,
                party=row.party,
                count=row.count,
                oldest=views.time(row.oldest),
                newest=views.time(row.newest),
                at=views.time(row.ended_at),
                actor=row.actor,
                instruction=row.instruction,
                proof=row.proof,
            )
            for row in await self._ledger.read(lr.history)
        ]

    # ---- purge (C-1-7-18) ----------------------------------------------------------------------------------------------------------

    async def purgeable(self, party: str) -> PurgeView:
        """See the port."""
        if party not in self._parties and party not in await self._ledger.read(lr.parties):
            raise NotFound("no-such-party", "there is no such party, and nothing of it")
        found = await self._ledger.read(lambda conn: lr.held_of(conn, party))
        return PurgeView(party=party, contents=found[0], unfinished=found[1], must_not=found[2], digest=_seen(party, found))

    async def ask_purge(self, actor: str, party: str, seen_digest: bytes, reason: str) -> RequestView:
        """See the port."""
        seen = await self.purgeable(party)
        if seen.digest != seen_digest:
            raise CommandRefused("changed-meanwhile", "what is there of this party is not what was seen: look again", rule="R13")
        argument = {"contents": seen.contents, "unfinished": seen.unfinished, "must_not": seen.must_not}
        return await self._desk.ask(Kind.PURGE, actor, party, seen_digest=seen_digest, reason=reason, argument=argument, party=party)

    async def _begin_purge(self, _actor: str, asked: RequestView) -> None:
        """It may take long: whoever approves does not wait for it. The history and the request say how it ended."""
        task = asyncio.create_task(self._purge(asked.request_id), name="purge")
        self._purges.add(task)
        task.add_done_callback(self._purges.discard)

    async def _purge(self, request_id: str) -> None:
        try:
            asked = await self._desk.request(request_id)
            done = await self._keeper.purge(asked.party or "", asked.decided_by or "", request_id)
            detail = {"erased": done.erased, "expired": done.expired, "must_not": done.refused, "proof": done.proof}
            outcome = f"erased:{done.erased}"
            await self._ledger.submit(
                approvals.CarryOut(request=request_id, actor=asked.decided_by or "", outcome=outcome, only_author=False, detail=detail)
            )
        except GatewayError as error:
            _log.error("purge-not-ended", extra={"code": error.code})  # it goes on at the next start

    # ---- quarantine ----------------------------------------------------------------------------------------------------------------

    def _discard(self, unit: Unit, row: approvals.Row) -> str:
        """On the list outside before it is committed, or a restore would bring it back."""
        kept = quarantine.entry(unit.conn, row["subject"])
        outcome = quarantine.discard(unit, row)
        if kept is not None and kept.payload_id is not None:
            self._keeper.keeping.erasures.append("due", rule="discard", type=kept.type, instruction=row["id"], keys=[kept.payload_id])
        return outcome

    # ---- after a restore (R24) -----------------------------------------------------------------------------------------------------

    async def restored(self) -> tuple[dict[str, Any] | None, Sequence[StoppedParty]]:
        """See the port."""
        last = await self._ledger.read(restoring.last_restore)
        if last is not None:
            last = {
                **last,
                "at": views.time(last["at"]).isoformat(),
                "backup_at": views.time(last["backup_at"]).isoformat(),
                "since": views.time(last["since"]).isoformat(),
            }
        found = []
        for party, stopped, unknown, gone in await self._ledger.read(restoring.unfinished):
            digest = await self._ledger.read(partial(restoring.seen_of, party=party)) if stopped else None
            if stopped or (last is not None and unknown):
                found.append(StoppedParty(party=party, stopped=stopped, unknown=unknown, without_content=gone, digest=digest))
        return last, found

    async def ask_restore_release(self, actor: str, party: str, seen_digest: bytes, reason: str) -> RequestView:
        """See the port."""

        def check(unit: Unit) -> None:
            if restoring.seen_of(unit.conn, party) != seen_digest:
                raise CommandRefused("changed-meanwhile", "this party was stopped by another restore since: look again", rule="R13")

        return await self._desk.ask(
            Kind.RESTORE_RELEASE, actor, f"restore {party}", seen_digest=seen_digest, reason=reason, party=party, check=check
        )


def _release(unit: Unit, row: approvals.Row) -> str:
    outcome = restoring.release(unit, row["party"], bytes(row["seen_digest"]))
    unit.audit("restore-released", row["decided_by"], party_id=row["party"], request=row["id"], requested_by=row["requested_by"])
    return outcome


def _approved(_unit: Unit, _row: approvals.Row) -> None:
    """Approved: carried out after that."""


def _seen(party: str, found: tuple[int, int, int]) -> bytes:
    return hashlib.sha256(f"purge {party} {found[0]} {found[1]} {found[2]}".encode()).digest()
