"""First numbering of everybody and a change of a whole area's addresses, by the bulk lane of a real gateway. All residents are made up."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from message_formats import samples, writing
from simulators.city import City
from simulators.harness.town import REGISTER
from tests.support.broker import until
from tests.world.kit import Whole

pytestmark = pytest.mark.slow
CITY = City(3, 40)
CS, PREFECTURE = "city-cs", "prefecture-server"


async def submit(whole: Whole, folder: Path, kind: str, messages: list[dict[str, str | None]], *more: str) -> list[str]:
    """As the register's operator hands a file in; the messages' ids."""
    file = folder / f"{kind}.jsonl"
    lines = [
        {
            "specversion": "1.0", "id": f"{kind}-{number}", "source": "/register", "type": kind,
            "data": writing.write(kind, items).to_bytes().decode(),
        }
        for number, items in enumerate(messages)
    ]  # fmt: skip
    file.write_text("".join(json.dumps(each, ensure_ascii=False) + "\n" for each in lines), encoding="utf-8")
    command = [*whole.town.plan.command, "submit", str(file), "--config", str(whole.town.config), "--system", REGISTER, "--json", *more]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, err.decode() + out.decode()
    assert json.loads(out)["accepted"] == len(messages)
    return [each["id"] for each in lines]


def lanes(whole: Whole, message_id: str) -> list[Any]:
    query = "SELECT d.lane, d.number, d.key_id, d.party FROM delivery d JOIN message m ON m.id = d.message_id WHERE m.source_id = ?"
    return whole.rows(query, message_id)


def change(index: int, number: int, address: str) -> dict[str, str | None]:
    return {
        **CITY.initial_record(index), "address": address, "update_sequence_number": str(number), "change_reason": "43",
        "request_control_number": f"AREA{index}N{number}",
    }  # fmt: skip


@pytest.mark.flow("F3-1")
async def test_the_first_numbering_of_everybody_goes_by_the_bulk_lane(whole: Whole, tmp_path: Path) -> None:
    codes = [CITY.resident(index).resident_record_code for index in range(30, 36)]
    kind = "individual-number-generation-request"
    wanted = [{**samples.items(kind, 1), "resident_record_code": code} for code in codes]
    for message in await submit(whole, tmp_path, kind, wanted, "--bulk"):
        await whole.delivered(message, CS)
        assert [row["lane"] for row in lanes(whole, message)] == ["bulk"]
    for code in codes:
        await whole.came("individual-number-notice", resident_record_code=code)


@pytest.mark.invariant("I3")
@pytest.mark.rule("R1")
@pytest.mark.flow("F2-1")
async def test_the_order_of_a_resident_holds_across_both_lanes(whole: Whole, tmp_path: Path) -> None:
    """The whole area by bulk, and one of it changes again at the counter before it has left."""
    await whole.simulated(CS, "POST", "/_sim/faults", {"kind": "down"})
    area = [change(index, 1, f"虚構県架空市新町{index}丁目") for index in range(10, 16)]
    bulk = await submit(whole, tmp_path, "identity-information-update", area, "--bulk")
    live = await whole.hand_in("identity-information-update", change(10, 2, "虚構県架空市別町１丁目"))
    first, second = ({row["party"]: row for row in lanes(whole, each)} for each in (bulk[0], live))
    assert {row["lane"] for row in first.values()} == {"bulk"}
    assert {row["lane"] for row in second.values()} == {"live"}
    for party in (CS, PREFECTURE):
        assert first[party]["key_id"] == second[party]["key_id"], "one key row for both lanes"
        assert second[party]["number"] == first[party]["number"] + 1
    await whole.simulated(CS, "DELETE", "/_sim/faults")
    for message in (*bulk, live):
        await whole.delivered(message, CS, PREFECTURE)
    ends = whole.rows(
        "SELECT d.number, d.final_at FROM delivery d WHERE d.key_id = ? ORDER BY d.number", first[CS]["key_id"]
    )  # fmt: skip
    assert [row["final_at"] for row in ends] == sorted(row["final_at"] for row in ends)
    await until(lambda: not whole.rows("SELECT id FROM key_row WHERE held IS NOT NULL AND party = ?", CS))
