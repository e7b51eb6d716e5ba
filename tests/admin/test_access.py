"""Who may do what: every operation with every role; persons and machines; days, terminals, parties, contractors. All data are made up."""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
from pathlib import Path

import pytest

from gateway.admin.access import BASE, EVERYBODY, OPERATIONS, Operation
from gateway.approvals.kinds import RULES, Effect, Kind, Role
from gateway.approvals.rights import Rights, in_force, overdue, review_due
from gateway.config import load
from gateway.errors import ConfigurationError
from tests.admin.conftest import Api
from tests.admin.memory import delivery, digest

_ROLES: dict[str, set[str]] = {
    "openapi": {*Role}, "whoami": {*Role}, "requests": {*Role}, "request": {*Role},
    "status": {"viewer"}, "parties": {"viewer"}, "queues": {"viewer"}, "held": {"viewer"}, "bulk": {"viewer"},
    "message": {"viewer", "auditor"}, "quarantine": {"viewer", "auditor"}, "quarantined": {"viewer", "auditor"},
    "retry": {"operator"}, "correct": {"operator"}, "skip": {"operator"}, "settle": {"operator"}, "release": {"operator"},
    "by_hand": {"operator"}, "manual": {"operator"}, "automatic": {"operator"},
    "flow_cases": {"viewer"}, "flow_case": {"viewer"}, "complete_flow": {"operator"}, "rebuild_flows": {"administrator"},
    "tally": {"viewer", "auditor"}, "shift_clock": {"administrator"},
    "pause": {"operator"}, "resume": {"operator"}, "ask_release": {"operator"}, "ask_discard": {"operator"},
    "ask_bulk_output": {"operator"},
    "ask_reveal": {"operator", "auditor"}, "reveal": {"operator", "auditor"},
    "content": {"approver"}, "approve": {"approver", "administrator"}, "refuse": {"approver", "administrator"},
    "withdraw": {"operator", "administrator", "auditor"},
    "operators": {"operator", "administrator", "auditor"}, "review_operator": {"administrator"},
    "release_operator": {"operator", "administrator"}, "ask_rights": {"operator", "administrator"},
    "search": {"operator", "auditor"}, "network": {"viewer", "auditor"},
    "keys": {"viewer", "auditor"}, "rotate_key": {"operator", "administrator"},
    "policy": {*Role}, "policy_versions": {*Role}, "policy_change": {*Role},
    "ask_policy": {"administrator"}, "provisions": {"operator", "auditor"},
    "imports": {"viewer", "operator", "auditor"},
    "check_import": {"operator", "auditor"},
    "refusals": {"viewer", "operator", "auditor"}, "check_day": {"operator", "auditor"}, "statistics": {"operator", "auditor"},
    "audit_entries": {"viewer", "auditor"}, "audit_checkpoints": {"viewer", "auditor"}, "audit_scope": {"viewer", "auditor"},
    "audit_export": {"viewer", "auditor"}, "retention": {"viewer", "auditor"}, "run_retention": {"operator", "administrator"},
    "disposals": {"viewer", "auditor"}, "purgeable": {"administrator", "approver"}, "ask_purge": {"administrator"},
    "feeds": {"viewer"}, "batches": {"viewer", "auditor"}, "batch": {"viewer", "auditor"},
    "restored": {"viewer", "auditor"}, "ask_restore_release": {"operator"},
    "reconciliations": {"viewer", "operator", "auditor"}, "reconciliation": {"viewer", "operator", "auditor"},
    "begin_reconciliation": {"operator"}, "compared": {"operator"}, "compared_again": {"operator"},
    "pause_reconciliation": {"operator"}, "resume_reconciliation": {"operator"}, "ask_correction": {"operator"},
    "worklist": {"viewer", "operator", "auditor", "approver"}, "media": {"viewer", "operator", "auditor"},
    "ask_medium_output": {"operator"}, "begin_medium_output": {"operator"}, "end_medium_output": {"operator"},
}  # fmt: skip
"""What is wanted, written down a second time: whoever changes a right changes it here too."""
ACTING = {operation.name for operation in OPERATIONS if operation.method == "POST"}


@pytest.mark.control("C-1-3-13")
@pytest.mark.control("C-1-3-16")
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.name)
async def test_each_operation_with_each_role(api: Api, operation: Operation) -> None:
    """Through the whole API: whoever has one role only gets further than the door exactly where the matrix says so."""
    path = re.sub(r"\{\w+\}", "nothing", operation.path.removeprefix(BASE)).replace("/parties/nothing", "/parties/city-cs")
    for role in Role:
        api.operators.configured["operator-d"] = Rights(roles=frozenset({role}))
        api.accounts.refusals.clear()
        async with api.as_("operator-d") as call:
            status, answer = await call(operation.method, path, {} if operation.method == "POST" else None)
        refused = status == 403 and answer["code"] == "role-missing"
        assert refused is (role.value not in {str(each) for each in _ROLES[operation.name]}), (operation.name, role)
        assert (("operator-d", "role-missing", operation.name) in api.accounts.refusals) is refused


