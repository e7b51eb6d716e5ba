"""A small world around the delivery machine: workers, a party, an operator, time and bells, with every fault of the Spin model.

The world calls the machine exactly as the ledger does (claim, outcome, take back, commands under one lock) and keeps its own book of what
took effect at the party. Its checks are those of the model: S1 no effect twice, S2 order, S3 *delivered* means an effect under that id and
*skipped* means none, S5 an outage alone spends nothing, S6 no receipt lies beside a held unknown; at the end everything is final or held.
"""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, field

from gateway.contract import Delivered, Outcome, PartyDown, Receipt, Rejected, RejectedCall, RetryLater, Unknown
from gateway.delivery import commands, machine
from gateway.delivery.rows import LIVENESS_S, START_S, DeliveryRow, Hold, KeyRow, LateReceipt, PartyTraits, RetryPolicy, State

CALL_S = 20.0
SETTLE_S = 5.0
RETRY = RetryPolicy(first_s=1.0, longest_s=8.0, budget=3)
FAULTS = ("crash", "freeze", "thaw", "thaw", "lose", "down", "up", "up", "close", "bell-lost", "bell-twice", "op", "op", "stray")
"""What may happen to a worker, a party or a bell; what stands twice is as likely again."""
KINDS = {
    "A": PartyTraits(party="p", resend=True, memory_s=1e6, settle_s=SETTLE_S, call_s=CALL_S, retry=RETRY),
    "AR": PartyTraits(party="p", resend=False, settle_s=SETTLE_S, call_s=CALL_S, retry=RETRY),
    "B": PartyTraits(party="p", queries=True, settle_s=SETTLE_S, call_s=CALL_S, retry=RETRY),
    "C": PartyTraits(party="p", settle_s=SETTLE_S, call_s=CALL_S, retry=RETRY),
}


class Violation(AssertionError):
    """A property of the protocol does not hold."""


def must(ok: bool, what: str) -> None:
    if not ok:
        raise Violation(what)


@dataclass(slots=True)
class Task:
    """One claim in a worker's memory."""

    key: str
    epoch: int
    delivery: str
    party_key: str
    registration: str
    claimed_at: float
    phase: str  # write | wait | answered | query | queried
    answer: Outcome | None = None
    effect: bool | None = None


@dataclass(slots=True)
class Request:
    """A request on its way to the party; ``task`` is None when its caller is gone."""

    delivery: str
    party_key: str
    must_end_by: float
    task: Task | None


@dataclass(slots=True)
class Worker:
    registration: str
    renewed_at: float
    frozen: bool = False
    tasks: list[Task] = field(default_factory=list)


