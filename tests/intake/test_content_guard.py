"""The content guard at the doors: an Individual Number in disguise, in a type that must not bear one, goes to quarantine."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from lxml import etree

from certs.authority import TestAuthority
from gateway.broker import BrokerEndpoint
from gateway.intake.admit import QUARANTINE, Intake
from gateway.intake.submission import Sender
from gateway.policy.routes import PolicyTables, build, tables
from gateway.security.keys import KeyStore
from gateway.security.sealing import Sealer
from message_formats import catalogue, guard, samples, writing
from message_formats.catalogue import Item, MessageType
from tests.intake.kit import REGISTER, headers, house, preparer, refusal, submission
from tests.intake.queues import bench
from tests.intake.web import Web, serve
from tests.support.broker import Names

NUMBER = samples.individual_number(7)
WIDE = NUMBER.translate(str.maketrans("0123456789", "０１２３４５６７８９"))
DISGUISES = (NUMBER, WIDE, f"{NUMBER[:4]}-{NUMBER[4:8]}-{NUMBER[8:]}", f"{WIDE[:4]}　{WIDE[4:8]}　{WIDE[8:]}")
NOTICE = "residence-address-notice"
"""To the Immigration Bureau, where the number is forbidden in both directions."""
BARRED = [entry for entry in catalogue.all_types() if entry.carried and guard.applies(entry)]


def policy() -> PolicyTables:
    """Every carried type may come from the register here, so that the guard is all that stands in the way."""
    packaged = tables()
    ways = {entry.name: [{"from": REGISTER, "to": "city-cs"}] for entry in catalogue.all_types() if entry.carried}
    return build(
        {
            "systems": {"in-house": [*packaged.in_house], "outside": [*packaged.outside]},
            "ephemeral": [*packaged.ephemeral],
            "connections": ways,
        },
        {"routes": {name: [{"party": "city-cs", "stream": name, "lane": "live"}] for name in ways}},
    )


def everything() -> dict[str, Sender]:
    return {REGISTER: Sender(system=REGISTER, peer=REGISTER, types=frozenset(catalogue.names()))}


def places(entry: MessageType) -> list[str]:
    """Every item of the sample that can hold anything; kana and relationships cannot, by their form."""
    kinds = {"text", "prose"} | ({"token"} if entry.individual_number == "forbidden" else set())
    wanted = {item.id for item in _leaves(entry.items) if item.kind in kinds}
    return [key for key, value in samples.items(entry.name).items() if value and key.rpartition("/")[2].partition("[")[0] in wanted]


def _leaves(items: tuple[Item, ...]) -> list[Item]:
    return [leaf for item in items for leaf in (_leaves(item.items) if item.items else [item])]


def disguised(name: str, key: str, number: str) -> bytes:
    """A message that is valid but for the number in one of its texts; put in behind the schema's back, so that no other rule is met."""
    items = samples.items(name)
    text = writing.element(name, {**items, key: (items[key] or "") + number})
    return etree.tostring(text)


@pytest.mark.invariant("I7")
@pytest.mark.invariant("I5")
@pytest.mark.control("C-1-3-10")
@pytest.mark.control("C-M-6-17")
@pytest.mark.parametrize(("name", "key"), [(entry.name, key) for entry in BARRED for key in places(entry)])
@pytest.mark.edge("F1-6", "individual-number")
@pytest.mark.edge("FS7-2", "individual-number")
@pytest.mark.edge("FS6-4", "individual-number")
def test_a_number_in_any_text_of_a_barred_type_is_refused_without_repeating_it(tmp_path: Path, name: str, key: str) -> None:
    ready = preparer(KeyStore(tmp_path / "keys").ensure(), policy=policy(), senders=everything())
    ready.prepare(submission(samples.message(name).to_bytes(), type=name))
    for number in DISGUISES:
        error = refusal(lambda number=number: ready.prepare(submission(disguised(name, key, number), type=name)))  # type: ignore[misc]
        assert error is not None
        assert (error.code, error.rule) == ("number-suspected", "content-guard")
        assert str(error.place).rpartition("/")[2].partition("[")[0] == key.rpartition("/")[2].partition("[")[0]
        assert not any(each in f"{error} {error.place} {error.rule}" for each in DISGUISES)


def test_there_is_something_to_guard() -> None:
    assert {"residence-address-notice", "residence-status-notice", "provision-replica-update"} <= {entry.name for entry in BARRED}
    assert sum(len(places(entry)) for entry in BARRED) > 20


