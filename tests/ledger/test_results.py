"""What a party answered to a delivery reaches whoever handed it in: in the transaction of the outcome, once, or not at all (F1-1, F2-1)."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.contract import Delivered, Effect, QueryAnswer, Receipt, Rejected, Unknown
from gateway.delivery.rows import Hold, PartyTraits, State
from gateway.errors import CommandRefused
from gateway.ledger import tables as t
from gateway.ledger.claims import Claimed
from gateway.ledger.commands import Command
from gateway.ledger.outcomes import Learned, WriteOutcomes
from gateway.ledger.prepared import PreparedMessage
from gateway.ledger.unit import run_group
from gateway.policy.rights import StalePolicy
from tests.ledger.kit import REGISTER, TRAITS, Book, prepared, to

pytestmark = [pytest.mark.flow("F1-1"), pytest.mark.flow("F2-1"), pytest.mark.thorough]
OK = Delivered(receipt=Receipt(code="accepted", body=b""))
NO = Rejected(code="E101")
HOLDS = PartyTraits(party="p", settle_s=5.0, call_s=20.0)
"""Neither drops duplicates nor answers queries."""
ASKED = PartyTraits(party="p", queries=True, settle_s=5.0, call_s=20.0)


def result(claim: Claimed, said: str, **more: Any) -> PreparedMessage:
    """As :mod:`gateway.delivery.results` makes it."""
    values: dict[str, Any] = {"system": "city-cs", "door": "answer", "who": None, "content": said, "type": "identity-update-result", **more}
    return prepared(f"result:{claim.delivery_id}:{said}", to(REGISTER, stream="identity-result", party_key=None), **values)


def outcome(worker: str, claim: Claimed, answer: Any, said: str, **more: Any) -> WriteOutcomes:
    learned = [Learned(claim=claim, answer=answer, result=result(claim, said, **more))]
    return WriteOutcomes(worker=worker, party=TRAITS.party, learned=learned, traits=TRAITS, go_on=False)


def told(book: Book) -> list[str]:
    """What lies in the register's queue, or goes there."""
    rows = book.rows(t.message, t.message.c.system == "city-cs", order=t.message.c.accepted_at)
    found = {row["message_id"] for row in book.rows(t.delivery, t.delivery.c.party == REGISTER)}
    assert {row["id"] for row in rows} == found
    return [row["source_id"].rpartition(":")[2] for row in rows]


@pytest.mark.invariant("I1")
def test_accepted_is_told_in_the_transaction_of_the_outcome(book: Book) -> None:
    book.admit(prepared("m1"))
    worker = book.worker()
    claim = book.claim_one(worker, book.key_of("m1"))
    done = book.do(outcome(worker, claim, OK, "accepted"))
    assert book.delivery("m1").state is State.DELIVERED
    assert told(book) == ["accepted"]
    [bell] = done.bells
    assert bell.party == REGISTER


@pytest.mark.invariant("I1")
@pytest.mark.invariant("I2")
def test_a_process_that_ends_before_the_commit_has_written_neither_and_the_next_writes_both_once(book: Book) -> None:
    book.admit(prepared("m1"))
    worker = book.worker()
    claim = book.claim_one(worker, book.key_of("m1"))
    book.session.begin()
    run_group(book.session.connection, [outcome(worker, claim, OK, "accepted")], book.now)
    book.session.rollback()  # as a kill does
    assert book.delivery("m1").state is State.SENDING
    assert told(book) == []
    for _ in range(2):  # the second time it is a late outcome of the same call
        book.do(outcome(worker, claim, OK, "accepted"))
    assert told(book) == ["accepted"]


def test_a_rejection_is_told_once_however_often_it_comes_and_so_is_what_follows(book: Book) -> None:
    book.admit(prepared("m1"))
    worker, key = book.worker(), book.key_of("m1")
    for _ in range(2):
        book.do(outcome(worker, book.claim_one(worker, key), NO, "E101"))
        assert book.key(key).held is Hold.REJECTED
        assert told(book) == ["E101"]
        row = book.delivery("m1")
        book.do(Command(kind="retry", actor="operator-a", traits=TRAITS, reason="again", seen=_seen(book, row)))
    book.do(outcome(worker, book.claim_one(worker, key), OK, "accepted"))
    assert told(book) == ["E101", "accepted"]


def _seen(book: Book, row: Any) -> Any:
    from gateway.ledger.commands import Seen

    return Seen(delivery_id=row.id, state="held", content_digest=row.content_digest)


@pytest.mark.rule("R9")
def test_a_refusal_that_proves_nothing_tells_nobody_and_leaves_no_trace(book: Book) -> None:
    book.admit(prepared("m1"))
    worker, key = book.worker(), book.key_of("m1")
    book.write(worker, (book.claim_one(worker, key), Unknown(code="timeout")))
    book.do(outcome(worker, book.claim_one(worker, key), NO, "E101"))
    assert book.delivery("m1").state is State.UNKNOWN
    assert told(book) == []
    assert book.rows(t.message, t.message.c.system == "city-cs") == []


