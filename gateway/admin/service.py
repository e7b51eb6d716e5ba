"""What the admin API needs of the gateway: the port that it talks to, and the values that pass through it.

Whoever implements :class:`AdminService` works on the ledger; the API in front knows neither the ledger nor the broker. Rule R13 shapes the
commands: each names the state and the content digest that its author saw, and is refused if either has changed. Skip, correct, settle and
release are *requests*: they take effect when a second person approves them, who also names the digest that was seen.

What was requested is decided at the desk (:mod:`gateway.admin.desk`). Times are aware UTC datetimes. No value here holds personal data.
"""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from gateway.approvals.kinds import Kind
from gateway.errors import GatewayError


class NotFound(GatewayError):
    """There is no such message, delivery, request or party."""


class State(enum.StrEnum):
    """The status words: the same in code, CLI, API, console and metrics."""

    RECEIVED = "received"
    QUEUED = "queued"
    SENDING = "sending"
    AWAITING_REPLY = "awaiting-reply"
    BACKING_OFF = "backing-off"
    WAITING_BEHIND = "waiting-behind"
    WAITING_FOR = "waiting-for"
    HELD = "held"
    UNKNOWN = "unknown"
    DELIVERED = "delivered"
    REJECTED = "rejected"
    SKIPPED = "skipped"
    EXPIRED = "expired"

    @property
    def final(self) -> bool:
        return self in (State.DELIVERED, State.REJECTED, State.SKIPPED, State.EXPIRED)


class Hold(enum.StrEnum):
    """Why a resident's key is held."""

    REJECTED = "rejected"
    UNKNOWN = "unknown"
    BUDGET = "budget"
    CRASHES = "crashes"
    APPROVAL = "approval"


class Command(enum.StrEnum):
    """What an operator can ask for a delivery; :class:`~gateway.approvals.kinds.Kind` has everything that can be asked for."""

    RETRY = "retry"
    CORRECT = "correct"
    SKIP = "skip"
    SETTLE = "settle"
    RELEASE = "release"
    BY_HAND = "by-hand"


class RequestStatus(enum.StrEnum):
    """Where a request is."""

    WAITING = "waiting"
    APPROVED = "approved"
    """Permitted, once; to be carried out."""
    DONE = "done"
    REFUSED = "refused"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the author of a command had before their eyes (R13)."""

    state: State
    digest: bytes
    """The delivery's content digest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusView:
    """The gateway at a glance."""

    instance: str
    version: str
    started_at: dt.datetime
    now: dt.datetime
    """The ledger's clock."""
    broker: str
    """``up``, ``down`` or ``blocked``."""
    unfinished: int
    """Deliveries that are not final."""
    held_keys: int
    unknown: int
    oldest_unfinished_at: dt.datetime | None
    accepted_last_hour: int
    delivered_last_hour: int
    requests_waiting: int
    workers: int
    """Live worker processes."""
    quarantined: int
    """Refused at a door and kept, in all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartyView:
    """One outside party."""

    party: str
    adapter: str
    breaker: str
    """``closed``, ``open`` or ``probing``."""
    breaker_code: str | None
    probe_at: dt.datetime | None
    paused_by: str | None
    paused_at: dt.datetime | None
    manual: bool
    """Its work is done by hand meanwhile."""
    unfinished: int
    held_keys: int
    last_delivered_at: dt.datetime | None
    certificate_ends_at: dt.datetime | None
    """End of our own certificate for this party."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueView:
    """One lane of one party."""

    party: str
    lane: str
    """``live`` or ``bulk``."""
    depth: int
    """Deliveries that are not final."""
    sending: int
    backing_off: int
    waiting: int
    """Behind another of the same resident, or for a predecessor."""
    held_keys: int
    bells: int | None
    """Ready in the broker's work queue; None while the broker does not answer."""
    oldest_at: dt.datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingRequest:
    """That somebody asked for something, and a second person has yet to decide."""

    request_id: str
    command: Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryView:
    """One delivery: where it is, why, and what a command must name."""

    delivery_id: str
    message_id: str
    party: str
    lane: str
    number: int
    """Place within its resident's order in this stream."""
    state: State
    reason: str | None
    """Stable code of why it is there."""
    hold: Hold | None
    digest: bytes
    attempts: int
    spent: int
    """Of the retry budget."""
    budget: int
    bears_update_number: bool
    """Its type bears a number that the party counts (更新順番号): it is replaced by the register, never skipped (R4)."""
    behind: int
    """How many deliveries of the same resident wait behind it."""
    blocked_by: str | None
    """The delivery that it waits behind or for."""
    next_at: dt.datetime | None
    """When something happens next by itself; None: nothing will."""
    party_down: bool
    """The breaker of its party is open, or it is paused."""
    accepted_at: dt.datetime
    updated_at: dt.datetime
    final_at: dt.datetime | None
    outcome_code: str | None
    allowed: tuple[Command, ...] = ()
    """Commands that would be taken now."""
    waiting: tuple[WaitingRequest, ...] = ()
    """Requests about it that wait for a second person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineEntry:
    """One thing that happened, from the audit entries."""

    at: dt.datetime
    kind: str
    actor: str
    delivery_id: str | None = None
    detail: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageView:
    """One message with all its deliveries and everything that happened to it."""

    message_id: str
    source_id: str
    system: str
    type: str
    door: str
    accepted_at: dt.datetime
    corrects: str | None
    operator: str | None
    terminal: str | None
    deliveries: tuple[DeliveryView, ...]
    timeline: tuple[TimelineEntry, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestView:
    """A request on record: who asked for what, having seen what, and who decided."""

    request_id: str
    command: Kind
    delivery_id: str | None
    subject: str | None
    """What it is about, where that is no delivery: a kept refusal, a set of bulk deliveries, an operator, a policy."""
    party: str | None
    status: RequestStatus
    seen_state: str
    seen_digest: bytes
    reason: str
    took_effect: bool | None
    """Settle: what the party said."""
    argument: Mapping[str, Any] | None
    """Of other kinds: what exactly is asked for."""
    content_digest: bytes | None
    """Correct: of the new content."""
    requested_by: str
    requested_at: dt.datetime
    expires_at: dt.datetime
    decided_by: str | None = None
    decided_at: dt.datetime | None = None
    used_at: dt.datetime | None = None
    """When what was approved for later was carried out."""
    outcome: str | None = None

    @property
    def approval_digest(self) -> bytes:
        """The digest that an approval must name: of the new content of a correction, else of the delivery's content."""
        return self.content_digest if self.content_digest is not None else self.seen_digest


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldPage:
    """Some of the held deliveries, longest held first; ``next_after`` continues, None: that was all."""

    items: tuple[DeliveryView, ...]
    next_after: str | None = None


