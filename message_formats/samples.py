"""Fictitious values and messages for tests, documentation and simulators, deterministic by a serial number.

Nothing here can be taken for real: Individual Numbers begin with 9999, resident record codes with 999, the municipality with 99 (no such
prefecture), postal codes with 999; names and addresses say that they are samples.
"""

from __future__ import annotations

from message_formats import catalogue, writing
from message_formats.identifiers import AtenaNumber, CorporateNumber, IndividualNumber, MunicipalityCode, ResidentRecordCode
from message_formats.message import Message

INDIVIDUAL_NUMBER_PREFIX = "9999"
RESIDENT_RECORD_CODE_PREFIX = "999"
MUNICIPALITY_BASE = "99201"
OTHER_MUNICIPALITY_BASE = "99305"


def individual_number(serial: int) -> str:
    """A valid, fictitious Individual Number; ``serial`` below 10,000,000."""
    base = f"{INDIVIDUAL_NUMBER_PREFIX}{serial % 10_000_000:07d}"
    return base + IndividualNumber.check_digit(base)


def resident_record_code(serial: int) -> str:
    """A valid, fictitious resident record code; ``serial`` below 10,000,000."""
    base = f"{RESIDENT_RECORD_CODE_PREFIX}{serial % 10_000_000:07d}"
    return base + ResidentRecordCode.check_digit(base)


def municipality_code(base: str = MUNICIPALITY_BASE) -> str:
    """A valid code of a municipality that does not exist."""
    return base + MunicipalityCode.check_digit(base)


def corporate_number(serial: int) -> str:
    """A valid, fictitious corporate number."""
    base = f"9999{serial % 100_000_000:08d}"
    return CorporateNumber.check_digit(base) + base


def atena_number(serial: int) -> str:
    """A newly issued atena number of 10 digits."""
    base = f"9{serial % 100_000_000:08d}"
    return base + (AtenaNumber.check_digit(base) or "0")


def residence_card_number(serial: int) -> str:
    """A residence card number in the form of the agency's specimen."""
    return f"ZZ{serial % 100_000_000:08d}ZZ"


def certificate_serial(serial: int) -> str:
    """A certificate serial number, decimal."""
    return str(900_000_000_000 + serial)


def postal_code(serial: int) -> str:
    """A postal code of no place."""
    return f"999{serial % 10_000:04d}"


def identity_items(serial: int = 1, **changes: str | None) -> dict[str, str | None]:
    """The items of a valid ``identity-information-update`` (a move-in with every item that one has); ``changes`` replace or remove some."""
    items: dict[str, str | None] = {
        "resident_record_code": resident_record_code(serial),
        "name_kanji": "見本葛\U000e0102　例子",
        "name_gaiji_count": "1",
        "name_furigana": "みほんかずら　れいこ",
        "name_kana_normalised": "みほんかすら　れいこ",
        "birth_date": "19800229",
        "sex": "2",
        "municipality_code": municipality_code(),
        "town_code": "0010001",
        "postal_code": postal_code(1),
        "address": "虚構県架空市見本町１丁目２番３号　試験住宅４０５号室",
        "address_gaiji_count": "0",
        "individual_number": individual_number(serial),
        "resident_since": "20260401",
        "address_since": "20260401",
        "notified_on": "20260402",
        "previous_municipality_code": municipality_code(OTHER_MUNICIPALITY_BASE),
        "previous_address": "虚構県別天市例示町４丁目５番６号　試験荘１０２号室",
        "previous_address_gaiji_count": "0",
        "relationship": "世帯主",
        "change_reason": "11",
        "change_date": "20260401",
        "change_reason_detail": "01",
        "former_resident_record_code": None,
        "resident_record_code_used_from": "20260401",
        "request_control_number": f"SAMPLE{serial:010d}",
        "operating_site_id": "SITE01",
        "operating_terminal_id": "TERM0001",
        "update_sequence_number": "1",
        "abnormal_update_sequence_number": None,
        "update_prohibited_flag": "0",
        "prospective_resident_flag": "0",
        "exclusive_lock_flag": "0",
        "gaiji_flag": "1",
        "record_status_flag": "1",
        "timestamp": "20260402091500123",
    }
    items.update(changes)
    return items


def result_items(serial: int = 1, **changes: str | None) -> dict[str, str | None]:
    """The items of a valid ``identity-update-result``."""
    return {"request_control_number": f"SAMPLE{serial:010d}", "outcome": "accepted", "error_code": None, **changes}


def message(name: str, serial: int = 1) -> Message:
    """A valid, fictitious message of a type."""
    if name == "identity-information-update":
        return writing.write(name, identity_items(serial))
    if name == "identity-update-result":
        return writing.write(name, result_items(serial))
    raise KeyError(catalogue.get(name).name)
