"""Resident information to the accounts of business systems, the Board of Education and the tax system: by work, filtered, on record."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.checks import parties as check_parties
from gateway.config import load
from gateway.plugins import bind_parties
from gateway.policy.loading import packaged, packaged_text, with_sample_approvals
from message_formats import samples
from simulators.in_house.folder import Folder
from tests.in_house.kit import FILES, FILES_WORK, PULL, PULL_WORK, QUEUES, InHouse, message
from tests.support.broker import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
LINK, TRANSFER = "internal-link-system", "resident-info-transfer"


def approved(work: str) -> set[str]:
    (permission,) = with_sample_approvals().by_work[work]
    return set(permission.items)


def approvals(folder: Path, **changes: dict[str, Any] | None) -> Path:
    """The sample approvals, with changes (``transfer_2=None`` takes one away), as a file to be applied."""
    document = json.loads(with_sample_approvals().document)
    rows = document["approvals"]
    for name, change in changes.items():
        work = name.replace("_", "-")
        if change is None:
            rows.pop(work)
        else:
            rows[work] = {**rows[work], **change}
    file = folder / "approvals.json"
    file.write_text(json.dumps({"name": "sample-approvals", "sample": True, "approvals": rows}), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
async def permitted(house: InHouse, tmp_path_factory: pytest.TempPathFactory) -> InHouse:
    """The sample approvals count."""
    file = tmp_path_factory.mktemp("approvals") / "approvals.yaml"
    file.write_text(packaged_text("approvals-sample.yaml"), encoding="utf-8")
    await house.apply(file)
    return house


@pytest.fixture
async def systems(permitted: InHouse) -> AsyncIterator[InHouse]:
    """Every system with a queue runs."""
    await permitted.open(*QUEUES)
    yield permitted
    await permitted.close()


@pytest.mark.flow("FS1-8a")
@pytest.mark.invariant("I7")
@pytest.mark.control("C-1-3-1")
@pytest.mark.parametrize(
    ("work", "account", "step"),
    [
        ("transfer-2", "welfare-account", "2"),
        ("transfer-3", "welfare-account", "2"),
        ("transfer-9", "tax-system", "4"),
        ("file1-provision-2", "education-board-system", "3"),
    ],
)
async def test_a_work_reaches_its_account_with_exactly_the_approved_items(systems: InHouse, work: str, account: str, step: str) -> None:
    receipt = await systems.send(LINK, TRANSFER, message(TRANSFER, 3), work=work)
    assert receipt["status"] == "accepted", receipt
    row = await systems.until_state(receipt["id"], account, "delivered")
    assert set(systems.deliveries(receipt["id"])) == {account}
    assert row["stream"] == work
    [effect] = [each for each in systems.effects(account) if each["delivery"] == row["id"]]
    assert set(effect["items"]) == approved(work)
    assert effect["work"] == work
    record = systems.provision(receipt["id"])
    assert (record["outcome"], record["party"], record["work"]) == ("provided", account, work)
    assert set(record["terms"]["items"]) == approved(work)
    await until(lambda: systems.case(receipt["id"])[1].get(step) == "done")
    assert systems.case(receipt["id"])[0] == "FS1-8a"
    if work == "file1-provision-2":
        assert packaged().works[work].kind == "provision"
        assert any("住" in cite for cite in record["terms"]["basis"])


# ---- what is refused -----------------------------------------------------------------------------------------------------------------


@pytest.mark.flow("FS1-8a")
@pytest.mark.control("C-1-3-1")
@pytest.mark.parametrize(
    ("work", "code"),
    [
        ("transfer-15", "work-inactive"),  # no department is decided
        ("inquirer-1", "not-carried"),  # the intermediate server's
        ("transfer-4", "no-destination"),  # permitted, but no account here is for it
        (None, "work-missing"),
    ],
)
async def test_what_has_no_destination_goes_nowhere_and_is_told(systems: InHouse, work: str | None, code: str) -> None:
    problem = await systems.send(LINK, TRANSFER, message(TRANSFER, 4), **({"work": work} if work else {}))
    assert (problem["http"] >= 400, problem["code"]) == (True, code), problem
    assert systems.deliveries(problem["id"]) == {}


@pytest.mark.flow("FS1-8a")
@pytest.mark.invariant("I6")
@pytest.mark.control("C-1-3-1")
async def test_who_is_no_sender_cannot_hand_anything_in(systems: InHouse) -> None:
    problem = await systems.sender(LINK, certificate="stranger").send(TRANSFER, message(TRANSFER, 4), work="transfer-2")
    assert problem["http"] == 403
    other = await systems.send("tax-system", TRANSFER, message(TRANSFER, 4), work="transfer-9")
    assert (other["http"], other["code"]) == (403, "not-permitted")


@pytest.mark.flow("FS1-8a")
@pytest.mark.invariant("I5")
@pytest.mark.invariant("I7")
async def test_a_work_without_need_for_the_individual_number_gets_none(systems: InHouse) -> None:
    """Neither in what is sealed nor in what is put into the queue: the account opens it, and there is none."""
    assert "individual_number" not in approved("transfer-2")
    receipt = await systems.send(LINK, TRANSFER, message(TRANSFER, 5), work="transfer-2")
    row = await systems.until_state(receipt["id"], "welfare-account", "delivered")
    [effect] = [each for each in systems.effects("welfare-account") if each["delivery"] == row["id"]]
    assert "individual_number" not in effect["items"]


@pytest.mark.invariant("I3")
@pytest.mark.invariant("I4")
async def test_works_of_one_account_do_not_hold_one_another(systems: InHouse) -> None:
    """The department of one work cannot take a resident yet; that of the other, with the same account, is told all the same."""
    book = systems.book("welfare-account")
    person = json.loads(json.dumps({"serial": 6}))["serial"]
    atena = message(TRANSFER, person).decode().split("atena_number>")[1].split("<")[0]
    await systems.send(LINK, TRANSFER, message(TRANSFER, person), work="transfer-2")
    await until(lambda: any(each["work"] == "transfer-2" for each in systems.effects("welfare-account")))
    book.not_yet.add(atena)
    held = await systems.send(LINK, TRANSFER, message(TRANSFER, person, sex="2"), work="transfer-2")
    await until(lambda: book.counts["not-yet"] > 0)
    book.not_yet.clear()
    free = await systems.send(LINK, TRANSFER, message(TRANSFER, person), work="transfer-3")
    await systems.until_state(free["id"], "welfare-account", "delivered")
    await systems.until_state(held["id"], "welfare-account", "delivered")


# ---- REST pull -----------------------------------------------------------------------------------------------------------------------


async def offered(house: InHouse, serial: int) -> tuple[str, dict[str, Any]]:
    """Handed in and fetched by the account's client; its id at the sender, and what was fetched."""
    receipt = await house.send(LINK, TRANSFER, message(TRANSFER, serial), work=PULL_WORK)
    assert receipt["status"] == "accepted", receipt
    row = await house.until_state(receipt["id"], PULL, "awaiting-reply")
    client = house.puller()
    assert (await client.authorise())[0] == 200
    status, found = await client.fetch(TRANSFER)
    assert status == 200
    [item] = [each for each in found["items"] if each["delivery"] == row["id"]]
    return receipt["id"], item


