"""The ledger in numbers, and its business clock through the service behind the API. All data are made up."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import Any

import pytest

from gateway.admin.books import LedgerBooks
from gateway.errors import CommandRefused
from gateway.ledger import tally
from gateway.ledger.ledger import Ledger
from tests.ledger.kit import REGISTER, TYPE, Book, prepared, to


@pytest.mark.control("C-3-5-3")
def test_messages_and_deliveries_by_the_type_that_the_party_has(book: Book) -> None:
    way = f"identity-information-notice {REGISTER} q"
    book.admit(
        prepared("m1", to(), dataclasses.replace(to("q", stream="n"), way=way)),
        prepared("m2", to(), who=2),
        prepared("m3", to(), system="city-cs", who=3),
    )
    assert book.engine.read_here(tally.messages) == [
        tally.MessageCount(system="city-cs", type=TYPE, count=1),
        tally.MessageCount(system=REGISTER, type=TYPE, count=2),
    ]
    of_p: dict[str, Any] = {"party": "p", "type": TYPE, "state": "queued", "replaced": False}
    assert book.engine.read_here(tally.deliveries) == [
        tally.DeliveryCount(**of_p, count=3),
        tally.DeliveryCount(**{**of_p, "party": "q", "type": "identity-information-notice"}, count=1),
    ]


@pytest.mark.rule("R21")
@pytest.mark.parametrize("profile", ["test", "production"])
async def test_the_business_clock_is_shifted_in_a_test_ledger_only(tmp_path: Path, profile: Any) -> None:
    ledger = await asyncio.to_thread(Ledger.open, f"sqlite:///{tmp_path}/l/r.db", profile=profile)
    try:
        books = LedgerBooks(ledger)
        if profile == "production":
            with pytest.raises(CommandRefused) as refused:
                await books.shift_clock("operator-a", 86_400.0)
            assert refused.value.code == "business-clock-real"
            return
        before = (await books.shift_clock("operator-a", 0.0)).now
        after = await books.shift_clock("operator-a", 86_400.0)
        assert 86_300 < (after.now - before).total_seconds() < 86_500
        assert (await books.tally()).messages == ()
    finally:
        await ledger.close()
