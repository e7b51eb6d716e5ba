"""Claims: take key rows for a worker, and mark their heads `sending`, in one commit before the first byte leaves (R5-R9)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from gateway.delivery import breaker, machine
from gateway.delivery.machine import Claim
from gateway.delivery.rows import DeliveryRow, KeyRow, PartyTraits
from gateway.ledger.bells import Bell, bell_of
from gateway.ledger.unit import Unit
from gateway.policy.marks import Flags
from gateway.policy.ways import way_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """One claim that a worker holds: what to send, or to ask about."""

    key_id: str
    epoch: int
    delivery_id: str
    message_id: str
    message_type: str
    party: str
    party_key: str | None
    attempt: int
    resent: bool
    call_cap: int | None
    payload_id: str
    query: bool
    sealed: bytes = field(repr=False)
    wrapped: bytes = field(repr=False)
    kek_id: str
    system: str = ""
    """Whose message it is in the sense of the policy: who handed it in, or in whose place it is sent."""
    consumer: str = ""
    """Whose it is in the end; empty: the party's."""
    way: str | None = None
    municipality: str | None = None
    work: str | None = None
    basis: str | None = None
    standing: str = ""
    """The policy that counts for this claim (I7)."""
    marks: Flags = frozenset()
    """Of the resident."""
    booted_at: float
    """Boot time when the claiming transaction began: its call starts within two seconds of this, or not at all (R5)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimResult:
    """What the claiming transaction gave to the worker."""

    claimed: tuple[Claimed, ...]
    bells: tuple[Bell, ...]
    breaker_open: bool
    """Nothing was claimed because the party's breaker is open or the party is paused."""


def claim_key(unit: Unit, key: KeyRow, worker: str, traits: PartyTraits, bells: list[Bell]) -> Claimed | None:
    """Claim one loaded key row for ``worker``; goes on past heads that become final without a call."""
    for _ in range(8):
        head = unit.head(key)
        passed = head is not None and head.state.final  # expired in its place, on record since then (R23)
        decision = machine.claim(key, head, worker, void=unit.is_void(key.claim_worker), facts=unit.facts(head), traits=traits)
        if decision is Claim.NOTHING:
            return None
        assert head is not None
        key.rings = 0  # somebody came: from here on the look-up counts anew how long it waits for a bell (R15)
        unit.touch(key, head)
        if decision in (Claim.SEND, Claim.QUERY):
            unit.want_payloads.add(head.payload_id)
            return _claimed(unit, key, head, query=decision is Claim.QUERY)
        if passed:
            continue
        if head.state.final:
            bells.extend(bell_of(woken, unit.now) for woken in unit.wake_dependents(head))
            unit.audit("final-without-call", worker, delivery=head, state=head.state.value, reason=head.reason or head.outcome_code or "")
        elif decision is Claim.HELD:
            unit.audit("held", worker, delivery=head, why=key.held.value if key.held else "", reason=head.reason or "")
        if decision is not Claim.FINISHED:
            return None
    bells.append(bell_of(key, unit.now))
    return None


def _claimed(unit: Unit, key: KeyRow, head: DeliveryRow, *, query: bool) -> Claimed:
    return Claimed(
        key_id=key.id, epoch=key.claim_epoch, delivery_id=head.id, message_id=head.message_id, message_type="", party=head.party,
        party_key=head.party_key, attempt=head.attempts, resent=head.unanswered, call_cap=head.call_cap, payload_id=head.payload_id,
        query=query, way=head.way, sealed=b"", wrapped=b"", kek_id="", booted_at=unit.booted_at, standing=unit.standing,
        marks=unit.flags(key.subject),
    )  # fmt: skip


