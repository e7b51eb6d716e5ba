"""The admin API over real TLS: who may, what must be named, four eyes, and how errors look. All data are fictitious."""

from __future__ import annotations

import base64
import dataclasses
import ssl
from pathlib import Path

import aiohttp
import pytest

from certs.authority import TestAuthority
from certs.peer import Authority
from gateway.admin import (
    bodies,
    desk,
    flows_api,
    key_service,
    media_api,
    network_api,
    policy_api,
    reconciliation_api,
    reports_api,
    retention_api,
    service,
    words,
)  # fmt: skip
from gateway.admin.access import EVERYBODY, OPERATIONS
from gateway.admin.app import create_app
from gateway.admin.identity import Operators
from gateway.admin.service import RequestStatus, State
from gateway.approvals import kinds
from gateway.delivery import status
from gateway.delivery.rows import Hold
from gateway.errors import LedgerUnavailable
from tests.admin.conftest import Api
from tests.admin.memory import MemoryAccounts, MemoryService, delivery, digest
from tests.support.data import read_yaml

SEEN = {"seen_state": "held", "seen_digest": digest("d-held").hex(), "reason": "the cause is gone"}


async def test_reading_gives_state_reason_and_what_happens_next(api: Api) -> None:
    async with api.as_("monitor") as call:
        status, found = await call("GET", "/held")
        assert status == 200
        held = {each["delivery_id"]: each for each in found["items"]}
        assert held["d-held"]["why"] == "the party refused it (E103)"
        assert held["d-held"]["next"] == "retry, correct or skip it"
        assert "it cannot be skipped (R4)" in held["d-numbered"]["next"]
        assert (await call("GET", "/held", headers={"Accept-Language": "ja"}))[1]["items"][0]["why"] == "相手先が拒否しました (E103)"
        for path in ("/status", "/parties", "/queues", "/requests", "/messages/d-held", "/whoami"):
            assert (await call("GET", path))[0] == 200


async def test_pages_of_held_follow_one_another(api: Api) -> None:
    async with api.as_("monitor") as call:
        first = (await call("GET", "/held?limit=1"))[1]
        second = (await call("GET", f"/held?limit=1&after={first['next_after']}"))[1]
    assert [each["delivery_id"] for each in first["items"] + second["items"]] == ["d-held", "d-numbered"]
    assert second["next_after"] is None


@pytest.mark.rule("R13")
async def test_a_command_names_what_was_seen_or_is_refused(api: Api) -> None:
    async with api.as_("operator-a") as call:
        for wrong in ({"seen_state": "queued"}, {"seen_digest": digest("other").hex()}):
            status, problem = await call("POST", "/deliveries/d-held/retry", {**SEEN, **wrong})
            assert (status, problem["code"], problem["rule"]) == (409, "state-changed", "R13")
        for left_out in SEEN:
            body = {name: value for name, value in SEEN.items() if name != left_out}
            status, problem = await call("POST", "/deliveries/d-held/retry", body)
            assert (status, problem["code"], problem["place"]) == (400, "body-malformed", left_out)
        assert api.service.deliveries["d-held"].state is State.HELD
        status, done = await call("POST", "/deliveries/d-held/retry", SEEN)
    assert (status, done["status"], done["requested_by"]) == (200, "done", "operator-a")
    assert api.service.deliveries["d-held"].state is State.QUEUED


async def test_skip_waits_for_a_second_person_and_both_are_on_record(api: Api) -> None:
    async with api.as_("operator-c") as first, api.as_("operator-b") as second:
        status, asked = await first("POST", "/deliveries/d-held/skip", SEEN)
        assert (status, asked["status"]) == (202, "waiting")
        approval = {"seen_digest": asked["approval_digest"]}
        # operator-c may approve in general, but not what operator-c asked for
        status, problem = await first("POST", f"/requests/{asked['request_id']}/approve", approval)
        assert (status, problem["code"]) == (403, "same-person")
        status, problem = await second("POST", f"/requests/{asked['request_id']}/approve", {"seen_digest": digest("else").hex()})
        assert (status, problem["code"]) == (409, "digest-changed")
        status, done = await second("POST", f"/requests/{asked['request_id']}/approve", approval)
    assert (status, done["status"], done["requested_by"], done["decided_by"]) == (200, "done", "operator-c", "operator-b")
    assert api.service.log == [("operator-c", "skip", "d-held"), ("operator-b", "done:skip", "d-held")]