def test_what_is_no_number_or_stands_where_it_may_passes(tmp_path: Path) -> None:
    ready = preparer(KeyStore(tmp_path / "keys").ensure(), policy=policy(), senders=everything())
    wrong = NUMBER[:-1] + str((int(NUMBER[-1]) + 1) % 10)
    key = places(catalogue.get(NOTICE))[0]
    for name, item, text in (
        (NOTICE, key, wrong),  # the check digit does not fit
        (NOTICE, key, f"1{NUMBER}"),  # thirteen digits
        ("identity-information-update", "address", NUMBER),  # the type bears the number anyway
        ("administrative-column-update", "national_health_insurance/number", NUMBER),  # a number of another office
    ):
        data = disguised(name, item, text) if "/" not in item else _replaced(name, item, text)
        error = refusal(lambda data=data, name=name: ready.prepare(submission(data, type=name)))  # type: ignore[misc]
        assert error is None, error


def _replaced(name: str, key: str, text: str) -> bytes:
    return writing.write(name, {**samples.items(name), key: text}).to_bytes()


@pytest.fixture
async def web(tmp_path: Path, people: TestAuthority) -> AsyncIterator[Web]:
    home = house(tmp_path, policy=policy(), senders=everything())
    async with serve(home, people) as running:
        yield running


@pytest.mark.invariant("I7")
@pytest.mark.invariant("I10")
@pytest.mark.parametrize("number", DISGUISES)
async def test_by_https_the_sender_is_told_and_the_message_is_kept_sealed(web: Web, number: str) -> None:
    key = places(catalogue.get(NOTICE))[0]
    data = disguised(NOTICE, key, number)
    with structlog.testing.capture_logs() as logged:
        answer = await web.post(data, headers(ce_type=NOTICE))
    (alert,) = [each for each in logged if each["event"] == "number-suspected"]
    assert (alert["log_level"], alert["system"], alert["type"]) == ("warning", REGISTER, NOTICE)
    assert number not in str(alert)
    assert (answer.status, answer.json["code"], answer.json["rule"]) == (422, "number-suspected", "content-guard")
    assert "quarantine" in answer.json["detail"]
    assert answer.json["place"].startswith("/ResidenceAddressNotice/")
    assert number not in answer.body.decode()
    assert web.house.ledger.messages == []
    (kept,) = web.house.ledger.kept
    assert (kept.code, kept.type, kept.size_bytes) == ("number-suspected", NOTICE, len(data))
    assert kept.sealed is not None
    assert NUMBER.encode() not in kept.sealed.sealed
    opened = Sealer(web.house.keys).unseal(
        kept.sealed.sealed,
        wrapped=kept.sealed.wrapped,
        kek_id=kept.sealed.kek_id,
        message_id=kept.quarantine_id,
        message_type=NOTICE,
        party=QUARANTINE,
    )
    assert opened == data, "the operator can look at it"


@pytest.mark.slow
@pytest.mark.invariant("I7")
@pytest.mark.invariant("I10")
async def test_by_queue_the_receipt_is_a_refusal_and_keeps_its_place(endpoint: BrokerEndpoint, declared: Names, tmp_path: Path) -> None:
    async with bench(endpoint, declared, tmp_path) as queue:
        system = queue.register.system
        packaged = policy()
        ways = {NOTICE: [{"from": system, "to": "city-cs"}]}
        own = build(
            {
                "systems": {"in-house": [*packaged.in_house], "outside": [*packaged.outside, system]},
                "ephemeral": [],
                "connections": ways,
            },
            {"routes": {NOTICE: [{"party": "city-cs", "stream": NOTICE, "lane": "live"}]}},
        )
        allowed = {system: Sender(system=system, peer=system, types=frozenset({NOTICE}))}
        queue.home.intake = Intake(preparer=preparer(queue.home.keys, policy=own, senders=allowed), ledger=queue.home.ledger)
        good = samples.message(NOTICE).to_bytes()
        bad = disguised(NOTICE, places(catalogue.get(NOTICE))[0], WIDE)
        await queue.door()
        sent = [await queue.register.send(data, type=NOTICE) for data in (good, bad, good)]
        answers: list[dict[str, Any]] = await queue.register.answers(3)
        assert [answer["id"] for answer in answers] == sent
        assert [answer["status"] for answer in answers] == ["accepted", "refused", "accepted"]
        assert (answers[1]["code"], answers[1]["rule"]) == ("number-suspected", "content-guard")
        assert WIDE not in json.dumps(answers, ensure_ascii=False)
        assert [kept.code for kept in queue.home.ledger.kept] == ["number-suspected"]
