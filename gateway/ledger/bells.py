"""A bell: which key row to look at, on which work queue (R15). Made in the transaction, rung after its commit."""

from __future__ import annotations

from typing import NamedTuple

from gateway.delivery.rows import KeyRow


class Bell(NamedTuple):
    """Ring ``work.<party>.<lane>`` with the id of a key row, and nothing else."""

    party: str
    lane: str
    key_id: str


def bell_of(key: KeyRow, now: float) -> Bell:
    """The bell for a key that is due; the key row remembers when it was rung, so that the look-up need not ring again soon."""
    key.rung_at = now
    key.rings += 1
    return Bell(key.party, key.lane, key.id)
