"""Every type of the catalogue: a valid sample that goes round, and invalid ones with their exact errors."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from message_formats import _packaged, catalogue, invalid_samples, plans, reading, samples, schemas, writing
from message_formats.errors import CODES, FormatError
from message_formats.invalid_samples import InvalidSample
from message_formats.rules import RULES

NAMES = catalogue.names()
# Types whose rules ask for some of their optional items.
NEEDS_MORE = {
    "administrative-column-update",
    "card-identifier-change",
    "certificate-data",
    "certificate-data-change",
    "certificate-request",
    "identity-confirmation-request",
    "identity-confirmation-result",
    "identity-information-update",
    "identity-inquiry-request",
    "identity-search-request",
    "residence-address-notice",
}
INVALID = [sample for name in NAMES for sample in invalid_samples.of(name)]


def test_there_are_66_types_57_of_the_document_carried() -> None:
    assert len(NAMES) == 66
    assert sum(entry.carried for entry in catalogue.all_types()) == 58
    assert "resident-protection-mark" in NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_valid_sample_goes_round(name: str) -> None:
    made = samples.message(name, 7)
    message = reading.read(made.to_bytes(), expected=name)
    assert message.items == made.items
    assert message.canonical() == made.canonical()
    assert writing.write(name, message.items).canonical() == message.canonical()
    schemas.validator(name)(message.root)


@pytest.mark.parametrize("name", NAMES)
def test_a_message_without_its_optional_items_is_valid_where_the_rules_allow_it(name: str) -> None:
    message_type = catalogue.get(name)
    needed = {item.id for item in message_type.items if item.required}
    items = {
        key: value for key, value in samples.items(name).items() if key.partition("/")[0].partition("[")[0].partition("@")[0] in needed
    }
    if name in NEEDS_MORE:
        with pytest.raises(FormatError) as caught:
            writing.write(name, items)
        assert caught.value.rule in message_type.rules
    else:
        message = writing.write(name, items)
        assert all(message.items.get(item.id) is None for item in message_type.items if not item.required)


def _with_its_control(sample: InvalidSample) -> Any:
    found = CONTROLS.get(sample.rule)
    return pytest.param(sample, id=f"{sample.name}: {sample.what}", marks=[pytest.mark.control(found)] if found else [])


CONTROLS = {"search-two-items": "C-2-2-3"}
"""Rules of formats that are controls of the assessment."""


@pytest.mark.parametrize("sample", [_with_its_control(each) for each in INVALID])
@pytest.mark.invariant("I10")
def test_invalid_samples_have_their_exact_error(sample: InvalidSample) -> None:
    with pytest.raises(FormatError) as caught:
        reading.read(sample.data)
    error = caught.value
    assert (error.code, error.place) == (sample.code, sample.place)
    assert error.rule.startswith(sample.rule)
    assert error.code in CODES


def test_at_least_three_invalid_samples_for_each_type_and_one_for_each_rule() -> None:
    assert min(Counter(sample.name for sample in INVALID).values()) >= 3
    assert {sample.rule for sample in INVALID if sample.rule in RULES} == set(RULES)


def test_rules_are_described_and_used() -> None:
    described = _packaged.load_yaml("data", "rules.yaml")
    assert set(described) >= set(RULES)
    assert all(entry["en"] and entry["ja"] and entry["source"] for entry in described.values())
    assert {rule for entry in catalogue.all_types() for rule in entry.rules} == set(RULES)


@pytest.mark.invariant("I7")
def test_types_that_forbid_the_individual_number_have_no_place_for_it() -> None:
    for entry in catalogue.all_types():
        found = any(item.kind == "individual-number" for top in entry.items for item in (top, *top.items))
        if entry.individual_number in ("forbidden", "no"):
            assert not found, entry.name


def test_replies_and_keys_exist() -> None:
    for entry in catalogue.all_types():
        assert entry.reply is None or entry.reply in NAMES
        ids = {item.id for item in entry.items} | {f"{item.id}/{inner.id}" for item in entry.items for inner in item.items}
        assert entry.key_item is None or entry.key_item in ids
        assert entry.party_key_item is None or entry.party_key_item in ids


def test_who_a_message_is_about_is_told_by_the_documented_kinds_only() -> None:
    used = {kind for name in catalogue.names() for kind, _ in samples.message(name).identifiers}
    keys_only = {"processing-number", "linkage-code", plans.FAMILY_REGISTER}
    assert used == set(plans.IDENTIFYING) | keys_only
    for name in catalogue.names():
        key = catalogue.get(name).key_item
        for place, (kind, _) in enumerate(samples.message(name).identifiers):
            assert kind not in keys_only or (place == 0 and key is not None), f"{name}: {kind} is no key here"


def test_each_kind_beyond_the_four_is_the_only_name_of_a_person_somewhere() -> None:
    """Otherwise it could be left out, and one blind index with it."""
    alone = {kinds[0] for name in catalogue.names() if len(kinds := [kind for kind, _ in samples.message(name).identifiers]) == 1}
    needed = set(plans.IDENTIFYING) - {"resident-record-code", "individual-number", "atena-number", "residence-card-number"}
    # a kiosk request bears either of the two, and the sample bears one; nothing else in it names anybody
    either = {kind for kind, _ in plans.plan("certificate-request").identifying}
    assert needed <= alone | either
