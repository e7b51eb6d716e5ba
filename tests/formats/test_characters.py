"""Characters: counts, names, collections, substitution on request, normalisation traps, encodings by declaration."""

from __future__ import annotations

import unicodedata

import jntajis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from message_formats import characters, collections, encodings, kana
from message_formats.characters import RegisterText
from message_formats.errors import FormatError
from message_formats.repertoire import clusters, gaiji_count, jis_x_0213

KATSU = "葛\U000e0102"
VARIANTS = [KATSU, "葛\U000e0100", "辻\U000e0102", "髙", "𠮷", "﨑", "\U00100000", "か\u3099", "神", "ｶﾞ", "邉\U000e010f", "e\u0301"]
texts = st.lists(st.sampled_from(VARIANTS) | st.characters(codec="euc_jp", categories=("Lo", "Lu", "Nd")), max_size=20).map("".join)


def test_three_lengths_and_the_count_of_a_reader() -> None:
    text = RegisterText(KATSU + "𠮷a")
    assert text.characters == (KATSU, "𠮷", "a")
    assert (text.code_points, text.utf16_units, text.utf8_bytes) == (4, 6, 3 + 4 + 4 + 1)


@pytest.mark.thorough
def test_collections_are_kept_apart() -> None:
    assert collections.collections_of("葛\U000e0100") == {collections.ADOBE_JAPAN1}
    assert collections.collections_of(KATSU) >= {collections.MOJI_JOHO}
    assert collections.ADOBE_JAPAN1 not in collections.collections_of(KATSU)
    assert RegisterText(KATSU + "葛\U000e0100").names() == ("MJ022335", None)


def test_names_of_gj_characters_and_an_operators_list() -> None:
    assert collections.gj_character("GJ000001") == "\U00100000"
    assert collections.gj_name("\U0010de92") == "GJ056979"
    table = collections.parse_names("# ours\nMJ028902\t9AD9\nMJ000004,U+3402 U+E0102\n")
    assert RegisterText("髙\u3402\U000e0102\U00100001字").names(table) == ("MJ028902", "MJ000004", "GJ000002", None)
    with pytest.raises(FormatError) as caught:
        collections.parse_names("MJ1 x")
    assert (caught.value.code, caught.value.place) == ("layout", "line 1")
    for wrong in ("GJ000000", "GJ1", "MJ000001"):
        with pytest.raises(FormatError):
            collections.gj_character(wrong)


def test_all_sequences_of_moji_joho_are_named() -> None:
    names = collections.moji_joho_names()
    assert len(names) == 11_384
    assert len(set(names.values())) == 11_382  # two MJ characters have two sequences


def test_gaiji_are_counted_by_character() -> None:
    text = RegisterText(f"見本{KATSU}髙\U00100000﨑")
    assert text.gaiji() == (3, 4, 5)
    assert text.gaiji_count() == 3
    assert gaiji_count("見本　太郎ｶﾞ") == 0


@given(texts)
def test_gaiji_count_agrees_with_the_characters(text: str) -> None:
    assert gaiji_count(text) == sum(not jis_x_0213(character) for character in clusters(text))
    assert "".join(clusters(text)) == text


@given(texts)
def test_substitution_is_recorded_and_keeps_everything_else(text: str) -> None:
    original = RegisterText(text)
    made = original.substitute()
    changed = {change.position: change for change in made.changes}
    assert set(changed) == set(original.gaiji())
    rebuilt = "".join(
        (changed[position].chosen or character) if position in changed else character
        for position, character in enumerate(original.characters, 1)
    )
    assert made.text == rebuilt
    for change in made.changes:
        assert all(jis_x_0213(candidate) for candidate in change.candidates)
        assert change.chosen is None or change.chosen in change.candidates
    assert (made.result == "0") is not made.changes


def test_several_candidates_are_offered_and_a_person_chooses() -> None:
    assert characters.candidates("邉\U000e010f") == ("邉", "辺", "邊")
    made = RegisterText("渡邉\U000e010f").substitute(choose=lambda _, offered: offered[1])
    assert (made.text, made.positions, made.result) == ("渡辺", "2", "1")
    assert made.changes[0].candidates == ("邉", "辺", "邊")
    with pytest.raises(FormatError) as caught:
        RegisterText("髙").substitute(choose=lambda _, offered: "低")
    assert caught.value.code == "lossy"


def test_what_has_no_substitute_stays_and_is_reported() -> None:
    made = RegisterText("見\U00100000髙").substitute()
    assert made.text == "見\U00100000高"
    assert made.result == "2"
    assert made.positions == "3"


def test_the_library_behind_it_drops_what_it_does_not_know_so_it_is_asked_per_character() -> None:
    assert "\ufffd" in jntajis.jnta_shrink_translit(f"見本{KATSU}髙")
    assert RegisterText(f"見本{KATSU}髙").substitute().text == "見本葛高"
    assert characters.candidates("葛\U000e0100") == ("葛",)  # not of Moji_Joho: only the bare base


