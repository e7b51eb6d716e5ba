"""What the policy no longer permits is not sent: claims are given back, and their deliveries end, in one transaction (FS1-8a, I7).

A delivery whose earlier attempts have no answer is held as unknown: it may have taken effect when it was permitted, and is not sent again.
One of a type that bears a number which the party counts (更新順番号) is held too: it is never just skipped (R4). Every other one ends as
skipped, and the resident's next message has its turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.delivery import commands, machine
from gateway.delivery.rows import Hold, State
from gateway.delivery.steps import hold
from gateway.ledger.bells import Bell, bell_of
from gateway.ledger.claims import Claimed, give_up_probe
from gateway.ledger.unit import POLICY_REFUSED, Unit
from message_formats import catalogue


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedClaim:
    """A claim, and why what it would send may not go."""

    claim: Claimed
    code: str
    rule: str
    version: int
    """Of the policy."""


@dataclass(slots=True, kw_only=True)
class RefuseClaims:
    """End deliveries that the policy refuses; nothing of them was sent under these claims. Result: the bells."""

    worker: str
    refused: Sequence[RefusedClaim]
    bulk: bool = False
    size: int = 1
    bells: list[Bell] = field(default_factory=list)

    def plan(self, unit: Unit) -> None:
        self.bells = []
        for each in self.refused:
            unit.want_keys.add(each.claim.key_id)
            unit.want_final.add(each.claim.delivery_id)

    def apply(self, unit: Unit) -> None:
        for each in self.refused:
            key = unit.keys[each.claim.key_id]
            head = unit.head(key)
            if not machine.mine(key, head, self.worker, each.claim.epoch, each.claim.delivery_id):
                continue
            assert head is not None
            machine.take_back(key, head, unit.now)
            give_up_probe(unit, key.party, self.worker)
            if head.state is State.UNKNOWN:
                hold(key, head, Hold.UNKNOWN, POLICY_REFUSED)
                unit.note_provision(head.id, "unknown", each.code, each.rule)
            elif catalogue.get(each.claim.message_type).bears_update_number:
                hold(key, head, Hold.REJECTED, POLICY_REFUSED)
                unit.note_provision(head.id, "refused", each.code, each.rule)
            else:
                commands.skip(key, head, POLICY_REFUSED, unit.now)
                unit.note_provision(head.id, "refused", each.code, each.rule)
                self.bells.extend(bell_of(woken, unit.now) for woken in unit.wake_dependents(head))
            unit.touch(key, head)
            unit.audit("refused", self.worker, delivery=head, code=each.code, rule=each.rule, policy=each.version, at="delivery")
            if key.due_at is not None and key.due_at <= unit.now:
                self.bells.append(bell_of(key, unit.now))

    def finish(self, unit: Unit) -> tuple[Bell, ...]:
        return tuple(self.bells)
