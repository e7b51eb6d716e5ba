"""What differs between two files of digests. Pure."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.errors import InputRefused
from gateway.reconciliation.digests import DIGEST as WIDTH
from gateway.reconciliation.digests import ITEMS, Bucket, Header


class Kind(enum.StrEnum):
    """What is wrong with a resident, seen from the register."""

    MISSING = "missing"
    """The register has him, the party has not."""
    EXTRA = "extra"
    """The party has him, the register has not."""
    CHANGED = "changed"
    """Both have him, and items differ."""
    ORDER = "order"
    """All items are the same, the number of the last update (更新順番号) is not: an update is missing, or came out of order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One resident who is not the same on both sides, by his keyed reference."""

    reference: bytes
    kind: Kind
    items: tuple[str, ...] = ()
    """Ids of the items that differ."""


def require_same_run(ours: Header, theirs: Header) -> None:
    """:raises InputRefused: the two files are not of one run, or not made with one secret."""
    for name in ("run", "check", "cut_off"):
        if getattr(ours, name) != getattr(theirs, name):
            raise InputRefused("digests-differ", f"the two files are not of one run: {name}")


def differences(ours: Bucket, theirs: Bucket) -> list[Difference]:
    """What differs in one bucket; nothing is looked at where its digests are the same."""
    if ours.digest == theirs.digest:
        return []
    here, there = ours.records(), theirs.records()
    found = [each for reference in here if (each := judged(reference, here, there)) is not None]
    return found + [Difference(reference=reference, kind=Kind.EXTRA) for reference in there if reference not in here]


def judged(reference: bytes, ours: Mapping[bytes, bytes], theirs: Mapping[bytes, bytes]) -> Difference | None:
    """One resident; None: the same on both sides."""
    here, there = ours.get(reference), theirs.get(reference)
    if here == there:
        return None
    if there is None:
        return Difference(reference=reference, kind=Kind.MISSING)
    if here is None:
        return Difference(reference=reference, kind=Kind.EXTRA)
    items = tuple(
        item
        for place, item in enumerate(ITEMS, start=1)
        if here[place * WIDTH : (place + 1) * WIDTH] != there[place * WIDTH : (place + 1) * WIDTH]
    )
    return Difference(reference=reference, kind=Kind.CHANGED if items else Kind.ORDER, items=items)