@pytest.mark.flow("FS1-8a")
@pytest.mark.rule("R18")
@pytest.mark.invariant("I2")
@pytest.mark.invariant("I8")
async def test_a_system_fetches_and_only_its_acknowledgement_ends_the_delivery(permitted: InHouse) -> None:
    source, item = await offered(permitted, 11)
    assert (item["type"], item["work"]) == (TRANSFER, PULL_WORK)
    assert item["data"]["name"]
    assert item["data"]["resident_items"]["head_name"]
    again = permitted.puller()
    await again.authorise()
    _, found = await again.fetch(TRANSFER)
    assert item in found["items"]  # fetching ends nothing
    assert permitted.deliveries(source)[PULL]["state"] == "awaiting-reply"
    said = [{"delivery": item["delivery"], "correlation": item["correlation"], "status": "accepted"}]
    assert await again.acknowledge(TRANSFER, said) == (200, {"recorded": 1})
    await permitted.until_state(source, PULL, "delivered")
    _, found = await again.fetch(TRANSFER)
    assert item["delivery"] not in {each["delivery"] for each in found["items"]}
    record = permitted.provision(source)
    assert (record["outcome"], record["party"]) == ("provided", PULL)
    fetched = permitted.rows("SELECT actor FROM audit_entry WHERE kind = 'fetched' AND delivery_id = ?", item["delivery"])
    assert [row["actor"] for row in fetched] == [PULL, PULL]


