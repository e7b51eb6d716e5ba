"""Puts refused peers on record: one entry for a peer, a minute and a reason, with the number (R22)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.ledger.unit import Unit
from gateway.security.refusals import Refusal


@dataclass(slots=True, kw_only=True)
class RecordRefusals:
    """An operation of the writer."""

    refusals: Sequence[Refusal]
    bulk: bool = True
    size: int = 1

    def plan(self, unit: Unit) -> None:
        """Nothing is needed."""

    def apply(self, unit: Unit) -> None:
        for each in self.refusals:
            unit.audit(
                "peer-refused",
                each.who or "unknown",
                direction=each.direction,
                place=each.place,
                address=each.address,
                code=each.code,
                count=each.count,
                minute=dt.datetime.fromtimestamp(each.minute, dt.UTC).isoformat(timespec="seconds"),
                certificates=each.fingerprints,
            )

    def finish(self, unit: Unit) -> None:
        return None
