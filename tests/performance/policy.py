"""What a decision of the policy costs: made anew, taken from what was decided before, and the filter for what goes whole and in part."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

from gateway.policy.decision import Request, decide
from gateway.policy.items import Plan, every
from gateway.policy.loading import with_sample_approvals
from gateway.policy.rights import Rights
from message_formats import samples


def median_us(function: Callable[[], object], times: int = 4000) -> float:
    """Median of single calls, in microseconds."""
    taken = []
    for _ in range(times):
        started = time.perf_counter_ns()
        function()
        taken.append(time.perf_counter_ns() - started)
    return statistics.median(taken) / 1000


def measure() -> dict[str, float]:
    """Medians in microseconds."""
    policy = with_sample_approvals()
    rights = Rights(policy)
    day = rights.standing.on
    row: dict[str, Any] = {"message_type": "resident-info-transfer", "producer": "internal-link-system", "consumer": "business-systems"}
    main: dict[str, Any] = {"message_type": "identity-information-update", "producer": "resident-record-system", "consumer": "city-cs"}
    last = Request(**row, on=day, work="ordinance-6")
    update, transfer = samples.message("identity-information-update", 1), samples.message("resident-info-transfer", 1)
    whole = Plan("identity-information-update", every("identity-information-update"))
    (permission,) = policy.by_work["transfer-2"]
    part = Plan("resident-info-transfer", permission.items)
    return {
        "decision, main way": median_us(lambda: decide(policy, Request(**main, on=day))),
        "decision, last of 44 works": median_us(lambda: decide(policy, last)),
        "decision as the door takes it": median_us(lambda: rights.standing.grant(*main.values())),
        "filter, nothing taken out": median_us(lambda: whole.apply(update)),
        "written out, without a filter": median_us(update.to_bytes),
        "filter, items taken out": median_us(lambda: part.apply(transfer)),
    }
