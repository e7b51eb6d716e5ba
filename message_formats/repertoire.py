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


def jis_x_0213(text: str) -> bool:
    """Whether JIS X 0213:2004 (with ASCII and half-width katakana) holds the whole text."""
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
