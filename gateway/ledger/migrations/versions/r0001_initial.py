"""The tables of the ledger as first released; made by ``regenerate.py``, explicit: it never changes with the tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Build everything."""
    op.create_table(
        "anomaly",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("link", sa.String(length=64), nullable=False, comment="the feed, or the party, of the configuration"),
        sa.Column("kind", sa.String(length=16), nullable=False, comment="late | missing | empty | lag | without-status"),
        sa.Column("cause", sa.String(length=64), nullable=False, comment="a code, without personal data"),
        sa.Column(
            "since",
            sa.Double(),
            nullable=False,
            comment="when it should have come, or since when something has been under way (business time)",
        ),
        sa.Column("raised_at", sa.Double(), nullable=False),
        sa.Column("changed_at", sa.Double(), nullable=False),
        sa.Column("cleared_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        comment="feeds that did not come and links that are not up to date (FM-1, C-1-7-8)",
    )
    op.create_index(
        "anomaly_open",
        "anomaly",
        ["link"],
        unique=False,
        sqlite_where=sa.text("cleared_at IS NULL"),
        postgresql_where=sa.text("cleared_at IS NULL"),
    )
    op.create_table(
        "atena_link",
        sa.Column("subject", sa.String(length=36), nullable=False),
        sa.Column("payload_id", sa.String(length=36), nullable=False, comment="the atena number, sealed"),
        sa.Column("message_id", sa.String(length=36), nullable=False, comment="the feed that said so"),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("subject"),
        comment="whose certificates have which serial numbers: from the register's linkage feed, for applications (FS10-2)",
    )
    op.create_table(
        "audit_block",
        sa.Column("number", sa.Integer(), nullable=False, comment="from 1, without gaps"),
        sa.Column("previous", sa.LargeBinary(), nullable=False, comment="digest of the block before: unique, so that no chain can fork"),
        sa.Column("digest", sa.LargeBinary(), nullable=False, comment="SHA-256 of the block's text (docs/audit.md)"),
        sa.Column("at", sa.Double(), nullable=False, comment="when it was chained"),
        sa.Column("entries", sa.Integer(), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False, comment="entries of the chain, this block included"),
        sa.Column(
            "leaves", sa.String(), nullable=False, comment="id and shortened digest of each entry, in order: says which one was touched"
        ),
        sa.PrimaryKeyConstraint("number"),
        sa.UniqueConstraint("previous"),
        comment="the chain over the audit entries (R22)",
    )
    op.create_table(
        "audit_checkpoint",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("block", sa.Integer(), nullable=False),
        sa.Column("text", sa.String(), nullable=False, comment="what was signed (docs/audit.md)"),
        sa.Column("signature", sa.LargeBinary(), nullable=False, comment="ECDSA P-256 with SHA-256, DER"),
        sa.Column("token", sa.LargeBinary(), nullable=True, comment="RFC 3161 time-stamp response over the signature, DER"),
        sa.PrimaryKeyConstraint("number"),
        comment="signed heads of the chain; the same are written outside the ledger",
    )
    op.create_table(
        "audit_entry",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("kind", sa.String(length=48), nullable=False),
        sa.Column("actor", sa.String(length=128), nullable=False),
        sa.Column("message_id", sa.String(length=36), nullable=True),
        sa.Column("delivery_id", sa.String(length=36), nullable=True),
        sa.Column("party", sa.String(length=64), nullable=True),
        sa.Column("detail", sa.String(), nullable=False, comment="canonical JSON without personal data"),
        sa.Column("block", sa.Integer(), nullable=True, comment="set when chained (R22)"),
        sa.PrimaryKeyConstraint("id"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "audit_entry_unchained",
        "audit_entry",
        ["id"],
        unique=False,
        sqlite_where=sa.text("block IS NULL"),
        postgresql_where=sa.text("block IS NULL"),
    )
    op.create_index(op.f("ix_audit_entry_message_id"), "audit_entry", ["message_id"], unique=False)
    op.create_table(
        "code_acquisition",
        sa.Column("id", sa.String(length=36), nullable=False, comment="the processing number is an alias of it (subject_alias)"),
        sa.Column("person", sa.String(length=36), nullable=False, comment="subject of the integrated atena number"),
        sa.Column("state", sa.String(length=12), nullable=False, comment="asked | numbered | paired | handed-on | overtaken"),
        sa.Column("numbered", sa.Boolean(), nullable=False, comment="a processing number was given for it"),
        sa.Column("bound", sa.String(length=36), nullable=True, comment="subject of the Individual Number, as the atena system joined it"),
        sa.Column("asked_at", sa.Double(), nullable=False),
        sa.Column("changed_at", sa.Double(), nullable=False),
        sa.Column("due_at", sa.Double(), nullable=False, comment="when the next step is overdue"),
        sa.Column("asked_id", sa.String(length=36), nullable=False, comment="messages"),
        sa.Column("answered_id", sa.String(length=36), nullable=True),
        sa.Column("paired_id", sa.String(length=36), nullable=True),
        sa.Column("handed_id", sa.String(length=36), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        comment="code acquisition (F6-1): two ways tied by a processing number; neither it nor an Individual Number stands here",
        sqlite_with_rowid=False,
    )
    op.create_index("code_acquisition_changed", "code_acquisition", ["changed_at"], unique=False)
    op.create_index(
        "code_acquisition_due",
        "code_acquisition",
        ["due_at"],
        unique=False,
        sqlite_where=sa.text("state IN ('asked', 'numbered', 'paired')"),
        postgresql_where=sa.text("state IN ('asked', 'numbered', 'paired')"),
    )
    op.create_index(op.f("ix_code_acquisition_person"), "code_acquisition", ["person"], unique=False)
    op.create_table(
        "command",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False, comment="see gateway/approvals/kinds.py"),
        sa.Column("delivery_id", sa.String(length=36), nullable=True),
        sa.Column(
            "subject",
            sa.String(length=200),
            nullable=True,
            comment="what it is about where that is no delivery: a kept refusal, an operator, ...",
        ),
        sa.Column("party", sa.String(length=64), nullable=True, comment="whose rights it touches"),
        sa.Column("seen_state", sa.String(length=16), nullable=False),
        sa.Column("seen_digest", sa.LargeBinary(), nullable=False),
        sa.Column(
            "seen_epoch", sa.Integer(), nullable=False, comment="of the key's claims: an attempt after the request overtakes it (R13)"
        ),
        sa.Column("argument", sa.String(), nullable=True, comment="settle: took-effect | no-effect; other kinds: canonical JSON"),
        sa.Column("party_key", sa.String(length=64), nullable=True, comment="correct: of the new content"),
        sa.Column("content_digest", sa.LargeBinary(), nullable=True, comment="correct: of the new content"),
        sa.Column("payload_id", sa.String(length=36), nullable=True, comment="correct: the new content, sealed"),
        sa.Column("terms", sa.String(length=32), nullable=True, comment="correct: what the policy permitted of it"),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("requested_by", sa.String(length=128), nullable=False),
        sa.Column("requested_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False, comment="waiting | approved | done | refused | expired | withdrawn"),
        sa.Column("decided_by", sa.String(length=128), nullable=True),
        sa.Column("decided_at", sa.Double(), nullable=True),
        sa.Column("used_at", sa.Double(), nullable=True, comment="when what was approved for later was carried out"),
        sa.Column("outcome", sa.String(length=200), nullable=True, comment="what came of it, as a code"),
        sa.PrimaryKeyConstraint("id"),
        comment="what one person asked for and another decided (R13, four eyes)",
    )
    op.create_index(op.f("ix_command_delivery_id"), "command", ["delivery_id"], unique=False)
    op.create_table(
        "daily_check",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False, comment="in Japan"),
        sa.Column(
            "system",
            sa.String(length=64),
            nullable=True,
            comment="whose import report it was (確認用帳票, C-1-2-6); null: what was refused",
        ),
        sa.Column("digest", sa.String(length=64), nullable=False, comment="of what was looked at"),
        sa.Column("result", sa.String(), nullable=False),
        sa.Column("checked_by", sa.String(length=128), nullable=False),
        sa.Column("checked_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        comment="that somebody has looked at what was refused (日次確認チェックシート, C-2-3-7), or imported, on a day",
    )
    op.create_index(op.f("ix_daily_check_day"), "daily_check", ["day"], unique=False)
    op.create_table(
        "data_key",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("message_id", sa.String(length=36), nullable=False),
        sa.Column("party", sa.String(length=64), nullable=False),
        sa.Column(
            "kek_id", sa.String(length=64), nullable=False, comment="key path: what it is wrapped under, <key-encryption key>[/<day key>]"
        ),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        comment="the only place of wrapped data keys: destroying a row makes every copy of the ciphertext unreadable",
        sqlite_with_rowid=False,
    )
    op.create_index("data_key_kek", "data_key", ["kek_id", "id"], unique=False)
    op.create_index("data_key_message", "data_key", ["message_id", "party"], unique=False)
    op.create_table(
        "disposal",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("run", sa.String(length=36), nullable=False, comment="all lines of one run"),
        sa.Column("rule", sa.String(length=64), nullable=False, comment="of the retention table"),
        sa.Column(
            "place", sa.String(length=32), nullable=False, comment="content | receipt | quarantine | record | backup | log | submit | ..."
        ),
        sa.Column("type", sa.String(length=64), nullable=True),
        sa.Column("party", sa.String(length=64), nullable=True),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("oldest", sa.Double(), nullable=False, comment="from when what was disposed of was: when it was sent, refused, written"),
        sa.Column("newest", sa.Double(), nullable=False),
        sa.Column("began_at", sa.Double(), nullable=False),
        sa.Column("ended_at", sa.Double(), nullable=False),
        sa.Column("actor", sa.String(length=128), nullable=False),
        sa.Column(
            "instruction", sa.String(length=36), nullable=True, comment="the instruction of two persons, where it was none of the table"
        ),
        sa.Column("proof", sa.String(length=16), nullable=True, comment="nothing-left | remains | not-searched"),
        sa.PrimaryKeyConstraint("id"),
        comment="disposal history: what class, how many, when, by which rule; never what (C-1-7-16)",
    )
    op.create_index("disposal_began", "disposal", ["began_at"], unique=False)
    op.create_table(
        "fetch_batch",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("party", sa.String(length=64), nullable=False),
        sa.Column("batch", sa.String(length=200), nullable=False, comment="the party's id of it"),
        sa.Column("run", sa.String(length=36), nullable=True),
        sa.Column("imported_at", sa.Double(), nullable=False),
        sa.Column("records", sa.Integer(), nullable=False),
        sa.Column("accepted", sa.Integer(), nullable=False),
        sa.Column("set_aside", sa.Integer(), nullable=False),
        sa.Column("refused", sa.Integer(), nullable=False),
        sa.Column("items_dropped", sa.Integer(), nullable=False, comment="items outside the configured list (C-1-2-3)"),
        sa.Column("acknowledged_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("party", "batch", name="fetch_batch_once"),
        comment="import report of each batch (C-1-2-18)",
    )
    op.create_index("fetch_batch_imported", "fetch_batch", ["imported_at"], unique=False)
    op.create_table(
        "fetch_record",
        sa.Column("batch_id", sa.String(length=36), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False, comment="its place in the batch, from 1"),
        sa.Column("record", sa.String(length=200), nullable=False, comment="the party's id of it"),
        sa.Column("outcome", sa.String(length=10), nullable=False, comment="accepted | set-aside | refused"),
        sa.Column("code", sa.String(length=64), nullable=True),
        sa.Column("message_id", sa.String(length=36), nullable=True),
        sa.Column("duplicate", sa.Boolean(), nullable=False),
        sa.Column("items_dropped", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("batch_id", "number"),
        comment="what became of each record of a batch; whom it is about stands in the message, sealed",
    )
    op.create_index("fetch_record_name", "fetch_record", ["record"], unique=False)
    op.create_table(
        "fetch_run",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("party", sa.String(length=64), nullable=False),
        sa.Column("due_at", sa.Double(), nullable=False, comment="the moment of the calendar that it is for (business time)"),
        sa.Column("began_at", sa.Double(), nullable=False, comment="its last attempt (business time)"),
        sa.Column("ended_at", sa.Double(), nullable=True, comment="when all of it was committed and acknowledged (business time)"),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("code", sa.String(length=64), nullable=True, comment="why the last attempt failed"),
        sa.Column("missed", sa.Integer(), nullable=False, comment="moments of the calendar before it that had no run"),
        sa.Column("batches", sa.Integer(), nullable=False),
        sa.Column("records", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("party", "due_at", name="fetch_once"),
        comment="what was fetched from a party, by its calendar; also when nothing was there (C-1-2-25, C-1-7-13)",
    )
    op.create_table(
        "flow_instance",
        sa.Column("id", sa.String(length=36), nullable=False, comment="rises with time"),
        sa.Column("flow", sa.String(length=16), nullable=False),
        sa.Column("subject", sa.String(length=36), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False, comment="open | overdue | refused | done | completed"),
        sa.Column("begun_at", sa.Double(), nullable=False, comment="business time, as all times here"),
        sa.Column("changed_at", sa.Double(), nullable=False),
        sa.Column("due_at", sa.Double(), nullable=True, comment="when it must be looked at next"),
        sa.Column("closed_at", sa.Double(), nullable=True),
        sa.Column("steps", sa.String(), nullable=False, comment="JSON: step -> state, messages, due, since, code"),
        sa.Column("completed_by", sa.String(length=128), nullable=True),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("part_of", sa.String(length=36), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        comment="cases of the business flows, derived from the record: may be made anew from it at any time",
        sqlite_with_rowid=False,
    )
    op.create_index(
        "flow_instance_closed",
        "flow_instance",
        ["closed_at"],
        unique=False,
        sqlite_where=sa.text("closed_at IS NOT NULL"),
        postgresql_where=sa.text("closed_at IS NOT NULL"),
    )
    op.create_index(
        "flow_instance_due",
        "flow_instance",
        ["due_at"],
        unique=False,
        sqlite_where=sa.text("due_at IS NOT NULL"),
        postgresql_where=sa.text("due_at IS NOT NULL"),
    )
    op.create_index(
        "flow_instance_open",
        "flow_instance",
        ["flow", "state"],
        unique=False,
        sqlite_where=sa.text("closed_at IS NULL"),
        postgresql_where=sa.text("closed_at IS NULL"),
    )
    op.create_index("flow_instance_subject", "flow_instance", ["subject", "begun_at"], unique=False)
    op.create_table(
        "flow_message",
        sa.Column("message_id", sa.String(length=36), nullable=False),
        sa.Column("instance_id", sa.String(length=36), nullable=False),
        sa.PrimaryKeyConstraint("message_id", "instance_id"),
        comment="which message belongs to which case",
        sqlite_with_rowid=False,
    )
    op.create_index("flow_message_instance", "flow_message", ["instance_id"], unique=False)
    op.create_table(
        "inquiry",
        sa.Column("id", sa.String(length=36), nullable=False, comment="of the record of provision, and of the dialogue at the party"),
        sa.Column("question", sa.String(length=64), nullable=False, comment="message type"),
        sa.Column(
            "reference", sa.String(length=64), nullable=True, comment="the application that it belongs to, as the asking system names it"
        ),
        sa.Column("condition", sa.String(), nullable=False, comment="JSON: what was asked by, values masked"),
        sa.PrimaryKeyConstraint("id"),
        comment="what one of our systems asked a party while somebody waited (C-2-3-8); nothing of the answer",
    )
    op.create_index(op.f("ix_inquiry_reference"), "inquiry", ["reference"], unique=False)
    op.create_table(
        "intake_epoch",
        sa.Column("system", sa.String(length=64), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("worker", sa.String(length=36), nullable=False),
        sa.Column("claimed_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("system"),
    )
    op.create_table(
        "integrated_number",
        sa.Column("subject", sa.String(length=36), nullable=False, comment="of the integrated atena number (団体内統合宛名番号)"),
        sa.Column("atena", sa.String(length=36), nullable=True, comment="subject of the atena number that a linkage bound it to"),
        sa.Column("individual", sa.String(length=36), nullable=True, comment="subject of the Individual Number that a linkage bound it to"),
        sa.Column("linked_id", sa.String(length=36), nullable=True, comment="message"),
        sa.Column(
            "registered_id",
            sa.String(length=36),
            nullable=True,
            comment="message that registered it at the intermediate server, the first one",
        ),
        sa.PrimaryKeyConstraint("subject"),
        sa.UniqueConstraint("atena"),
        sa.UniqueConstraint("individual"),
        comment="who may have a replica (FS6-4, C-M-6-13); random ids of persons, no numbers",
        sqlite_with_rowid=False,
    )
    op.create_table(
        "key_row",
        sa.Column("id", sa.String(length=36), nullable=False, comment="rises with time, so that what is worked on lies together"),
        sa.Column("place", sa.String(length=40), nullable=False, comment="digest of party, stream and subject"),
        sa.Column("party", sa.String(length=64), nullable=False),
        sa.Column("stream", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.String(length=36), nullable=False),
        sa.Column("next_number", sa.Integer(), nullable=False),
        sa.Column("head", sa.Integer(), nullable=False, comment="the lowest number that is not final"),
        sa.Column("lane", sa.String(length=4), nullable=False, comment="where its bell is rung"),
        sa.Column("held", sa.String(length=16), nullable=True, comment="rejected | unknown | budget | crashes | approval"),
        sa.Column("due_at", sa.Double(), nullable=True, comment="the only promise of a wake-up"),
        sa.Column("claim_worker", sa.String(length=36), nullable=True),
        sa.Column("claim_epoch", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("rung_at", sa.Double(), nullable=True),
        sa.Column("rings", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("place"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "key_row_claimed",
        "key_row",
        ["claim_worker"],
        unique=False,
        sqlite_where=sa.text("claim_worker IS NOT NULL"),
        postgresql_where=sa.text("claim_worker IS NOT NULL"),
    )
    op.create_index(
        "key_row_due",
        "key_row",
        ["party", "lane", "due_at"],
        unique=False,
        sqlite_where=sa.text("due_at IS NOT NULL"),
        postgresql_where=sa.text("due_at IS NOT NULL"),
    )
    op.create_index(
        "key_row_held",
        "key_row",
        ["party", "held"],
        unique=False,
        sqlite_where=sa.text("held IS NOT NULL"),
        postgresql_where=sa.text("held IS NOT NULL"),
    )
    op.create_table(
        "late_outcome",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("delivery_id", sa.String(length=36), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False, comment="delivered | rejected | ..."),
        sa.Column("code", sa.String(length=64), nullable=True),
        sa.Column("worker", sa.String(length=36), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        comment="what a worker learned after its claim was lost (R7)",
    )
    op.create_index(op.f("ix_late_outcome_delivery_id"), "late_outcome", ["delivery_id"], unique=False)
    op.create_table(
        "lease",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("worker", sa.String(length=36), nullable=False, comment="the registration that holds it: void when that one is (R6)"),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("taken_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
        comment="work that one process does for all: chaining the audit entries, retention",
    )
    op.create_table(
        "medium_output",
        sa.Column("request_id", sa.String(length=36), nullable=False, comment="the command by which two persons permitted it"),
        sa.Column("target", sa.String(length=64), nullable=False),
        sa.Column("medium", sa.String(length=64), nullable=False, comment="the id that is written on it"),
        sa.Column("type", sa.String(length=64), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False, comment="SHA-256 of what was written"),
        sa.Column("operator", sa.String(length=128), nullable=False),
        sa.Column("approved_by", sa.String(length=128), nullable=False),
        sa.Column("began_at", sa.Double(), nullable=False),
        sa.Column("ended_at", sa.Double(), nullable=True, comment="when it was read back from the medium and was the same"),
        sa.PrimaryKeyConstraint("request_id"),
        comment="work record of output to media (作業記録簿): one for each (C-2-5-4, C-2-5-6, C-3-5-5)",
    )
    op.create_table(
        "message",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("system", sa.String(length=64), nullable=False, comment="the sending system or party, known from queue or certificate"),
        sa.Column("producer", sa.String(length=64), nullable=True, comment="whose message it is, where a party hands on another's"),
        sa.Column("source_id", sa.String(length=200), nullable=False, comment="the sender's id of the message (CloudEvents id)"),
        sa.Column("type", sa.String(length=64), nullable=False),
        sa.Column("schema", sa.String(length=200), nullable=False),
        sa.Column("content_mac", sa.LargeBinary(), nullable=False, comment="keyed digest of type, schema and data (R17)"),
        sa.Column("door", sa.String(length=8), nullable=False, comment="amqp | https | file | soap | fetch"),
        sa.Column("subject", sa.String(length=36), nullable=True),
        sa.Column("operator", sa.String(length=64), nullable=True, comment="staff id at the sender"),
        sa.Column("terminal", sa.String(length=64), nullable=True),
        sa.Column("corrects", sa.String(length=36), nullable=True, comment="the held message that this one replaced"),
        sa.Column("work", sa.String(length=64), nullable=True, comment="what for, as the sender said (事務)"),
        sa.Column("basis", sa.String(length=200), nullable=True, comment="the legal basis that the sender claimed, which matched"),
        sa.Column("flow", sa.String(length=16), nullable=True, comment="the business flow that the sender named"),
        sa.Column("resends", sa.String(length=36), nullable=True, comment="our id of the message that this one sends again"),
        sa.Column("municipality", sa.String(length=6), nullable=True, comment="at the other end, where a party relays to several"),
        sa.Column("supplier", sa.String(length=64), nullable=True, comment="the department behind the system, known from its certificate"),
        sa.Column("accepted_at", sa.Double(), nullable=False),
        sa.Column("receipt", sa.LargeBinary(), nullable=False, comment="returned byte for byte to whoever submits the same message again"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("system", "source_id", name="message_once"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "meta",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
        comment="incarnation of the ledger, offset of the business clock (R21), schema facts",
    )
    op.create_table(
        "operator_account",
        sa.Column("name", sa.String(length=200), nullable=False, comment="as in the personal certificate"),
        sa.Column("rights", sa.String(), nullable=False, comment="approved by a second person; canonical JSON"),
        sa.Column("granted_at", sa.Double(), nullable=False),
        sa.Column("requested_by", sa.String(length=200), nullable=False),
        sa.Column("approved_by", sa.String(length=200), nullable=False),
        sa.Column("reviewed_at", sa.Double(), nullable=False),
        sa.Column("reviewed_by", sa.String(length=200), nullable=False),
        sa.Column("seen_at", sa.Double(), nullable=True, comment="last use, to a quarter of an hour"),
        sa.Column("released_until", sa.Double(), nullable=True, comment="a contractor may act until then"),
        sa.Column("released_by", sa.String(length=200), nullable=True),
        sa.PrimaryKeyConstraint("name"),
        comment="what of the configured rights of operators is in force (C-1-3-16, C-1-3-20)",
    )
    op.create_table(
        "party_state",
        sa.Column("party", sa.String(length=64), nullable=False),
        sa.Column("breaker", sa.String(length=8), nullable=False, comment="closed | open | probing"),
        sa.Column("failures", sa.Integer(), nullable=False, comment="in a row, of the party as a whole"),
        sa.Column("opened_at", sa.Double(), nullable=True),
        sa.Column("probe_at", sa.Double(), nullable=True, comment="when the next probe may start"),
        sa.Column("probe_worker", sa.String(length=36), nullable=True),
        sa.Column("code", sa.String(length=64), nullable=True),
        sa.Column("answered_at", sa.Double(), nullable=True, comment="the party last answered anyone (to the second)"),
        sa.Column("paused_by", sa.String(length=128), nullable=True),
        sa.Column("paused_at", sa.Double(), nullable=True),
        sa.Column("manual", sa.Boolean(), server_default=sa.text("false"), nullable=False, comment="its work is done by hand meanwhile"),
        sa.PrimaryKeyConstraint("party"),
    )
    op.create_table(
        "payload",
        sa.Column("id", sa.String(length=36), nullable=False, comment="the id of its data key: one key for each body"),
        sa.Column("kind", sa.String(length=16), nullable=False, comment="delivery | receipt | command | quarantine"),
        sa.Column("sealed", sa.LargeBinary(), nullable=False, comment="nonce, AES-256-GCM ciphertext and tag"),
        sa.Column("content_type", sa.String(length=64), server_default=sa.text("'application/xml'"), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "person_mark",
        sa.Column("subject", sa.String(length=36), nullable=False),
        sa.Column("mark", sa.String(length=32), nullable=False, comment="support-<measure> | deceased"),
        sa.Column("since", sa.String(length=10), nullable=True),
        sa.Column("until", sa.String(length=10), nullable=True),
        sa.Column("message_id", sa.String(length=36), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("subject", "mark"),
        comment="what the register said of a resident that decides what may leave",
        sqlite_with_rowid=False,
    )
    op.create_table(
        "policy_document",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("document", sa.String(), nullable=False, comment="canonical JSON; no personal data"),
        sa.PrimaryKeyConstraint("digest"),
        comment="policies that were asked for",
    )
    op.create_table(
        "policy_version",
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False, comment="the one named in meta counts"),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("base", sa.Integer(), nullable=False, comment="the version that was seen and changed"),
        sa.Column("request", sa.String(length=36), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("requested_by", sa.String(length=128), nullable=False),
        sa.Column("approved_by", sa.String(length=128), nullable=False),
        sa.Column("applied_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("version"),
        comment="policies that count or counted",
    )
    op.create_table(
        "provision",
        sa.Column("id", sa.String(length=36), nullable=False, comment="of the delivery; of a refusal its own"),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("subject", sa.String(length=36), nullable=True),
        sa.Column("message_id", sa.String(length=36), nullable=True),
        sa.Column("system", sa.String(length=64), nullable=False, comment="who handed it in"),
        sa.Column("type", sa.String(length=64), nullable=True),
        sa.Column("party", sa.String(length=64), nullable=True),
        sa.Column("work", sa.String(length=64), nullable=True),
        sa.Column("terms", sa.String(length=32), nullable=True),
        sa.Column("operator", sa.String(length=64), nullable=True),
        sa.Column("terminal", sa.String(length=64), nullable=True),
        sa.Column(
            "outcome",
            sa.String(length=16),
            nullable=False,
            comment="permitted | provided | refused | rejected | skipped | expired | replaced",
        ),
        sa.Column("outcome_at", sa.Double(), nullable=True),
        sa.Column("code", sa.String(length=64), nullable=True),
        sa.Column("rule", sa.String(length=200), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        comment="record of provision (提供記録): independent of bodies, kept five years",
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_provision_at"), "provision", ["at"], unique=False)
    op.create_index(op.f("ix_provision_subject"), "provision", ["subject"], unique=False)
    op.create_table(
        "provision_terms",
        sa.Column("id", sa.String(length=32), nullable=False, comment="digest of the text"),
        sa.Column(
            "text", sa.String(), nullable=False, comment="canonical JSON: permission, work, legal basis, items, version of the policy"
        ),
        sa.PrimaryKeyConstraint("id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "quarantine",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("system", sa.String(length=64), nullable=False),
        sa.Column("door", sa.String(length=8), nullable=False),
        sa.Column("source_id", sa.String(length=200), nullable=True),
        sa.Column("type", sa.String(length=64), nullable=True),
        sa.Column("code", sa.String(length=64), nullable=False),
        sa.Column("rule", sa.String(length=200), nullable=True),
        sa.Column("place", sa.String(length=400), nullable=True),
        sa.Column("size_bytes", sa.Integer(), nullable=False),
        sa.Column("payload_id", sa.String(length=36), nullable=True, comment="the body, sealed; none where it was too large to keep"),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("attributes", sa.String(), nullable=True, comment="of the event, as JSON: needed to hand it in again"),
        sa.Column("status", sa.String(length=10), server_default=sa.text("'kept'"), nullable=False, comment="kept | released | discarded"),
        sa.Column("decided_at", sa.Double(), nullable=True),
        sa.Column("request_id", sa.String(length=36), nullable=True, comment="the command by which two persons released or discarded it"),
        sa.Column("message_id", sa.String(length=36), nullable=True, comment="what it was accepted as, once released"),
        sa.PrimaryKeyConstraint("id"),
        comment="what was refused at a door, kept for the operator (I10); the body is in payload, sealed",
    )
    op.create_table(
        "reconciliation",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("run", sa.String(length=40), nullable=False, comment="as register and party call it"),
        sa.Column(
            "other", sa.String(length=64), nullable=False, comment="spec id of the party whose records were compared with the register's"
        ),
        sa.Column("party", sa.String(length=64), nullable=False, comment="whose deliveries say whether an update is still under way to it"),
        sa.Column("cut_off", sa.Double(), nullable=False),
        sa.Column("status", sa.String(length=10), nullable=False, comment="running | paused | done"),
        sa.Column("buckets", sa.Integer(), nullable=False),
        sa.Column("next_bucket", sa.Integer(), nullable=False, comment="all before it are compared: where a run goes on"),
        sa.Column("differing", sa.Integer(), nullable=False, comment="buckets that were not the same on both sides"),
        sa.Column("found", sa.Integer(), nullable=False, comment="differences so far, and the number of the last"),
        sa.Column("ours_digest", sa.String(length=64), nullable=False),
        sa.Column("theirs_digest", sa.String(length=64), nullable=False),
        sa.Column("ours_records", sa.Integer(), nullable=False),
        sa.Column("theirs_records", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("began_by", sa.String(length=128), nullable=False),
        sa.Column("began_at", sa.Double(), nullable=False),
        sa.Column("changed_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("run"),
        comment="comparisons of the whole register with what a party holds (FR-1, F2-6)",
    )
    op.create_table(
        "reply",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("party", sa.String(length=64), nullable=False),
        sa.Column("correlation", sa.String(length=200), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("code", sa.String(length=64), nullable=True),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        comment="answers that came after the call (R14)",
    )
    op.create_index("reply_correlation", "reply", ["party", "correlation"], unique=False)
    op.create_table(
        "seen_message",
        sa.Column("party", sa.String(length=64), nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False, comment="SHA-256 of the message id"),
        sa.Column("until", sa.Double(), nullable=False, comment="after that the message itself is out of date"),
        sa.PrimaryKeyConstraint("party", "key"),
        comment="signed messages of the parties that were taken: the same again is a replay",
    )
    op.create_index(op.f("ix_seen_message_until"), "seen_message", ["until"], unique=False)
    op.create_table(
        "subject_alias",
        sa.Column(
            "blind", sa.LargeBinary(), nullable=False, comment="HMAC of the identifier; first in the index, as it is looked up by it alone"
        ),
        sa.Column("kind", sa.String(length=32), nullable=False, comment="resident-record-code | individual-number | atena-number | ..."),
        sa.Column("hmac_key_id", sa.String(length=64), nullable=False, comment="generation of the blind indexes"),
        sa.Column("subject", sa.String(length=36), nullable=False),
        sa.Column(
            "superseded",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="an Individual Number of somebody who has another now",
        ),
        sa.PrimaryKeyConstraint("blind", "kind"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "subject_alias_acquisition",
        "subject_alias",
        ["subject"],
        unique=False,
        sqlite_where=sa.text("kind = 'processing-number'"),
        postgresql_where=sa.text("kind = 'processing-number'"),
    )
    op.create_index("subject_alias_generation", "subject_alias", ["hmac_key_id", "subject"], unique=False)
    op.create_index(
        "subject_alias_number",
        "subject_alias",
        ["subject"],
        unique=False,
        sqlite_where=sa.text("kind = 'individual-number'"),
        postgresql_where=sa.text("kind = 'individual-number'"),
    )
    op.create_table(
        "worker",
        sa.Column("id", sa.String(length=36), nullable=False, comment="fresh for each registration, never reused (R6)"),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("host", sa.String(length=64), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("registered_at", sa.Double(), nullable=False),
        sa.Column("renewed_at", sa.Double(), nullable=False),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "delivery",
        sa.Column("id", sa.String(length=36), nullable=False, comment="unguessable; the delivery id that the party sees (R4)"),
        sa.Column("message_id", sa.String(length=36), nullable=False),
        sa.Column("party", sa.String(length=64), nullable=False),
        sa.Column("key_id", sa.String(length=36), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False, comment="place within the key (R2)"),
        sa.Column("lane", sa.String(length=4), nullable=False, comment="live | bulk"),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=True, comment="stable code of why it is where it is"),
        sa.Column("party_key", sa.String(length=64), nullable=True, comment="the party's own key (依頼管理番号)"),
        sa.Column(
            "way", sa.String(length=200), nullable=True, comment="type, producer and consumer, where not the message's own and the party"
        ),
        sa.Column("content_digest", sa.LargeBinary(), nullable=False, comment="keyed digest of what is sealed for this party (R13)"),
        sa.Column("payload_id", sa.String(length=36), nullable=False, comment="the sealed body, and its data key"),
        sa.Column("waits_for", sa.String(length=36), nullable=True, comment="the delivery that must be delivered first (R3)"),
        sa.Column(
            "approval", sa.String(length=16), nullable=True, comment="release | bulk-output: held until a second person has approved it"
        ),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("spent", sa.Integer(), server_default=sa.text("0"), nullable=False, comment="of the retry budget"),
        sa.Column(
            "losses", sa.Integer(), server_default=sa.text("0"), nullable=False, comment="attempts in a row that ended without an answer"
        ),
        sa.Column("crashes", sa.Integer(), server_default=sa.text("0"), nullable=False, comment="takeovers while sending (R8)"),
        sa.Column(
            "unanswered_since", sa.Double(), nullable=True, comment="some attempt with this id has no answer; the start of the first such"
        ),
        sa.Column(
            "clean", sa.Boolean(), server_default=sa.text("true"), nullable=False, comment="nothing was open when this attempt started (R9)"
        ),
        sa.Column("open_until", sa.Double(), nullable=True, comment="until then an earlier attempt may still take effect (R9)"),
        sa.Column("not_before", sa.Double(), nullable=True, comment="settling or back-off; due_at only wakes (R3)"),
        sa.Column("call_deadline", sa.Double(), nullable=True, comment="end of the attempt under way, or of the wait for a reply"),
        sa.Column("call_cap", sa.Integer(), nullable=True, comment="at most so many records in the next call (R8, R11)"),
        sa.Column("correlation", sa.String(length=200), nullable=True, comment="of an answer that comes later (R14)"),
        sa.Column("replaced_by", sa.String(length=36), nullable=True),
        sa.Column("accepted_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.Column("final_at", sa.Double(), nullable=True),
        sa.Column("outcome_code", sa.String(length=64), nullable=True),
        sa.Column(
            "effective_on", sa.String(length=10), nullable=True, comment="not before this day in Japan; it has its number from then on (R2)"
        ),
        sa.ForeignKeyConstraint(
            ["message_id"],
            ["message.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("party", "party_key", name="party_key_once"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "delivery_approval",
        "delivery",
        ["approval", "party"],
        unique=False,
        sqlite_where=sa.text("approval IS NOT NULL"),
        postgresql_where=sa.text("approval IS NOT NULL"),
    )
    op.create_index(
        "delivery_correlation",
        "delivery",
        ["correlation"],
        unique=False,
        sqlite_where=sa.text("correlation IS NOT NULL"),
        postgresql_where=sa.text("correlation IS NOT NULL"),
    )
    op.create_index(
        "delivery_day",
        "delivery",
        ["effective_on", "id"],
        unique=False,
        sqlite_where=sa.text("number = 0 AND final_at IS NULL"),
        postgresql_where=sa.text("number = 0 AND final_at IS NULL"),
    )
    op.create_index(
        "delivery_expired",
        "delivery",
        ["final_at", "id"],
        unique=False,
        sqlite_where=sa.text("state = 'expired'"),
        postgresql_where=sa.text("state = 'expired'"),
    )
    op.create_index(
        "delivery_finished",
        "delivery",
        ["party", "final_at"],
        unique=False,
        sqlite_where=sa.text("final_at IS NOT NULL"),
        postgresql_where=sa.text("final_at IS NOT NULL"),
    )
    op.create_index("delivery_place", "delivery", ["key_id", "number"], unique=False)
    op.create_index(
        "delivery_unfinished",
        "delivery",
        ["party"],
        unique=False,
        sqlite_where=sa.text("final_at IS NULL"),
        postgresql_where=sa.text("final_at IS NULL"),
    )
    op.create_index(
        "delivery_waits_for",
        "delivery",
        ["waits_for"],
        unique=False,
        sqlite_where=sa.text("waits_for IS NOT NULL"),
        postgresql_where=sa.text("waits_for IS NOT NULL"),
    )
    op.create_index(op.f("ix_delivery_message_id"), "delivery", ["message_id"], unique=False)
    op.create_table(
        "reconciliation_difference",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("reconciliation", sa.String(length=36), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False, comment="missing | extra | changed | order"),
        sa.Column("items", sa.String(), nullable=False, comment="ids of the items that differ, with commas"),
        sa.Column(
            "reference", sa.String(length=64), nullable=False, comment="of the resident, keyed: only who has the run's secret can open it"
        ),
        sa.Column("subject", sa.String(length=36), nullable=True, comment="of the resident, where the ledger knows him"),
        sa.Column("state", sa.String(length=10), nullable=False, comment="postponed | open | released | resolved"),
        sa.Column("correction", sa.String(length=24), nullable=True),
        sa.Column("request_id", sa.String(length=36), nullable=True, comment="the command by which two persons authorised the correction"),
        sa.Column("changed_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["reconciliation"],
            ["reconciliation.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        comment="worklist of a reconciliation: what differs, no personal data",
    )
    op.create_index("reconciliation_difference_number", "reconciliation_difference", ["reconciliation", "number"], unique=True)
    op.create_index("reconciliation_difference_reference", "reconciliation_difference", ["reconciliation", "reference"], unique=True)
