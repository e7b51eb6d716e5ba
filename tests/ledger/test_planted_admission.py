"""Planted bugs of admission, convicted by what the sender was told and what the ledger holds. Each is planted from outside the code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import select

from gateway.delivery.rows import DeliveryRow, KeyRow
from gateway.ids import new_id
from gateway.ledger import admitting
from gateway.ledger import admitting as module
from gateway.ledger import tables as t
from gateway.ledger.admitting import AdmissionWork
from gateway.ledger.bells import Bell
from gateway.ledger.housekeeping import ClaimIntake, Quarantine
from gateway.ledger.prepared import IntakeEpochLost, PreparedMessage
from gateway.ledger.unit import Unit
from tests.ledger.kit import REGISTER, Book, prepared, sealed


class Violation(AssertionError):
    """What a sender was told does not agree with what the ledger holds."""


def verdict(book: Book, accepted: Sequence[str], told_refused: Sequence[str] = ()) -> None:
    """Accepted is there once, in its own place; refused is not there; numbers have no gap and none is given twice."""
    there = sorted(row["source_id"] for row in book.rows(t.message))
    if there != sorted(accepted):
        raise Violation(f"accepted {sorted(accepted)}, but there is {there}")
    if set(told_refused) & set(there):
        raise Violation("a message is admitted whose sender was told that it is refused")
    for key in book.rows(t.key_row):
        numbers = sorted(row["number"] for row in book.rows(t.delivery, t.delivery.c.key_id == key["id"]))
        if numbers != list(range(1, len(numbers) + 1)):
            raise Violation(f"numbers {numbers} of one resident")


bug = pytest.mark.parametrize("bug", [False, True], ids=["control", "bug"])


@pytest.mark.planted("intake without epoch")
@pytest.mark.rule("R16")
@bug
def test_intake_without_epoch(book: Book, monkeypatch: pytest.MonkeyPatch, bug: bool) -> None:
    """C1 freezes with a message in hand; C2 gets it again, quarantines it and tells the sender; C1 wakes and admits it."""
    if bug:
        monkeypatch.setattr(Unit, "holds_epoch", lambda _unit, _intake: True)
    first = book.do(ClaimIntake(system=REGISTER, worker="c1"))
    in_hand = prepared("m1")
    second = book.do(ClaimIntake(system=REGISTER, worker="c2"))
    book.do(
        Quarantine(
            system=REGISTER, door="amqp", code="kills-its-consumer", rule=None, place=None, size_bytes=1, quarantine_id=new_id(),
            sealed=sealed(), source_id="m1", intake=(REGISTER, "c2", second),
        )
    )  # fmt: skip
    accepted = []
    try:
        [admission] = book.admit(in_hand, intake=(REGISTER, "c1", first))
        accepted.append(admission.message_id)
    except IntakeEpochLost:
        assert not bug
    if bug:
        with pytest.raises(Violation, match="told that it is refused"):
            verdict(book, ["m1"], ["m1"])
    else:
        verdict(book, accepted, ["m1"])


@pytest.mark.planted("number from memory")
@pytest.mark.rule("R2")
@pytest.mark.invariant("I3")
@bug
def test_number_from_memory(book: Book, monkeypatch: pytest.MonkeyPatch, bug: bool) -> None:
    """Two processes, each with its own memory of the next number of a key: queue and HTTPS give the same number."""
    memories: dict[str, dict[str, int]] = {"queue": {}, "https": {}}
    process = "queue"
    original = module.append

    def from_memory(key: KeyRow, new: DeliveryRow, now: float, bells: list[Bell]) -> None:
        memory = memories[process]
        key.next_number = memory.setdefault(key.id, key.next_number)
        original(key, new, now, bells)
        memory[key.id] = key.next_number

    if bug:
        monkeypatch.setattr(module, "append", from_memory)
    ids = []
    for i, process in enumerate(["queue", "https", "queue", "https"]):  # noqa: B007
        book.admit(prepared(f"m{i}", who=1))
        ids.append(f"m{i}")
    if bug:
        with pytest.raises(Violation, match="numbers"):
            verdict(book, ids)
    else:
        verdict(book, ids)


@pytest.mark.planted("dedupe by content only")
@pytest.mark.rule("R17")
@pytest.mark.invariant("I1")
@bug
def test_dedupe_by_content_only(book: Book, monkeypatch: pytest.MonkeyPatch, bug: bool) -> None:
    """A resident moves away and back: the third message has the content of the first, and is another message."""
    original = AdmissionWork._load_seen

    def by_content(self: AdmissionWork, unit: Unit, messages: Sequence[PreparedMessage]) -> None:
        original(self, unit, messages)
        for message in messages:
            row: Any = unit.conn.execute(
                select(t.message).where(t.message.c.content_mac == message.content_mac, t.message.c.id != message.message_id)
            ).first()
            if row is not None:
                unit.conn.execute(t.message.delete().where(t.message.c.id == message.message_id))
                seen = admitting._Seen(row.id, bytes(row.content_mac), bytes(row.receipt), row.subject)
                self._seen[(message.system, message.source_id)] = seen

    if bug:
        monkeypatch.setattr(AdmissionWork, "_load_seen", by_content)
    accepted = []
    for source_id, content in (("m1", "address x"), ("m2", "address y"), ("m3", "address x")):
        [admission] = book.admit(prepared(source_id, content=content))
        assert admission.refusal is None
        accepted.append(source_id)
    if bug:
        with pytest.raises(Violation, match="accepted"):
            verdict(book, accepted)
    else:
        verdict(book, accepted)
