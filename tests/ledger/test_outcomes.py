"""Outcomes: what a call learned and the next step, in one transaction; late ones, dependents, batches, replies (R3, R7, R9, R11, R14)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.contract import Delivered, PartyDown, Pending, Receipt, Rejected, RejectedCall, RetryLater, Unknown
from gateway.delivery.rows import Hold, PartyTraits, State
from gateway.ledger import tables as t
from gateway.ledger.claims import Claimed
from gateway.ledger.housekeeping import RecordReply, RenewProcess
from gateway.ledger.outcomes import Learned, WriteOutcomes
from tests.ledger.kit import TRAITS, Book, prepared, sealed, to

OK = Delivered(receipt=Receipt(code="ok", body=b""))
AT_Q = PartyTraits(party="q", resend=True, memory_s=1e6)
HOLDS = PartyTraits(party="p", settle_s=5.0, call_s=20.0)
"""Neither drops duplicates nor answers queries: an unknown outcome is held."""


@pytest.mark.rule("R7")
@pytest.mark.invariant("I3")
def test_delivered_and_on_to_the_next_number_in_one_transaction(book: Book) -> None:
    book.admit(*(prepared(f"m{i}") for i in range(3)))
    worker, key = book.worker(), book.key_of("m0")
    claim = book.claim_one(worker, key)
    for i in range(3):
        assert claim.delivery_id == book.delivery(f"m{i}").id
        result = book.write(worker, (claim, OK), go_on=True)
        assert book.delivery(f"m{i}").state is State.DELIVERED
        if i < 2:
            [claim] = result.next
    assert not result.next
    row = book.key(key)
    assert row.idle
    assert row.due_at is None
    assert row.claim_worker is None
    assert len(book.record("provided")) == 3


def test_without_going_on_it_rings_for_the_next(book: Book) -> None:
    book.admit(prepared("m1"), prepared("m2"))
    worker, key = book.worker(), book.key_of("m1")
    result = book.write(worker, (book.claim_one(worker, key), OK))
    assert not result.next
    assert [bell.key_id for bell in result.bells] == [key]


def test_a_passing_failure_backs_off_and_then_holds(book: Book) -> None:
    book.admit(prepared("m1"))
    worker, key = book.worker(), book.key_of("m1")
    for i in range(TRAITS.retry.budget):
        assert book.delivery("m1").spent == i
        book.write(worker, (book.claim_one(worker, key), RetryLater(code="busy")), go_on=True)
        due = book.key(key).due_at
        if due is not None:
            assert due > book.now
            assert not book.claim(worker, key).claimed
            book.now = due
            book.renew(worker)
    assert book.key(key).held is Hold.BUDGET
    assert book.delivery("m1").reason == "busy"


@pytest.mark.rule("R8")
@pytest.mark.rule("R7")
def test_an_outcome_of_a_lost_claim_changes_nothing_but_is_kept(book: Book) -> None:
    book.admit(prepared("m1"), prepared("m2"))
    slow, key = book.worker(), book.key_of("m1")
    claim = book.claim_one(slow, key)
    book.do(RenewProcess(id=slow, end=True))
    other = book.worker()
    again = book.claim_one(other, key)
    result = book.write(slow, (claim, Rejected(code="E103")))
    assert result.lost == 1
    assert book.key(key).held is None
    assert book.delivery("m1").state is State.SENDING
    [late] = book.rows(t.late_outcome)
    assert (late["kind"], late["code"]) == ("rejected", "E103")
    assert book.record("late-outcome")[0]["delivery_id"] == claim.delivery_id
    book.write(other, (again, OK))
    assert book.delivery("m1").state is State.DELIVERED


def late_receipt(book: Book, traits: PartyTraits = HOLDS) -> tuple[str, str, Claimed]:
    """A worker froze with the party's receipt; another took over. Returns the frozen one, the other, and the frozen one's claim."""
    frozen, key = book.worker(), book.key_of("m1")
    claim = book.claim_one(frozen, key, traits)
    book.do(RenewProcess(id=frozen, end=True))
    return frozen, book.worker(), claim


@pytest.mark.rule("R7")
def test_a_late_receipt_lifts_the_hold_of_an_unknown(book: Book) -> None:
    book.admit(prepared("m1"), prepared("m2"))
    frozen, other, claim = late_receipt(book)
    key = claim.key_id
    assert not book.claim(other, key, traits=HOLDS).claimed
    assert book.key(key).held is Hold.UNKNOWN
    result = book.write(frozen, (claim, OK), traits=HOLDS)
    assert result.lost == 1
    assert [bell.key_id for bell in result.bells] == [key]
    assert book.key(key).held is None
    following = book.claim_one(other, key, HOLDS)
    assert book.delivery("m1").state is State.DELIVERED
    assert following.delivery_id == book.delivery("m2").id


@pytest.mark.rule("R7")
def test_a_late_receipt_is_read_before_the_crash_count_holds(book: Book) -> None:
    book.admit(prepared("m1"))
    key = book.key_of("m1")
    claims = []
    for _ in range(3):
        worker = book.worker()
        claims.append((worker, book.claim_one(worker, key)))
        book.do(RenewProcess(id=worker, end=True))
    book.write(claims[0][0], (claims[0][1], OK))
    assert not book.claim(book.worker(), key).claimed
    assert book.delivery("m1").state is State.DELIVERED
    assert book.key(key).held is None


@pytest.mark.rule("R7")
@pytest.mark.parametrize("answer", [Rejected(code="E101"), Unknown(code="timeout"), RetryLater(code="busy"), PartyDown(code="down")])
def test_a_late_receipt_decides_in_the_outcome_of_a_later_attempt(book: Book, answer: Any) -> None:
    book.admit(prepared("m1"))
    frozen, other, claim = late_receipt(book, TRAITS)
    again = book.claim_one(other, claim.key_id)
    book.write(frozen, (claim, OK))
    book.write(other, (again, answer))
    assert book.delivery("m1").state is State.DELIVERED


@pytest.mark.rule("R7")
@pytest.mark.invariant("I8")
def test_the_body_of_a_late_receipt_is_kept_however_far_the_key_has_gone(book: Book) -> None:
    book.admit(*(prepared(f"m{i}") for i in range(1, 5)))
    frozen, other, claim = late_receipt(book, TRAITS)
    again = book.claim_one(other, claim.key_id)
    for _ in range(4):
        nexts = book.write(other, (again, OK), go_on=True).next
        again = nexts[0] if nexts else again
    body = sealed("the party's receipt")
    item = Learned(claim=claim, answer=OK, sealed=body)
    result = book.do(WriteOutcomes(worker=frozen, party="p", learned=[item], traits=TRAITS))
    assert result.lost == 1
    kept = book.row(t.payload, t.payload.c.kind == "receipt")
    assert kept["sealed"] == body.sealed
    assert book.row(t.data_key, t.data_key.c.id == kept["id"])["message_id"] == claim.message_id


@pytest.mark.rule("R3")
def test_a_final_predecessor_wakes_what_waits_for_it(book: Book) -> None:
    book.admit(prepared("m1", to("p"), to("q", waits_for="p")))
    worker, waits = book.worker(), book.key_of("m1", "q")
    assert not book.claim(worker, waits, traits=AT_Q).claimed
    assert book.key(waits).due_at is None
    result = book.write(worker, (book.claim_one(worker, book.key_of("m1")), OK))
    assert waits in {bell.key_id for bell in result.bells}
    assert book.key(waits).due_at == book.now
    assert book.claim(worker, waits, traits=AT_Q).claimed


@pytest.mark.rule("R3")
@pytest.mark.rule("R13")
def test_a_predecessor_that_is_not_delivered_takes_its_dependents_along(book: Book) -> None:
    book.admit(prepared("m1", to("p"), to("q", waits_for="p"), to("r", waits_for="q")))
    worker = book.worker()
    assert not book.claim(worker, book.key_of("m1", "q"), traits=AT_Q).claimed
    assert not book.claim(worker, book.key_of("m1", "r"), traits=PartyTraits(party="r")).claimed
    book.write(worker, (book.claim_one(worker, book.key_of("m1")), Rejected(code="E103")))
    book.approve(book.ask("skip", book.delivery("m1")))
    assert not book.claim(worker, book.key_of("m1", "q"), traits=AT_Q).claimed
    assert book.delivery("m1", "q").state is State.SKIPPED
    assert book.delivery("m1", "q").reason == "predecessor-not-delivered"
    # it became final without a call, and still wakes what waits for it
    assert book.key(book.key_of("m1", "r")).due_at == book.now
    assert not book.claim(worker, book.key_of("m1", "r"), traits=PartyTraits(party="r")).claimed
    assert book.delivery("m1", "r").state is State.SKIPPED


@pytest.mark.rule("R3")
@pytest.mark.rule("R7")
def test_a_late_receipt_read_by_a_claim_wakes_what_waits(book: Book) -> None:
    book.admit(prepared("m1", to("p"), to("q", waits_for="p")))
    frozen, other, claim = late_receipt(book)
    waits = book.key_of("m1", "q")
    assert not book.claim(other, waits, traits=AT_Q).claimed
    assert not book.claim(other, claim.key_id, traits=HOLDS).claimed
    book.write(frozen, (claim, OK), traits=HOLDS)
    bells = book.claim(other, claim.key_id, traits=HOLDS).bells
    assert book.delivery("m1").state is State.DELIVERED
    assert waits in {bell.key_id for bell in bells}
    assert book.key(waits).due_at == book.now


@pytest.mark.rule("R3")
def test_going_on_to_a_number_whose_predecessor_is_delivered_sends_it(book: Book) -> None:
    """The next number comes up within the transaction of an outcome: what it waits for must be known there."""
    book.admit(prepared("m0", to("q")), prepared("m1", to("p"), to("q", waits_for="p")))
    worker = book.worker()
    first = book.claim_one(worker, book.key_of("m0", "q"), AT_Q)
    book.write(worker, (book.claim_one(worker, book.key_of("m1")), OK))
    [following] = book.write(worker, (first, OK), traits=AT_Q, go_on=True).next
    assert following.delivery_id == book.delivery("m1", "q").id


@pytest.mark.rule("R3")
def test_dependence_within_one_group(book: Book) -> None:
    """The predecessor's outcome, and that of the number before the dependent, in one transaction, in either order."""
    for names in (("a", "b"), ("c", "d")):
        before, both = names
        book.admit(prepared(before, to("q")), prepared(both, to("p"), to("q", waits_for="p")))
        worker = book.worker()
        first = book.claim_one(worker, book.key_of(before, "q"), AT_Q)
        second = book.claim_one(worker, book.key_of(both))
        operations = [
            WriteOutcomes(worker=worker, party="q", learned=[Learned(claim=first, answer=OK)], traits=AT_Q),
            WriteOutcomes(worker=worker, party="p", learned=[Learned(claim=second, answer=OK)], traits=TRAITS),
        ]
        book.group(*(operations if names[0] == "a" else reversed(operations)))
        waits = book.delivery(both, "q")
        assert waits.state is State.SENDING or book.key(waits.key_id).due_at == book.now


