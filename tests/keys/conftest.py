"""Ledgers and a software token for the tests of keys."""

from __future__ import annotations

from tests.support.postgres import ledger_url, postgres_server, postgres_url
from tests.support.token import soft_token, token_settings

__all__ = ["ledger_url", "postgres_server", "postgres_url", "soft_token", "token_settings"]
