"""Rules of the other message types, in the order of the catalogue."""

from __future__ import annotations

from message_formats.rules.registry import Context, rule


def _one_of(context: Context, rule_id: str, items: tuple[str, ...], detail: str) -> None:
    if not any(context.has(item) for item in items):
        raise context.error("item-missing", items[0], rule_id, detail)


@rule("certificate-data-something")
def certificate_data_something(context: Context) -> None:
    """A change for the certificate system changes the resident record copy, the seal registration, or both."""
    _one_of(context, "certificate-data-something", ("resident_record_copy_data", "seal_certificate_data"), "neither kind of data is there")


@rule("card-one-identifier")
def card_one_identifier(context: Context) -> None:
    """A card is named by its identification number (older card) or its certificate serial number (Individual Number Card)."""
    _one_of(context, "card-one-identifier", ("identification_number", "certificate_serial_number"), "neither identifier of a card is there")


@rule("card-pin-with-identification")
def card_pin(context: Context) -> None:
    """A PIN belongs to a Resident Register Card only, which has an identification number."""
    if context.has("pin") and not context.has("identification_number"):
        raise context.error("item-unexpected", "pin", "card-pin-with-identification", "a PIN without the card that it belongs to")


@rule("certificate-one-key")
def certificate_one_key(context: Context) -> None:
    """A certificate is asked for, and given, by exactly one of serial number and identification number."""
    keys = ("certificate_serial_number", "identification_number")
    _one_of(context, "certificate-one-key", keys, "neither key of the person is there")
    if all(context.has(key) for key in keys):
        raise context.error("item-unexpected", keys[1], "certificate-one-key", "two keys that may name two persons")


_FOUR = ("name", "address", "sex", "birth_date")


@rule("confirmation-code-or-four")
def confirmation(context: Context) -> None:
    """A confirmation asks by the code on the card or by all four basic items (評価書 別添1 2-②)."""
    if context.has("resident_record_code"):
        return
    for item in _FOUR:
        if not context.has(item):
            raise context.error("item-missing", item, "confirmation-code-or-four", "neither the code nor all four basic items are there")


@rule("confirmation-information-with-match")
def confirmation_result(context: Context) -> None:
    """Identity information comes with a match and with nothing else."""
    if (context.get("match") == "1") is not context.has("identity_information"):
        code = "item-unexpected" if context.has("identity_information") else "item-missing"
        raise context.error(
            code, "identity_information", "confirmation-information-with-match", "information does not agree with the result of the match"
        )


@rule("search-two-items")
def search(context: Context) -> None:
    """At least two items other than sex: name with address, or name with birth date (評価書 Ⅲ: 少なくとも性別を除く2情報以上)."""
    if not context.has("name"):
        raise context.error("item-missing", "name", "search-two-items", "a search needs the name with the address or the birth date")
    if not (context.has("address") or context.has("birth_date")):
        raise context.error("item-missing", "address", "search-two-items", "a search needs the name with the address or the birth date")


@rule("inquiry-one-key")
def inquiry(context: Context) -> None:
    """An inquiry asks by the resident record code, the Individual Number, or the four basic items: one of the three."""
    four = [item for item in _FOUR if context.has(item)]
    kinds = [context.has("resident_record_code"), context.has("individual_number"), bool(four)]
    if sum(kinds) != 1:
        code = "item-missing" if not any(kinds) else "item-unexpected"
        raise context.error(code, "resident_record_code", "inquiry-one-key", "not exactly one of the three kinds of key")
    if four and len(four) < len(_FOUR):
        missing = next(item for item in _FOUR if item not in four)
        raise context.error("item-missing", missing, "inquiry-one-key", "one of the four basic items is missing")


@rule("inquiry-candidates-without-number")
def inquiry_result(context: Context) -> None:
    """Where several persons fit an inquiry, nobody's Individual Number stands in the list."""
    if not context.has("identity_information[2]"):
        return
    for key, value in context.items.items():
        if key.endswith("/individual_number") and value is not None:
            detail = "an Individual Number in a list of several candidates"
            raise context.error("item-unexpected", key, "inquiry-candidates-without-number", detail)


@rule("column-something")
def columns(context: Context) -> None:
    """An update of the administrative columns updates at least one."""
    kinds = ("national_health_insurance", "late_stage_elderly_medical", "long_term_care")
    _one_of(context, "column-something", (*kinds, "national_pension", "child_allowance", "electoral_register"), "no column is there")


@rule("code-really-changes")
def code_really_changes(context: Context) -> None:
    """A changed resident record code differs from the former one."""
    if context.get("new_resident_record_code") == context.get("former_resident_record_code"):
        raise context.error(
            "rule-violated", "former_resident_record_code", "code-really-changes", "the new and the former code are the same"
        )


@rule("address-change-with-notification")
def address_change(context: Context) -> None:
    """The change of address is there exactly where an address was notified."""
    if (context.get("address_notified") == "1") is not context.has("address_change"):
        code = "item-unexpected" if context.has("address_change") else "item-missing"
        raise context.error(
            code, "address_change", "address-change-with-notification", "the change of address does not agree with the flag"
        )


@rule("allocation-once")
def allocation(context: Context) -> None:
    """Each resident record code is designated once."""
    seen: set[str] = set()
    for key, value in context.items.items():
        if key.startswith("resident_record_codes[") and value is not None:
            if value in seen:
                raise context.error("rule-violated", key, "allocation-once", "a code that is designated twice")
            seen.add(value)


@rule("protection-period")
def protection_period(context: Context) -> None:
    """A support measure ends after it began; one that has ended says when."""
    starts, ends = context.get("starts_on"), context.get("ends_on")
    if ends is not None and starts is not None and ends < starts:
        raise context.error("rule-violated", "ends_on", "protection-period", "the measure ends before it begins")
    if context.get("state") == "3" and ends is None:
        raise context.error("item-missing", "ends_on", "protection-period", "a measure that has ended says when")


@rule("difference-names-somebody")
def difference_names_somebody(context: Context) -> None:
    """Each difference names the resident by resident record code or atena number."""
    for number in sorted({key.partition("/")[0] for key in context.items if key.startswith("differences[")}):
        item = f"{number}/resident_record_code"
        if not context.has(item) and not context.has(f"{number}/atena_number"):
            raise context.error("item-missing", item, "difference-names-somebody", "a difference that names nobody")
