"""The checks of the door: every bad input has its own error, names rule and place, and repeats no value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import InputRefused
from gateway.intake.prepare import Preparer
from gateway.intake.submission import Sender
from gateway.ledger.prepared import PreparedDelivery
from gateway.policy.routes import tables
from gateway.security.blind import BlindIndex, ContentMac
from gateway.security.keys import KeyStore
from gateway.security.sealing import Sealer
from message_formats import reading, samples
from tests.intake.kit import NAMESPACE, OTHER, REGISTER, TYPE, preparer, refusal, submission, xml

GOOD = xml()
BAD: dict[str, tuple[bytes, str]] = {
    "malformed XML": (GOOD[:-3], "malformed-xml"),
    "empty": (b"", "malformed-xml"),
    "not UTF-8": (GOOD.replace("世帯主".encode(), b"\xff\xfe"), "malformed-xml"),
    "wrong namespace": (GOOD.replace(NAMESPACE.encode(), b"urn:example:other"), "wrong-namespace"),
    "no namespace": (GOOD.replace(b' xmlns="' + NAMESPACE.encode() + b'"', b""), "wrong-namespace"),
    "wrong root": (GOOD.replace(b"IdentityInformationUpdate", b"IdentityInformation"), "wrong-root"),
    "DTD": (b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/hostname">]>' + GOOD, "dtd-forbidden"),
    "comment": (GOOD.replace("世帯主".encode(), "世帯<!-- -->主".encode()), "comment-forbidden"),
    "too large": (GOOD + b" " * 70_000, "too-large"),
    "invalid number": (GOOD.replace(b"999900000011", b"999900000012"), "invalid-number"),
    "item missing": (GOOD.replace(b"<sex>2</sex>", b""), "item-missing"),
    "item unknown": (GOOD.replace(b"<sex>2</sex>", b"<sex>2</sex><religion>x</religion>"), "item-unexpected"),
}


@pytest.fixture
def keys(tmp_path: Path) -> KeyStore:
    return KeyStore(tmp_path / "keys").ensure()


@pytest.fixture
def ready(keys: KeyStore) -> Preparer:
    return preparer(keys)


def refused(ready: Preparer, data: bytes, **changes: Any) -> InputRefused:
    with pytest.raises(InputRefused) as e:
        ready.prepare(submission(data, **changes))
    return e.value


@pytest.mark.invariant("I10")
@pytest.mark.invariant("I5")
@pytest.mark.parametrize("name", sorted(BAD))
@pytest.mark.control("C-2-5-8")
def test_bad_content_has_its_own_error_without_a_value(ready: Preparer, name: str) -> None:
    data, code = BAD[name]
    error = refused(ready, data)
    assert error.code == code
    assert error.rule
    assert error.place
    for value in samples.identity_items().values():
        assert value is None or len(value) < 3 or value not in f"{error} {error.rule} {error.place}"


@pytest.mark.invariant("I10")
@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"type": "no-such-type"}, "unknown-type"),
        ({"type": "move-in-notice"}, "not-permitted"),
        ({"type": "identity-update-result"}, "not-permitted"),
        ({"system": OTHER}, "not-permitted"),
        ({"system": "nobody"}, "unknown-sender"),
        ({"door": "file"}, "door-closed"),
        ({"type": "destination-information", "door": "amqp"}, "ephemeral-by-queue"),
        ({"type": "destination-information"}, "wrong-namespace"),
        ({"type": "identity-information-notice"}, "not-permitted"),
        ({"source": "urn:renkei:system:certificate-issuance-system"}, "source-mismatch"),
        ({"source": "//city.example/tax-system#x"}, "source-mismatch"),
        ({"schema": "urn:renkei:format:identity-information-update:2"}, "unknown-schema"),
    ],
)
def test_bad_attributes_have_their_own_error(ready: Preparer, changes: dict[str, Any], code: str) -> None:
    assert refused(ready, GOOD, **changes).code == code


@pytest.mark.control("C-2-3-2")
@pytest.mark.parametrize("system", sorted(tables().systems - {REGISTER}))
def test_no_configuration_lets_another_system_use_the_city_cs(keys: KeyStore, system: str) -> None:
    from gateway.intake.submission import Sender

    ready = preparer(keys, senders={system: Sender(system=system, peer=system, types=frozenset({TYPE}))})
    assert refused(ready, GOOD, system=system, source="/x").code == "not-permitted"


def test_the_size_is_looked_at_first_and_the_type_before_the_sender(ready: Preparer) -> None:
    assert refused(ready, b"x" * 70_000, type="no-such-type", system="nobody").code == "too-large"
    assert refused(ready, b"<", type="no-such-type", system="nobody").code == "unknown-type"
    assert refused(ready, b"<", system=OTHER).code == "not-permitted"


def test_a_source_may_name_the_sender_or_nobody(ready: Preparer) -> None:
    for source in (f"urn:renkei:system:{REGISTER}", f"//city.example/{REGISTER}/counter-3", "/anything"):
        assert ready.prepare(submission(GOOD, source=source)).system == REGISTER


@pytest.mark.invariant("I5")
def test_what_is_prepared_is_sealed_and_blind(ready: Preparer, keys: KeyStore) -> None:
    sent = submission(GOOD, operator="staff-0042", terminal="T1", corrects="old-1")
    made = ready.prepare(sent)
    (delivery,) = made.deliveries
    assert (made.system, made.source_id, made.type, made.schema, made.door) == (REGISTER, sent.attributes.id, TYPE, NAMESPACE, "https")
    assert (made.operator, made.terminal, made.corrects) == ("staff-0042", "T1", "old-1")
    assert (delivery.party, delivery.stream, delivery.lane, delivery.waits_for) == ("city-cs", "identity", "live", None)
    assert delivery.party_key == "SAMPLE0000000001"
    items = samples.identity_items()
    blind = BlindIndex.current(keys)
    assert made.hmac_key_id == blind.key_id
    code, number = items["resident_record_code"], items["individual_number"]
    assert code is not None
    assert number is not None
    assert made.identifiers == (
        ("resident-record-code", blind.of("resident-record-code", code)),
        ("individual-number", blind.of("individual-number", number)),
    )
    sealed = delivery.sealed
    content = Sealer(keys).unseal(
        sealed.sealed, wrapped=sealed.wrapped, kek_id=sealed.kek_id, message_id=made.message_id, message_type=TYPE, party="city-cs"
    )
    assert content == GOOD
    assert delivery.content_digest == ContentMac.current(keys).of(content)
    assert number not in repr(made)
    assert number not in repr(sent)


@pytest.mark.rule("R17")
def test_the_identity_of_the_content_is_type_schema_and_data_and_nothing_else(ready: Preparer) -> None:
    first = ready.prepare(submission(GOOD, time="2026-11-03T00:00:00Z"))
    again = ready.prepare(submission(GOOD, time="2026-11-04T00:00:00Z", operator="staff-1"))
    other = ready.prepare(submission(xml(sex="1")))
    assert first.content_mac == again.content_mac
    assert first.message_id != again.message_id
    assert first.content_mac != other.content_mac


ALL = frozenset({"city-cs", "prefecture-server", "card-management-system"})


@pytest.mark.rule("R3")
@pytest.mark.flow("F2-1")
def test_one_delivery_for_each_party_each_sealed_for_itself(keys: KeyStore) -> None:
    """The prefecture's is the notice that is made of the update, sealed as such, and waits until the city CS has the update."""
    made = preparer(keys, parties=ALL).prepare(submission(GOOD))
    update, notice = made.deliveries
    assert [(d.party, d.waits_for, d.way) for d in made.deliveries] == [
        ("city-cs", None, None), ("prefecture-server", "city-cs", "identity-information-notice city-cs prefecture-server"),
    ]  # fmt: skip
    assert update.sealed.key_id != notice.sealed.key_id
    assert notice.party_key is None
    assert notice.terms is not None
    assert "identity-information-notice:city-cs:prefecture-server" in notice.terms.text
    opened = opened_by(keys, notice, made.message_id, "identity-information-notice")
    items, given = reading.read(opened, expected="identity-information-notice").items, reading.read(GOOD).items
    assert {name: items[name] for name in ("resident_record_code", "name", "address", "change_reason")} == {
        "resident_record_code": given["resident_record_code"], "name": given["name_kanji"], "address": given["address"],
        "change_reason": given["change_reason"],
    }  # fmt: skip
    assert b"relationship" not in opened