class World:
    """See the module's text. ``kind`` is the kind of party; ``keys`` how many key rows, the last of which may depend on the first."""

    def __init__(self, kind: str = "A", keys: int = 2, workers: int = 2, *, lookup: bool = True) -> None:
        self.kind = kind
        self.traits = KINDS[kind]
        self.lookup = lookup
        self.now = 1000.0
        self._ids = itertools.count()
        self.keys = {
            f"k{i}": KeyRow(id=f"k{i}", party="p", stream="s", subject=f"r{i}", next_number=1, head=1, lane="live") for i in range(keys)
        }
        self.deliveries: dict[str, DeliveryRow] = {}
        self.late: dict[str, LateReceipt] = {}
        self.learned: set[str] = set()
        self.workers = [Worker(self._fresh(), self.now) for _ in range(workers)]
        self.ended: set[str] = set()
        self.requests: list[Request] = []
        self.down = False
        self.answered_at: float | None = None
        self.breaker_open = False
        self.remembered: dict[str, str] = {}
        self.effects: list[tuple[str, int, str]] = []
        self.bells: list[str] = []
        self.outages_only = True
        self.steps = 0

    def _fresh(self) -> str:
        return f"{next(self._ids)}-{next(self._ids) * 7919 % 65536:04x}"

    # ---- what the ledger answers ------------------------------------------------------------------------------------------------

    def head(self, key: KeyRow) -> DeliveryRow | None:
        for d in self.deliveries.values():
            if d.key_id == key.id and d.number == key.head and d.replaced_by is None:
                return d
        return None

    def facts(self, head: DeliveryRow | None) -> machine.Facts:
        late = self.late.get(head.id) if head else None
        predecessor = self.deliveries[head.waits_for].state if head and head.waits_for else None
        return machine.Facts(now=self.now, late=late, predecessor=predecessor, party_answered_at=self.answered_at)

    def void(self, registration: str) -> bool:
        return registration in self.ended or all(
            w.registration != registration or self.now - w.renewed_at > LIVENESS_S for w in self.workers
        )

    def ring(self, key: KeyRow) -> None:
        self.bells.append(key.id)

    def after_change(self, key: KeyRow, before: int) -> None:
        """What the transaction does besides the key row itself: wake the keys that waited for what became final (R3)."""
        if key.head != before:
            self.wake_dependents(key, before)
        if key.due_at is not None and key.due_at <= self.now and key.claim_worker is None:
            self.ring(key)
        self.check_rest()

    def wake_dependents(self, key: KeyRow, number: int) -> None:
        final = [d.id for d in self.deliveries.values() if d.key_id == key.id and d.number == number]
        for d in self.deliveries.values():
            if d.waits_for in final and self.keys[d.key_id].held is None:
                self.keys[d.key_id].due_at = self.now
                self.ring(self.keys[d.key_id])

    def check_rest(self) -> None:
        for key in self.keys.values():
            head = self.head(key)
            if head and key.held in (Hold.UNKNOWN, Hold.CRASHES):
                must(head.id not in self.learned, "S6: a receipt lies beside a delivery that is held as unknown")
        for d in self.deliveries.values():
            took = [e for e in self.effects if e[2] == d.id]
            if d.state is State.DELIVERED:
                must(len(took) > 0, "S3: delivered without an effect under that id")
            if d.state in (State.SKIPPED, State.EXPIRED):
                must(not took, "S3: skipped what took effect")
            if self.outages_only:
                must(d.spent == 0, "S5: an outage spent the retry budget")

    # ---- admission ----------------------------------------------------------------------------------------------------------------

    def admit(self, key_id: str, waits_for: str | None = None) -> str:
        key = self.keys[key_id]
        d = DeliveryRow(
            id=self._fresh(), message_id="m", party="p", key_id=key_id, number=key.next_number, lane="live", state=State.QUEUED,
            party_key=self._fresh(), waits_for=waits_for, accepted_at=self.now, updated_at=self.now,
        )  # fmt: skip
        self.deliveries[d.id] = d
        key.next_number += 1
        if key.held is None and key.due_at is None:
            key.due_at = self.now
        if key.head == d.number:
            self.ring(key)
        return d.id

    # ---- workers -----------------------------------------------------------------------------------------------------------------

    def alive(self, worker: Worker) -> bool:
        return not worker.frozen and self.now - worker.renewed_at < LIVENESS_S

    def try_claim(self, worker: Worker, key_id: str) -> machine.Claim:
        """By the look-up, or for a bell."""
        if worker.frozen or self.breaker_open:
            return machine.Claim.NOTHING
        key = self.keys[key_id]
        head = self.head(key)
        void = key.claim_worker is not None and self.void(key.claim_worker)
        before = key.head
        got = self.do_claim(key, head, worker, void)
        if got in (machine.Claim.SEND, machine.Claim.QUERY):
            assert head is not None
            assert head.party_key is not None
            worker.tasks.append(
                Task(
                    key=key_id, epoch=key.claim_epoch, delivery=head.id, party_key=head.party_key, registration=worker.registration,
                    claimed_at=self.now, phase="write" if got is machine.Claim.SEND else "query",
                )
            )  # fmt: skip
        else:
            self.after_change(key, before)
        return got

    def do_claim(self, key: KeyRow, head: DeliveryRow | None, worker: Worker, void: bool) -> machine.Claim:
        return machine.claim(key, head, worker.registration, void=void, facts=self.facts(head), traits=self.traits)

    def take_bell(self, worker: Worker) -> None:
        if self.bells and not worker.frozen:
            self.try_claim(worker, self.bells.pop(0))

    def write(self, worker: Worker, task: Task) -> None:
        """The first byte, or back unsent when two seconds have passed (R5); one step, as a freeze in between is beyond repair."""
        if self.now - task.claimed_at > START_S or not self.alive(worker) or worker.registration != task.registration:
            worker.tasks.remove(task)
            key = self.keys[task.key]
            head = self.head(key)
            if machine.mine(key, head, task.registration, task.epoch, task.delivery):
                assert head is not None
                machine.take_back(key, head, self.now)
                self.after_change(key, key.head)
            return
        task.phase = "wait"
        end = task.claimed_at + START_S + CALL_S + SETTLE_S
        self.requests.append(Request(task.delivery, task.party_key, end, task))

    def party_takes(self, request: Request, pick: str) -> None:
        """The party works on a request; ``pick`` is what it does if it is free to choose: effect, reject, fail."""
        self.requests.remove(request)
        d = self.deliveries[request.delivery]
        answer = self._party(d, request, pick)
        if request.task is not None:
            request.task.answer = answer
            request.task.phase = "answered"
            if not isinstance(answer, PartyDown):
                self.answered_at = self.now

    def _party(self, d: DeliveryRow, request: Request, pick: str) -> Outcome:
        seen = self.remembered.get(request.party_key)
        if seen is not None and self.kind in ("A", "AR"):
            return Delivered(receipt=Receipt(code="duplicate", body=b""), duplicate=True)
        if self.down:
            return PartyDown(code="down")
        if pick in ("reject", "reject-call"):
            if self.kind == "AR":
                self.remembered[request.party_key] = "refused"
            self.outages_only = False
            return Rejected(code="E") if pick == "reject" else RejectedCall(code="E")
        if pick == "fail":
            self.outages_only = False
            return RetryLater(code="busy")
        must(all(e[:2] != (d.key_id, d.number) for e in self.effects), "S1: a second effect")
        must(all(e[1] <= d.number for e in self.effects if e[0] == d.key_id), "S2: an effect out of order")
        must(d.state not in (State.SKIPPED, State.EXPIRED), "S3: an effect after it was skipped")
        self.effects.append((d.key_id, d.number, d.id))
        self.remembered[request.party_key] = "effect"
        return Delivered(receipt=Receipt(code="ok", body=b""))

    def lose(self, worker: Worker, task: Task) -> None:
        """The caller gives up: the request is lost, was carried out already, or will be later."""
        for r in self.requests:
            if r.task is task:
                r.task = None
        task.answer = Unknown(code="timeout")
        task.phase = "answered"
        self.outages_only = False

    def outcome(self, worker: Worker, task: Task, members: int = 1) -> None:
        worker.tasks.remove(task)
        key = self.keys[task.key]
        head = self.head(key)
        assert task.answer is not None
        if isinstance(task.answer, Delivered) and not task.answer.duplicate:
            self.learned.add(task.delivery)
        before = key.head
        if self.is_mine(key, head, task):
            assert head is not None
            machine.outcome(key, head, task.answer, members, facts=self.facts(head), traits=self.traits)
            if isinstance(task.answer, PartyDown):
                self.breaker_open = True
        else:
            self.append_late(key, head, task)
        self.after_change(key, before)

    def is_mine(self, key: KeyRow, head: DeliveryRow | None, task: Task) -> bool:
        return machine.mine(key, head, task.registration, task.epoch, task.delivery)

    def append_late(self, key: KeyRow, head: DeliveryRow | None, task: Task) -> None:
        if isinstance(task.answer, Delivered) and not task.answer.duplicate:
            self.late[task.delivery] = LateReceipt(kind="delivered", code=task.answer.receipt.code)
            machine.learned_late(key, head, task.delivery, "delivered", self.now)

    def query(self, task: Task) -> None:
        task.effect = any(e[2] == task.delivery for e in self.effects)
        task.phase = "queried"

    def queried(self, worker: Worker, task: Task) -> None:
        worker.tasks.remove(task)
        key = self.keys[task.key]
        head = self.head(key)
        before = key.head
        if self.is_mine(key, head, task):
            assert head is not None
            machine.queried(key, head, task.effect, "query", facts=self.facts(head), traits=self.traits)
            self.after_change(key, before)

    def crash(self, worker: Worker) -> None:
        """SIGKILL and restart under a new registration: calls under way go on at the party."""
        for r in self.requests:
            if r.task in worker.tasks:
                r.task = None
        worker.tasks.clear()
        self.ended.add(worker.registration)
        worker.registration, worker.renewed_at, worker.frozen = self._fresh(), self.now, False

    def thaw(self, worker: Worker) -> None:
        worker.frozen = False
        if self.now - worker.renewed_at >= LIVENESS_S:
            # dead in its own eyes: registers anew; what it has under way is still brought to its end (R6, R7)
            self.ended.add(worker.registration)
            worker.registration, worker.renewed_at = self._fresh(), self.now

    # ---- time ------------------------------------------------------------------------------------------------------------------

    def advance(self, seconds: float, rng: random.Random) -> None:
        target = self.now + seconds
        while self.now < target:
            step = min(0.5, target - self.now)
            self.now += step
            for w in self.workers:
                if not w.frozen:
                    w.renewed_at = self.now
                    for task in list(w.tasks):
                        if task.phase == "wait" and self.now >= task.claimed_at + START_S + CALL_S - 1:
                            self.lose(w, task)
            for r in list(self.requests):
                if self.now >= r.must_end_by - 0.6:
                    if rng.random() < 0.5:
                        self.party_takes(r, "effect")
                    else:
                        self.requests.remove(r)
                        if r.task is not None:
                            r.task.answer, r.task.phase = Unknown(code="lost"), "answered"
                            self.outages_only = False

    # ---- the operator ------------------------------------------------------------------------------------------------------------

    def command(self, key: KeyRow, what: str) -> bool:
        """One command, if its condition holds. The operator asks the party truthfully, and only after everything has settled."""
        head = self.head(key)
        if head is None or key.idle:
            return False
        before = key.head
        known = commands.outcome_known(key, head, self.now)
        if what == "retry" and key.held is not None and commands.retry_allowed(head, self.traits):
            commands.retry(key, head, self.now)
        elif what == "skip" and known:
            commands.skip(key, head, "operator", self.now)
        elif what == "correct" and known and key.held in (Hold.REJECTED, Hold.BUDGET):
            new = self.correction(head)
            self.deliveries[new.id] = new
            commands.replace(key, head, new, self.now)
            for d in self.deliveries.values():
                if d.waits_for == head.id:
                    d.waits_for = new.id
        elif what == "settle" and key.held in (Hold.UNKNOWN, Hold.CRASHES) and head.state is State.UNKNOWN and not head.open_at(self.now):
            took = any(e[2] == head.id for e in self.effects)
            commands.settle(key, head, took, "settled", self.now)
        else:
            return False
        self.after_change(key, before)
        return True

    def correction(self, head: DeliveryRow) -> DeliveryRow:
        return DeliveryRow(
            id=self._fresh(), message_id="m2", party="p", key_id=head.key_id, number=head.number, lane="live", state=State.QUEUED,
            party_key=self._fresh(), accepted_at=self.now, updated_at=self.now,
        )  # fmt: skip

    # ---- driving ----------------------------------------------------------------------------------------------------------------

    def step(self, rng: random.Random) -> None:
        """One random step."""
        self.steps += 1
        w = rng.choice(self.workers)
        key = rng.choice(list(self.keys.values()))
        dice = rng.random()
        ready = [t for t in w.tasks if not w.frozen and t.phase != "wait"]
        if dice < 0.30 and ready:
            self.work(w, rng.choice(ready))
        elif dice < 0.45 and self.requests:
            self.party_takes(rng.choice(self.requests), rng.choices(["effect", "reject", "fail", "reject-call"], [70, 15, 12, 3])[0])
        elif dice < 0.62:
            if self.lookup:
                self.try_claim(w, key.id)
            else:
                self.take_bell(w)
        elif dice < 0.72:
            dependent = None
            if key.id == "k1" and "k0" in self.keys and rng.random() < 0.4:
                mates = [d.id for d in self.deliveries.values() if d.key_id == "k0"]
                dependent = mates[-1] if mates else None
            if key.next_number - key.head < 4:
                self.admit(key.id, dependent)
        elif dice < 0.82:
            self.advance(rng.choice([0.2, 0.9, 2.2, 3.6, 9.0, 30.0]), rng)
        else:
            self.fault(rng, w, key)

    def work(self, w: Worker, task: Task) -> None:
        match task.phase:
            case "write":
                self.write(w, task)
            case "answered":
                self.outcome(w, task)
            case "query":
                self.query(task)
            case "queried":
                self.queried(w, task)

    def fault(self, rng: random.Random, w: Worker, key: KeyRow) -> None:
        match rng.choice(FAULTS):
            case "crash":
                self.crash(w)
            case "freeze":
                w.frozen = True
            case "thaw":
                self.thaw(w)
            case "lose":
                waiting = [t for t in w.tasks if t.phase == "wait"]
                if waiting and not w.frozen:
                    self.lose(w, rng.choice(waiting))
            case "down":
                self.down = True
            case "up":
                self.down = False
            case "close":
                if not self.down:
                    self.breaker_open = False
            case "bell-lost":
                if self.bells:
                    self.bells.pop(rng.randrange(len(self.bells)))
            case "bell-twice":
                if self.bells:
                    self.bells.append(rng.choice(self.bells))
            case "op":
                self.command(key, rng.choice(["retry", "skip", "correct", "settle"]))
            case "stray":
                orphans = [r for r in self.requests if r.task is None]
                if orphans:
                    self.party_takes(rng.choice(orphans), rng.choice(["effect", "effect", "reject", "fail"]))

    def drain(self, rng: random.Random) -> None:
        """No more faults: everything must come to rest, final or held (S4, L1, L2)."""
        self.down = self.breaker_open = False
        for w in self.workers:
            self.thaw(w)
        for _ in range(400):
            self.breaker_open = False  # the probe finds the party back
            for w in self.workers:
                for task in list(w.tasks):
                    while task in w.tasks and task.phase != "wait":
                        self.work(w, task)
            for r in list(self.requests):
                if r in self.requests:
                    self.party_takes(r, "effect")
            while not self.lookup and self.bells:
                self.take_bell(self.workers[0])
            if self.lookup:
                for key in self.keys.values():
                    self.try_claim(self.workers[0], key.id)
            if not any(w.tasks for w in self.workers) and not self.requests:
                if self.at_rest():
                    return
                self.advance(5.0, rng)
        raise Violation("L1: something never comes to rest")

    def at_rest(self) -> bool:
        return all(key.idle or key.held is not None or self._waits_for_held(key) for key in self.keys.values())

    def _waits_for_held(self, key: KeyRow) -> bool:
        head = self.head(key)
        if head is None or head.waits_for is None:
            return False
        predecessor = self.deliveries[head.waits_for]
        mate = self.keys[predecessor.key_id]
        return not predecessor.state.final and (mate.held is not None or self._waits_for_held(mate))


def run(seed: int, steps: int, make: type[World] = World, **kwargs: object) -> World:
    """One random history: ``steps`` steps, then rest. Raises :class:`Violation`."""
    rng = random.Random(seed)
    world = make(**kwargs)  # type: ignore[arg-type]
    for _ in range(steps):
        world.step(rng)
    world.drain(rng)
    return world
