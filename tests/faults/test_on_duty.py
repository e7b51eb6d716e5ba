"""The operator of the fault harness: what three crashes have left held is sent again, and nothing else (R8). All data are made up."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.admin import bodies
from gateway.admin.service import HeldPage, Hold, State
from simulators.harness.admin import OnDuty
from tests.admin.memory import delivery


class Desk(OnDuty):
    """Without a network: what would be asked and ordered."""

    def __init__(self) -> None:
        self.released: set[str] = set()
        self.orders: list[tuple[str, Any]] = []

    async def get(self, path: str) -> Any:
        assert path == "held"
        held = (delivery("d-1", state=State.UNKNOWN, hold=Hold.CRASHES), delivery("d-2", hold=Hold.REJECTED))
        return bodies.held_page(HeldPage(items=held), "en")

    async def post(self, path: str, body: Any) -> Any:
        self.orders.append((path, body))


@pytest.mark.rule("R8")
async def test_what_three_crashes_have_left_held_is_sent_again_and_nothing_else() -> None:
    desk = Desk()
    await desk.look()
    [(path, body)] = desk.orders
    assert (path, desk.released) == ("deliveries/d-1/retry", {"d-1"})
    seen = bodies.CommandBody.model_validate(body).seen()
    assert (seen.state, seen.digest) == (State.UNKNOWN, delivery("d-1").digest)
