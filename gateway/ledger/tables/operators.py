"""Operators: what they asked for, their rights, the policies that they approved."""

from __future__ import annotations

from sqlalchemy import (
    Column,
    Double,
    Integer,
    LargeBinary,
    String,
    Table,
)

from gateway.ledger.tables.base import metadata

policy_document = Table(
    "policy_document",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("document", String, nullable=False, comment="canonical JSON; no personal data"),
    comment="policies that were asked for",
)

policy_version = Table(
    "policy_version",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False, comment="the one named in meta counts"),
    Column("digest", String(64), nullable=False),
    Column("name", String(64), nullable=False),
    Column("base", Integer, nullable=False, comment="the version that was seen and changed"),
    Column("request", String(36), nullable=False),
    Column("reason", String, nullable=False),
    Column("requested_by", String(128), nullable=False),
    Column("approved_by", String(128), nullable=False),
    Column("applied_at", Double, nullable=False),
    comment="policies that count or counted",
)

command = Table(
    "command",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("kind", String(32), nullable=False, comment="see gateway/approvals/kinds.py"),
    Column("delivery_id", String(36), nullable=True, index=True),
    Column("subject", String(200), nullable=True, comment="what it is about where that is no delivery: a kept refusal, an operator, ..."),
    Column("party", String(64), nullable=True, comment="whose rights it touches"),
    Column("seen_state", String(16), nullable=False),
    Column("seen_digest", LargeBinary, nullable=False),
    Column("seen_epoch", Integer, nullable=False, comment="of the key's claims: an attempt after the request overtakes it (R13)"),
    Column("argument", String, nullable=True, comment="settle: took-effect | no-effect; other kinds: canonical JSON"),
    Column("party_key", String(64), nullable=True, comment="correct: of the new content"),
    Column("content_digest", LargeBinary, nullable=True, comment="correct: of the new content"),
    Column("payload_id", String(36), nullable=True, comment="correct: the new content, sealed"),
    Column("terms", String(32), nullable=True, comment="correct: what the policy permitted of it"),
    Column("reason", String, nullable=False),
    Column("requested_by", String(128), nullable=False),
    Column("requested_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
    Column("status", String(16), nullable=False, comment="waiting | approved | done | refused | expired | withdrawn"),
    Column("decided_by", String(128), nullable=True),
    Column("decided_at", Double, nullable=True),
    Column("used_at", Double, nullable=True, comment="when what was approved for later was carried out"),
    Column("outcome", String(200), nullable=True, comment="what came of it, as a code"),
    comment="what one person asked for and another decided (R13, four eyes)",
)

operator_account = Table(
    "operator_account",
    metadata,
    Column("name", String(200), primary_key=True, comment="as in the personal certificate"),
    Column("rights", String, nullable=False, comment="approved by a second person; canonical JSON"),
    Column("granted_at", Double, nullable=False),
    Column("requested_by", String(200), nullable=False),
    Column("approved_by", String(200), nullable=False),
    Column("reviewed_at", Double, nullable=False),
    Column("reviewed_by", String(200), nullable=False),
    Column("seen_at", Double, nullable=True, comment="last use, to a quarter of an hour"),
    Column("released_until", Double, nullable=True, comment="a contractor may act until then"),
    Column("released_by", String(200), nullable=True),
    comment="what of the configured rights of operators is in force (C-1-3-16, C-1-3-20)",
)
