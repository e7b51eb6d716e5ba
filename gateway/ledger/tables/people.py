"""Residents, by keyed digests and random ids only (I5)."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    Double,
    Index,
    LargeBinary,
    String,
    Table,
    text,
)

from gateway.ledger.tables.base import metadata

person_mark = Table(
    "person_mark",
    metadata,
    Column("subject", String(36), primary_key=True),
    Column("mark", String(32), primary_key=True, comment="support-<measure> | deceased"),
    Column("since", String(10), nullable=True),
    Column("until", String(10), nullable=True),
    Column("message_id", String(36), nullable=False),
    Column("at", Double, nullable=False),
    sqlite_with_rowid=False,
    comment="what the register said of a resident that decides what may leave",
)

subject_alias = Table(
    "subject_alias",
    metadata,
    Column("blind", LargeBinary, primary_key=True, comment="HMAC of the identifier; first in the index, as it is looked up by it alone"),
    Column("kind", String(32), primary_key=True, comment="resident-record-code | individual-number | atena-number | ..."),
    Column("hmac_key_id", String(64), nullable=False, comment="generation of the blind indexes"),
    Column("subject", String(36), nullable=False),
    Column(
        "superseded", Boolean, nullable=False, server_default=text("false"), comment="an Individual Number of somebody who has another now"
    ),
    Index("subject_alias_generation", "hmac_key_id", "subject"),  # new residents lie together in it: a commit writes few of its pages
    Index(
        "subject_alias_number",
        "subject",
        sqlite_where=text("kind = 'individual-number'"),
        postgresql_where=text("kind = 'individual-number'"),
    ),
    Index(
        "subject_alias_acquisition",
        "subject",
        sqlite_where=text("kind = 'processing-number'"),
        postgresql_where=text("kind = 'processing-number'"),
    ),
    sqlite_with_rowid=False,
)

integrated_number = Table(
    "integrated_number",
    metadata,
    Column("subject", String(36), primary_key=True, comment="of the integrated atena number (団体内統合宛名番号)"),
    Column("atena", String(36), nullable=True, unique=True, comment="subject of the atena number that a linkage bound it to"),
    Column("individual", String(36), nullable=True, unique=True, comment="subject of the Individual Number that a linkage bound it to"),
    Column("linked_id", String(36), nullable=True, comment="message"),
    Column("registered_id", String(36), nullable=True, comment="message that registered it at the intermediate server, the first one"),
    sqlite_with_rowid=False,
    comment="who may have a replica (FS6-4, C-M-6-13); random ids of persons, no numbers",
)

code_acquisition = Table(
    "code_acquisition",
    metadata,
    Column("id", String(36), primary_key=True, comment="the processing number is an alias of it (subject_alias)"),
    Column("person", String(36), nullable=False, index=True, comment="subject of the integrated atena number"),
    Column("state", String(12), nullable=False, comment="asked | numbered | paired | handed-on | overtaken"),
    Column("numbered", Boolean, nullable=False, comment="a processing number was given for it"),
    Column("bound", String(36), nullable=True, comment="subject of the Individual Number, as the atena system joined it"),
    Column("asked_at", Double, nullable=False),
    Column("changed_at", Double, nullable=False),
    Column("due_at", Double, nullable=False, comment="when the next step is overdue"),
    Column("asked_id", String(36), nullable=False, comment="messages"),
    Column("answered_id", String(36), nullable=True),
    Column("paired_id", String(36), nullable=True),
    Column("handed_id", String(36), nullable=True),
    Index(
        "code_acquisition_due",
        "due_at",
        sqlite_where=text("state IN ('asked', 'numbered', 'paired')"),
        postgresql_where=text("state IN ('asked', 'numbered', 'paired')"),
    ),
    Index("code_acquisition_changed", "changed_at"),
    sqlite_with_rowid=False,
    comment="code acquisition (F6-1): two ways tied by a processing number; neither it nor an Individual Number stands here",
)

atena_link = Table(
    "atena_link",
    metadata,
    Column("subject", String(36), primary_key=True),
    Column("payload_id", String(36), nullable=False, comment="the atena number, sealed"),
    Column("message_id", String(36), nullable=False, comment="the feed that said so"),
    Column("at", Double, nullable=False),
    comment="whose certificates have which serial numbers: from the register's linkage feed, for applications (FS10-2)",
)