@pytest.mark.control("C-1-3-16")
def test_to_look_and_to_act_are_separate_rights() -> None:
    assert {operation.name for operation in OPERATIONS} == _ROLES.keys()
    for operation in OPERATIONS:
        if operation.name in ACTING:
            assert Role.VIEWER not in operation.roles, f"{operation.name}: whoever may only look acts"
        if operation.roles == EVERYBODY:
            assert operation.method == "GET"
    for kind, rule in RULES.items():
        assert bool(rule.decides) is (rule.effect is not Effect.AT_ONCE), kind
        assert Role.VIEWER not in rule.asks | rule.decides


@pytest.mark.control("C-1-3-16")
async def test_the_kind_of_a_request_decides_who_may_approve_it(api: Api) -> None:
    asked = api.service._other("operator-a", Kind.OPERATOR_RIGHTS, "operator-d", digest("x"), "a new post")
    body = {"seen_digest": asked.approval_digest.hex()}
    async with api.as_("operator-b") as approver, api.as_("administrator") as administrator:
        status, problem = await approver("POST", f"/requests/{asked.request_id}/approve", body)
        assert (status, problem["code"], "administrator" in problem["detail"]) == (403, "role-missing", True)
        assert (await administrator("POST", f"/requests/{asked.request_id}/approve", body))[0] == 200


@pytest.mark.control("C-1-3-12")
async def test_a_machine_is_no_operator(api: Api, tmp_path: Path) -> None:
    api.operators._machines = frozenset({"operator-d"})  # as if the register's certificate bore that name
    async with api.as_("operator-d") as call:
        status, problem = await call("GET", "/whoami")
    assert (status, problem["code"]) == (403, "machine-certificate")
    file = tmp_path / "shared.yaml"
    file.write_text(
        "intake: {systems: {resident-record-system: {peer: register, types: [identity-information-update]}}}\n"
        "admin: {operators: {register: {roles: [operator]}}}\n",
        encoding="utf-8",
    )
    with pytest.raises(ConfigurationError, match="C-1-3-12"):
        load(file, environment={})


@pytest.mark.control("C-1-2-8")
@pytest.mark.control("C-1-3-17")
@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"valid_until": dt.date(2020, 3, 31)}, "rights-expired"),
        ({"valid_from": dt.date(2999, 4, 1)}, "not-yet-valid"),
        ({"networks": ("192.0.2.0/24",)}, "wrong-terminal"),
        ({"networks": ("127.0.0.0/8", "192.0.2.0/24")}, None),
    ],
)
@pytest.mark.control("C-1-3-22")
async def test_rights_hold_on_their_days_and_from_their_terminals_only(api: Api, changes: dict[str, object], code: str | None) -> None:
    limited = dataclasses.replace(api.operators.configured["operator-a"], **changes)  # type: ignore[arg-type]
    for configured, approved in ((limited, None), (None, limited)):  # whichever of the two says so
        if configured is not None:
            api.accounts.approved["operator-a"] = api.operators.configured["operator-a"]
            api.operators.configured["operator-a"] = configured
        else:
            api.operators.configured["operator-a"] = api.accounts.approved["operator-a"] or limited
            api.accounts.approved["operator-a"] = approved
        async with api.as_("operator-a") as call:
            status, answer = await call("GET", "/whoami")
        assert answer.get("code") == code
        assert status == (200 if code is None else 403)
    assert {each[1] for each in api.accounts.refusals} == ({code} if code else set())


@pytest.mark.control("C-1-3-16")
async def test_what_was_not_approved_has_no_effect(api: Api) -> None:
    api.accounts.approved["operator-a"] = Rights(roles=frozenset({Role.VIEWER}))
    async with api.as_("operator-a") as call:
        assert (await call("GET", "/whoami"))[1]["roles"] == ["viewer"]
        assert (await call("POST", "/deliveries/d-held/retry", {}))[0] == 403
        api.accounts.approved["operator-a"] = None
        status, problem = await call("GET", "/whoami")
    assert (status, problem["code"]) == (403, "rights-not-approved")


