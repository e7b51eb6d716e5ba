"""Databases for the tests of the ledger."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.ledger.kit import Book
from tests.support.postgres import empty_ledger_url, ledger_url, postgres_server, postgres_url

__all__ = ["book", "empty_ledger_url", "ledger_url", "postgres_server", "postgres_url"]


@pytest.fixture
def book(ledger_url: str) -> Iterator[Book]:
    """A new ledger, on each kind of database."""
    found = Book(ledger_url)
    yield found
    found.close()