class AdminService(Protocol):
    """The gateway behind the API. ``actor`` is the name of the operator's certificate: the person on record.

    All methods may raise :class:`NotFound`, and :class:`~gateway.errors.Unavailable` when ledger or broker cannot serve now.
    """

    async def status(self) -> StatusView:
        """The gateway at a glance."""
        ...

    async def parties(self) -> Sequence[PartyView]:
        """All configured parties."""
        ...

    async def queues(self) -> Sequence[QueueView]:
        """All lanes of all parties."""
        ...

    async def held(self, *, parties: Collection[str] | None, limit: int, after: str | None) -> HeldPage:
        """Deliveries that hold their resident's key, to any of ``parties`` (None: to all)."""
        ...

    async def message(self, reference: str) -> MessageView:
        """By the gateway's message id, a delivery id, or the sender's id of the message (``ce-id``).

        :raises NotFound: none, or ``ambiguous``: two senders used that id.
        """
        ...

    async def retry(self, actor: str, delivery_id: str, seen: Seen, reason: str) -> RequestView:
        """Send it again as soon as possible; takes effect at once.

        :raises CommandRefused: what was seen is no longer so, or R13 forbids it.
        """
        ...

    async def correct(self, actor: str, delivery_id: str, seen: Seen, reason: str, content: bytes) -> RequestView:
        """Ask for its content to be replaced by ``content`` (XML of the same type).

        :raises CommandRefused: as for retry.
        :raises InputRefused: the new content is not valid.
        """
        ...

    async def skip(self, actor: str, delivery_id: str, seen: Seen, reason: str) -> RequestView:
        """Ask for it to be passed over.

        :raises CommandRefused: as for retry; ``skip-forbidden``: the type bears a number that the party counts (R4).
        """
        ...

    async def settle(self, actor: str, delivery_id: str, seen: Seen, reason: str, took_effect: bool) -> RequestView:
        """Ask for an unknown outcome to be settled by the party's word, which ``reason`` quotes.

        :raises CommandRefused: as for retry.
        """
        ...

    async def release(self, actor: str, delivery_id: str, seen: Seen, reason: str) -> RequestView:
        """Ask for a delivery to leave that is held until two persons have approved.

        :raises CommandRefused: as for retry.
        """
        ...

    async def by_hand(self, actor: str, delivery_id: str, seen: Seen, reason: str) -> RequestView:
        """Ask for a delivery to count as delivered, since it was done by hand at the party's terminal.

        :raises CommandRefused: as for retry; ``party-automatic``.
        """
        ...

    async def manual(self, actor: str, party: str, reason: str) -> PartyView:
        """The party's work is done by hand from now on: nothing is sent, what waits may be marked as done."""
        ...

    async def automatic(self, actor: str, party: str, reason: str) -> PartyView:
        """Send again what was not done by hand.

        :raises CommandRefused: ``party-not-manual``.
        """
        ...

    async def pause(self, actor: str, party: str, reason: str) -> PartyView:
        """Start no more calls to the party; what is accepted waits."""
        ...

    async def resume(self, actor: str, party: str, reason: str) -> PartyView:
        """Take the pause back."""
        ...
