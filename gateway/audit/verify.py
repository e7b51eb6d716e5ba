"""Verification of the chain: what is wrong, and where, each by a finding of its own code (``words.py`` lists them).

One engine for both sources, the ledger and an export. It goes through the blocks in order, holds each entry against the leaf that its
block keeps of it, each block against its digest and the one before, and the whole against the signed checkpoints, those from outside the
ledger above all.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from gateway.audit.canonical import LEAF_DIGITS, Block, genesis
from gateway.audit.checkpoint import Checkpoint, Signed, fingerprint
from gateway.audit.errors import AuditError

RESTORED: Final = "restored"
MOST: Final = 1000
"""Findings that are listed; more are only counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong."""

    code: str
    block: int | None = None
    entry: str | None = None
    checkpoint: int | None = None
    detail: str = ""


@dataclass(slots=True, kw_only=True)
class Report:
    """The outcome."""

    blocks: int = 0
    entries: int = 0
    first_block: int = 0
    last_block: int = 0
    last_digest: str = ""
    checkpoints: int = 0
    signed_to: int = 0
    """The last block that a valid checkpoint vouches for; what follows it nobody has signed yet."""
    signed_at: str | None = None
    stamped_to: int = 0
    """The last checkpoint with a valid time stamp of a third party."""
    keys: dict[str, str] = field(default_factory=dict)
    """Fingerprint of each key that signed: ``pinned`` (it was given as trusted), ``announced`` (by the key before), ``unknown``."""
    unchained: int = 0
    restored: list[dict[str, Any]] = field(default_factory=list)
    """Signed statements that the ledger was restored (R24): checkpoint, time, the block that the chain goes on from, and the last one that
    was signed before and is lost. Each must be known to the persons in charge."""
    findings: list[Finding] = field(default_factory=list)
    more: int = 0
    """Findings that are not listed."""
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        return not self.findings

    def add(self, code: str, detail: str, **where: Any) -> None:
        """Note a finding."""
        if len(self.findings) >= MOST:
            self.more += 1
        else:
            self.findings.append(Finding(code=code, detail=detail, **where))


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A block with the lines of its entries, as found."""

    block: Block
    """``digest``: as the ledger has stored it; in an export, where none is stored, of the text as found."""
    lines: Sequence[tuple[str, bytes]]
    """Id and line of each entry, in the order in which they stand."""
    digest: bytes
    """Of the text as found."""
    misplaced: Sequence[str] = ()
    """Entries that say they are in another block."""


class Source(Protocol):
    """Where a chain is read from."""

    def pieces(self, report: Report) -> Iterator[Piece]:
        """All blocks in the order in which they stand; notes what cannot be read."""
        ...

    def finish(self, report: Report) -> None:
        """What can only be said at the end."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A checkpoint to hold the chain against."""

    signed: Signed
    origin: str
    """``ledger``, ``outside`` or ``export``."""


def verify(source: Source, given: Sequence[Given], *, trusted: Iterable[str] = ()) -> Report:
    """Verify everything.

    :param trusted: fingerprints of the keys that are trusted to begin with; without any, the first key is taken as it is and reported as
        ``unknown``.
    """
    started = time.perf_counter()
    report = Report()
    said = _standing(report, _checkpoints(report, given, frozenset(trusted)))
    digests = _chain(source, report, {each.block for each in said})
    _compare(report, said, digests)
    source.finish(report)
    report.seconds = time.perf_counter() - started
    return report


# ---- checkpoints ---------------------------------------------------------------------------------------------------------------------