@pytest.mark.rule("R11")
def test_a_refused_call_is_split_until_the_record_at_fault_is_alone(book: Book) -> None:
    book.admit(*(prepared(f"m{i}", who=i) for i in range(5)))
    worker = book.worker()
    claims = list(book.claim(worker, *(book.key_of(f"m{i}") for i in range(5))).claimed)
    at_fault = book.delivery("m3").id
    calls = 0
    while claims:
        cap = min(claim.call_cap or 5 for claim in claims)
        call, claims = claims[:cap], claims[cap:]
        calls += 1
        answer = RejectedCall(code="schema") if at_fault in {c.delivery_id for c in call} else OK
        claims += book.write(worker, *((c, answer) for c in call), go_on=True).next
    held = [i for i in range(5) if book.key(book.key_of(f"m{i}")).held is not None]
    assert held == [3]
    assert [book.delivery(f"m{i}").state is State.DELIVERED for i in range(5)] == [True, True, True, False, True]
    assert calls <= 10


@pytest.mark.rule("R9")
def test_a_refusal_while_an_earlier_attempt_is_open_proves_nothing(book: Book) -> None:
    book.admit(prepared("m1"))
    worker, key = book.worker(), book.key_of("m1")
    book.write(worker, (book.claim_one(worker, key), Unknown(code="timeout")))
    again = book.claim_one(worker, key)
    assert again.resent
    book.write(worker, (again, Rejected(code="E101")))
    row = book.delivery("m1")
    assert row.state is State.UNKNOWN
    assert book.key(key).held is None
    assert row.not_before == row.open_until
    book.now = row.not_before or book.now
    book.renew(worker)
    book.write(worker, (book.claim_one(worker, key), Rejected(code="E101")))
    assert book.key(key).held is Hold.REJECTED


