"""renkei approvals, quarantine, bulk, reveal, operators against a real admin API. All data are fictitious."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from gateway.cli.support import ExitCode
from tests.admin.conftest import Api
from tests.cli.test_operating import WHO, YES, at


async def test_a_request_is_shown_and_refused_with_a_reason(api: Api, renkei) -> None:
    await renkei("skip", "d-held", *YES, *WHO, *at(api))
    listed = await renkei("approvals", "list", "--as", "operator-b", *at(api))
    assert ("r-1: skip → waiting" in listed.out, "the cause is gone" in listed.out) == (True, True)
    assert "r-1" in (await renkei("approvals", "show", "r-1", "--as", "operator-b", *at(api), "--json")).json["request_id"]
    own = await renkei("approvals", "refuse", "r-1", "--reason", "not now", *WHO, *at(api))
    assert (own.code, "role" in own.err) == (ExitCode.REFUSED, True)
    done = await renkei("approvals", "refuse", "r-1", "--reason", "not now", "--as", "operator-b", *at(api), "--json")
    assert (done.code, done.json["status"]) == (ExitCode.OK, "refused")
    assert "no request waits" in (await renkei("approvals", "list", *WHO, *at(api))).out
    assert "refused" in (await renkei("approvals", "list", "--all", *WHO, *at(api))).out


async def test_held_says_that_a_correction_waits_for_a_second_person(api: Api, renkei, tmp_path: Path) -> None:
    new = tmp_path / "new.xml"
    new.write_bytes(b"<fictitious/>")
    await renkei("correct", "d-held", new, *YES, *WHO, *at(api))
    assert "a second person decides on what was asked for: correct (r-1)" in (await renkei("held", *WHO, *at(api))).out
    assert "申請の承認を待っています：correct (r-1)" in (await renkei("--lang", "ja", "held", *WHO, *at(api))).out


@pytest.mark.parametrize("what", ["release", "discard"])
async def test_what_was_refused_is_released_or_discarded_by_two(api: Api, renkei, what: str) -> None:
    asked = await renkei("quarantine", what, "q-1", *YES, *WHO, *at(api))
    assert (asked.code, "renkei approvals approve r-1" in asked.out) == (ExitCode.WAITS, True)
    assert (await renkei("approvals", "approve", "r-1", "--yes", "--as", "operator-b", *at(api))).code == ExitCode.OK
    assert (await renkei("quarantine", what, "q-9", *YES, *WHO, *at(api))).code == ExitCode.NOT_FOUND


async def test_a_payload_is_asked_for_approved_and_seen_once(api: Api, renkei, tmp_path: Path) -> None:
    asked = await renkei("reveal", "d-held", "--reason", "the party asks", *WHO, *at(api), "--json")
    assert (asked.code, asked.json["argument"]) == (ExitCode.WAITS, {"clear": False})
    assert (await renkei("reveal", "--request", "r-1", *WHO, *at(api))).code == ExitCode.REFUSED
    approved = await renkei("approvals", "approve", "r-1", "--yes", "--as", "operator-b", *at(api))
    assert (approved.code, "may be carried out once" in approved.out) == (ExitCode.OK, True)
    out = tmp_path / "shown.xml"
    assert (await renkei("reveal", "--request", "r-1", "--out", out, *WHO, *at(api))).code == ExitCode.OK
    assert (out.read_bytes(), stat.S_IMODE(out.stat().st_mode)) == (b"<masked/>", 0o600)
    assert (await renkei("reveal", "--request", "r-1", *WHO, *at(api))).code == ExitCode.REFUSED
    kept = await renkei("reveal", "q-1", "--reason", "what was it?", "--clear", *WHO, *at(api), "--json")
    assert (kept.json["subject"], kept.json["argument"]) == ("q-1", {"clear": True})
    assert (await renkei("reveal", "d-held", *WHO, *at(api))).code == ExitCode.USAGE


async def test_a_bulk_output_is_asked_for_by_party_and_type(api: Api, renkei) -> None:
    assert "reconciliation" in (await renkei("bulk", *WHO, *at(api))).out
    asked = await renkei("bulk", "--party", "city-cs", "--type", "reconciliation", *YES, *WHO, *at(api), "--json")
    assert (asked.code, asked.json["subject"]) == (ExitCode.WAITS, "city-cs/reconciliation")
    assert (await renkei("bulk", "--party", "city-cs", "--type", "other", *YES, *WHO, *at(api))).code == ExitCode.USAGE
    assert (await renkei("bulk", "--party", "city-cs", "--type", "reconciliation", *WHO, *at(api))).code == ExitCode.USAGE


async def test_the_table_of_rights_a_review_and_a_contractor(api: Api, renkei) -> None:
    table = await renkei("operators", "list", "--as", "auditor", *at(api), "--json")
    assert {each["name"] for each in table.json} == api.config.admin.operators.keys()
    reviewed = await renkei("operators", "review", "operator-a", "--result", "as needed", "--as", "administrator", *at(api))
    assert (reviewed.code, "2027-04-30" in reviewed.out) == (ExitCode.OK, True)
    refused = await renkei("operators", "review", "operator-a", "--result", "as needed", *WHO, *at(api))
    assert refused.code == ExitCode.REFUSED
    released = await renkei("operators", "release", "contractor", "--hours", "2", "--reason", "maintenance", *WHO, *at(api))
    assert (released.code, "contractor: may work until" in released.out) == (ExitCode.OK, True)
    assert "nothing waits" in (await renkei("operators", "grant", "operator-a", "--reason", "a new post", *WHO, *at(api))).out


async def test_release_asks_for_a_second_person(api: Api, renkei) -> None:
    asked = await renkei("release", "d-held", *YES, *WHO, *at(api), "--json")
    assert (asked.code, asked.json["command"], asked.json["needs_two"]) == (ExitCode.WAITS, "release", True)
