"""Claims: one worker at a time, void when it no longer renews, taken back unsent, probed by one (R5, R6, R8, R12)."""

from __future__ import annotations

import pytest

from gateway.contract import Delivered, Effect, PartyDown, QueryAnswer, Receipt, RetryLater, Unknown
from gateway.delivery.rows import Hold, PartyTraits, State
from gateway.ledger import tables as t
from gateway.ledger.claims import TakeBack
from gateway.ledger.housekeeping import EndProcess, MarkRung, PauseParty, RenewProcess
from gateway.ledger.lookup import due_keys, process_lives, void_keys
from gateway.ledger.outcomes import Learned, WriteOutcomes
from tests.ledger.kit import TRAITS, Book, prepared, to

OK = Delivered(receipt=Receipt(code="ok", body=b""))
ASKED = PartyTraits(party="p", queries=True, settle_s=5.0, call_s=20.0)
"""Answers queries and does not drop duplicates."""


@pytest.mark.rule("R5")
def test_a_claim_marks_the_head_sending_in_the_same_commit(book: Book) -> None:
    book.admit(prepared("m1", to(content="text")), prepared("m2"))
    worker, key = book.worker(), book.key_of("m1")
    claim = book.claim_one(worker, key)
    row = book.delivery("m1")
    assert (row.state, row.attempts) == (State.SENDING, 1)
    assert row.call_deadline == book.now + 2 + TRAITS.call_s
    assert (book.key(key).claim_worker, book.key(key).claim_epoch) == (worker, 1)
    assert (claim.sealed, claim.wrapped, claim.kek_id, claim.message_type) == (
        b"sealed text",
        b"wrapped text",
        "kek",
        "identity-information-update",
    )
    assert not claim.resent
    assert book.delivery("m2").state is State.QUEUED


@pytest.mark.rule("R15")
def test_a_late_or_double_bell_changes_nothing(book: Book) -> None:
    book.admit(prepared("m1"))
    first, second, key = book.worker(), book.worker(), book.key_of("m1")
    book.claim_one(first, key)
    before = book.key(key)
    assert not book.claim(second, key).claimed
    assert not book.claim(first, key, "no-such-key").claimed
    assert book.key(key) == before
    assert before.due_at == book.now  # claiming leaves due_at as it is (R6)


@pytest.mark.rule("R6")
@pytest.mark.rule("R8")
def test_a_claim_is_void_when_its_worker_has_not_renewed_for_three_seconds(book: Book) -> None:
    book.admit(prepared("m1"))
    frozen, other, key = book.worker(), book.worker(), book.key_of("m1")
    book.claim_one(frozen, key)
    book.now += 2.9
    book.renew(other)
    assert not book.claim(other, key).claimed
    book.now += 0.2
    book.renew(other)
    with book.reading() as connection:
        assert [each.id for each in void_keys(connection, "p", book.now, 10)] == [key]
        assert not process_lives(connection, frozen, book.now)
    again = book.claim_one(other, key)
    row = book.delivery("m1")
    assert again.epoch == 2
    assert again.resent
    assert again.call_cap == 1  # R8: sent alone
    assert row.crashes == 1
    assert row.unanswered
    assert row.open_at(book.now)


@pytest.mark.rule("R6")
def test_a_worker_that_was_seen_to_end_is_void_at_once(book: Book) -> None:
    book.admit(prepared("m1"), prepared("m2", who=2))
    first, second, other = book.worker(), book.worker(), book.worker()
    book.claim_one(first, book.key_of("m1"))
    book.claim_one(second, book.key_of("m2"))
    book.do(RenewProcess(id=first, end=True))
    assert book.claim_one(other, book.key_of("m1")).resent
    book.do(EndProcess(host="test", pid=1))
    assert not book.do(RenewProcess(id=second)), "an ended registration does not come back"
    assert book.claim(book.worker(), book.key_of("m2")).claimed


@pytest.mark.rule("R8")
def test_three_takeovers_hold_the_key(book: Book) -> None:
    book.admit(prepared("m1"))
    key = book.key_of("m1")
    for _ in range(3):
        worker = book.worker()
        book.claim_one(worker, key)
        book.do(RenewProcess(id=worker, end=True))
    assert not book.claim(book.worker(), key).claimed
    assert book.key(key).held is Hold.CRASHES
    assert book.key(key).due_at is None
    assert book.record("held")


@pytest.mark.rule("R8")
@pytest.mark.rule("R9")
def test_what_was_sending_is_asked_about_only_after_it_has_settled(book: Book) -> None:
    book.admit(prepared("m1"))
    worker, key = book.worker(), book.key_of("m1")
    book.claim_one(worker, key, ASKED)
    started = book.now
    book.do(RenewProcess(id=worker, end=True))
    other = book.worker()
    assert not book.claim(other, key, traits=ASKED).claimed
    settled = started + 2 + ASKED.call_s + ASKED.settle_s
    assert book.key(key).due_at == settled
    book.now = settled
    book.renew(other)
    [claim] = book.claim(other, key, traits=ASKED).claimed
    assert claim.query
    book.write(other, (claim, QueryAnswer(effect=Effect.NO_EFFECT)), traits=ASKED)
    assert book.delivery("m1").state is State.QUEUED
    assert not book.delivery("m1").unanswered