@pytest.mark.rule("R4")
async def test_what_bears_an_update_number_is_not_skipped(api: Api) -> None:
    async with api.as_("operator-a") as call:
        seen = {**SEEN, "seen_digest": digest("d-numbered").hex()}
        status, problem = await call("POST", "/deliveries/d-numbered/skip", seen)
    assert (status, problem["code"], problem["rule"]) == (409, "skip-forbidden", "R4")


async def test_a_correction_is_read_by_its_approver_only_and_the_reading_is_recorded(api: Api) -> None:
    content = b"<fictitious/>"
    async with api.as_("operator-a") as first, api.as_("operator-b") as second:
        body = {**SEEN, "content_base64": base64.b64encode(content).decode()}
        _, asked = await first("POST", "/deliveries/d-held/correct", body)
        path = f"/requests/{asked['request_id']}/content"
        assert (await first("GET", path))[0] == 403
        assert await second("GET", path) == (200, content)
        assert ("operator-b", "read-content", asked["request_id"]) in api.service.log
        assert asked["approval_digest"] == asked["content_digest"] != asked["seen_digest"]
        status, _ = await second("POST", f"/requests/{asked['request_id']}/approve", {"seen_digest": asked["seen_digest"]})
        assert status == 409
        status, problem = await first("POST", "/deliveries/d-held/correct", {**SEEN, "content_base64": base64.b64encode(b"no").decode()})
        assert (status, problem["code"]) == (422, "not-xml")


async def test_an_author_withdraws_and_another_refuses(api: Api) -> None:
    async with api.as_("operator-a") as first, api.as_("operator-b") as second:
        one = (await first("POST", "/deliveries/d-held/skip", SEEN))[1]["request_id"]
        two = (await first("POST", "/deliveries/d-held/skip", SEEN))[1]["request_id"]
        assert (await first("POST", f"/requests/{one}/withdraw", {}))[0] == 200
        assert (await second("POST", f"/requests/{two}/refuse", {"reason": "it is not needed"}))[0] == 200
        async with api.as_("operator-c") as other:
            status, problem = await other("POST", f"/requests/{two}/withdraw", {})
            assert (status, problem["code"]) == (403, "not-the-requester")
        assert (await first("POST", f"/requests/{one}/withdraw", {}))[0] == 409
    assert [each.status for each in api.service.asked.values()] == [RequestStatus.WITHDRAWN, RequestStatus.REFUSED]


@pytest.mark.parametrize(
    ("name", "method", "path", "role"),
    [
        ("monitor", "POST", "/deliveries/d-held/retry", "operator"),
        ("monitor", "POST", "/parties/city-cs/pause", "operator"),
        ("operator-b", "POST", "/deliveries/d-held/skip", "operator"),
        ("operator-a", "POST", "/requests/r-1/approve", "approver"),
    ],
)
async def test_each_role_may_do_its_own_and_no_more(api: Api, name: str, method: str, path: str, role: str) -> None:
    async with api.as_(name) as call:
        status, problem = await call(method, path, {})
    assert (status, problem["code"]) == (403, "role-missing")
    assert role in problem["detail"]
    assert api.service.log == []


@pytest.mark.invariant("I6")
async def test_a_certificate_of_nobody_known_is_refused(api: Api) -> None:
    async with api.as_("resident-record-system") as call:
        status, problem = await call("GET", "/status")
    assert (status, problem["code"]) == (403, "unknown-operator")


@pytest.mark.invariant("I6")
async def test_without_a_certificate_there_is_no_connection(api: Api) -> None:
    context = ssl.create_default_context(cafile=str(api.config.ca_file))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
        with pytest.raises(aiohttp.ClientError):
            await session.get(f"https://localhost:{api.port}/admin/v1/status")


