"""What the ledger does for inbound messages and dialogues, on both databases: replies that put off or stay away, whose message it is, the
record of a dialogue."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from sqlalchemy import select

from gateway.contract import Delivered, Pending, Receipt
from gateway.delivery.rows import Hold, State
from gateway.ledger import tables as t
from gateway.ledger.dialogues import ANSWERED, RecordDialogue, RecordLateAnswer
from gateway.ledger.housekeeping import RecordReply
from gateway.ledger.unit import MARKS, Unit
from gateway.policy.marks import PROTECTED
from gateway.policy.rights import StalePolicy, Terms, token
from tests.ledger.kit import TRAITS, Book, person, prepared, to


def reply(correlation: str, kind: str) -> RecordReply:
    return RecordReply(party="p", correlation=correlation, kind=kind, code=kind, actor="p", digest="d" * 64)


def pend(book: Book, worker: str, key: str, correlation: str, deadline_s: float = 60.0) -> None:
    book.write(worker, (book.claim_one(worker, key), Pending(correlation=correlation, deadline_s=deadline_s)))


@pytest.mark.rule("R14")
@pytest.mark.parametrize("order", ["pending-first", "reply-first"])
def test_a_reply_may_put_off_and_the_next_attempt_has_a_reply_of_its_own(book: Book, order: str) -> None:
    book.admit(prepared("m1"))
    worker, key = book.worker(), book.key_of("m1")
    claim = book.claim_one(worker, key)
    if order == "reply-first":
        book.do(reply("m1.1", "retry-later"))
    book.write(worker, (claim, Pending(correlation="m1.1", deadline_s=60)))
    if order == "pending-first":
        book.do(reply("m1.1", "retry-later"))
    book.claim(worker, key)
    row = book.delivery("m1")
    assert (row.state, row.reason, row.spent, row.correlation, row.unanswered) == (State.QUEUED, "retry-later", 1, None, False)
    assert book.key(key).due_at == row.not_before
    assert row.not_before is not None
    assert row.not_before > book.now
    book.now = row.not_before
    book.renew(worker)
    pend(book, worker, key, "m1.2")
    assert book.delivery("m1").state is State.AWAITING_REPLY, "what was said of the first attempt is not said of the second"
    book.do(reply("m1.1", "delivered"))
    assert book.delivery("m1").state is State.AWAITING_REPLY, "nor does it end the second, late as it is: that is evidence"
    book.do(reply("m1.2", "delivered"))
    book.claim(worker, key)
    assert book.delivery("m1").state is State.DELIVERED


@pytest.mark.rule("R14")
def test_one_who_is_put_off_too_often_is_held(book: Book) -> None:
    book.admit(prepared("m1"))
    worker, key = book.worker(), book.key_of("m1")
    for attempt in range(TRAITS.retry.budget):
        book.now = max(book.now, book.delivery("m1").not_before or 0.0)
        book.renew(worker)
        pend(book, worker, key, f"m1.{attempt}")
        book.do(reply(f"m1.{attempt}", "retry-later"))
        book.claim(worker, key)
    assert (book.key(key).held, book.delivery("m1").reason) == (Hold.BUDGET, "retry-later")


@pytest.mark.rule("R14")
@pytest.mark.rule("R18")
@pytest.mark.parametrize("others", [True, False], ids=["others-are-answered", "nobody-is"])
def test_acknowledgements_that_stay_away_spend_only_what_is_the_messages_own(book: Book, others: bool) -> None:
    """Sent again with the same id, less and less often; held in the end if others went through meanwhile, never if nobody did (R12)."""
    book.admit(prepared("m1"))
    worker, key = book.worker(), book.key_of("m1")
    sent = 0
    for attempt in range(TRAITS.retry.budget + 3):
        row = book.delivery("m1")
        if book.key(key).held is not None:
            break
        book.now = max(book.now + 1, row.not_before or 0.0)
        book.renew(worker)
        pend(book, worker, key, f"m1.{attempt}")
        sent += 1
        if others:
            book.now += 30
            book.renew(worker)
            other = f"other-{attempt}"
            book.admit(prepared(other, who=1000 + attempt))
            book.write(worker, (book.claim_one(worker, book.key_of(other)), Delivered(receipt=Receipt(code="ok", body=b""))))
        book.now += 61
        book.renew(worker)
        waiting = book.claim(worker, key)
        if waiting.claimed:  # the first is sent again at once
            book.write(worker, (waiting.claimed[0], Pending(correlation=f"again-{attempt}", deadline_s=1)))
            sent += 1
            book.now += 2
            book.renew(worker)
            book.claim(worker, key)
    assert sent > 2
    assert (book.key(key).held is Hold.UNKNOWN) == others
    assert (book.delivery("m1").spent == 0) == (not others)


def test_the_policy_is_asked_by_whose_message_it_is(book: Book) -> None:
    message = dataclasses.replace(prepared("m1", to("p")), system="city-cs", producer="j-lis")
    book.admit(message)
    [claim] = book.claim(book.worker(), book.key_of("m1")).claimed
    assert claim.system == "j-lis"


# ---- dialogues -----------------------------------------------------------------------------------------------------------------------


def dialogue(**changes: Any) -> RecordDialogue:
    values: dict[str, Any] = {
        "dialogue_id": "d1", "asked_by": "city-cs", "recipient": "other-municipality-cs", "responder": "resident-record-system",
        "message_type": "wide-area-certificate-data", "source_id": "s1", "outcome": ANSWERED, "standing": token(0, 0.0),
        "identifiers": person(7), "terms": Terms("t" * 32, "{}"), **changes,
    }  # fmt: skip
    return RecordDialogue(**values)


@dataclasses.dataclass(slots=True, kw_only=True)
class SetMark:
    """As the register's message would."""

    mark: str
    bulk: bool = False
    size: int = 1

    def plan(self, unit: Unit) -> None:
        """Nothing is needed."""

    def apply(self, unit: Unit) -> None:
        subject = unit.conn.execute(select(t.subject_alias.c.subject)).scalar_one()
        row = {"subject": subject, "mark": self.mark, "since": None, "until": None, "message_id": "m1", "at": unit.now}
        unit.insert_ignore(t.meta, [{"name": MARKS, "value": "1"}])
        unit.insert_ignore(t.person_mark, [row])

    def finish(self, unit: Unit) -> None:
        return None


@pytest.mark.invariant("I7")
@pytest.mark.invariant("I8")
def test_an_answer_is_recorded_only_by_what_counts_in_that_transaction(book: Book) -> None:
    book.admit(prepared("m1", who=7))
    with pytest.raises(StalePolicy):
        book.do(dialogue(standing=token(3, 0.0)))
    book.do(SetMark(mark="support-dv"))
    with pytest.raises(StalePolicy) as stale:
        book.do(dialogue())
    assert stale.value.marks == {"d1": frozenset({PROTECTED})}
    before = len(book.rows(t.provision))
    book.do(dialogue(outcome="answer-refused", code="protected", terms=None))
    refused = book.row(t.provision, t.provision.c.id == "d1")
    assert (refused["outcome"], refused["code"], refused["subject"] is not None) == ("refused", "protected", True)
    book.do(dialogue(dialogue_id="d2", identifiers=person(8)))
    assert book.row(t.provision, t.provision.c.id == "d2")["outcome"] == "provided"
    assert len(book.rows(t.provision)) == before + 2
    assert len(book.record("dialogue")) == 2


def test_a_late_answer_is_on_record(book: Book) -> None:
    book.do(RecordLateAnswer(system="resident-record-system", dialogue_id="d1", size_bytes=12))
    assert book.record("late-answer")
