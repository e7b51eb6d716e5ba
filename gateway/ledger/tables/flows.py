"""Cases of the business flows."""

from __future__ import annotations

from sqlalchemy import (
    Column,
    Double,
    Index,
    String,
    Table,
    text,
)

from gateway.ledger.tables.base import metadata

flow_instance = Table(
    "flow_instance",
    metadata,
    Column("id", String(36), primary_key=True, comment="rises with time"),
    Column("flow", String(16), nullable=False),
    Column("subject", String(36), nullable=True),
    Column("state", String(16), nullable=False, comment="open | overdue | refused | done | completed"),
    Column("begun_at", Double, nullable=False, comment="business time, as all times here"),
    Column("changed_at", Double, nullable=False),
    Column("due_at", Double, nullable=True, comment="when it must be looked at next"),
    Column("closed_at", Double, nullable=True),
    Column("steps", String, nullable=False, comment="JSON: step -> state, messages, due, since, code"),
    Column("completed_by", String(128), nullable=True),
    Column("reason", String, nullable=True),
    Column("part_of", String(36), nullable=True),
    Index("flow_instance_subject", "subject", "begun_at"),
    Index("flow_instance_open", "flow", "state", sqlite_where=text("closed_at IS NULL"), postgresql_where=text("closed_at IS NULL")),
    Index("flow_instance_due", "due_at", sqlite_where=text("due_at IS NOT NULL"), postgresql_where=text("due_at IS NOT NULL")),
    Index("flow_instance_closed", "closed_at", sqlite_where=text("closed_at IS NOT NULL"), postgresql_where=text("closed_at IS NOT NULL")),
    sqlite_with_rowid=False,
    comment="cases of the business flows, derived from the record: may be made anew from it at any time",
)

flow_message = Table(
    "flow_message",
    metadata,
    Column("message_id", String(36), primary_key=True),
    Column("instance_id", String(36), primary_key=True),
    Index("flow_message_instance", "instance_id"),
    sqlite_with_rowid=False,
    comment="which message belongs to which case",
)
