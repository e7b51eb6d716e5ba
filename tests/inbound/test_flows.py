"""The flows of a whole town: every message is in a case, and a party whose line is down is worked by hand. All residents are fictitious."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from simulators.harness.town import Town
from simulators.journal import read_entries
from tests.backup.test_town import renkei
from tests.inbound.kit import Ends, notice
from tests.support.broker import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240), pytest.mark.invariant("I8")]
TRAFFIC: dict[str, Any] = {
    "kinds": ["MOVE", "AMEND_OFF", "HH_HEAD"], "events_a_day": 40, "days": [1], "https_share": 1.0, "order": "confirm", "per_s": 50.0,
    "watch_every_s": 1.0,
}  # fmt: skip


def cases(ends: Ends, message_id: str) -> list[Any]:
    return ends.rows(
        "SELECT i.* FROM flow_instance i JOIN flow_message m ON m.instance_id = i.id WHERE m.message_id = ? ORDER BY i.id", message_id
    )


@pytest.mark.flow("F1-2")
async def test_a_notice_of_another_municipality_is_a_case_that_operators_see(ends: Ends) -> None:
    delivery = str(uuid.uuid4())
    await ends.send(notice(serial=31), ids=(delivery,))
    row = await ends.until_state(delivery, "delivered")
    await until(lambda: any(case["state"] == "done" for case in cases(ends, row["message_id"])))
    [shown] = await renkei(ends.town, "flows", "show", row["message_id"], operator="operator-a")
    assert (shown["flow"], [(each["step"], each["state"], each["messages"]) for each in shown["steps"]]) == (
        "F1-2", [("2-3", "done", [row["message_id"]])],
    )  # fmt: skip
    assert shown["case_id"] in [
        each["case_id"] for each in await renkei(ends.town, "flows", "list", "--flow", "F1-2", operator="operator-a")
    ]
    assert await renkei(ends.town, "flows", "overdue", operator="operator-a") == []


@pytest.mark.flow("F2-1")
@pytest.mark.invariant("I2")
async def test_a_party_is_worked_by_hand_and_comes_back(ends: Ends, town: Town) -> None:
    """What was entered at the party's terminal is never sent; the rest follows by itself; each update is a case that is done."""

    def waiting() -> list[Any]:
        return ends.rows(
            "SELECT id, message_id, key_id FROM delivery WHERE party = 'city-cs' AND final_at IS NULL AND number = 1 ORDER BY id"
        )

    view = await renkei(town, "party", "manual", "city-cs", "--reason", "line down", operator="operator-a")
    assert (view["manual"], view["paused_by"]) == (True, "operator-a")
    register = town.register(amqp=False, **TRAFFIC)
    register.start()
    await until(lambda: len(waiting()) >= 10)
    by_hand = waiting()[0]
    message = await renkei(town, "message", by_hand["message_id"], operator="operator-a")
    assert "renkei party done" in message["deliveries"][0]["next"]
    asked = await renkei(town, "party", "done", by_hand["id"], "--reason", "entered at the terminal", operator="operator-a", code=6)
    await renkei(town, "approvals", "approve", asked["request_id"], "--yes", operator="operator-b")
    refused = await renkei(town, "resume", "city-cs", "--reason", "go on", operator="operator-a", code=5)
    assert refused["error"]["code"] == "party-manual"
    effects = lambda: [entry["delivery"] for entry in read_entries(town.journal) if entry["kind"] == "effect"]  # noqa: E731 read anew
    assert effects() == []
    await renkei(town, "party", "automatic", "city-cs", "--reason", "line is back", operator="operator-a")
    # the simulated city CS has no terminal: it misses what was done by hand, and refuses what follows it for that resident
    others = "SELECT 1 FROM delivery WHERE party = 'city-cs' AND final_at IS NULL AND key_id <> ?"
    await until(lambda: bool(effects()) and not ends.rows(others, by_hand["key_id"]))
    await register.stop()
    assert by_hand["id"] not in effects()
    [ended] = ends.rows("SELECT state, outcome_code FROM delivery WHERE id = ?", by_hand["id"])
    assert tuple(ended) == ("delivered", "done-by-hand")
    left = (
        "SELECT m.id FROM message m JOIN delivery d ON d.message_id = m.id LEFT JOIN flow_message f ON f.message_id = m.id "
        "LEFT JOIN flow_instance i ON i.id = f.instance_id WHERE m.type = 'identity-information-update' AND d.state = 'delivered' "
        "AND (i.id IS NULL OR i.flow <> 'F2-1' OR i.state <> 'done')"
    )
    await until(lambda: not ends.rows(left))
    assert [case["state"] for case in cases(ends, by_hand["message_id"])] == ["done"]
