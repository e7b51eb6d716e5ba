"""What is no longer to be sent expires (R23): found beside the writer, ended in small steps."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, select

from gateway.delivery import commands
from gateway.delivery.rows import UNPLACED, DeliveryRow, KeyRow, State
from gateway.ledger import tables as t
from gateway.ledger.bells import Bell, bell_of
from gateway.ledger.unit import Unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Late:
    """A delivery that was to be sent by now."""

    id: str
    message_id: str
    type: str
    key_id: str
    number: int
    may_expire: bool
    """False: it is being sent or its outcome is unknown (R23)."""


def expiry_due(conn: Connection, party: str, before: float | None, types: Collection[str] | None, after: str, limit: int) -> list[Late]:
    """Unfinished deliveries, accepted before ``before``, in the order of their ids, from behind ``after``; None: of any time, any type."""
    d, m = t.delivery.c, t.message.c
    query = (
        select(d.id, d.message_id, d.key_id, d.number, d.state, d.unanswered_since, m.type)
        .join(t.message, m.id == d.message_id)
        .where(d.party == party, d.final_at.is_(None), d.id > after)
    )
    if before is not None:
        query = query.where(d.accepted_at < before, d.number != UNPLACED)  # what waits for its day is not late
    if types is not None:
        query = query.where(m.type.in_(sorted(types)))
    rows = conn.execute(query.order_by(d.id).limit(limit))
    return [
        Late(
            id=r.id, message_id=r.message_id, type=r.type, key_id=r.key_id, number=r.number,
            may_expire=r.state == State.QUEUED.value and r.unanswered_since is None,
        )
        for r in rows
    ]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Expired:
    """What became of deliveries that were too late."""

    expired: tuple[str, ...]
    refused: tuple[str, ...]
    """Being sent, or of unknown outcome: they must not expire (R23)."""
    bells: tuple[Bell, ...]


@dataclass(slots=True, kw_only=True)
class ExpireStep:
    """Deliveries that are no longer to be sent. Result: :class:`Expired`."""

    late: Sequence[Late]
    rule: str
    actor: str
    bulk: bool = True
    size: int = 1
    expired: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    bells: list[Bell] = field(default_factory=list)

    def plan(self, unit: Unit) -> None:
        self.expired, self.refused, self.bells = [], [], []
        unit.want_keys.update(each.key_id for each in self.late)
        unit.want_final.update(each.id for each in self.late)

    def apply(self, unit: Unit) -> None:
        unit.load_deliveries(each.id for each in self.late)
        for each in sorted(self.late, key=lambda each: (each.key_id, each.number)):
            key, delivery = unit.keys.get(each.key_id), unit.deliveries.get(each.id)
            if key is None or delivery is None or delivery.state.final:
                continue
            if not expire(unit, key, delivery, self.rule):
                self.refused.append(delivery.id)
                continue
            self.expired.append(delivery.id)
            unit.touch(key, delivery)
            self.bells.extend(bell_of(woken, unit.now) for woken in unit.wake_dependents(delivery))
            unit.audit("expired", self.actor, delivery=delivery, rule=self.rule)
            if key.due_at is not None and key.claim_worker is None:
                self.bells.append(bell_of(key, unit.now))

    def finish(self, unit: Unit) -> Expired:
        return Expired(expired=tuple(self.expired), refused=tuple(self.refused), bells=tuple(self.bells))


def expire(unit: Unit, key: KeyRow, delivery: DeliveryRow, rule: str) -> bool:
    """Let it expire in its place, if nothing of it can be or become an effect (R13, R23)."""
    head = unit.head(key)
    if head is not None and head.id == delivery.id:
        if not commands.outcome_known(key, head, unit.now):
            return False
        commands.expire(key, head, rule, unit.now)
        return True
    if not commands.never_sent(delivery):
        return False
    commands.expire_in_place(delivery, rule, unit.now)
    return True
