"""A foreign resident's change of address: our own systems, the city CS and the Immigration Bureau, each told its own, in one town."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from message_formats import samples, writing
from simulators.harness.town import Plan, Town
from tests.fetching.kit import IMMIGRATION, REGISTER, Mailboxes, address_notice, card_of
from tests.support.broker import until
from tests.support.business_time import begin_on_a_working_day

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
LINK, CS = "internal-link-system", "city-cs"


@pytest.fixture(scope="module")
async def town(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    plan = Plan(
        workers=1, population=20, city_seed=3, inbound=True, mailboxes=(IMMIGRATION,), systems=(LINK,), profile="test",
        types=("resident-change-notification",), acknowledge_s=2.0, retry={"first_s": 0.2, "longest_s": 1.0, "budget": 40},
    )  # fmt: skip
    async with Town(tmp_path_factory.mktemp("foreign"), plan) as town:
        await asyncio.to_thread(begin_on_a_working_day, town)
        await town.start()
        yield town


def parties_of(ends: Mailboxes, source_id: str) -> dict[str, str]:
    """State by party."""
    return {row["party"]: row["state"] for row in ends.taken(source_id, REGISTER)}


@pytest.mark.flow("F1-1")
@pytest.mark.flow("FS7-2")
@pytest.mark.edge("F1-1", "foreign-resident")
@pytest.mark.invariant("I5")
async def test_a_foreign_resident_s_change_runs_to_the_bureau_as_well_and_no_number_goes_there(ends: Mailboxes) -> None:
    change = dict(samples.items("resident-change-notification", 12))
    update = samples.identity_items(12, request_control_number="FOREIGN0000012")
    number = change["individual_number"]
    assert number == update["individual_number"], "both bear it"
    assert change["foreign_resident_items/residence_card_number"] == card_of(12)
    await ends.hand_in("change", writing.write("resident-change-notification", change).to_bytes(), kind="resident-change-notification")
    await ends.hand_in("update", writing.write("identity-information-update", update).to_bytes(), kind="identity-information-update")
    notice = address_notice(12)
    assert str(number).encode() not in notice
    await ends.hand_in("notice", notice)
    await until(lambda: parties_of(ends, "change") == {LINK: "delivered"}, 40)
    await until(lambda: parties_of(ends, "update") == {CS: "delivered"}, 40)
    await until(lambda: parties_of(ends, "notice") == {IMMIGRATION: "delivered"}, 40)

    # one resident, and both flows of that one
    [subject] = {row["subject"] for name in ("change", "update", "notice") for row in ends.taken(name, REGISTER)}
    query = "SELECT flow, state FROM flow_instance WHERE subject = ?"
    await until(lambda: {row["flow"] for row in ends.rows(query, subject)} >= {"F1-1", "FS7-2"}, 40)
    await until(lambda: {row["flow"]: row["state"] for row in ends.rows(query, subject)}["FS7-2"] == "done", 40)

    # the Bureau has the notice and nothing else; it takes none with an Individual Number, which it looks for itself
    [delivered] = ends.taken("notice", REGISTER)
    assert [each["delivery"] for each in ends.journal("effect")] == [delivered["id"]]
    types = "SELECT DISTINCT m.type FROM delivery d JOIN message m ON m.id = d.message_id WHERE d.party = ?"
    assert [row["type"] for row in ends.rows(types, IMMIGRATION)] == ["residence-address-notice"]

    # with the number in it there would be no notice at all
    with_number = notice.replace(
        b"</residence_card_number>", b"</residence_card_number><individual_number>%s</individual_number>" % str(number).encode()
    )
    await ends.hand_in("notice-with-number", with_number, expected=422)
    assert ends.taken("notice-with-number", REGISTER) == []
