"""A comparison in steps: what is told to the gateway, as JSON. Only who differs is named, and only to the gateway."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from gateway.reconciliation.compare import Difference, differences, judged, require_same_run
from gateway.reconciliation.digests import BUCKETS, DigestFile, RunKeys

__all__ = ["again", "compared", "counted", "digest_of", "require_same_run"]
STEP_BUCKETS = 64
STEP_FOUND = 400
"""A step ends when it has so many differences, so that no transaction is long; one bucket is never divided."""
MOST = 1000


def compared(ours: DigestFile, theirs: DigestFile, keys: RunKeys, first: int) -> Iterator[dict[str, Any]]:
    """Steps from bucket ``first``, where both files stand.

    :raises InputRefused: a file was cut or altered.
    """
    while first < BUCKETS:
        until, differing = first, 0
        found: list[dict[str, Any]] = []
        while until < BUCKETS and until - first < STEP_BUCKETS and len(found) < STEP_FOUND:
            here, there = ours.bucket(), theirs.bucket()
            differing += here.digest != there.digest
            found += [_told(each, keys) for each in differences(here, there)]
            until += 1
        yield {"first": first, "until": until, "differing": differing, "found": found}
        first = until


def again(references: Sequence[bytes], ours: DigestFile, theirs: DigestFile, keys: RunKeys) -> Iterator[list[dict[str, Any]]]:
    """The residents of a worklist once more, in parts."""
    for start in range(0, len(references), MOST):
        part = references[start : start + MOST]
        here, there = ours.find(part), theirs.find(part)
        judgements = [(reference, judged(reference, here, there)) for reference in part]
        yield [
            _told(each, keys) if each is not None else {"code": keys.code_of(reference), "reference": reference.hex(), "kind": None}
            for reference, each in judgements
        ]


def digest_of(lines: Sequence[Mapping[str, Any]]) -> str:
    """Names lines of a worklist as they were seen; the gateway makes the same of what it has."""
    told = [[each["number"], each["kind"], ",".join(each["items"]), each["reference"], each["state"]] for each in lines]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def counted(records: Iterable[Mapping[str, str]], advance: Callable[[int], None]) -> Iterator[Mapping[str, str]]:
    """The records, telling roughly how many bytes of JSON have gone by."""
    size = 0
    for number, record in enumerate(records):
        size += sum(len(name) + 3 * len(value) + 6 for name, value in record.items())
        if number % 2000 == 1999:
            advance(size)
            size = 0
        yield record


def _told(each: Difference, keys: RunKeys) -> dict[str, Any]:
    return {
        "code": keys.code_of(each.reference), "reference": each.reference.hex(), "kind": each.kind.value, "items": list(each.items),
    }  # fmt: skip
