"""The business clock of a test ledger (R21)."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.errors import CommandRefused
from gateway.ledger.clock import set_business_offset
from gateway.ledger.unit import Unit


@dataclass(slots=True, kw_only=True)
class ShiftBusinessClock:
    """Business time of a test ledger goes on by ``offset_s`` from real time (R21), on record; a ledger of production refuses."""

    offset_s: float
    actor: str
    bulk: bool = False
    size: int = 1
    refused: CommandRefused | None = None

    def plan(self, unit: Unit) -> None:
        self.refused = None

    def apply(self, unit: Unit) -> None:
        try:
            set_business_offset(unit.conn, self.offset_s)
            unit.audit("business-clock-shifted", self.actor, offset_s=self.offset_s)
        except CommandRefused as refused:
            self.refused = refused
            unit.audit("command-refused", self.actor, command="shift-business-clock", code=refused.code)

    def finish(self, unit: Unit) -> CommandRefused | None:
        return self.refused
