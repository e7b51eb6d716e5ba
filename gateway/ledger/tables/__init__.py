"""The tables of the ledger (SQLAlchemy Core), the same for SQLite and PostgreSQL.

Times are seconds since 1970 UTC as double precision, taken from the ledger's clock (R21). Identifiers of people appear only as keyed
digests (blind indexes); bodies only sealed (I5). ``gateway/ledger/migrations`` builds these tables; a test holds both against each other.
"""

from __future__ import annotations

from gateway.ledger.tables.audit import audit_block, audit_checkpoint, audit_entry, disposal
from gateway.ledger.tables.base import intake_epoch, lease, meta, metadata, worker
from gateway.ledger.tables.flows import flow_instance, flow_message
from gateway.ledger.tables.messages import (
    data_key,
    delivery,
    key_row,
    late_outcome,
    message,
    party_state,
    payload,
    quarantine,
    reply,
    seen_message,
)
from gateway.ledger.tables.operators import command, operator_account, policy_document, policy_version
from gateway.ledger.tables.people import atena_link, code_acquisition, integrated_number, person_mark, subject_alias
from gateway.ledger.tables.provisions import daily_check, inquiry, provision, provision_terms
from gateway.ledger.tables.transfers import (
    anomaly,
    fetch_batch,
    fetch_record,
    fetch_run,
    medium_output,
    reconciliation,
    reconciliation_difference,
)

__all__ = [
    "anomaly",
    "atena_link",
    "audit_block",
    "audit_checkpoint",
    "audit_entry",
    "code_acquisition",
    "command",
    "daily_check",
    "data_key",
    "delivery",
    "disposal",
    "fetch_batch",
    "fetch_record",
    "fetch_run",
    "flow_instance",
    "flow_message",
    "inquiry",
    "intake_epoch",
    "integrated_number",
    "key_row",
    "late_outcome",
    "lease",
    "medium_output",
    "message",
    "meta",
    "metadata",
    "operator_account",
    "party_state",
    "payload",
    "person_mark",
    "policy_document",
    "policy_version",
    "provision",
    "provision_terms",
    "quarantine",
    "reconciliation",
    "reconciliation_difference",
    "reply",
    "seen_message",
    "subject_alias",
    "worker",
]
