"""The breaker of a party: pure. One row per party for all processes, one probe at a time (R12).

Closed: everything is claimed. Open: nothing is claimed and the party's work queues are not consumed, until ``probe_at``; then one claim
is the probe. Its answer closes the breaker, or opens it again for longer. A probe whose worker died may be taken by another.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.contract import Outcome, PartyDown, Unknown
from gateway.delivery.rows import PartyTraits


@dataclass(slots=True, kw_only=True)
class PartyRow:
    """The state of a party as a whole."""

    party: str
    breaker: str = "closed"
    failures: int = 0
    opened_at: float | None = None
    probe_at: float | None = None
    probe_worker: str | None = None
    code: str | None = None
    answered_at: float | None = None
    paused_by: str | None = None
    paused_at: float | None = None
    manual: bool = False
    """Its work is done by hand meanwhile: paused, and what waits may be marked as done."""


def may_claim(row: PartyRow, now: float) -> bool:
    """Deliveries may be claimed without being the probe."""
    return row.breaker == "closed" and row.paused_by is None


def may_probe(row: PartyRow, now: float, *, prober_alive: bool, traits: PartyTraits) -> bool:
    """One claim may be made to see whether the party is back."""
    if row.paused_by is not None or row.breaker == "closed":
        return False
    waited = row.probe_at is None or row.probe_at <= now or row.probe_at > now + traits.horizon_s
    if row.breaker == "probing":
        return not prober_alive or waited
    return waited


def start_probe(row: PartyRow, worker: str, now: float, traits: PartyTraits) -> None:
    """``worker`` probes; ``probe_at`` is now the time at which another may, should this one say nothing."""
    row.breaker = "probing"
    row.probe_worker = worker
    row.probe_at = now + traits.open_s


FAILURES = (PartyDown, Unknown)
"""Outcomes in which the party as a whole may be at fault."""


def would_note(row: PartyRow, answer: Outcome, now: float) -> bool:
    """:func:`note` would change the row: a look without the lock, as on the main way nothing changes."""
    if isinstance(answer, FAILURES):
        return row.breaker != "open"
    return row.breaker != "closed" or row.failures > 0 or row.answered_at is None or not 0 <= now - row.answered_at < 1.0


def note(row: PartyRow, answer: Outcome, now: float, traits: PartyTraits) -> bool:
    """Take an outcome into account; ``True`` if the row changed and must be written.

    Any answer from the party closes; an answer that did not come, or a party that says that it is down, counts as a failure.
    """
    if not isinstance(answer, FAILURES):
        if row.breaker == "closed" and row.failures == 0:
            if row.answered_at is not None and 0 <= now - row.answered_at < 1.0:
                return False
            row.answered_at = now
            return True
        row.breaker, row.failures, row.opened_at, row.probe_at, row.probe_worker, row.code = "closed", 0, None, None, None, None
        row.answered_at = now
        return True
    if row.breaker == "open":
        return False  # a straggler of the calls that opened it: must not lengthen the wait
    row.failures += 1
    row.code = answer.code
    if row.breaker != "closed" or row.failures >= traits.breaker_failures:
        if row.breaker == "closed":
            row.opened_at = now
        row.breaker = "open"
        row.probe_worker = None
        tries = max(row.failures - traits.breaker_failures, 0)
        wait = min(traits.probe_longest_s, traits.probe_first_s * 2.0 ** min(tries, 20))
        after = answer.after_s if isinstance(answer, PartyDown) and answer.after_s is not None else 0.0
        row.probe_at = now + max(wait, min(after, traits.retry.longest_s))
    return True


def give_up_probe(row: PartyRow, worker: str, now: float) -> bool:
    """The probe found nothing to send: let another claim be the probe at once."""
    if row.breaker != "probing" or row.probe_worker != worker:
        return False
    row.breaker, row.probe_worker, row.probe_at = "open", None, now
    return True
