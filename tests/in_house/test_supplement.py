"""FS2-12, both ways of it: from another municipality by the city CS to the register, and on to the family register system."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator

import pytest

from simulators.harness.town import REGISTER, Plan
from tests.in_house.kit import RETRY, InHouse, message, set_up
from tests.inbound.kit import Ends

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
FAMILY, KIND = "family-register-system", "family-register-supplement-internal"


@pytest.fixture
async def whole(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[InHouse]:
    """A city CS, the gateway, the register and the family register system."""
    plan = Plan(workers=1, population=20, city_seed=3, inbound=True, acknowledge_s=2.0, retry=RETRY)
    found = await asyncio.to_thread(set_up, tmp_path_factory.mktemp("supplement"), None, plan=plan)
    async with found.town:
        await found.town.start()
        await found.open(REGISTER, FAMILY)
        yield found
        await found.close()


@pytest.mark.flow("FS2-12")
@pytest.mark.control("C-2-3-2")
@pytest.mark.invariant("I8")
async def test_a_supplement_from_elsewhere_comes_to_the_register_and_from_it_to_the_family_register(whole: InHouse) -> None:
    """The city CS has no way to the family register system: what it relays is the register's to hand on, and each way is on record."""
    content, delivery = message(KIND, 5), str(uuid.uuid4())
    said = await Ends(whole.town).send(content.decode(), operation="RelayFamilyRegisterSupplement", ids=(delivery,))
    assert [each["outcome"] for each in said["results"]] == ["accepted"], said
    row = await whole.until_state(delivery, REGISTER, "delivered")
    assert set(whole.deliveries(delivery)) == {REGISTER}, "not to the family register system at once"
    [effect] = [each for each in whole.effects(REGISTER) if each["delivery"] == row["id"]]
    assert effect["type"] == KIND
    on = await whole.send(REGISTER, KIND, content)
    assert on["status"] == "accepted", on
    row = await whole.until_state(on["id"], FAMILY, "delivered")
    [effect] = [each for each in whole.effects(FAMILY) if each["delivery"] == row["id"]]
    assert {each.partition("/")[0] for each in effect["items"]} == {"domicile", "register_head", "supplement_entries"}
    assert {whole.provision(each)["outcome"] for each in (delivery, on["id"])} == {"provided"}
    found = whole.rows("SELECT source_id, system FROM message WHERE type = ? ORDER BY accepted_at", KIND)
    assert [(each["source_id"], each["system"]) for each in found] == [(delivery, "city-cs"), (on["id"], REGISTER)]
