"""Where a chain is verified from, and exported: the ledger, read in pages, and the text of an export."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection

from gateway.audit import queries
from gateway.audit.canonical import COLUMNS, Block, line
from gateway.audit.verify import Piece, Report, first_link

Read = Callable[[Callable[[Connection], Any]], Any]
"""Runs a query: :meth:`gateway.ledger.engine.LedgerEngine.read_here`."""
PAGE_BLOCKS: Final = 200
PAGE_ENTRIES: Final = 4000
_BLOCK: Final = COLUMNS.index("block")


class LedgerSource:
    """The chain in the ledger. Blocks; reads in pages, so that no reading transaction lasts long beside traffic."""

    def __init__(self, read: Read, *, after: int = 0, up_to: int | None = None) -> None:
        """``after``, ``up_to``: only the blocks between; by default all that there are now."""
        self._read = read
        self._after = after
        self._whole = after == 0 and up_to is None
        state = read(queries.chain_state)
        self.chain: str | None = state.chain
        self._up_to = up_to if up_to is not None else (state.head.number if state.head is not None else 0)
        self._found = 0

    def pieces(self, report: Report) -> Iterator[Piece]:
        """See :class:`~gateway.audit.verify.Source`."""
        for block, rows in self.blocks():
            lines = [(row[0], line(row)) for row in rows]
            misplaced = [row[0] for row in rows if row[_BLOCK] != block.number]
            piece = Piece(block=block, lines=lines, digest=block.digest_over(each for _, each in lines), misplaced=misplaced)
            if block.number == 1:
                first_link(report, piece, self.chain)
            yield piece

    def blocks(self) -> Iterator[tuple[Block, list[Sequence[Any]]]]:
        """Blocks in order, each with those of its entries that are there, in the order of its leaves; columns as in ``Row``."""
        after = self._after
        while after < self._up_to:
            page = self._read(partial(self._page, after=after))
            if not page:
                return
            for block, rows in page:
                self._found += sum(row[_BLOCK] is not None for row in rows)
                yield block, rows
                after = block.number

    def _page(self, conn: Connection, after: int) -> list[tuple[Block, list[Sequence[Any]]]]:
        taken: list[tuple[Block, tuple[str, ...]]] = []
        entries = 0
        for block in queries.blocks(conn, after, PAGE_BLOCKS):
            if block.number > self._up_to or (taken and entries + block.entries > PAGE_ENTRIES):
                break
            taken.append((block, block.ids()))
            entries += block.entries
        rows = queries.entries(conn, [each for _, ids in taken for each in ids])
        return [(block, [rows[each] for each in ids if each in rows]) for block, ids in taken]

    def finish(self, report: Report) -> None:
        """Entries that say they are in a block which does not know them."""
        if not self._whole:
            return
        if self._read(lambda conn: queries.chained_rows(conn, self._up_to)) != self._found:
            self._find_inserted(report)
        report.unchained = len(self._read(lambda conn: queries.unchained(conn, 100_000)))

    def _find_inserted(self, report: Report) -> None:
        known: set[str] = set()
        after = 0
        while page := self._read(partial(queries.blocks, after=after, limit=PAGE_BLOCKS)):
            known.update(identity for block in page for identity in block.ids())
            after = page[-1].number
        last = ""
        while places := self._read(partial(queries.said_places, after=last, limit=20_000)):
            for identity, block in places:
                if block is not None and block <= self._up_to and identity not in known:
                    report.add("entry-inserted", "it says that it is in this block, which has no leaf of it", block=block, entry=identity)
            last = places[-1][0]


_HEAD = re.compile(
    rb"block ([0-9]{1,15})\nprevious ([0-9a-f]{64})\nat ([0-9.e+]{1,32})\nentries ([0-9]{1,9})\ntotal ([0-9]{1,18})\n"
    rb"((?:leaf [0-9a-z]+ [0-9a-f]+\n)*)\Z"
)
_ID = re.compile(rb'"id":"([^"\\]{1,64})","kind":"')


class ExportSource:
    """The chain in the text of an export."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def pieces(self, report: Report) -> Iterator[Piece]:
        """See :class:`~gateway.audit.verify.Source`."""
        with self._path.open("rb") as stream:
            for number, (head, lines) in enumerate(_sections(stream), start=1):
                piece = _piece(head, lines)
                if piece is None:
                    report.add("block-malformed", f"part {number} of the export is no block")
                else:
                    yield piece

    def finish(self, report: Report) -> None:
        """Nothing more: what an export leaves out at its end, its checkpoints tell."""


def _sections(stream: Iterable[bytes]) -> Iterator[tuple[bytes, list[bytes]]]:
    head: list[bytes] = []
    lines: list[bytes] = []
    for each in stream:
        if each.startswith(b"{"):
            lines.append(each)
        elif each.startswith(b"block ") and head:
            yield b"".join(head), lines
            head, lines = [each], []
        else:
            head.append(each)
    if head:
        yield b"".join(head), lines


def _piece(head: bytes, lines: Sequence[bytes]) -> Piece | None:
    match = _HEAD.match(head)
    if match is None:
        return None
    digest = hashlib.sha256(head + b"".join(lines)).digest()
    block = Block(
        number=int(match[1]),
        previous=bytes.fromhex(match[2].decode()),
        at=0.0,
        entries=int(match[4]),
        total=int(match[5]),
        leaves=tuple(each[5:].decode() for each in match[6].splitlines()),
        digest=digest,
    )
    return Piece(block=block, lines=[(_id_of(each), each.rstrip(b"\n")) for each in lines], digest=digest)


def _id_of(entry: bytes) -> str:
    """Which entry a line is, as it says; where it says nothing that can be read, a name for it."""
    found = _ID.search(entry)
    return found[1].decode(errors="replace") if found else f"line {hashlib.sha256(entry).hexdigest()[:16]}"
