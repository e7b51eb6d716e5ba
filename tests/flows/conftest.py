"""Ledgers for the tests of flows."""

from __future__ import annotations

from tests.support.postgres import ledger_url, postgres_server, postgres_url

__all__ = ["ledger_url", "postgres_server", "postgres_url"]
