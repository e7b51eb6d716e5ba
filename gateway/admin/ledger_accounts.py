"""The operators' accounts on the ledger: see :class:`gateway.admin.desk.Accounts`."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gateway.admin import views
from gateway.admin.desk import OperatorView
from gateway.admin.ledger_desk import LedgerDesk
from gateway.admin.service import NotFound, RequestView
from gateway.approvals.kinds import RULES, Kind
from gateway.approvals.rights import JAPAN, Account, Rights, in_force, overdue, review_due
from gateway.errors import CommandRefused, LedgerUnavailable
from gateway.ledger import operators as rows
from gateway.ledger.approvals import Apply
from gateway.ledger.ledger import Ledger

_log = logging.getLogger(__name__)

REFUSALS_S = 60.0
"""Repetitions of one refusal within this time are one entry, with their number (R22)."""


class LedgerAccounts:
    """For one event loop."""

    def __init__(
        self,
        ledger: Ledger,
        configured: Mapping[str, Rights],
        *,
        unused_days: int = 90,
        clock: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
        refusals_s: float = REFUSALS_S,
    ) -> None:
        self._ledger = ledger
        self._configured = dict(configured)
        self._unused = dt.timedelta(days=unused_days)
        self._clock = clock
        self._refusals_s = refusals_s
        self._repeated: dict[tuple[str, str, str, str | None], int] = {}
        self._writing: set[asyncio.Task[None]] = set()
        self._desk: LedgerDesk | None = None

    def serve_at(self, desk: LedgerDesk) -> None:
        """Rights are asked for and approved at ``desk``."""
        self._desk = desk
        desk.effects[Kind.OPERATOR_RIGHTS] = self._effect

    async def take_over(self) -> None:
        """A ledger that knows nobody takes the configured operators as they are."""
        await self._ledger.submit(rows.TakeOver(configured=self._configured))

    async def account(self, name: str) -> Account | None:
        """See the port."""
        return (await self._ledger.read(rows.accounts)).get(name)

    async def entitled(self, name: str, kind: Kind) -> bool:
        """Whether this person may ask for ``kind`` at this moment."""
        account, configured = await self.account(name), self._configured.get(name)
        if account is None or configured is None:
            return False
        roles, _ = in_force(configured, account.rights)
        today = self._clock().astimezone(JAPAN).date()
        ended = any(each.valid_until is not None and today > each.valid_until for each in (configured, account.rights))
        return bool(roles & RULES[kind].asks) and not ended

    async def sighted(self, account: Account, address: str | None) -> None:
        """See the port."""
        now = self._clock().timestamp()
        if account.seen_at is not None and now - account.seen_at < rows.SEEN_EVERY_S:
            return
        configured = self._configured.get(account.name)
        contractor = account.rights.contractor or (configured is not None and configured.contractor)
        detail = {"terminal": address, "contractor": contractor}
        await self._ledger.submit(
            rows.Change(
                name=account.name, actor=account.name, kind="operator-session", values={"seen_at": rows.NOW}, detail=detail,
                not_if_seen_since=now - rows.SEEN_EVERY_S,
            )
        )  # fmt: skip

    async def refused(self, name: str, code: str, operation: str, address: str | None) -> None:
        """See the port."""
        key = (name, code, operation, address)
        if key in self._repeated:
            self._repeated[key] += 1
            return
        self._repeated[key] = 0
        asyncio.get_running_loop().call_later(self._refusals_s, self._write_repeated, key)
        await self._record_refusal(key, 1)

    async def looked(self, name: str, operation: str, *, message_id: str) -> None:
        """See the port."""
        await self._ledger.submit(rows.RecordAccess(kind="looked", actor=name, message_id=message_id, detail={"operation": operation}))

    async def close(self) -> None:
        """Write what was counted and not written yet."""
        for key in list(self._repeated):
            self._write_repeated(key)
        if self._writing:
            await asyncio.wait(self._writing)

    async def operators(self) -> Sequence[OperatorView]:
        """See the port."""
        known = await self._ledger.read(rows.accounts)
        return [self._view(name, known.get(name)) for name in sorted({*self._configured, *known})]

    async def review(self, actor: str, name: str, result: str) -> OperatorView:
        """See the port."""
        if actor == name:
            raise CommandRefused("same-person", "another person reviews one's rights", rule="C-2-3-5")
        values = {"reviewed_at": rows.NOW, "reviewed_by": actor}
        rights = (await self._known(name)).rights.to_json()
        await self._ledger.submit(
            rows.Change(name=name, actor=actor, kind="operator-reviewed", values=values, detail={"result": result, "rights": rights})
        )
        return self._view(name, await self.account(name))

    async def release(self, actor: str, name: str, hours: float, reason: str) -> OperatorView:
        """See the port."""
        account = await self._known(name)
        configured = self._configured.get(name)
        if not (account.rights.contractor or (configured is not None and configured.contractor)):
            raise CommandRefused("no-contractor", "only a contractor needs to be released", rule="C-1-4-2")
        until = self._clock() + dt.timedelta(hours=hours)
        values = {"released_until": until.timestamp() if hours else None, "released_by": actor if hours else None}
        detail = {"until": until.isoformat(timespec="seconds") if hours else None, "reason": reason}
        kind = "contractor-released" if hours else "contractor-ended"
        await self._ledger.submit(rows.Change(name=name, actor=actor, kind=kind, values=values, detail=detail))
        return self._view(name, await self.account(name))

    async def ask_rights(self, actor: str, name: str, seen_digest: bytes, reason: str) -> RequestView:
        """See the port."""
        assert self._desk is not None
        configured = self._configured.get(name)
        if configured is None:
            raise NotFound("no-such-operator", "the configuration has no operator of this name")
        if configured.digest() != seen_digest:
            raise CommandRefused("changed-meanwhile", "the configured rights are not what was seen: look again", rule="R13")
        argument = {"rights": json.loads(configured.to_json())}
        return await self._desk.ask(Kind.OPERATOR_RIGHTS, actor, name, seen_digest=seen_digest, reason=reason, argument=argument)

    def _effect(self, asked: RequestView) -> Apply:
        configured = self._configured.get(asked.subject or "")
        if configured is None:
            raise CommandRefused("changed-meanwhile", "the configuration has no operator of this name any more")
        return rows.grant(configured)

    async def _known(self, name: str) -> Account:
        account = await self.account(name)
        if account is None:
            raise NotFound("no-such-operator", "nobody of this name has rights in force")
        return account

    def _write_repeated(self, key: tuple[str, str, str, str | None]) -> None:
        count = self._repeated.pop(key, 0)
        if count:
            task = asyncio.get_running_loop().create_task(self._record_later(key, count))
            self._writing.add(task)
            task.add_done_callback(self._writing.discard)

    async def _record_later(self, key: tuple[str, str, str, str | None], count: int) -> None:
        try:
            await self._record_refusal(key, count)
        except LedgerUnavailable as error:
            _log.warning("refusals-not-recorded", extra={"code": error.code})

    async def _record_refusal(self, key: tuple[str, str, str, str | None], count: int) -> None:
        name, code, operation, address = key
        detail = {"code": code, "operation": operation, "terminal": address, "count": count}
        await self._ledger.submit(rows.RecordAccess(kind="access-refused", actor=name, detail=detail))

    def _view(self, name: str, account: Account | None) -> OperatorView:
        now, configured = self._clock(), self._configured.get(name)
        roles, parties = in_force(configured, account.rights) if configured and account else (frozenset(), None)
        pending = configured is not None and (account is None or not configured.within(account.rights))
        rights = [each for each in (configured, account.rights if account else None) if each is not None]
        ended = any(each.valid_until is not None and now.astimezone(JAPAN).date() > each.valid_until for each in rights)
        reviewed, seen = (views.time(account.reviewed_at), views.maybe(account.seen_at)) if account else (None, None)
        since = seen or (views.time(account.granted_at) if account else None)
        return OperatorView(
            name=name,
            configured=_plain(configured),
            approved=_plain(account.rights if account else None),
            roles=tuple(sorted(roles)),
            parties=None if parties is None else tuple(sorted(parties)),
            contractor=any(each.contractor for each in rights),
            pending_digest=configured.digest() if configured is not None and pending else None,
            granted_at=views.time(account.granted_at) if account else None,
            requested_by=account.requested_by if account else None,
            approved_by=account.approved_by if account else None,
            reviewed_at=reviewed,
            reviewed_by=account.reviewed_by if account else None,
            review_due=review_due(reviewed) if reviewed else None,
            overdue=reviewed is not None and overdue(reviewed, now),
            expired=ended,
            seen_at=seen,
            unused=since is not None and now - since > self._unused,
            released_until=views.maybe(account.released_until) if account else None,
            released_by=account.released_by if account else None,
        )


def _plain(rights: Rights | None) -> dict[str, Any] | None:
    return None if rights is None else json.loads(rights.to_json())
