"""Text of the register: a string with the names of its characters, its counts, and a substitution that is recorded.

Rules that hold everywhere: variation selectors are never stripped; nothing is normalised behind anybody's back; a conversion that loses
something happens only on request, says what it lost and where, and offers the other candidates to a person (the result is for transport and
display, never for the register).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from message_formats.collections import gj_name, moji_joho_names
from message_formats.errors import FormatError
from message_formats.repertoire import SELECTORS, Repertoire, clusters, gaiji_count, jis_x_0213

_LONE_SELECTOR = re.compile(rf"(?:^|[{SELECTORS}\s\u3000])[{SELECTORS}]")
_FORBIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb\ufffe\uffff"
    "\ud800-\udfff\ufdd0-\ufdef\U000e0001\U000e0020-\U000e007f]"
)
_COMPATIBILITY = re.compile("[\uf900-\ufaff\U0002f800-\U0002fa1f]")

Chooser = Callable[[str, Sequence[str]], str | None]
"""Given a character and its candidates, the one to use, or None for none of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One substituted character.

    :ivar position: which character of the text, from 1 (位置情報).
    :ivar candidates: all that were offered, in the order of the tables.
    :ivar chosen: what stands in its place; None where there is no substitute, and the character is still there.
    """

    position: int
    original: str
    candidates: tuple[str, ...]
    chosen: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Substitution:
    """The result of a substitution (代替文字): the text for transport and what was changed."""

    text: str
    changes: tuple[Change, ...]

    @property
    def positions(self) -> str:
        """位置情報: the positions of what was substituted, ``3,7``."""
        return ",".join(str(change.position) for change in self.changes if change.chosen is not None)

    @property
    def result(self) -> str:
        """代替文字変換結果 (code table ``substitute_result``)."""
        if any(change.chosen is None for change in self.changes):
            return "2"
        return "1" if self.changes else "0"


@dataclass(frozen=True, slots=True)
class RegisterText:
    """A text of the register.

    :raises FormatError: ``character-forbidden`` for control characters, direction marks, noncharacters, or a selector without a base.
    """

    value: str

    def __post_init__(self) -> None:
        check_text(self.value)

    @property
    def characters(self) -> tuple[str, ...]:
        """As a reader counts them: each base with its selector and combining marks."""
        return tuple(clusters(self.value))

    def names(self, table: Mapping[str, str] | None = None) -> tuple[str | None, ...]:
        """The MJ or GJ name of each character; None where no table names it.

        :param table: an operator's names (:func:`message_formats.collections.parse_names`), asked first.
        """
        own, shared = table or {}, moji_joho_names()
        return tuple(own.get(character) or shared.get(character) or gj_name(character) for character in self.characters)

    @property
    def code_points(self) -> int:
        """Length in code points."""
        return len(self.value)

    @property
    def utf16_units(self) -> int:
        """Length in UTF-16 code units."""
        return utf16_units(self.value)

    @property
    def utf8_bytes(self) -> int:
        """Length in bytes of UTF-8."""
        return len(self.value.encode())

    def gaiji(self, repertoire: Repertoire = jis_x_0213) -> tuple[int, ...]:
        """The positions, from 1, of characters that the repertoire does not hold."""
        if repertoire(self.value):
            return ()
        return tuple(position for position, character in enumerate(self.characters, 1) if not repertoire(character))

    def gaiji_count(self, repertoire: Repertoire = jis_x_0213) -> int:
        """外字数."""
        return gaiji_count(self.value, repertoire)

    def substitute(self, repertoire: Repertoire = jis_x_0213, choose: Chooser | None = None) -> Substitution:
        """The text in standard characters, as far as there are substitutes. Calling it is the request that a lossy conversion needs.

        :param choose: a person's choice among the candidates; without it the first of the tables is taken.
        """
        made: list[str] = []
        changes: list[Change] = []
        for position, character in enumerate(self.characters, 1):
            if repertoire(character):
                made.append(character)
                continue
            offered = candidates(character, repertoire)
            chosen = (choose(character, offered) if choose is not None else offered[0]) if offered else None
            if chosen is not None and chosen not in offered:
                raise FormatError("lossy", f"character {position}", "substitution", "the choice is none of the candidates")
            changes.append(Change(position=position, original=character, candidates=offered, chosen=chosen))
            made.append(character if chosen is None else chosen)
        return Substitution(text="".join(made), changes=tuple(changes))


def check_text(text: str, place: str = "-") -> None:
    """:raises FormatError: ``character-forbidden`` for what no text of a register has."""
    if _FORBIDDEN.search(text):
        raise FormatError("character-forbidden", place, "characters", "a control character, direction mark or noncharacter")
    if _LONE_SELECTOR.search(text):
        raise FormatError("character-forbidden", place, "characters", "a variation selector without the character that it varies")


def candidates(character: str, repertoire: Repertoire = jis_x_0213) -> tuple[str, ...]:
    """Substitutes of one character in the order of the tables: MJ縮退マップ (its four schemes), 国税庁JIS縮退マップ, then the bare base.

    Only what the repertoire holds entirely is offered. The tables come from the ``jntajis-python`` package; without it only the base is.
    """
    offered: dict[str, None] = {}
    for found in (*_mj_candidates(character), *_nta_candidates(character), character[0]):
        if found and found != character and "\ufffd" not in found and repertoire(found):
            offered[found] = None
    return tuple(offered)


def _mj_candidates(character: str) -> list[str]:
    try:
        import jntajis
    except ImportError:
        return []
    found: list[str] = []
    # The schemes one after another, surest first; asked for together, the library mixes them.
    for scheme in ("JIS_INCORPORATION_UCS_UNIFICATION_RULE", "MOJ_NOTICE_582", "MOJ_FAMILY_REGISTER_ACT_RELATED_NOTICE"):
        found += jntajis.mj_shrink_candidates(character, jntajis.MJShrinkSchemeCombo[scheme])
    return found + list(jntajis.mj_shrink_candidates(character, jntajis.MJShrinkSchemeCombo.INFERENCE_BY_READING_AND_GLYPH))


def _nta_candidates(character: str) -> list[str]:
    try:
        import jntajis
    except ImportError:
        return []
    return [jntajis.jnta_shrink_translit(character, passthrough=True)]  # one character at a time: positions are ours to keep


def utf16_units(text: str) -> int:
    """Length in UTF-16 code units."""
    return len(text) + sum(character > "\uffff" for character in text)


def normalised(text: str, place: str = "-") -> str:
    """NFC, where it changes no ideograph.

    :raises FormatError: ``character-forbidden`` where normalisation would replace a CJK compatibility ideograph (神 U+FA19 by U+795E): that
        is another character of the register, so the text has to stay as it is.
    """
    made = unicodedata.normalize("NFC", text)
    if made != text and any(unicodedata.normalize("NFC", found) != found for found in _COMPATIBILITY.findall(text)):
        raise FormatError("character-forbidden", place, "normalisation", "normalisation would change a CJK compatibility ideograph")
    return made


_HALF_KANA = re.compile("[\uff61-\uff9f]+")


def full_width_kana(text: str) -> str:
    """Half-width katakana as full-width ones (ｶﾞ → ガ); nothing else is touched."""
    return _HALF_KANA.sub(lambda found: unicodedata.normalize("NFKC", found.group()), text)


def full_width_ascii(text: str) -> str:
    """Printable ASCII as full-width forms, space as ideographic space."""
    return text.translate({32: 0x3000, **{code: code + 0xFEE0 for code in range(33, 127)}})


def half_width_ascii(text: str) -> str:
    """Full-width forms of ASCII as ASCII, ideographic space as space."""
    return text.translate({0x3000: 32, **{code + 0xFEE0: code for code in range(33, 127)}})
