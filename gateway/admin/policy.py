"""The policy and the records of provision, for operators: the part of the admin service that works on them.

A change of the policy needs a second person, who names the digest of what was looked at. A search for a resident takes an identifier in
the body of a request, turns it into blind indexes at once, and leaves on record that somebody looked, not for whom.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from gateway.admin import views
from gateway.admin.keys import LOOKED_UP_BY
from gateway.admin.policy_api import PolicyRequestView, PolicyView, ProvisionPage, ProvisionQuery, ProvisionView
from gateway.admin.service import NotFound
from gateway.errors import CommandRefused, InputRefused
from gateway.ledger import policies, provisions, queries
from gateway.ledger.ledger import Ledger
from gateway.policy import checks, diff
from gateway.policy.loading import build, packaged, parse
from gateway.policy.model import Policy
from gateway.policy.rights import Rights
from gateway.policy.routes import PolicyTables
from gateway.security.blind import BlindIndex
from gateway.security.keys import KeyStore
from message_formats.errors import FormatError
from message_formats.identifiers import KINDS

_MASK = "＊"


class PolicyAdmin:
    """See :class:`gateway.admin.policy_api.PolicyService`. For one event loop."""

    def __init__(self, ledger: Ledger, keys: KeyStore, rights: Rights, tables: PolicyTables, *, request_s: float) -> None:
        self._ledger = ledger
        self._keys = keys
        self._rights = rights
        self._tables = tables
        self._request_s = request_s

    async def active(self) -> PolicyView:
        """See the port."""
        standing = await self._rights.refresh()
        return self._view(standing.policy)

    async def requests(self) -> Sequence[PolicyRequestView]:
        """See the port."""
        return [_request(each) for each in await self._ledger.read(policies.requests)]

    async def request(self, request_id: str) -> PolicyRequestView:
        """See the port."""
        found = next((each for each in await self._ledger.read(policies.requests) if each.id == request_id), None)
        text = await self._ledger.read(lambda conn: policies.document(conn, request_id))
        if found is None or text is None:
            raise NotFound("no-such-request", "there is no request of this id")
        standing = await self._rights.refresh()
        return _request(found, diff.changes(standing.policy, build(json.loads(text))))

    async def ask(self, actor: str, text: str, reason: str, seen_version: int) -> PolicyRequestView:
        """See the port."""
        current = (await self._rights.refresh()).policy
        if seen_version != current.version:
            raise CommandRefused("changed-meanwhile", f"version {current.version} of the policy counts now: look again", rule="R13")
        wanted = build(parse(text, onto=current))
        faults = [each for each in checks.findings(wanted, self._tables) if each.fault]
        if faults:
            first = faults[0]
            detail = f"{first.code}: {first.place} {', '.join(first.names)}".strip()
            raise InputRefused("policy-faulty", f"{detail} ({len(faults)} in all)", place="policy", rule=first.rule or None)
        if wanted.digest == current.digest:
            raise CommandRefused("policy-same", "this is the policy that counts already")
        asked = policies.AskForPolicy(
            actor=actor, document=wanted.document, digest=wanted.digest, name=wanted.name, base=current.version, reason=reason,
            request_s=self._request_s,
        )  # fmt: skip
        return await self.request(await self._ledger.submit(asked))

    async def decide(self, actor: str, request_id: str, *, approve: bool, digest: str = "") -> PolicyRequestView:
        """See the port."""
        await self._ledger.submit(policies.DecidePolicy(actor=actor, request=request_id, approve=approve, digest=digest))
        await self._rights.refresh()
        found = next(each for each in await self._ledger.read(policies.requests) if each.id == request_id)
        return _request(found)

    async def provisions(self, actor: str, query: ProvisionQuery) -> ProvisionPage:
        """See the port."""
        kind, blinds = self._blinds(query)

        def look(conn: Connection) -> list[provisions.Provision]:
            subjects = queries.subjects_of(conn, kind, blinds) if kind is not None else None
            if subjects is not None and not subjects:
                return []
            return provisions.search(
                conn,
                provisions.Wanted(
                    subjects=subjects, since=_at(query.since), until=_at(query.until), party=query.party, message_type=query.message_type,
                    outcome=query.outcome, limit=query.limit + 1, after=query.place(),
                ),
            )  # fmt: skip

        found = await self._ledger.read(look)
        more = found[query.limit :]
        shown = found[: query.limit]
        detail: dict[str, Any] = {"by": query.by, "reason": query.reason, "found": len(shown), "masked": query.masked}
        # on record before anybody sees it
        await self._ledger.submit(provisions.RecordSearch(actor=actor, detail=detail))
        policy = self._rights.standing.policy
        others: dict[str, str] = {}
        items = tuple(_shown(each, policy, others, masked=query.masked, resident=kind is not None) for each in shown)
        return ProvisionPage(items=items, next_after=f"{shown[-1].at!r}~{shown[-1].id}" if more else None)

    def _blinds(self, query: ProvisionQuery) -> tuple[str | None, list[bytes]]:
        if query.by is None:
            return None, []
        kind = LOOKED_UP_BY.get(query.by)
        if kind is None:
            raise InputRefused("query-malformed", f"must be one of {', '.join(LOOKED_UP_BY)}", place="by")
        try:
            wanted = KINDS[kind](query.value.strip()).value
        except FormatError as error:
            raise InputRefused(error.code, error.safe_detail, place="value", rule=error.rule) from error
        return kind, list(BlindIndex.every(self._keys, kind, wanted))

    def _view(self, policy: Policy) -> PolicyView:
        return PolicyView(
            version=policy.version, name=policy.name, digest=policy.digest, sample=policy.sample,
            packaged=policy.digest == packaged().digest, permissions=sum(len(each) for each in policy.permissions.values()),
            findings=tuple(checks.findings(policy, self._tables)), document=policy.document,
        )  # fmt: skip


def _request(found: policies.PolicyRequest, changed: Sequence[diff.Change] = ()) -> PolicyRequestView:
    return PolicyRequestView(
        request_id=found.id, status=found.status, version=found.version, name=found.name, digest=found.digest, base=found.base,
        reason=found.reason, requested_by=found.requested_by, requested_at=views.time(found.requested_at),
        expires_at=views.time(found.expires_at), decided_by=found.decided_by,
        decided_at=None if found.decided_at is None else views.time(found.decided_at), changes=tuple(changed),
    )  # fmt: skip


def _at(moment: dt.datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()


def _shown(found: provisions.Provision, policy: Policy, others: dict[str, str], *, masked: bool, resident: bool) -> ProvisionView:
    """One line. Other residents are a number within this answer; staff are masked for whoever is not staff."""
    who = None
    if not resident and found.subject is not None:
        who = others.setdefault(found.subject, f"resident-{len(others) + 1}")
    party = policy.systems.get(found.party or "")
    work = policy.works.get(found.work or "")
    return ProvisionView(
        id=found.id, at=views.time(found.at), resident=who, system=found.system, message_type=found.type, party=found.party,
        party_ja=party.ja if party else None, party_en=party.en if party else None, work=found.work, work_ja=work.ja if work else None,
        recipients=work.recipients if work else (), basis=found.basis, items=found.items, policy=found.policy,
        operator=_masked(found.operator) if masked else found.operator, terminal=_masked(found.terminal) if masked else found.terminal,
        outcome=found.outcome, outcome_at=None if found.outcome_at is None else views.time(found.outcome_at), code=found.code,
        rule=found.rule, message_id=None if masked else found.message_id,
    )  # fmt: skip


def _masked(text: str | None) -> str | None:
    return None if text is None else _MASK * 4
