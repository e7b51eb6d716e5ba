"""Is a feed or a link abnormal at this moment, and why? Pure: facts in, an anomaly or none out.

Times: business time, seconds since 1970 UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway.feeds.schedule import Schedule

LATE, MISSING, EMPTY, LAG, UNRECONCILED = "late", "missing", "empty", "lag", "without-status"
KINDS: Final = (LATE, MISSING, EMPTY, LAG, UNRECONCILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """One feed of the configuration."""

    name: str
    party: str
    type: str | None
    schedule: Schedule
    grace_s: float
    empty_allowed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """The last time that it came. ``records``: of what was fetched; ``problem``: why a later attempt failed."""

    at: float | None
    records: int | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Under:
    """What is under way to a party."""

    oldest: float
    """When the oldest delivery that is not finished was accepted."""
    held: int = 0
    paused: bool = False
    breaker: str = "closed"
    code: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Anomaly:
    """Something that a person must know of. No personal data: names of the configuration, codes, times."""

    link: str
    kind: str
    cause: str
    since: float


def of_feed(feed: Expected, arrival: Arrival, now: float, watched_since: float) -> Anomaly | None:
    """A moment of its calendar is past its grace and nothing came since (late; missing, once the next moment is past as well), or what
    came was empty and may not be."""
    due = feed.schedule.latest(now - feed.grace_s)
    if due < watched_since:
        return None
    if arrival.at is None or arrival.at < due:
        before = feed.schedule.latest(due - 1)
        nothing = before >= watched_since and (arrival.at is None or arrival.at < before)
        return Anomaly(link=feed.name, kind=MISSING if nothing else LATE, cause=arrival.problem or "did-not-come", since=due)
    if arrival.records == 0 and not feed.empty_allowed:
        return Anomaly(link=feed.name, kind=EMPTY, cause="nothing-in-it", since=arrival.at)
    return None


def of_link(party: str, under: Under | None, now: float, lag_s: float) -> Anomaly | None:
    """Something has been under way to the party for too long."""
    if under is None or now - under.oldest <= lag_s:
        return None
    if under.paused:
        cause = "paused"
    elif under.breaker != "closed":
        cause = under.code or "party-down"
    else:
        cause = "held" if under.held else "slow"
    return Anomaly(link=party, kind=LAG, cause=cause, since=under.oldest)
