"""The verdict: what the register sent and was told, held against what a party did. Pure.

Nothing of the gateway is asked. The register's record says what was submitted, what was accepted (the receipt), what was replaced, and
what the gateway last said of a message if the register asked; the party's journal says what took effect, what was refused and what was
recognised as a duplicate. Both name a resident by the same keyed reference.

* **lost** (I1): accepted, no effect, and nobody is waiting for it: the gateway says that it is through with it or does not know it, or a
  later message of the same resident took effect, or it never came to the party and time was not up.
* **stuck**: accepted and not final when time was up: held, refused and never replaced, or not carried out in time.
* **duplicate effect** (I2): one (resident, 依頼管理番号), or one (resident, 更新順番号), applied more than once; each one too many counts.
* **order violation** (I3): an effect of a resident that comes after the effect of a message which was accepted later.
* **foreign effect**: an effect of something that the register never submitted, was told is refused, or had replaced.
* **unaccepted**: submitted, without a receipt at the end. Not wrong by itself, but the run is not complete.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

FINAL_WITHOUT_EFFECT = frozenset({"rejected", "skipped", "expired"})
"""Final states in which a message rightly has no effect (architecture section 5)."""
NOT_WAITING = frozenset({"delivered", "not-found"})
"""What the gateway says of a message on which it does nothing more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One conviction, with what is needed to find it in record and journal."""

    charge: str
    resident: str
    request: str
    update: int | None
    seq: int | None
    """Line of the party's journal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The counts of one run."""

    submitted: int
    accepted: int
    refused: int
    replaced: int
    unaccepted: int
    effects: int
    lost: int
    duplicate_effects: int
    order_violations: int
    stuck: int
    foreign_effects: int
    examples: tuple[Example, ...] = field(default=())

    @property
    def ok(self) -> bool:
        """Nothing lost, doubled, reordered, stuck or invented."""
        return not (self.lost or self.duplicate_effects or self.order_violations or self.stuck or self.foreign_effects)

    @property
    def complete(self) -> bool:
        """All that was submitted has its receipt."""
        return self.unaccepted == 0

    def shown(self) -> dict[str, Any]:
        """As JSON."""
        return {"ok": self.ok, "complete": self.complete, **asdict(self)}


@dataclass(slots=True, kw_only=True)
class _Message:
    """What the register's record says of one message."""

    id: str
    resident: str
    request: str
    update: int | None
    corrects: str | None
    order: int
    accepted_at: datetime | None = None
    refused: bool = False
    said: str | None = None
    replaced: bool = False
    effects: int = 0
    refused_at_party: bool = False


EXAMPLES = 20


class _Court:
    """Collects the charges of one run."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = defaultdict(int)
        self.examples: list[Example] = []

    def convict(self, charge: str, resident: str, request: str, update: int | None, seq: int | None = None) -> None:
        self.counts[charge] += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(Example(charge=charge, resident=resident, request=request, update=update, seq=seq))


def judge(record: Iterable[Mapping[str, Any]], journal: Iterable[Mapping[str, Any]], *, time_up: bool = False) -> Verdict:
    """Judge a run.

    :param record: entries of the register's record (:mod:`simulators.register.record`), in order.
    :param journal: entries of the party's journal, in order.
    :param time_up: the harness stopped waiting; what is not through by then and is not proven lost is stuck.
    """
    messages = _messages(record)
    by_request = {(message.resident, message.request): message for message in messages.values()}
    court = _Court()
    effects = _weigh_journal(journal, by_request, court)
    _weigh_messages(messages.values(), court, time_up=time_up)
    accepted = sum(message.accepted_at is not None for message in messages.values())
    refused = sum(message.refused and message.accepted_at is None for message in messages.values())
    return Verdict(
        submitted=len(messages),
        accepted=accepted,
        refused=refused,
        replaced=sum(message.replaced for message in messages.values()),
        unaccepted=len(messages) - accepted - refused,
        effects=effects,
        lost=court.counts["lost"],
        duplicate_effects=court.counts["duplicate-effect"],
        order_violations=court.counts["order-violation"],
        stuck=court.counts["stuck"],
        foreign_effects=court.counts["foreign-effect"],
        examples=tuple(court.examples),
    )


def _messages(record: Iterable[Mapping[str, Any]]) -> dict[str, _Message]:
    messages: dict[str, _Message] = {}
    for entry in record:
        kind, message_id = entry["kind"], entry.get("id")
        if kind == "message" and message_id not in messages:
            messages[entry["id"]] = _Message(
                id=entry["id"],
                resident=entry["resident"],
                request=entry["request"],
                update=entry.get("update"),
                corrects=entry.get("corrects"),
                order=len(messages),
            )
        elif message_id in messages and kind == "receipt":
            _note_receipt(messages[message_id], entry)
        elif message_id in messages and kind == "status":
            messages[message_id].said = entry["state"]
    for message in messages.values():
        original = messages.get(message.corrects or "")
        if original is not None and message.accepted_at is not None:
            original.replaced = True
    return messages


def _note_receipt(message: _Message, entry: Mapping[str, Any]) -> None:
    if entry["status"] == "accepted":
        message.accepted_at = message.accepted_at or datetime.fromisoformat(entry["accepted_at"])
    else:
        message.refused = True


Place = tuple[datetime, int]
"""When accepted, in the gateway's own words; then (same instant) in the order of submission."""

