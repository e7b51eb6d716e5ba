"""Whole registers and files: reconciliation, media, what is fetched from a party, links that are late."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    UniqueConstraint,
    text,
)

from gateway.ledger.tables.base import metadata

reconciliation = Table(
    "reconciliation",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("run", String(40), nullable=False, unique=True, comment="as register and party call it"),
    Column("other", String(64), nullable=False, comment="spec id of the party whose records were compared with the register's"),
    Column("party", String(64), nullable=False, comment="whose deliveries say whether an update is still under way to it"),
    Column("cut_off", Double, nullable=False),
    Column("status", String(10), nullable=False, comment="running | paused | done"),
    Column("buckets", Integer, nullable=False),
    Column("next_bucket", Integer, nullable=False, comment="all before it are compared: where a run goes on"),
    Column("differing", Integer, nullable=False, comment="buckets that were not the same on both sides"),
    Column("found", Integer, nullable=False, comment="differences so far, and the number of the last"),
    Column("ours_digest", String(64), nullable=False),
    Column("theirs_digest", String(64), nullable=False),
    Column("ours_records", Integer, nullable=False),
    Column("theirs_records", Integer, nullable=False),
    Column("reason", String, nullable=False),
    Column("began_by", String(128), nullable=False),
    Column("began_at", Double, nullable=False),
    Column("changed_at", Double, nullable=False),
    comment="comparisons of the whole register with what a party holds (FR-1, F2-6)",
)

reconciliation_difference = Table(
    "reconciliation_difference",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("reconciliation", String(36), ForeignKey("reconciliation.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("kind", String(10), nullable=False, comment="missing | extra | changed | order"),
    Column("items", String, nullable=False, comment="ids of the items that differ, with commas"),
    Column("reference", String(64), nullable=False, comment="of the resident, keyed: only who has the run's secret can open it"),
    Column("subject", String(36), nullable=True, comment="of the resident, where the ledger knows him"),
    Column("state", String(10), nullable=False, comment="postponed | open | released | resolved"),
    Column("correction", String(24), nullable=True),
    Column("request_id", String(36), nullable=True, comment="the command by which two persons authorised the correction"),
    Column("changed_at", Double, nullable=False),
    Index("reconciliation_difference_number", "reconciliation", "number", unique=True),
    Index("reconciliation_difference_reference", "reconciliation", "reference", unique=True),
    comment="worklist of a reconciliation: what differs, no personal data",
)

medium_output = Table(
    "medium_output",
    metadata,
    Column("request_id", String(36), primary_key=True, comment="the command by which two persons permitted it"),
    Column("target", String(64), nullable=False),
    Column("medium", String(64), nullable=False, comment="the id that is written on it"),
    Column("type", String(64), nullable=False),
    Column("count", Integer, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("digest", String(64), nullable=False, comment="SHA-256 of what was written"),
    Column("operator", String(128), nullable=False),
    Column("approved_by", String(128), nullable=False),
    Column("began_at", Double, nullable=False),
    Column("ended_at", Double, nullable=True, comment="when it was read back from the medium and was the same"),
    comment="work record of output to media (作業記録簿): one for each (C-2-5-4, C-2-5-6, C-3-5-5)",
)

fetch_run = Table(
    "fetch_run",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("party", String(64), nullable=False),
    Column("due_at", Double, nullable=False, comment="the moment of the calendar that it is for (business time)"),
    Column("began_at", Double, nullable=False, comment="its last attempt (business time)"),
    Column("ended_at", Double, nullable=True, comment="when all of it was committed and acknowledged (business time)"),
    Column("attempts", Integer, nullable=False),
    Column("code", String(64), nullable=True, comment="why the last attempt failed"),
    Column("missed", Integer, nullable=False, comment="moments of the calendar before it that had no run"),
    Column("batches", Integer, nullable=False),
    Column("records", Integer, nullable=False),
    UniqueConstraint("party", "due_at", name="fetch_once"),
    comment="what was fetched from a party, by its calendar; also when nothing was there (C-1-2-25, C-1-7-13)",
)

fetch_batch = Table(
    "fetch_batch",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("party", String(64), nullable=False),
    Column("batch", String(200), nullable=False, comment="the party's id of it"),
    Column("run", String(36), nullable=True),
    Column("imported_at", Double, nullable=False),
    Column("records", Integer, nullable=False),
    Column("accepted", Integer, nullable=False),
    Column("set_aside", Integer, nullable=False),
    Column("refused", Integer, nullable=False),
    Column("items_dropped", Integer, nullable=False, comment="items outside the configured list (C-1-2-3)"),
    Column("acknowledged_at", Double, nullable=True),
    UniqueConstraint("party", "batch", name="fetch_batch_once"),
    Index("fetch_batch_imported", "imported_at"),
    comment="import report of each batch (C-1-2-18)",
)

fetch_record = Table(
    "fetch_record",
    metadata,
    Column("batch_id", String(36), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False, comment="its place in the batch, from 1"),
    Column("record", String(200), nullable=False, comment="the party's id of it"),
    Column("outcome", String(10), nullable=False, comment="accepted | set-aside | refused"),
    Column("code", String(64), nullable=True),
    Column("message_id", String(36), nullable=True),
    Column("duplicate", Boolean, nullable=False),
    Column("items_dropped", Integer, nullable=False),
    Index("fetch_record_name", "record"),
    comment="what became of each record of a batch; whom it is about stands in the message, sealed",
)

anomaly = Table(
    "anomaly",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("link", String(64), nullable=False, comment="the feed, or the party, of the configuration"),
    Column("kind", String(16), nullable=False, comment="late | missing | empty | lag | without-status"),
    Column("cause", String(64), nullable=False, comment="a code, without personal data"),
    Column("since", Double, nullable=False, comment="when it should have come, or since when something has been under way (business time)"),
    Column("raised_at", Double, nullable=False),
    Column("changed_at", Double, nullable=False),
    Column("cleared_at", Double, nullable=True),
    Index("anomaly_open", "link", sqlite_where=text("cleared_at IS NULL"), postgresql_where=text("cleared_at IS NULL")),
    comment="feeds that did not come and links that are not up to date (FM-1, C-1-7-8)",
)
