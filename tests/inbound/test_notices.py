"""A notice of the city CS comes in, and is in the register: with TLS, signatures, RabbitMQ and the ledger, all of them real processes."""

from __future__ import annotations

import uuid

import pytest

from tests.inbound.kit import Ends, notice

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.mark.flow("F1-2")
@pytest.mark.rule("R18")
@pytest.mark.invariant("I8")
async def test_a_move_in_notice_reaches_the_register_and_is_final_when_acknowledged(ends: Ends) -> None:
    delivery = str(uuid.uuid4())
    said = await ends.send(notice(serial=1), ids=(delivery,))
    assert said == {
        "status": 200,
        "fault": None,
        "signed": True,
        "results": [{"delivery": delivery, "outcome": "accepted", "code": None, "duplicate": False}],
    }, (ends.town.folder, said)
    row = await ends.until_state(delivery, "delivered")
    assert (row["system"], row["producer"], row["door"], row["party"]) == (
        "city-cs",
        "other-municipality-cs",
        "soap",
        "resident-record-system",
    )
    assert row["subject"] is not None
    assert ends.effects[-1:] == [row["id"]]
    assert [each["outcome"] for each in ends.record("reply") if each["delivery_id"] == row["id"]] == ["delivered"]
    [provided] = ends.rows("SELECT outcome, system, party FROM provision WHERE id = ?", row["id"])
    assert tuple(provided) == ("provided", "other-municipality-cs", "resident-record-system")