@pytest.mark.rule("R12")
def test_an_outage_spends_nothing(book: Book) -> None:
    book.admit(prepared("m1"))
    worker, key = book.worker(), book.key_of("m1")
    for _ in range(TRAITS.retry.budget + 3):
        for claim in book.claim(worker, key, probe=True).claimed:
            book.write(worker, (claim, PartyDown(code="down")))
        book.now += 70
        book.renew(worker)
    assert book.delivery("m1").spent == 0
    assert book.delivery("m1").attempts >= TRAITS.retry.budget
    assert book.key(key).held is None


# ---- replies that come later -----------------------------------------------------------------------------------------------------------


def reply(correlation: str = "c1", *, party: str = "p", kind: str = "delivered") -> RecordReply:
    return RecordReply(party=party, correlation=correlation, kind=kind, code="later", actor=party)


@pytest.mark.rule("R14")
@pytest.mark.parametrize("order", ["outcome-first", "reply-first", "one-group", "one-group-reply-first"])
@pytest.mark.parametrize("kind", ["delivered", "rejected"])
def test_a_reply_and_the_outcome_that_awaits_it_in_any_order(book: Book, order: str, kind: str) -> None:
    book.admit(prepared("m1"))
    worker, key = book.worker(), book.key_of("m1")
    claim = book.claim_one(worker, key)
    pending = WriteOutcomes(
        worker=worker,
        party="p",
        learned=[Learned(claim=claim, answer=Pending(correlation="c1", deadline_s=600))],
        traits=TRAITS,
        go_on=False,
    )
    operations = [pending, reply(kind=kind)]
    if order in ("reply-first", "one-group-reply-first"):
        operations.reverse()
    if order.startswith("one-group"):
        book.group(*operations)
    else:
        for operation in operations:
            book.do(operation)
    if book.delivery("m1").state is State.AWAITING_REPLY:
        assert book.key(key).due_at == book.now, "it need not wait for its deadline"
        book.claim(worker, key)
    if kind == "delivered":
        assert book.delivery("m1").state is State.DELIVERED
    else:
        assert book.key(key).held is Hold.REJECTED


