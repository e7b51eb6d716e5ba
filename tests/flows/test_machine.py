"""Cases of flows as a pure machine: correlation, deadlines, independence. All residents are fictitious: a letter each."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from gateway.flows.machine import Came, Fate, Instance, Machine, Spans, StepState
from gateway.flows.model import Flow, FlowStep, carried, flows
from gateway.policy.routes import tables

DAY = 86_400.0
REGISTER = "resident-record-system"
W, D, R, N = StepState.WAITING, StepState.DONE, StepState.REFUSED, StepState.NOT_NEEDED


def messages_of(flow: Flow) -> list[FlowStep]:
    """As if every message of the specification had a route."""
    return [each for each in flow.steps if each.type is not None and each.leg == "gateway"]


class Cases:
    """What the ledger keeps, in memory."""

    def __init__(self, **spans: Any) -> None:
        numbers = itertools.count(1)
        self.machine = Machine(flows(), messages_of, lambda: f"case-{next(numbers)}", Spans(**spans))
        self.all: list[Instance] = []
        self.came: dict[str, Came] = {}
        self.numbers = itertools.count(1)

    def take(
        self, message_type: str, party: str, *, sender: str = REGISTER, who: str | None = "A", at: float = 0.0, **more: Any
    ) -> Instance:
        came = Came(message_id=f"m{next(self.numbers)}", type=message_type, sender=sender, party=party, subject=who, at=at, **more)
        self.came[came.message_id] = came
        near = [each for each in self.all if each.subject == who or (each.subject is None and each.closed_at is None)]
        found = self.machine.take(came, near)
        assert found is not None
        if found not in self.all:
            self.all.append(found)
        return found

    def fate(self, message_id: str, state: StepState = D, at: float = 1.0, code: str | None = None) -> None:
        came = self.came[message_id]
        for each in self.all:
            self.machine.note(each, Fate(message_id=message_id, type=came.type, party=came.party, state=state, at=at, code=code))

    def tick(self, now: float) -> list[tuple[str, str]]:
        return [(each.id, no) for each in self.all if each.due_at is not None and each.due_at <= now for no in self.machine.tick(each, now)]


def states(case: Instance) -> dict[str, StepState]:
    return {no: each.state for no, each in case.steps.items()}


CHANGE = ("resident-change-notification", "internal-link-system")
CERTIFICATE = ("certificate-data-change", "certificate-issuance-system")
UPDATE = ("identity-information-update", "city-cs")
MOVED_IN = ("move-in-notice", "resident-record-system")


def test_the_messages_of_a_resident_change_are_one_case_and_an_answer_follows_its_question() -> None:
    cases = Cases()
    case = cases.take(*CHANGE)
    assert case.flow == "F1-1"
    assert cases.take(*CERTIFICATE) is case
    assert cases.take(*UPDATE) is case
    for each in ("m1", "m2", "m3"):
        cases.fate(each)
    assert states(case) == {"1-3a": D, "1-3b": D, "1-4": D, "1-4r": D, "1-6": W, "1-6h": W, "1-7": W}
    assert case.state == "open"
    assert cases.tick(DAY + 1) == []
    assert states(case) == {"1-3a": D, "1-3b": D, "1-4": D, "1-4r": D, "1-6": N, "1-6h": N, "1-7": N}
    assert (case.state, case.closed_at, case.due_at) == ("done", DAY + 1, None)


def test_a_household_change_without_an_identity_item_needs_no_update_of_the_city_cs() -> None:
    cases = Cases()
    case = cases.take(*CHANGE)
    cases.take(*CERTIFICATE)
    cases.fate("m1")
    cases.fate("m2")
    assert cases.tick(DAY) == []
    assert (states(case)["1-4"], states(case)["1-4r"]) == (N, N)
    assert case.state == "done"


def test_another_resident_is_another_case_and_a_later_change_of_the_same_is_one_too() -> None:
    cases = Cases()
    first, other = cases.take(*CHANGE, who="A"), cases.take(*CHANGE, who="B")
    again = cases.take(*CHANGE, who="A", at=10.0)
    assert len({first.id, other.id, again.id}) == 3
    assert cases.take(*CERTIFICATE, who="A", at=11.0) is first, "of two that must have it, the older"
    assert cases.take(*CERTIFICATE, who="A", at=12.0) is again
    assert cases.take("move-in-notice", "other-municipality-cs", who="A", at=13.0) is again, "of two that may have it, the newer"


def test_a_message_that_came_a_moment_before_its_case_is_part_of_it() -> None:
    """Streams are independent, so the first message of a case may overtake the one that begins it."""
    cases = Cases()
    alone = cases.take(*UPDATE)
    assert alone.flow == "F2-1"
    cases.fate("m1")
    case = cases.take(*CHANGE, at=2.0)
    assert states(case)["1-4"] is D
    assert alone.part_of == case.id
    late = Cases()
    late.take(*UPDATE)
    assert states(late.take(*CHANGE, at=2 * DAY))["1-4"] is W


def test_a_number_that_does_not_come_is_overdue_once_and_the_notice_ends_it() -> None:
    cases = Cases()
    case = cases.take("individual-number-generation-request", "j-lis")
    assert case.flow == "F3-1"
    cases.fate("m1", at=100.0)
    assert cases.tick(6 * DAY) == []
    assert cases.tick(7 * DAY + 101) == [(case.id, "1-3")]
    assert case.state == "overdue"
    assert cases.tick(9 * DAY) == [], "an alert once"
    assert cases.take("individual-number-notice", "resident-record-system", sender="j-lis", at=9 * DAY) is case
    assert case.state == "overdue", "it came, and is not done yet"
    cases.fate("m2", at=9 * DAY + 1)
    assert (states(case), case.state) == ({"1-1": D, "1-3": D}, "done")


def test_a_move_in_notice_waits_for_what_follows_and_its_case_takes_it_before_a_new_one_begins() -> None:
    cases = Cases()
    case = cases.take(*MOVED_IN, sender="other-municipality-cs")
    assert (case.flow, [no for no, each in case.steps.items() if each.due_at is not None]) == ("F1-2", ["2-3"])
    cases.fate("m1", at=50.0)
    assert case.steps["2-4a"].due_at == DAY + 50
    assert cases.take(*CHANGE, at=60.0) is case
    assert cases.take(*CERTIFICATE, at=61.0) is case
    cases.fate("m2")
    cases.fate("m3")
    assert case.state == "done"


def test_a_special_move_out_that_is_open_takes_the_notice_of_the_destination() -> None:
    cases = Cases()
    case = cases.take("move-out-certificate-data", "city-cs")
    assert case.flow == "F1-3"
    cases.fate("m1")
    assert cases.take(*MOVED_IN, sender="other-municipality-cs", at=5 * DAY) is case


def test_steps_that_do_not_depend_on_each_other_do_not_hold_each_other() -> None:
    """A refused and an overdue step: the others end, and nothing that follows from them waits."""
    cases = Cases()
    case = cases.take(*CHANGE)
    cases.take(*UPDATE)
    cases.fate("m2", R, code="rejected")
    assert (states(case)["1-4"], states(case)["1-4r"], case.state) == (R, R, "refused")
    cases.fate("m1")
    assert states(case)["1-3a"] is D
    assert cases.tick(DAY + 1) == [(case.id, "1-3b")]
    assert case.state == "overdue"
    cases.take(*CERTIFICATE, at=DAY + 2)
    cases.fate("m3", at=DAY + 3)
    assert (states(case)["1-3b"], case.state, case.closed_at) == (D, "refused", None), "what is held may still be corrected"
    cases.take(*UPDATE, at=DAY + 4, after="m2")
    cases.fate("m4", at=DAY + 5)
    assert (states(case)["1-4"], states(case)["1-4r"], case.state) == (D, D, "done")
    assert case.steps["1-4"].messages == ["m2", "m4"]


def test_what_was_skipped_is_over_and_stays_refused() -> None:
    cases = Cases()
    case = cases.take("tax-certificate-change", "certificate-issuance-system", sender="tax-system")
    cases.fate("m1", R, code="skipped")
    assert (case.state, case.closed_at) == ("refused", 1.0)


def test_of_several_that_wait_the_case_that_must_have_it_comes_first() -> None:
    cases = Cases()
    change = cases.take(*CHANGE)
    code = cases.take("resident-code-change-notice", "j-lis", at=1.0)
    assert cases.take(*UPDATE, at=2.0) is code, "F3-3 needs the update, F1-1 may have one"
    assert cases.take(*UPDATE, at=3.0) is change


def test_the_sender_may_name_the_flow() -> None:
    cases = Cases()
    case = cases.take(*CHANGE, flow="F1-10")
    assert case.flow == "F1-10"
    assert cases.take(*UPDATE, flow="F1-10") is case
    assert (
        cases.machine.take(Came(message_id="x", type=UPDATE[0], sender=REGISTER, party=UPDATE[1], subject="A", at=1.0, flow="FR-1"), [])
        is None
    )


def test_a_reconciliation_is_about_no_resident_and_one_is_open_at_a_time() -> None:
    cases = Cases()
    case = cases.take("core-cs-reconciliation-data", "city-cs", who="A")
    assert case.subject is None
    assert cases.take("core-cs-reconciliation-result", REGISTER, sender="city-cs", who=None, at=5.0) is case


def test_a_step_that_begins_late_does_not_wait_for_what_comes_before_it() -> None:
    cases = Cases()
    case = cases.take("individual-number-notice", REGISTER, sender="j-lis")
    assert states(case) == {"1-1": N, "1-3": W}
    pool = [cases.take("resident-code-allocation", REGISTER, sender="j-lis", who=None, at=float(i)) for i in (1, 2)]
    assert pool[0] is not pool[1], "each set of codes by itself"


def test_a_dialogue_is_over_when_it_is_known() -> None:
    cases = Cases()
    came = Came(message_id="d1", type="wide-area-certificate-data", sender="city-cs", party="other-municipality-cs", subject="A", at=5.0)
    answered = cases.machine.exchanged(came.type, came.party, came, D, None)
    refused = cases.machine.exchanged(came.type, came.party, came, R, "dialogue-refused")
    assert answered is not None
    assert refused is not None
    assert (answered.flow, states(answered), answered.state, answered.due_at) == ("FS2-11", {"1": D, "2": D}, "done", None)
    assert (refused.state, refused.closed_at) == ("refused", 5.0)


def test_a_delivery_to_an_account_is_the_step_of_the_system_whose_account_it_is() -> None:
    cases = Cases()
    case = cases.take("resident-info-transfer", "welfare-account", sender="internal-link-system", whose="business-systems")
    assert (case.flow, states(case)["2"]) == ("FS1-8a", W)
    came = cases.came["m1"]
    for whose, expected in ((None, W), ("tax-system", W), ("business-systems", D)):
        fate = Fate(message_id="m1", type=came.type, party="welfare-account", state=D, at=1.0, whose=whose)
        cases.machine.note(case, fate)
        assert states(case)["2"] is expected, whose
    other = Came(message_id="m2", type=came.type, sender="internal-link-system", party="unknown", subject="A", at=1.0)
    assert cases.machine.take(other, []) is None


def test_a_person_completes_what_is_left() -> None:
    cases = Cases()
    case = cases.take(*CHANGE)
    cases.fate("m1")
    cases.tick(2 * DAY)
    assert case.state == "overdue"
    cases.machine.complete(case, "operator-a", "on paper", 3 * DAY)
    assert (case.state, case.closed_at, case.steps["1-3a"].state, case.steps["1-3b"].state) == ("completed", 3 * DAY, D, N)
    assert cases.take(*CERTIFICATE, at=3 * DAY + 1) is not case, "it waits for nothing more"


def test_the_city_may_want_other_deadlines() -> None:
    cases = Cases(of={"F3-1/1-3": 3600.0})
    case = cases.take("individual-number-generation-request", "j-lis")
    cases.fate("m1", at=0.0)
    assert cases.tick(3601.0) == [(case.id, "1-3")]


def test_a_message_of_no_tracked_step_is_in_no_case() -> None:
    machine = Machine(flows(), lambda _: [], lambda: "case")
    came = Came(message_id="m", type=UPDATE[0], sender=REGISTER, party=UPDATE[1], subject="A", at=0.0)
    assert not machine.correlates(came)
    assert machine.take(came, []) is None
    assert machine.tracked == ()


@pytest.mark.flow("F1-4")
@pytest.mark.edge("F1-4", "origin-silent")
def test_a_special_move_in_stays_open_until_its_data_come_and_nothing_of_the_move_in_is_done_before() -> None:
    """The origin took the request and says nothing: overdue and open, with no case of a move-in beside it; late data end it."""
    cases = Cases()
    cases.machine = Machine(flows(), lambda flow: carried(flow, tables()), lambda: "case", Spans())
    case = cases.take("move-out-certificate-request", "city-cs")
    cases.fate("m1")
    assert cases.tick(DAY + 2) == [("case", "4-1")]
    assert (case.flow, case.state, case.closed_at, len(cases.all)) == ("F1-4", "overdue", None, 1)
    late = ("move-out-certificate-data", "resident-record-system")
    assert cases.take(*late, sender="other-municipality-cs", at=5 * DAY) is case
    cases.fate("m2", at=5 * DAY)
    assert case.state == "done"
