"""The tables of the ledger (SQLAlchemy Core), the same for SQLite and PostgreSQL.

Times are seconds since 1970 UTC as double precision, taken from the ledger's clock (R21). Identifiers of people appear only as keyed
digests (blind indexes); bodies only sealed (I5). ``gateway/ledger/migrations`` builds these tables; a test holds both against each other.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    text,
)

metadata = MetaData()

meta = Table(
    "meta",
    metadata,
    Column("name", String, primary_key=True),
    Column("value", String, nullable=False),
    comment="incarnation of the ledger, offset of the business clock (R21), schema facts",
)

message = Table(
    "message",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("system", String(64), nullable=False, comment="the sending system or party, known from queue or certificate"),
    Column("producer", String(64), nullable=True, comment="whose message it is, where a party hands on another's"),
    Column("source_id", String(200), nullable=False, comment="the sender's id of the message (CloudEvents id)"),
    Column("type", String(64), nullable=False),
    Column("schema", String(200), nullable=False),
    Column("content_mac", LargeBinary, nullable=False, comment="keyed digest of type, schema and data (R17)"),
    Column("door", String(8), nullable=False, comment="amqp | https | file | soap | fetch"),
    Column("subject", String(36), nullable=True),
    Column("operator", String(64), nullable=True, comment="staff id at the sender"),
    Column("terminal", String(64), nullable=True),
    Column("corrects", String(36), nullable=True, comment="the held message that this one replaced"),
    Column("work", String(64), nullable=True, comment="what for, as the sender said (事務)"),
    Column("basis", String(200), nullable=True, comment="the legal basis that the sender claimed, which matched"),
    Column("flow", String(16), nullable=True, comment="the business flow that the sender named"),
    Column("resends", String(36), nullable=True, comment="our id of the message that this one sends again"),
    Column("municipality", String(6), nullable=True, comment="at the other end, where a party relays to several"),
    Column("supplier", String(64), nullable=True, comment="the department behind the system, known from its certificate"),
    Column("accepted_at", Double, nullable=False),
    Column("receipt", LargeBinary, nullable=False, comment="returned byte for byte to whoever submits the same message again"),
    UniqueConstraint("system", "source_id", name="message_once"),
    sqlite_with_rowid=False,
)

delivery = Table(
    "delivery",
    metadata,
    Column("id", String(36), primary_key=True, comment="unguessable; the delivery id that the party sees (R4)"),
    Column("message_id", String(36), ForeignKey("message.id"), nullable=False, index=True),
    Column("party", String(64), nullable=False),
    Column("key_id", String(36), nullable=False),
    Column("number", Integer, nullable=False, comment="place within the key (R2)"),
    Column("lane", String(4), nullable=False, comment="live | bulk"),
    Column("state", String(16), nullable=False),
    Column("reason", String(64), nullable=True, comment="stable code of why it is where it is"),
    Column("party_key", String(64), nullable=True, comment="the party's own key (依頼管理番号)"),
    Column("way", String(200), nullable=True, comment="type, producer and consumer, where not the message's own and the party"),
    Column("content_digest", LargeBinary, nullable=False, comment="keyed digest of what is sealed for this party (R13)"),
    Column("payload_id", String(36), nullable=False, comment="the sealed body, and its data key"),
    Column("waits_for", String(36), nullable=True, comment="the delivery that must be delivered first (R3)"),
    Column("approval", String(16), nullable=True, comment="release | bulk-output: held until a second person has approved it"),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("spent", Integer, nullable=False, server_default=text("0"), comment="of the retry budget"),
    Column("losses", Integer, nullable=False, server_default=text("0"), comment="attempts in a row that ended without an answer"),
    Column("crashes", Integer, nullable=False, server_default=text("0"), comment="takeovers while sending (R8)"),
    Column("unanswered_since", Double, nullable=True, comment="some attempt with this id has no answer; the start of the first such"),
    Column("clean", Boolean, nullable=False, server_default=text("true"), comment="nothing was open when this attempt started (R9)"),
    Column("open_until", Double, nullable=True, comment="until then an earlier attempt may still take effect (R9)"),
    Column("not_before", Double, nullable=True, comment="settling or back-off; due_at only wakes (R3)"),
    Column("call_deadline", Double, nullable=True, comment="end of the attempt under way, or of the wait for a reply"),
    Column("call_cap", Integer, nullable=True, comment="at most so many records in the next call (R8, R11)"),
    Column("correlation", String(200), nullable=True, comment="of an answer that comes later (R14)"),
    Column("replaced_by", String(36), nullable=True),
    Column("accepted_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
    Column("final_at", Double, nullable=True),
    Column("outcome_code", String(64), nullable=True),
    Column("effective_on", String(10), nullable=True, comment="not before this day in Japan; it has its number from then on (R2)"),
    Index("delivery_place", "key_id", "number"),
    Index(
        "delivery_day",
        "effective_on",
        "id",
        sqlite_where=text("number = 0 AND final_at IS NULL"),
        postgresql_where=text("number = 0 AND final_at IS NULL"),
    ),
    Index("delivery_unfinished", "party", sqlite_where=text("final_at IS NULL"), postgresql_where=text("final_at IS NULL")),
    Index(
        "delivery_finished", "party", "final_at", sqlite_where=text("final_at IS NOT NULL"), postgresql_where=text("final_at IS NOT NULL")
    ),
    Index(
        "delivery_approval",
        "approval",
        "party",
        sqlite_where=text("approval IS NOT NULL"),
        postgresql_where=text("approval IS NOT NULL"),
    ),
    Index("delivery_expired", "final_at", "id", sqlite_where=text("state = 'expired'"), postgresql_where=text("state = 'expired'")),
    Index("delivery_waits_for", "waits_for", sqlite_where=text("waits_for IS NOT NULL"), postgresql_where=text("waits_for IS NOT NULL")),
    Index(
        "delivery_correlation",
        "correlation",
        sqlite_where=text("correlation IS NOT NULL"),
        postgresql_where=text("correlation IS NOT NULL"),
    ),
    UniqueConstraint("party", "party_key", name="party_key_once"),
    sqlite_with_rowid=False,
)

key_row = Table(
    "key_row",
    metadata,
    Column("id", String(36), primary_key=True, comment="rises with time, so that what is worked on lies together"),
    Column("place", String(40), nullable=False, unique=True, comment="digest of party, stream and subject"),
    Column("party", String(64), nullable=False),
    Column("stream", String(64), nullable=False),
    Column("subject", String(36), nullable=False),
    Column("next_number", Integer, nullable=False),
    Column("head", Integer, nullable=False, comment="the lowest number that is not final"),
    Column("lane", String(4), nullable=False, comment="where its bell is rung"),
    Column("held", String(16), nullable=True, comment="rejected | unknown | budget | crashes | approval"),
    Column("due_at", Double, nullable=True, comment="the only promise of a wake-up"),
    Column("claim_worker", String(36), nullable=True),
    Column("claim_epoch", Integer, nullable=False, server_default=text("0")),
    Column("rung_at", Double, nullable=True),
    Column("rings", Integer, nullable=False, server_default=text("0")),
    Index("key_row_due", "party", "lane", "due_at", sqlite_where=text("due_at IS NOT NULL"), postgresql_where=text("due_at IS NOT NULL")),
    Index(
        "key_row_claimed", "claim_worker", sqlite_where=text("claim_worker IS NOT NULL"), postgresql_where=text("claim_worker IS NOT NULL")
    ),
    Index("key_row_held", "party", "held", sqlite_where=text("held IS NOT NULL"), postgresql_where=text("held IS NOT NULL")),
    sqlite_with_rowid=False,
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
    Column("digest", String(64), nullable=False, comment="of the refusals that were looked at"),
    Column("result", String, nullable=False),
    Column("checked_by", String(128), nullable=False),
    Column("checked_at", Double, nullable=False),
    comment="that somebody has looked at what was refused on a day (日次確認チェックシート, C-2-3-7)",
)

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

late_outcome = Table(
    "late_outcome",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("delivery_id", String(36), nullable=False, index=True),
    Column("kind", String(16), nullable=False, comment="delivered | rejected | ..."),
    Column("code", String(64), nullable=True),
    Column("worker", String(36), nullable=False),
    Column("at", Double, nullable=False),
    comment="what a worker learned after its claim was lost (R7)",
)

reply = Table(
    "reply",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("party", String(64), nullable=False),
    Column("correlation", String(200), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("code", String(64), nullable=True),
    Column("at", Double, nullable=False),
    Index("reply_correlation", "party", "correlation"),
    comment="answers that came after the call (R14)",
)

payload = Table(
    "payload",
    metadata,
    Column("id", String(36), primary_key=True, comment="the id of its data key: one key for each body"),
    Column("kind", String(16), nullable=False, comment="delivery | receipt | command | quarantine"),
    Column("sealed", LargeBinary, nullable=False, comment="nonce, AES-256-GCM ciphertext and tag"),
    Column("content_type", String(64), nullable=False, server_default=text("'application/xml'")),
    Column("created_at", Double, nullable=False),
)

data_key = Table(
    "data_key",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("message_id", String(36), nullable=False),
    Column("party", String(64), nullable=False),
    Column("kek_id", String(64), nullable=False, comment="key path: what it is wrapped under, <key-encryption key>[/<day key>]"),
    Column("wrapped", LargeBinary, nullable=False),
    Column("created_at", Double, nullable=False),
    Index("data_key_kek", "kek_id", "id"),
    Index("data_key_message", "message_id", "party"),
    sqlite_with_rowid=False,
    comment="the only place of wrapped data keys: destroying a row makes every copy of the ciphertext unreadable",
)

subject_alias = Table(
    "subject_alias",
    metadata,
    Column("blind", LargeBinary, primary_key=True, comment="HMAC of the identifier; first in the index, as it is looked up by it alone"),
    Column("kind", String(32), primary_key=True, comment="resident-record-code | individual-number | atena-number | ..."),
    Column("hmac_key_id", String(64), nullable=False, comment="generation of the blind indexes"),
    Column("subject", String(36), nullable=False),
    Index("subject_alias_generation", "hmac_key_id"),
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

lease = Table(
    "lease",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("worker", String(36), nullable=False, comment="the registration that holds it: void when that one is (R6)"),
    Column("epoch", Integer, nullable=False),
    Column("taken_at", Double, nullable=False),
    comment="work that one process does for all: chaining the audit entries, retention",
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

intake_epoch = Table(
    "intake_epoch",
    metadata,
    Column("system", String(64), primary_key=True),
    Column("epoch", Integer, nullable=False),
    Column("worker", String(36), nullable=False),
    Column("claimed_at", Double, nullable=False),
)

party_state = Table(
    "party_state",
    metadata,
    Column("party", String(64), primary_key=True),
    Column("breaker", String(8), nullable=False, comment="closed | open | probing"),
    Column("failures", Integer, nullable=False, comment="in a row, of the party as a whole"),
    Column("opened_at", Double, nullable=True),
    Column("probe_at", Double, nullable=True, comment="when the next probe may start"),
    Column("probe_worker", String(36), nullable=True),
    Column("code", String(64), nullable=True),
    Column("answered_at", Double, nullable=True, comment="the party last answered anyone (to the second)"),
    Column("paused_by", String(128), nullable=True),
    Column("paused_at", Double, nullable=True),
    Column("manual", Boolean, nullable=False, server_default=text("false"), comment="its work is done by hand meanwhile"),
)

seen_message = Table(
    "seen_message",
    metadata,
    Column("party", String(64), primary_key=True),
    Column("key", LargeBinary, primary_key=True, comment="SHA-256 of the message id"),
    Column("until", Double, nullable=False, index=True, comment="after that the message itself is out of date"),
    comment="signed messages of the parties that were taken: the same again is a replay",
)

quarantine = Table(
    "quarantine",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("system", String(64), nullable=False),
    Column("door", String(8), nullable=False),
    Column("source_id", String(200), nullable=True),
    Column("type", String(64), nullable=True),
    Column("code", String(64), nullable=False),
    Column("rule", String(200), nullable=True),
    Column("place", String(400), nullable=True),
    Column("size_bytes", Integer, nullable=False),
    Column("payload_id", String(36), nullable=True, comment="the body, sealed; none where it was too large to keep"),
    Column("at", Double, nullable=False),
    Column("attributes", String, nullable=True, comment="of the event, as JSON: needed to hand it in again"),
    Column("status", String(10), nullable=False, server_default=text("'kept'"), comment="kept | released | discarded"),
    Column("decided_at", Double, nullable=True),
    Column("request_id", String(36), nullable=True, comment="the command by which two persons released or discarded it"),
    Column("message_id", String(36), nullable=True, comment="what it was accepted as, once released"),
    comment="what was refused at a door, kept for the operator (I10); the body is in payload, sealed",
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

atena_link = Table(
    "atena_link",
    metadata,
    Column("subject", String(36), primary_key=True),
    Column("payload_id", String(36), nullable=False, comment="the atena number, sealed"),
    Column("message_id", String(36), nullable=False, comment="the feed that said so"),
    Column("at", Double, nullable=False),
    comment="whose certificates have which serial numbers: from the register's linkage feed, for applications (FS10-2)",
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
