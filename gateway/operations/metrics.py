"""What the gateway counts, for Prometheus. A registry of its own, nothing global; labels are names of the configuration and stable codes.

Two kinds of numbers: what this process saw (counters and histograms, cheap enough for every message), and what the ledger holds (gauges:
open deliveries, held keys, breakers), which is the same for all processes, read in one query when somebody scrapes and at most every
``FACTS_S`` seconds. Methods belong to any thread.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from sqlalchemy import Connection, Select, func, select

from gateway.contract import Outcome, QueryAnswer
from gateway.delivery.rows import LIVENESS_S
from gateway.errors import GatewayError
from gateway.ledger.acquisition_state import open_and_overdue
from gateway.ledger.clock import BusinessClock, business_clock, ledger_time
from gateway.ledger.groups import GroupRecord
from gateway.ledger.operating import said
from gateway.ledger.tables import delivery, key_row, party_state, quarantine, worker

FACTS_S: Final = 5.0
_MILLISECONDS: Final = (0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.25, 0.5, 1.0, 2.0, 5.0)
_LOCKED: Final = tuple(sorted({*_MILLISECONDS, 0.01}))
"""With the limit of R21."""
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_SIZES: Final = (1, 2, 5, 10, 20, 50, 100, 150, 200, 400)
OPERATING: Final = ("RUNNING", "LIMITED", "STOPPED", "MAINTENANCE")
_BREAKER: Final = ("closed", "open", "probing")


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerFacts:
    """What the ledger held at a moment of its time."""

    at: float
    open: dict[tuple[str, str], int]
    """Unfinished deliveries by party and stored state."""
    held: dict[tuple[str, str], int]
    """Held keys by party and reason."""
    oldest_due: dict[str, float]
    """By party: since when the key that waits longest has been due (ledger time)."""
    breakers: dict[str, str]
    paused: frozenset[str]
    quarantined: dict[str, int]
    """By sending system."""
    processes: dict[str, int]
    """Live ones by role."""
    clock: BusinessClock
    operating: dict[str, str]
    """What parties say of their own operation."""
    acquisitions: tuple[int, int]
    """Code acquisitions: open, overdue."""


def read_facts(connection: Connection) -> LedgerFacts:
    """The numbers, each from an index that holds only what is unfinished."""
    now = ledger_time(connection)
    unfinished = select(delivery.c.party, delivery.c.state, func.count()).where(delivery.c.final_at.is_(None))
    held = select(key_row.c.party, key_row.c.held, func.count()).where(key_row.c.held.is_not(None))
    due = select(key_row.c.party, func.min(key_row.c.due_at)).where(key_row.c.due_at.is_not(None), key_row.c.held.is_(None))
    parties = connection.execute(select(party_state.c.party, party_state.c.breaker, party_state.c.paused_by)).all()
    alive = select(worker.c.role, func.count()).where(worker.c.ended_at.is_(None), worker.c.renewed_at > now - LIVENESS_S)
    return LedgerFacts(
        at=now,
        open={(p, s): n for p, s, n in connection.execute(unfinished.group_by(delivery.c.party, delivery.c.state))},
        held={(p, r): n for p, r, n in connection.execute(held.group_by(key_row.c.party, key_row.c.held))},
        oldest_due={party: at for party, at in connection.execute(due.group_by(key_row.c.party)) if at <= now},
        breakers={row.party: row.breaker for row in parties},
        paused=frozenset(row.party for row in parties if row.paused_by is not None),
        quarantined=_counts(connection, select(quarantine.c.system, func.count()).group_by(quarantine.c.system)),
        processes=_counts(connection, alive.group_by(worker.c.role)),
        clock=business_clock(connection),
        operating={party: each.status for party, each in said(connection).items()},
        acquisitions=open_and_overdue(connection),
    )


def _counts(connection: Connection, query: Select[Any]) -> dict[str, int]:
    return {str(row[0]): int(row[1]) for row in connection.execute(query)}


class FactsReader:
    """Reads the facts when asked, and remembers them for a while; who asks meanwhile waits for the same query."""

    def __init__(
        self, read: Callable[[Callable[[Connection], LedgerFacts]], Awaitable[LedgerFacts]], *, max_age_s: float = FACTS_S
    ) -> None:
        """``read`` is :meth:`gateway.ledger.engine.LedgerEngine.read`."""
        self._read = read
        self._max_age_s = max_age_s
        self._lock = asyncio.Lock()
        self._read_at = float("-inf")
        self.latest: LedgerFacts | None = None

    async def facts(self) -> LedgerFacts:
        """Facts that are at most ``max_age_s`` old. Raises LedgerUnavailable."""
        async with self._lock:
            if self.latest is None or time.monotonic() - self._read_at > self._max_age_s:
                self.latest = None  # old numbers would hide that the ledger cannot be read
                self.latest = await self._read(read_facts)
                self._read_at = time.monotonic()
            return self.latest


class Metrics:
    """All metrics of one process."""

    def __init__(self, *, facts: FactsReader | None = None) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self._facts = facts
        make: dict[str, Any] = {"registry": self.registry}
        self._intake = Counter("renkei_intake_messages", "Messages at the doors.", ["system", "door", "result"], **make)
        self._intake_s = Histogram(
            "renkei_intake_seconds", "From a message's arrival to its answer.", ["door"], buckets=_MILLISECONDS, **make
        )
        self._intake_waits = Counter(
            "renkei_intake_waits", "Passing failures for which intake by queue stood still.", ["system", "code"], **make
        )
        self._intake_active = Counter(
            "renkei_intake_activations",
            "Times that this process became the active consumer of an intake queue.",
            ["system"],
            **make,
        )
        self._outcomes = Counter(
            "renkei_delivery_outcomes", "Outcomes of calls and queries, one for each record.", ["party", "outcome"], **make
        )
        self._call_s = Histogram("renkei_delivery_call_seconds", "How long the call of a record took.", ["party"], buckets=_SECONDS, **make)
        self._unsent = Counter("renkei_delivery_unsent", "Claims taken back because it was too late to start a call.", ["party"], **make)
        self._late = Counter("renkei_delivery_late_outcomes", "Outcomes whose claim was lost meanwhile.", ["party"], **make)
        self._groups = Counter("renkei_ledger_groups", "Transactions of the ledger's writer.", ["result"], **make)
        self._operations = Histogram("renkei_ledger_group_operations", "Operations in a transaction.", buckets=_SIZES, **make)
        self._lock_s = Histogram("renkei_ledger_lock_seconds", "How long a transaction held its locks.", buckets=_LOCKED, **make)
        self._commit_s = Histogram("renkei_ledger_commit_seconds", "How long COMMIT took.", buckets=_MILLISECONDS, **make)
        self._wait_s = Histogram("renkei_ledger_wait_seconds", "How long the writer waited for the lock.", buckets=_MILLISECONDS, **make)
        self._refused = Counter(
            "renkei_peer_refusals", "Peers refused, in (at our listeners) and out (parties).", ["direction", "place", "code"], **make
        )
        self._gauges = _Gauges(facts)
        self.registry.register(self._gauges)
        ProcessCollector(registry=self.registry)

    def intake(self, system: str, door: str, result: str, seconds: float) -> None:
        """One message at a door; ``result`` is ``accepted``, ``duplicate`` or the stable code of a refusal."""
        self._intake.labels(system, door, result).inc()
        self._intake_s.labels(door).observe(seconds)

    def intake_waits(self, system: str, code: str) -> None:
        """Intake by queue stands still for a passing reason (R16, R19)."""
        self._intake_waits.labels(system, code).inc()

    def intake_active(self, system: str) -> None:
        """A consumer of this process has become the active one of that system's queue (R16)."""
        self._intake_active.labels(system).inc()

    def outcome(self, party: str, answer: Outcome | QueryAnswer, seconds: float) -> None:
        """One record's outcome; how long its call took, in seconds."""
        name = f"query-{answer.effect.value}" if isinstance(answer, QueryAnswer) else _kebab(type(answer).__name__)
        self._outcomes.labels(party, name).inc()
        self._call_s.labels(party).observe(seconds)

    def unsent(self, party: str, count: int) -> None:
        """Claims that were taken back because it was too late to start (R5)."""
        self._unsent.labels(party).inc(count)

    def late(self, party: str, count: int) -> None:
        """Outcomes whose claim was lost (R7)."""
        self._late.labels(party).inc(count)

    def peer_refused(self, direction: str, place: str, code: str) -> None:
        """A peer was refused, in its handshake or at a request (I6)."""
        self._refused.labels(direction, place, code).inc()

    def group(self, record: GroupRecord) -> None:
        """A transaction of the writer: its ``on_group``."""
        self._groups.labels("committed" if record.committed else "rolled-back").inc()
        self._operations.observe(record.operations)
        self._lock_s.observe(record.lock_s)
        self._commit_s.observe(record.commit_s)
        self._wait_s.observe(record.wait_s)

    def watch(self, name: str, description: str, read: Callable[[], Iterable[tuple[dict[str, str], float]]]) -> None:
        """A gauge that is read when somebody scrapes: ``read`` gives labels and value of each series, and must be quick."""
        self._gauges.watched.append((name, description, read))

    def watch_bells(self, rung: Callable[[], int], failed: Callable[[], int]) -> None:
        """How many bells the broker confirmed, and how many it did not take (R15), both since the start."""
        self._gauges.bells = (rung, failed)

    def watch_connection(self, connection: str, *, connected: Callable[[], bool], blocked: Callable[[], bool]) -> None:
        """Whether a broker connection is up, and whether the broker has stopped reading from it."""
        self._gauges.connections[connection] = (connected, blocked)

    def watch_certificate(self, name: str, not_after: Callable[[], float | None]) -> None:
        """When a certificate expires (seconds since 1970 UTC); None: it cannot be read, and the series is left out."""
        self._gauges.certificates[name] = not_after

    async def render(self) -> bytes:
        """Everything in Prometheus' text format. Without the ledger its gauges are missing and ``renkei_ledger_up`` is 0."""
        if self._facts is not None:
            try:
                await self._facts.facts()
            except GatewayError:
                self._gauges.ledger_up = False
            else:
                self._gauges.ledger_up = True
        return generate_latest(self.registry)


