"""Every attack of the table is refused, each for its own reason, by the gateway's verifier and by the simulated party (I6, I8)."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from gateway.security.soap.errors import CODES
from tests.security.soap.attacks import ATTACKS, ENCRYPTIONS, WRAPPINGS, Attack
from tests.security.soap.kit import Direction

pytestmark = [pytest.mark.invariant("I6"), pytest.mark.control("C-2-2-8"), pytest.mark.thorough]
ALL = (*ATTACKS, *WRAPPINGS, *ENCRYPTIONS)
CASES = [pytest.param(attack, way, id=f"{attack.id}-{way}") for attack in ALL for way in attack.codes]


@pytest.mark.parametrize(("attack", "way"), CASES)
def test_attack_is_refused_for_its_own_reason(directions: Mapping[str, Direction], attack: Attack, way: str) -> None:
    assert directions[way].judge(attack.make(directions[way])) == attack.codes[way], attack.attack


@pytest.mark.parametrize("way", ["to-gateway", "to-party", "encrypted"])
def test_what_the_attacks_start_from_is_taken(directions: Mapping[str, Direction], way: str) -> None:
    """Otherwise they would be refused for the wrong reason."""
    for _ in range(3):
        assert directions[way].judge(directions[way].good()) is None


def test_there_are_enough_and_each_is_another() -> None:
    assert len(WRAPPINGS) >= 30
    ids = [attack.id for attack in ALL]
    assert len(set(ids)) == len(ids)
    assert len({attack.attack for attack in ALL}) == len(ids)
    ours = {code for attack in ALL for way, code in attack.codes.items() if way != "to-party"}
    assert ours <= set(CODES)
