"""Two days of a small city through every party, with everything real, as ``renkei flows replay`` does it."""

from __future__ import annotations

from pathlib import Path

import pytest

from message_formats import catalogue
from simulators.city import City
from simulators.references import References
from simulators.replay.accounts import Line
from simulators.replay.flows import BY_CERTIFICATE, BY_QUESTION, DRIVEN, LEFT_OUT, OUTSIDE
from simulators.replay.month import Month
from simulators.replay.play import Options, Replay
from simulators.replay.ways import CARDS, CITY_CS, NOTICE, PAIR, PREFECTURE, RESULT, SETS, UPDATE, WAYS, carried, handed_in

OPTIONS = Options(days=2, population=2000, seed=4, events_a_day=40, patience_s=150.0)


@pytest.mark.thorough
def test_a_month_is_the_same_at_every_run_and_bears_every_type_that_somebody_takes() -> None:
    types = carried(SETS["all"].everybody)

    def ids() -> list[tuple[str, str, bytes]]:
        month = Month(City(4, 20_000), References("salt"), types=types, events_a_day=200)
        plans = [month.day(number) for number in (1, 2, 3)]
        assert plans[2].happenings
        assert plans[0].right
        return [(each.message.id, each.message.type, each.message.content) for plan in plans for each in plan.messages]

    first = ids()
    assert first == ids()
    assert len({name for name, _, _ in first}) == len(first)
    own = {kind for _, kind, _ in first}
    assert own | {"card-continuation-request"} == set(types)  # that one follows when the data of a special move-in have come
    assert set(WAYS) == set(types)


def test_every_flow_is_gone_through_or_has_a_reason() -> None:
    named = [*DRIVEN, *BY_CERTIFICATE, *BY_QUESTION, *OUTSIDE, *LEFT_OUT, "F6-2"]
    assert len(named) == len(set(named)) == 46
    assert set(named) == set(catalogue.flows())


def came(lines: dict[tuple[str, str, str], Line], kind: str) -> bool:
    return any(line.effects for (_, _, name), line in lines.items() if name == kind)


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.invariant("I1")
@pytest.mark.invariant("I2")
@pytest.mark.invariant("I3")
@pytest.mark.flow("F1-1")
@pytest.mark.flow("F1-4")
@pytest.mark.flow("F2-7")
@pytest.mark.flow("F3-1")
@pytest.mark.flow("FS2-12")
@pytest.mark.flow("F5-1")
@pytest.mark.flow("F6-1")
@pytest.mark.flow("FS1-8a")
@pytest.mark.flow("FS3-3")
@pytest.mark.flow("FS6-4")
@pytest.mark.flow("FS10-2")
async def test_two_days_through_every_party_and_all_books_agree(tmp_path: Path) -> None:
    async with Replay(tmp_path, OPTIONS) as replay:
        found = await replay.play()
    assert found.books.ok, found.shown(OPTIONS)
    lines = {(line.way, line.party, line.type): line for line in found.books.lines}
    assert lines["out", CITY_CS, UPDATE].effects == lines["out", PREFECTURE, NOTICE].effects == 80
    assert found.replaced == lines["out", CITY_CS, UPDATE].refused > 0
    assert lines["in", CITY_CS, RESULT].effects == 80 + found.replaced
    assert lines["out", CARDS, "card-continuation-request"].effects > 0
    assert {line.party for line in found.books.lines if line.way == "out"} == set(SETS["all"].everybody)
    for types in handed_in(SETS["all"].everybody).values():
        assert not [kind for kind in types if not came(lines, kind.partition(" ")[0])]
    assert found.books.kiosks is not None
    assert found.books.kiosks.printed > found.books.kiosks.asked * 0.8
    assert lines["out", CITY_CS, PAIR].effects > 0
    left = {flow.id for flow in found.flows if flow.reason is not None}
    assert left == {*OUTSIDE, *LEFT_OUT, "F2-8"}  # cards are delivered some days after a birth