@pytest.mark.rule("R14")
@pytest.mark.invariant("I2")
def test_a_reply_of_another_party_is_not_taken_for_it(book: Book) -> None:
    book.admit(prepared("m1"))
    worker, key = book.worker(), book.key_of("m1")
    book.write(worker, (book.claim_one(worker, key), Pending(correlation="c1", deadline_s=600)))
    book.do(reply(party="q"))
    assert book.record("reply-not-matched")
    book.now += 601
    book.renew(worker)
    book.claim(worker, key)
    assert book.delivery("m1").state is not State.DELIVERED


@pytest.mark.rule("R14")
def test_a_reply_after_the_end_is_evidence_and_changes_nothing(book: Book) -> None:
    book.admit(prepared("m1"))
    worker, key = book.worker(), book.key_of("m1")
    book.write(worker, (book.claim_one(worker, key), Pending(correlation="c1", deadline_s=600)))
    book.do(reply())
    book.claim(worker, key)
    before = book.delivery("m1")
    assert before.state is State.DELIVERED
    assert not book.do(reply(kind="rejected"))
    assert book.delivery("m1") == before
    assert book.record("reply-after-the-end")


@pytest.mark.rule("R14")
@pytest.mark.rule("R9")
def test_a_reply_that_does_not_come_makes_it_unknown(book: Book) -> None:
    book.admit(prepared("m1"))
    worker, key = book.worker(), book.key_of("m1")
    book.write(worker, (book.claim_one(worker, key, HOLDS), Pending(correlation="c1", deadline_s=10)), traits=HOLDS)
    book.now += 11
    book.renew(worker)
    assert not book.claim(worker, key, traits=HOLDS).claimed
    assert book.delivery("m1").state is State.UNKNOWN
    assert book.key(key).held is Hold.UNKNOWN
    book.do(reply())  # R7 in spirit: it lifts the hold
    book.claim(worker, key, traits=HOLDS)
    assert book.delivery("m1").state is State.DELIVERED


@pytest.mark.invariant("I8")
@pytest.mark.control("C-2-5-2")
def test_every_reason_for_which_an_answer_is_not_believed_is_on_record(book: Book) -> None:
    """The attacks on messages are refused with these codes (tests/security/soap/attacks.py); here is what the record says of each."""
    from gateway.security.soap.errors import CODES

    book.admit(*(prepared(f"m-{code}", who=number) for number, code in enumerate(CODES, start=1)))
    worker = book.worker()
    claims = [(book.claim_one(worker, book.key_of(f"m-{code}")), Unknown(code=f"answer-{code}")) for code in CODES]
    book.write(worker, *claims)
    told = [detail for each in book.record("outcome") if (detail := json.loads(each["detail"]))["outcome"] == "unknown"]
    assert sorted(each["code"] for each in told) == sorted(f"answer-{code}" for code in CODES)
