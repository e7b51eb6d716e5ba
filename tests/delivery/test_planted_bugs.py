"""Every planted bug of the delivery protocol is convicted: the same random histories that the machine survives find it out."""

from __future__ import annotations

import random
from typing import Any

import pytest

from gateway.contract import Delivered, PartyDown
from gateway.delivery import commands, machine
from gateway.delivery.rows import DeliveryRow, Hold, KeyRow, PartyTraits, State
from tests.delivery.world import Task, Violation, Worker, World, run

SEEDS = 4000
STEPS = 120
RNG = random.Random(0)


def convicted(kinds: str, make: type[World], expected: str, **kwargs: Any) -> bool:
    """Some history shows the violation that the bug is expected to lead to (``S1``, or ``S1|S2`` for either)."""
    seen: set[str] = set()
    for seed in range(SEEDS):
        for kind in kinds.split():
            try:
                run(seed, STEPS, make, kind=kind, keys=3, workers=3, **kwargs)
            except Violation as found:
                seen.add(str(found))
                if str(found).split(":")[0] in expected.split("|"):
                    return True
    raise AssertionError(f"not convicted in {SEEDS} histories; seen instead: {sorted(seen)}")


@pytest.fixture
def patched(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Bugs are planted from outside and gone after the test."""
    return monkeypatch


@pytest.mark.planted("none")
@pytest.mark.parametrize("kind", ["A", "AR", "B", "C"])
def test_control_the_right_machine_survives(kind: str) -> None:
    effects = 0
    for seed in range(150):
        effects += len(run(seed, STEPS, World, kind=kind, keys=3, workers=3).effects)
    assert effects > 150


class NoSendingCommit(World):
    """The claim is in memory only: after a crash the delivery is found as it was."""

    def crash(self, worker: Worker) -> None:
        for task in worker.tasks:
            key = self.keys[task.key]
            head = self.head(key)
            if head is not None and machine.mine(key, head, task.registration, task.epoch, task.delivery) and head.state is State.SENDING:
                head.state, key.claim_worker = (State.UNKNOWN if head.unanswered else State.QUEUED), None
        super().crash(worker)


@pytest.mark.planted("no sending commit")
@pytest.mark.rule("R5")
@pytest.mark.invariant("I2")
def test_no_sending_commit() -> None:
    assert convicted("B", NoSendingCommit, "S1")


class EpochNotChecked(World):
    def is_mine(self, key: KeyRow, head: DeliveryRow | None, task: Task) -> bool:
        return head is not None and head.state is State.SENDING


@pytest.mark.thorough
@pytest.mark.planted("epoch not checked")
@pytest.mark.rule("R7")
def test_epoch_not_checked() -> None:
    assert convicted("A B", EpochNotChecked, "S1|S2|S3")


@pytest.mark.planted("sending re-sent as queued after a crash")
@pytest.mark.rule("R8")
def test_sending_requeued(patched: pytest.MonkeyPatch) -> None:
    def take_over(key: KeyRow, head: DeliveryRow, now: float, traits: PartyTraits) -> None:
        if head.state is State.SENDING:
            head.state, head.call_deadline = State.QUEUED, None
        key.claim_worker = None

    patched.setattr(machine, "_take_over", take_over)
    assert convicted("B", World, "S1")


@pytest.mark.planted("bell as the only wake-up")
@pytest.mark.rule("R15")
@pytest.mark.invariant("I1")
def test_bell_only() -> None:
    assert convicted("A", World, "L1", lookup=False)


class NoDueAt(World):
    def wake_dependents(self, key: KeyRow, number: int) -> None:
        """The predecessor's final transaction forgets the keys that wait for it."""


@pytest.mark.planted("due_at not set by a predecessor")
@pytest.mark.rule("R3")
def test_no_due_at() -> None:
    assert convicted("A", NoDueAt, "L1")


class RetryByRequeue(World):
    def outcome(self, worker: Worker, task: Task, members: int = 1) -> None:
        super().outcome(worker, task, members)
        key = self.keys[task.key]
        head = self.head(key)
        if head is not None and head.id == task.delivery and head.state is State.QUEUED and key.held is None:
            key.due_at = None
            self.ring(key)


@pytest.mark.planted("retry by requeue")
@pytest.mark.rule("R15")
def test_retry_by_requeue() -> None:
    assert convicted("A", RetryByRequeue, "L1")


class OldPartyKey(World):
    """The correction keeps the 依頼管理番号. The machine refuses that, so the bug goes round it; with it, the old reading of
    *duplicate*."""

    def correction(self, head: DeliveryRow) -> DeliveryRow:
        new = super().correction(head)
        self._old = head.party_key
        return new

    def command(self, key: KeyRow, what: str) -> bool:
        done = what != "retry" and super().command(key, what)
        if done and what == "correct":
            head = self.head(key)
            assert head is not None
            head.party_key = self._old
        return done

    def outcome(self, worker: Worker, task: Task, members: int = 1) -> None:
        if isinstance(task.answer, Delivered) and task.answer.duplicate:
            task.answer = Delivered(receipt=task.answer.receipt)
        super().outcome(worker, task, members)


@pytest.mark.planted("corrected message with the old party key")
@pytest.mark.rule("R4")
def test_old_party_key() -> None:
    assert convicted("AR", OldPartyKey, "S3")


@pytest.mark.rule("R4")
def test_machine_refuses_the_old_party_key() -> None:
    world = World("A", keys=1)
    world.admit("k0")
    head = world.head(world.keys["k0"])
    assert head is not None
    new = world.correction(head)
    new.party_key = head.party_key
    with pytest.raises(ValueError, match="R4"):
        commands.replace(world.keys["k0"], head, new, world.now)


class LateDropped(World):
    def append_late(self, key: KeyRow, head: DeliveryRow | None, task: Task) -> None:
        """A receipt that comes after the claim was lost is thrown away."""


@pytest.mark.planted("late outcome dropped")
@pytest.mark.rule("R7")
@pytest.mark.invariant("I8")
def test_late_dropped() -> None:
    assert convicted("C", LateDropped, "S6")


class BreakerSpends(World):
    def outcome(self, worker: Worker, task: Task, members: int = 1) -> None:
        down = isinstance(task.answer, PartyDown)
        super().outcome(worker, task, members)
        if down:
            self.deliveries[task.delivery].spent += 1
            self.check_rest()


@pytest.mark.planted("breaker that spends budgets")
@pytest.mark.rule("R12")
def test_breaker_spends() -> None:
    assert convicted("A", BreakerSpends, "S5")


class QueryBeforeSettling(World):
    def do_claim(self, key: KeyRow, head: DeliveryRow | None, worker: Worker, void: bool) -> machine.Claim:
        if head is not None and head.open_until is not None:
            head.open_until = min(head.open_until, self.now)
        return super().do_claim(key, head, worker, void)


@pytest.mark.thorough
@pytest.mark.planted("query before settling")
@pytest.mark.rule("R9")
def test_query_before_settling() -> None:
    assert convicted("B", QueryBeforeSettling, "S1")


def send(world: World, worker: Worker) -> None:
    """Claim the one key and write the request."""
    world.advance(world.traits.horizon_s, RNG)
    for _ in range(4):
        world.try_claim(worker, "k0")
        for task in list(worker.tasks):
            while task in worker.tasks and task.phase in ("query", "queried"):
                world.work(worker, task)
            if task.phase == "write":
                world.write(worker, task)
                return


def crashed_three_times(world: World) -> None:
    """The third attempt takes effect; its receipt dies with the process."""
    world.admit("k0")
    for attempt in range(3):
        send(world, world.workers[0])
        if attempt == 2:
            world.party_takes(world.requests[0], "effect")
        else:
            world.requests.clear()
        world.crash(world.workers[0])
    world.advance(world.traits.horizon_s, RNG)
    world.try_claim(world.workers[1], "k0")
    assert world.keys["k0"].held is Hold.CRASHES


@pytest.mark.planted("retry puts an unknown back to queued")
@pytest.mark.rule("R13")
@pytest.mark.parametrize("bug", [False, True])
def test_retry_requeues_unknown(patched: pytest.MonkeyPatch, bug: bool) -> None:
    original = commands.retry

    def retry(key: KeyRow, head: DeliveryRow, now: float) -> None:
        original(key, head, now)
        head.state, head.unanswered_since, head.open_until = State.QUEUED, None, None

    world = World("B", keys=1)
    crashed_three_times(world)
    if bug:
        patched.setattr(commands, "retry", retry)
        assert world.command(world.keys["k0"], "retry")
        with pytest.raises(Violation, match="S1"):
            world.drain(RNG)
    else:
        assert world.command(world.keys["k0"], "retry")
        world.drain(RNG)
        assert world.keys["k0"].idle


class SameRegistration(World):
    def crash(self, worker: Worker) -> None:
        registration = worker.registration
        super().crash(worker)
        worker.registration = registration
        self.ended.discard(registration)


@pytest.mark.planted("restart under the same registration")
@pytest.mark.rule("R6")
def test_same_registration() -> None:
    assert convicted("A", SameRegistration, "L1")


class LookupUnclaimedOnly(World):
    def do_claim(self, key: KeyRow, head: DeliveryRow | None, worker: Worker, void: bool) -> machine.Claim:
        return super().do_claim(key, head, worker, void=False)


@pytest.mark.planted("look-up for unclaimed keys only")
@pytest.mark.rule("R6")
def test_lookup_unclaimed_only() -> None:
    assert convicted("A", LookupUnclaimedOnly, "L1")


class RefusalBelieved(World):
    """A refusal of a re-send counts although an earlier attempt is open (`written-open` of the model)."""

    def outcome(self, worker: Worker, task: Task, members: int = 1) -> None:
        self.deliveries[task.delivery].clean = True
        super().outcome(worker, task, members)


@pytest.mark.planted("refusal believed while an earlier attempt is open")
@pytest.mark.rule("R9")
@pytest.mark.parametrize("make", [World, RefusalBelieved])
def test_refusal_believed_while_open(make: type[World]) -> None:
    world = make("A", keys=1)
    world.admit("k0")
    send(world, world.workers[0])
    world.crash(world.workers[0])  # its request is still under way
    world.try_claim(world.workers[1], "k0")
    world.write(world.workers[1], world.workers[1].tasks[0])
    world.party_takes(world.requests[1], "reject")
    world.outcome(world.workers[1], world.workers[1].tasks[0])
    skipped = world.command(world.keys["k0"], "skip")
    assert skipped is (make is RefusalBelieved)
    if skipped:
        with pytest.raises(Violation, match="S3"):
            world.party_takes(world.requests[0], "effect")
    else:
        world.party_takes(world.requests[0], "effect")
        world.drain(RNG)
        assert world.deliveries[world.effects[0][2]].state is State.DELIVERED


class CommandOnVoidClaim(World):
    """A skip is taken although the delivery is `sending` under a void claim (`written-cmd` of the model)."""

    def command(self, key: KeyRow, what: str) -> bool:
        head = self.head(key)
        if what == "skip" and head is not None and head.state is State.SENDING and key.claim_worker and self.void(key.claim_worker):
            key.claim_worker, head.state = None, State.QUEUED
        return super().command(key, what)


@pytest.mark.planted("command accepted while the outcome is unknown")
@pytest.mark.rule("R13")
def test_command_on_void_claim() -> None:
    assert convicted("A", CommandOnVoidClaim, "S2|S3")


@pytest.mark.planted("start later than two seconds after the commit")
@pytest.mark.rule("R5")
def test_unguarded_start() -> None:
    class Unguarded(World):
        def write(self, worker: Worker, task: Task) -> None:
            claimed, renewed = task.claimed_at, worker.renewed_at
            if worker.registration == task.registration and not worker.frozen:
                task.claimed_at = worker.renewed_at = self.now
            super().write(worker, task)
            worker.renewed_at = renewed
            task.claimed_at = claimed

        def thaw(self, worker: Worker) -> None:
            worker.frozen = False  # goes on under the registration that ran out
            worker.renewed_at = self.now

    assert convicted("B", Unguarded, "S1|S2|S3")
