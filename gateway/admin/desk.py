"""The desk where a second person decides, and the operators' own rights: the ports that the API talks to, and their values.

Everything that needs four eyes comes here, from whatever command, page or process: commands on deliveries, bulk output, what was refused
and kept, a look into a sealed payload, changes of policy and of operators' rights. Which roles may ask and decide stands in
:mod:`gateway.approvals.kinds`. No value here holds personal data, except what :meth:`Desk.content` and :meth:`Desk.reveal` give.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from gateway.admin.service import RequestView
from gateway.approvals.kinds import Role
from gateway.approvals.rights import Account


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantineView:
    """What was refused at a door and is kept, sealed."""

    quarantine_id: str
    system: str
    door: str
    source_id: str | None
    type: str | None
    code: str
    rule: str | None
    place: str | None
    size_bytes: int
    at: dt.datetime
    status: str
    """``kept``, ``released`` or ``discarded``."""
    has_body: bool
    """Its body is there: not if it was too large to keep, or is discarded."""
    releasable: bool
    """It can be handed in again: body and attributes are there."""
    digest: bytes
    """What a request about it names."""
    decided_at: dt.datetime | None
    request_id: str | None
    message_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkView:
    """Deliveries of one type for one party that leave together when their bulk output is approved."""

    party: str
    type: str
    count: int
    oldest_at: dt.datetime
    newest_at: dt.datetime
    digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Revealed:
    """A payload, for the one person who asked for it."""

    content: bytes
    content_type: str
    masked: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorView:
    """One line of the table of access rights (アクセス権限管理票, C-1-3-20)."""

    name: str
    configured: Mapping[str, Any] | None
    """Rights that the configuration gives; None: it knows this person no more."""
    approved: Mapping[str, Any] | None
    """Rights that two persons approved; None: none yet."""
    roles: tuple[Role, ...]
    """In force."""
    parties: tuple[str, ...] | None
    contractor: bool
    pending_digest: bytes | None
    """Of configured rights that wait for an approval; None: nothing waits."""
    granted_at: dt.datetime | None
    requested_by: str | None
    approved_by: str | None
    reviewed_at: dt.datetime | None
    reviewed_by: str | None
    review_due: dt.date | None
    overdue: bool
    expired: bool
    seen_at: dt.datetime | None
    unused: bool
    released_until: dt.datetime | None
    released_by: str | None


class Desk(Protocol):
    """Requests, and what is asked for here. ``actor`` is the person on record.

    All methods may raise :class:`~gateway.admin.service.NotFound` and :class:`~gateway.errors.CommandRefused`.
    """

    async def requests(self, *, waiting_only: bool) -> Sequence[RequestView]:
        """Requests, newest first."""
        ...

    async def request(self, request_id: str) -> RequestView:
        """One request."""
        ...

    async def content(self, actor: str, request_id: str) -> Revealed:
        """The new content of a correction, for the person who is to approve it; the reading is recorded.

        In clear, but for what says where a resident under support measures (支援措置) lives: that is masked (C-1-3-31).
        """
        ...

    async def approve(self, actor: str, request_id: str, seen_digest: bytes) -> RequestView:
        """Approve another person's request.

        :raises CommandRefused: ``same-person``; ``digest-changed``; ``requester-not-entitled``; decided or expired; or what it is about is
            no longer as it was seen.
        """
        ...

    async def refuse(self, actor: str, request_id: str, reason: str) -> RequestView:
        """Refuse another person's request."""
        ...

    async def withdraw(self, actor: str, request_id: str) -> RequestView:
        """Take one's own request back."""
        ...

    async def ask_reveal(self, actor: str, reference: str, seen_digest: bytes, reason: str, *, clear: bool) -> RequestView:
        """Ask to see the payload of a delivery or of a kept refusal; ``clear``: unmasked."""
        ...

    async def reveal(self, actor: str, request_id: str) -> Revealed:
        """See it, once, having asked for it; on record before anything is shown."""
        ...

    async def quarantine(self, *, kept_only: bool, limit: int, before: str | None) -> Sequence[QuarantineView]:
        """What was refused at the doors, newest first."""
        ...

    async def quarantined(self, quarantine_id: str) -> QuarantineView:
        """One of them."""
        ...

    async def ask_release(self, actor: str, quarantine_id: str, seen_digest: bytes, reason: str) -> RequestView:
        """Ask for a refused message to be handed in again; of the checks, only a finding of the content guard is set aside."""
        ...

    async def ask_discard(self, actor: str, quarantine_id: str, seen_digest: bytes, reason: str) -> RequestView:
        """Ask for its body to be destroyed."""
        ...

    async def bulk(self) -> Sequence[BulkView]:
        """What waits for a bulk output."""
        ...

    async def ask_bulk_output(self, actor: str, party: str, message_type: str, seen_digest: bytes, reason: str) -> RequestView:
        """Ask for everything of one set to leave."""
        ...


class Accounts(Protocol):
    """The operators as the ledger knows them."""

    async def account(self, name: str) -> Account | None:
        """One person; None: no rights were ever approved."""
        ...

    async def sighted(self, account: Account, address: str | None) -> None:
        """This person is at work: written down, at most once in a quarter of an hour."""
        ...

    async def refused(self, name: str, code: str, operation: str, address: str | None) -> None:
        """Somebody was refused; repetitions within a minute are counted."""
        ...

    async def looked(self, name: str, operation: str, *, message_id: str) -> None:
        """Somebody looked at what belongs on record (C-1-3-19)."""
        ...

    async def operators(self) -> Sequence[OperatorView]:
        """The table of access rights."""
        ...

    async def review(self, actor: str, name: str, result: str) -> OperatorView:
        """Somebody else's rights were looked at and are needed as they are; ``result`` is kept."""
        ...

    async def release(self, actor: str, name: str, hours: float, reason: str) -> OperatorView:
        """Let a contractor work for some hours; 0: end it."""
        ...

    async def ask_rights(self, actor: str, name: str, seen_digest: bytes, reason: str) -> RequestView:
        """Ask for the configured rights of a person to be in force."""
        ...
