"""Admission: once, in order, under the right person, and nothing of what was refused (R2, R16, R17)."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from gateway.delivery.rows import State
from gateway.ledger import tables as t
from gateway.ledger.admission import Admit
from gateway.ledger.housekeeping import ClaimIntake
from gateway.ledger.prepared import IntakeEpochLost
from tests.ledger.kit import REGISTER, Book, digest, person, prepared, to


@pytest.mark.rule("R17")
@pytest.mark.invariant("I2")
def test_the_same_message_gets_the_same_receipt_byte_for_byte(book: Book) -> None:
    [first] = book.admit(prepared("m1", to(party_key="k1")))
    book.now += 3600
    [again] = book.admit(prepared("m1", to(party_key="k1")))
    assert again.duplicate
    assert again.receipt == first.receipt
    assert again.message_id == first.message_id
    assert not book.bells
    assert len(book.rows(t.delivery)) == 1


@pytest.mark.rule("R17")
@pytest.mark.invariant("I10")
def test_the_same_id_with_other_content_is_refused_and_on_record(book: Book) -> None:
    book.admit(prepared("m1", content="one"))
    [second] = book.admit(prepared("m1", content="two"))
    assert second.refusal is not None
    assert second.refusal.code == "same-id-other-content"
    [entry] = book.record("refused")
    assert "same-id-other-content" in entry["detail"]
    [again] = book.admit(prepared("m1", content="one"))
    assert again.duplicate


@pytest.mark.rule("R17")
def test_the_same_message_twice_in_one_batch(book: Book) -> None:
    one, two, three = book.admit(
        prepared("m1", to(party_key="k1")), prepared("m1", to(party_key="k1")), prepared("m1", to(party_key="k1"), content="other")
    )
    assert not one.duplicate
    assert two.duplicate
    assert two.receipt == one.receipt
    assert three.refusal is not None
    assert len(book.rows(t.message)) == len(book.rows(t.delivery)) == 1


@pytest.mark.rule("R17")
def test_another_system_may_use_the_same_id(book: Book) -> None:
    book.admit(prepared("m1"), prepared("m1", system="certificate-issuance-system", who=2))
    assert len(book.rows(t.message)) == 2


@pytest.mark.rule("R17")
def test_a_batch_goes_on_after_a_refusal_with_the_same_id(book: Book) -> None:
    """The first of the two is refused for its party key; the second, of the same id, must not find the remains of the first."""
    book.admit(prepared("m0", to(party_key="used")))
    first, second = book.admit(prepared("m1", to(party_key="used")), prepared("m1", to(party_key="fresh"), content="other"))
    assert first.refusal is not None
    assert second.refusal is None
    assert book.delivery("m1").party_key == "fresh"


@pytest.mark.rule("R17")
def test_resubmitting_the_very_same_object_after_an_unknown_commit(book: Book) -> None:
    """A door that does not know whether its commit came through hands in the same prepared message again."""
    message = prepared("m1")
    [first] = book.admit(message)
    [again] = book.admit(message)
    assert again.duplicate
    assert again.receipt == first.receipt
    assert len(book.rows(t.delivery)) == 1


@pytest.mark.rule("R4")
def test_a_party_key_serves_one_delivery_only(book: Book) -> None:
    book.admit(prepared("m1", to(party_key="k1")))
    [second] = book.admit(prepared("m2", to(party_key="k1")))
    assert second.refusal is not None
    assert second.refusal.code == "party-key-reused"
    one, two = book.admit(prepared("m3", to(party_key="k3")), prepared("m4", to(party_key="k3")))
    assert one.refusal is None
    assert two.refusal is not None
    [elsewhere] = book.admit(prepared("m5", to("q", party_key="k1")))
    assert elsewhere.refusal is None


@pytest.mark.rule("R2")
@pytest.mark.rule("R1")
def test_numbers_of_a_resident_follow_each_other_and_each_stream_counts_for_itself(book: Book) -> None:
    book.admit(*(prepared(f"a{i}", who=1) for i in range(3)), prepared("b0", who=2), prepared("c0", to(stream="other"), who=1))
    book.admit(prepared("a3", who=1), prepared("q0", to("q"), who=1))
    numbers = {m: book.delivery(m).number for m in ("a0", "a1", "a2", "a3", "b0", "c0")}
    assert numbers == {"a0": 1, "a1": 2, "a2": 3, "a3": 4, "b0": 1, "c0": 1}
    assert book.delivery("q0", "q").number == 1
    assert book.key(book.key_of("a0")).next_number == 5


@pytest.mark.rule("R2")
def test_a_refused_message_takes_no_number(book: Book) -> None:
    book.admit(prepared("m1", to(party_key="k1")), prepared("m2", to(party_key="k1")), prepared("m3"))
    assert book.delivery("m3").number == 2


@pytest.mark.invariant("I3")
@pytest.mark.edge("F3-3", "old-code")
def test_a_changed_resident_record_code_moves_nobody(book: Book) -> None:
    number = ("individual-number", "9999-1")
    book.admit(prepared("m1", who=person(1, number)))
    book.admit(prepared("m2", who=person(77, number)))  # the code has changed, the number says who it is
    book.admit(prepared("m3", who=person(77)))  # from now on the new code alone is enough
    book.admit(prepared("m4", who=person(1)))
    assert {book.key_of(m) for m in ("m1", "m2", "m3", "m4")} == {book.key_of("m1")}
    assert [book.delivery(m).number for m in ("m1", "m2", "m3", "m4")] == [1, 2, 3, 4]


def test_an_identifier_that_is_known_stays_with_its_resident(book: Book) -> None:
    number = ("individual-number", "9999-1")
    book.admit(prepared("m1", who=person(1, number)), prepared("m2", who=person(2)))
    book.admit(prepared("m3", who=person(2, number)))  # a contradiction: the first identifier decides, nobody is moved
    assert book.key_of("m3") == book.key_of("m2")
    book.admit(prepared("m4", who=person(1, number)))
    assert book.key_of("m4") == book.key_of("m1")


@pytest.mark.control("C-1-3-3")
@pytest.mark.control("C-1-2-18")
@pytest.mark.parametrize("kind", ["resident-record-code", "atena-number", "residence-card-number"])
def test_each_of_these_identifiers_alone_finds_the_resident_and_nobody_else(book: Book, kind: str) -> None:
    everything = person(1, ("atena-number", "A1"), ("residence-card-number", "Z1"))
    [alone] = [identifier for identifier in everything if identifier[0] == kind]
    book.admit(prepared("m1", who=everything), prepared("m2", who=person(2, ("atena-number", "A2"), ("residence-card-number", "Z2"))))
    book.admit(prepared("m3", who=(alone,)))
    assert book.key_of("m3") == book.key_of("m1") != book.key_of("m2")


@pytest.mark.control("C-1-2-14")
@pytest.mark.edge("F3-2", "other-system")
def test_only_the_register_and_the_notice_of_the_number_change_the_number_of_a_known_resident(book: Book) -> None:
    old, new = ("individual-number", "9999-1"), ("individual-number", "9999-2")
    other = {"system": "tax-system", "type": "certificate-data"}
    book.admit(prepared("m1", who=person(1, old)))
    [same, unknown, first] = book.admit(
        prepared("m2", who=person(1, old), **other), prepared("m3", who=person(3, new), **other), prepared("m4", who=person(1), **other)
    )
    assert (same.refusal, unknown.refusal, first.refusal) == (None, None, None)
    for source_id, number in (("m5", ("individual-number", "9999-3")), ("m6", new)):  # nobody's, another's
        [changed] = book.admit(prepared(source_id, who=person(1, number), **other))
        assert changed.refusal is not None
        assert (changed.refusal.code, changed.refusal.rule) == ("number-change-forbidden", "C-1-3-3")
    [notice] = book.admit(prepared("m7", who=person(1, ("individual-number", "9999-3")), system="city-cs", type="individual-number-notice"))
    assert notice.refusal is None
    [register] = book.admit(prepared("m8", who=person(1, ("individual-number", "9999-4"))))
    assert register.refusal is None
    [renewed] = book.admit(prepared("m9", who=person(1, ("individual-number", "9999-4")), **other))
    assert renewed.refusal is None
    assert [book.key_of(m) for m in ("m2", "m7", "m8", "m9")] == [book.key_of("m1")] * 4


@pytest.mark.control("C-1-3-3")
@pytest.mark.flow("FS5-4")
def test_a_former_number_that_comes_late_is_refused_and_the_newest_counts(book: Book) -> None:
    old, new = ("individual-number", "9999-1"), ("individual-number", "9999-2")
    late = {"system": "internal-link-system", "type": "atena-linkage-update"}
    book.admit(prepared("m1", who=person(1, old)))
    [before] = book.admit(prepared("m2", who=person(1, old), **late))
    assert before.refusal is None
    changed, in_one_go = book.admit(prepared("m3", who=person(1, new)), prepared("m4", who=person(1, old), **late))
    assert changed.refusal is None
    assert in_one_go.refusal is not None
    [after] = book.admit(prepared("m5", who=person(1, old), **late))
    assert after.refusal is not None
    assert (after.refusal.code, after.refusal.rule) == ("number-change-forbidden", "C-1-3-3")
    [fits] = book.admit(prepared("m6", who=person(1, new), **late))
    [outside] = book.admit(prepared("m7", who=person(1, old), system="city-cs", type="move-in-notice", door="soap"))
    assert (fits.refusal, outside.refusal) == (None, None), "a notice may be older than the change"
    # the register takes its change back: the first one counts again
    [back] = book.admit(prepared("m8", who=person(1, old)))
    [again, wrong] = book.admit(prepared("m9", who=person(1, old), **late), prepared("m10", who=person(1, new), **late))
    assert (back.refusal, again.refusal) == (None, None)
    assert wrong.refusal is not None


@pytest.mark.control("C-1-3-3")
def test_two_numbers_for_one_new_resident_in_one_batch(book: Book) -> None:
    other = {"system": "tax-system", "type": "certificate-data"}
    one, two = book.admit(
        prepared("m1", who=person(1, ("individual-number", "9999-1")), **other),
        prepared("m2", who=person(1, ("individual-number", "9999-2")), **other),
    )
    assert one.refusal is None
    assert two.refusal is not None


def test_what_was_refused_does_not_say_who_is_who(book: Book) -> None:
    book.admit(prepared("m1", to(party_key="k1"), who=person(1)))
    number = ("individual-number", "9999-2")
    [refused] = book.admit(prepared("m2", to(party_key="k1"), who=person(1, number)))
    assert refused.refusal is not None
    book.admit(prepared("m3", who=person(2, number)))
    assert book.key_of("m3") != book.key_of("m1")
    assert len(book.rows(t.subject_alias)) == 3


def test_aliases_of_an_admitted_message_stay_beside_a_refused_one(book: Book) -> None:
    number = ("individual-number", "9999-1")
    book.admit(prepared("m0", to(party_key="k0"), who=9))
    book.admit(prepared("m1", to(party_key="k0"), who=person(1, number)), prepared("m2", who=person(1)))
    assert {bytes(row["blind"]) for row in book.rows(t.subject_alias)} == {digest("resident-record-code 999-9"), person(1)[0][1]}


@pytest.mark.rule("R1")
def test_a_message_without_a_person_has_a_key_of_its_own(book: Book) -> None:
    book.admit(prepared("m1", who=None), prepared("m2", who=None))
    assert book.key_of("m1") != book.key_of("m2")
    assert book.delivery("m1").number == book.delivery("m2").number == 1


@pytest.mark.rule("R15")
@pytest.mark.invariant("I4")
def test_what_is_live_behind_a_bulk_head_rings_live(book: Book) -> None:
    book.admit(prepared("m1", to(lane="bulk")))
    assert [bell.lane for bell in book.bells] == ["bulk"]
    book.admit(prepared("m2", to(lane="bulk")))
    assert not book.bells
    book.admit(prepared("m3", to(lane="live")))
    assert [bell.lane for bell in book.bells] == ["live"]


@pytest.mark.rule("R3")
def test_a_dependent_has_its_number_at_admission_and_waits_in_the_claim(book: Book) -> None:
    book.admit(prepared("m1", to("p"), to("q", waits_for="p")))
    waiting = book.delivery("m1", "q")
    assert waiting.number == 1
    assert waiting.waits_for == book.delivery("m1", "p").id
    assert book.key(waiting.key_id).due_at == book.now  # admission always sets it; whoever claims decides


# ---- the intake epoch ------------------------------------------------------------------------------------------------------------------


@pytest.mark.rule("R16")
def test_a_consumer_that_was_replaced_admits_nothing_and_leaves_no_trace(book: Book) -> None:
    first = book.do(ClaimIntake(system=REGISTER, worker="w1"))
    book.admit(prepared("m1"), intake=(REGISTER, "w1", first))
    second = book.do(ClaimIntake(system=REGISTER, worker="w2"))
    assert second == first + 1
    with pytest.raises(IntakeEpochLost):
        book.admit(prepared("m2", who=person(5)), intake=(REGISTER, "w1", first))
    assert len(book.rows(t.message)) == 1
    assert len(book.rows(t.subject_alias)) == 1
    # what the frozen one had in hand is admitted by the one that replaced it
    [admitted] = book.admit(prepared("m2", who=person(5)), intake=(REGISTER, "w2", second))
    assert admitted.refusal is None
    assert book.delivery("m2").state is State.QUEUED


@pytest.mark.rule("R16")
def test_one_group_with_and_without_the_epoch(book: Book) -> None:
    epoch = book.do(ClaimIntake(system=REGISTER, worker="w1"))
    lost, won = book.group(
        Admit(messages=[prepared("m1", content="by the old one")], intake=(REGISTER, "w0", epoch - 1)),
        Admit(messages=[prepared("m1", content="by the new one")], intake=(REGISTER, "w1", epoch)),
    )
    assert isinstance(lost, IntakeEpochLost)
    [admission], _ = won
    assert admission.refusal is None


@pytest.mark.rule("R16")
def test_without_any_claim_nobody_holds_the_epoch(book: Book) -> None:
    with pytest.raises(IntakeEpochLost):
        book.admit(prepared("m1"), intake=(REGISTER, "w1", 1))


def test_one_bad_message_of_a_batch_is_its_own_result(book: Book) -> None:
    book.admit(prepared("m0", to(party_key="k0")))
    results = book.admit(prepared("m1"), prepared("m2", to(party_key="k0")), prepared("m3"))
    assert [r.refusal is None for r in results] == [True, False, True]
    with book.reading() as connection:
        assert connection.execute(select(func.count()).select_from(t.payload)).scalar_one() == 3
