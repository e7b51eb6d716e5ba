"""The verdict over hand-made histories: it acquits the good ones and convicts every bad one of what it did."""

from __future__ import annotations

from typing import Any

import pytest

from simulators.verdict import Verdict, judge


class History:
    """Writes a register's record and a party's journal by hand."""

    def __init__(self) -> None:
        self.record: list[dict[str, Any]] = []
        self.journal: list[dict[str, Any]] = []

    def sent(self, name: str, resident: str, update: int, *, corrects: str | None = None) -> History:
        entry = {"kind": "message", "id": name, "resident": resident, "update": update, "request": f"Q{name}", "corrects": corrects}
        self.record.append(entry)
        return self

    def receipt(self, name: str, at: str = "2026-04-01T00:00:00Z") -> History:
        self.record.append({"kind": "receipt", "id": name, "status": "accepted", "accepted_at": at})
        return self

    def accepted(self, name: str, resident: str, update: int, at: str = "2026-04-01T00:00:00Z", *, corrects: str | None = None) -> History:
        return self.sent(name, resident, update, corrects=corrects).receipt(name, at)

    def door_refused(self, name: str) -> History:
        self.record.append({"kind": "receipt", "id": name, "status": "refused", "code": "schema"})
        return self

    def told(self, name: str, state: str) -> History:
        self.record.append({"kind": "status", "id": name, "state": state, "reason": ""})
        return self

    def _note(self, kind: str, name: str, resident: str, update: int) -> History:
        entry = {"seq": len(self.journal) + 1, "kind": kind, "resident": resident, "update": update, "request": f"Q{name}"}
        self.journal.append(entry)
        return self

    def effect(self, name: str, resident: str, update: int) -> History:
        return self._note("effect", name, resident, update)

    def refused(self, name: str, resident: str, update: int) -> History:
        return self._note("refused", name, resident, update)

    def duplicate(self, name: str, resident: str, update: int) -> History:
        return self._note("duplicate", name, resident, update)

    def judged(self, *, time_up: bool = False) -> Verdict:
        return judge(self.record, self.journal, time_up=time_up)


def guilty(verdict: Verdict) -> dict[str, int]:
    names = ("lost", "duplicate_effects", "order_violations", "stuck", "foreign_effects", "unaccepted")
    return {name: getattr(verdict, name) for name in names if getattr(verdict, name)}


@pytest.mark.invariant("I1")
def test_a_good_day_is_acquitted() -> None:
    history = History().accepted("a", "r1", 1).accepted("b", "r2", 1).accepted("c", "r1", 2)
    history.effect("b", "r2", 1).effect("a", "r1", 1).duplicate("a", "r1", 1).effect("c", "r1", 2)
    verdict = history.judged()
    assert verdict.ok
    assert verdict.complete
    assert (verdict.submitted, verdict.accepted, verdict.effects) == (3, 3, 3)


def test_a_replaced_message_needs_no_effect_of_its_own() -> None:
    history = History().accepted("a", "r1", 1).accepted("b", "r1", 2, at="2026-04-01T00:00:01Z").refused("a", "r1", 1)
    history.accepted("a2", "r1", 1, at="2026-04-01T00:00:09Z", corrects="a").effect("a2", "r1", 1).effect("b", "r1", 2)
    verdict = history.judged()
    assert guilty(verdict) == {}
    assert verdict.replaced == 1


def test_what_the_door_refused_is_neither_lost_nor_open() -> None:
    verdict = History().sent("a", "r1", 1).door_refused("a").judged()
    assert guilty(verdict) == {}
    assert verdict.refused == 1


def test_an_effect_before_the_receipt_came_is_no_crime_but_the_run_is_incomplete() -> None:
    verdict = History().sent("a", "r1", 1).effect("a", "r1", 1).judged()
    assert verdict.ok
    assert guilty(verdict) == {"unaccepted": 1}


@pytest.mark.invariant("I1")
def test_accepted_and_never_seen_again_is_lost() -> None:
    history = History().accepted("a", "r1", 1)
    assert guilty(history.judged()) == {"lost": 1}
    assert history.judged().examples[0].charge == "lost"


@pytest.mark.invariant("I1")
@pytest.mark.parametrize("said", ["delivered", "not-found"])
def test_what_the_gateway_thinks_it_is_through_with_is_lost_even_when_time_was_up(said: str) -> None:
    assert guilty(History().accepted("a", "r1", 1).told("a", said).judged(time_up=True)) == {"lost": 1}


@pytest.mark.invariant("I1")
@pytest.mark.planted("duplicate taken for delivered")
def test_a_message_passed_over_by_a_later_one_is_lost() -> None:
    history = History().accepted("a", "r1", 1, at="2026-04-01T00:00:00Z").accepted("b", "r1", 2, at="2026-04-01T00:00:01Z")
    assert guilty(history.effect("b", "r1", 2).judged(time_up=True)) == {"lost": 1}


def test_refused_and_never_replaced_is_stuck() -> None:
    assert guilty(History().accepted("a", "r1", 1).refused("a", "r1", 1).judged()) == {"stuck": 1}