class _Gauges(Collector):
    def __init__(self, facts: FactsReader | None) -> None:
        self._facts = facts
        self.ledger_up = False
        self.connections: dict[str, tuple[Callable[[], bool], Callable[[], bool]]] = {}
        self.bells: tuple[Callable[[], int], Callable[[], int]] | None = None
        self.certificates: dict[str, Callable[[], float | None]] = {}
        self.watched: list[tuple[str, str, Callable[[], Iterable[tuple[dict[str, str], float]]]]] = []

    def collect(self) -> Iterator[Metric]:
        connected = ((("connection", n), c()) for n, (c, _) in self.connections.items())
        blocked = ((("connection", n), b()) for n, (_, b) in self.connections.items())
        expiry = ((("certificate", n), end) for n, at in self.certificates.items() if (end := at()) is not None)
        yield _gauge("renkei_broker_connected", "1 while this connection to the broker is up.", connected)
        yield _gauge("renkei_broker_blocked", "1 while the broker reads nothing from this connection.", blocked)
        yield _gauge("renkei_certificate_expiry_timestamp_seconds", "When the certificate expires.", expiry)
        if self.bells is not None:
            bells = CounterMetricFamily("renkei_bells", "Bells rung, and bells that the broker did not take.", labels=["result"])
            for result, read_count in zip(("rung", "failed"), self.bells, strict=True):
                bells.add_metric([result], read_count())
            yield bells
        for name, description, read in self.watched:
            family: GaugeMetricFamily | None = None
            for labels, value in read():
                family = family or GaugeMetricFamily(name, description, labels=list(labels))
                family.add_metric(list(labels.values()), value)
            if family is not None:
                yield family
        if self._facts is not None:
            yield GaugeMetricFamily("renkei_ledger_up", "1 if the ledger could be read.", value=float(self.ledger_up))
            if self._facts.latest is not None:
                yield from _ledger_gauges(self._facts.latest)


