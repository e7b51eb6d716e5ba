"""The machine against a simple model, stateful: several workers, crashes, freezes, lost and double bells, late outcomes, an operator."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from tests.delivery.world import World

COUNT = {"steps": 0}
workers = st.integers(0, 2)
keys = st.sampled_from(["k0", "k1", "k2"])
picks = st.sampled_from(["effect", "effect", "effect", "effect", "reject", "fail", "reject-call"])


class Delivery(RuleBasedStateMachine):
    """Rules are the steps of the Spin model; :class:`World` holds the properties S1-S6."""

    @initialize(kind=st.sampled_from(["A", "AR", "B", "C"]), seed=st.integers(0, 2**16))
    def begin(self, kind: str, seed: int) -> None:
        self.world = World(kind, keys=3, workers=3)
        self.rng = random.Random(seed)
        self.world.admit("k0")
        self.world.admit("k1")

    @rule(key=keys, dependent=st.booleans())
    def admit(self, key: str, dependent: bool) -> None:
        mates = [d.id for d in self.world.deliveries.values() if d.key_id == "k0"]
        self.world.admit(key, mates[-1] if dependent and key == "k1" and mates else None)

    @rule(w=workers, key=keys)
    def claim(self, w: int, key: str) -> None:
        self.world.try_claim(self.world.workers[w], key)

    @rule(w=workers)
    def bell(self, w: int) -> None:
        self.world.take_bell(self.world.workers[w])

    @rule(w=workers, n=st.integers(0, 9))
    def work(self, w: int, n: int) -> None:
        worker = self.world.workers[w]
        ready = [t for t in worker.tasks if t.phase != "wait"]
        if ready and not worker.frozen:
            self.world.work(worker, ready[n % len(ready)])

    @precondition(lambda self: self.world.requests)
    @rule(n=st.integers(0, 9), pick=picks)
    def party(self, n: int, pick: str) -> None:
        self.world.party_takes(self.world.requests[n % len(self.world.requests)], pick)

    @rule(w=workers)
    def lose(self, w: int) -> None:
        worker = self.world.workers[w]
        for task in [t for t in worker.tasks if t.phase == "wait" and not worker.frozen][:1]:
            self.world.lose(worker, task)

    @rule(w=workers)
    def crash(self, w: int) -> None:
        self.world.crash(self.world.workers[w])

    @rule(w=workers)
    def freeze(self, w: int) -> None:
        self.world.workers[w].frozen = True

    @rule(w=workers)
    def thaw(self, w: int) -> None:
        self.world.thaw(self.world.workers[w])

    @rule(seconds=st.sampled_from([0.2, 0.9, 2.2, 3.6, 9.0, 30.0]))
    def time(self, seconds: float) -> None:
        self.world.advance(seconds, self.rng)

    @rule(down=st.booleans())
    def outage(self, down: bool) -> None:
        self.world.down = down
        if not down:
            self.world.breaker_open = False

    @rule(key=keys, what=st.sampled_from(["retry", "skip", "correct", "settle"]))
    def operate(self, key: str, what: str) -> None:
        self.world.command(self.world.keys[key], what)

    @invariant()
    def properties(self) -> None:
        COUNT["steps"] += 1
        if hasattr(self, "world"):
            self.world.check_rest()

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.drain(self.rng)


@pytest.mark.invariant("I1")
@pytest.mark.invariant("I2")
@pytest.mark.invariant("I3")
@pytest.mark.thorough
@pytest.mark.timeout(300)
def test_delivery_protocol() -> None:
    """At least 20,000 steps over all four kinds of party; every history is driven to rest."""
    COUNT["steps"] = 0
    run_state_machine_as_test(
        Delivery,
        settings=settings(
            max_examples=450,
            stateful_step_count=60,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            derandomize=True,
            database=None,
        ),
    )
    assert COUNT["steps"] >= 20_000
