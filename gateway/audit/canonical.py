"""The form in which audit entries are hashed: one line of canonical JSON each, gathered into the text of a block (docs/audit.md).

An entry's line is JSON as RFC 8785 writes it: members in the order of their names, no white space, numbers and strings in their one short
form. A block is a few lines of text: its number, the digest of the block before, when it was chained, how many entries; then for each
entry its id with a shortened digest of its line (a *leaf*), then the lines themselves. Its digest is the SHA-256 of exactly those bytes, so
that ``sha256sum`` on a part of an export gives it.

No input or output here; any thread.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from json.encoder import encode_basestring
from typing import Any, Final, NamedTuple

GENESIS: Final = "renkei audit chain {chain}\n"
"""The digest of this text stands where the first block names the one before."""
LEAF_DIGITS: Final = 16

_quote: Any = encode_basestring
"""Of the standard library, in C: escapes what RFC 8785 escapes and nothing else."""


class Row(NamedTuple):
    """An audit entry as the ledger has it."""

    id: str
    at: float
    kind: str
    actor: str
    message_id: str | None
    delivery_id: str | None
    party: str | None
    detail: str
    block: int | None = None


COLUMNS: Final = Row._fields


def number(value: float) -> str:
    """A time in seconds as RFC 8785 writes numbers: the shortest decimal that gives the same double."""
    return str(int(value)) if value.is_integer() else repr(value)


def line(row: Sequence[Any]) -> bytes:
    """The canonical line of an entry (columns in the order of :class:`Row`), without a newline.

    The detail is taken as it is stored, since it is written canonically. No other row gives the same line: on both sides of the detail
    stand strings whose quotes are escaped, so a line can be taken apart from both ends.
    """
    # written for speed: it is most of the work of a verification
    identity, at, kind, actor, message_id, delivery_id, party, detail = row[:8]
    quote = _quote
    text = (
        f'{{"actor":{quote(actor)},"at":{int(at) if at.is_integer() else repr(at)},'
        f'"delivery":{"null" if delivery_id is None else quote(delivery_id)},"detail":{detail},"id":{quote(identity)},"kind":{quote(kind)},'
        f'"message":{"null" if message_id is None else quote(message_id)},"party":{"null" if party is None else quote(party)}}}'
    )
    return text.encode()


def leaf(identity: str, entry_line: bytes) -> str:
    """What a block says of an entry beside its line: its id and the first digits of its line's digest."""
    return f"{identity} {hashlib.sha256(entry_line).hexdigest()[:LEAF_DIGITS]}"


def genesis(chain: str) -> bytes:
    """What the first block of a chain names as the digest before it."""
    return hashlib.sha256(GENESIS.format(chain=chain).encode()).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One link of the chain, without the lines of its entries."""

    number: int
    previous: bytes
    at: float
    """When it was chained, by the ledger's clock; seconds since 1970 UTC."""
    entries: int
    total: int
    """Entries of the chain up to the end of this block."""
    leaves: tuple[str, ...]
    digest: bytes = b""

    def head(self) -> bytes:
        """The part of its text before the lines of the entries."""
        lines = [
            f"block {self.number}",
            f"previous {self.previous.hex()}",
            f"at {number(self.at)}",
            f"entries {self.entries}",
            f"total {self.total}",
            *(f"leaf {each}" for each in self.leaves),
        ]
        return ("\n".join(lines) + "\n").encode()

    def digest_over(self, lines: Iterable[bytes]) -> bytes:
        """SHA-256 of the block's text with these lines of entries."""
        return hashlib.sha256(self.head() + b"".join(each + b"\n" for each in lines)).digest()

    def ids(self) -> tuple[str, ...]:
        """The entries that it holds, in its order."""
        return tuple(each.partition(" ")[0] for each in self.leaves)


def build(rows: Sequence[Row], *, after: Block | None, chain: str, at: float) -> Block:
    """The block that holds these entries (at least one) and follows ``after``; without one it is the first of ``chain``."""
    lines = [line(row) for row in rows]
    block = Block(
        number=1 if after is None else after.number + 1,
        previous=genesis(chain) if after is None else after.digest,
        at=at,
        entries=len(rows),
        total=len(rows) + (0 if after is None else after.total),
        leaves=tuple(leaf(row.id, each) for row, each in zip(rows, lines, strict=True)),
    )
    return Block(
        number=block.number, previous=block.previous, at=at, entries=block.entries, total=block.total, leaves=block.leaves,
        digest=block.digest_over(lines),
    )  # fmt: skip
