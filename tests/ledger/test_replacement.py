"""A held message is replaced by the register (R4): its place is kept, ids are new, and whatever cannot be replaced says why."""

from __future__ import annotations

import pytest

from gateway.contract import Delivered, Receipt, Rejected, Unknown
from gateway.delivery.rows import Hold, PartyTraits, State
from tests.ledger.kit import Book, prepared, to

pytestmark = pytest.mark.thorough

OK = Delivered(receipt=Receipt(code="ok", body=b""))
NEVER = PartyTraits(party="p")
"""Neither drops duplicates nor answers queries."""


def hold(book: Book, source_id: str = "m1") -> str:
    """The party refuses the head; returns its key row."""
    worker = book.worker()
    key = book.key_of(source_id)
    book.write(worker, (book.claim_one(worker, key), Rejected(code="E103")))
    assert book.key(key).held is Hold.REJECTED
    return key


@pytest.mark.rule("R4")
@pytest.mark.invariant("I3")
def test_a_replacement_keeps_the_place_with_new_id_and_party_key(book: Book) -> None:
    book.admit(prepared("m1"), prepared("m2"))
    key = hold(book)
    old = book.delivery("m1")
    [admitted] = book.admit(prepared("m3", corrects="m1"))
    assert admitted.refusal is None
    new = book.delivery("m3")
    assert (new.key_id, new.number) == (old.key_id, old.number)
    assert new.id != old.id
    assert new.party_key != old.party_key
    assert book.delivery("m1").state is State.REJECTED
    assert book.delivery("m1").replaced_by == new.id
    row = book.key(key)
    assert row.held is None
    assert row.due_at == book.now
    assert row.next_number == 3
    worker = book.worker()
    first = book.claim_one(worker, key)
    assert first.delivery_id == new.id
    following = book.write(worker, (first, OK), go_on=True).next
    assert [c.delivery_id for c in following] == [book.delivery("m2").id]


@pytest.mark.rule("R4")
@pytest.mark.rule("R3")
def test_what_waited_for_the_replaced_waits_for_the_replacement(book: Book) -> None:
    book.admit(prepared("m1", to("p"), to("q", waits_for="p")))
    hold(book)
    book.admit(prepared("m2", to("p"), to("q", waits_for="p"), corrects="m1"))
    dependent = book.delivery("m2", "q")
    assert dependent.waits_for == book.delivery("m2", "p").id
    assert dependent.number == book.delivery("m1", "q").number
    assert book.delivery("m1", "q").state is State.REJECTED
    worker, at_q = book.worker(), PartyTraits(party="q", resend=True, memory_s=1e6)
    assert not book.claim(worker, dependent.key_id, traits=at_q).claimed
    assert book.key(dependent.key_id).due_at is None
    book.write(worker, (book.claim_one(worker, book.key_of("m2")), OK))
    assert book.key(dependent.key_id).due_at == book.now
    assert book.claim_one(worker, dependent.key_id, at_q).delivery_id == dependent.id


@pytest.mark.rule("R4")
@pytest.mark.rule("R13")
@pytest.mark.parametrize(
    ("case", "code"),
    [
        ("unknown-message", "corrects-unknown"),
        ("other-resident", "corrects-other-resident"),
        ("not-held", "corrects-not-held"),
        ("other-stream", "corrects-other-parties"),
        ("old-party-key", "party-key-reused"),
        ("unknown-outcome", "corrects-outcome-unknown"),
        ("delivered", "corrects-not-held"),
    ],
)
def test_what_cannot_be_replaced_says_why(book: Book, case: str, code: str) -> None:
    book.admit(prepared("m1", to(party_key="k1")))
    worker, key = book.worker(), book.key_of("m1")
    change = to()
    who = 1
    corrects = "m1"
    match case:
        case "unknown-message":
            corrects = "m9"
        case "other-resident":
            hold(book)
            who = 2
        case "other-stream":
            hold(book)
            change = to(stream="other")
        case "old-party-key":
            hold(book)
            change = to(party_key="k1")
        case "unknown-outcome":
            book.write(worker, (book.claim_one(worker, key, NEVER), Unknown(code="timeout")), traits=NEVER)
            assert not book.claim(worker, key, traits=NEVER).claimed
            assert book.key(key).held is Hold.UNKNOWN
        case "delivered":
            book.write(worker, (book.claim_one(worker, key), OK))
    before = book.key(key)
    [refused] = book.admit(prepared("m2", change, who=who, corrects=corrects))
    assert refused.refusal is not None
    assert refused.refusal.code == code
    assert book.key(key) == before
    # a refused message may be handed in again, put right
    [again] = book.admit(prepared("m2", who=who))
    assert again.refusal is None
    assert not again.duplicate


@pytest.mark.rule("R4")
def test_a_message_without_a_person_is_replaced_in_its_own_key(book: Book) -> None:
    book.admit(prepared("m1", who=None))
    key = hold(book)
    [admitted] = book.admit(prepared("m2", who=None, corrects="m1"))
    assert admitted.refusal is None
    assert book.key_of("m2") == key
    assert book.claim_one(book.worker(), key).delivery_id == book.delivery("m2").id


@pytest.mark.rule("R4")
def test_a_replacement_of_a_replacement_names_the_last_one(book: Book) -> None:
    book.admit(prepared("m1"))
    hold(book)
    book.admit(prepared("m2", corrects="m1"))
    hold(book, "m2")
    [wrong] = book.admit(prepared("m3", corrects="m1"))
    assert wrong.refusal is not None
    [right] = book.admit(prepared("m4", corrects="m2"))
    assert right.refusal is None
    assert book.delivery("m4").number == 1


@pytest.mark.rule("R17")
def test_a_replacement_handed_in_twice_has_the_same_receipt(book: Book) -> None:
    book.admit(prepared("m1"))
    hold(book)
    [first] = book.admit(prepared("m2", to(party_key="k2"), corrects="m1"))
    [again] = book.admit(prepared("m2", to(party_key="k2"), corrects="m1"))
    assert again.duplicate
    assert again.receipt == first.receipt
