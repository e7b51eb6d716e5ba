"""The codes of the parties: shipped mappings are whole and go both ways; what has no code is refused by the names of table and party."""

from __future__ import annotations

import pytest

from gateway.policy import routes
from message_formats import catalogue, codes, party_codes
from message_formats.errors import FormatError

MAPPED = [(party, table) for party in party_codes.names() for table in party_codes.get(party).out]


def test_every_mapping_is_a_partys_of_the_specification_and_says_whose_it_is() -> None:
    systems = routes.tables().systems
    for name in party_codes.names():
        mapping = party_codes.get(name)
        assert mapping.party == name
        assert name in systems
        assert mapping.source


@pytest.mark.parametrize(("party", "table"), MAPPED)
def test_what_goes_out_comes_back_as_itself_or_as_what_the_mapping_says(party: str, table: str) -> None:
    mapping = party_codes.get(party)
    sent = {ours: mapping.to_party(table, ours) for ours in mapping.out[table]}
    assert set(mapping.back[table]) == set(sent.values())
    for ours, theirs in sent.items():
        returned = mapping.from_party(table, theirs)
        assert sent[returned] == theirs
        if list(sent.values()).count(theirs) == 1:
            assert returned == ours


@pytest.mark.parametrize(("party", "table"), MAPPED)
def test_every_code_has_one_at_the_party_or_is_left_out_on_purpose(party: str, table: str) -> None:
    """A code that is added to a table later must not be forgotten in the mappings."""
    missing = {codes.table(table).codes[code].symbol for code in set(codes.table(table).codes) - set(party_codes.get(party).out[table])}
    assert missing == LEFT_OUT.get((party, table), set())
    for symbol in missing:
        with pytest.raises(FormatError) as caught:
            party_codes.get(party).to_party(table, codes.table(table).of(symbol).code, "/X/y")
        assert (caught.value.code, caught.value.place, caught.value.rule) == ("code-unknown", "/X/y", f"code-table:{table}")
        assert party in caught.value.safe_detail


LEFT_OUT = {
    ("residence-card-issuance-system", "sex"): {"NOT_STATED"},
    ("residence-card-issuance-system", "change_reason"): {
        "ADD_NAT", "ADD_REV", "ADD_REISSUE", "ADD_CANCEL", "HH_CHANGE", "HH_SPLIT", "HH_MERGE", "HH_HEAD", "AMEND_CANCEL", "DEL_LOSS",
        "DEL_REV", "DEL_REISSUE", "DEL_CANCEL", "NUM_REQ", "NUM_AMEND", "NUM_ADD", "CODE_REQ", "CODE_ADD", "MAIDEN_ADD", "MAIDEN_CHANGE",
        "MAIDEN_DEL", "ALIAS_ADD", "ALIAS_DEL",
    },
}  # fmt: skip


def test_tables_that_a_party_gets_are_tables_of_messages_that_it_gets() -> None:
    """A mapping of a table that never reaches the party would be guesswork; eras are for files with dates in words."""
    for party, table in MAPPED:
        if table in ("era", "resident_kind", "resident_state", "record_status"):
            continue
        used = {
            item.parameter
            for entry in catalogue.all_types()
            if party in (*entry.consumers, *entry.producers)
            for item in _all_items(entry.items)
            if item.kind == "code"
        }
        assert table in used, f"{table} of {party}"


def _all_items(items: tuple[catalogue.Item, ...]) -> list[catalogue.Item]:
    return [found for item in items for found in (item, *_all_items(item.items))]


def test_tables_that_a_mapping_does_not_name_are_ours_and_unknown_codes_are_unknown_everywhere() -> None:
    mapping = party_codes.get("certificate-centre")
    assert mapping.to_party("sex", "2") == mapping.from_party("sex", "2") == "2"
    for call in (
        lambda: mapping.to_party("sex", "7"),
        lambda: mapping.from_party("sex", "7"),
        lambda: mapping.to_party("certificate_kind", "7"),
        lambda: mapping.from_party("certificate_kind", "7"),
    ):
        with pytest.raises(FormatError) as caught:
            call()
        assert caught.value.code == "code-unknown"
    with pytest.raises(KeyError):
        party_codes.get("nobody")


AMBIGUOUS = "{party: p, source: test, tables: {sex: {MALE: X, FEMALE: X}}}"


def test_a_code_that_several_of_ours_have_is_not_guessed() -> None:
    with pytest.raises(FormatError) as caught:
        party_codes.parse(AMBIGUOUS).from_party("sex", "X")
    assert caught.value.code == "rule-violated"
    decided = party_codes.parse(AMBIGUOUS.replace("tables", "back: {sex: {X: FEMALE}}, tables"))
    assert decided.from_party("sex", "X") == codes.table("sex").of("FEMALE").code


@pytest.mark.parametrize(
    "broken",
    [
        "[]",
        "{party: p, source: test}",
        AMBIGUOUS.replace("source", "colour: red, source"),
        AMBIGUOUS.replace("sex", "no_such_table"),
        AMBIGUOUS.replace("MALE: X,", "NEITHER: X,"),
        AMBIGUOUS.replace("MALE: X,", "MALE: 1,"),
        AMBIGUOUS.replace("MALE: X,", "MALE: 'a b',"),
        AMBIGUOUS.replace("{MALE: X, FEMALE: X}", "[X]"),
        AMBIGUOUS.replace("tables", "back: {sex: {Y: MALE}}, tables"),
        AMBIGUOUS.replace("tables", "back: {era: {Y: MEIJI}}, tables"),
    ],
)
def test_broken_mappings_are_refused(broken: str) -> None:
    with pytest.raises(FormatError) as caught:
        party_codes.parse(broken)
    assert caught.value.code == "layout"