def with_payload(unit: Unit, claimed: Claimed) -> Claimed:
    """The claim with what was read in its transaction: sealed body and wrapped data key."""
    sealed, wrapped, kek_id, message_type, system, work, basis, municipality = unit.payload(claimed.payload_id)
    way = way_of(claimed.way, message_type, system, claimed.party)
    return replace(
        claimed, sealed=sealed, wrapped=wrapped, kek_id=kek_id, message_type=way.message_type, system=way.producer, consumer=way.consumer,
        work=work, basis=basis, municipality=municipality,
    )  # fmt: skip


@dataclass(slots=True, kw_only=True)
class ClaimKeys:
    """Claim the heads of several key rows of one party, together (a batch, or one for each free call)."""

    worker: str
    party: str
    keys: Sequence[str]
    traits: PartyTraits
    probe: bool = False
    """The breaker is open: claim one key to see whether the party is back (R12)."""
    bulk: bool = False
    size: int = 1
    claimed: list[Claimed] = field(default_factory=list)
    bells: list[Bell] = field(default_factory=list)
    breaker_open: bool = False

    def plan(self, unit: Unit) -> None:
        self.claimed, self.bells, self.breaker_open = [], [], False
        unit.want_keys.update(self.keys)

    def apply(self, unit: Unit) -> None:
        row = unit.party(self.party)
        if not breaker.may_claim(row, unit.now):
            if not self.probe:
                self.breaker_open = True
                return
            row = unit.party(self.party, lock=True)
            if not breaker.may_probe(row, unit.now, prober_alive=not unit.is_void(row.probe_worker), traits=self.traits):
                self.breaker_open = not breaker.may_claim(row, unit.now)
                return
        subjects: set[str] = set()
        for key_id in self.keys:
            key = unit.keys.get(key_id)
            if key is None or key.party != self.party:
                continue
            if key.subject in subjects:
                # a call holds a subject once (section 5): this stream's turn comes with its next bell
                if key.due_at is not None and key.claim_worker is None:
                    self.bells.append(bell_of(key, unit.now))
                    unit.touch(key)
                continue
            claimed = claim_key(unit, key, self.worker, self.traits, self.bells)
            if claimed is not None:
                self.claimed.append(claimed)
                subjects.add(key.subject)
                if self.probe and row.breaker != "closed":
                    breaker.start_probe(row, self.worker, unit.now, self.traits)
                    unit.touch(party=row)
                    break

    def finish(self, unit: Unit) -> ClaimResult:
        return ClaimResult(
            claimed=tuple(with_payload(unit, c) for c in self.claimed), bells=tuple(self.bells), breaker_open=self.breaker_open
        )


@dataclass(slots=True, kw_only=True)
class TakeBack:
    """R5: these claims were not used, because it was too late to start a call; nothing was sent."""

    worker: str
    claims: Sequence[Claimed]
    bulk: bool = False
    size: int = 1
    bells: list[Bell] = field(default_factory=list)

    def plan(self, unit: Unit) -> None:
        self.bells = []
        unit.want_keys.update(c.key_id for c in self.claims)

    def apply(self, unit: Unit) -> None:
        for claim in self.claims:
            key = unit.keys[claim.key_id]
            head = unit.head(key)
            if not machine.mine(key, head, self.worker, claim.epoch, claim.delivery_id):
                continue
            assert head is not None
            if claim.query:
                key.claim_worker = None
                key.due_at = unit.now
            else:
                machine.take_back(key, head, unit.now)
            unit.touch(key, head)
            give_up_probe(unit, key.party, self.worker)
            self.bells.append(bell_of(key, unit.now))

    def finish(self, unit: Unit) -> tuple[Bell, ...]:
        return tuple(self.bells)


def give_up_probe(unit: Unit, party: str, worker: str) -> None:
    """If this claim was the probe of an open breaker, the next one need not wait until the probe would have timed out (R12)."""
    row = unit.party(party)
    if row.breaker == "probing" and row.probe_worker == worker:
        row = unit.party(party, lock=True)
        if breaker.give_up_probe(row, worker, unit.now):
            unit.touch(party=row)


Traits = Mapping[str, PartyTraits]
"""What is known of each party, by its spec id."""