@pytest.mark.rule("R5")
def test_taken_back_unsent_it_is_what_it_was(book: Book) -> None:
    book.admit(prepared("m1"))
    worker, key = book.worker(), book.key_of("m1")
    bells = book.do(TakeBack(worker=worker, claims=[book.claim_one(worker, key)]))
    assert [bell.key_id for bell in bells] == [key]
    row = book.delivery("m1")
    assert (row.state, row.attempts, row.unanswered) == (State.QUEUED, 0, False)
    first = book.claim_one(worker, key)
    book.write(worker, (first, Unknown(code="timeout")))
    book.do(TakeBack(worker=worker, claims=[book.claim_one(worker, key)]))
    assert book.delivery("m1").state is State.UNKNOWN
    assert not book.do(TakeBack(worker=worker, claims=[first])), "an old claim takes nothing back"


@pytest.mark.rule("R12")
def test_an_open_breaker_lets_one_probe_through(book: Book) -> None:
    book.admit(prepared("m1"), prepared("m2", who=2), prepared("m3", who=3))
    one, two = book.worker(), book.worker()
    keys = [book.key_of(m) for m in ("m1", "m2", "m3")]
    for _ in range(TRAITS.breaker_failures):
        [claim] = book.claim(one, keys[0]).claimed
        result = book.write(one, (claim, PartyDown(code="refused")))
        book.now += 2
        book.renew(one, two)
    assert result.breaker_open
    assert book.delivery("m1").spent == 0  # the party's failure, not this message's
    row = book.row(t.party_state, t.party_state.c.party == "p")
    assert row["breaker"] == "open"
    closed = book.claim(one, *keys)
    assert closed.breaker_open
    assert not closed.claimed
    book.now = max(book.now, row["probe_at"] + 1)
    book.renew(one, two)
    [probe] = book.claim(one, *keys, probe=True).claimed
    assert not book.claim(two, *keys, probe=True).claimed
    book.write(one, (probe, OK))
    assert book.row(t.party_state, t.party_state.c.party == "p")["breaker"] == "closed"
    assert book.claim(two, *keys).claimed


def opened(book: Book, traits: PartyTraits = TRAITS) -> str:
    """Open the breaker with the first message; returns a live worker at the time of the probe."""
    worker = book.worker()
    while not book.claim(worker, "none", traits=traits).breaker_open:
        [claim] = book.claim(worker, book.key_of("m1"), traits=traits).claimed
        book.write(worker, (claim, PartyDown(code="down")), traits=traits)
        book.now += 2
        book.renew(worker)
    book.now += 5
    book.renew(worker)
    return worker


@pytest.mark.rule("R12")
def test_a_probe_whose_worker_died_is_taken_by_another(book: Book) -> None:
    book.admit(prepared("m1"), prepared("m2", who=2))
    dead = opened(book)
    assert book.claim(dead, book.key_of("m1"), probe=True).claimed
    book.do(RenewProcess(id=dead, end=True))
    assert book.claim(book.worker(), book.key_of("m2"), probe=True).claimed


@pytest.mark.rule("R12")
def test_a_probe_that_was_taken_back_leaves_room_for_the_next(book: Book) -> None:
    book.admit(prepared("m1"), prepared("m2", who=2))
    slow = opened(book)
    [claim] = book.claim(slow, book.key_of("m1"), probe=True).claimed
    book.do(TakeBack(worker=slow, claims=[claim]))
    assert book.claim(book.worker(), book.key_of("m2"), probe=True).claimed


@pytest.mark.rule("R12")
@pytest.mark.parametrize(("effect", "breaker"), [(Effect.NO_EFFECT, "closed"), (Effect.TOOK_EFFECT, "closed"), (Effect.NOT_KNOWN, "open")])
def test_a_query_that_is_the_probe_ends_the_probe(book: Book, effect: Effect, breaker: str) -> None:
    book.admit(prepared("m0", who=9), prepared("m1"))
    worker = book.worker()
    lost = book.claim_one(worker, book.key_of("m0"), ASKED)
    book.write(worker, (lost, Unknown(code="timeout")), traits=ASKED)
    worker = opened(book, ASKED)
    book.now += ASKED.open_s
    book.renew(worker)
    [claim] = book.claim(worker, book.key_of("m0"), traits=ASKED, probe=True).claimed
    assert claim.query
    book.write(worker, (claim, QueryAnswer(effect=effect)), traits=ASKED)
    assert book.row(t.party_state, t.party_state.c.party == "p")["breaker"] == breaker


def test_a_paused_party_is_neither_claimed_nor_probed(book: Book) -> None:
    book.admit(prepared("m1"))
    book.do(PauseParty(party="p", actor="operator-a", paused=True, reason="works"))
    worker, key = book.worker(), book.key_of("m1")
    assert book.claim(worker, key).breaker_open
    assert book.claim(worker, key, probe=True).breaker_open
    book.do(PauseParty(party="p", actor="operator-a", paused=False, reason="done"))
    assert book.claim(worker, key).claimed


