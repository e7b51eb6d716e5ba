"""What the admin API says of the policy and of records of provision: the port, the bodies, the handlers.

Like :mod:`gateway.admin.service` it knows neither the ledger nor the broker.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal, Protocol

from aiohttp import web
from pydantic import Field, SecretStr, StringConstraints

from gateway.admin import bodies
from gateway.admin.desk import Desk
from gateway.admin.identity import require_party
from gateway.admin.service import NotFound, RequestView
from gateway.admin.wire import ACTOR, Handler
from gateway.errors import InputRefused
from gateway.policy.checks import Finding
from gateway.policy.diff import Change


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyView:
    """The policy that counts."""

    version: int
    name: str
    digest: str
    sample: bool
    packaged: bool
    permissions: int
    findings: tuple[Finding, ...]
    document: str
    """Canonical JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionView:
    """A version that counts or counted."""

    version: int
    name: str
    digest: str
    base: int
    request_id: str
    reason: str
    requested_by: str
    approved_by: str
    applied_at: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeView:
    """What a request would change, against the version that counts now."""

    request_id: str
    digest: str
    version: int
    changes: tuple[Change, ...]
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvisionView:
    """One record of provision."""

    id: str
    at: dt.datetime
    resident: str | None
    """A name that means the same resident within one answer and its next pages, and nothing beyond; None where the search was for one
    resident, or nobody is known."""
    system: str
    message_type: str | None
    party: str | None
    party_ja: str | None
    party_en: str | None
    work: str | None
    work_ja: str | None
    recipients: tuple[str, ...]
    basis: tuple[str, ...]
    items: tuple[str, ...]
    policy: int | None
    operator: str | None
    terminal: str | None
    outcome: str
    outcome_at: dt.datetime | None
    code: str | None
    rule: str | None
    message_id: str | None
    question: str | None = None
    """Of a dialogue that one of our systems began: the message type of the question."""
    reference: str | None = None
    """The application that it belongs to; None also where the answer is masked (C-2-3-8)."""
    condition: Mapping[str, str] | None = None
    """What was asked by: items, values masked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvisionPage:
    """Some records in order of time; ``next_after`` continues."""

    items: tuple[ProvisionView, ...]
    next_after: str | None = None
    protected: bool = False
    """The search was for a resident under support measures (支援措置): who asks is to be verified before anything is handed out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvisionQuery:
    """Which records, and why somebody looks."""

    reason: str
    by: str | None = None
    value: str = field(default="", repr=False)
    since: dt.datetime | None = None
    until: dt.datetime | None = None
    party: str | None = None
    message_type: str | None = None
    reference: str | None = None
    outcome: str | None = None
    limit: int = 200
    after: str | None = None
    masked: bool = True
    export: bool = False
    """For a file: recorded as an output."""

    def place(self) -> tuple[float, str, str] | None:
        """Time and id of the last record of the page before, and the salt of the names that stand for residents.

        :raises InputRefused: not ``next_after`` of a page before.
        """
        if self.after is None:
            return None
        try:
            at, identity, salt = self.after.split("~")
            return float(at), identity, salt
        except ValueError:
            raise InputRefused("query-malformed", "must be next_after of a page before", place="after") from None


class PolicyService(Protocol):
    """The policy and the records of provision behind the API. ``actor`` is the person on record."""

    async def active(self) -> PolicyView:
        """The policy that counts."""
        ...

    async def versions(self) -> Sequence[VersionView]:
        """Versions that count or counted, newest first."""
        ...

    async def change(self, asked: RequestView) -> ChangeView:
        """What a request would change now."""
        ...

    async def ask(self, actor: str, text: str, reason: str, seen_version: int) -> RequestView:
        """Ask at the desk for a policy, or some sections of one, to count.

        :raises ConfigurationError: the document is wrong; :raises InputRefused: it breaks a rule; :raises CommandRefused: another version
            counts than was seen.
        """
        ...

    async def provisions(self, actor: str, query: ProvisionQuery) -> ProvisionPage:
        """Records of provision; the search is recorded."""
        ...


class PolicyAskBody(bodies.Body):
    policy: Annotated[str, StringConstraints(min_length=2, max_length=2_000_000)]
    reason: bodies.Reason
    seen_version: Annotated[int, Field(ge=0)]


class ProvisionsBody(bodies.Body):
    reason: bodies.Reason
    by: str | None = None
    value: SecretStr = SecretStr("")
    since: str | None = None
    until: str | None = None
    party: str | None = None
    message_type: str | None = None
    reference: str | None = None
    outcome: Literal["permitted", "provided", "refused", "rejected", "skipped", "expired", "replaced", "unknown"] | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 200
    after: str | None = None
    masked: bool = True
    export: bool = False

    def query(self) -> ProvisionQuery:
        """:raises InputRefused: a time that is none."""
        return ProvisionQuery(
            reason=self.reason, by=self.by, value=self.value.get_secret_value(), since=_moment(self.since, "since"),
            until=_moment(self.until, "until"), party=self.party, message_type=self.message_type, outcome=self.outcome, limit=self.limit,
            reference=self.reference, after=self.after, masked=self.masked, export=self.export,
        )  # fmt: skip


def _moment(text: str | None, place: str) -> dt.datetime | None:
    if text is None:
        return None
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise InputRefused("query-malformed", "must be a time with its zone (RFC 3339)", place=place) from error
    if found.tzinfo is None:
        raise InputRefused("query-malformed", "must be a time with its zone (RFC 3339)", place=place)
    return found


class PolicyApi:
    """The handlers, by the names of the operations."""

    def __init__(self, service: PolicyService | None, desk: Desk) -> None:
        self._given = service
        self._desk = desk

    @property
    def _service(self) -> PolicyService:
        if self._given is None:
            raise NotFound("no-such-path", "this gateway shows no policy")
        return self._given

    def handlers(self) -> dict[str, Handler]:
        return {
            "policy": self.active,
            "policy_versions": self.versions,
            "policy_change": self.change,
            "ask_policy": self.ask,
            "provisions": self.provisions,
        }

    async def active(self, _request: web.Request) -> web.StreamResponse:
        return bodies.answer(bodies.plain(await self._service.active()))

    async def versions(self, _request: web.Request) -> web.StreamResponse:
        return bodies.answer({"items": bodies.plain(list(await self._service.versions()))})

    async def change(self, request: web.Request) -> web.StreamResponse:
        asked = await self._desk.request(request.match_info["request_id"])
        return bodies.answer(bodies.plain(await self._service.change(asked)))

    async def ask(self, request: web.Request) -> web.StreamResponse:
        require_party(request[ACTOR], None)
        body = await bodies.read_body(request, PolicyAskBody)
        return bodies.recorded(await self._service.ask(request[ACTOR].name, body.policy, body.reason, body.seen_version))

    async def provisions(self, request: web.Request) -> web.StreamResponse:
        body = await bodies.read_body(request, ProvisionsBody)
        if request[ACTOR].parties is not None:
            require_party(request[ACTOR], body.party)
        return bodies.answer(bodies.plain(await self._service.provisions(request[ACTOR].name, body.query())))