@pytest.mark.invariant("I6")
async def test_a_revoked_certificate_is_refused_on_the_next_request_of_an_open_connection(
    api: Api, authority: TestAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Authority, "RECHECK_FILES_S", 0.0)
    async with api.as_("leaver") as call:
        assert (await call("GET", "/status"))[0] == 200
        authority.revoke("leaver")
        status, problem = await call("GET", "/status")
    assert (status, problem["code"]) == (403, "revoked")


@pytest.mark.parametrize(
    ("body", "more", "status", "code"),
    [
        (None, {"data": b"seen_state=held", "headers": {"Content-Type": "application/x-www-form-urlencoded"}}, 415, "content-type"),
        (None, {"data": b"{", "headers": {"Content-Type": "application/json"}}, 400, "body-malformed"),
        (None, {"data": b" " * 3_100_000, "headers": {"Content-Type": "application/json"}}, 413, "body-too-large"),
        ({**SEEN, "extra": 1}, {}, 400, "body-malformed"),
        ({**SEEN, "seen_digest": "abc"}, {}, 400, "body-malformed"),
        ({**SEEN, "seen_state": "fine"}, {}, 400, "body-malformed"),
        ({**SEEN, "reason": "  "}, {}, 400, "body-malformed"),
        ({**SEEN, "reason": "line\u0000feed"}, {}, 400, "body-malformed"),
    ],
)
async def test_malformed_bodies_are_refused_and_not_repeated(
    api: Api, body: object, more: dict[str, object], status: int, code: str
) -> None:
    async with api.as_("operator-a") as call:
        found, problem = await call("POST", "/deliveries/d-held/retry", body, **more)
    assert (found, problem["code"]) == (status, code)
    assert problem["type"] == f"urn:renkei:problem:{code}"
    assert api.service.log == []


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/messages/nothing", 404, "no-such-message"),
        ("GET", "/requests/nothing", 404, "no-such-request"),
        ("GET", "/nowhere", 404, "no-such-path"),
        ("DELETE", "/status", 405, "method-not-allowed"),
        ("GET", "/held?limit=0", 400, "query-malformed"),
        ("GET", "/held?limit=x", 400, "query-malformed"),
        ("POST", "/parties/nobody/resume", 404, "no-such-party"),
    ],
)
async def test_every_error_is_a_problem_document(api: Api, method: str, path: str, status: int, code: str) -> None:
    async with api.as_("operator-a") as call:
        found, problem = await call(method, path, {"reason": "because"} if method == "POST" else None)
    assert (found, problem["status"], problem["code"]) == (status, status, code)


async def test_an_unavailable_ledger_is_503_and_a_fault_shows_nothing(api: Api) -> None:
    async with api.as_("monitor") as call:
        api.service.failure = LedgerUnavailable("ledger-locked", "the ledger is busy", retry_after_s=2.5)
        assert (await call("GET", "/status"))[0] == 503
        api.service.failure = RuntimeError("fictitious resident 12345678901")
        status, problem = await call("GET", "/status")
    assert (status, problem["code"]) == (500, "internal")
    assert "12345678901" not in str(problem)


async def test_pause_and_resume_name_the_person(api: Api) -> None:
    async with api.as_("operator-a") as call:
        assert (await call("POST", "/parties/city-cs/pause", {"reason": "their maintenance"}))[1]["paused_by"] == "operator-a"
        assert (await call("POST", "/parties/city-cs/resume", {"reason": "it is over"}))[1]["paused_by"] is None
    assert api.service.log == [("operator-a", "pause", "city-cs"), ("operator-a", "resume", "city-cs")]


def test_the_document_names_the_roles_of_every_operation(repository: Path) -> None:
    paths = read_yaml((repository / "gateway" / "admin" / "openapi.yaml").read_text(encoding="utf-8"))["paths"]
    for each in OPERATIONS:
        said = paths[each.path][each.method.lower()].get("description", "Role: any.")
        roles = "any" if each.roles == EVERYBODY else ", ".join(sorted(each.roles))
        assert each.roles == EVERYBODY or said.startswith(f"Role: {roles}."), each.name
        assert ("Not a contractor." in said) == each.staff_only, each.name