@pytest.mark.control("C-1-3-18")
async def test_a_certificate_that_was_issued_too_long_ago_is_refused(api: Api) -> None:
    api.operators._clock = lambda: dt.datetime.now(dt.UTC) + dt.timedelta(days=367)
    async with api.as_("operator-a") as call:
        status, problem = await call("GET", "/whoami")
    assert (status, problem["code"]) == (403, "certificate-too-old")


@pytest.mark.control("C-1-4-1")
@pytest.mark.control("C-1-4-2")
async def test_a_contractor_works_only_while_released_and_decides_nothing(api: Api) -> None:
    async with api.as_("contractor") as contractor, api.as_("operator-a") as staff, api.as_("operator-b") as viewer:
        status, problem = await contractor("GET", "/status")
        assert (status, problem["code"]) == (403, "contractor-not-released")
        body = {"reason": "their yearly maintenance", "hours": 2.0}
        assert (await viewer("POST", "/operators/contractor/release", body))[0] == 403  # may not: neither operator nor administrator
        assert (await staff("POST", "/operators/contractor/release", body))[0] == 200
        assert (await contractor("GET", "/status"))[0] == 200
        assert (await contractor("GET", "/whoami"))[1]["contractor"] is True
        asked = (await staff("POST", "/deliveries/d-held/skip", _seen("d-held")))[1]
        status, problem = await contractor("POST", f"/requests/{asked['request_id']}/approve", {"seen_digest": asked["approval_digest"]})
        assert (status, problem["code"]) == (403, "staff-only")
        status, problem = await contractor("POST", "/operators/contractor/release", body)
        assert (status, problem["code"]) == (403, "staff-only")
        api.operators._clock = lambda: dt.datetime.now(dt.UTC) + dt.timedelta(hours=2.1)
        assert (await contractor("GET", "/status"))[1]["code"] == "contractor-not-released"