def _checkpoints(report: Report, given: Sequence[Given], trusted: frozenset[str]) -> list[Checkpoint]:
    """Those with a valid signature, by number; what is wrong among them is noted."""
    texts: dict[int, str] = {}
    digests: dict[int, bytes] = {}
    found: dict[int, Checkpoint] = {}
    unsigned: set[int] = set()
    for each in given:
        try:
            said = each.signed.read()
        except AuditError as error:
            report.add(error.code, f"{error.safe_detail} ({each.origin})")
            continue
        try:
            each.signed.verify()
        except AuditError as error:
            unsigned.add(said.number)
            report.add(error.code, f"{error.safe_detail} ({each.origin})", checkpoint=said.number)
            continue
        if texts.setdefault(said.number, each.signed.text) != each.signed.text:
            report.add("chain-forked", f"two signed checkpoints bear number {said.number}", checkpoint=said.number, block=said.block)
        found.setdefault(said.number, said)
        digests.setdefault(said.number, each.signed.digest)
    ordered = [found[number] for number in sorted(found)]
    announced: str | None = None
    for before, said in zip([None, *ordered], ordered, strict=False):
        announced = _key(report, said, before, announced, trusted)
        if before is None:
            continue
        if said.number != before.number + 1:
            gap = sorted(set(range(before.number + 1, said.number)) - unsigned)
            if gap:
                report.add("checkpoint-missing", f"numbers {gap[0]} to {gap[-1]}", checkpoint=gap[0])
        elif said.previous != digests[before.number]:
            report.add("checkpoint-changed", f"does not name checkpoint {before.number} as the one before", checkpoint=said.number)
        if said.chain != before.chain:
            report.add("chain-forked", "checkpoints of two chains", checkpoint=said.number)
    report.checkpoints = len(ordered)
    return ordered


def _standing(report: Report, said: Sequence[Checkpoint]) -> list[Checkpoint]:
    """Without those that speak of blocks which a later, signed restore has given up (R24)."""
    kept: list[Checkpoint] = []
    for each in said:
        if each.reason == RESTORED:
            lost = [before for before in kept if before.block > each.block]
            kept = [before for before in kept if before.block <= each.block]
            last = max((before.block for before in lost), default=each.block)
            report.restored.append({"checkpoint": each.number, "at": each.at, "block": each.block, "lost_to_block": last})
        kept.append(each)
    return kept


def _key(report: Report, said: Checkpoint, before: Checkpoint | None, announced: str | None, trusted: frozenset[str]) -> str | None:
    print_ = fingerprint(said.key)
    if print_ in trusted:
        report.keys[print_] = "pinned"
    elif said.key == announced:
        report.keys.setdefault(print_, "announced")
    elif before is None and not trusted:
        report.keys[print_] = "unknown"
    elif print_ not in report.keys:
        report.keys[print_] = "unknown"
        report.add("checkpoint-key", f"key {print_} was neither given as trusted nor announced by the key before", checkpoint=said.number)
    return said.next_key or announced


def agree(outside: Sequence[Given], known: Iterable[str], last_block: int) -> str:
    """In one line, what the checkpoints outside and those of the ledger do not agree on; empty: they do, as far as a glance tells."""
    texts = set(known)
    signed = []
    for each in outside:
        try:
            signed.append(each.signed.verify())
        except AuditError as error:
            return error.safe_detail
    for said in _standing(Report(), sorted(signed, key=lambda each: each.number)):
        if said.block > last_block:
            return f"the chain is cut off: checkpoint {said.number} outside names block {said.block}, the ledger ends with {last_block}"
    for each, said in zip(outside, signed, strict=True):
        if each.signed.text not in texts:
            return f"the ledger does not have checkpoint {said.number} as it stands outside"
    return ""


# ---- blocks --------------------------------------------------------------------------------------------------------------------------


def _chain(source: Source, report: Report, wanted: set[int]) -> dict[int, bytes]:
    """Go through the blocks; digests of those that checkpoints name, and of the last."""
    digests: dict[int, bytes] = {}
    recent: dict[int, bytes] = {}
    touched: set[int] = set()
    gaps: set[int] = set()
    last: Piece | None = None
    for piece in source.pieces(report):
        block = piece.block
        if not _entries(report, piece):
            touched.add(block.number)
        if last is None:
            report.first_block = block.number
        elif block.number > last.block.number:
            gaps.update(range(last.block.number + 1, min(block.number, last.block.number + MOST)))
        elif block.number in recent and recent[block.number] != block.digest:
            report.add("chain-forked", f"two blocks bear number {block.number}", block=block.number)
            continue
        else:
            gaps.discard(block.number)
            report.add("block-reordered", f"stands behind block {last.block.number}", block=block.number)
        before = recent.get(block.number - 1)
        if before is not None and before != block.previous and block.number - 1 not in touched:
            report.add("block-changed", f"its digest is not the one that block {block.number} names", block=block.number - 1)
        report.blocks += 1
        report.entries += len(piece.lines)
        recent[block.number] = block.digest
        if len(recent) > MOST:
            recent.pop(next(iter(recent)))
        if block.number in wanted:
            digests[block.number] = block.digest
        if last is None or block.number > last.block.number:
            last = piece
    for first, end in _ranges(gaps):
        report.add("block-deleted", f"blocks {first} to {end}", block=first)
    if last is not None:
        report.last_block, report.last_digest = last.block.number, last.block.digest.hex()
        digests[last.block.number] = last.block.digest
    return digests