@pytest.mark.rule("R11")
def test_a_call_holds_a_resident_once(book: Book) -> None:
    book.admit(prepared("m1", to(stream="s")), prepared("m2", to(stream="other")), prepared("m3", who=2))
    keys = [book.key_of(m) for m in ("m1", "m2", "m3")]
    result = book.claim(book.worker(), *keys)
    assert [c.key_id for c in result.claimed] == [keys[0], keys[2]]
    assert [bell.key_id for bell in result.bells] == [keys[1]]
    assert book.claim(book.worker(), keys[1]).claimed


def test_a_key_of_another_party_is_not_claimed(book: Book) -> None:
    book.admit(prepared("m1", to("q")))
    assert not book.claim(book.worker(), book.key_of("m1", "q")).claimed


@pytest.mark.rule("R21")
def test_a_step_of_the_clock_strands_nobody(book: Book) -> None:
    book.admit(prepared("m1"))
    key = book.key_of("m1")
    book.now -= 7 * 24 * 3600
    with book.reading() as connection:
        assert [each.id for each in due_keys(connection, "p", book.now, TRAITS.horizon_s, 10)] == [key]
    assert book.claim(book.worker(), key).claimed


@pytest.mark.rule("R15")
def test_the_look_up_finds_live_before_bulk_and_the_oldest_first(book: Book) -> None:
    book.admit(prepared("b", to(lane="bulk"), who=1))
    book.now += 1
    book.admit(prepared("l2", who=2))
    book.now += 1
    book.admit(prepared("l3", who=3), prepared("q", to("q"), who=4))
    with book.reading() as connection:
        found = [each.id for each in due_keys(connection, "p", book.now, TRAITS.horizon_s, 10)]
        assert found == [book.key_of(m) for m in ("l2", "l3", "b")]
        assert [each.id for each in due_keys(connection, "p", book.now, TRAITS.horizon_s, 1)] == found[:1]
        assert not due_keys(connection, "p", book.now - 10, TRAITS.horizon_s, 10)


@pytest.mark.rule("R15")
def test_ringing_is_remembered(book: Book) -> None:
    book.admit(prepared("m1"))
    key = book.key_of("m1")
    book.now += 30
    [bell] = book.do(MarkRung(keys=[key, "gone"]))
    assert bell.key_id == key
    row = book.key(key)
    assert (row.rung_at, row.rings) == (book.now, 2)
    worker = book.worker()
    book.write(worker, (book.claim_one(worker, key), OK))
    assert not book.do(MarkRung(keys=[key])), "nothing is due there any more"


@pytest.mark.rule("R15")
def test_how_often_a_key_was_rung_counts_from_its_last_claim(book: Book) -> None:
    """Else a bell that is lost late in the life of a resident would not be missed for a minute."""
    for number in range(12):
        book.admit(prepared(f"m{number}", content=f"text {number}"))
        worker, key = book.worker(), book.key_of("m0")
        assert book.key(key).rings == 1
        claim = book.claim_one(worker, key)
        assert book.key(key).rings == 0
        book.write(worker, (claim, OK))


@pytest.mark.rule("R12")
@pytest.mark.parametrize(("spends", "spent"), [(False, 0), (True, 1)])
def test_a_failure_of_our_own_says_nothing_of_the_party(book: Book, spends: bool, spent: int) -> None:
    book.admit(prepared("m1"), prepared("m2", who=2))
    worker = opened(book)
    row = book.row(t.party_state, t.party_state.c.party == "p")
    [claim] = book.claim(worker, book.key_of("m2"), probe=True).claimed
    ours = Learned(claim=claim, answer=RetryLater(code="token-unreachable"), ours=True, spends=spends)
    book.do(WriteOutcomes(worker=worker, party="p", learned=[ours], traits=TRAITS, go_on=False))
    after = book.row(t.party_state, t.party_state.c.party == "p")
    assert after["breaker"] == "open", "no answer of the party: its breaker does not close"
    assert (after["failures"], after["answered_at"]) == (row["failures"], row["answered_at"]), "and no failure of it either"
    found = book.delivery("m2")
    assert (found.state, found.spent, found.reason) == (State.QUEUED, spent, "token-unreachable")
    assert book.claim(worker, book.key_of("m1"), probe=True).claimed, "the next one may probe at once"


@pytest.mark.rule("R12")
def test_a_payload_that_never_opens_is_held_in_the_end_while_the_party_is_well(book: Book) -> None:
    book.admit(prepared("m1"))
    worker = book.worker()
    for _ in range(TRAITS.retry.budget):
        claim = book.claim_one(worker, book.key_of("m1"))
        broken = Learned(claim=claim, answer=RetryLater(code="seal-broken"), ours=True)
        book.do(WriteOutcomes(worker=worker, party="p", learned=[broken], traits=TRAITS, go_on=False))
        book.now += TRAITS.retry.longest_s
        book.renew(worker)
    assert book.key(book.key_of("m1")).held is not None
    assert not book.rows(t.party_state, t.party_state.c.failures > 0)
    assert not book.rows(t.party_state, t.party_state.c.answered_at.is_not(None))
