"""Which role may do what: every operation of the API in one table (C-1-3-13, C-1-3-16). What is not in it does not exist.

Where several kinds of requests share an operation, the kind's own rule narrows it further (:mod:`gateway.approvals.kinds`).
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.approvals.kinds import RULES, SEVERAL_ASK, SEVERAL_DECIDE, Kind, Role

BASE = "/admin/v1"
EVERYBODY = frozenset(Role)
_LOOK = frozenset({Role.VIEWER})
_RECORDS = frozenset({Role.VIEWER, Role.AUDITOR})
_ACCOUNTS = frozenset({Role.ADMINISTRATOR, Role.AUDITOR, Role.OPERATOR})
_STAFF = frozenset({Role.OPERATOR, Role.ADMINISTRATOR})
_OPERATOR = frozenset({Role.OPERATOR})
_PERSONAL = frozenset({Role.OPERATOR, Role.AUDITOR})
"""Looks for one resident: on record, and not for whoever may only look at queues."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One thing that can be done: any of ``roles`` suffices."""

    name: str
    method: str
    path: str
    roles: frozenset[Role]
    staff_only: bool = False
    """Not for a contractor, whatever the roles."""


def _get(name: str, path: str, roles: frozenset[Role]) -> Operation:
    return Operation(name=name, method="GET", path=BASE + path, roles=roles)


def _post(name: str, path: str, roles: frozenset[Role], *, staff_only: bool = False) -> Operation:
    return Operation(name=name, method="POST", path=BASE + path, roles=roles, staff_only=staff_only)