@pytest.mark.rule("R7")
def test_a_receipt_of_a_call_whose_claim_is_lost_is_told_and_not_told_again(book: Book) -> None:
    book.admit(prepared("m1"))
    first, second, key = book.worker(), book.worker(), book.key_of("m1")
    lost = book.claim_one(first, key)
    book.now += 4.0  # the first has not renewed its registration
    book.renew(second)
    again = book.claim_one(second, key)
    book.do(outcome(first, lost, OK, "accepted"))
    assert told(book) == ["accepted"]
    book.do(outcome(second, again, Delivered(receipt=OK.receipt, duplicate=True), "accepted"))
    assert book.delivery("m1").state is State.DELIVERED
    assert told(book) == ["accepted"]


@pytest.mark.invariant("I7")
def test_what_was_decided_by_a_policy_that_counts_no_longer_is_not_written_and_neither_is_the_outcome(book: Book) -> None:
    book.admit(prepared("m1"))
    worker = book.worker()
    claim = book.claim_one(worker, book.key_of("m1"))
    with pytest.raises(StalePolicy):
        book.do(outcome(worker, claim, OK, "accepted", standing="another"))
    assert book.delivery("m1").state is State.SENDING
    assert told(book) == []
    book.do(outcome(worker, claim, OK, "accepted"))
    assert told(book) == ["accepted"]


# ---- what two persons decide -----------------------------------------------------------------------------------------------------------


def unknown(book: Book) -> Claimed:
    """m1 is held, its outcome unknown, and everything has settled."""
    book.admit(prepared("m1"))
    worker = book.worker()
    claim = book.claim_one(worker, book.key_of("m1"), traits=HOLDS)
    book.write(worker, (claim, Unknown(code="timeout")), traits=HOLDS)
    book.now += 60.0
    book.renew(worker)
    book.claim(worker, book.key_of("m1"), traits=HOLDS)
    assert book.key(book.key_of("m1")).held is Hold.UNKNOWN
    return claim


@pytest.mark.rule("R13")
@pytest.mark.invariant("I1")
def test_what_two_persons_settle_is_told_with_their_decision_once(book: Book) -> None:
    claim = unknown(book)
    request = book.ask("settle", book.delivery("m1"), state="unknown", took_effect=True, traits=HOLDS)
    assert told(book) == [], "one person has asked"
    book.approve(request, traits=HOLDS, told=result(claim, "accepted"))
    assert book.delivery("m1").state is State.DELIVERED
    assert told(book) == ["accepted"]
    assert [bell.party for bell in book.bells if bell.party == REGISTER] == [REGISTER]
    late = outcome(book.worker(), claim, OK, "accepted")
    late.traits = HOLDS
    book.do(late)  # the party's own word comes after all
    assert told(book) == ["accepted"]


@pytest.mark.rule("R13")
def test_that_it_had_no_effect_is_told_when_the_party_has_it(book: Book) -> None:
    claim = unknown(book)
    request = book.ask("settle", book.delivery("m1"), state="unknown", took_effect=False, traits=HOLDS)
    book.approve(request, traits=HOLDS, told=result(claim, "accepted"))
    assert book.delivery("m1").state is State.QUEUED
    assert told(book) == []
    worker = book.worker()
    book.do(outcome(worker, book.claim_one(worker, book.key_of("m1")), OK, "accepted"))
    assert told(book) == ["accepted"]


@pytest.mark.rule("R13")
@pytest.mark.parametrize("how", ["declined", "same-person", "withdrawn"])
def test_a_decision_that_is_none_tells_nobody_and_leaves_no_trace(book: Book, how: str) -> None:
    claim = unknown(book)
    request = book.ask("settle", book.delivery("m1"), state="unknown", took_effect=True, traits=HOLDS)
    said = result(claim, "accepted")
    if how == "declined":
        book.approve(request, approve=False, why="no", traits=HOLDS, told=said)
    else:
        if how == "withdrawn":
            book.approve(request, actor="operator-c", approve=False, why="no", traits=HOLDS)
        with pytest.raises(CommandRefused):
            book.approve(request, actor="operator-a" if how == "same-person" else "operator-b", traits=HOLDS, told=said)
    assert book.delivery("m1").state is State.UNKNOWN
    assert told(book) == []
    assert book.rows(t.message, t.message.c.system == "city-cs") == []


@pytest.mark.invariant("I7")
def test_a_decision_whose_result_was_made_by_another_policy_is_not_written(book: Book) -> None:
    claim = unknown(book)
    request = book.ask("settle", book.delivery("m1"), state="unknown", took_effect=True, traits=HOLDS)
    with pytest.raises(StalePolicy):
        book.approve(request, traits=HOLDS, told=result(claim, "accepted", standing="another"))
    assert book.delivery("m1").state is State.UNKNOWN
    assert told(book) == []
    book.approve(request, traits=HOLDS, told=result(claim, "accepted"))
    assert (book.delivery("m1").state, told(book)) == (State.DELIVERED, ["accepted"])


@pytest.mark.rule("R9")
def test_what_the_party_answers_to_a_query_is_told_as_well(book: Book) -> None:
    book.admit(prepared("m1"))
    worker, key = book.worker(), book.key_of("m1")
    book.write(worker, (book.claim_one(worker, key, traits=ASKED), Unknown(code="timeout")), traits=ASKED)
    book.now += 60.0
    book.renew(worker)
    claim = book.claim_one(worker, key, traits=ASKED)
    asked = outcome(worker, claim, QueryAnswer(effect=Effect.TOOK_EFFECT), "accepted")
    asked.traits = ASKED
    book.do(asked)
    assert book.delivery("m1").state is State.DELIVERED
    assert told(book) == ["accepted"]