_NEVER = datetime.max.replace(tzinfo=UTC)


def _place(message: _Message, messages: Mapping[str, _Message]) -> Place:
    """The place of a message in the order of acceptance; a replacement has the place of what it replaces."""
    seen: set[str] = set()
    while message.corrects is not None and message.corrects in messages and message.id not in seen:
        seen.add(message.id)
        message = messages[message.corrects]
    return (message.accepted_at or _NEVER, message.order)


def _weigh_journal(journal: Iterable[Mapping[str, Any]], by_request: Mapping[tuple[str, str], _Message], court: _Court) -> int:
    messages = {message.id: message for message in by_request.values()}
    applied_requests: set[tuple[str, str]] = set()
    applied_updates: set[tuple[str, int]] = set()
    furthest: dict[str, Place] = {}
    effects = 0
    for entry in journal:
        message = by_request.get((entry.get("resident") or "", entry.get("request") or ""))
        if entry["kind"] == "refused" and message is not None:
            message.refused_at_party = True
        if entry["kind"] != "effect":
            continue
        effects += 1
        resident, request, update = entry["resident"], entry["request"], entry.get("update")
        charge = (resident, request, update, entry.get("seq"))
        again = (resident, request) in applied_requests or (update is not None and (resident, update) in applied_updates)
        applied_requests.add((resident, request))
        if update is not None:
            applied_updates.add((resident, update))
        if message is None or message.update != update or (message.refused and message.accepted_at is None):
            court.convict("foreign-effect", *charge)
        if message is not None:
            message.effects += 1
            message.refused_at_party = False
            if message.replaced:
                court.convict("foreign-effect", *charge)
        if again:
            court.convict("duplicate-effect", *charge)
        elif message is not None and message.accepted_at is not None:
            place = _place(message, messages)
            if place < furthest.get(resident, place):
                court.convict("order-violation", *charge)
            else:
                furthest[resident] = place
    return effects


def _weigh_messages(messages: Iterable[_Message], court: _Court, *, time_up: bool) -> None:
    everything = {message.id: message for message in messages}
    last_done: dict[str, Place] = {}
    for message in everything.values():
        if message.effects and message.accepted_at is not None:
            place = _place(message, everything)
            last_done[message.resident] = max(last_done.get(message.resident, place), place)
    for message in everything.values():
        if message.accepted_at is None or message.effects or message.replaced or message.said in FINAL_WITHOUT_EFFECT:
            continue
        place = _place(message, everything)
        passed_over = place < last_done.get(message.resident, place)
        waits = message.refused_at_party or (message.said is not None and message.said not in NOT_WAITING) or time_up
        charge = "lost" if message.said in NOT_WAITING or passed_over or not waits else "stuck"
        court.convict(charge, message.resident, message.request, message.update)
