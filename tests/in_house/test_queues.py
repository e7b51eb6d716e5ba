"""Messages among the systems of the city by queue: with TLS, RabbitMQ and the ledger, all of them real processes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.in_house.kit import QUEUES, REGISTER, InHouse

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture
async def systems(house: InHouse) -> AsyncIterator[InHouse]:
    """Every system at its queue."""
    await house.open(*QUEUES)
    yield house
    await house.close()


@pytest.mark.flow("F1-1")
@pytest.mark.flow("F1-5")
@pytest.mark.rule("R18")
async def test_a_change_of_a_resident_reaches_internal_link_and_certificate_issuance(systems: InHouse) -> None:
    for kind, party in (
        ("resident-change-notification", "internal-link-system"),
        ("certificate-data-change", "certificate-issuance-system"),
    ):
        receipt = await systems.send(REGISTER, kind)
        assert receipt["status"] == "accepted", receipt
        row = await systems.until_state(receipt["id"], party, "delivered")
        [effect] = [each for each in systems.effects(party) if each["delivery"] == row["id"]]
        assert effect["type"] == kind
