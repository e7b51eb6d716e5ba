"""The bar on bells: at least half of what pika's asyncio adapter does, same size and window, in one run on one machine."""

from __future__ import annotations

import pytest

from gateway.broker import BrokerEndpoint
from tests.performance.bells import measure_side_by_side
from tests.support.broker import Names

pytestmark = pytest.mark.slow


@pytest.mark.rule("R15")
async def test_bells_are_rung_at_half_the_raw_rate_or_more(endpoint: BrokerEndpoint, declared: Names) -> None:
    bells, raw = await measure_side_by_side(endpoint, routing_key=declared.live_key, n=5_000, window=500, size=32, rounds=3)
    print(f"bells {bells:.0f}/s, raw {raw:.0f}/s, ratio {bells / raw:.2f}")
    assert bells >= 0.5 * raw