@pytest.mark.flow("FS1-8a")
async def test_the_simulated_system_fetches_writes_down_and_acknowledges(permitted: InHouse) -> None:
    receipts = [await permitted.send(LINK, TRANSFER, message(TRANSFER, serial), work=PULL_WORK) for serial in range(20, 25)]
    client, books = permitted.puller(), permitted.book(PULL, "business-systems")
    for receipt in receipts:
        await permitted.until_state(receipt["id"], PULL, "awaiting-reply")
    while await client.round(books, TRANSFER):
        pass
    for receipt in receipts:
        row = await permitted.until_state(receipt["id"], PULL, "delivered")
        [effect] = [each for each in permitted.effects(PULL) if each["delivery"] == row["id"]]
        assert set(effect["items"]) == approved(PULL_WORK)


@pytest.mark.rule("R18")
@pytest.mark.invariant("I1")
async def test_a_restart_of_the_gateway_costs_a_client_that_fetches_neither_its_token_nor_data(permitted: InHouse) -> None:
    source, item = await offered(permitted, 15)
    client = permitted.puller()
    await client.authorise()
    former = permitted.town.supervised()["gateway"]
    os.kill(former, signal.SIGKILL)

    async def serves() -> bool:
        with contextlib.suppress(aiohttp.ClientError, OSError):
            return (await client.fetch(TRANSFER))[0] in (200, 401)
        return False

    await until(lambda: permitted.town.supervised().get("gateway") not in (None, former))
    await until(serves, 30)
    status, found = await client.fetch(TRANSFER)
    assert (status, [each for each in found["items"] if each["delivery"] == item["delivery"]]) == (200, [item])
    said = [{"delivery": item["delivery"], "correlation": item["correlation"], "status": "accepted"}]
    assert await client.acknowledge(TRANSFER, said) == (200, {"recorded": 1})
    await permitted.until_state(source, PULL, "delivered")


@pytest.mark.rule("R18")
async def test_a_refusal_by_rest_holds_the_delivery_and_not_yet_offers_it_anew(permitted: InHouse) -> None:
    source, item = await offered(permitted, 12)
    client = permitted.puller()
    await client.authorise()
    later = [{"delivery": item["delivery"], "correlation": item["correlation"], "status": "not-yet", "code": "busy"}]
    assert (await client.acknowledge(TRANSFER, later))[0] == 200
    await until(lambda: permitted.deliveries(source)[PULL]["attempts"] == 2)
    row = await permitted.until_state(source, PULL, "awaiting-reply")
    _, found = await client.fetch(TRANSFER)
    [second] = [each for each in found["items"] if each["delivery"] == item["delivery"]]
    assert second["correlation"] != item["correlation"]
    refused = [{"delivery": second["delivery"], "correlation": second["correlation"], "status": "refused", "code": "no-such-person"}]
    assert (await client.acknowledge(TRANSFER, refused))[0] == 200
    row = await permitted.until_held(source, PULL)
    assert (row["held"], row["outcome_code"]) == ("rejected", "no-such-person")


@pytest.mark.flow("FS1-8a")
@pytest.mark.invariant("I7")
async def test_what_is_withdrawn_while_it_is_offered_is_not_handed_over(permitted: InHouse, tmp_path: Path) -> None:
    receipt = await permitted.send(LINK, TRANSFER, message(TRANSFER, 13), work=PULL_WORK)
    row = await permitted.until_state(receipt["id"], PULL, "awaiting-reply")
    fewer = await permitted.send(LINK, TRANSFER, message(TRANSFER, 14), work=PULL_WORK)
    await permitted.until_state(fewer["id"], PULL, "awaiting-reply")
    client = permitted.puller()
    await client.authorise()
    try:
        await permitted.apply(approvals(tmp_path, transfer_8={"items": ["atena_number", "name"]}))
        _, found = await client.fetch(TRANSFER)
        assert row["id"] not in {each["delivery"] for each in found["items"]}

        async def anew() -> bool:
            _, found = await client.fetch(TRANSFER)
            return {tuple(sorted(each["data"])) for each in found["items"]} == {("atena_number", "name")}

        await until(anew)
        await until(lambda: set(permitted.provision(fewer["id"])["terms"]["items"]) == {"atena_number", "name"})
        await permitted.apply(approvals(tmp_path, transfer_8=None))
        _, found = await client.fetch(TRANSFER)
        assert found["items"] == []
        for each in (receipt, fewer):
            ended = await permitted.until_state(each["id"], PULL, "skipped")
            assert ended["reason"] == "policy-refused"
            assert permitted.provision(each["id"])["outcome"] == "refused"
    finally:
        await permitted.apply(approvals(tmp_path))