def _ledger_gauges(facts: LedgerFacts) -> Iterator[GaugeMetricFamily]:
    family = GaugeMetricFamily("renkei_deliveries_open", "Unfinished deliveries.", labels=["party", "state"])
    for labels, count in sorted(facts.open.items()):
        family.add_metric(labels, count)
    yield family
    family = GaugeMetricFamily("renkei_keys_held", "Residents whose messages wait for a person.", labels=["party", "reason"])
    for labels, count in sorted(facts.held.items()):
        family.add_metric(labels, count)
    yield family
    family = GaugeMetricFamily("renkei_breaker", "1 for the state that the party's breaker is in.", labels=["party", "state"])
    for party, state in sorted(facts.breakers.items()):
        for each in _BREAKER:
            family.add_metric([party, each], float(each == state))
    yield family
    waits = ((("party", p), max(0.0, facts.at - at)) for p, at in sorted(facts.oldest_due.items()))
    yield _gauge("renkei_oldest_due_seconds", "How long the key that waits longest has been due.", waits)
    paused = ((("party", p), p in facts.paused) for p in sorted(facts.breakers))
    yield _gauge("renkei_party_paused", "1 while operators have paused the party.", paused)
    refused = ((("system", s), n) for s, n in sorted(facts.quarantined.items()))
    yield _gauge("renkei_quarantined", "Refused messages that are kept for operators.", refused)
    yield _gauge("renkei_processes", "Processes that prove to be alive.", ((("role", r), n) for r, n in sorted(facts.processes.items())))
    family = GaugeMetricFamily("renkei_party_operating", "1 for what the party says of its own operation.", labels=["party", "status"])
    for party, status in sorted(facts.operating.items()):
        for each in OPERATING:
            family.add_metric([party, each], float(each == status))
    yield family
    still_open, overdue = facts.acquisitions
    counts = ((("state", "open"), still_open), (("state", "overdue"), overdue))
    yield _gauge("renkei_code_acquisitions", "Requests for codes that are not through yet.", counts)
    yield GaugeMetricFamily("renkei_business_clock_offset_seconds", "0 except in tests.", value=facts.clock.offset_s)


def _gauge(name: str, description: str, values: Iterable[tuple[tuple[str, str], float]]) -> GaugeMetricFamily:
    series = list(values)
    family = GaugeMetricFamily(name, description, labels=[series[0][0][0]] if series else ["name"])
    for (_, label), value in series:
        family.add_metric([label], float(value))
    return family


def _kebab(name: str) -> str:
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("-")
