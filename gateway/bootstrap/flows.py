"""Puts together what follows the business flows in a gateway process: the tracker, and the release on the day of effect."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from gateway.config import Config
from gateway.flows.days import DayKeeper
from gateway.flows.machine import Machine, Spans
from gateway.flows.model import carried, flows, seconds
from gateway.flows.tracker import Tracker, Tracking
from gateway.ids import new_id
from gateway.policy.routes import tables

if TYPE_CHECKING:
    from gateway.bootstrap.base import Base


async def open_flows(config: Config, common: Base, stack: contextlib.AsyncExitStack) -> Tracker:
    """Follow the flows, and release what waits for its day, until the stack is closed."""
    tracking = Tracking(settle_s=seconds(config.flows.settle), keep_s=config.flows.keep_days * 86_400.0)
    tracker = Tracker(common.ledger, machine_of(config), tracking, lambda: common.liveness.id)
    common.monitoring.watch_flows(tracker)
    await tracker.start()
    stack.push_async_callback(tracker.stop)
    days = DayKeeper(common.ledger)
    common.monitoring.checks["days"] = days.check
    await days.start()
    stack.push_async_callback(days.stop)
    return tracker


def machine_of(config: Config) -> Machine:
    """The declared flows, with the steps that this installation carries and its deadlines."""
    served = frozenset(config.parties) | {each.system for each in config.parties.values() if each.system is not None}
    spans = Spans(
        within_s=seconds(config.flows.within),
        settle_s=seconds(config.flows.settle),
        of={place: seconds(each) for place, each in config.flows.deadlines.items()},
    )
    return Machine(flows(), lambda flow: carried(flow, tables(), served), new_id, spans)
