"""Counts of the door for ``/metrics``. Labels are names of ours only: systems of the configuration, doors, codes (I5)."""

from __future__ import annotations

import functools

from prometheus_client import Counter

_MESSAGES = Counter("renkei_intake_messages", "Messages at the door by what became of them", ["system", "door", "outcome"])
_REFUSALS = Counter("renkei_intake_refusals", "Refusals at the door by code", ["system", "door", "code"])
_RETRIES = Counter("renkei_intake_retries", "Passing failures that intake by queue waited for", ["system", "code"])
_STARTS = Counter("renkei_intake_activations", "Times that a consumer of this process became the active one", ["system"])


@functools.lru_cache(maxsize=256)
def _child(metric: Counter, *labels: str) -> Counter:
    return metric.labels(*labels)


def accepted(system: str, door: str, *, duplicate: bool) -> None:
    _child(_MESSAGES, system, door, "duplicate" if duplicate else "accepted").inc()


def refused(system: str, door: str, code: str) -> None:
    _child(_MESSAGES, system, door, "refused").inc()
    _child(_REFUSALS, system, door, code).inc()


def retried(system: str, code: str) -> None:
    _child(_RETRIES, system, code).inc()


def activated(system: str) -> None:
    _child(_STARTS, system).inc()
