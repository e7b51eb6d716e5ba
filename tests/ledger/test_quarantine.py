"""What was refused at a door is kept, sealed, for the operator (I10), unless the consumer was replaced (R16)."""

from __future__ import annotations

import pytest

from gateway.ids import new_id
from gateway.ledger import tables as t
from gateway.ledger.housekeeping import ClaimIntake, Quarantine
from gateway.ledger.prepared import IntakeEpochLost
from tests.ledger.kit import REGISTER, Book, prepared, sealed


def quarantine(**more: object) -> Quarantine:
    values = {
        "system": REGISTER, "door": "amqp", "code": "malformed-xml", "rule": "xml", "place": "line 3 column 7", "size_bytes": 12,
        "quarantine_id": new_id(), "sealed": sealed("<broken"), "source_id": "m1", "type": "identity-information-update",
    }  # fmt: skip
    return Quarantine(**{**values, **more})  # type: ignore[arg-type]


@pytest.mark.invariant("I10")
@pytest.mark.invariant("I7")
def test_a_refused_message_is_kept_sealed_and_the_refusal_is_on_record(book: Book) -> None:
    operation = quarantine()
    assert book.do(operation) == operation.quarantine_id
    row = book.row(t.quarantine)
    assert (row["code"], row["place"], row["size_bytes"]) == ("malformed-xml", "line 3 column 7", 12)
    body = book.row(t.payload, t.payload.c.id == row["payload_id"])
    assert (body["kind"], body["sealed"]) == ("quarantine", b"sealed <broken")
    assert book.row(t.data_key)["message_id"] == operation.quarantine_id
    [entry] = book.record("refused")
    assert operation.quarantine_id in entry["detail"]


def test_what_was_too_large_to_keep_is_kept_without_its_body(book: Book) -> None:
    book.do(quarantine(sealed=None, size_bytes=1 << 30))
    assert book.row(t.quarantine)["payload_id"] is None
    assert not book.rows(t.payload)


@pytest.mark.rule("R16")
def test_a_consumer_that_was_replaced_quarantines_nothing(book: Book) -> None:
    old = book.do(ClaimIntake(system=REGISTER, worker="w1"))
    book.do(quarantine(intake=(REGISTER, "w1", old)))
    book.do(ClaimIntake(system=REGISTER, worker="w2"))
    with pytest.raises(IntakeEpochLost):
        book.do(quarantine(intake=(REGISTER, "w1", old)))
    assert len(book.rows(t.quarantine)) == 1


def test_what_was_quarantined_may_be_handed_in_again_put_right(book: Book) -> None:
    book.do(quarantine())
    [admitted] = book.admit(prepared("m1"))
    assert admitted.refusal is None