def test_the_document_has_every_route_and_every_value(repository: Path) -> None:
    text = (repository / "gateway" / "admin" / "openapi.yaml").read_text(encoding="utf-8")
    assert (repository / "docs" / "admin-api.yaml").read_text(encoding="utf-8") == text
    document = read_yaml(text)
    app = create_app(MemoryService(), MemoryService(), Operators({}, None, MemoryAccounts()))  # type: ignore[arg-type]
    routes = {(route.resource.canonical, route.method.lower()) for route in app.router.routes() if route.method != "HEAD"}
    assert routes == {(path, method) for path, methods in document["paths"].items() for method in methods}
    schemas = document["components"]["schemas"]
    extra = {"Delivery": {"why", "next"}, "Request": {"approval_digest", "needs_two"}}
    for name, kind in {
        "Status": service.StatusView,
        "Party": service.PartyView,
        "Queue": service.QueueView,
        "Delivery": service.DeliveryView,
        "Message": service.MessageView,
        "Request": service.RequestView,
        "TimelineEntry": service.TimelineEntry,
        "HeldPage": service.HeldPage,
        "Key": key_service.KeyView,
        "FoundMessage": key_service.FoundMessage,
        "Policy": policy_api.PolicyView,
        "PolicyVersion": policy_api.VersionView,
        "PolicyChanges": policy_api.ChangeView,
        "RefusalLine": reports_api.RefusalLine,
        "DayCheck": reports_api.DayCheck,
        "RefusalReport": reports_api.RefusalReport,
        "StatisticsLine": reports_api.StatisticsLine,
        "Statistics": reports_api.Statistics,
        "MediumOutput": media_api.MediumOutput,
        "MediumTarget": media_api.MediumTarget,
        "Media": media_api.Media,
        "Reconciliation": reconciliation_api.ReconciliationView,
        "WorklistLine": reconciliation_api.DifferenceView,
        "Worklist": reconciliation_api.Worklist,
        "Network": network_api.NetworkView,
        "OverdueAcquisition": network_api.OverdueAcquisition,
        "Provision": policy_api.ProvisionView,
        "ProvisionPage": policy_api.ProvisionPage,
        "WaitingRequest": service.WaitingRequest,
        "Quarantined": desk.QuarantineView,
        "BulkSet": desk.BulkView,
        "OperatorAccount": desk.OperatorView,
        "RetentionRule": retention_api.RulePlan,
        "RetentionRun": retention_api.RunView,
        "Disposal": retention_api.DisposalView,
        "Purge": retention_api.PurgeView,
        "StoppedParty": retention_api.StoppedParty,
        "FlowCase": flows_api.CaseView,
        "FlowStep": flows_api.StepView,
    }.items():
        assert set(schemas[name]["properties"]) == {each.name for each in dataclasses.fields(kind)} | extra.get(name, set())
    for kind in (service.State, service.Hold, service.Command, service.RequestStatus, kinds.Kind, kinds.Role):
        assert schemas[kind.__name__]["enum"] == [each.value for each in kind]
    for name in (
        "CommandBody",
        "CorrectBody",
        "SettleBody",
        "ApproveBody",
        "ReasonBody",
        "AskBody",
        "RevealBody",
        "ReleaseBody",
        "SearchBody",
    ):
        assert set(schemas[name]["properties"]) == set(getattr(bodies, name).model_fields)
    for body in (
        policy_api.PolicyAskBody,
        policy_api.ProvisionsBody,
        reports_api.CheckBody,
        reports_api.StatisticsBody,
        flows_api.CompleteBody,
    ):
        assert set(schemas[body.__name__]["properties"]) == set(body.model_fields)


def test_the_status_words_are_those_of_the_state_machine() -> None:
    assert {each.value for each in service.State} == set(status.WORDS)
    assert {each.value for each in Hold} <= {each.value for each in service.Hold}


@pytest.mark.parametrize("language", ["en", "ja"])
def test_every_state_and_hold_has_its_words(language: words.Language) -> None:
    for state in service.State:
        for hold in (None, *service.Hold):
            view = delivery("d", state=state, hold=hold)
            assert words.why(view, language)
            assert words.what_next(view, language)
    settled_by_a_person = delivery("d", state=State.UNKNOWN, hold=service.Hold.UNKNOWN)
    assert "settle" in words.what_next(settled_by_a_person, language)
