"""Identifiers: the worked examples of the domain, and properties of check digits and masks."""

from __future__ import annotations

import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from message_formats import samples
from message_formats.errors import FormatError
from message_formats.identifiers import (
    KINDS,
    AtenaNumber,
    CertificateSerial,
    CorporateNumber,
    HouseholdNumber,
    IndividualNumber,
    MunicipalityCode,
    RemainderOne,
    ResidenceCardNumber,
    ResidentRecordCode,
)


def test_worked_examples() -> None:
    assert IndividualNumber.check_digit("12345678901") == "8"
    assert ResidentRecordCode.check_digit("1234567890") == "3"
    assert MunicipalityCode.check_digit("27203") == "5"
    assert MunicipalityCode.check_digit("27000") == "8"
    assert CorporateNumber.check_digit("700110005901") == "8"
    assert CorporateNumber.check_digit("000020272035") == "6"
    assert AtenaNumber.check_digit("0000123") == "6"
    for kind, value in [
        (IndividualNumber, "123456789018"),
        (ResidentRecordCode, "12345678903"),
        (ResidentRecordCode, "24727059608"),
        (MunicipalityCode, "272035"),
        (MunicipalityCode, "270008"),
        (CorporateNumber, "8700110005901"),
        (CorporateNumber, "6000020272035"),
        (ResidenceCardNumber, "AB12345678CD"),
    ]:
        assert kind(value).value == value


@pytest.mark.parametrize(
    ("kind", "value", "code"),
    [
        (IndividualNumber, "123456789017", "check-digit"),
        (IndividualNumber, "12345678901", "value-pattern"),
        (IndividualNumber, "１２３４５６７８９０１８", "value-pattern"),
        (IndividualNumber, "123456789018\n", "value-pattern"),
        (ResidentRecordCode, "12345678904", "check-digit"),
        (MunicipalityCode, "999999", "check-digit"),
        (CorporateNumber, "0700110005901", "value-pattern"),
        (ResidenceCardNumber, "ab12345678CD", "value-pattern"),
        (CertificateSerial, "0", "value-pattern"),
        (CertificateSerial, str(2**159), "check-digit"),
    ],
)
def test_refusals_name_kind_and_rule_but_no_value(kind: type[IndividualNumber], value: str, code: str) -> None:
    with pytest.raises(FormatError) as caught:
        kind(value)
    assert caught.value.code == code
    assert value.strip() not in str(caught.value)
    assert kind.kind in str(caught.value)


def _single(kind: type[IndividualNumber], digits: str) -> bool:
    return kind.check(digits)


@given(st.integers(0, 10**11 - 1), st.integers(0, 11), st.integers(1, 9))
def test_individual_number_convicts_most_single_errors(base: int, place: int, shift: int) -> None:
    digits = f"{base:011d}"
    number = digits + IndividualNumber.check_digit(digits)
    assert IndividualNumber.check(number)
    wrong = number[:place] + str((int(number[place]) + shift) % 10) + number[place + 1 :]
    remainder = sum(int(d) * w for d, w in zip(digits, (6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2), strict=True)) % 11
    if place == 11 or remainder > 1:  # remainders 0 and 1 share the check digit 0: there the rule itself is blind
        wrong_base_remainder = sum(int(d) * w for d, w in zip(wrong, (6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 0), strict=True)) % 11
        assert place != 11 or not IndividualNumber.check(wrong)
        assert wrong_base_remainder != remainder or place == 11


@given(st.integers(0, 10**10 - 1))
def test_resident_record_code_has_one_check_digit(base: int) -> None:
    digits = f"{base:010d}"
    assert [last for last in "0123456789" if ResidentRecordCode.check(digits + last)] == [ResidentRecordCode.check_digit(digits)]


@given(st.integers(0, 10**12 - 1))
def test_corporate_number_has_one_check_digit(base: int) -> None:
    digits = f"{base:012d}"
    assert [first for first in "123456789" if CorporateNumber.check(first + digits)] == [CorporateNumber.check_digit(digits)]


@given(st.integers(0, 99_999))
def test_municipality_code_has_one_check_digit(base: int) -> None:
    digits = f"{base:05d}"
    assert [last for last in "0123456789" if MunicipalityCode.check(digits + last)] == [MunicipalityCode.check_digit(digits)]


@given(st.integers(0, 10**9))
def test_legacy_atena_numbers_pass_and_issued_ones_are_checked(serial: int) -> None:
    base = f"{serial:010d}"
    digit = AtenaNumber.check_digit(base)
    assert digit is not None
    assert AtenaNumber.issued(base + digit) == AtenaNumber(base + digit)
    wrong = base + str((int(digit) + 1) % 10)
    assert AtenaNumber(wrong).value == wrong
    with pytest.raises(FormatError):
        AtenaNumber.issued(wrong)


def test_remainder_one_is_a_policy() -> None:
    base = next(f"{serial:07d}" for serial in range(1000) if AtenaNumber.check_digit(f"{serial:07d}", RemainderOne.NOT_ISSUED) is None)
    assert AtenaNumber.check_digit(base) == "0"
    with pytest.raises(FormatError):
        AtenaNumber.issued(base + "0", RemainderOne.NOT_ISSUED)


@given(st.integers(0, 9_999_999))
def test_samples_are_valid_and_visibly_fictitious(serial: int) -> None:
    assert IndividualNumber(samples.individual_number(serial)).value.startswith("9999")
    assert ResidentRecordCode(samples.resident_record_code(serial)).value.startswith("999")
    assert MunicipalityCode(samples.municipality_code()).value.startswith("99")
    assert CorporateNumber(samples.corporate_number(serial))
    assert AtenaNumber.issued(samples.atena_number(serial))
    assert ResidenceCardNumber(samples.residence_card_number(serial))
    assert CertificateSerial(samples.certificate_serial(serial))


@pytest.mark.invariant("I5")
def test_identifiers_hide_themselves_and_kinds_never_meet() -> None:
    number = IndividualNumber("123456789018")
    for shown in (str(number), repr(number), f"{number}", f"{number:>20}", str({"n": number}), str([number])):
        assert "1234" not in shown
        assert "9018" not in shown
    with pytest.raises(TypeError) as caught:
        json.dumps(number)
    assert "1234" not in str(caught.value)
    with pytest.raises(AttributeError):
        number.value = "x"
    assert AtenaNumber("00001236") != HouseholdNumber("00001236")
    assert len({AtenaNumber("00001236"), HouseholdNumber("00001236"), AtenaNumber("00001236")}) == 2
    assert pickle.loads(pickle.dumps(number)) == number
    assert all(kind.kind == name for name, kind in KINDS.items())
