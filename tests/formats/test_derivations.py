"""A notice is made of an update by declaration alone: every required item has a source of its own type, and nothing is invented."""

from __future__ import annotations

import pytest

from message_formats import _packaged, derivations, samples, writing
from message_formats.errors import FormatError

NOTICE, UPDATE = "identity-information-notice", "identity-information-update"


@pytest.mark.flow("F2-1")
def test_the_notice_holds_the_items_of_the_update_and_only_those_of_its_own_type() -> None:
    items = {**samples.identity_items(1), "individual_number": None}
    made = derivations.get(NOTICE).apply(writing.write(UPDATE, items))
    assert made.type_name == NOTICE
    assert made.items["name"] == items["name_kanji"]
    assert made.items.get("individual_number") is None
    assert b"relationship" not in made.to_bytes()


def test_every_packaged_derivation_is_whole() -> None:
    for name in _packaged.load_yaml("data", "derivations.yaml"):
        assert derivations.get(name).target == name
    with pytest.raises(FormatError):
        derivations.get(NOTICE).apply(samples.message("move-in-notice", 1))


@pytest.mark.parametrize(
    "change",
    [{"address": None}, {"address": "sex"}, {"address": "no_such_item"}, {"relationship": "relationship"}, {"name": "previous_address"}],
)
def test_a_derivation_that_does_not_fit_both_types_is_refused(change: dict[str, str | None]) -> None:
    raw = _packaged.load_yaml("data", "derivations.yaml")[NOTICE]
    items = {name: origin for name, origin in {**raw["items"], **change}.items() if origin is not None}
    with pytest.raises(FormatError) as e:
        derivations.parse(NOTICE, {**raw, "items": items})
    assert e.value.code == "layout"
