"""A signed message is taken once, also by another process and after a restart; what is out of date is forgotten (I2, I6)."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

import pytest

from gateway.ledger import tables as t
from gateway.ledger.ledger import Ledger
from gateway.ledger.replays import MARGIN_S, LedgerReplays, RememberMessage
from tests.ledger.kit import Book

KEY = hashlib.sha256(b"urn:uuid:1").digest()


@pytest.mark.slow
@pytest.mark.invariant("I2")
@pytest.mark.invariant("I6")
async def test_the_same_message_is_refused_by_every_process_and_after_a_restart(ledger_url: str) -> None:
    until = datetime.now(UTC) + timedelta(minutes=5)
    ledger, other = Ledger.open(ledger_url), Ledger.open(ledger_url)
    assert await LedgerReplays(ledger).first("city-cs", KEY, until)
    assert not await LedgerReplays(ledger).first("city-cs", KEY, until)
    assert not await LedgerReplays(other).first("city-cs", KEY, until)
    assert await LedgerReplays(other).first("prefecture-server", KEY, until), "ids are each party's own"
    await ledger.close()
    await other.close()
    again = Ledger.open(ledger_url)
    assert not await LedgerReplays(again).first("city-cs", KEY, until)
    await again.close()


def test_what_nobody_would_accept_any_more_is_forgotten(book: Book) -> None:
    def remember(key: bytes, seconds: float) -> bool:
        found: bool = book.do(RememberMessage(party="p", key=key, until=book.now + seconds))
        return found

    assert remember(b"old", 60)
    book.now += 60 + MARGIN_S - 1
    assert not remember(b"old", 60), "kept for the margin of two clocks too"
    book.now += 2
    assert remember(b"new", 60)
    assert [row["key"] for row in book.rows(t.seen_message)] == [b"new"]
