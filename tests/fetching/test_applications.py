"""Applications of citizens, end to end: signed at the portal, fetched each hour, verified, tied to a person, in the register's queue."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from certs.setup import ensure_networks
from message_formats import writing
from simulators.applications.signing import serial_of
from tests.fetching.kit import HOUR_S, PORTAL, REGISTER, Mailboxes
from tests.support.broker import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
NUMBER = "999900000011"


async def link(portal: Mailboxes, applicant: str, atena: str, name: str) -> None:
    """The register says whose certificate that is."""
    serial = serial_of(portal.town.certificates / f"{applicant}.pem")
    xml = writing.write("number-linkage-feed", {"serial_number": serial, "atena_number": atena}).to_bytes()
    await portal.hand_in(name, xml, kind="number-linkage-feed")
    await until(lambda: bool(found := portal.taken(name, REGISTER)) and found[0]["state"] == "delivered", 40)


async def apply(portal: Mailboxes, batch: str | None, applications: Sequence[dict[str, Any]], **more: Any) -> None:
    made = [{"procedure": "MOVE-OUT", "applicant": "applicant-1", "number": NUMBER, **each} for each in applications]
    what = {"applications": made, **({"batch": batch} if batch else {}), **more}
    await asyncio.to_thread(portal.control, "POST", "/_sim/emit", what)


async def hour(portal: Mailboxes, hours: float = 1) -> Any:
    return await portal.next_run(hours * HOUR_S, party=PORTAL)


@pytest.mark.flow("FS10-1")
@pytest.mark.flow("FS10-2")
@pytest.mark.control("C-1-2-9")
@pytest.mark.control("C-1-2-13")
@pytest.mark.control("C-1-2-21")
@pytest.mark.control("C-1-7-13")
async def test_a_signed_application_reaches_the_register_under_the_atena_number(portal: Mailboxes) -> None:
    await link(portal, "applicant-1", "9000000016", "link-1")
    await apply(portal, "hour-1", [{"reception": "R-1"}])
    run = await hour(portal)
    assert (run["records"], run["missed"]) == (1, 0)
    assert portal.records("hour-1") == {"R-1": ("accepted", None)}
    await until(lambda: portal.taken("R-1", PORTAL)[0]["state"] == "delivered")
    [row] = portal.taken("R-1", PORTAL)
    assert (row["party"], row["door"]) == (REGISTER, "fetch")
    assert row["subject"] == portal.taken("link-1", REGISTER)[0]["subject"]
    given = portal.given[-1]
    assert given["atena_number"] == "9000000016"
    assert not {"serial_number", "signature"} & set(given)
    [status] = [each for each in portal.journal("status") if each["reception"] == "R-1"]
    assert status["status"] == "3"


@pytest.mark.flow("FS10-1")
@pytest.mark.control("C-1-2-9")
@pytest.mark.control("C-1-2-13")
@pytest.mark.parametrize(
    ("reception", "made", "code"),
    [
        ("R-altered", {"spoil": "altered"}, "content-altered"),
        ("R-number", {"spoil": "other-number", "other": "999900000021"}, "content-altered"),
        ("R-unsigned", {"spoil": "unsigned"}, "signature-missing"),
        ("R-key", {"key": "applicant-2"}, "signature-invalid"),
        ("R-serial", {"serial": "12345"}, "serial-differs"),
        ("R-stranger", {"applicant": "gateway-lgwan-signing"}, "signer-issuer-unknown"),
        ("R-tls", {"applicant": "gateway-lgwan"}, "signer-wrong-purpose"),
        ("R-expired", {"applicant": "applicant-expired"}, "signer-expired"),
        ("R-revoked", {"applicant": "applicant-revoked"}, "signer-revoked"),
    ],
)
@pytest.mark.edge("FS10-1", "bad-signature")
@pytest.mark.edge("FS10-1", "no-signature")
async def test_what_is_not_proven_to_be_the_applicant_s_is_refused_with_its_reason(
    portal: Mailboxes, reception: str, made: dict[str, Any], code: str
) -> None:
    if made.get("applicant") in ("applicant-expired", "applicant-revoked"):
        _spoilt_certificates(portal, made["applicant"])
        await asyncio.sleep(1.1)  # lists are looked at again after a second
    await apply(portal, f"hour-{reception}", [{"reception": reception, **made}])
    await hour(portal)
    assert portal.records(f"hour-{reception}") == {reception: ("refused", code)}
    assert portal.taken(reception, PORTAL) == []
    [kept] = portal.rows("SELECT code, type FROM quarantine WHERE source_id = ?", reception)
    assert (kept["code"], kept["type"]) == (code, "application-data")
    assert any(each["code"] == code for each in portal.record("quarantined") + portal.record("refused"))


def _spoilt_certificates(portal: Mailboxes, name: str) -> None:
    import datetime as dt

    authority = ensure_networks(portal.town.certificates)["applicants"]
    past = dt.datetime.now(dt.UTC) - dt.timedelta(days=2)
    out = {"not_before": past - dt.timedelta(days=30), "not_after": past} if name.endswith("expired") else {}
    authority.issue(name, "signing", **out)  # type: ignore[arg-type]
    if name.endswith("revoked"):
        authority.revoke(name)


@pytest.mark.flow("FS10-2")
@pytest.mark.control("C-1-2-18")
@pytest.mark.edge("FS10-2", "unknown-serial")
async def test_an_unknown_serial_number_is_kept_for_a_person_and_not_forwarded(portal: Mailboxes) -> None:
    await apply(portal, "hour-unknown", [{"reception": "R-unknown", "applicant": "applicant-3"}])
    await hour(portal)
    assert portal.records("hour-unknown") == {"R-unknown": ("set-aside", "serial-unknown")}
    assert portal.taken("R-unknown", PORTAL) == []
    assert portal.rows("SELECT attributes FROM quarantine WHERE source_id = 'R-unknown'")[0]["attributes"] is not None


@pytest.mark.flow("FS10-2")
async def test_a_renewed_certificate_is_its_holder_s_once_the_feed_says_so(portal: Mailboxes) -> None:
    await link(portal, "applicant-1", "9000000016", "link-old")
    await link(portal, "applicant-2", "9000000016", "link-renewed")
    await apply(portal, "hour-renewed", [{"reception": "R-renewed", "applicant": "applicant-2"}])
    await hour(portal)
    assert portal.records("hour-renewed") == {"R-renewed": ("accepted", None)}
    assert portal.taken("R-renewed", PORTAL)[0]["subject"] == portal.taken("link-old", REGISTER)[0]["subject"]


@pytest.mark.flow("FS10-2")
@pytest.mark.control("C-1-2-7")
@pytest.mark.edge("FS10-2", "other-procedure")
async def test_an_application_of_a_procedure_that_nobody_has_goes_to_nobody(portal: Mailboxes) -> None:
    await apply(portal, "hour-procedure", [{"reception": "R-procedure", "procedure": "FISHING-LICENCE"}])
    await hour(portal)
    assert portal.records("hour-procedure") == {"R-procedure": ("refused", "procedure-unknown")}
    assert portal.taken("R-procedure", PORTAL) == []


@pytest.mark.flow("FS10-1")
@pytest.mark.control("C-1-7-13")
@pytest.mark.invariant("I2")
@pytest.mark.edge("FS10-1", "fetch-fails")
async def test_after_hours_without_a_line_the_next_run_takes_all_and_nothing_twice(portal: Mailboxes) -> None:
    await link(portal, "applicant-1", "9000000016", "link-hours")
    await asyncio.to_thread(portal.control, "POST", "/_sim/faults", {"kind": "down"})
    before = len(portal.runs(PORTAL))
    for number in range(3):
        portal.shift(HOUR_S)
        await until(lambda number=number: len(portal.runs(PORTAL)) == before + number + 1 and portal.runs(PORTAL)[-1]["code"], 40)
        await apply(portal, f"hour-down-{number}", [{"reception": f"R-down-{number}"}])
    await asyncio.to_thread(portal.control, "DELETE", "/_sim/faults")
    await until(lambda: portal.runs(PORTAL)[-1]["ended_at"] is not None, 40)
    run = portal.runs(PORTAL)[-1]
    assert (run["batches"], run["records"], run["missed"]) == (3, 3, 2)
    for number in range(3):
        await until(lambda number=number: portal.taken(f"R-down-{number}", PORTAL)[0]["state"] == "delivered")
        assert len(portal.taken(f"R-down-{number}", PORTAL)) == 1
    again = await hour(portal)
    assert again["records"] == 0


@pytest.mark.flow("FS10-3")
@pytest.mark.control("C-1-7-14")
@pytest.mark.edge("FS10-3", "no-status")
async def test_an_application_on_the_list_of_which_nothing_is_known_is_reported_and_fetched(portal: Mailboxes) -> None:
    await link(portal, "applicant-1", "9000000016", "link-list")
    await apply(portal, None, [{"reception": "R-lost"}])
    await asyncio.to_thread(portal.control, "POST", "/_sim/emit", {"list": True})
    await hour(portal)
    assert portal.records("application:R-lost") == {"R-lost": ("accepted", None)}
    await until(lambda: portal.taken("R-lost", PORTAL)[0]["state"] == "delivered")
    assert portal.record("applications-without-status")[-1]["count"] == 1
    await asyncio.to_thread(portal.control, "POST", "/_sim/emit", {"list": True})
    await hour(portal)
    assert portal.record("applications-reconciled")[-1]["count"] == 0


@pytest.mark.control("C-1-2-22")
async def test_an_answer_for_another_municipality_is_refused(portal: Mailboxes) -> None:
    await apply(portal, "hour-tenant", [{"reception": "R-tenant"}], tenant="131016")
    before = len(portal.runs(PORTAL))
    portal.shift(HOUR_S)
    await until(lambda: len(portal.runs(PORTAL)) > before and portal.runs(PORTAL)[-1]["code"] == "other-municipality", 40)
    assert portal.batch("hour-tenant") is None
    assert portal.taken("R-tenant", PORTAL) == []