def opened_by(keys: KeyStore, delivery: PreparedDelivery, message_id: str, message_type: str) -> bytes:
    sealed = delivery.sealed
    return Sealer(keys).unseal(
        sealed.sealed, wrapped=sealed.wrapped, kek_id=sealed.kek_id, message_id=message_id, message_type=message_type, party=delivery.party
    )


@pytest.mark.control("C-3-5-6")
@pytest.mark.flow("F2-7")
def test_destination_information_is_sealed_to_the_byte_as_it_came(keys: KeyStore) -> None:
    plain = samples.message("destination-information", 1).to_bytes()
    odd = plain.replace(b">", b"\n  >", 1).replace("見本".encode(), "&#x898B;<![CDATA[本]]>".encode())
    ready = preparer(keys, parties=ALL)
    made = ready.prepare(submission(b'<?xml version="1.0" encoding="UTF-8"?>\n' + odd, type="destination-information"))
    assert [(d.party, d.waits_for) for d in made.deliveries] == [("city-cs", None), ("card-management-system", "city-cs")]
    for delivery in made.deliveries:
        assert opened_by(keys, delivery, made.message_id, "destination-information") == odd


@pytest.mark.flow("F1-1")
@pytest.mark.invariant("I10")
def test_the_municipality_at_the_other_end_is_named_where_a_type_needs_it_and_nowhere_else(keys: KeyStore) -> None:
    register = Sender(system=REGISTER, peer=REGISTER, types=frozenset({TYPE, "move-in-notice"}))
    ready = preparer(keys, parties=ALL, senders={REGISTER: register})
    notice = samples.message("move-in-notice", 1).to_bytes()
    error = refused(ready, notice, type="move-in-notice")
    assert (error.code, error.place) == ("missing-attribute", "attribute municipality")
    assert refused(ready, GOOD, municipality="131016").code == "unknown-attribute"
    one, other = (ready.prepare(submission(notice, type="move-in-notice", municipality=code)) for code in ("131016", "131024"))
    assert one.municipality == "131016"
    assert [(d.party, d.way) for d in one.deliveries] == [("city-cs", "move-in-notice resident-record-system other-municipality-cs")]
    assert one.content_mac != other.content_mac, "the same notice to another municipality is another message (R17)"


