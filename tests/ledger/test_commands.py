"""Operators' commands: every refusal of R13, the second person, and what a command does."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gateway.contract import Delivered, Receipt, Rejected, RetryLater, Unknown
from gateway.delivery.rows import Hold, PartyTraits, RetryPolicy, State
from gateway.errors import CommandRefused
from gateway.ledger import tables as t
from gateway.ledger.commands import Seen
from gateway.ledger.housekeeping import RenewProcess
from tests.ledger.kit import Book, digest, prepared, to

OK = Delivered(receipt=Receipt(code="ok", body=b""))
HOLDS = PartyTraits(party="p", settle_s=5.0, call_s=20.0)
ASKED = PartyTraits(party="p", queries=True, settle_s=5.0, call_s=20.0, retry=RetryPolicy(budget=1))


def refused(do: Callable[[], object]) -> str:
    with pytest.raises(CommandRefused) as error:
        do()
    return error.value.code


def rejected(book: Book) -> str:
    """The head is held because the party refused it; returns its key row."""
    book.admit(prepared("m1", to(party_key="k1")), prepared("m2"))
    worker, key = book.worker(), book.key_of("m1")
    book.write(worker, (book.claim_one(worker, key), Rejected(code="E103")))
    return key


def unknown(book: Book, traits: PartyTraits = HOLDS) -> str:
    """The head is held because nobody knows what became of it."""
    book.admit(prepared("m1"), prepared("m2"))
    worker, key = book.worker(), book.key_of("m1")
    book.write(worker, (book.claim_one(worker, key, traits), Unknown(code="timeout")), traits=traits)
    book.claim(worker, key, traits=traits)
    assert book.key(key).held is Hold.UNKNOWN
    return key


# ---- what they do ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.rule("R13")
def test_retry_takes_effect_at_once_and_is_on_record(book: Book) -> None:
    key = rejected(book)
    request = book.ask("retry", book.delivery("m1"))
    assert [bell.key_id for bell in book.bells] == [key]
    assert book.key(key).held is None
    assert book.delivery("m1").state is State.QUEUED
    row = book.row(t.command, t.command.c.id == request)
    assert (row["kind"], row["status"], row["requested_by"], row["decided_by"]) == ("retry", "done", "operator-a", "operator-a")
    [entry] = book.record("command")
    assert (entry["actor"], entry["message_id"]) == ("operator-a", book.delivery("m1").message_id)


@pytest.mark.rule("R13")
def test_skip_needs_a_second_person_and_lets_the_next_go(book: Book) -> None:
    key = rejected(book)
    request = book.ask("skip", book.delivery("m1"))
    assert book.key(key).held is Hold.REJECTED
    assert refused(lambda: book.approve(request, "operator-a")) == "same-person"
    book.approve(request)
    assert book.delivery("m1").state is State.SKIPPED
    assert [bell.key_id for bell in book.bells] == [key]
    assert book.claim_one(book.worker(), key).delivery_id == book.delivery("m2").id
    assert refused(lambda: book.approve(request)) == "request-decided"


@pytest.mark.rule("R4")
@pytest.mark.rule("R13")
def test_correct_replaces_content_id_and_party_key_in_its_place(book: Book) -> None:
    key = rejected(book)
    old = book.delivery("m1")
    correction = book.correction("k9", "new content")
    request = book.ask("correct", old, correction=correction)
    assert refused(lambda: book.approve(request, digest=old.content_digest)) == "digest-changed"
    book.approve(request, digest=digest("new content"))
    new = book.delivery("m1")
    assert new.id != old.id
    assert (new.number, new.party_key, new.content_digest) == (old.number, "k9", digest("new content"))
    claim = book.claim_one(book.worker(), key)
    assert (claim.delivery_id, claim.party_key, claim.sealed) == (new.id, "k9", correction.sealed.sealed)
    assert claim.attempt == 1


@pytest.mark.rule("R3")
@pytest.mark.rule("R4")
def test_what_waits_for_a_corrected_delivery_waits_for_the_corrected_one(book: Book) -> None:
    book.admit(prepared("m1", to("p"), to("q", waits_for="p")))
    worker = book.worker()
    book.write(worker, (book.claim_one(worker, book.key_of("m1")), Rejected(code="E103")))
    book.approve(book.ask("correct", book.delivery("m1"), correction=book.correction()))
    assert book.delivery("m1", "q").waits_for == book.delivery("m1").id
    book.write(worker, (book.claim_one(worker, book.key_of("m1")), OK))
    assert book.claim(worker, book.key_of("m1", "q"), traits=PartyTraits(party="q")).claimed


@pytest.mark.rule("R13")
@pytest.mark.parametrize("took_effect", [True, False])
def test_settle_decides_an_unknown_outcome_by_the_partys_word(book: Book, took_effect: bool) -> None:
    key = unknown(book)
    assert refused(lambda: book.ask("settle", book.delivery("m1"), state="unknown", took_effect=took_effect)) == "not-settled"
    book.now += HOLDS.open_s
    request = book.ask("settle", book.delivery("m1"), state="unknown", took_effect=took_effect)
    book.approve(request)
    row = book.delivery("m1")
    assert row.state is (State.DELIVERED if took_effect else State.QUEUED)
    assert not row.unanswered
    assert book.key(key).held is None
    assert book.key(key).due_at == book.now


# ---- what is refused ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.rule("R13")
@pytest.mark.parametrize("kind", ["retry", "skip", "correct", "settle"])
def test_what_was_seen_must_still_be_so(book: Book, kind: str) -> None:
    rejected(book)
    row = book.delivery("m1")
    other = Seen(delivery_id=row.id, state="held", content_digest=digest("something else"))
    assert refused(lambda: book.ask(kind, row, seen=other)) == "changed-meanwhile"
    assert refused(lambda: book.ask(kind, row, state="queued")) == "changed-meanwhile"
    assert refused(lambda: book.ask(kind, book.delivery("m2"), state="waiting-behind")) == "not-the-head"
    gone = Seen(delivery_id="none", state="held", content_digest=b"")
    assert refused(lambda: book.ask(kind, row, seen=gone)) == "delivery-unknown"
    assert len(book.record("command-refused")) == 4
    assert not book.rows(t.command)


@pytest.mark.rule("R4")
def test_a_type_that_the_party_counts_is_never_skipped(book: Book) -> None:
    rejected(book)
    assert refused(lambda: book.ask("skip", book.delivery("m1"), party_counts=True)) == "skip-forbidden"
    request = book.ask("skip", book.delivery("m1"))
    assert refused(lambda: book.approve(request, party_counts=True)) == "skip-forbidden"


@pytest.mark.rule("R13")
@pytest.mark.parametrize("kind", ["skip", "correct"])
@pytest.mark.parametrize("case", ["sending", "void", "held-unknown", "queued", "open"])
def test_skip_and_correct_need_a_known_outcome(book: Book, kind: str, case: str) -> None:
    worker, word, code = book.worker(), "held", "outcome-unknown"
    match case:
        case "sending" | "void":
            book.admit(prepared("m1"))
            book.claim_one(worker, book.key_of("m1"))
            word = "sending"
            if case == "void":
                book.do(RenewProcess(id=worker, end=True))
        case "held-unknown":
            unknown(book)
            word = "unknown"
        case "queued":
            book.admit(prepared("m1"))
            word, code = "queued", "not-held"
        case "open":
            # a re-send that failed in passing leaves it unknown
            book.admit(prepared("m1"))
            key = book.key_of("m1")
            book.write(worker, (book.claim_one(worker, key), Unknown(code="timeout")))
            book.write(worker, (book.claim_one(worker, key), RetryLater(code="busy")))
            word = "unknown"
    correction = book.correction() if kind == "correct" else None
    assert refused(lambda: book.ask(kind, book.delivery("m1"), state=word, correction=correction)) == code


@pytest.mark.rule("R13")
def test_retry_of_an_unknown_needs_a_party_that_drops_duplicates_or_answers_queries(book: Book) -> None:
    unknown(book)
    row = book.delivery("m1")
    assert refused(lambda: book.ask("retry", row, state="unknown", traits=HOLDS)) == "retry-unknown"
    book.ask("retry", row, state="unknown", traits=ASKED)
    assert book.delivery("m1").state is State.UNKNOWN, "retry leaves an unknown unknown (R9)"


def test_only_what_is_held_is_retried_and_only_an_unknown_is_settled(book: Book) -> None:
    book.admit(prepared("m1"))
    assert refused(lambda: book.ask("retry", book.delivery("m1"), state="queued")) == "not-held"
    assert refused(lambda: book.ask("settle", book.delivery("m1"), state="queued", took_effect=True)) == "not-unknown"
    worker = book.worker()
    book.write(worker, (book.claim_one(worker, book.key_of("m1")), Rejected(code="E103")))
    assert refused(lambda: book.ask("settle", book.delivery("m1"), took_effect=True)) == "not-unknown"


@pytest.mark.rule("R4")
def test_a_correction_needs_a_party_key_that_nobody_used(book: Book) -> None:
    rejected(book)
    book.admit(prepared("m3", to(party_key="k3"), who=3))
    row = book.delivery("m1")
    assert refused(lambda: book.ask("correct", row, correction=book.correction("k1"))) == "party-key-reused"
    assert refused(lambda: book.ask("correct", row, correction=book.correction("k3"))) == "party-key-reused"
    request = book.ask("correct", row, correction=book.correction("k4"))
    book.admit(prepared("m4", to(party_key="k4"), who=4))
    assert refused(lambda: book.approve(request)) == "party-key-reused"


def test_a_command_without_a_reason_is_refused(book: Book) -> None:
    rejected(book)
    assert refused(lambda: book.ask("skip", book.delivery("m1"), reason="  ")) == "reason-missing"


@pytest.mark.rule("R13")
def test_a_request_that_was_overtaken_is_closed(book: Book) -> None:
    rejected(book)
    request = book.ask("skip", book.delivery("m1"))
    book.ask("retry", book.delivery("m1"))
    assert refused(lambda: book.approve(request)) == "changed-meanwhile"
    assert book.row(t.command, t.command.c.id == request)["status"] == "refused"
    assert refused(lambda: book.approve(request)) == "request-decided"


@pytest.mark.rule("R13")
@pytest.mark.invariant("I2")
def test_an_attempt_after_the_request_overtakes_it_though_state_and_content_are_the_same(book: Book) -> None:
    """The party said "no effect"; then it was sent again, took effect, and the answer was lost: the old word must not count."""
    book.admit(prepared("m1"))
    worker, key = book.worker(), book.key_of("m1")
    busy = PartyTraits(party="p", resend=True, memory_s=1e6, settle_s=5.0, call_s=20.0, retry=RetryPolicy(budget=1))
    for _ in range(2):
        if book.key(key).held is not None:
            request = book.ask("settle", book.delivery("m1"), state="unknown", took_effect=False, traits=busy)
            book.ask("retry", book.delivery("m1"), state="unknown", traits=busy)
        claim = book.claim_one(worker, key, busy)
        book.write(worker, (claim, Unknown(code="timeout")), traits=busy)
        [again] = book.claim(worker, key, traits=busy).claimed
        book.write(worker, (again, RetryLater(code="busy")), traits=busy)
        assert book.key(key).held is Hold.UNKNOWN
        book.now += busy.open_s + 1
        book.renew(worker)
    assert refused(lambda: book.approve(request, traits=busy)) == "changed-meanwhile"
    assert book.delivery("m1").state is State.UNKNOWN


def test_a_request_expires_and_may_be_taken_back_or_refused(book: Book) -> None:
    rejected(book)
    row = book.delivery("m1")
    late, mine, theirs = (book.ask("skip", row, request_s=60.0) for _ in range(3))
    book.approve(mine, "operator-a", approve=False)
    book.approve(theirs, "operator-b", approve=False)
    book.now += 61
    assert refused(lambda: book.approve(late)) == "request-expired"
    status = {each["id"]: each["status"] for each in book.rows(t.command)}
    assert status == {late: "expired", mine: "withdrawn", theirs: "refused"}
    assert refused(lambda: book.approve("none", digest=b"none")) == "request-unknown"
    assert book.delivery("m1").state is State.QUEUED
