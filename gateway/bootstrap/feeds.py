"""The part of :mod:`gateway.bootstrap` that watches feeds and links, from the configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.errors import ConfigurationError
from gateway.feeds.judging import Expected
from gateway.feeds.schedule import Schedule
from gateway.feeds.watcher import Alert, Watcher
from gateway.inbound.prepare import FETCHED
from gateway.intake.admit import Intake
from gateway.intake.cloudevents import of_party
from gateway.intake.submission import Submission
from gateway.ledger.anomalies import Known
from gateway.retention.calendar import BusinessCalendar
from message_formats import writing

if TYPE_CHECKING:
    from gateway.bootstrap.base import Base
    from gateway.config import Config

OURSELVES = "integration-gateway"
OPERATORS = "gateway-operators"
ALERT = "link-anomaly-alert"
_STATES = {"late": "delayed", "lag": "delayed", "missing": "stopped", "empty": "stopped", "without-status": "delayed"}
_LONGEST_S = 999_999_999


def expected_feeds(config: Config, calendar: BusinessCalendar) -> list[Expected]:
    """The feeds of the configuration; every party that is fetched from is one also where none is named for it.

    :raises ConfigurationError: a feed that is fetched names a party from which nothing is.
    """
    found = []
    for name, feed in config.feeds.items():
        at = feed.at
        if feed.type is None:
            party = config.parties.get(feed.party)
            if party is None or party.fetch is None:
                raise ConfigurationError("feed-not-fetched", f"feeds.{name}: nothing is fetched from {feed.party}; give type")
            at = at or party.fetch.at
        assert at is not None  # the model insists
        schedule = Schedule.parse(at, calendar if feed.days == "business" else None)
        empty = feed.empty == "allowed"
        found.append(Expected(name=name, party=feed.party, type=feed.type, schedule=schedule, grace_s=feed.grace_s, empty_allowed=empty))
    named = {feed.party for feed in config.feeds.values() if feed.type is None}
    for name, party in config.parties.items():
        if party.fetch is not None and name not in named:
            schedule = Schedule.parse(party.fetch.at)
            grace_s = min(3600.0, schedule.every_s / 2)
            found.append(Expected(name=name, party=name, type=None, schedule=schedule, grace_s=grace_s, empty_allowed=True))
    return found


def watcher_of(config: Config, common: Base, intake: Intake, calendar: BusinessCalendar) -> Watcher:
    """What watches feeds and links.

    :raises ConfigurationError: a feed cannot be watched as configured.
    """
    links = config.links
    return Watcher(
        ledger=common.ledger,
        registration=lambda: common.liveness.id,
        feeds=expected_feeds(config, calendar),
        lags={name: links.parties.get(name, links.lag_s) for name in config.parties},
        look_s=links.look_s,
        alert=_alert_by(intake) if OPERATORS in config.parties else None,
    )


def _alert_by(intake: Intake) -> Alert:
    async def alert(known: Known, now: float) -> None:
        """A message of our own, which goes the way of every other (FM-1)."""
        pending = min(_LONGEST_S, max(0, int(now - known.since)))
        items = {"link": known.link[:64], "state": _STATES.get(known.kind, "stopped"), "oldest_pending": str(pending)}
        attributes = of_party(id=f"{known.id}-{known.kind}-{known.cause}", party=OURSELVES, type=ALERT)
        data = writing.write(ALERT, items).to_bytes()
        await intake.admit_one(Submission(system=OURSELVES, door=FETCHED, attributes=attributes, data=data))

    return alert
