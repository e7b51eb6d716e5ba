"""Record of provision, inquiries, daily checks."""

from __future__ import annotations

from sqlalchemy import (
    Column,
    Double,
    String,
    Table,
)

from gateway.ledger.tables.base import metadata

provision_terms = Table(
    "provision_terms",
    metadata,
    Column("id", String(32), primary_key=True, comment="digest of the text"),
    Column("text", String, nullable=False, comment="canonical JSON: permission, work, legal basis, items, version of the policy"),
    sqlite_with_rowid=False,
)

provision = Table(
    "provision",
    metadata,
    Column("id", String(36), primary_key=True, comment="of the delivery; of a refusal its own"),
    Column("at", Double, nullable=False, index=True),
    Column("subject", String(36), nullable=True, index=True),
    Column("message_id", String(36), nullable=True),
    Column("system", String(64), nullable=False, comment="who handed it in"),
    Column("type", String(64), nullable=True),
    Column("party", String(64), nullable=True),
    Column("work", String(64), nullable=True),
    Column("terms", String(32), nullable=True),
    Column("operator", String(64), nullable=True),
    Column("terminal", String(64), nullable=True),
    Column("outcome", String(16), nullable=False, comment="permitted | provided | refused | rejected | skipped | expired | replaced"),
    Column("outcome_at", Double, nullable=True),
    Column("code", String(64), nullable=True),
    Column("rule", String(200), nullable=True),
    sqlite_with_rowid=False,
    comment="record of provision (提供記録): independent of bodies, kept five years",
)

inquiry = Table(
    "inquiry",
    metadata,
    Column("id", String(36), primary_key=True, comment="of the record of provision, and of the dialogue at the party"),
    Column("question", String(64), nullable=False, comment="message type"),
    Column("reference", String(64), nullable=True, index=True, comment="the application that it belongs to, as the asking system names it"),
    Column("condition", String, nullable=False, comment="JSON: what was asked by, values masked"),
    comment="what one of our systems asked a party while somebody waited (C-2-3-8); nothing of the answer",
)

daily_check = Table(
    "daily_check",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("day", String(10), nullable=False, index=True, comment="in Japan"),
    Column("system", String(64), nullable=True, comment="whose import report it was (確認用帳票, C-1-2-6); null: what was refused"),
    Column("digest", String(64), nullable=False, comment="of what was looked at"),
    Column("result", String, nullable=False),
    Column("checked_by", String(128), nullable=False),
    Column("checked_at", Double, nullable=False),
    comment="that somebody has looked at what was refused (日次確認チェックシート, C-2-3-7), or imported, on a day",
)
