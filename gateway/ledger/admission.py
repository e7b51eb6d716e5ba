"""Admission: a checked, sealed message becomes rows of the ledger, once (I1, I2, R2, R3, R16, R17).

All admissions of a group share their statements (:class:`AdmissionWork`): subjects by alias, the same message submitted before, the
party's keys, key rows, then message, deliveries with their numbers, sealed payloads and audit entries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gateway.errors import LedgerUnavailable
from gateway.ledger.admitting import AdmissionWork
from gateway.ledger.bells import Bell
from gateway.ledger.prepared import Admission, IntakeEpochLost, PreparedMessage
from gateway.ledger.unit import StaleKey, Unit
from gateway.policy.rights import StalePolicy


@dataclass(slots=True, kw_only=True)
class Admit:
    """Admit messages in this order. One transaction: all of them, or none (a refusal of one is its own result)."""

    messages: Sequence[PreparedMessage]
    intake: tuple[str, str, int] | None = None
    """(system, worker, epoch) of the consumer of an intake queue."""
    bulk: bool = False
    size: int = 1
    results: list[Admission] = field(default_factory=list)
    bells: list[Bell] = field(default_factory=list)
    epoch_lost: bool = False
    stale: bool = False
    outdated: StalePolicy | None = None

    def plan(self, unit: Unit) -> None:
        self.results, self.bells, self.epoch_lost, self.stale = [], [], False, False
        self.outdated = None
        if unit.admissions is None:
            unit.admissions = AdmissionWork()
        unit.admissions.operations.append(self)
        if self.intake is not None:
            unit.want_epochs.add(self.intake[0])

    def apply(self, unit: Unit) -> None:
        if self.intake is not None and not unit.holds_epoch(self.intake):
            self.epoch_lost = True
            return
        if self.stale or self.outdated is not None:
            return
        for message in self.messages:
            self.results.append(unit.admissions.admit(unit, message, self.bells))

    def finish(self, unit: Unit) -> Any:
        if self.epoch_lost:
            assert self.intake is not None
            return IntakeEpochLost(self.intake[0])
        return self.unfit or (self.results, self.bells)

    @property
    def unfit(self) -> LedgerUnavailable | None:
        """Made by a policy, marks or keys that count no longer: it is made anew. None: it is not."""
        return self.outdated or (StaleKey() if self.stale else None)

    def fit(self, generation: str | None) -> None:
        """Identify everybody in the generation of blind indexes that counts; a message that does not bring it is stale."""
        if generation is None or all(m.hmac_key_id == generation for m in self.messages):
            return
        self.stale = any(generation not in (m.hmac_key_id, m.former_hmac_key_id) for m in self.messages)
        self.messages = [
            m
            if m.hmac_key_id == generation
            else replace(m, identifiers=m.former_identifiers, hmac_key_id=generation, former_identifiers=(), former_hmac_key_id=None)
            for m in self.messages
        ]
