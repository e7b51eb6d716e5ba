"""What is claimed together goes out in calls of one message type each, and no larger than the party takes of it."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.delivery.party import PartyRunner, Shape
from gateway.delivery.rows import PartyTraits
from gateway.ledger.claims import Claimed

KINDS = ("move-in-notice", "move-out-certificate-request", "resident-code-change-notice")


def claim(number: int, kind: str, *, cap: int | None = None, query: bool = False) -> Claimed:
    return Claimed(
        key_id=f"k{number}", epoch=1, delivery_id=f"d{number}", message_id=f"m{number}", message_type=kind, party="city-cs", party_key=None,
        attempt=1, resent=False, call_cap=cap, payload_id=f"p{number}", query=query, sealed=b"", wrapped=b"", kek_id="", booted_at=0.0,
    )  # fmt: skip


@pytest.mark.rule("R11")
@pytest.mark.rule("R8")
def test_claims_are_grouped_by_type_and_cap() -> None:
    nobody: Any = None
    shape = Shape(calls=4, records_per_call=5, share=20, records_of={"move-out-certificate-request": 1})
    runner = PartyRunner(PartyTraits(party="city-cs"), shape, nobody, nobody, nobody, None)
    claims = [claim(n, KINDS[n % 3]) for n in range(21)]
    claims += [claim(30, KINDS[0], cap=1), claim(31, KINDS[2], cap=2), claim(32, KINDS[2], cap=2), claim(33, KINDS[0], query=True)]
    groups = runner._groups(claims)
    assert sorted(each.delivery_id for group in groups for each in group) == sorted(each.delivery_id for each in claims)
    assert all(len({each.message_type for each in group}) == 1 for group in groups)
    assert {len(group) for group in groups if group[0].message_type == KINDS[1]} == {1}
    assert max(len(group) for group in groups) == 5
    assert all(len(group) <= (each.call_cap or 5) for group in groups for each in group)
    assert [each.delivery_id for each in next(group for group in groups if group[0].query)] == ["d33"]
