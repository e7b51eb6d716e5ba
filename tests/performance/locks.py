"""How long transactions of the ledger hold the lock that all processes share (R21), from the metrics of each process."""

from __future__ import annotations

import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from certs.tls import client_context

_LOCK, _OPERATIONS = "renkei_ledger_lock_seconds", "renkei_ledger_group_operations"
_BUCKET, _SUM = f"{_LOCK}_bucket", f"{_OPERATIONS}_sum"


@dataclass(frozen=True, slots=True, kw_only=True)
class Transactions:
    """Of one process, so far."""

    shorter: Mapping[float, float]
    """How many held the lock at most so long, by seconds."""
    operations: float

    @classmethod
    def of(cls, port: int, certificates: Path) -> Transactions:
        """From its page of metrics on loopback, with the certificate of the monitoring system."""
        own, authority = certificates / "monitor", certificates / "ca"
        context = client_context(
            own.with_suffix(".pem"), own.with_suffix(".key"), authority.with_suffix(".pem"), authority.with_suffix(".crl")
        )
        context.check_hostname = False
        with urllib.request.urlopen(f"https://127.0.0.1:{port}/metrics", timeout=10, context=context) as page:
            samples = [each for family in text_string_to_metric_families(page.read().decode()) for each in family.samples]
        return cls(
            shorter={float(each.labels["le"]): each.value for each in samples if each.name == _BUCKET},
            operations=sum(each.value for each in samples if each.name == _SUM),
        )

    def since(self, before: Transactions) -> Transactions:
        """Those after ``before``."""
        shorter = {limit: count - before.shorter[limit] for limit, count in self.shorter.items()}
        return Transactions(shorter=shorter, operations=self.operations - before.operations)

    @property
    def count(self) -> float:
        """All of them."""
        return self.shorter[float("inf")]

    def longer_than(self, seconds: float) -> float:
        """The share of those that held the lock longer; ``seconds`` is one of the limits that are counted."""
        return 1 - self.shorter[seconds] / self.count

    def within(self, share: float) -> float:
        """Seconds within which ``share`` of them let the lock go, as Prometheus reckons it: evenly between two limits."""
        wanted, low, below = share * self.count, 0.0, 0.0
        for limit, count in sorted(self.shorter.items()):
            if count >= wanted:
                return low if limit == float("inf") else low + (limit - low) * (wanted - below) / max(count - below, 1e-9)
            low, below = limit, count
        return low