@pytest.mark.invariant("I4")
@pytest.mark.flow("F3-1")
@pytest.mark.flow("F2-1")
def test_the_sender_may_ask_for_the_bulk_lane_where_the_type_permits_it(keys: KeyStore) -> None:
    register = Sender(system=REGISTER, peer=REGISTER, types=frozenset({TYPE, "move-in-notice", "individual-number-generation-request"}))
    ready = preparer(keys, parties=ALL, senders={REGISTER: register})
    assert {d.lane for d in ready.prepare(submission(GOOD)).deliveries} == {"live"}
    made = ready.prepare(submission(GOOD, lane="bulk"))
    assert [(d.party, d.lane) for d in made.deliveries] == [("city-cs", "bulk"), ("prefecture-server", "bulk")]
    assert made.content_mac == ready.prepare(submission(GOOD)).content_mac, "by whatever lane, it is the same message (R17)"
    numbering = samples.message("individual-number-generation-request", 1).to_bytes()
    made = ready.prepare(submission(numbering, type="individual-number-generation-request", lane="bulk"))
    assert [d.lane for d in made.deliveries] == ["bulk"]
    notice = samples.message("move-in-notice", 1).to_bytes()
    error = refused(ready, notice, type="move-in-notice", municipality="131016", lane="bulk")
    assert (error.code, error.place) == ("lane-not-permitted", "attribute lane")


@given(st.binary(max_size=300) | st.integers(0, len(GOOD) - 1).map(lambda i: GOOD[:i] + b"\0" + GOOD[i + 1 :]))
@settings(max_examples=150, deadline=None)
def test_whatever_bytes_come_they_are_taken_or_refused(shared: Preparer, data: bytes) -> None:
    error = refusal(lambda: shared.prepare(submission(data)))
    assert error is None or (error.code and error.rule)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Preparer:
    return preparer(KeyStore(tmp_path_factory.mktemp("keys") / "keys").ensure())
