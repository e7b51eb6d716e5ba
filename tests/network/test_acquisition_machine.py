"""The saga of code acquisition and the links of numbers, pure: every order of what may come, by hand and at random."""

from __future__ import annotations

import random

import pytest

from gateway.acquisition import machine
from gateway.acquisition.machine import Acquisition, Ignored, Link, Numbers, Refused, State

pytestmark = [pytest.mark.flow("F6-1")]
LIMIT = 100.0


def linked(person: str = "n") -> Link:
    return Link(subject=person, atena=f"{person}-a", individual=f"{person}-i", registered=True)


def code(found: object) -> str:
    assert isinstance(found, (Refused, Ignored)), found
    return found.code


def asked(person: str = "n", id: str = "q", at: float = 0.0) -> Acquisition:
    found = machine.ask(linked(person), person, id=id, now=at, limit_s=LIMIT, linkage=True)
    assert isinstance(found, Acquisition)
    return found


def answered(row: Acquisition) -> Acquisition:
    assert machine.answer(None, [row], row.person, now=1.0, limit_s=LIMIT) is row
    return row


def paired(row: Acquisition) -> Acquisition:
    found = machine.pair(row, [row], linked(row.person), f"{row.person}-i", now=2.0, limit_s=LIMIT, corrects=False, linkage=True)
    assert found is row
    return row


def test_the_way_to_its_end() -> None:
    row = asked()
    assert (row.state, row.due_at, row.state.open) == (State.ASKED, 100.0, True)
    assert (answered(row).state, row.due_at) == (State.NUMBERED, 101.0)
    assert (paired(row).state, row.due_at, row.bound) == (State.PAIRED, 102.0, "n-i")
    assert machine.hand_on(row, [row], "n-i", corrects=False) is row
    assert (row.state, row.state.open) == (State.HANDED_ON, False)


@pytest.mark.edge("F6-1", "processing-number-twice")
def test_what_comes_twice_is_ignored_and_what_nobody_asked_for_is_refused() -> None:
    row = answered(asked())
    assert code(machine.answer(row, [row], "n", now=2.0, limit_s=LIMIT)) == "processing-number-again"
    assert code(machine.answer(None, [row], "n", now=2.0, limit_s=LIMIT)) == "no-open-request"
    assert code(machine.answer(row, [row], "other", now=2.0, limit_s=LIMIT)) == "processing-number-of-another"
    paired(row)
    again = machine.pair(row, [row], linked(), "n-i", now=3.0, limit_s=LIMIT, corrects=False, linkage=True)
    assert (code(again), row.state) == ("pair-again", State.PAIRED)
    machine.hand_on(row, [row], "n-i", corrects=False)
    assert code(machine.hand_on(row, [row], "n-i", corrects=False)) == "pair-again"


@pytest.mark.control("C-M-6-13")
@pytest.mark.parametrize("linkage", [True, False])
def test_a_pair_with_the_number_of_another_never_leaves(linkage: bool) -> None:
    row = answered(asked())
    link = linked() if linkage else None
    assert code(machine.pair(None, [], link, "n-i", now=2.0, limit_s=LIMIT, corrects=False, linkage=linkage)) == "processing-number-unknown"
    if linkage:
        wrong = machine.pair(row, [row], link, "m-i", now=2.0, limit_s=LIMIT, corrects=False, linkage=True)
        assert (code(wrong), row.state) == ("numbers-mismatch", State.NUMBERED)
    paired(row)
    repeated = answered(asked(id="r"))
    other = machine.pair(repeated, [row, repeated], link, "m-i", now=3.0, limit_s=LIMIT, corrects=False, linkage=linkage)
    assert (code(other), repeated.state) == ("numbers-mismatch", State.NUMBERED)
    assert code(machine.hand_on(row, [row], "m-i", corrects=False)) == "numbers-mismatch"
    assert code(machine.hand_on(repeated, [row, repeated], "n-i", corrects=False)) == "pair-not-received"


def test_a_repetition_overtakes_and_what_comes_late_for_the_first_is_ignored() -> None:
    first, second = asked(id="a"), asked(id="b", at=50.0)
    rows = [second, first]
    assert machine.answer(None, rows, "n", now=60.0, limit_s=LIMIT) is first, "the oldest open request takes the answer"
    paired(first)
    assert machine.hand_on(first, rows, "n-i", corrects=False) is first
    assert second.state is State.OVERTAKEN
    assert code(machine.answer(None, rows, "n", now=70.0, limit_s=LIMIT)) == "answer-too-late"
    assert second.numbered
    late = machine.pair(second, rows, linked(), "n-i", now=80.0, limit_s=LIMIT, corrects=False, linkage=True)
    assert code(late) == "pair-too-late"
    assert code(machine.answer(None, rows, "n", now=90.0, limit_s=LIMIT)) == "no-open-request"


def test_a_correction_may_follow_what_was_turned_down() -> None:
    row = paired(answered(asked()))
    assert machine.pair(row, [row], linked(), "n-i", now=3.0, limit_s=LIMIT, corrects=True, linkage=True) is row
    assert machine.hand_on(row, [row], "n-i", corrects=False) is row
    assert machine.hand_on(row, [row], "n-i", corrects=True) is row


