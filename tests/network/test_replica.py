"""Integrated atena numbers and the replica go to the intermediate server (FS6-4, FR-2): TLS, signatures, encryption, broker, ledger."""

from __future__ import annotations

import pytest

from tests.network.kit import ATENA, LINK, Line, linkage, number, registration, replica

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.mark.flow("FS6-4")
@pytest.mark.control("C-M-6-7")
@pytest.mark.control("C-M-6-2")
async def test_a_number_and_its_replica_reach_the_intermediate_server(line: Line) -> None:
    await line.delivered(LINK, "atena-linkage-update", linkage(1), ATENA)
    row = await line.delivered(ATENA, "atena-number-registration", registration(1))
    assert [each["delivery"] for each in line.taken("RegisterAtenaNumber")][-1] == row["id"]
    await line.delivered(LINK, "provision-replica-update", replica(1))
    assert line.server.holdings.people[number(1)].replica == ("見本　例太", "世帯主")
