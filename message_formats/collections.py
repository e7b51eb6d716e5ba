"""Names of characters and the collections of variation sequences, kept apart.

One selector means different glyphs in different collections (葛 with U+E0100 is Adobe-Japan1's, with U+E0102 Moji_Joho's), so a
sequence is asked for by collection. The Ideographic Variation Database is read from the ``mojivs`` package where that is installed; it
names 11,384 of the 58,862 MJ characters. Names of the others come from an operator's list (:func:`parse_names`) or from nowhere.

GJ characters (追加文字 of 行政事務標準文字) lie in plane-16 private use: GJ000001 = U+100000, rising by one.
"""

from __future__ import annotations

import functools
import importlib.resources
import importlib.util
import re
from collections.abc import Mapping

from message_formats.errors import FormatError

MOJI_JOHO = "Moji_Joho"
ADOBE_JAPAN1 = "Adobe-Japan1"
HANYO_DENSHI = "Hanyo-Denshi"

_GJ_FIRST = 0x100000
_GJ_LAST = 0x10FFFD
_LINE = re.compile(r"(?P<base>[0-9A-F]{4,6}) (?P<selector>[0-9A-F]{4,6}); *(?P<collection>[^;]+?); *(?P<name>\S+)\s*\Z")
_OWN = re.compile(r"(?P<name>(?:MJ|GJ)[0-9]{6})[\t,;](?P<text>(?:U\+)?[0-9A-Fa-f]{4,6}(?:[ _](?:U\+)?[0-9A-Fa-f]{4,6})?)\s*\Z")


@functools.cache
def _database() -> Mapping[str, Mapping[str, str]]:
    """Collection → sequence → name; empty where the data package is not installed."""
    found: dict[str, dict[str, str]] = {MOJI_JOHO: {}, ADOBE_JAPAN1: {}, HANYO_DENSHI: {}}
    if importlib.util.find_spec("mojivs") is None:
        return found
    text = importlib.resources.files("mojivs").joinpath("data", "ivd.txt").read_text(encoding="utf-8")
    for line in text.splitlines():
        entry = _LINE.match(line)
        if entry is not None:
            sequence = chr(int(entry["base"], 16)) + chr(int(entry["selector"], 16))
            found.setdefault(entry["collection"], {})[sequence] = entry["name"]
    return found


def collections_of(sequence: str) -> frozenset[str]:
    """The collections that register a sequence of base and selector."""
    return frozenset(name for name, sequences in _database().items() if sequence in sequences)


def moji_joho_names() -> Mapping[str, str]:
    """Sequence → MJ name for every sequence of Moji_Joho."""
    return _database()[MOJI_JOHO]


def gj_name(character: str) -> str | None:
    """The GJ name of a character of plane-16 private use; None for any other."""
    if len(character) == 1 and _GJ_FIRST <= ord(character) <= _GJ_LAST:
        return f"GJ{ord(character) - _GJ_FIRST + 1:06d}"
    return None


def gj_character(name: str) -> str:
    """The character of a GJ name.

    :raises FormatError: ``value-pattern`` where there is none.
    """
    number = int(name[2:]) if re.match(r"GJ[0-9]{6}\Z", name) else 0
    if not 1 <= number <= _GJ_LAST - _GJ_FIRST + 1:
        raise FormatError("value-pattern", "-", "character-name", "not the name of a GJ character")
    return chr(_GJ_FIRST + number - 1)


def parse_names(text: str) -> dict[str, str]:
    """An operator's list of names: lines of a name, a tab (or comma, semicolon) and one or two code points: ``MJ000004<tab>3402 E0102``.

    :raises FormatError: ``layout`` with the number of the line that is neither that, nor empty, nor a comment (#).
    """
    names: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        entry = _OWN.match(line)
        if entry is None:
            raise FormatError("layout", f"line {number}", "character-names", "not a name and its code points")
        points = re.split("[ _]", entry["text"].upper().replace("U+", ""))
        names["".join(chr(int(point, 16)) for point in points)] = entry["name"]
    return names