@pytest.mark.control("C-1-4-1")
@pytest.mark.parametrize(
    "left_out", ["valid_from: 2026-04-01", "valid_until: 2027-03-31", "networks: [192.0.2.0/24]"], ids=["from", "until", "networks"]
)
def test_a_contractor_without_a_window_or_a_place_is_no_configuration(tmp_path: Path, left_out: str) -> None:
    whole = "roles: [viewer], contractor: true, valid_from: 2026-04-01, valid_until: 2027-03-31, networks: [192.0.2.0/24]"
    file = tmp_path / "config.yaml"
    file.write_text(f"admin: {{operators: {{c: {{{whole}}}}}}}\n", encoding="utf-8")
    assert load(file, environment={}).admin.operators["c"].contractor
    file.write_text(f"admin: {{operators: {{c: {{{whole.replace(', ' + left_out, '')}}}}}}}\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="C-1-4-1"):
        load(file, environment={})


@pytest.mark.control("C-1-3-15")
@pytest.mark.parametrize("kind", [Kind.POLICY_CHANGE, Kind.OPERATOR_RIGHTS])
async def test_who_acts_for_some_parties_decides_nothing_that_concerns_all(api: Api, kind: Kind) -> None:
    asked = api.service._other("operator-a", kind, "a subject", digest("x"), "a new law")
    roles = frozenset({Role.APPROVER, Role.ADMINISTRATOR})
    api.operators.configured["elsewhere"] = Rights(roles=roles, parties=frozenset({"prefecture-server"}))
    body = {"seen_digest": asked.approval_digest.hex()}
    async with api.as_("elsewhere") as call:
        assert (await call("GET", f"/requests/{asked.request_id}"))[0] == 200
        for path, sent in (("approve", body), ("refuse", {"reason": "because"})):
            status, problem = await call("POST", f"/requests/{asked.request_id}/{path}", sent)
            assert (status, problem["code"]) == (403, "party-forbidden")
        if kind is Kind.POLICY_CHANGE:
            status, problem = await call("POST", "/policy", {"policy": "{}", "reason": "because", "seen_version": 0})
            assert (status, problem["code"]) == (403, "party-forbidden")
    api.operators.configured["elsewhere"] = Rights(roles=roles)
    async with api.as_("elsewhere") as call:
        assert (await call("POST", f"/requests/{asked.request_id}/approve", body))[0] == 200


@pytest.mark.control("C-1-3-15")
async def test_who_is_for_other_parties_sees_and_does_nothing_here(api: Api) -> None:
    api.service.deliveries["d-two"] = delivery("d-two", message_id="m-d-held", party="prefecture-server")
    api.service._other("operator-a", Kind.QUARANTINE_DISCARD, "q-1", digest("q-1"), "a test")
    async with api.as_("elsewhere") as call, api.as_("operator-a") as staff:
        asked = (await staff("POST", "/deliveries/d-held/skip", _seen("d-held")))[1]
        for path in ("/parties", "/queues", "/bulk"):
            assert (await call("GET", path))[1]["items"] == []
        assert [each["delivery_id"] for each in (await call("GET", "/held"))[1]["items"]] == ["d-two"]
        assert [each["delivery_id"] for each in (await call("GET", "/messages/m-d-held"))[1]["deliveries"]] == ["d-two"]
        assert (await call("GET", "/requests"))[1]["items"] == []
        for method, path, body in (
            ("GET", "/held?party=city-cs", None),
            ("GET", "/messages/d-numbered", None),
            ("POST", "/deliveries/d-held/retry", _seen("d-held")),
            ("POST", "/deliveries/d-held/skip", _seen("d-held")),
            ("POST", "/deliveries/d-held/correct", {**_seen("d-held"), "content_base64": "PGEvPg=="}),
            ("POST", "/deliveries/d-held/settle", {**_seen("d-held"), "took_effect": True}),
            ("POST", "/reveal/d-held", {"seen_digest": digest("d-held").hex(), "reason": "to see"}),
            ("POST", "/parties/city-cs/pause", {"reason": "because"}),
            ("POST", "/bulk/city-cs/reconciliation/output", {"seen_digest": digest("bulk").hex(), "reason": "yearly"}),
            ("GET", "/quarantine", None),
            ("GET", f"/requests/{asked['request_id']}", None),
            ("POST", f"/requests/{asked['request_id']}/approve", {"seen_digest": asked["approval_digest"]}),
        ):
            status, problem = await call(method, path, body)
            assert (status, problem.get("code")) == (403, "party-forbidden"), path
        assert (await call("POST", "/deliveries/d-two/retry", {**_seen("d-two")}))[0] == 200


@pytest.mark.control("C-1-3-19")
async def test_failures_views_and_sessions_are_on_record(api: Api) -> None:
    async with api.as_("resident-record-system") as stranger, api.as_("monitor") as viewer:
        await stranger("GET", "/status")
        await viewer("GET", "/messages/d-held")
    assert ("unknown", "unknown-operator", "admin") in api.accounts.refusals
    assert api.accounts.looks == [("monitor", "m-d-held")]
    assert "monitor" in api.accounts.sessions


# ---- rights, as values -----------------------------------------------------------------------------------------------------------------


def test_rights_are_written_and_read_alike_and_named_by_their_digest() -> None:
    rights = Rights(
        roles=frozenset({Role.OPERATOR, Role.VIEWER}), parties=frozenset({"city-cs"}), networks=("192.0.2.0/24",),
        valid_until=dt.date(2027, 3, 31), contractor=True,
    )  # fmt: skip
    assert Rights.from_json(rights.to_json()) == rights
    assert rights.digest() != dataclasses.replace(rights, contractor=False).digest()


@pytest.mark.control("C-1-3-16")
def test_only_more_than_was_approved_needs_a_second_person() -> None:
    all_ = Rights(roles=frozenset({Role.OPERATOR, Role.VIEWER}))
    less = Rights(
        roles=frozenset({Role.VIEWER}), parties=frozenset({"city-cs"}), networks=("192.0.2.0/24",), valid_from=dt.date(2026, 4, 1),
        valid_until=dt.date(2027, 3, 31), contractor=True,
    )  # fmt: skip
    assert less.within(all_)
    for name in ("roles", "parties", "networks", "valid_from", "valid_until", "contractor"):
        assert not dataclasses.replace(less, **{name: getattr(all_, name)}).within(less), name
    assert in_force(all_, less) == in_force(less, all_) == (frozenset({Role.VIEWER}), frozenset({"city-cs"}))


@pytest.mark.control("C-2-3-5")
@pytest.mark.parametrize(
    ("reviewed", "due"),
    [("2026-02-10", "2026-04-30"), ("2026-04-01", "2027-04-30"), ("2026-05-01", "2027-04-30"), ("2026-12-31", "2027-04-30")],
)
def test_rights_are_reviewed_each_april(reviewed: str, due: str) -> None:
    at = dt.datetime.fromisoformat(f"{reviewed}T12:00:00+09:00")
    assert review_due(at) == dt.date.fromisoformat(due)
    assert not overdue(at, dt.datetime.fromisoformat(f"{due}T23:59:00+09:00"))
    assert overdue(at, dt.datetime.fromisoformat(f"{due}T23:59:00+09:00") + dt.timedelta(minutes=1))


def _seen(identity: str) -> dict[str, str]:
    return {"seen_state": "held", "seen_digest": digest(identity).hex(), "reason": "the cause is gone"}