@pytest.mark.parametrize("text", ["\U000e0102葛", "葛\U000e0102\U000e0103", "見　\U000e0102", "a\x00", "\u202e見本", "\ufeff見本", "\x85"])
def test_broken_text_is_refused(text: str) -> None:
    with pytest.raises(FormatError) as caught:
        RegisterText(text)
    assert caught.value.code == "character-forbidden"


def test_normalisation_never_changes_an_ideograph() -> None:
    assert characters.normalised("か\u3099") == "が"
    assert characters.normalised("﨑髙") == "﨑髙"  # one of the twelve that normalisation keeps
    with pytest.raises(FormatError) as caught:
        characters.normalised("\ufa19")  # 神, another character of the register than 神
    assert caught.value.rule == "normalisation"
    assert unicodedata.normalize("NFC", "\ufa19") == "神"
    assert RegisterText("\ufa19").value == "\ufa19"


@given(texts)
def test_normalised_text_is_normal_and_selectors_stay(text: str) -> None:
    try:
        made = characters.normalised(text)
    except FormatError:
        assert unicodedata.normalize("NFC", text) != text
    else:
        assert made == unicodedata.normalize("NFC", text)
        assert [c for c in made if "\U000e0100" <= c <= "\U000e01ef"] == [c for c in text if "\U000e0100" <= c <= "\U000e01ef"]


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126)))
def test_widths_of_ascii(text: str) -> None:
    assert characters.half_width_ascii(characters.full_width_ascii(text)) == text


def test_widths_of_kana_and_nothing_else() -> None:
    assert characters.full_width_kana("ｶﾞｷﾞ①㍻ﾊﾟＡ") == "ガギ①㍻パＡ"


@given(st.text(alphabet="ぁあがざばぱっゃーアガヴヷァ　 ｶﾞ", max_size=12))
def test_normalised_kana_is_a_fixed_point(text: str) -> None:
    made = kana.normalised(text)
    assert kana.is_normalised(made)
    assert kana.normalised(made) == made


ENCODED = ["UTF-8", "UTF-16", "Windows-31J", "Shift_JIS", "Shift_JIS-2004", "EUC-JP", "EUC-JIS-2004"]


@pytest.mark.parametrize("name", ENCODED)
def test_encodings_go_round(name: str) -> None:
    text = "見本　太郎ｶﾅ１２Ａ"
    assert encodings.decode(encodings.encode(text, name), name) == text


def test_the_declaration_decides() -> None:
    assert encodings.decode(b"\x81\x60", "Windows-31J") == "～"
    assert encodings.decode(b"\x81\x60", "Shift_JIS") == "〜"
    assert encodings.get("ms932").name == "Windows-31J"


@pytest.mark.parametrize(
    ("data", "declared", "place"),
    [
        (b"\xef\xbb\xbfa", "Windows-31J", "byte 0"),
        (b"\xff\xfea\x00", "UTF-8", "byte 0"),
        (b"a\x00", "UTF-16", "byte 0"),
        (b"ab\x81", "Windows-31J", "byte 2"),
        (b"ab\x81\x20", "Shift_JIS", "byte 2"),
        ("見本".encode("cp932"), "UTF-8", "byte 0"),
        (b"\xa1", "EUC-JP", "byte 0"),
        (b"\xff\xfe\x00\xd8", "UTF-16", "byte 2"),
        (b"a", "latin-1", "-"),
    ],
)
def test_contradictions_and_broken_bytes(data: bytes, declared: str, place: str) -> None:
    with pytest.raises(FormatError) as caught:
        encodings.decode(data, declared)
    assert (caught.value.code, caught.value.place) == ("encoding", place)


@pytest.mark.parametrize("lost", ["\U00100000", "\U0001309a", "\U00020300", "\U00100301"])
@pytest.mark.parametrize("lead", ["か", "ト", "æ"])
def test_what_pythons_codecs_swallow_without_an_error_is_seen(lead: str, lost: str) -> None:
    assert gaiji_count(f"見本{lead}{lost}髙") == 2
    assert RegisterText(f"{lead}{lost}").gaiji() == (2,)
    for name in ("EUC-JIS-2004", "Shift_JIS-2004"):
        with pytest.raises(FormatError) as caught:
            encodings.encode(f"{lead}{lost}", name)
        assert (caught.value.code, caught.value.place) == ("lossy", "character 2")


def test_what_an_encoding_does_not_hold_is_not_lost_silently() -> None:
    with pytest.raises(FormatError) as caught:
        encodings.encode("見本髙" + KATSU, "Shift_JIS", "name")
    assert (caught.value.code, caught.value.place) == ("lossy", "name character 3")
    assert encodings.encode(RegisterText("見本髙" + KATSU).substitute().text, "Shift_JIS")