def _ranges(numbers: set[int]) -> Iterator[tuple[int, int]]:
    ordered = sorted(numbers)
    for at, number in enumerate(ordered):
        if at == 0 or ordered[at - 1] != number - 1:
            end = at
            while end + 1 < len(ordered) and ordered[end + 1] == ordered[end] + 1:
                end += 1
            yield number, ordered[end]


def _entries(report: Report, piece: Piece) -> bool:
    """Hold the entries of a block against its leaves; True if the block is what it says."""
    block, number = piece.block, piece.block.number
    for identity in piece.misplaced:
        report.add("entry-reordered", f"it says that it is in another block than {number}", block=number, entry=identity)
    leaves = block.leaves
    well = len(leaves) == len(piece.lines)
    if well:
        for leaf, (identity, line) in zip(leaves, piece.lines, strict=True):
            if leaf != f"{identity} {hashlib.sha256(line).hexdigest()[:LEAF_DIGITS]}":
                well = False
                break
    if not well:
        _locate(report, block, piece.lines)
        return False
    if piece.digest != block.digest or block.entries != len(leaves):
        report.add("block-changed", "its entries are well, but its own text is not what its digest says", block=number)
        return False
    return not piece.misplaced


def _locate(report: Report, block: Block, lines: Sequence[tuple[str, bytes]]) -> None:
    """Which entries of a block are not what its leaves say."""
    kept: Mapping[str, str] = dict(each.split(" ", 1) for each in block.leaves if " " in each)
    order = list(kept)
    there = {identity: hashlib.sha256(line).hexdigest()[:LEAF_DIGITS] for identity, line in lines}
    noted = len(report.findings) + report.more
    for identity in order:
        if identity not in there:
            report.add("entry-deleted", "the block has a leaf of it", block=block.number, entry=identity)
        elif there[identity] != kept[identity]:
            report.add("entry-changed", "it does not give the digest of its leaf", block=block.number, entry=identity)
    for identity in there:
        if identity not in kept:
            report.add("entry-inserted", "the block has no leaf of it", block=block.number, entry=identity)
    standing = [identity for identity, _ in lines if identity in kept]
    if len(standing) != len(set(standing)):
        twice = next(identity for at, identity in enumerate(standing) if identity in standing[:at])
        report.add("entry-inserted", "it stands there twice", block=block.number, entry=twice)
    elif standing != (expected := [identity for identity in order if identity in there]):
        moved = next(one for one, other in zip(standing, expected, strict=True) if one != other)
        report.add("entry-reordered", "it stands in another place of its block", block=block.number, entry=moved)
    if len(report.findings) + report.more == noted:
        report.add("block-changed", "its leaves are not what they must be", block=block.number)


def _compare(report: Report, said: Sequence[Checkpoint], digests: Mapping[int, bytes]) -> None:
    """The chain as found against what was signed."""
    touched = [each.block for each in report.findings if each.block is not None and each.code.startswith(("entry", "block"))]
    forked = False
    for each in said:
        if each.block < report.first_block or report.blocks == 0:
            if report.blocks == 0:
                report.add("chain-truncated", f"nothing is there of blocks 1 to {each.block}", block=1, checkpoint=each.number)
                return
            continue
        if each.block > report.last_block:
            missing = f"blocks {report.last_block + 1} to {said[-1].block} or further"
            report.add("chain-truncated", missing, block=report.last_block + 1, checkpoint=each.number)
            return
        found = digests.get(each.block)
        if found == each.digest:
            report.signed_to, report.signed_at = each.block, each.at
        elif found is not None and not forked and not any(block <= each.block for block in touched):
            since = f"between block {report.signed_to + 1} and {each.block} it is another chain than the one that was signed"
            report.add("chain-forked", since, block=each.block, checkpoint=each.number)
            forked = True


def first_link(report: Report, piece: Piece, chain: str | None) -> None:
    """Of the first block of a whole chain: it names no block before."""
    if piece.block.number == 1 and chain is not None and piece.block.previous != genesis(chain):
        report.add("block-changed", "the first block does not begin this chain", block=1)
