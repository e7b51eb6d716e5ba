"""What every table is part of, and the processes that share the ledger."""

from __future__ import annotations

from sqlalchemy import (
    Column,
    Double,
    Integer,
    MetaData,
    String,
    Table,
)

metadata = MetaData()

meta = Table(
    "meta",
    metadata,
    Column("name", String, primary_key=True),
    Column("value", String, nullable=False),
    comment="incarnation of the ledger, offset of the business clock (R21), schema facts",
)

worker = Table(
    "worker",
    metadata,
    Column("id", String(36), primary_key=True, comment="fresh for each registration, never reused (R6)"),
    Column("role", String(16), nullable=False),
    Column("host", String(64), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("registered_at", Double, nullable=False),
    Column("renewed_at", Double, nullable=False),
    Column("ended_at", Double, nullable=True),
)

lease = Table(
    "lease",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("worker", String(36), nullable=False, comment="the registration that holds it: void when that one is (R6)"),
    Column("epoch", Integer, nullable=False),
    Column("taken_at", Double, nullable=False),
    comment="work that one process does for all: chaining the audit entries, retention",
)

intake_epoch = Table(
    "intake_epoch",
    metadata,
    Column("system", String(64), primary_key=True),
    Column("epoch", Integer, nullable=False),
    Column("worker", String(36), nullable=False),
    Column("claimed_at", Double, nullable=False),
)