@pytest.mark.control("C-M-6-13")
@pytest.mark.flow("FS6-4")
def test_who_is_not_linked_goes_nowhere_and_a_replica_waits_for_its_number() -> None:
    half = Link(subject="n")
    for row in (None, half):
        assert code(machine.register(row, "n", linkage=True)) == "not-linked"
        assert code(machine.replica(row, linkage=True)) == "not-linked"
        assert code(machine.ask(row, "n", id="q", now=0.0, limit_s=LIMIT, linkage=True)) == "not-linked"
    assert code(machine.replica(Link(subject="n", atena="a", individual="i"), linkage=True)) == "atena-number-not-registered"
    assert code(machine.replica(None, linkage=False)) == "atena-number-not-registered"
    free = machine.register(None, "n", linkage=False)
    assert isinstance(free, Link)
    assert machine.replica(free, linkage=False) is None
    assert machine.replica(linked(), linkage=True) is None


@pytest.mark.control("C-M-6-13")
@pytest.mark.parametrize(
    ("numbers", "refused"),
    [
        (Numbers(integrated="n", atena="n-a", individual="n-i"), False),
        (Numbers(integrated="n", atena="n-a", individual="fresh", new=frozenset({"individual"})), False),
        (Numbers(integrated="n", atena="fresh", individual="n-i", new=frozenset({"atena"})), False),
        (Numbers(integrated="n", atena="fresh", individual="fresh", new=frozenset({"atena", "individual"})), True),
        (Numbers(integrated="n", atena="n-a", individual="somebody"), True),
        (Numbers(integrated="n", atena="m-a", individual="n-i"), True),
        (Numbers(integrated="n", atena="n-a", individual="m-i"), True),
        (Numbers(integrated="x", atena="n-a", individual="n-i"), True),
        (Numbers(integrated="n", atena="n-a", individual="n-i", new=frozenset({"integrated"})), True),
        (Numbers(integrated="x", atena="x-a", individual="x-i", new=frozenset({"integrated", "atena", "individual"})), False),
    ],
)
def test_numbers_that_do_not_agree_are_not_bound(numbers: Numbers, refused: bool) -> None:
    rows = [linked("n"), linked("m")]
    near = [
        each for each in rows if each.subject == numbers.integrated or each.atena == numbers.atena or each.individual == numbers.individual
    ]
    found = machine.link(numbers, near)
    assert isinstance(found, Refused) is refused
    if refused:
        assert code(found) == "numbers-mismatch"
        assert rows == [linked("n"), linked("m")], "nothing was changed"


@pytest.mark.parametrize("seed", range(30))
def test_in_any_order_each_code_is_asked_for_the_right_person_and_none_is_lost(seed: int) -> None:
    """Lost, repeated, doubled, crossed and late, of many persons at once; in the end each has one that was handed on, with his number."""
    chance = random.Random(seed)
    people = [f"p{each}" for each in range(12)]
    rows: dict[str, list[Acquisition]] = {person: [] for person in people}
    numbers: dict[str, Acquisition] = {}
    given: dict[str, str] = {}
    handed: dict[str, str] = {}
    under_way: list[tuple[str, str, str]] = []
    count = 0

    def ask(person: str) -> None:
        nonlocal count
        count += 1
        rows[person].append(asked(person, id=f"{count:04d}", at=float(count)))
        number = f"P{count}"
        given[number] = person
        if chance.random() > 0.3:
            under_way.extend([("answer", number, person)] * (2 if chance.random() < 0.3 else 1))

    for person in people:
        ask(person)
    for _ in range(5000):
        if not under_way:
            waiting = [person for person in people if person not in handed]
            if not waiting:
                break
            ask(chance.choice(waiting))
            continue
        what, number, person = under_way.pop(chance.randrange(len(under_way)))
        known = numbers.get(number)
        if what == "answer":
            before = {each.id for each in rows[person] if each.numbered}
            found = machine.answer(known, rows[person], person, now=0.0, limit_s=LIMIT)
            for each in rows[person]:
                if each.numbered and each.id not in before:
                    numbers[number] = each
            if isinstance(found, Acquisition):
                under_way.append(("pair", number, person))
                if chance.random() < 0.3:
                    under_way.append(("wrong-pair", number, person))
        elif what in ("pair", "wrong-pair"):
            individual = f"{person}-i" if what == "pair" else f"{chance.choice([each for each in people if each != person])}-i"
            made = machine.pair(known, rows[person], linked(person), individual, now=0.0, limit_s=LIMIT, corrects=False, linkage=True)
            assert not (what == "wrong-pair" and isinstance(made, Acquisition))
            if isinstance(made, Acquisition):
                under_way.extend([("hand-on", number, person)] * chance.choice([1, 1, 2]))
        else:
            found = machine.hand_on(known, rows[person], f"{person}-i", corrects=False)
            if isinstance(found, Acquisition):
                assert found.person == given[number] == person
                handed.setdefault(person, number)
    assert set(handed) == set(people)
    assert all(each.bound in (None, f"{person}-i") for person in people for each in rows[person])
    for person in people:
        assert any(each.state is State.HANDED_ON for each in rows[person])
        assert not any(each.state.open for each in rows[person])