@pytest.mark.invariant("I6")
@pytest.mark.invariant("I8")
@pytest.mark.parametrize(
    ("claims", "error"),
    [
        ({"iss": "somebody"}, "invalid_client"),
        ({"sub": "somebody"}, "invalid_client"),
        ({"aud": "https://elsewhere.example.invalid"}, "invalid_client"),
        ({"exp": 1}, "invalid_client"),
        ({"exp": 99999999999}, "invalid_client"),
        ({"jti": "short"}, "invalid_client"),
        ({"jti": 5}, "invalid_client"),
    ],
)
async def test_an_assertion_that_is_wrong_gives_no_token(permitted: InHouse, claims: dict[str, Any], error: str) -> None:
    status, said = await permitted.puller().authorise(**claims)
    assert (status, said) == (401, {"error": error})


@pytest.mark.invariant("I6")
async def test_no_token_for_another_secret_another_certificate_a_second_use_or_a_scope_of_others(permitted: InHouse) -> None:
    client = permitted.puller()
    form = {
        "grant_type": "client_credentials",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": client.assertion(),
    }
    assert (await client.call("POST", "/oauth/token", form=form))[0] == 200
    assert await client.call("POST", "/oauth/token", form=form) == (401, {"error": "invalid_client"})  # used before
    assert (await client.authorise("B99:resident-info-transfer:read"))[1] == {"error": "invalid_scope"}
    assert (await client.call("POST", "/oauth/token", form={**form, "client_assertion": client.assertion(), "grant_type": "password"}))[
        0
    ] == 400
    other = permitted.puller(certificate="welfare-account")
    assert await other.authorise() == (401, {"error": "invalid_client"})
    wrong = permitted.puller()
    wrong.secret = "x" * 48
    assert await wrong.authorise() == (401, {"error": "invalid_client"})
    await until(lambda: bool(permitted.rows("SELECT detail FROM audit_entry WHERE kind LIKE '%peer%' OR kind LIKE '%refus%'")))


@pytest.mark.invariant("I6")
@pytest.mark.invariant("I7")
async def test_a_token_is_good_for_its_scope_its_account_and_its_certificate_only(permitted: InHouse) -> None:
    client = permitted.puller()
    await client.authorise("B08:resident-info-transfer:read")
    assert (await client.fetch(TRANSFER))[0] == 200
    status, said = await client.acknowledge(TRANSFER, [{"delivery": "x", "correlation": "y", "status": "accepted"}])
    assert (status, said["code"]) == (403, "scope-insufficient")
    assert (await client.fetch("certificate-data-change"))[0] == 403
    stolen = permitted.puller(certificate="welfare-account")
    stolen.token = client.token
    assert (await stolen.fetch(TRANSFER))[0] == 401
    nobody = permitted.puller()
    nobody.token = "guessed"
    assert (await nobody.fetch(TRANSFER))[0] == 401
    form = {"client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer", "token": client.token}
    _, active = await client.call("POST", "/oauth/introspect", form={**form, "client_assertion": client.assertion()})
    assert (active["active"], active["scope"], active["client_id"]) == (True, "B08:resident-info-transfer:read", PULL)
    _, unknown = await client.call("POST", "/oauth/introspect", form={**form, "token": "x", "client_assertion": client.assertion()})
    assert unknown == {"active": False}
    await client.authorise()
    foreign = [
        {
            "delivery": "0" * 8 + "-0000-0000-0000-" + "0" * 12,
            "correlation": "0" * 8 + "-0000-0000-0000-" + "0" * 12 + ".1",
            "status": "accepted",
        }
    ]
    assert await client.acknowledge(TRANSFER, foreign) == (404, {"code": "no-such-delivery"})
    assert (await client.acknowledge(TRANSFER, []))[0] == 400


# ---- files ---------------------------------------------------------------------------------------------------------------------------


