"""The policy that counts now, in one process: decisions and filters made once for each version, day and request, and kept.

A message is decided by one :class:`Standing`: one version of the policy on one day. The ledger says which version counts, in the
transaction that admits or claims; what was decided by another is decided anew (:class:`StalePolicy`), so no message is decided by a
mixture of two. Reading the current version waits for the ledger; deciding waits for nothing.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from gateway.errors import InputRefused, LedgerUnavailable
from gateway.policy.decision import Permit, Refuse, Request, decide
from gateway.policy.explain import cite, sentence
from gateway.policy.items import Plan
from gateway.policy.loading import build, packaged
from gateway.policy.marks import DECEASED, NONE, PROTECTED, Flags
from gateway.policy.model import Policy

JAPAN = dt.timezone(dt.timedelta(hours=9), "JST")
_KEPT = 4096


def token(version: int, offset_s: float) -> str:
    """What a decision was made by: version of the policy, offset of the business clock (R21)."""
    return f"{version}:{offset_s!r}"


def day_of(ledger_time: float, offset_s: float) -> dt.date:
    """The day in Japan, by business time."""
    return dt.datetime.fromtimestamp(ledger_time + offset_s, JAPAN).date()


class PolicyRefused(InputRefused):
    """The policy refuses a message: recorded like a provision (I7)."""

    def __init__(self, refusal: Refuse, *, party: str, version: int) -> None:
        place = "attribute type"
        if refusal.code.startswith("work"):
            place = "attribute work"
        elif refusal.code.startswith("basis"):
            place = "attribute legalbasis"
        super().__init__(refusal.code, sentence(refusal), place=place, rule=refusal.rule)
        self.party = party
        self.version = version
        self.identifiers: tuple[tuple[str, bytes], ...] = ()


class StalePolicy(LedgerUnavailable):
    """What was handed to the ledger was decided by a version, a day or marks that count no longer: nothing was done, decide anew."""

    def __init__(self, marks: Mapping[str, Flags] | None = None) -> None:
        super().__init__("policy-stale", "the policy has changed meanwhile: the message is decided anew", retry_after_s=0.1)
        self.marks = dict(marks or {})
        """Of the residents whom the messages (by their ids) are about."""


@dataclass(frozen=True, slots=True)
class Terms:
    """On what terms something is handed over; what a provision record says besides who and when. ``id``: digest of ``text``."""

    id: str
    text: str


@dataclass(frozen=True, slots=True)
class Grant:
    """A permit with its filter."""

    permit: Permit
    plan: Plan
    version: int
    basis: str | None
    _terms: dict[tuple[str, ...], Terms] = field(default_factory=dict, repr=False)

    def terms(self, items: tuple[str, ...]) -> Terms:
        """The terms under which exactly these items go."""
        found = self._terms.get(items)
        if found is None:
            permission = self.permit.permission
            text = json.dumps(
                {
                    "permission": permission.id,
                    "work": self.permit.work,
                    "basis": [cite(a) for a in self.permit.basis],
                    "items": list(items),
                    "policy": self.version,
                },
                ensure_ascii=False, sort_keys=True, separators=(",", ":"),
            )  # fmt: skip
            found = Terms(hashlib.sha256(text.encode()).hexdigest()[:32], text)
            if len(self._terms) >= _KEPT:
                self._terms.clear()
            self._terms[items] = found
        return found


class Standing:
    """One version on one day. What it decided it keeps; callable from any thread."""

    __slots__ = ("_kept", "offset_s", "on", "policy", "token")

    def __init__(self, policy: Policy, on: dt.date, offset_s: float) -> None:
        self.policy = policy
        self.on = on
        self.offset_s = offset_s
        self.token = token(policy.version, offset_s)
        self._kept: dict[tuple[str, str, str, str | None, str | None, Flags, bool], Grant | Refuse] = {}

    def grant(
        self,
        message_type: str,
        producer: str,
        consumer: str,
        *,
        work: str | None = None,
        basis: str | None = None,
        marks: Flags = NONE,
        listed: bool = False,
    ) -> Grant:
        """The permit and its filter. ``listed``: the message names several persons, of whom one is meant.

        :raises PolicyRefused: it may not go.
        """
        key = (message_type, producer, consumer, work, basis, marks, listed)
        found = self._kept.get(key)
        if found is None:
            request = Request(
                message_type=message_type, producer=producer, consumer=consumer, on=self.on, work=work, basis=basis,
                protected=PROTECTED in marks, deceased=DECEASED in marks, listed=listed,
            )  # fmt: skip
            decision = decide(self.policy, request)
            if isinstance(decision, Permit):
                found = Grant(decision, Plan(message_type, decision.items), self.policy.version, basis)
            else:
                found = decision
            if len(self._kept) >= _KEPT:
                self._kept.clear()
            self._kept[key] = found
        if isinstance(found, Refuse):
            raise PolicyRefused(found, party=consumer, version=self.policy.version)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Active:
    """What the ledger says: the version that counts (0: the packaged one, without a document), and the business clock."""

    version: int = 0
    document: str | None = None
    offset_s: float = 0.0


class Rights:
    """Gives the standing that counts. One for each process."""

    def __init__(
        self, policy: Policy | None = None, *, load: Callable[[], Awaitable[Active]] | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self._load = load
        self._clock = clock
        self._lock = threading.Lock()
        self._standing = Standing(policy or packaged(), day_of(clock(), 0.0), 0.0)
        self._day_ends = self._end(0.0)

    @property
    def standing(self) -> Standing:
        """As far as this process knows; a new one when the day is over."""
        if self._clock() >= self._day_ends:
            with self._lock:
                self._put(self._standing.policy, self._standing.offset_s)
        return self._standing

    async def refresh(self) -> Standing:
        """What the ledger says now.

        :raises ConfigurationError: the active policy cannot be read by this program.
        :raises LedgerUnavailable: the ledger does not answer.
        """
        if self._load is None:
            return self.standing
        active = await self._load()
        known = self._standing
        if (active.version, active.offset_s) != (known.policy.version, known.offset_s):
            policy = known.policy
            if active.version != policy.version:
                policy = packaged() if active.document is None else build(json.loads(active.document), version=active.version)
            with self._lock:
                self._put(policy, active.offset_s)
        return self.standing

    def _put(self, policy: Policy, offset_s: float) -> None:
        self._standing = Standing(policy, day_of(self._clock(), offset_s), offset_s)
        self._day_ends = self._end(offset_s)

    def _end(self, offset_s: float) -> float:
        """When the day of business time ends, on the clock."""
        now = self._clock()
        business = dt.datetime.fromtimestamp(now + offset_s, JAPAN)
        midnight = (business + dt.timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
        return now + (midnight - business).total_seconds()
