"""The policy and the records of provision, for operators: the part of the admin service that works on them.

A change of the policy is a request at the desk, like everything that two persons decide. A search for a resident takes an identifier in
the body of a request, turns it into blind indexes at once, and leaves on record that somebody looked, not for whom.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import secrets
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from gateway.admin import views
from gateway.admin.keys import LOOKED_UP_BY
from gateway.admin.ledger_desk import LedgerDesk
from gateway.admin.policy_api import ChangeView, PolicyView, ProvisionPage, ProvisionQuery, ProvisionView, VersionView
from gateway.admin.service import NotFound, RequestView
from gateway.approvals.kinds import Kind
from gateway.errors import CommandRefused, InputRefused
from gateway.ledger import policies, provisions, queries
from gateway.ledger.approvals import Apply
from gateway.ledger.ledger import Ledger
from gateway.policy import checks, diff
from gateway.policy.loading import build, packaged, parse
from gateway.policy.marks import PROTECTED
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

    def __init__(self, ledger: Ledger, keys: KeyStore, rights: Rights, tables: PolicyTables) -> None:
        self._ledger = ledger
        self._keys = keys
        self._rights = rights
        self._tables = tables
        self._desk: LedgerDesk | None = None

    def serve_at(self, desk: LedgerDesk) -> None:
        """Changes are asked for and approved at ``desk``."""
        self._desk = desk
        desk.effects[Kind.POLICY_CHANGE] = _effect

    async def active(self) -> PolicyView:
        """See the port."""
        standing = await self._rights.refresh()
        return self._view(standing.policy)

    async def versions(self) -> Sequence[VersionView]:
        """See the port."""
        return [
            VersionView(
                version=each.version, name=each.name, digest=each.digest, base=each.base, request_id=each.request, reason=each.reason,
                requested_by=each.requested_by, approved_by=each.approved_by, applied_at=views.time(each.applied_at),
            )
            for each in await self._ledger.read(policies.versions)
        ]  # fmt: skip

    async def change(self, asked: RequestView) -> ChangeView:
        """See the port."""
        digest = asked.seen_digest.hex()
        text = await self._ledger.read(lambda conn: policies.document(conn, digest))
        if asked.command is not Kind.POLICY_CHANGE or text is None:
            raise NotFound("no-such-request", "this request is about no policy")
        current, wanted = (await self._rights.refresh()).policy, build(json.loads(text))
        return ChangeView(
            request_id=asked.request_id, digest=wanted.digest, version=current.version, changes=tuple(diff.changes(current, wanted)),
            findings=tuple(checks.findings(wanted, self._tables)),
        )  # fmt: skip

    async def ask(self, actor: str, text: str, reason: str, seen_version: int) -> RequestView:
        """See the port."""
        assert self._desk is not None
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
        return await self._desk.ask(
            Kind.POLICY_CHANGE, actor, f"policy {wanted.name}", seen_digest=bytes.fromhex(wanted.digest), reason=reason,
            argument={"name": wanted.name, "base": current.version},
            check=policies.propose(wanted.document, wanted.digest, current.version),
        )  # fmt: skip

    async def provisions(self, actor: str, query: ProvisionQuery) -> ProvisionPage:
        """See the port."""
        kind, blinds = self._blinds(query)
        day, place = self._rights.standing.on, query.place()
        salt = secrets.token_hex(8) if place is None else place[2]

        def look(conn: Connection) -> tuple[bool, list[provisions.Provision]]:
            subjects = queries.subjects_of(conn, kind, blinds) if kind is not None else None
            if subjects is not None and not subjects:
                return False, []
            marked = any(PROTECTED in policies.marks_of(conn, subject, day) for subject in subjects or ())
            return marked, provisions.search(
                conn,
                provisions.Wanted(
                    subjects=subjects, since=_at(query.since), until=_at(query.until), party=query.party, message_type=query.message_type,
                    outcome=query.outcome, reference=query.reference, limit=query.limit + 1, after=None if place is None else place[:2],
                ),
            )  # fmt: skip

        protected, found = await self._ledger.read(look)
        more = found[query.limit :]
        shown = found[: query.limit]
        detail: dict[str, Any] = {"by": query.by, "reason": query.reason, "found": len(shown), "masked": query.masked}
        # on record before anybody sees it
        await self._ledger.submit(provisions.RecordSearch(actor=actor, detail=detail, export=query.export))
        policy = (await self._rights.refresh()).policy
        items = tuple(_shown(each, policy, salt, masked=query.masked, resident=kind is not None) for each in shown)
        following = f"{shown[-1].at!r}~{shown[-1].id}~{salt}" if more else None
        return ProvisionPage(items=items, next_after=following, protected=protected)

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


def _effect(asked: RequestView) -> Apply:
    argument = asked.argument or {}
    return policies.count_from_now(argument["name"], asked.seen_digest.hex(), argument["base"])


def _at(moment: dt.datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()


def _shown(found: provisions.Provision, policy: Policy, salt: str, *, masked: bool, resident: bool) -> ProvisionView:
    """One line. Other residents have a name of this answer only; staff are masked for whoever is not staff."""
    who = None
    if not resident and found.subject is not None:
        who = f"resident-{hashlib.blake2b(found.subject.encode(), key=salt.encode(), digest_size=5).hexdigest()}"
    party = policy.systems.get(found.party or "")
    work = policy.works.get(found.work or "")
    return ProvisionView(
        id=found.id, at=views.time(found.at), resident=who, system=found.system, message_type=found.type, party=found.party,
        party_ja=party.ja if party else None, party_en=party.en if party else None, work=found.work, work_ja=work.ja if work else None,
        recipients=work.recipients if work else (), basis=found.basis, items=found.items, policy=found.policy,
        operator=_masked(found.operator) if masked else found.operator, terminal=_masked(found.terminal) if masked else found.terminal,
        outcome=found.outcome, outcome_at=None if found.outcome_at is None else views.time(found.outcome_at), code=found.code,
        rule=found.rule, message_id=None if masked else found.message_id, question=found.question,
        reference=_masked(found.reference) if masked else found.reference, condition=found.condition,
    )  # fmt: skip


def _masked(text: str | None) -> str | None:
    return None if text is None else _MASK * 4
