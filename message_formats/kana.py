"""Kana: what may stand in a kana item, and its form without voicing marks for searching (清音化).

The conversion of the city CS is not public. Ours: hiragana and katakana keep their script, voicing marks are dropped, small kana become
large ones, spaces become one ideographic space.
"""

from __future__ import annotations

import functools
import re
import unicodedata

_SMALL = "ぁぃぅぇぉっゃゅょゎゕゖァィゥェォッャュョヮヵヶ"
_LARGE = "あいうえおつやゆよわかけアイウエオツヤユヨワカケ"
_VOICED = "".join(
    chr(code) for code in (*range(0x3041, 0x3097), *range(0x30A1, 0x30FF)) if len(unicodedata.normalize("NFD", chr(code))) > 1
)
_PLAIN = str.maketrans({voiced: unicodedata.normalize("NFD", voiced)[0] for voiced in _VOICED})
_TO_LARGE = str.maketrans(_SMALL, _LARGE)
_MARKS = re.compile("[\u3099\u309a\u309b\u309cﾞﾟ]")
_SPACES = re.compile("[ \u3000]+")
_NOT_NORMALISED = re.compile(f"[{_VOICED}{_SMALL}\u3099\u309a\u309b\u309cﾞﾟ]")


@functools.lru_cache(maxsize=8192)
def normalised(text: str) -> str:
    """The form without voicing marks and small kana."""
    return _SPACES.sub("\u3000", _MARKS.sub("", text).translate(_PLAIN).translate(_TO_LARGE))


def is_normalised(text: str) -> bool:
    """Whether it has neither voicing marks nor small kana."""
    return _NOT_NORMALISED.search(text) is None
