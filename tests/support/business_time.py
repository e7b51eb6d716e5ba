"""Business time of a town that does not depend on the hour at which its test is run."""

from __future__ import annotations

import datetime as dt
import time
from typing import Final

from gateway.ledger.clock import set_business_offset
from gateway.ledger.engine import open_engine
from gateway.ledger.migrate import migrate
from gateway.retention.calendar import JST, BusinessCalendar
from simulators.harness.town import Town
from tests.support.data import read_yaml

WORKING_HOURS: Final = dt.time(10, 10)
"""Far from midnight, and from the moments at which parties are fetched from (*:05 and the early morning) with their grace."""


def next_working_day(now: float, at: dt.time = WORKING_HOURS) -> float:
    """Seconds from ``now`` to the next such time of a business day in Japan."""
    here, calendar = dt.datetime.fromtimestamp(now, JST), BusinessCalendar()
    moment = dt.datetime.combine(here.date(), at, JST)
    while moment < here or not calendar.is_business_day(moment.date()):
        moment += dt.timedelta(days=1)
    return moment.timestamp() - now


def begin_on_a_working_day(town: Town) -> None:
    """Make the ledger of a town of the test profile, before it is started, so that its business time begins then. Blocks."""
    town.set_up()
    engine = open_engine(read_yaml(town.config.read_text(encoding="utf-8"))["ledger"]["url"])
    try:
        migrate(engine, profile="test")
        session = engine.session()
        try:
            session.begin()
            set_business_offset(session.connection, next_working_day(time.time()))
            session.commit()
        finally:
            session.close()
    finally:
        engine.close_here()
