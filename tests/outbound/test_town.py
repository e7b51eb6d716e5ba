"""What the register hands in reaches city CS, prefecture server and card management, each what is for it, in the order of the flows."""

from __future__ import annotations

import pytest

from message_formats import codes
from tests.outbound.kit import Register, message
from tests.support.broker import until

pytestmark = pytest.mark.slow
CS, PREFECTURE, CARDS = "city-cs", "prefecture-server", "card-management-system"
OTHER = "131016"


@pytest.mark.flow("F1-1")
@pytest.mark.flow("F2-1")
@pytest.mark.rule("R3")
async def test_the_prefecture_has_the_notice_when_the_city_cs_has_the_update_and_not_before(register: Register) -> None:
    update = await register.accepted("identity-information-update", message("identity-information-update", 1))
    found = await register.until_delivered(update, CS, PREFECTURE)
    assert found[PREFECTURE]["waits_for"] == found[CS]["id"]
    assert found[PREFECTURE]["final_at"] >= found[CS]["final_at"]
    [noted] = register.journal(PREFECTURE, found[PREFECTURE]["id"])
    assert noted["operation"] == "NotifyIdentityInformation"


@pytest.mark.flow("F2-1")
@pytest.mark.flow("F1-1")
async def test_what_the_city_cs_refuses_is_not_told_to_the_prefecture(register: Register) -> None:
    gap = message("identity-information-update", 2, update_sequence_number="5")
    refused = await register.accepted("identity-information-update", gap)
    await until(lambda: register.deliveries(refused)[CS]["held"] == "rejected", 40.0)
    other = await register.accepted("identity-information-update", message("identity-information-update", 3))
    await register.until_delivered(other, CS, PREFECTURE)
    assert register.deliveries(refused)[PREFECTURE]["state"] == "queued"
    assert not register.journal(PREFECTURE, register.deliveries(refused)[PREFECTURE]["id"])


@pytest.mark.edge("F2-1", "format")
async def test_what_has_not_the_right_form_is_refused_at_the_door_and_told_nobody(register: Register) -> None:
    wrong = message("identity-information-update", 8).replace(b"<birth_date>", b"<birth_date>x", 1)
    status, problem = await register.hand_in("identity-information-update", wrong, id="wrong-form")
    assert (status, problem["code"], problem["place"]) == (422, "value-pattern", "/IdentityInformationUpdate/birth_date")
    assert not register.rows("SELECT id FROM message WHERE source_id = 'wrong-form'")


@pytest.mark.edge("F2-8", "no-suspension")
async def test_the_city_cannot_suspend_a_card(register: Register) -> None:
    """A loss is told to the call centre (F4-2): there is no such event among those that go from here, only its release."""
    symbols = {entry.symbol for entry in codes.table("card_event").codes.values()}
    assert symbols == {"ISSUED", "ABOLISHED", "COLLECTED", "SUSPENSION_RELEASED", "RETURNED"}
    suspend = message("card-management-update", 9).replace(b"<event>1<", b"<event>6<")
    status, problem = await register.hand_in("card-management-update", suspend)
    assert (status, problem["code"], problem["place"]) == (422, "code-unknown", "/CardManagementUpdate/event")


@pytest.mark.flow("F1-1")
@pytest.mark.parametrize("kind", ["move-in-notice", "family-register-supplement-notice"])
async def test_a_notice_reaches_the_municipality_that_is_named(register: Register, kind: str) -> None:
    status, problem = await register.hand_in(kind, message(kind))
    assert (status, problem["code"]) == (400, "missing-attribute")
    found = await register.until_delivered(await register.accepted(kind, message(kind), municipality=OTHER), CS)
    assert register.journal(CS, found[CS]["id"])[0]["municipality"] == OTHER
    assert set(found) == {CS}


@pytest.mark.flow("F2-7")
@pytest.mark.flow("F4-1")
@pytest.mark.control("C-3-5-6")
async def test_destination_information_arrives_unedited_at_both(register: Register) -> None:
    """Written as no program of ours writes it: the parties hold the digest against the bytes that they got."""
    odd = message("destination-information", 4).replace(b">", b"\n >", 1).replace("見本".encode(), "&#x898B;<![CDATA[本]]>".encode())
    found = await register.until_delivered(await register.accepted("destination-information", odd), CS, CARDS)
    assert found[CARDS]["final_at"] >= found[CS]["final_at"]


@pytest.mark.flow("F2-8")
@pytest.mark.flow("F4-1")
@pytest.mark.flow("F2-3")
@pytest.mark.parametrize("kind", ["card-management-update", "card-continuation-request"])
async def test_card_management_has_what_is_for_it_alone(register: Register, kind: str) -> None:
    found = await register.until_delivered(await register.accepted(kind, message(kind, 5)), CARDS)
    assert set(found) == {CARDS}


SPECIAL = {"further_items/special_move_out": "1"}


@pytest.mark.flow("F1-3")
async def test_move_out_certificate_data_is_with_the_city_cs_when_the_destination_asks(register: Register) -> None:
    data = message("move-out-certificate-data", 6, **SPECIAL)
    await register.until_delivered(await register.accepted("move-out-certificate-data", data), CS)


@pytest.mark.flow("F3-1")
@pytest.mark.flow("F3-2")
@pytest.mark.flow("F3-3")
@pytest.mark.flow("FR-1")
@pytest.mark.flow("F2-6")
@pytest.mark.parametrize(
    ("kind", "parties"),
    [
        ("individual-number-generation-request", (CS,)),
        ("individual-number-change-request", (CS,)),
        ("resident-code-change-notice", (CS,)),
        ("core-cs-reconciliation-data", (CS,)),
        ("reconciliation-identity-data", (CS, PREFECTURE)),
    ],
)
async def test_everything_else_arrives_where_its_flow_says(register: Register, kind: str, parties: tuple[str, ...]) -> None:
    """A party may refuse by what it knows of somebody; that it got each, read it and decided is what counts here."""
    found_id = await register.accepted(kind, message(kind, 1))
    await until(lambda: all(register.journal(p, register.deliveries(found_id)[p]["id"]) for p in parties), 40.0)
    found = register.deliveries(found_id)
    assert set(found) == set(parties)
    for party in parties:
        [noted, *_] = register.journal(party, found[party]["id"])
        assert noted["kind"] in ("taken", "turned-down"), noted
        assert noted.get("code") not in ("check-digit", "digest-differs", "operation-not-offered")


@pytest.mark.flow("F2-1")
@pytest.mark.invariant("I2")
async def test_calls_of_many_types_at_once_are_of_one_type_each(register: Register) -> None:
    """Residents and types mixed as they come: each arrives once, at the operation of its type, however they were claimed together."""
    kinds = ("identity-information-update", "move-in-notice", "family-register-supplement-notice", "individual-number-generation-request")
    handed_in = []
    for serial in range(100, 115):
        for kind in kinds:
            more = {"municipality": OTHER} if kind in ("move-in-notice", "family-register-supplement-notice") else {}
            handed_in.append((kind, await register.accepted(kind, message(kind, serial), **more)))
    for kind, found_id in handed_in:
        found = await register.until_delivered(found_id, *((CS, PREFECTURE) if kind == kinds[0] else (CS,)))
        assert register.journal(CS, found[CS]["id"])
