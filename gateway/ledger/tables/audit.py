"""The tamper-evident record, and the history of disposals."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    text,
)

from gateway.ledger.tables.base import metadata

audit_entry = Table(
    "audit_entry",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("at", Double, nullable=False),
    Column("kind", String(48), nullable=False),
    Column("actor", String(128), nullable=False),
    Column("message_id", String(36), nullable=True, index=True),
    Column("delivery_id", String(36), nullable=True),
    Column("party", String(64), nullable=True),
    Column("detail", String, nullable=False, comment="canonical JSON without personal data"),
    Column("block", Integer, nullable=True, comment="set when chained (R22)"),
    # small: it holds only what was written since the last block
    Index("audit_entry_unchained", "id", sqlite_where=text("block IS NULL"), postgresql_where=text("block IS NULL")),
    sqlite_with_rowid=False,
)

audit_block = Table(
    "audit_block",
    metadata,
    Column("number", Integer, primary_key=True, comment="from 1, without gaps"),
    Column("previous", LargeBinary, nullable=False, unique=True, comment="digest of the block before: unique, so that no chain can fork"),
    Column("digest", LargeBinary, nullable=False, comment="SHA-256 of the block's text (docs/audit.md)"),
    Column("at", Double, nullable=False, comment="when it was chained"),
    Column("entries", Integer, nullable=False),
    Column("total", BigInteger, nullable=False, comment="entries of the chain, this block included"),
    Column("leaves", String, nullable=False, comment="id and shortened digest of each entry, in order: says which one was touched"),
    comment="the chain over the audit entries (R22)",
)

audit_checkpoint = Table(
    "audit_checkpoint",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("block", Integer, nullable=False),
    Column("text", String, nullable=False, comment="what was signed (docs/audit.md)"),
    Column("signature", LargeBinary, nullable=False, comment="ECDSA P-256 with SHA-256, DER"),
    Column("token", LargeBinary, nullable=True, comment="RFC 3161 time-stamp response over the signature, DER"),
    comment="signed heads of the chain; the same are written outside the ledger",
)

disposal = Table(
    "disposal",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("run", String(36), nullable=False, comment="all lines of one run"),
    Column("rule", String(64), nullable=False, comment="of the retention table"),
    Column("place", String(32), nullable=False, comment="content | receipt | quarantine | record | backup | log | submit | ..."),
    Column("type", String(64), nullable=True),
    Column("party", String(64), nullable=True),
    Column("count", Integer, nullable=False),
    Column("oldest", Double, nullable=False, comment="from when what was disposed of was: when it was sent, refused, written"),
    Column("newest", Double, nullable=False),
    Column("began_at", Double, nullable=False),
    Column("ended_at", Double, nullable=False),
    Column("actor", String(128), nullable=False),
    Column("instruction", String(36), nullable=True, comment="the instruction of two persons, where it was none of the table"),
    Column("proof", String(16), nullable=True, comment="nothing-left | remains | not-searched"),
    Index("disposal_began", "began_at"),
    comment="disposal history: what class, how many, when, by which rule; never what (C-1-7-16)",
)