def complete(house: InHouse) -> list[str]:
    found = (house.town.folder / FILES / "out").glob("*.sha256")
    return sorted(each.name.removesuffix(".sha256") for each in found if not each.name.startswith("."))


@pytest.mark.flow("FS1-8a")
@pytest.mark.rule("R18")
@pytest.mark.invariant("I7")
@pytest.mark.invariant("I8")
async def test_a_system_has_files_and_its_import_receipt_ends_the_deliveries(permitted: InHouse) -> None:
    receipts = [await permitted.send(LINK, TRANSFER, message(TRANSFER, serial), work=FILES_WORK) for serial in range(31, 36)]
    for receipt in receipts:
        await permitted.until_state(receipt["id"], FILES, "awaiting-reply")
    folder = Folder(permitted.book(FILES, "business-systems"), permitted.town.folder / FILES)
    names = complete(permitted)
    text = b"".join((permitted.town.folder / FILES / "out" / f"{name}.csv").read_bytes() for name in names).decode()
    given = samples.items(TRANSFER, 31)
    assert str(given["atena_number"]) in text
    assert str(given["individual_number"]) not in text  # not approved for this work
    assert folder.round() == 5
    for receipt in receipts:
        row = await permitted.until_state(receipt["id"], FILES, "delivered")
        [effect] = [each for each in permitted.effects(FILES) if each["delivery"] == row["id"]]
        assert set(effect["items"]) == approved(FILES_WORK)
        [written] = permitted.rows("SELECT detail FROM audit_entry WHERE kind = 'file-written' AND delivery_id = ?", row["id"])
        detail = json.loads(written["detail"])
        assert detail["file"] in names
        assert len(detail["sha256"]) == 64
    await until(lambda: not any(list((permitted.town.folder / FILES / each).iterdir()) for each in ("in", "out")))


@pytest.mark.rule("R18")
@pytest.mark.invariant("I2")
async def test_a_file_that_nobody_acknowledges_is_written_anew_with_the_same_delivery_id(permitted: InHouse) -> None:
    receipt = await permitted.send(LINK, TRANSFER, message(TRANSFER, 36), work=FILES_WORK)
    await permitted.until_state(receipt["id"], FILES, "awaiting-reply")
    first = complete(permitted)
    await until(lambda: permitted.deliveries(receipt["id"])[FILES]["attempts"] == 2, 60)
    await until(lambda: set(complete(permitted)) - set(first) != set())
    books = permitted.book(FILES, "business-systems")
    Folder(books, permitted.town.folder / FILES).round()
    row = await permitted.until_state(receipt["id"], FILES, "delivered")
    assert len([each for each in permitted.effects(FILES) if each["delivery"] == row["id"]]) == 1


@pytest.mark.rule("R18")
async def test_a_receipt_that_makes_no_sense_or_is_about_others_ends_nothing(permitted: InHouse) -> None:
    receipt = await permitted.send(LINK, TRANSFER, message(TRANSFER, 37), work=FILES_WORK)
    row = await permitted.until_state(receipt["id"], FILES, "awaiting-reply")
    directory = permitted.town.folder / FILES
    folder = Folder(permitted.book(FILES, "business-systems"), directory)
    other = permitted.rows("SELECT id FROM delivery WHERE party != ?", FILES)[0]["id"]
    good = f"{row['id']},{row['correlation']},accepted,\r\n"
    for number, text in enumerate(
        (
            "nonsense",
            f"delivery,correlation,status,code\r\n{good}{other},{other}.1,accepted,\r\n",
            f"delivery,correlation,status,code\r\n{good}{row['id']},{row['correlation']},maybe,\r\n",
        )
    ):
        folder.acknowledge(f"bad-{number}", text)
        await until(lambda number=number: (directory / "in" / f"bad-{number}.ack.csv.rejected").exists())
    assert permitted.deliveries(receipt["id"])[FILES]["state"] == "awaiting-reply"
    folder.acknowledge("good", f"delivery,correlation,status,code\r\n{good}")
    await permitted.until_state(receipt["id"], FILES, "delivered")


async def test_check_looks_at_each_channel(systems: InHouse) -> None:
    (systems.town.folder / FILES).mkdir(exist_ok=True)  # as the operator does before the first start
    config = load(systems.town.config)
    parties = bind_parties(config)
    for account in (PULL, FILES, "welfare-account"):
        [finding] = await check_parties._consumer(config, parties[account])
        assert finding.ok, finding
