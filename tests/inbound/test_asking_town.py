"""The register's dialogues and replies end to end: gateway, broker and city CS as processes, mutual TLS, signed messages."""

from __future__ import annotations

import asyncio
import http.client
import json
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import pytest

from message_formats import reading, samples, writing
from simulators.city import City
from simulators.harness.admin import Admin
from simulators.harness.town import Plan, Town
from simulators.world.people import Elsewhere
from tests.inbound.asking import QUESTIONS
from tests.inbound.kit import Ends, notice
from tests.intake.kit import headers
from tests.support.broker import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
SEED, POPULATION = 3, 200
OTHER = samples.municipality_code(samples.OTHER_MUNICIPALITY_BASE)


@pytest.fixture(scope="module")
async def town(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    plan = Plan(
        workers=1, population=POPULATION, city_seed=SEED, inbound=True, acknowledge_s=2.0, calls=1,
        types=(*QUESTIONS, "move-out-certificate-request"), retry={"first_s": 0.2, "longest_s": 1.0, "budget": 40},
    )  # fmt: skip
    async with Town(tmp_path_factory.mktemp("asking"), plan) as town:
        await town.start()
        yield town


@pytest.fixture
async def ends(town: Town) -> AsyncIterator[Ends]:
    found = Ends(town)
    await found.open_register()
    yield found
    await found.close_register()


async def post(town: Town, path: str, kind: str, items: Mapping[str, str | None], **more: str) -> tuple[int, Mapping[str, str], bytes]:
    """The register speaks to the gateway's door."""
    head = headers(
        more.pop("id", None), ce_type=kind, ce_operator="staff-0001", ce_terminal="terminal-07", ce_reference="2026-000123", **more
    )
    connector = aiohttp.TCPConnector(ssl=town._register_context())
    body = writing.write(kind, items).to_bytes()
    async with (
        aiohttp.ClientSession(connector=connector, trust_env=False) as session,
        session.post(f"https://127.0.0.1:{town.ports.https}{path}", data=body, headers=head, server_hostname="gateway") as answer,
    ):
        return answer.status, dict(answer.headers), await answer.read()


async def ask(town: Town, kind: str, items: Mapping[str, str | None], **more: str) -> tuple[int, Mapping[str, str], bytes]:
    return await post(town, "/v1/dialogues", kind, {"request_id": f"req-{uuid.uuid4()}", **items}, **more)


def journal(town: Town) -> list[dict[str, Any]]:
    return [json.loads(line) for line in town.journal.read_text().splitlines()]


@pytest.mark.flow("F2-2")
@pytest.mark.control("C-1-5-1")
@pytest.mark.control("C-3-5-3")
async def test_somebody_s_identity_is_confirmed_and_both_journals_name_the_same_dialogue(town: Town, ends: Ends) -> None:
    resident = City(SEED, POPULATION).resident(13)
    status, head, body = await ask(town, "identity-confirmation-request", {"resident_record_code": resident.resident_record_code})
    assert status == 200, body
    found = reading.read(body, expected="identity-confirmation-result").items
    assert (found["match"], found["identity_information/name"]) == ("1", resident.name)
    entry = ends.record("dialogue")[-1]
    assert (entry["outcome"], entry["dialogue"], entry["reference"]) == ("answered", head["ce-id"], "2026-000123")
    assert head["ce-id"] in town.journal.read_text()
    # neither question nor answer lies anywhere in the gateway's house
    kept = [f.name for f in town.var.rglob("*") if f.is_file() and resident.resident_record_code.encode() in f.read_bytes()]
    assert kept == []


@pytest.mark.edge("F2-2", "no-hit")
async def test_nobody_found_is_an_answer_and_on_record(town: Town, ends: Ends) -> None:
    items = {"resident_record_code": samples.resident_record_code(9_999_997)}
    status, head, body = await ask(town, "identity-confirmation-request", items)
    found = reading.read(body, expected="identity-confirmation-result").items
    assert (status, found["match"], found.get("identity_information/name")) == (200, "0", None)
    entry = ends.record("dialogue")[-1]
    assert (entry["outcome"], entry["dialogue"]) == ("answered", head["ce-id"])


@pytest.mark.flow("F2-4")
@pytest.mark.flow("F2-5")
async def test_search_and_inquiry(town: Town, ends: Ends) -> None:
    resident = City(SEED, POPULATION).resident(14)
    status, _, body = await ask(town, "identity-search-request", {"name": resident.name, "birth_date": resident.birth_date})
    assert status == 200, body
    assert reading.read(body).items["matches[1]/resident_record_code"] == resident.resident_record_code
    status, _, body = await ask(town, "identity-inquiry-request", {"resident_record_code": resident.resident_record_code})
    assert status == 200, body
    assert reading.read(body).items["identity_information[1]/name"] == resident.name
    status, _, body = await ask(town, "identity-inquiry-request", {"resident_record_code": samples.resident_record_code(9_999_998)})
    assert (status, json.loads(body)["code"], json.loads(body)["rule"]) == (502, "party-refused", "no-match")


async def namesakes(town: Town, ends: Ends, name: str, *serials: int) -> dict[str, str]:
    """Residents who have all four basic items in common; these."""
    first = {**samples.identity_items(serials[0]), "name_kanji": name, "name_gaiji_count": "0", "gaiji_flag": "0"}
    for serial in serials:
        own = {"resident_record_code": samples.resident_record_code(serial), "individual_number": samples.individual_number(serial)}
        since = len(results(ends))
        items = {**first, **own, "request_control_number": f"N{uuid.uuid4().hex[:12]}"}
        assert (await post(town, "/v1/messages", "identity-information-update", items))[0] == 202
        await until(lambda since=since: len(results(ends)) == since + 1, 30.0)
    return {"name": name, **{item: str(first[item]) for item in ("address", "sex", "birth_date")}}


@pytest.mark.flow("F2-5")
@pytest.mark.edge("F2-5", "several-matches")
@pytest.mark.invariant("I7")
async def test_several_who_fit_an_inquiry_are_a_list_to_choose_from_without_numbers_and_not_with_a_protected_one(
    town: Town, ends: Ends
) -> None:
    four = await namesakes(town, ends, "見本　同名", 41, 42, 43)
    status, _, body = await ask(town, "identity-inquiry-request", four)
    assert status == 200, body
    found = reading.read(body, expected="identity-inquiry-result").items
    codes = {value for path, value in found.items() if path.endswith("/resident_record_code")}
    assert codes == {samples.resident_record_code(serial) for serial in (41, 42, 43)}
    assert not any(value for path, value in found.items() if path.endswith("/individual_number")), "nobody's who will not be chosen"
    # whoever is chosen is asked for by the code, and comes with everything
    status, _, body = await ask(town, "identity-inquiry-request", {"resident_record_code": samples.resident_record_code(42)})
    one = reading.read(body, expected="identity-inquiry-result").items
    assert (status, one["identity_information[1]/individual_number"]) == (200, samples.individual_number(42))
    assert "identity_information[2]/name" not in one
    # one of them is under support measures: where that one lives is told to nobody who may have meant another
    mark = {**samples.items("resident-protection-mark", 43), "resident_record_code": samples.resident_record_code(43)}
    assert (await post(town, "/v1/messages", "resident-protection-mark", mark))[0] == 202
    status, _, body = await ask(town, "identity-inquiry-request", four)
    assert (status, json.loads(body)["code"]) == (403, "protected")
    assert samples.resident_record_code(43).encode() not in body
    assert (ends.record("dialogue")[-1]["outcome"], ends.record("dialogue")[-1]["code"]) == ("answer-refused", "protected")
    status, _, body = await ask(town, "identity-inquiry-request", {"resident_record_code": samples.resident_record_code(43)})
    assert status == 200, "the city itself may ask for exactly this resident"


@pytest.mark.edge("F2-5", "several-matches")
async def test_more_candidates_than_anybody_could_choose_from_are_not_listed(town: Town, ends: Ends) -> None:
    four = await namesakes(town, ends, "見本　多数", *range(200, 221))
    status, _, body = await ask(town, "identity-inquiry-request", four)
    assert (status, json.loads(body)["code"], json.loads(body)["rule"]) == (502, "party-refused", "too-many-matches")


@pytest.mark.flow("F1-8")
async def test_another_municipality_s_resident_gets_a_copy_here(town: Town, ends: Ends) -> None:
    person = Elsewhere(SEED).person(OTHER, 7)
    wanted = {k: v for k, v in samples.items("wide-area-certificate-request").items() if k.startswith("requested_certificate/")}
    items = {**wanted, "resident_record_code": person.code}
    status, _, body = await ask(town, "wide-area-certificate-request", items, ce_municipality=OTHER)
    assert status == 200, body
    assert reading.read(body).items["resident_record_code"] == person.code
    status, _, body = await ask(town, "wide-area-certificate-request", items)
    assert (status, json.loads(body)["code"]) == (400, "missing-attribute")


@pytest.mark.flow("F1-1")
@pytest.mark.flow("F2-1")
@pytest.mark.edge("F1-1", "existing-resident")
async def test_the_register_is_told_what_became_of_an_update(town: Town, ends: Ends) -> None:
    """Accepted, and, for somebody who is a resident already, the error of the city CS (F1-1)."""
    items = samples.identity_items(31, request_control_number=f"A{uuid.uuid4().hex[:12]}")
    since = len(results(ends))
    assert (await post(town, "/v1/messages", "identity-information-update", items))[0] == 202
    await until(lambda: len(results(ends)) == since + 1, 30.0)
    again = {**items, "request_control_number": f"B{uuid.uuid4().hex[:12]}"}
    assert (await post(town, "/v1/messages", "identity-information-update", again))[0] == 202
    await until(lambda: len(results(ends)) == since + 2, 30.0)
    assert results(ends)[since:] == [{"outcome": "accepted"}, {"outcome": "rejected"}]
    provided = ends.rows("SELECT outcome FROM provision WHERE type = 'identity-update-result'")
    assert [row["outcome"] for row in provided] == ["provided"] * (since + 2)


def fault(town: Town, method: str, what: Mapping[str, Any] | None = None) -> None:
    """Put a fault on the city CS's board, or clear it."""
    connection = http.client.HTTPConnection("127.0.0.1", town.ports.control, timeout=30)
    try:
        token = (town.folder / "city-cs.token").read_text().strip()
        connection.request(method, "/_sim/faults", json.dumps(what) if what else None, {"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        assert answer.status in (200, 201, 204), answer.read()
    finally:
        connection.close()


async def release(ends: Ends, code: str) -> None:
    """Two persons have looked at what was refused with this code, and let it in by the door through which it came."""
    [kept] = ends.rows("SELECT id FROM quarantine WHERE code = ?", code)
    async with Admin(ends.town, "operator-a") as first, Admin(ends.town, "operator-b") as second:
        found = await first.get(f"quarantine/{kept['id']}")
        asked = await first.post(f"quarantine/{kept['id']}/release", {"seen_digest": found["digest"], "reason": "a terminal had asked"})
        await second.post(f"requests/{asked['request_id']}/approve", {"seen_digest": found["digest"]})


def results(ends: Ends) -> list[dict[str, str]]:
    """What lies at the register of type identity-update-result, by what the gateway's own record says of it."""
    rows = ends.rows(
        "SELECT m.source_id FROM delivery d JOIN message m ON m.id = d.message_id "
        "WHERE m.type = 'identity-update-result' AND d.state = 'delivered' ORDER BY d.accepted_at"
    )
    return [{"outcome": "accepted" if row["source_id"].endswith(":accepted") else "rejected"} for row in rows]


@pytest.mark.flow("F1-4")
@pytest.mark.flow("F2-3")
@pytest.mark.edge("F1-4", "other-person")
@pytest.mark.control("C-1-2-1")
async def test_a_special_move_in_is_asked_for_and_its_certificate_comes_by_queue(town: Town, ends: Ends) -> None:
    person = Elsewhere(SEED).person(OTHER, 8)
    since = len(ends.effects)
    items = {"resident_record_code": person.code, "requesting_municipality": samples.municipality_code()}
    assert (await post(town, "/v1/messages", "move-out-certificate-request", items, ce_municipality=OTHER))[0] == 202
    await until(lambda: len(ends.effects) > since, 30.0)
    # for somebody else, of whom nothing was asked: refused, on record, and kept for two persons to look at
    stranger = notice("move-out-certificate-data", 77)
    said = await ends.send(stranger, operation="SendMoveOutCertificate")
    assert [(each["outcome"], each["code"]) for each in said["results"]] == [("rejected", "answer-without-request")]
    assert "answer-without-request" in {each.get("code") for each in ends.record("refused")}
    assert len(ends.effects) == since + 1
    await release(ends, "answer-without-request")
    await until(lambda: len(ends.effects) == since + 2, 30.0)
    assert ends.rows('SELECT id FROM audit_entry WHERE detail LIKE \'%"waived":["answers-a-request"]%\'')
    [row, _] = ends.rows("SELECT producer FROM message WHERE type = 'move-out-certificate-data' AND system = 'city-cs'")
    assert row["producer"] == "other-municipality-cs"


@pytest.mark.invariant("I4")
async def test_a_dialogue_does_not_wait_behind_deliveries(town: Town, ends: Ends) -> None:
    """One call at once is allowed for deliveries, and that one hangs: people are answered all the same."""
    resident = City(SEED, POPULATION).resident(15)
    await asyncio.to_thread(fault, town, "POST", {"kind": "half-open", "times": 1})
    try:
        items = samples.identity_items(33, request_control_number=f"C{uuid.uuid4().hex[:12]}")
        assert (await post(town, "/v1/messages", "identity-information-update", items))[0] == 202
        await until(lambda: bool(ends.rows("SELECT id FROM delivery WHERE party = 'city-cs' AND state = 'sending'")))
        began = time.monotonic()
        status, _, _ = await ask(town, "identity-confirmation-request", {"resident_record_code": resident.resident_record_code})
        assert (status, time.monotonic() - began < 5.0) == (200, True)
        assert ends.rows("SELECT id FROM delivery WHERE party = 'city-cs' AND state = 'sending'")
    finally:
        await asyncio.to_thread(fault, town, "DELETE")