OPERATIONS: tuple[Operation, ...] = (
    _get("openapi", "/openapi.yaml", EVERYBODY),
    _get("whoami", "/whoami", EVERYBODY),
    _get("status", "/status", _LOOK),
    _get("parties", "/parties", _LOOK),
    _get("queues", "/queues", _LOOK),
    _get("held", "/held", _LOOK),
    _get("message", "/messages/{reference}", _RECORDS),
    _get("requests", "/requests", EVERYBODY),
    _get("request", "/requests/{request_id}", EVERYBODY),
    _get("content", "/requests/{request_id}/content", RULES[Kind.CORRECT].decides),
    _post("retry", "/deliveries/{delivery_id}/retry", RULES[Kind.RETRY].asks),
    _post("correct", "/deliveries/{delivery_id}/correct", RULES[Kind.CORRECT].asks),
    _post("skip", "/deliveries/{delivery_id}/skip", RULES[Kind.SKIP].asks),
    _post("settle", "/deliveries/{delivery_id}/settle", RULES[Kind.SETTLE].asks),
    _post("release", "/deliveries/{delivery_id}/release", RULES[Kind.RELEASE].asks),
    _post("by_hand", "/deliveries/{delivery_id}/by-hand", RULES[Kind.BY_HAND].asks),
    _post("ask_reveal", "/reveal/{reference}", RULES[Kind.REVEAL].asks),
    _post("approve", "/requests/{request_id}/approve", SEVERAL_DECIDE, staff_only=True),
    _post("refuse", "/requests/{request_id}/refuse", SEVERAL_DECIDE, staff_only=True),
    _post("withdraw", "/requests/{request_id}/withdraw", SEVERAL_ASK),
    _post("reveal", "/requests/{request_id}/reveal", RULES[Kind.REVEAL].asks),
    _post("pause", "/parties/{party}/pause", _OPERATOR),
    _post("resume", "/parties/{party}/resume", _OPERATOR),
    _post("manual", "/parties/{party}/manual", _OPERATOR),
    _post("automatic", "/parties/{party}/automatic", _OPERATOR),
    _get("quarantine", "/quarantine", _RECORDS),
    _get("quarantined", "/quarantine/{quarantine_id}", _RECORDS),
    _post("ask_release", "/quarantine/{quarantine_id}/release", RULES[Kind.QUARANTINE_RELEASE].asks),
    _post("ask_discard", "/quarantine/{quarantine_id}/discard", RULES[Kind.QUARANTINE_DISCARD].asks),
    _get("bulk", "/bulk", _LOOK),
    _post("ask_bulk_output", "/bulk/{party}/{type}/output", RULES[Kind.BULK_OUTPUT].asks),
    _get("operators", "/operators", _ACCOUNTS),
    _post("review_operator", "/operators/{name}/review", frozenset({Role.ADMINISTRATOR}), staff_only=True),
    _post("release_operator", "/operators/{name}/release", _STAFF, staff_only=True),
    _post("ask_rights", "/operators/{name}/rights", RULES[Kind.OPERATOR_RIGHTS].asks, staff_only=True),
    _post("search", "/search", _PERSONAL),
    _get("network", "/network", _RECORDS),
    _get("keys", "/keys", _RECORDS),
    _post("rotate_key", "/keys/{kind}/rotate", _STAFF, staff_only=True),
    _get("policy", "/policy", EVERYBODY),
    _get("policy_versions", "/policy/versions", EVERYBODY),
    _get("policy_change", "/requests/{request_id}/policy", EVERYBODY),
    _post("ask_policy", "/policy", RULES[Kind.POLICY_CHANGE].asks),
    _post("provisions", "/provisions/search", _PERSONAL),
    _get("refusals", "/reports/refusals/{day}", _RECORDS | _OPERATOR),
    _get("imports", "/reports/imports/{system}/{day}", _RECORDS | _OPERATOR),
    _post("check_import", "/reports/imports/{system}/{day}/check", _PERSONAL, staff_only=True),
    _post("check_day", "/reports/refusals/{day}/check", _PERSONAL, staff_only=True),
    _post("statistics", "/reports/statistics", _PERSONAL, staff_only=True),
    _get("retention", "/retention", _RECORDS),
    _post("run_retention", "/retention/run", _STAFF),
    _get("disposals", "/retention/history", _RECORDS),
    _get("purgeable", "/parties/{party}/purge", RULES[Kind.PURGE].asks | RULES[Kind.PURGE].decides),
    _post("ask_purge", "/parties/{party}/purge", RULES[Kind.PURGE].asks, staff_only=True),
    _get("feeds", "/feeds", _LOOK),
    _get("batches", "/fetched", _RECORDS),
    _get("batch", "/fetched/{batch_id}", _RECORDS),
    _get("flow_cases", "/flows", _LOOK),
    _get("flow_case", "/flows/{reference}", _LOOK),
    _post("complete_flow", "/flows/{reference}/complete", _OPERATOR),
    _post("rebuild_flows", "/flows/rebuild", frozenset({Role.ADMINISTRATOR}), staff_only=True),
    _get("tally", "/tally", _RECORDS),
    _post("shift_clock", "/business-clock", frozenset({Role.ADMINISTRATOR}), staff_only=True),
    _get("restored", "/restored", _RECORDS),
    _post("ask_restore_release", "/parties/{party}/restore-release", RULES[Kind.RESTORE_RELEASE].asks, staff_only=True),
    _get("reconciliations", "/reconciliations", _RECORDS | _OPERATOR),
    _get("reconciliation", "/reconciliations/{run}", _RECORDS | _OPERATOR),
    _post("begin_reconciliation", "/reconciliations", _OPERATOR, staff_only=True),
    _post("compared", "/reconciliations/{run}/compared", _OPERATOR, staff_only=True),
    _post("compared_again", "/reconciliations/{run}/compared-again", _OPERATOR, staff_only=True),
    _post("pause_reconciliation", "/reconciliations/{run}/pause", _OPERATOR, staff_only=True),
    _post("resume_reconciliation", "/reconciliations/{run}/resume", _OPERATOR, staff_only=True),
    _get("worklist", "/reconciliations/{run}/worklist", _RECORDS | _OPERATOR | RULES[Kind.RECONCILIATION_CORRECTION].decides),
    _post("ask_correction", "/reconciliations/{run}/corrections", RULES[Kind.RECONCILIATION_CORRECTION].asks, staff_only=True),
    _get("media", "/media", _RECORDS | _OPERATOR),
    _post("ask_medium_output", "/media/{target}/outputs", RULES[Kind.MEDIUM_OUTPUT].asks, staff_only=True),
    _post("begin_medium_output", "/requests/{request_id}/medium-output", RULES[Kind.MEDIUM_OUTPUT].asks, staff_only=True),
    _post("end_medium_output", "/requests/{request_id}/medium-output/written", RULES[Kind.MEDIUM_OUTPUT].asks, staff_only=True),
    _get("audit_entries", "/audit/entries", _RECORDS),
    _get("audit_checkpoints", "/audit/checkpoints", _RECORDS),
    _get("audit_scope", "/audit/scope", _RECORDS),
    _get("audit_export", "/audit/export", _RECORDS),
)
BY_NAME = {operation.name: operation for operation in OPERATIONS}