def test_what_waits_when_time_is_up_is_stuck() -> None:
    assert guilty(History().accepted("a", "r1", 1).judged(time_up=True)) == {"stuck": 1}
    assert guilty(History().accepted("a", "r1", 1).told("a", "backing-off").judged()) == {"stuck": 1}


@pytest.mark.parametrize("state", ["rejected", "skipped", "expired"])
def test_a_final_state_without_effect_is_acquitted(state: str) -> None:
    assert guilty(History().accepted("a", "r1", 1).refused("a", "r1", 1).told("a", state).judged(time_up=True)) == {}


def test_refused_and_tried_again_until_it_took_effect_is_acquitted() -> None:
    assert guilty(History().accepted("a", "r1", 1).refused("a", "r1", 1).effect("a", "r1", 1).judged()) == {}


@pytest.mark.invariant("I2")
@pytest.mark.planted("sending re-sent as queued after a crash")
def test_the_same_request_applied_twice_is_convicted_once_for_each_time_too_many() -> None:
    history = History().accepted("a", "r1", 1).effect("a", "r1", 1).effect("a", "r1", 1).effect("a", "r1", 1)
    assert guilty(history.judged()) == {"duplicate_effects": 2}


@pytest.mark.invariant("I2")
def test_the_same_request_applied_under_two_update_numbers_is_convicted() -> None:
    history = History().accepted("a", "r1", 1).effect("a", "r1", 1).effect("a", "r1", 2)
    assert guilty(history.judged()) == {"duplicate_effects": 1, "foreign_effects": 1}


@pytest.mark.invariant("I2")
def test_the_same_update_number_applied_twice_under_two_requests_is_convicted() -> None:
    history = History().accepted("a", "r1", 1).accepted("a2", "r1", 1, corrects="a").effect("a2", "r1", 1).effect("a", "r1", 1)
    assert guilty(history.judged()) == {"duplicate_effects": 1, "foreign_effects": 1}


@pytest.mark.invariant("I3")
@pytest.mark.planted("retry by requeue")
def test_effects_against_the_order_of_acceptance_are_convicted() -> None:
    history = History().accepted("a", "r1", 1, at="2026-04-01T00:00:00Z").accepted("b", "r1", 2, at="2026-04-01T00:00:00.5Z")
    history.effect("b", "r1", 2).effect("a", "r1", 1)
    assert guilty(history.judged()) == {"order_violations": 1}


@pytest.mark.invariant("I3")
def test_the_order_is_that_of_acceptance_not_of_the_receipts_arrival() -> None:
    history = History().sent("a", "r1", 1).sent("b", "r1", 2)
    history.receipt("b", "2026-04-01T00:00:02Z").receipt("a", "2026-04-01T00:00:01Z")
    assert guilty(history.effect("a", "r1", 1).effect("b", "r1", 2).judged()) == {}


@pytest.mark.invariant("I3")
def test_messages_accepted_in_one_instant_keep_the_order_in_which_they_were_sent() -> None:
    history = History().accepted("a", "r1", 1).accepted("b", "r1", 2)
    assert guilty(history.effect("b", "r1", 2).effect("a", "r1", 1).judged()) == {"order_violations": 1}


def test_other_residents_may_overtake() -> None:
    history = History().accepted("a", "r1", 1, at="2026-04-01T00:00:00Z").accepted("b", "r2", 1, at="2026-04-01T00:00:01Z")
    assert guilty(history.effect("b", "r2", 1).effect("a", "r1", 1).judged()) == {}


@pytest.mark.invariant("I3")
def test_a_replacement_stands_where_the_replaced_one_stood() -> None:
    history = History().accepted("a", "r1", 1, at="2026-04-01T00:00:00Z").accepted("b", "r1", 2, at="2026-04-01T00:00:01Z")
    history.accepted("a2", "r1", 1, at="2026-04-01T00:00:09Z", corrects="a")
    assert guilty(history.effect("b", "r1", 2).effect("a2", "r1", 1).judged()) == {"order_violations": 1}


def test_effects_out_of_nowhere_are_convicted() -> None:
    assert guilty(History().effect("x", "r9", 1).judged()) == {"foreign_effects": 1}
    changed = History().accepted("a", "r1", 1).effect("a", "r1", 2)
    assert guilty(changed.judged()) == {"foreign_effects": 1}
    assert guilty(History().sent("a", "r1", 1).door_refused("a").effect("a", "r1", 1).judged()) == {"foreign_effects": 1}


def test_an_effect_of_a_message_that_was_replaced_is_convicted() -> None:
    history = History().accepted("a", "r1", 1).accepted("a2", "r1", 1, corrects="a").effect("a", "r1", 1).refused("a2", "r1", 1)
    assert guilty(history.judged()) == {"foreign_effects": 1, "stuck": 1}


def test_the_verdict_as_json_names_the_counts_of_the_chaos_command() -> None:
    shown = History().accepted("a", "r1", 1).judged().shown()
    assert {"submitted", "accepted", "effects", "lost", "duplicate_effects", "order_violations", "stuck", "unaccepted"} <= shown.keys()
    assert shown["ok"] is False
