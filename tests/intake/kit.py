"""What the tests of intake share: fictitious messages, a policy for test systems, a ledger in memory with the ledger's own rules of intake.

The memory ledger stands in where the rule under test is the door's; the real ledger is used where it is the ledger's.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.errors import InputRefused
from gateway.intake.admit import Intake
from gateway.intake.cloudevents import EventAttributes
from gateway.intake.prepare import Preparer
from gateway.intake.pressure import Pressure, PressureLimits
from gateway.intake.submission import Sender, Submission
from gateway.ledger.housekeeping import Quarantine
from gateway.ledger.prepared import Admission, IntakeEpochLost, PreparedMessage, Refusal
from gateway.ledger.receipts import accepted
from gateway.policy.routes import PolicyTables, build, tables
from gateway.security.blind import BlindIndex, ContentMac
from gateway.security.keys import KeyStore
from gateway.security.sealing import Sealer
from message_formats import samples, writing
from tests.support.policy import rights_for

REGISTER = "resident-record-system"
TYPE = "identity-information-update"
NAMESPACE = "urn:renkei:format:identity-information-update:1"
OTHER = "certificate-issuance-system"


def xml(serial: int = 1, **changes: str | None) -> bytes:
    """A valid, fictitious identity-information-update."""
    return writing.write(TYPE, samples.identity_items(serial, **changes)).to_bytes()


def attributes(**changes: Any) -> EventAttributes:
    values: dict[str, Any] = {"id": str(uuid.uuid4()), "source": f"urn:renkei:system:{REGISTER}", "type": TYPE, **changes}
    return EventAttributes(**values)


def refusal(call: Callable[[], object]) -> InputRefused | None:
    """What a call refuses with, or None; any other exception goes on."""
    try:
        call()
    except InputRefused as e:
        return e
    return None


def headers(source_id: str | None = None, **changes: str | None) -> dict[str, str]:
    """Headers of the HTTPS door; a change to None leaves one out."""
    values: dict[str, str | None] = {
        "ce-specversion": "1.0",
        "ce-id": source_id or str(uuid.uuid4()),
        "ce-source": f"urn:renkei:system:{REGISTER}",
        "ce-type": TYPE,
        "Content-Type": "application/xml",
        **{name.replace("_", "-"): value for name, value in changes.items()},
    }
    return {name: value for name, value in values.items() if value is not None}


def submission(data: bytes, *, system: str = REGISTER, door: str = "https", **changes: Any) -> Submission:
    return Submission(system=system, door=door, attributes=attributes(**changes), data=data)


def policy_for(*systems: str) -> PolicyTables:
    """The packaged tables, in which test systems with fictitious names may send what the register may: each broker test has its own."""
    packaged = tables()
    register = [{"from": system, "to": "city-cs"} for system in systems]
    return build(
        {
            "systems": {"in-house": [*packaged.in_house], "outside": [*packaged.outside, *systems]},
            "ephemeral": [*packaged.ephemeral],
            "connections": {
                TYPE: [{"from": REGISTER, "to": "city-cs"}, *register],
                "destination-information": [{"from": REGISTER, "to": "city-cs"}, *register],
            },
        },
        {"routes": {TYPE: [{"party": "city-cs", "stream": "identity", "lane": "live"}]}},
    )


def senders(*extra: Sender) -> dict[str, Sender]:
    known = {TYPE, "destination-information", "identity-update-result"}
    default = (
        Sender(system=REGISTER, peer=REGISTER, types=frozenset(known)),
        Sender(system=OTHER, peer=OTHER, types=frozenset(known)),
    )
    return {each.system: each for each in (*default, *extra)}


def preparer(keys: KeyStore, **changes: Any) -> Preparer:
    values: dict[str, Any] = {
        "senders": senders(),
        "parties": frozenset({"city-cs"}),
        "policy": tables(),
        "sealer": Sealer(keys),
        "blind": BlindIndex.following(keys),
        "mac": ContentMac.following(keys),
        "message_bytes": 65_536,
        **changes,
    }
    values.setdefault("rights", rights_for(values["policy"]))
    return Preparer(**values)


@dataclass
class MemoryLedger:
    """Admits by the rules of R16 and R17, in memory; ``before`` may fail, or stop, an admission."""

    accepted: dict[tuple[str, str], tuple[bytes, bytes]] = field(default_factory=dict)
    messages: list[PreparedMessage] = field(default_factory=list)
    kept: list[Quarantine] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)
    epochs: dict[str, tuple[str, int]] = field(default_factory=dict)
    backlog: int = 0
    before: Callable[[], Any] | None = None
    now: float = 1_793_664_000.0

    async def admit(
        self, messages: Sequence[PreparedMessage], *, intake: tuple[str, str, int] | None = None, bulk: bool = False
    ) -> list[Admission]:
        if self.before is not None and (waiting := self.before()) is not None:
            await waiting
        await asyncio.sleep(0)
        if intake is not None and self.epochs.get(intake[0]) != intake[1:]:
            raise IntakeEpochLost(intake[0])
        self.batches.append(len(messages))
        return [self._one(message) for message in messages]

    def _one(self, m: PreparedMessage) -> Admission:
        seen = self.accepted.get((m.system, m.source_id))
        if seen is not None:
            if seen[0] != m.content_mac:
                refusal = Refusal(code="same-id-other-content", detail="this id was accepted with other content", rule="R17")
                return Admission(message_id=m.message_id, receipt=b"", refusal=refusal)
            return Admission(message_id=m.message_id, receipt=seen[1], duplicate=True)
        self.now += 0.001
        receipt = accepted(message_id=m.message_id, source_id=m.source_id, system=m.system, message_type=m.type, at=self.now)
        self.accepted[m.system, m.source_id] = (m.content_mac, receipt)
        self.messages.append(m)
        return Admission(message_id=m.message_id, receipt=receipt)

    async def quarantine(self, operation: Quarantine) -> str:
        if self.before is not None and (waiting := self.before()) is not None:
            await waiting
        if operation.intake is not None and self.epochs.get(operation.intake[0]) != operation.intake[1:]:
            raise IntakeEpochLost(operation.intake[0])
        self.kept.append(operation)
        return operation.quarantine_id

    async def claim_intake(self, system: str, worker: str) -> int:
        epoch = self.epochs.get(system, ("", 0))[1] + 1
        self.epochs[system] = (worker, epoch)
        return epoch

    async def status(self, system: str, source_id: str) -> Mapping[str, Any] | None:
        return {"id": source_id, "deliveries": []} if (system, source_id) in self.accepted else None

    async def count(self) -> int:
        return self.backlog

    @property
    def order(self) -> list[str]:
        """Ids in the order of admission."""
        return [m.source_id for m in self.messages]


@dataclass
class House:
    """Intake with everything around it."""

    keys: KeyStore
    ledger: MemoryLedger
    intake: Intake
    pressure: Pressure
    free: int = 1 << 40


def house(directory: Path, **changes: Any) -> House:
    keys = KeyStore(directory / "keys").ensure()
    ledger = MemoryLedger()
    made: list[House] = []
    limits = PressureLimits(backlog=1000, disk_reserve_bytes=1 << 20, interval_s=0.02)
    pressure = Pressure(limits, disks=[directory], backlog=ledger.count, free=lambda _: made[0].free)
    intake = Intake(preparer=preparer(keys, **changes), ledger=ledger)
    made.append(House(keys=keys, ledger=ledger, intake=intake, pressure=pressure))
    return made[0]
