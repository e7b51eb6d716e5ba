"""F5-1 end to end: kiosk, centre, gateway in the place of the convenience server, issuing system, and back."""

from __future__ import annotations

import pytest

from simulators.convenience.world import Holder
from tests.convenience.kit import Ends

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240), pytest.mark.flow("F5-1")]


async def test_a_certificate_of_each_kind_comes_at_once(ends: Ends) -> None:
    for kind in ("1", "2", "3"):
        end = await ends.ask(Holder(1), kind)
        assert (end.kind, end.code) == ("printed", None), end
        assert end.items is not None
        assert end.items["certificate_type"] == kind
        assert "atena_number" not in end.items  # stays in the city
    assert ends.town.pairing().ok, ends.town.pairing().shown()
