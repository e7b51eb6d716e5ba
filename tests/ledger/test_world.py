"""The delivery protocol on the real ledger: random histories of several workers, crashes, freezes, lost answers and operators."""

from __future__ import annotations

import random

import pytest

from tests.ledger.kit import Book
from tests.ledger.ledger_world import LedgerWorld

pytestmark = pytest.mark.thorough


def run(book: Book, kind: str, seed: int, steps: int) -> LedgerWorld:
    """One history, driven to rest."""
    rng = random.Random(seed)
    world = LedgerWorld(kind, book, seed)
    try:
        for _ in range(steps):
            world.step(rng)
        world.drain(rng)
        return world
    finally:
        world.end()


@pytest.mark.invariant("I1")
@pytest.mark.invariant("I2")
@pytest.mark.invariant("I3")
@pytest.mark.parametrize("kind", ["A", "AR", "B", "C"])
def test_the_protocol_holds_on_the_ledger(book: Book, kind: str) -> None:
    histories = 12 if book.engine.dialect == "sqlite" else 3
    effects = operations = 0
    for seed in range(histories):
        world = run(book, kind, seed, 200)
        effects += len(world.effects)
        operations += world.operations
    assert effects > 4 * histories
    assert operations > 120 * histories
