"""Fictitious values and messages for tests, documentation and simulators, deterministic by a serial number.

Nothing here can be taken for real: Individual Numbers begin with 9999, resident record codes with 999, the municipality with 99 (no such
prefecture), postal codes with 999; names and addresses say that they are samples.
"""

from __future__ import annotations

from collections.abc import Iterable

from message_formats import catalogue, codes, writing
from message_formats.catalogue import Item
from message_formats.identifiers import AtenaNumber, CorporateNumber, IndividualNumber, MunicipalityCode, ResidentRecordCode
from message_formats.message import Message
from message_formats.repertoire import gaiji_count

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
    made: dict[str, str | None] = {
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
    made.update(changes)
    return made


def result_items(serial: int = 1, **changes: str | None) -> dict[str, str | None]:
    """The items of a valid ``identity-update-result``."""
    return {"request_control_number": f"SAMPLE{serial:010d}", "outcome": "accepted", "error_code": None, **changes}


_TEXTS = {
    "name": "見本葛\U000e0102　例子",
    "name_kanji": "見本葛\U000e0102　例子",
    "head_name": "見本葛\U000e0102　例太",
    "register_head": "見本葛\U000e0102　例太",
    "destination_name": "見本葛\U000e0102　例子",
    "substitute_name": "見本葛　例子",
    "nationality": "見本国",
    "status_of_residence": "永住者",
    "period_of_stay": "無期限",
    "municipality_name": "虚構県架空市",
    "pickup_place_name": "架空市役所見本窓口",
    "card_delivery_place_name": "架空市役所例示支所",
}
_ADDRESS = "虚構県架空市見本町１丁目２番３号　試験住宅４０５号室"


def _value(item: Item, serial: int) -> str:
    """A valid value of an item, by its kind and its id."""
    kind, parameter = item.kind, item.parameter
    plain = {
        "resident-record-code": resident_record_code(serial),
        "individual-number": individual_number(serial),
        "municipality-code": municipality_code(),
        "corporate-number": corporate_number(serial),
        "atena-number": atena_number(serial),
        "household-number": atena_number(serial),
        "integrated-atena-number": f"99{serial:012d}",
        "residence-card-number": residence_card_number(serial),
        "postal-code": postal_code(serial),
        "certificate-serial": certificate_serial(serial),
        "linkage-code": f"SAMPLECODE{serial:010d}",
        "processing-number": f"SAMPLENUMBER{serial:010d}",
        "card-identifier": f"SAMPLE-CARD-{serial:08d}",
        "date": "20260401",
        "timestamp": "20260402091500123",
        "unknown-date": "19800229" if item.id == "birth_date" else "20260401",
        "relationship": "世帯主",
        "flag": "0",
        "integer": "1",
        "prose": "見本の入力値",
        "kana": "みほんかずら　れいこ",
        "binary": "U0FNUExF",
    }
    if kind in plain:
        return plain[kind]
    if kind == "code":
        return next(iter(codes.table(parameter).codes))
    if kind == "digits":
        return f"{serial:0{int(parameter)}d}"[-int(parameter) :]
    if kind == "token":
        return f"SAMPLE{serial:04d}-{item.id.upper()}"[: int(parameter)].rstrip("-")
    return _TEXTS.get(item.id, _ADDRESS if "address" in item.id or item.id == "domicile" else "見本")


def _fill(items: Iterable[Item], serial: int, prefix: str, into: dict[str, str | None]) -> None:
    for item in items:
        key = f"{prefix}{item.id}" + ("[1]" if item.repeats > 1 else "")
        if item.items:
            _fill(item.items, serial, f"{key}/", into)
        else:
            into[key] = _value(item, serial)


_CHANGES: dict[str, dict[str, str | None]] = {
    "certificate-request": {"identification_number": None},
    "certificate-data": {"identification_number": None},
    "identity-confirmation-result": {"match": "1"},
    "identity-inquiry-request": {"individual_number": None, "name": None, "address": None, "sex": None, "birth_date": None},
    "residence-address-notice": {"address_notified": "1"},
    "tax-certificate-change": {"tax_certificate_data/fiscal_year": "2026"},
    "link-anomaly-alert": {"state": "delayed"},
    "resident-protection-mark": {"state": "2", "ends_on": "20270331"},
}


def items(name: str, serial: int = 1) -> dict[str, str | None]:
    """The items of a valid, fictitious message of a type, optional ones included where the rules allow it."""
    if name == "identity-information-update":
        return identity_items(serial)
    if name == "identity-update-result":
        return result_items(serial)
    made: dict[str, str | None] = {}
    _fill(catalogue.get(name).items, serial, "", made)
    made.update(_CHANGES.get(name, {}))
    if name == "resident-code-change-notice":
        made["former_resident_record_code"] = resident_record_code(serial + 1)
    if name == "destination-information":
        _describe_destination(made)
    return made


def _describe_destination(made: dict[str, str | None]) -> None:
    """Lengths, counts, flags and substitutes that agree with the texts."""
    person = "person[1]/"
    made |= {f"{person}substitute_address": None, f"{person}substitute_address_positions": None}
    made |= {f"{person}substitute_name_positions": "3", f"{person}substitute_character_result": "1"}
    made |= {f"{person}gaiji_flag": "1", f"{person}gaiji_pattern": "01", "person_count": "1"}
    made |= {"destination_control_number": "9" * 23}
    for key in list(made):
        for suffix in ("_length", "_gaiji_count"):
            if key.endswith(suffix):
                text = made.get(key.removesuffix(suffix))
                made[key] = None if text is None else str(len(text) if suffix == "_length" else gaiji_count(text))


def message(name: str, serial: int = 1) -> Message:
    """A valid, fictitious message of a type.

    :raises FormatError: ``unknown-type``.
    """
    return writing.write(catalogue.get(name).name, items(name, serial))
