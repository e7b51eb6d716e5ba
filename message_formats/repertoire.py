"""Which characters are standard and which are 外字, and how many there are of them.

The real repertoire of a party (住基ネット統一文字) is not public, so it is a policy: the default counts as standard what JIS X 0213:2004
holds, by Python's own codec. A 外字 is a cluster (base with its variation selector or combining marks) that the repertoire lacks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

SELECTORS = "\ufe00-\ufe0f\U000e0100-\U000e01ef"
_CLUSTER = re.compile(rf".[{SELECTORS}\u3099\u309a\u0300-\u036f]*", re.DOTALL)
_MARKS = re.compile(rf"[{SELECTORS}\u3099\u309a\u0300-\u036f]+")

Repertoire = Callable[[str], bool]
"""Says whether a text consists of standard characters only."""


_BEYOND_16_BITS = re.compile("[\U00010000-\U0010ffff]")
_SWALLOWED_BITS = frozenset({0, 0x309A, 0x300, 0x301, 0x2E5, 0x2E9})


def first_swallowed(text: str) -> int | None:
    """The place, from 0, of the first character that Python's JIS X 0213 codecs may lose without an error; None if there is none.

    They look one character ahead after か, æ and others that combine, and compare only 16 bits of it: か followed by U+100000
    (the character GJ000001) or U+1309A encodes as か or か゚. No such character is in JIS X 0213.
    """
    for found in _BEYOND_16_BITS.finditer(text):
        if ord(found.group()) & 0xFFFF in _SWALLOWED_BITS:
            return found.start()
    return None


def jis_x_0213(text: str) -> bool:
    """Whether JIS X 0213:2004 (with ASCII and half-width katakana) holds the whole text."""
    if first_swallowed(text) is not None:
        return False
    try:
        text.encode("euc_jis_2004")
    except UnicodeEncodeError:
        return False
    return True


def clusters(text: str) -> Iterator[str]:
    """The characters as a reader counts them: a base with its selector and combining marks."""
    return (found.group() for found in _CLUSTER.finditer(text))


def gaiji_count(text: str, repertoire: Repertoire = jis_x_0213) -> int:
    """外字数: how many characters of the text the repertoire does not hold."""
    if repertoire is jis_x_0213:
        return _not_in_jis_x_0213(text)
    if repertoire(text):
        return 0
    return sum(not repertoire(cluster) for cluster in clusters(text))


def _not_in_jis_x_0213(text: str) -> int:
    """The same, from one failing character to the next: texts are read at every door, and most have none or one."""
    if first_swallowed(text) is not None:
        return sum(not jis_x_0213(cluster) for cluster in clusters(text))
    count = 0
    while True:
        try:
            text.encode("euc_jis_2004")
        except UnicodeEncodeError as error:
            count += 1
            following = _MARKS.match(text, error.start + 1)
            text = text[following.end() if following else error.start + 1 :]
        else:
            return count
